//! A record: `dJr1`, length, CRC32C, number, kind, the chain before it, payload; numbers are little-endian.
//!
//! The chain after an entry is the hash of the chain before it, its number and its payload. Where entries were erased or
//! lost, a gap stands in their place: how many there were, and the chain after them, which the next record names too.

use crate::crc::crc32c;
use std::fmt;

pub const PAYLOAD_BYTES_MAX: usize = 4096;
pub const MAGIC: [u8; 4] = *b"dJr1";
/// All before the payload.
pub const RECORD_HEAD_BYTES: usize = 53;
const GAP_BYTES: usize = 41;
/// Records of one journal: at one a second 34,000 years.
const NUMBER_MAX: u64 = 1 << 40;

/// The hash of all that came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Chain(pub [u8; 32]);

impl Chain {
    pub fn after(&self, number: u64, payload: &[u8]) -> Chain {
        let mut hasher = blake3::Hasher::new_derive_key("duet journal, chain after an entry");
        hasher.update(&self.0).update(&number.to_le_bytes()).update(payload);
        Chain(*hasher.finalize().as_bytes())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    Entry(&'a [u8]),
    /// So many entries were erased on purpose, or lost by the storage.
    Gap {
        n: u64,
        is_lost: bool,
        after: Chain,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Of a gap, that of the first entry in it.
    pub number: u64,
    pub before: Chain,
    pub kind: Kind<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// The bytes end before it does.
    Short,
    /// No record begins here.
    Magic,
    Long {
        bytes: usize,
    },
    Crc,
    /// Written whole, and yet no record of ours.
    Garbled,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordError::Short => f.write_str("the bytes end within a record"),
            RecordError::Magic => f.write_str("no record begins here"),
            RecordError::Long { bytes } => {
                write!(f, "a payload of {bytes} bytes, at most {PAYLOAD_BYTES_MAX} are read")
            }
            RecordError::Crc => f.write_str("the check sum is another"),
            RecordError::Garbled => f.write_str("a record of no known kind"),
        }
    }
}

impl std::error::Error for RecordError {}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

impl<'a> Record<'a> {
    /// The first record of these bytes, and how many it takes.
    pub fn read(bytes: &'a [u8]) -> Result<(Record<'a>, usize), RecordError> {
        let n_magic = bytes.len().min(MAGIC.len());
        if bytes[..n_magic] != MAGIC[..n_magic] {
            return Err(RecordError::Magic);
        }
        let (head, rest) = bytes.split_at_checked(RECORD_HEAD_BYTES).ok_or(RecordError::Short)?;
        let length = number(&head[4..8]) as usize;
        if length > PAYLOAD_BYTES_MAX {
            return Err(RecordError::Long { bytes: length });
        }
        let payload = rest.get(..length).ok_or(RecordError::Short)?;
        if number(&head[8..12]) != u64::from(crc32c(&[&head[4..8], &head[12..], payload])) {
            return Err(RecordError::Crc);
        }
        let before: [u8; 32] = head[21..].try_into().map_err(|_| RecordError::Short)?;
        let kind = match head[20] {
            0 => Kind::Entry(payload),
            1 => gap(payload).ok_or(RecordError::Garbled)?,
            _ => return Err(RecordError::Garbled),
        };
        let record = Record { number: number(&head[12..20]), before: Chain(before), kind };
        if record.number > NUMBER_MAX {
            return Err(RecordError::Garbled);
        }
        Ok((record, RECORD_HEAD_BYTES + length))
    }

    pub fn write(&self, to: &mut Vec<u8>) {
        let gap;
        let (kind, payload) = match self.kind {
            Kind::Entry(payload) => (0, payload),
            Kind::Gap { n, is_lost, after } => {
                gap = [&n.to_le_bytes()[..], &[u8::from(is_lost)], &after.0].concat();
                (1, &gap[..])
            }
        };
        assert!(payload.len() <= PAYLOAD_BYTES_MAX, "an entry is checked before it is written");
        let length = (payload.len() as u32).to_le_bytes();
        let rest = [&self.number.to_le_bytes()[..], &[kind], &self.before.0].concat();
        to.extend(MAGIC);
        to.extend(length);
        to.extend(crc32c(&[&length, &rest, payload]).to_le_bytes());
        to.extend(rest);
        to.extend(payload);
    }

    /// What the next record names as the chain before it.
    pub fn after(&self) -> Chain {
        match self.kind {
            Kind::Entry(payload) => self.before.after(self.number, payload),
            Kind::Gap { after, .. } => after,
        }
    }

    /// The number of the next record.
    pub fn next(&self) -> u64 {
        match self.kind {
            Kind::Entry(_) => self.number + 1,
            Kind::Gap { n, .. } => self.number + n,
        }
    }
}

fn gap(payload: &[u8]) -> Option<Kind<'static>> {
    let payload: &[u8; GAP_BYTES] = payload.try_into().ok()?;
    let (n, is_lost) = (number(&payload[..8]), payload[8]);
    let after = Chain(payload[9..].try_into().ok()?);
    (n <= NUMBER_MAX && is_lost <= 1).then_some(Kind::Gap { n, is_lost: is_lost == 1, after })
}
