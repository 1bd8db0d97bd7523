//! What a kernel has to know of a weight format.
//!
//! All formats but the floats are the same to a product: 32 weights are 32 small whole numbers `q`,
//! and a weight is `d * q + m`. A format says how to get at them; `rows` and `panels` do the rest.

use crate::simd::Simd;

/// A format whose weights are whole numbers with scales.
pub(crate) trait Format {
    /// Bytes of one block of the file.
    const BYTES: usize;
    /// Weights of one block; a multiple of 32.
    const WEIGHTS: usize;
    /// Weights that share a scale within 32: 32 or 16.
    const STEP: usize = 32;
    /// The largest `q`. Unsigned formats only: it tells how many products 16 bits can add up.
    const LARGEST: i32;
    /// `q` is signed, and there is no `m`.
    const SIGNED: bool = false;

    /// The 32 `q` of part `part` of the block at `block`, in order.
    ///
    /// # Safety
    /// `block` must be readable for a whole block.
    unsafe fn quants<S: Simd>(block: *const u8, part: usize) -> S::I;

    /// `d` and `m` of both halves of part `part`; formats with one scale give it twice.
    ///
    /// # Safety
    /// `block` must be readable for a whole block.
    unsafe fn scales(block: *const u8, part: usize) -> [(f32, f32); 2];
}

/// A matrix of weights as it lies in the file.
#[derive(Clone, Copy)]
pub struct Weights {
    pub data: *const u8,
    /// From one row to the next, in bytes.
    pub stride: usize,
    /// Weights of one row.
    pub k: usize,
}

impl Weights {
    /// # Safety
    /// Row `row` must exist.
    #[inline(always)]
    pub(crate) unsafe fn row(&self, row: usize) -> *const u8 {
        // SAFETY: the caller's promise.
        unsafe { self.data.add(row * self.stride) }
    }
}
