//! Reading a journal at its start, and mending what is wrong with it; and a segment without some of its entries.

use super::{
    BAD, BAD_MAX, Journal, JournalError, Limits, NEW, Opened, SEGMENTS_MAX, Trouble, failed, replace,
};
use crate::record::{Chain, Kind, Record};
use crate::segment::{self, HEAD_BYTES, Head, Part, SEGMENT_BYTES_MAX, Scan, scan};
use crate::storage::Storage;
use std::collections::{BTreeMap, BTreeSet};

/// How far the reading has come.
struct Walk {
    next: u64,
    chain: Chain,
    entries: Vec<(u64, Vec<u8>)>,
    troubles: Vec<Trouble>,
}

/// What is to become of a segment.
enum Fate {
    Keep,
    /// The rest was never finished.
    Cut(usize),
    /// Nothing in it can be read; torn, or spoiled.
    Drop {
        is_torn: bool,
    },
    /// Its good records, from this number on, and the bytes that are none.
    Rewrite {
        first: u64,
        good: Vec<u8>,
        bad: Vec<u8>,
    },
}

pub fn open<S: Storage>(mut storage: S, limits: Limits) -> Result<Opened<S>, JournalError<S::Error>> {
    let names = storage.list().map_err(|error| failed("the folder", error))?;
    for name in names.iter().filter(|name| name.ends_with(NEW)) {
        storage.remove(name).map_err(|error| failed(name, error))?;
    }
    let firsts: BTreeSet<u64> = names.iter().filter_map(|name| segment::first(name)).collect();
    if firsts.len() > SEGMENTS_MAX {
        return Err(JournalError::TooManySegments);
    }
    let mut walk = Walk { next: 1, chain: Chain::default(), entries: vec![], troubles: vec![] };
    let mut segments = BTreeMap::new();
    for first in &firsts {
        let name = segment::name(*first);
        let bytes = storage.read(&name, SEGMENT_BYTES_MAX).map_err(|error| failed(&name, error))?;
        let fate = walk.read(*first, &bytes, firsts.last() == Some(first));
        if let Some((first, length)) = settle(&mut storage, *first, &bytes, fate)? {
            segments.insert(first, length);
        }
    }
    let Walk { next, chain, entries, troubles } = walk;
    let journal = Journal {
        storage,
        limits,
        segments,
        next,
        chain,
        pending: vec![],
        pending_next: next,
        pending_chain: chain,
        is_tail_doubtful: false,
    };
    Ok(Opened { journal, entries, troubles })
}

impl Walk {
    fn read(&mut self, name: u64, bytes: &[u8], is_last: bool) -> Fate {
        let Scan { head, parts } = scan(bytes);
        let mut trouble = |trouble| self.troubles.push(trouble);
        let head = head.filter(|head| head.first == name);
        let has_records = parts.iter().any(|part| matches!(part, Part::Record(_)));
        if !has_records && (head.is_none() || !is_last) {
            trouble(match is_last {
                true => Trouble::Torn { segment: name, bytes: bytes.len() as u64 },
                false => Trouble::Strange { segment: name, bytes: bytes.len() as u64 },
            });
            return Fate::Drop { is_torn: is_last };
        }
        let (mut good, mut bad) = (vec![], vec![]);
        if head.is_none() {
            bad.extend(&bytes[..HEAD_BYTES.min(bytes.len())]);
        }
        let start = Head { first: self.next, before: self.chain };
        start.write(&mut good);
        let mut cut = None;
        let mut has_gap = head.is_some_and(|head| head != start);
        for (idx, part) in parts.iter().enumerate() {
            match part {
                Part::Bad(range) if is_last && idx + 1 == parts.len() => cut = Some(range.start),
                Part::Bad(range) => bad.extend(&bytes[range.clone()]),
                Part::Record(record) if record.number < self.next => record.write(&mut bad),
                Part::Record(record) => has_gap |= self.take(record, &mut good),
            }
        }
        if let Some(cut) = cut {
            self.troubles.push(Trouble::Torn { segment: name, bytes: (bytes.len() - cut) as u64 });
        }
        if !bad.is_empty() {
            self.troubles.push(Trouble::Strange { segment: name, bytes: bad.len() as u64 });
        }
        match cut {
            _ if has_gap || !bad.is_empty() => Fate::Rewrite { first: start.first, good, bad },
            Some(cut) => Fate::Cut(cut),
            None => Fate::Keep,
        }
    }

    /// Says whether something was missing before it.
    fn take(&mut self, record: &Record<'_>, good: &mut Vec<u8>) -> bool {
        let n = record.number - self.next;
        let is_missing = n > 0 || record.before != self.chain;
        if is_missing {
            self.troubles.push(match n {
                0 => Trouble::Chain { number: record.number },
                n => Trouble::Lost { first: self.next, n },
            });
            let kind = Kind::Gap { n, is_lost: true, after: record.before };
            Record { number: self.next, before: self.chain, kind }.write(good);
        }
        record.write(good);
        (self.next, self.chain) = (record.next(), record.after());
        if let Kind::Entry(payload) = record.kind {
            self.entries.push((record.number, payload.to_vec()));
        }
        is_missing
    }
}

/// Does it, and gives the segment that is there now.
fn settle<S: Storage>(
    storage: &mut S,
    name: u64,
    bytes: &[u8],
    fate: Fate,
) -> Result<Option<(u64, u64)>, JournalError<S::Error>> {
    let file = segment::name(name);
    let fail = |error| failed(&file, error);
    match fate {
        Fate::Keep => Ok(Some((name, bytes.len() as u64))),
        Fate::Cut(at) => {
            storage.truncate(&file, at as u64).and_then(|()| storage.sync(&file)).map_err(fail)?;
            Ok(Some((name, at as u64)))
        }
        Fate::Drop { is_torn } => {
            if !is_torn {
                set_aside(storage, name, bytes)?;
            }
            storage.remove(&file).and_then(|()| storage.sync_folder()).map_err(fail)?;
            Ok(None)
        }
        Fate::Rewrite { first, good, bad } => {
            set_aside(storage, name, &bad)?;
            let has_records = good.len() > HEAD_BYTES;
            if has_records {
                replace(storage, &segment::name(first), &good)?;
            }
            if !has_records || first != name {
                storage.remove(&file).and_then(|()| storage.sync_folder()).map_err(fail)?;
            }
            Ok(has_records.then_some((first, good.len() as u64)))
        }
    }
}

/// Keeps what cannot be read, for whoever wants to look; the folder is synced with what takes its place.
fn set_aside<S: Storage>(storage: &mut S, name: u64, bytes: &[u8]) -> Result<(), JournalError<S::Error>> {
    if bytes.is_empty() {
        return Ok(());
    }
    let names = storage.list().map_err(|error| failed("the folder", error))?;
    let file = format!("{name:020}{BAD}");
    if names.iter().filter(|name| name.ends_with(BAD)).count() >= BAD_MAX && !names.contains(&file) {
        return Ok(());
    }
    let written =
        storage.create(&file).and_then(|()| storage.append(&file, bytes)).and_then(|()| storage.sync(&file));
    written.map_err(|error| failed(&file, error))
}

/// A segment in which gaps stand for these entries, and for gaps beside them; nothing if none of them is there.
pub fn without(bytes: &[u8], numbers: &BTreeSet<u64>) -> Option<Vec<u8>> {
    let mut less = bytes.get(..HEAD_BYTES)?.to_vec();
    let mut gap: Option<Record<'_>> = None;
    let mut has_less = false;
    for part in scan(bytes).parts {
        let record = match part {
            Part::Record(record) => record,
            // The next start tells of it.
            Part::Bad(range) => {
                gap.take().iter().for_each(|gap| gap.write(&mut less));
                less.extend(&bytes[range]);
                continue;
            }
        };
        let is_erased = matches!(record.kind, Kind::Entry(_)) && numbers.contains(&record.number);
        has_less |= is_erased;
        if !is_erased && !matches!(record.kind, Kind::Gap { is_lost: false, .. }) {
            gap.take().iter().for_each(|gap| gap.write(&mut less));
            record.write(&mut less);
            continue;
        }
        let open = gap.unwrap_or(record);
        let n = record.next() - open.number;
        gap = Some(Record { kind: Kind::Gap { n, is_lost: false, after: record.after() }, ..open });
    }
    gap.iter().for_each(|gap| gap.write(&mut less));
    has_less.then_some(less)
}
