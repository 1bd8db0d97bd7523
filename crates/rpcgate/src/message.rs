//! The commands of ggml's RPC, version 7, and how long their messages are.
//!
//! A request is a byte for the command, eight for the length, and so much matter; an answer has no command.
//! All numbers are little-endian.

use crate::refusal::Refusal;
use std::fmt;

/// Major and minor, as the server's answer to HELLO has them.
pub const VERSION: [u8; 2] = [7, 0];
/// One tensor on the wire.
pub const TENSOR_BYTES: usize = 296;
/// Sources of a tensor.
pub const SOURCES_MAX: usize = 10;
/// A graph as it is sent. One of 30 layers takes 386 kB.
pub const GRAPH_BYTES_MAX: u64 = 16 << 20;
/// Weights and results pass in pieces, so that no message of the client's fills memory here or there.
pub const PIECE_BYTES: usize = 256 << 10;
/// What a HELLO holds: the client's wishes for another transport.
pub const HELLO_BYTES: usize = 24;
/// A command and a length.
pub(crate) const HEAD_BYTES: usize = 9;
/// What comes before the bytes that are set: the tensor, a flag, the offset.
pub(crate) const SET_HEAD_BYTES: usize = TENSOR_BYTES + 1 + 8;
/// The answer to HELLO: version, padding, the server's wishes.
pub(crate) const HELLO_ANSWER_BYTES: usize = 4 + HELLO_BYTES;

/// What a client may ask. The numbers are those of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    AllocBuffer = 0,
    GetAlignment,
    GetMaxSize,
    BufferGetBase,
    FreeBuffer,
    BufferClear,
    SetTensor,
    SetTensorHash,
    GetTensor,
    CopyTensor,
    GraphCompute,
    GetDeviceMemory,
    InitTensor,
    GetAllocSize,
    Hello,
    DeviceCount,
    GraphRecompute,
    MemsetTensor,
}

use Command::*;

/// All of them, each at its number.
pub(crate) const COMMANDS: [Command; 18] = [
    AllocBuffer,
    GetAlignment,
    GetMaxSize,
    BufferGetBase,
    FreeBuffer,
    BufferClear,
    SetTensor,
    SetTensorHash,
    GetTensor,
    CopyTensor,
    GraphCompute,
    GetDeviceMemory,
    InitTensor,
    GetAllocSize,
    Hello,
    DeviceCount,
    GraphRecompute,
    MemsetTensor,
];

impl Command {
    /// The command of a number, or why there is none.
    pub(crate) fn of(number: u8) -> Result<Command, Refusal> {
        COMMANDS.get(usize::from(number)).copied().ok_or(Refusal::Unknown { command: number })
    }

    /// How many bytes of a message of this length are read before it is judged.
    pub(crate) fn judged_bytes(self, length: u64) -> Result<usize, Refusal> {
        let (least, most) = match self {
            SetTensor => (SET_HEAD_BYTES as u64, u64::MAX),
            GraphCompute => (12, GRAPH_BYTES_MAX),
            fixed => (fixed.bytes(), fixed.bytes()),
        };
        if !(least..=most).contains(&length) {
            return Err(Refusal::Length { command: self, length });
        }
        Ok(if self == SetTensor { SET_HEAD_BYTES } else { length as usize })
    }

    /// How long the messages are whose length never changes.
    fn bytes(self) -> u64 {
        let bytes = match self {
            AllocBuffer => 12,
            GetAlignment | GetMaxSize | GetDeviceMemory | GraphRecompute => 4,
            BufferGetBase | FreeBuffer => 8,
            BufferClear => 9,
            SetTensorHash | GetTensor => TENSOR_BYTES + 16,
            CopyTensor => 2 * TENSOR_BYTES,
            InitTensor => TENSOR_BYTES,
            GetAllocSize => 4 + (1 + SOURCES_MAX) * TENSOR_BYTES,
            Hello => HELLO_BYTES,
            DeviceCount => 0,
            MemsetTensor => TENSOR_BYTES + 17,
            SetTensor | GraphCompute => 0,
        };
        bytes as u64
    }

    /// Its head and matter, as they go to the server.
    pub(crate) fn put(self, out: &mut Vec<u8>, matter: &[&[u8]]) {
        let length: usize = matter.iter().map(|part| part.len()).sum();
        out.push(self as u8);
        out.extend((length as u64).to_le_bytes());
        matter.iter().for_each(|part| out.extend_from_slice(part));
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Reads numbers one after the other from a message whose length was checked.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn slice(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.slice(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.slice(8)?.try_into().ok().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_lies_at_its_number() {
        for (number, command) in COMMANDS.iter().enumerate() {
            assert_eq!(*command as usize, number);
        }
        assert_eq!(Command::of(18), Err(Refusal::Unknown { command: 18 }));
    }

    #[test]
    fn a_length_is_judged_before_a_byte_of_it_is_kept() {
        assert_eq!(SetTensor.judged_bytes(1 << 63), Ok(SET_HEAD_BYTES));
        assert!(SetTensor.judged_bytes(304).is_err());
        assert!(GraphCompute.judged_bytes(u64::MAX).is_err() && GraphCompute.judged_bytes(11).is_err());
        assert_eq!(GetTensor.judged_bytes(312), Ok(312));
        assert!(GetTensor.judged_bytes(311).is_err() && GetTensor.judged_bytes(313).is_err());
    }
}
