//! In which facts each word occurs, in memory, and how that is laid down: a row for each fact; pure.
//!
//! A row for each word of each fact cost sled 52 s for 20,000 facts and 76 MiB of memory; a row for each fact costs what
//! `agent memory bench` says, and is whole or not there.

use super::words::stems;
use journal::{Book, FactId};
use std::collections::BTreeMap;

/// How often a word counts in one fact.
const TIMES_MAX: usize = 255;

/// The words of one fact.
#[derive(Debug, PartialEq, Eq)]
pub struct Counted {
    n: u16,
    /// How often each occurs.
    stems: BTreeMap<String, u8>,
}

impl Counted {
    pub fn of(text: &str) -> Counted {
        let all = stems(text);
        let n = all.len().min(usize::from(u16::MAX)) as u16;
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        all.into_iter().for_each(|stem| *counts.entry(stem).or_default() += 1);
        let stems = counts.into_iter().map(|(stem, times)| (stem, times.min(TIMES_MAX) as u8)).collect();
        Counted { n, stems }
    }

    /// The number of words; then of each its times, its length and its letters.
    pub fn row(&self) -> Vec<u8> {
        let mut row = self.n.to_le_bytes().to_vec();
        for (stem, times) in &self.stems {
            // A text is far shorter than what the length can say.
            let length = stem.len().min(usize::from(u16::MAX)) as u16;
            row.push(*times);
            row.extend(length.to_le_bytes());
            row.extend(&stem.as_bytes()[..length.into()]);
        }
        row
    }

    /// Nothing for what is no row.
    pub fn read(row: &[u8]) -> Option<Counted> {
        let (n, mut rest) = row.split_first_chunk::<2>()?;
        let mut stems = BTreeMap::new();
        while let Some((times, after)) = rest.split_first() {
            let (length, after) = after.split_first_chunk::<2>()?;
            let (stem, after) = after.split_at_checked(u16::from_le_bytes(*length).into())?;
            let stem = std::str::from_utf8(stem).ok().filter(|stem| !stem.is_empty())?;
            stems.insert(stem.to_owned(), *times);
            rest = after;
        }
        Some(Counted { n: u16::from_le_bytes(*n), stems })
    }
}

/// Facts by their words. One that is gone stays until all is made anew, so whoever finds it asks the book.
#[derive(Debug, Default)]
pub struct Postings {
    ids: Vec<FactId>,
    lengths: Vec<u16>,
    places: BTreeMap<FactId, u32>,
    /// Of each stem the places of the facts that have it, and how often.
    stems: BTreeMap<String, Vec<(u32, u8)>>,
    n_stems: u64,
}

impl Postings {
    /// Of all facts, for a search without an index.
    pub fn of(book: &Book) -> Postings {
        let mut all = Postings::default();
        book.facts().for_each(|fact| all.put(fact.id, Counted::of(&fact.text)));
        all
    }

    /// A fact that is there already stays as it is.
    pub fn put(&mut self, id: FactId, counted: Counted) {
        let place = self.ids.len() as u32;
        if self.has(&id) {
            return;
        }
        for (stem, times) in counted.stems {
            self.stems.entry(stem).or_default().push((place, times));
        }
        self.ids.push(id);
        self.lengths.push(counted.n);
        self.places.insert(id, place);
        self.n_stems += u64::from(counted.n);
    }

    pub fn has(&self, id: &FactId) -> bool {
        self.places.contains_key(id)
    }

    pub fn ids(&self) -> &[FactId] {
        &self.ids
    }

    /// The facts with this stem, how often each has it, and how many words it has.
    pub fn with(&self, stem: &str) -> impl ExactSizeIterator<Item = (FactId, u8, u16)> {
        let found = self.stems.get(stem).map_or(&[][..], Vec::as_slice);
        found.iter().map(|(place, times)| {
            let place = *place as usize;
            (self.ids[place], *times, self.lengths[place])
        })
    }

    /// Words of a fact, on average.
    pub fn mean_length(&self) -> f64 {
        self.n_stems as f64 / self.ids.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_as_it_was_written_and_no_other_bytes_are_one() {
        for text in ["the bin goes out on Tuesday, the bin", "", "42 Schlüssel"] {
            let counted = Counted::of(text);
            let row = counted.row();
            assert_eq!(Counted::read(&row).as_ref(), Some(&counted), "{text}");
            for cut in 0..row.len() {
                // A row may end after a word only.
                let shorter = Counted::read(&row[..cut]);
                assert!(
                    shorter.is_none_or(|shorter| shorter.stems.len() < counted.stems.len()),
                    "{text} {cut}"
                );
            }
        }
        for row in
            [&[][..], &[1], &[1, 0, 1], &[1, 0, 1, 9, 0, b'a'], &[1, 0, 1, 0, 0], &[1, 0, 1, 1, 0, 0xff]]
        {
            assert_eq!(Counted::read(row), None, "{row:?}");
        }
    }

    #[test]
    fn facts_are_found_by_their_words() {
        let (first, second) = (FactId([1; 16]), FactId([2; 16]));
        let mut all = Postings::default();
        all.put(first, Counted::of("lamp lamp kitchen"));
        all.put(second, Counted::of("lamp"));
        all.put(second, Counted::of("kitchen"));
        assert_eq!(all.with("lamp").collect::<Vec<_>>(), [(first, 2, 3), (second, 1, 1)]);
        assert_eq!((all.with("cellar").len(), all.mean_length()), (0, 2.0));
    }
}
