//! A book in its journal: what is learned is durable before it is known, and what is forgotten leaves the files.

use crate::book::Book;
use crate::entry::{Entry, EntryError, FactId};
use crate::journal::{Journal, JournalError, Limits, Opened, Trouble};
use crate::storage::Storage;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Entries of one commit, together.
const COMMIT_BYTES_MAX: usize = 256 << 10;

#[derive(Debug)]
pub enum StoreError<E> {
    Journal(JournalError<E>),
    Entry(EntryError),
    /// No more facts, or no more that are forgotten.
    Full {
        n: usize,
    },
}

impl<E: fmt::Display> fmt::Display for StoreError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Journal(error) => error.fmt(f),
            StoreError::Entry(error) => error.fmt(f),
            StoreError::Full { n } => write!(f, "there are {n} already, and no room for more"),
        }
    }
}

impl<E: fmt::Display + fmt::Debug> std::error::Error for StoreError<E> {}

impl<E> From<JournalError<E>> for StoreError<E> {
    fn from(error: JournalError<E>) -> StoreError<E> {
        StoreError::Journal(error)
    }
}

/// What was new of what came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    pub facts: Vec<FactId>,
    pub forgotten: Vec<FactId>,
}

#[derive(Debug)]
pub struct Store<S> {
    journal: Journal<S>,
    book: Book,
    /// Where the facts lie, also those that are forgotten and still in a file.
    numbers: BTreeMap<FactId, u64>,
    stale: BTreeSet<u64>,
    troubles: Vec<Trouble>,
}

impl<S: Storage> Store<S> {
    pub fn open(storage: S, limits: Limits) -> Result<Store<S>, StoreError<S::Error>> {
        let Opened { journal, entries, troubles } = Journal::open(storage, limits)?;
        let (book, numbers, stale) = (Book::default(), BTreeMap::new(), BTreeSet::new());
        let mut store = Store { journal, book, numbers, stale, troubles };
        for (number, payload) in entries {
            match Entry::read(&payload) {
                Ok(entry) => store.know(number, entry),
                Err(_) => store.troubles.push(Trouble::Lost { first: number, n: 1 }),
            }
        }
        // A power cut came between what was forgotten and its erasing. If it fails, the next forgetting tries again.
        let _ = store.erase();
        Ok(store)
    }

    fn know(&mut self, number: u64, entry: Entry) {
        let id = entry.id();
        match &entry {
            Entry::Fact(_) if self.book.is_forgotten(&id) => _ = self.stale.insert(number),
            Entry::Fact(_) => _ = self.numbers.insert(id, number),
            Entry::Forget(_) => self.stale.extend(self.numbers.remove(&id)),
        }
        self.book.take(entry);
    }

    fn erase(&mut self) -> Result<(), StoreError<S::Error>> {
        if !self.stale.is_empty() {
            self.journal.erase(&self.stale)?;
            self.stale.clear();
        }
        Ok(())
    }

    /// Takes what is news. When it returns, all of it is durable, and what was forgotten is in no file any more.
    /// On an error some of it may be known already; to try again is right.
    pub fn learn(&mut self, entries: &[Entry]) -> Result<Learned, StoreError<S::Error>> {
        let mut learned = Learned::default();
        let mut waiting: Vec<(u64, Entry)> = vec![];
        let mut seen = BTreeSet::new();
        let mut n_bytes = 0;
        let facts = entries.iter().filter_map(|entry| match entry {
            Entry::Fact(fact) => Some(fact),
            Entry::Forget(_) => None,
        });
        facts.map(|fact| fact.check()).find(Result::is_err).unwrap_or(Ok(())).map_err(StoreError::Entry)?;
        for entry in entries {
            let is_fact = matches!(entry, Entry::Fact(_));
            if !self.book.is_news(entry) || !seen.insert((entry.id(), is_fact)) {
                continue;
            }
            if !self.book.has_room(entry, waiting.len()) {
                self.settle(&mut waiting, &mut learned)?;
                let n = if is_fact { self.book.facts().len() } else { self.book.n_forgotten() };
                return Err(StoreError::Full { n });
            }
            n_bytes += entry.n_bytes();
            waiting.push((self.journal.append(&entry.write()), entry.clone()));
            if n_bytes >= COMMIT_BYTES_MAX {
                self.settle(&mut waiting, &mut learned)?;
                n_bytes = 0;
            }
        }
        self.settle(&mut waiting, &mut learned)?;
        self.erase()?;
        learned.facts.retain(|id| self.book.fact(id).is_some());
        Ok(learned)
    }

    fn settle(
        &mut self,
        waiting: &mut Vec<(u64, Entry)>,
        learned: &mut Learned,
    ) -> Result<(), StoreError<S::Error>> {
        self.journal.commit()?;
        for (number, entry) in waiting.drain(..) {
            match &entry {
                Entry::Fact(fact) => learned.facts.push(fact.id),
                Entry::Forget(id) => learned.forgotten.push(*id),
            }
            self.know(number, entry);
        }
        Ok(())
    }

    /// What was wrong at the start, and is mended.
    pub fn troubles(&self) -> &[Trouble] {
        &self.troubles
    }

    pub fn book(&self) -> &Book {
        &self.book
    }

    pub fn journal(&self) -> &Journal<S> {
        &self.journal
    }

    pub fn storage(&mut self) -> &mut S {
        self.journal.storage()
    }
}
