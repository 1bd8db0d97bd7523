//! Which keys of a device are down at this moment: the one question to an input device that no file answers.

#![allow(unsafe_code)] // one ioctl that rustix does not know

use super::event::MASK_BYTES;
use rustix::ioctl::{Getter, Opcode, ioctl, opcode};
use std::os::fd::AsFd;

/// `EVIOCGKEY` of linux/input.h, for a mask of all keys.
const GET_KEYS: Opcode = opcode::read::<[u8; MASK_BYTES]>(b'E', 0x18);

/// Nothing where the device cannot say.
pub fn held(device: impl AsFd) -> Option<[u8; MASK_BYTES]> {
    // SAFETY: the kernel writes at most as many bytes as the opcode says, which are those of the mask; any bytes are a
    // mask. A file that is no input device answers with an error.
    unsafe { ioctl(device, Getter::<GET_KEYS, [u8; MASK_BYTES]>::new()) }.ok()
}
