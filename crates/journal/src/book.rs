//! What is known: facts by id, and the ids of those that are forgotten, which never come back.
//!
//! Two books are compared by 256 sums of hashes, one for each first byte of an id: a sum that is the same on both sides
//! says that all of its ids are.

use crate::entry::{Entry, Fact, FactId};
use std::collections::{BTreeMap, BTreeSet};

/// More are not searched in a moment, and do not fit beside models.
pub const FACTS_MAX: usize = 100_000;
pub const FORGOTTEN_MAX: usize = 1_000_000;
pub const BUCKETS: usize = 256;

/// The sums of a book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digests(pub [u128; BUCKETS]);

#[derive(Clone, Debug)]
pub struct Book {
    facts: BTreeMap<FactId, Fact>,
    forgotten: BTreeSet<FactId>,
    digests: Digests,
}

impl Default for Book {
    fn default() -> Book {
        Book { facts: BTreeMap::new(), forgotten: BTreeSet::new(), digests: Digests([0; BUCKETS]) }
    }
}

/// What one id adds to its sum.
fn mark(id: &FactId, is_forgotten: bool) -> u128 {
    let mut hasher = blake3::Hasher::new_derive_key("duet journal, one id of a book");
    let hash = hasher.update(&id.0).update(&[u8::from(is_forgotten)]).finalize();
    u128::from_le_bytes(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes"))
}

pub fn bucket(id: &FactId) -> usize {
    usize::from(id.0[0])
}

impl Book {
    /// Whether an entry says something new.
    pub fn is_news(&self, entry: &Entry) -> bool {
        match entry {
            Entry::Fact(fact) => !self.facts.contains_key(&fact.id) && !self.forgotten.contains(&fact.id),
            Entry::Forget(id) => !self.forgotten.contains(id),
        }
    }

    /// Whether there is room for one more, beyond `n` that wait.
    pub fn has_room(&self, entry: &Entry, n: usize) -> bool {
        match entry {
            Entry::Fact(_) => self.facts.len() + n < FACTS_MAX,
            Entry::Forget(_) => self.forgotten.len() + n < FORGOTTEN_MAX,
        }
    }

    /// Says whether it was news.
    pub fn take(&mut self, entry: Entry) -> bool {
        if !self.is_news(&entry) {
            return false;
        }
        let id = entry.id();
        let sum = &mut self.digests.0[bucket(&id)];
        match entry {
            Entry::Fact(fact) => {
                *sum ^= mark(&id, false);
                self.facts.insert(id, fact);
            }
            Entry::Forget(id) => {
                if self.facts.remove(&id).is_some() {
                    *sum ^= mark(&id, false);
                }
                *sum ^= mark(&id, true);
                self.forgotten.insert(id);
            }
        }
        true
    }

    pub fn fact(&self, id: &FactId) -> Option<&Fact> {
        self.facts.get(id)
    }

    pub fn facts(&self) -> impl ExactSizeIterator<Item = &Fact> {
        self.facts.values()
    }

    pub fn is_forgotten(&self, id: &FactId) -> bool {
        self.forgotten.contains(id)
    }

    pub fn n_forgotten(&self) -> usize {
        self.forgotten.len()
    }

    pub fn digests(&self) -> &Digests {
        &self.digests
    }

    /// The ids of one bucket, and whether each is forgotten.
    pub fn ids(&self, bucket: u8) -> Vec<(FactId, bool)> {
        let [mut first, mut last] = [[0; 16], [255; 16]];
        (first[0], last[0]) = (bucket, bucket);
        let range = FactId(first)..=FactId(last);
        let known = self.facts.range(range.clone()).map(|(id, _)| (*id, false));
        known.chain(self.forgotten.range(range).map(|id| (*id, true))).collect()
    }

    /// What there is to tell of an id.
    pub fn entry(&self, id: &FactId) -> Option<Entry> {
        let fact = self.facts.get(id).cloned().map(Entry::Fact);
        fact.or_else(|| self.forgotten.contains(id).then_some(Entry::Forget(*id)))
    }
}
