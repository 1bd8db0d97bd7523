//! What a home remembers: facts that persons told, in a journal that power cuts cannot hurt, the same on every node.
//!
//! `record` and `segment` are the bytes, `journal` writes and mends them, `entry` and `book` are what they mean, `store`
//! holds both together; `peer` is what two nodes say to each other until they know the same, `reach` when they do, and
//! `saved` is the file that the owner saves and loads.
//! It touches no file and no socket, reads no clock and draws no random numbers: [`Storage`] is handed in.
//!
//! Facts never change, and what is forgotten stays forgotten. So two nodes that were apart need no common history: each
//! takes what it lacks, in any order, and both know the same. A chain is therefore one node's own, and says whether its
//! storage kept what was written.

#![forbid(unsafe_code)]

mod book;
mod crc;
mod entry;
mod journal;
mod peer;
mod reach;
mod record;
mod saved;
mod segment;
mod storage;
mod store;
#[cfg(test)]
mod tests;

pub use book::{BUCKETS, Book, Digests, FACTS_MAX, FORGOTTEN_MAX};
pub use entry::{ENTRY_BYTES_MAX, Entry, EntryError, Fact, FactId, TEXT_BYTES_MAX};
pub use journal::{Journal, JournalError, Limits, Opened, Trouble};
pub use peer::{BODY_BYTES_MAX, Exchange, Given, Listing, PeerError, difference, give};
pub use reach::{Ended, Reach};
pub use record::{Chain, Kind, PAYLOAD_BYTES_MAX, Record, RecordError};
pub use saved::{Loaded, SAVED_BYTES_MAX, SavedError, load, save};
pub use segment::{HEAD_BYTES, Part, SEGMENT_BYTES_MAX, Scan, scan};
pub use storage::Storage;
pub use store::{Learned, Store, StoreError};
