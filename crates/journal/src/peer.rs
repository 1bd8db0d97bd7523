//! What two nodes say to each other until they know the same: sums, ids where the sums differ, then entries; pure bytes.
//!
//! One asks with its sums and is told the other's ids of each bucket that differs. It then asks for what it lacks and
//! gives what the other lacks in one exchange; the other has made that durable before it answers. So an answer to an
//! exchange is the word of a node that it keeps what it was given. Numbers are little-endian.

use crate::book::{BUCKETS, Book, Digests, bucket};
use crate::entry::{ENTRY_BYTES_MAX, Entry, FactId};
use std::collections::BTreeMap;
use std::fmt;

/// The longest of all these bodies.
pub const BODY_BYTES_MAX: usize = 512 << 10;
/// Of one listing; buckets that have no room come with the next one.
const IDS_MAX: usize = 16_384;
const WANT_MAX: usize = 2048;
/// Entries of one exchange, together with their lengths.
const GIVE_BYTES_MAX: usize = 256 << 10;
const DIGESTS_BYTES: usize = BUCKETS * 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerError {
    Long,
    Garbled,
}

impl fmt::Display for PeerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerError::Long => write!(f, "longer than {BODY_BYTES_MAX} bytes"),
            PeerError::Garbled => f.write_str("not what a node tells of its memory"),
        }
    }
}

impl std::error::Error for PeerError {}

/// The ids of some buckets, and whether each is forgotten; a bucket may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing(pub BTreeMap<u8, Vec<(FactId, bool)>>);

/// What one wants and what it gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    pub want: Vec<FactId>,
    pub give: Vec<Entry>,
}

/// The answer to an exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given(pub Vec<Entry>);

/// Takes some bytes from the beginning.
fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], PeerError> {
    let (first, rest) = bytes.split_first_chunk().ok_or(PeerError::Garbled)?;
    *bytes = rest;
    Ok(*first)
}

fn within(bytes: &[u8]) -> Result<&[u8], PeerError> {
    if bytes.len() > BODY_BYTES_MAX { Err(PeerError::Long) } else { Ok(bytes) }
}

impl Digests {
    pub fn read(bytes: &[u8]) -> Result<Digests, PeerError> {
        let mut rest = within(bytes)?;
        if bytes.len() != DIGESTS_BYTES {
            return Err(PeerError::Garbled);
        }
        let mut digests = Digests([0; BUCKETS]);
        for sum in &mut digests.0 {
            *sum = u128::from_le_bytes(take(&mut rest)?);
        }
        Ok(digests)
    }

    pub fn write(&self) -> Vec<u8> {
        self.0.iter().flat_map(|sum| sum.to_le_bytes()).collect()
    }
}

impl Listing {
    /// What a book says to another's sums; nothing where both know the same.
    pub fn of(book: &Book, theirs: &Digests) -> Listing {
        let (mut listing, mut n_ids) = (Listing::default(), 0);
        let differing =
            book.digests().0.iter().zip(&theirs.0).enumerate().filter(|(_, (own, their))| own != their);
        for (bucket, _) in differing {
            let bucket = bucket as u8;
            let mut ids = book.ids(bucket);
            ids.truncate(IDS_MAX);
            n_ids += ids.len();
            if n_ids > IDS_MAX {
                break;
            }
            listing.0.insert(bucket, ids);
        }
        listing
    }

    pub fn read(bytes: &[u8]) -> Result<Listing, PeerError> {
        let mut rest = within(bytes)?;
        let mut listing = Listing::default();
        while !rest.is_empty() {
            let [of] = take(&mut rest)?;
            let n = u32::from_le_bytes(take(&mut rest)?) as usize;
            if n > IDS_MAX || n * 17 > rest.len() {
                return Err(PeerError::Garbled);
            }
            let mut ids = Vec::with_capacity(n);
            for _ in 0..n {
                let (id, [flag]) = (FactId(take(&mut rest)?), take(&mut rest)?);
                if bucket(&id) != usize::from(of) || flag > 1 {
                    return Err(PeerError::Garbled);
                }
                ids.push((id, flag == 1));
            }
            let is_behind = listing.0.last_key_value().is_none_or(|(last, _)| *last < of);
            if !is_behind {
                return Err(PeerError::Garbled);
            }
            listing.0.insert(of, ids);
        }
        Ok(listing)
    }

    pub fn write(&self) -> Vec<u8> {
        let mut bytes = vec![];
        for (bucket, ids) in &self.0 {
            bytes.push(*bucket);
            bytes.extend((ids.len() as u32).to_le_bytes());
            for (id, is_forgotten) in ids {
                bytes.extend(id.0);
                bytes.push(u8::from(*is_forgotten));
            }
        }
        bytes
    }
}

fn read_entries(mut rest: &[u8]) -> Result<Vec<Entry>, PeerError> {
    let mut entries = vec![];
    while !rest.is_empty() {
        let length = usize::from(u16::from_le_bytes(take(&mut rest)?));
        let (entry, after) = rest.split_at_checked(length).ok_or(PeerError::Garbled)?;
        entries.push(Entry::read(entry).map_err(|_| PeerError::Garbled)?);
        rest = after;
    }
    Ok(entries)
}

fn write_entries(entries: &[Entry], to: &mut Vec<u8>) {
    const { assert!(ENTRY_BYTES_MAX <= u16::MAX as usize) };
    for entry in entries {
        let bytes = entry.write();
        to.extend((bytes.len() as u16).to_le_bytes());
        to.extend(bytes);
    }
}

impl Exchange {
    pub fn read(bytes: &[u8]) -> Result<Exchange, PeerError> {
        let mut rest = within(bytes)?;
        let n = u32::from_le_bytes(take(&mut rest)?) as usize;
        if n > WANT_MAX || n * 16 > rest.len() {
            return Err(PeerError::Garbled);
        }
        let mut want = Vec::with_capacity(n);
        for _ in 0..n {
            want.push(FactId(take(&mut rest)?));
        }
        Ok(Exchange { want, give: read_entries(rest)? })
    }

    pub fn write(&self) -> Vec<u8> {
        let mut bytes = (self.want.len() as u32).to_le_bytes().to_vec();
        bytes.extend(self.want.iter().flat_map(|id| id.0));
        write_entries(&self.give, &mut bytes);
        bytes
    }

    pub fn is_empty(&self) -> bool {
        self.want.is_empty() && self.give.is_empty()
    }
}

impl Given {
    pub fn read(bytes: &[u8]) -> Result<Given, PeerError> {
        Ok(Given(read_entries(within(bytes)?)?))
    }

    pub fn write(&self) -> Vec<u8> {
        let mut bytes = vec![];
        write_entries(&self.0, &mut bytes);
        bytes
    }
}

/// What a listing means for a book: what to take at once, because an id says all of it, and what to exchange.
pub fn difference(book: &Book, theirs: &Listing) -> (Vec<Entry>, Exchange) {
    let (mut learn, mut exchange, mut n_bytes) = (vec![], Exchange::default(), 0);
    for (bucket, ids) in &theirs.0 {
        let theirs: BTreeMap<FactId, bool> = ids.iter().copied().collect();
        for (id, is_forgotten) in &theirs {
            match is_forgotten {
                true if !book.is_forgotten(id) => learn.push(Entry::Forget(*id)),
                false if book.entry(id).is_none() && exchange.want.len() < WANT_MAX => {
                    exchange.want.push(*id)
                }
                _ => {}
            }
        }
        let lacks = |(id, is_forgotten): &(FactId, bool)| match theirs.get(id) {
            None => true,
            Some(is_forgotten_there) => *is_forgotten && !is_forgotten_there,
        };
        for entry in book.ids(*bucket).iter().filter(|id| lacks(id)).filter_map(|(id, _)| book.entry(id)) {
            n_bytes += 2 + entry.n_bytes();
            if n_bytes > GIVE_BYTES_MAX {
                return (learn, exchange);
            }
            exchange.give.push(entry);
        }
    }
    (learn, exchange)
}

/// What a book has of what another wants, as much as goes into one answer.
pub fn give(book: &Book, want: &[FactId]) -> Given {
    let mut n_bytes = 0;
    let entries = want.iter().filter_map(|id| book.entry(id)).take_while(|entry| {
        n_bytes += 2 + entry.n_bytes();
        n_bytes <= GIVE_BYTES_MAX
    });
    Given(entries.collect())
}
