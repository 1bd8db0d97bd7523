//! A segment: a file of records, after a head that says where the chain stands.
//!
//! Reading believes nothing: what is no record is skipped up to the next one that is, and told.

use crate::crc::crc32c;
use crate::record::{Chain, MAGIC, Record};
use std::ops::Range;

/// A segment that is longer is never written.
pub const SEGMENT_BYTES_MAX: usize = 4 << 20;
const HEAD_MAGIC: [u8; 8] = *b"duetlog1";
pub const HEAD_BYTES: usize = 52;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub first: u64,
    pub before: Chain,
}

impl Head {
    pub fn read(bytes: &[u8]) -> Option<Head> {
        let head: &[u8; HEAD_BYTES] = bytes.first_chunk()?;
        let crc = u32::from_le_bytes(head[48..].try_into().ok()?);
        let is_ours = head[..8] == HEAD_MAGIC && crc == crc32c(&[&head[..48]]);
        let first = u64::from_le_bytes(head[8..16].try_into().ok()?);
        is_ours.then_some(Head { first, before: Chain(head[16..48].try_into().ok()?) })
    }

    pub fn write(&self, to: &mut Vec<u8>) {
        let head = [&HEAD_MAGIC[..], &self.first.to_le_bytes(), &self.before.0].concat();
        to.extend(&head);
        to.extend(crc32c(&[&head]).to_le_bytes());
    }
}

/// `00000000000000000001.journal`: the name says the first number too.
pub fn name(first: u64) -> String {
    format!("{first:020}.journal")
}

pub fn first(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".journal").filter(|digits| digits.len() == 20)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    Record(Record<'a>),
    /// Bytes that are no record.
    Bad(Range<usize>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan<'a> {
    pub head: Option<Head>,
    pub parts: Vec<Part<'a>>,
}

impl Scan<'_> {
    pub fn has_records(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Record(_)))
    }
}

/// All records of a segment, and what lies between them. Numbers only rise; what repeats one is no record.
pub fn scan(bytes: &[u8]) -> Scan<'_> {
    let head = Head::read(bytes);
    // Behind a spoiled head the records are where they were.
    let mut at = HEAD_BYTES.min(bytes.len());
    let mut next = head.map_or(0, |head| head.first);
    let mut parts = vec![];
    let mut bad_since = None;
    while at < bytes.len() {
        match Record::read(&bytes[at..]) {
            Ok((record, n)) if record.number >= next => {
                parts.extend(bad_since.take().map(|since| Part::Bad(since..at)));
                next = record.next();
                parts.push(Part::Record(record));
                at += n;
            }
            _ => {
                bad_since.get_or_insert(at);
                at += 1;
                at += bytes[at..].windows(MAGIC.len()).position(|at| at == MAGIC).unwrap_or(bytes.len() - at);
            }
        }
    }
    parts.extend(bad_since.map(|since| Part::Bad(since..bytes.len())));
    Scan { head, parts }
}
