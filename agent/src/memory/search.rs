//! Finds facts: by meaning where a model made vectors, else by words; pure but for the index that it reads.
//!
//! Words are weighed by BM25 (Robertson and Zaragoza, 2009, section 3.4): rare ones say more, and short facts that have
//! them are nearer. Where both are known, places in both lists count (reciprocal rank fusion, Cormack and others, 2009).

use super::index::Index;
use super::postings::Postings;
use super::words::stems;
use journal::{Book, FactId};
use std::collections::BTreeMap;

const K1: f64 = 1.2;
const B: f64 = 0.75;
/// Where lists are joined, the first places shall not count all alone.
const FUSION: f64 = 60.0;
/// Facts of each list that are joined.
const JOINED: usize = 50;
/// Vectors that are less alike than this say nothing.
const COSINE_MIN: f32 = 0.35;
/// Words of a question.
const STEMS_MAX: usize = 32;

#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    pub id: FactId,
    /// Higher is better; to be compared within one search.
    pub score: f64,
    /// What part of the question's words the fact has.
    pub cover: f64,
    /// A model says that it means the same.
    pub is_near: bool,
}

/// The best by words, at most `n`. Without an index the whole book is read.
pub fn by_words(book: &Book, index: Option<&Index>, question: &str, n: usize) -> Vec<Hit> {
    let mut asked = stems(question);
    asked.sort();
    asked.dedup();
    asked.truncate(STEMS_MAX);
    let own;
    let words = match index {
        Some(index) => index.words(),
        None => {
            own = Postings::of(book);
            &own
        }
    };
    let n_facts = words.ids().len().max(1) as f64;
    let mean = words.mean_length().max(1.0);
    let mut found: BTreeMap<FactId, (f64, usize)> = BTreeMap::new();
    for stem in &asked {
        let postings = words.with(stem);
        let n_with = postings.len() as f64;
        let weight = ((n_facts - n_with + 0.5) / (n_with + 0.5) + 1.0).ln();
        for (id, times, length) in postings {
            let times = f64::from(times);
            let long = 1.0 - B + B * f64::from(length) / mean;
            let (score, n_stems) = found.entry(id).or_default();
            *score += weight * times * (K1 + 1.0) / (times + K1 * long);
            *n_stems += 1;
        }
    }
    let all = asked.len().max(1) as f64;
    let hits = found.into_iter().filter(|(id, _)| book.fact(id).is_some());
    let hits =
        hits.map(|(id, (score, n_stems))| Hit { id, score, cover: n_stems as f64 / all, is_near: false });
    best(hits.collect(), n)
}

/// The best by words and by vectors together. A word or two that a question happens to share say little beside a model's
/// word, so a place among the words counts for the part of the question that the fact has.
pub fn by_both(words: Vec<Hit>, near: &[(FactId, f32)], n: usize) -> Vec<Hit> {
    let mut joined: BTreeMap<FactId, Hit> = BTreeMap::new();
    let near = near.iter().filter(|(_, cosine)| *cosine >= COSINE_MIN);
    let near: Vec<Hit> = near.map(|(id, _)| Hit { id: *id, score: 0.0, cover: 0.0, is_near: true }).collect();
    for list in [words, near] {
        for (place, hit) in list.into_iter().take(JOINED).enumerate() {
            let known = joined.entry(hit.id).or_insert(Hit { score: 0.0, ..hit.clone() });
            let weight = if hit.is_near { 1.0 } else { hit.cover };
            known.score += weight / (FUSION + place as f64);
            known.is_near |= hit.is_near;
        }
    }
    best(joined.into_values().collect(), n)
}

fn best(mut hits: Vec<Hit>, n: usize) -> Vec<Hit> {
    hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
    hits.truncate(n);
    hits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cover: f64, want: [u8; 2]) {
        let id = |n: u8| FactId([n; 16]);
        let words = vec![Hit { id: id(1), score: 9.0, cover, is_near: false }];
        let found = by_both(words, &[(id(2), 0.6), (id(3), 0.5), (id(4), COSINE_MIN - 0.1)], 2);
        assert_eq!(found.iter().map(|hit| hit.id).collect::<Vec<_>>(), want.map(id), "{cover}");
    }

    #[test]
    fn words_count_beside_vectors_for_as_much_as_they_cover() {
        check(1.0, [1, 2]);
        check(0.2, [2, 3]);
    }
}
