//! One picture from a camera, by the kernel's own interface (V4L2): the few questions that no file answers.
//!
//! Structures are arrays of 32-bit words here, at the places that linux/videodev2.h gives them on 64-bit machines.

#![allow(unsafe_code)] // ioctls that rustix does not know, and memory that the driver fills

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::ioctl::{Getter, Opcode, Setter, Updater, ioctl, opcode};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::fs::File;
use std::io::{Error, ErrorKind};
use std::os::fd::AsFd;
use std::time::Duration;

/// `struct v4l2_capability`.
type Capability = [u32; 26];
/// `struct v4l2_format`: the kind of stream, a gap, and a union of 200 bytes.
type Format = [u32; 52];
/// `struct v4l2_requestbuffers`.
type Request = [u32; 5];
/// `struct v4l2_buffer`.
type Buffer = [u32; 22];

const QUERYCAP: Opcode = opcode::read::<Capability>(b'V', 0);
const S_FMT: Opcode = opcode::read_write::<Format>(b'V', 5);
const REQBUFS: Opcode = opcode::read_write::<Request>(b'V', 8);
const QUERYBUF: Opcode = opcode::read_write::<Buffer>(b'V', 9);
const QBUF: Opcode = opcode::read_write::<Buffer>(b'V', 15);
const DQBUF: Opcode = opcode::read_write::<Buffer>(b'V', 17);
const STREAMON: Opcode = opcode::write::<u32>(b'V', 18);
const STREAMOFF: Opcode = opcode::write::<u32>(b'V', 19);

/// Of `Capability`: what this one file of the device can do.
const DEVICE_CAPS: usize = 22;
const CAN_CAPTURE: u32 = 1;
const CAN_STREAM: u32 = 0x0400_0000;
/// The kind of stream, and the memory that the driver gives.
const CAPTURE: u32 = 1;
const MMAP: u32 = 1;
/// Of `Format`, in its union.
const WIDTH: usize = 2;
const HEIGHT: usize = 3;
const KIND: usize = 4;
const LINE_BYTES: usize = 6;
/// Of `Buffer`.
const IDX: usize = 0;
const STREAM: usize = 1;
const USED: usize = 2;
const MEMORY: usize = 15;
const OFFSET: usize = 16;
const LENGTH: usize = 18;

/// A picture that asks for more memory is none of ours.
pub const FRAME_BYTES_MAX: usize = 16 << 20;
/// A camera needs some pictures to find out how bright it is.
const DARK_FRAMES: usize = 8;

/// As it comes from the driver; nothing of it was checked but its length.
#[derive(Debug)]
pub struct Frame {
    pub width: u32,
    pub height: u32,
    /// Four letters, such as `MJPG`.
    pub kind: [u8; 4],
    pub line_bytes: u32,
    pub bytes: Vec<u8>,
}

fn wrong(what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, what)
}

/// Whether this file of a device gives pictures; others of the same camera tell of them.
pub fn is_camera(device: &File) -> bool {
    // SAFETY: the kernel writes at most as many bytes as the opcode says, which are those of the array; any words are
    // one. A file that is no such device answers with an error.
    let can = unsafe { ioctl(device, Getter::<QUERYCAP, Capability>::new()) };
    can.is_ok_and(|can| can[DEVICE_CAPS] & CAN_CAPTURE != 0 && can[DEVICE_CAPS] & CAN_STREAM != 0)
}

/// The first picture in one of these kinds after the camera has found its light. `left` is the time until the deadline.
pub fn frame(
    device: &File,
    width: u32,
    height: u32,
    kinds: &[[u8; 4]],
    left: &dyn Fn() -> Duration,
) -> Result<Frame, Error> {
    if !is_camera(device) {
        return Err(wrong("it gives no pictures"));
    }
    let (format, kind) = format(device, width, height, kinds)?;
    let mut request: Request = [1, CAPTURE, MMAP, 0, 0];
    update::<REQBUFS, Request>(device, &mut request)?;
    let mut buffer = blank();
    update::<QUERYBUF, Buffer>(device, &mut buffer)?;
    let length = buffer[LENGTH] as usize;
    if length == 0 || length > FRAME_BYTES_MAX {
        return Err(wrong("its pictures are too large"));
    }
    let mapped = Mapped::new(device, length, buffer[OFFSET].into())?;
    update::<QBUF, Buffer>(device, &mut blank())?;
    set::<STREAMON>(device)?;
    let bytes = stream(device, &mapped, left);
    // The camera is dark again, whatever came.
    set::<STREAMOFF>(device)?;
    Ok(Frame {
        width: format[WIDTH],
        height: format[HEIGHT],
        kind,
        line_bytes: format[LINE_BYTES],
        bytes: bytes?,
    })
}

/// The first of the kinds that the driver takes, in a size that it chooses near the wish.
fn format(device: &File, width: u32, height: u32, kinds: &[[u8; 4]]) -> Result<(Format, [u8; 4]), Error> {
    for kind in kinds {
        let mut format: Format = [0; 52];
        (format[0], format[WIDTH], format[HEIGHT]) = (CAPTURE, width, height);
        format[KIND] = u32::from_le_bytes(*kind);
        update::<S_FMT, Format>(device, &mut format)?;
        if format[KIND] == u32::from_le_bytes(*kind) {
            return Ok((format, *kind));
        }
    }
    Err(wrong("its pictures are of a kind that is not known here"))
}

fn stream(device: &File, mapped: &Mapped, left: &dyn Fn() -> Duration) -> Result<Vec<u8>, Error> {
    for idx in 0..=DARK_FRAMES {
        let time = left();
        let limit = Timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: time.subsec_nanos().into() };
        let mut watched = [PollFd::new(device, PollFlags::IN)];
        if poll(&mut watched, Some(&limit))? == 0 {
            return Err(Error::new(ErrorKind::TimedOut, "no picture came in time"));
        }
        let mut buffer = blank();
        update::<DQBUF, Buffer>(device, &mut buffer)?;
        if idx == DARK_FRAMES {
            return Ok(mapped.copy(buffer[USED] as usize));
        }
        update::<QBUF, Buffer>(device, &mut blank())?;
    }
    Err(wrong("no picture came"))
}

/// The only buffer.
fn blank() -> Buffer {
    let mut buffer = [0; 22];
    (buffer[IDX], buffer[STREAM], buffer[MEMORY]) = (0, CAPTURE, MMAP);
    buffer
}

fn update<const OPCODE: Opcode, T>(device: impl AsFd, value: &mut T) -> rustix::io::Result<()>
where
    T: AsMut<[u32]>,
{
    // SAFETY: each opcode above is made with the length of the array it is used with, so the kernel reads and writes
    // within it; any words are one. Nothing here is a pointer to the kernel: `Format` is of a kind without any.
    unsafe { ioctl(device, Updater::<OPCODE, T>::new(value)) }
}

fn set<const OPCODE: Opcode>(device: impl AsFd) -> rustix::io::Result<()> {
    // SAFETY: both opcodes read one word.
    unsafe { ioctl(device, Setter::<OPCODE, u32>::new(CAPTURE)) }
}

/// The driver's memory of one buffer.
struct Mapped {
    at: *mut core::ffi::c_void,
    length: usize,
}

impl Mapped {
    fn new(device: &File, length: usize, offset: u64) -> rustix::io::Result<Mapped> {
        // SAFETY: the kernel chooses a free place, so nothing of ours is there.
        let at = unsafe {
            mmap(core::ptr::null_mut(), length, ProtFlags::READ, MapFlags::SHARED, device, offset)
        }?;
        Ok(Mapped { at, length })
    }

    fn copy(&self, used: usize) -> Vec<u8> {
        let n = used.min(self.length);
        let mut bytes = vec![0_u8; n];
        // SAFETY: `n` bytes are within the mapping, which lives as long as `self`, and within the new vector; the buffer
        // is not queued, so the driver does not write to it meanwhile, and bytes have no wrong value if it does.
        unsafe { core::ptr::copy_nonoverlapping(self.at.cast::<u8>(), bytes.as_mut_ptr(), n) };
        bytes
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: it was mapped by `new`, with this length, and nothing points to it any more.
        let _ = unsafe { munmap(self.at, self.length) };
    }
}
