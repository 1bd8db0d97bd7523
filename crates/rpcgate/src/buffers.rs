//! The memory that the server gave out, as far as its answers told.

use crate::refusal::Refusal;
use crate::tensor::Tensor;
use std::collections::BTreeMap;

/// Buffers of one client. A stock client has a few for each model and context.
pub(crate) const BUFFERS_MAX: usize = 256;

/// One of them.
#[derive(Clone, Copy, Debug)]
struct Buffer {
    bytes: u64,
    /// Where its memory begins, once the client asked for that.
    base: Option<u64>,
}

/// All of them, by the server's pointer.
#[derive(Clone, Debug)]
pub(crate) struct Buffers {
    bytes_max: u64,
    known: BTreeMap<u64, Buffer>,
}

impl Buffers {
    pub(crate) fn new(bytes_max: u64) -> Buffers {
        Buffers { bytes_max, known: BTreeMap::new() }
    }

    /// What may still be asked for.
    pub(crate) fn left(&self) -> u64 {
        let used: u64 = self.known.values().map(|buffer| buffer.bytes).sum();
        self.bytes_max.saturating_sub(used)
    }

    /// Whether so much may be asked for.
    pub(crate) fn check_room(&self, bytes: u64) -> Result<(), Refusal> {
        if self.known.len() >= BUFFERS_MAX {
            return Err(Refusal::Buffers { max: BUFFERS_MAX });
        }
        if bytes > self.left() {
            return Err(Refusal::Memory { asked: bytes, left: self.left() });
        }
        Ok(())
    }

    /// The server gave one out; `false` if it did so before.
    pub(crate) fn add(&mut self, pointer: u64, bytes: u64) -> bool {
        self.known.insert(pointer, Buffer { bytes, base: None }).is_none()
    }

    pub(crate) fn check(&self, pointer: u64) -> Result<(), Refusal> {
        self.known.get(&pointer).map(|_| ()).ok_or(Refusal::Buffer { pointer })
    }

    /// The server told where it begins; `false` if that cannot be.
    pub(crate) fn set_base(&mut self, pointer: u64, base: u64) -> bool {
        let Some(buffer) = self.known.get_mut(&pointer) else { return false };
        if base.checked_add(buffer.bytes).is_none() || buffer.base.is_some_and(|old| old != base) {
            return false;
        }
        buffer.base = Some(base);
        true
    }

    pub(crate) fn free(&mut self, pointer: u64) -> Result<(), Refusal> {
        self.known.remove(&pointer).map(|_| ()).ok_or(Refusal::Buffer { pointer })
    }

    /// Whether the tensor lies in its buffer, whole.
    pub(crate) fn check_tensor(&self, tensor: &Tensor) -> Result<(), Refusal> {
        tensor.check_steps()?;
        let left = self.behind(tensor)?;
        if tensor.bytes > left {
            return Err(tensor.wrong("reaches beyond its buffer"));
        }
        Ok(())
    }

    /// Bytes of its buffer from its first one on.
    pub(crate) fn behind(&self, tensor: &Tensor) -> Result<u64, Refusal> {
        let buffer = self.known.get(&tensor.buffer).ok_or(Refusal::Buffer { pointer: tensor.buffer })?;
        let base =
            buffer.base.ok_or_else(|| tensor.wrong("lies in a buffer whose place was never asked for"))?;
        let offset = tensor.data.checked_sub(base).ok_or_else(|| tensor.wrong("begins before its buffer"))?;
        buffer.bytes.checked_sub(offset).ok_or_else(|| tensor.wrong("begins behind its buffer"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::tests::Sent;

    #[test]
    fn a_tensor_is_held_to_its_buffer() {
        let mut buffers = Buffers::new(1000);
        assert!(buffers.add(7, 64) && !buffers.add(7, 64));
        let check = |buffers: &Buffers, buffer, data| {
            let tensor = Sent::new(1, 0, [4, 2, 1, 1]).at(buffer, data).read().unwrap();
            buffers.check_tensor(&tensor).map_or_else(|refusal| refusal.to_string(), |()| "good".to_owned())
        };
        let unasked = "tensor 'x' lies in a buffer whose place was never asked for";
        assert_eq!(check(&buffers, 7, 4096), unasked);
        assert!(buffers.set_base(7, 4096) && !buffers.set_base(7, 0) && !buffers.set_base(8, 0));
        assert_eq!(check(&buffers, 7, 4096), "good");
        assert_eq!(check(&buffers, 7, 4096 + 32), "good");
        assert_eq!(check(&buffers, 7, 4096 + 33), "tensor 'x' reaches beyond its buffer");
        assert_eq!(check(&buffers, 7, 4095), "tensor 'x' begins before its buffer");
        assert_eq!(check(&buffers, 7, u64::MAX), "tensor 'x' begins behind its buffer");
        assert_eq!(check(&buffers, 8, 4096), "there is no buffer 0x8");
        assert_eq!((buffers.free(7), buffers.free(7)), (Ok(()), Err(Refusal::Buffer { pointer: 7 })));
    }

    #[test]
    fn memory_is_counted_until_it_is_freed() {
        let mut buffers = Buffers::new(100);
        buffers.add(1, 60);
        assert_eq!(buffers.check_room(41), Err(Refusal::Memory { asked: 41, left: 40 }));
        assert_eq!(buffers.check_room(40), Ok(()));
        buffers.free(1).unwrap();
        assert_eq!(buffers.check_room(100), Ok(()));
        assert!((0..BUFFERS_MAX as u64).all(|pointer| buffers.add(pointer, 0)));
        assert_eq!(buffers.check_room(0), Err(Refusal::Buffers { max: BUFFERS_MAX }));
    }
}
