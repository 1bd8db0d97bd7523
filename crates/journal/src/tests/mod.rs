//! Journals on a disk that loses what was not synced, fills up and rots; and nodes that lose power and each other.

mod disk;
mod peers;
mod power;
mod spoiled;

use crate::entry::{Entry, Fact, FactId};
use crate::journal::{Limits, Trouble};
use crate::store::Store;
use disk::{Dice, Disk};

/// So small that segments follow each other soon.
const LIMITS: Limits = Limits { segment_bytes: 700, journal_bytes: 1 << 20 };

fn id(n: u64) -> FactId {
    let hash = blake3::hash(&n.to_le_bytes());
    FactId(*hash.as_bytes().first_chunk().unwrap())
}

/// A text that is found again in any file.
fn text(n: u64) -> String {
    format!("fact-{n:06}-of-the-home")
}

fn fact(n: u64) -> Entry {
    let salt = *blake3::hash(&(!n).to_le_bytes()).as_bytes().first_chunk().unwrap();
    Entry::Fact(Fact { id: id(n), salt, told_s: 1_800_000_000 + n, node: 7, text: text(n) })
}

fn forget(n: u64) -> Entry {
    Entry::Forget(id(n))
}

fn open(disk: Disk) -> (Store<Disk>, Vec<Trouble>) {
    let store = Store::open(disk, LIMITS).unwrap();
    let troubles = store.troubles().to_vec();
    (store, troubles)
}
