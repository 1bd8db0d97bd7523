//! Aligned memory of our own.

/// A cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Zeroed bytes that begin at a cache line.
pub(crate) struct Memory(Vec<Line>);

impl Memory {
    pub(crate) fn new(n_bytes: usize) -> Memory {
        Memory(vec![Line([0; 64]); n_bytes.div_ceil(64)])
    }

    pub(crate) fn of_floats(floats: &[f32]) -> Memory {
        let mut memory = Memory::new(floats.len() * 4);
        for (to, from) in memory.bytes_mut().chunks_exact_mut(4).zip(floats) {
            to.copy_from_slice(&from.to_le_bytes());
        }
        memory
    }

    /// For C, which takes all pointers as writable.
    pub(crate) fn start(&self) -> *mut u8 {
        self.0.as_ptr().cast_mut().cast()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: lines are plain bytes without padding.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len() * 64) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: lines are plain bytes without padding, and any byte may stand in them.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), self.0.len() * 64) }
    }
}
