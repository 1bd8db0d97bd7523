//! The journal: entries appended together and made durable by one sync, segments of a limited size, and mending at the start.
//!
//! An entry is safe once [`Journal::commit`] has returned. A torn end, which no commit returned for, is cut. What is
//! spoiled in the middle is told, set aside in a file of its own, and a gap stands in its place.
//! Every rewriting writes a new file, syncs it, renames it and syncs the folder: a power cut leaves the old or the new.

use crate::record::{Chain, Kind, PAYLOAD_BYTES_MAX, RECORD_HEAD_BYTES, Record};
use crate::segment::{self, HEAD_BYTES, Head, SEGMENT_BYTES_MAX};
use crate::storage::Storage;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

mod mend;

/// A file that is being written in the place of another.
const NEW: &str = ".new";
/// What was set aside.
const BAD: &str = ".bad";
/// Such files; more are not kept.
const BAD_MAX: usize = 8;
const SEGMENTS_MAX: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A segment that has reached it is followed by a new one.
    pub segment_bytes: usize,
    pub journal_bytes: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { segment_bytes: 1 << 20, journal_bytes: 256 << 20 }
    }
}

#[derive(Debug)]
pub enum JournalError<E> {
    Storage {
        what: String,
        error: E,
    },
    /// Nothing was written.
    Full {
        bytes_max: u64,
    },
    TooManySegments,
}

impl<E: fmt::Display> fmt::Display for JournalError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JournalError::Storage { what, error } => write!(f, "{what}: {error}"),
            JournalError::Full { bytes_max } => {
                write!(f, "the journal has reached its {} MiB", bytes_max >> 20)
            }
            JournalError::TooManySegments => write!(f, "more than {SEGMENTS_MAX} segments in the folder"),
        }
    }
}

impl<E: fmt::Display + fmt::Debug> std::error::Error for JournalError<E> {}

/// What was wrong at the start, and is mended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Bytes of no whole record at the very end: a power cut in the middle of writing.
    Torn { segment: u64, bytes: u64 },
    /// Entries that cannot be read any more.
    Lost { first: u64, n: u64 },
    /// A record that does not follow the one before it; both are kept.
    Chain { number: u64 },
    /// Bytes that belong nowhere, set aside.
    Strange { segment: u64, bytes: u64 },
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Torn { segment, bytes } => {
                write!(f, "{bytes} bytes of an unfinished record were cut from segment {segment}")
            }
            Trouble::Lost { first, n } => write!(f, "{n} entries from number {first} on cannot be read"),
            Trouble::Chain { number } => write!(f, "entry {number} does not follow the one before it"),
            Trouble::Strange { segment, bytes } => {
                write!(f, "{bytes} bytes of segment {segment} are no records and were set aside")
            }
        }
    }
}

/// What a journal has at its start.
#[derive(Debug)]
pub struct Opened<S> {
    pub journal: Journal<S>,
    /// Entries by their numbers, oldest first.
    pub entries: Vec<(u64, Vec<u8>)>,
    pub troubles: Vec<Trouble>,
}

#[derive(Debug)]
pub struct Journal<S> {
    storage: S,
    limits: Limits,
    /// First number and length of each segment.
    segments: BTreeMap<u64, u64>,
    /// Of the next entry, and the chain before it; all that is counted here is durable.
    next: u64,
    chain: Chain,
    pending: Vec<u8>,
    pending_next: u64,
    pending_chain: Chain,
    /// A sync failed, so what lies behind the last segment's known end is nobody's word.
    is_tail_doubtful: bool,
}

impl<S: Storage> Journal<S> {
    pub fn open(storage: S, limits: Limits) -> Result<Opened<S>, JournalError<S::Error>> {
        mend::open(storage, limits)
    }

    /// Adds an entry that the next commit makes durable; gives its number.
    pub fn append(&mut self, payload: &[u8]) -> u64 {
        let room = SEGMENT_BYTES_MAX - HEAD_BYTES - RECORD_HEAD_BYTES - PAYLOAD_BYTES_MAX;
        assert!(self.pending.len() <= room, "whoever has much to append commits in between");
        let number = self.pending_next;
        let record = Record { number, before: self.pending_chain, kind: Kind::Entry(payload) };
        record.write(&mut self.pending);
        (self.pending_next, self.pending_chain) = (record.next(), record.after());
        number
    }

    /// Makes all that was appended durable with one sync. On an error nothing of it is there.
    pub fn commit(&mut self) -> Result<(), JournalError<S::Error>> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.pending);
        let (next, chain) = (self.pending_next, self.pending_chain);
        (self.pending_next, self.pending_chain) = (self.next, self.chain);
        if self.n_bytes() + (bytes.len() + HEAD_BYTES) as u64 > self.limits.journal_bytes {
            return Err(JournalError::Full { bytes_max: self.limits.journal_bytes });
        }
        self.restore_tail()?;
        let is_full = |length: u64| length as usize + bytes.len() > self.limits.segment_bytes;
        let last = self.segments.last_key_value().map(|(first, length)| (*first, *length));
        match last.filter(|(_, length)| !is_full(*length)) {
            Some((first, length)) => self.extend(first, length, &bytes)?,
            None => self.begin(&bytes)?,
        }
        (self.next, self.chain) = (next, chain);
        (self.pending_next, self.pending_chain) = (next, chain);
        Ok(())
    }

    fn extend(&mut self, first: u64, length: u64, bytes: &[u8]) -> Result<(), JournalError<S::Error>> {
        let name = segment::name(first);
        if let Err(error) = self.storage.append(&name, bytes) {
            // A full disk: what was written of it goes again.
            let is_back = self.storage.truncate(&name, length).is_ok() && self.storage.sync(&name).is_ok();
            self.is_tail_doubtful = !is_back;
            return Err(failed(&name, error));
        }
        if let Err(error) = self.storage.sync(&name) {
            self.is_tail_doubtful = true;
            return Err(failed(&name, error));
        }
        self.segments.insert(first, length + bytes.len() as u64);
        Ok(())
    }

    /// A new segment with its first records.
    fn begin(&mut self, records: &[u8]) -> Result<(), JournalError<S::Error>> {
        if self.segments.len() >= SEGMENTS_MAX {
            return Err(JournalError::TooManySegments);
        }
        let name = segment::name(self.next);
        let mut bytes = vec![];
        Head { first: self.next, before: self.chain }.write(&mut bytes);
        bytes.extend(records);
        // What a failed attempt leaves is emptied by the next one, or cut as a torn end by the next start.
        self.storage.create(&name).map_err(|error| failed(&name, error))?;
        let written = self
            .storage
            .append(&name, &bytes)
            .and_then(|()| self.storage.sync(&name))
            .and_then(|()| self.storage.sync_folder());
        if let Err(error) = written {
            let _ = self.storage.remove(&name);
            return Err(failed(&name, error));
        }
        self.segments.insert(self.next, bytes.len() as u64);
        Ok(())
    }

    /// After a failed sync the last segment is written anew: what the kernel has of the old file may never reach the disk.
    fn restore_tail(&mut self) -> Result<(), JournalError<S::Error>> {
        if !self.is_tail_doubtful {
            return Ok(());
        }
        if let Some((first, length)) = self.segments.last_key_value() {
            let (name, length) = (segment::name(*first), *length as usize);
            let bytes = self.storage.read(&name, length).map_err(|error| failed(&name, error))?;
            replace(&mut self.storage, &name, &bytes)?;
        }
        self.is_tail_doubtful = false;
        Ok(())
    }

    /// Takes entries out of their segments: nothing of them is left in any file but one hash for a run of them.
    pub fn erase(&mut self, numbers: &BTreeSet<u64>) -> Result<(), JournalError<S::Error>> {
        self.commit()?;
        self.restore_tail()?;
        let starts: BTreeSet<u64> = numbers
            .iter()
            .filter_map(|number| self.segments.range(..=number).next_back())
            .map(|(first, _)| *first)
            .collect();
        for first in starts {
            let name = segment::name(first);
            let bytes = self.storage.read(&name, SEGMENT_BYTES_MAX).map_err(|error| failed(&name, error))?;
            let Some(less) = mend::without(&bytes, numbers) else { continue };
            replace(&mut self.storage, &name, &less)?;
            self.segments.insert(first, less.len() as u64);
        }
        // What was set aside may be what is to go.
        self.forget_bad()
    }

    fn forget_bad(&mut self) -> Result<(), JournalError<S::Error>> {
        let names = self.storage.list().map_err(|error| failed("the folder", error))?;
        let bad: Vec<String> = names.into_iter().filter(|name| name.ends_with(BAD)).collect();
        for name in &bad {
            self.storage.remove(name).map_err(|error| failed(name, error))?;
        }
        if bad.is_empty() {
            return Ok(());
        }
        self.storage.sync_folder().map_err(|error| failed("the folder", error))
    }

    /// Of all segments.
    pub fn n_bytes(&self) -> u64 {
        self.segments.values().sum()
    }

    /// The next entry's number, and the chain before it.
    pub fn head(&self) -> (u64, Chain) {
        (self.next, self.chain)
    }

    pub fn storage(&mut self) -> &mut S {
        &mut self.storage
    }
}

fn failed<E>(what: &str, error: E) -> JournalError<E> {
    JournalError::Storage { what: what.to_owned(), error }
}

/// Puts other bytes into a file's place.
fn replace<S: Storage>(storage: &mut S, name: &str, bytes: &[u8]) -> Result<(), JournalError<S::Error>> {
    let beside = format!("{name}{NEW}");
    let written = storage
        .create(&beside)
        .and_then(|()| storage.append(&beside, bytes))
        .and_then(|()| storage.sync(&beside))
        .and_then(|()| storage.rename(&beside, name))
        .and_then(|()| storage.sync_folder());
    written.map_err(|error| failed(name, error))
}
