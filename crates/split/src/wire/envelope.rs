//! What is around a frame's body: its kind, its length, its number on the connection, and a check of the whole.

use super::error::WireError;
use super::frame::Frame;
use super::put::put_frame;
use super::read::Reader;
use super::{HEAD_BYTES, VERSION, check, kinds};

const MAGIC: [u8; 2] = *b"dS";

/// The head of a frame that is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    kind: u8,
    /// Bytes of the body that follows.
    pub body_bytes: usize,
    number: u32,
    check: u64,
}

impl Head {
    /// Reads a head; the length is within the limit of its kind.
    pub fn read(bytes: &[u8; HEAD_BYTES]) -> Result<Head, WireError> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if bytes[..2] != MAGIC {
            return Err(WireError::Magic);
        }
        if bytes[2] != VERSION {
            return Err(WireError::Version { found: bytes[2] });
        }
        let kind = bytes[3];
        let (body_bytes, max) = (word(4) as usize, kinds::bytes_max(kind)?);
        if body_bytes > max {
            return Err(WireError::Length { bytes: body_bytes, max });
        }
        if word(12) != 0 {
            return Err(WireError::Field { name: "the spare word" });
        }
        let check = u64::from(word(16)) | u64::from(word(20)) << 32;
        Ok(Head { kind, body_bytes, number: word(8), check })
    }
}

/// One direction of a connection: numbers what is sent, or holds what comes to its number.
#[derive(Clone, Debug, Default)]
pub struct Counter {
    next: u32,
}

impl Counter {
    /// The bytes of a frame.
    pub fn encode(&mut self, frame: &Frame) -> Vec<u8> {
        let mut bytes = vec![0; HEAD_BYTES];
        let kind = put_frame(&mut bytes, frame);
        seal(&mut bytes, kind, self.next);
        self.next = self.next.wrapping_add(1);
        bytes
    }

    /// The frame of a head and its body.
    pub fn decode(
        &mut self,
        head: Head,
        head_bytes: &[u8; HEAD_BYTES],
        body: &[u8],
    ) -> Result<Frame, WireError> {
        if body.len() != head.body_bytes {
            return Err(WireError::Body);
        }
        if check::of(&head_bytes[..16], body) != head.check {
            return Err(WireError::Check);
        }
        if head.number != self.next {
            return Err(WireError::Number { found: head.number, want: self.next });
        }
        self.next = self.next.wrapping_add(1);
        Reader::new(body).frame(head.kind)
    }
}

/// Writes the head of a frame whose body stands behind the room for it. Also of a body that says nothing good, so that
/// readers can be tried.
pub fn seal(frame: &mut [u8], kind: u8, number: u32) {
    let (head, body) = frame.split_at_mut(HEAD_BYTES);
    head[..2].copy_from_slice(&MAGIC);
    (head[2], head[3]) = (VERSION, kind);
    head[4..8].copy_from_slice(&(body.len() as u32).to_le_bytes());
    head[8..12].copy_from_slice(&number.to_le_bytes());
    head[12..16].fill(0);
    let check = check::of(&head[..16], body);
    head[16..24].copy_from_slice(&check.to_le_bytes());
}
