//! Vectors of facts, searched one after the other: exact, and soon enough up to 100,000; pure.
//!
//! A number is a byte: 384 of them for each of 100,000 facts are 38 MB, and the order of the best changes hardly.

use journal::FactId;
use std::collections::{BTreeMap, BinaryHeap};

/// Longest vector that is taken.
pub const DIMENSIONS_MAX: usize = 2048;

/// All vectors of one model, which have one length.
#[derive(Debug, Default)]
pub struct Vectors {
    n_dimensions: usize,
    ids: Vec<FactId>,
    places: BTreeMap<FactId, usize>,
    bytes: Vec<i8>,
}

/// A vector of length 1 in bytes of its own scale; nothing for one that says nothing.
pub fn quantize(vector: &[f32]) -> Option<Vec<i8>> {
    let max = vector.iter().fold(0.0f32, |max, x| max.max(x.abs()));
    let is_good = (1..=DIMENSIONS_MAX).contains(&vector.len()) && max.is_finite() && max > 0.0;
    is_good.then(|| vector.iter().map(|x| (x / max * 127.0).round() as i8).collect())
}

fn dot(a: &[i8], b: &[i8]) -> i32 {
    // 2048 products of at most 127 * 127 fit.
    a.iter().zip(b).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}

impl Vectors {
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    pub fn has(&self, id: &FactId) -> bool {
        self.places.contains_key(id)
    }

    pub fn all(&self) -> impl Iterator<Item = (FactId, &[i8])> {
        self.ids.iter().copied().zip(self.bytes.chunks_exact(self.n_dimensions.max(1)))
    }

    /// Says whether it fits beside the others.
    pub fn put(&mut self, id: FactId, vector: &[i8]) -> bool {
        if self.ids.is_empty() {
            self.n_dimensions = vector.len();
        }
        if vector.len() != self.n_dimensions || vector.is_empty() {
            return false;
        }
        match self.places.get(&id) {
            Some(place) => {
                let at = place * self.n_dimensions;
                self.bytes[at..at + self.n_dimensions].copy_from_slice(vector);
            }
            None => {
                self.places.insert(id, self.ids.len());
                self.ids.push(id);
                self.bytes.extend(vector);
            }
        }
        true
    }

    /// The nearest, best first, with the cosine of the angle between.
    pub fn nearest(&self, to: &[i8], n: usize) -> Vec<(FactId, f32)> {
        if to.len() != self.n_dimensions || n == 0 {
            return vec![];
        }
        let own = (dot(to, to) as f32).sqrt();
        let mut best: BinaryHeap<(std::cmp::Reverse<Score>, usize)> = BinaryHeap::new();
        for (idx, vector) in self.bytes.chunks_exact(self.n_dimensions).enumerate() {
            let length = (dot(vector, vector) as f32).sqrt();
            let score = Score(dot(to, vector) as f32 / (own * length).max(1.0));
            best.push((std::cmp::Reverse(score), idx));
            if best.len() > n {
                best.pop();
            }
        }
        let sorted = best.into_sorted_vec();
        sorted.into_iter().map(|(std::cmp::Reverse(Score(score)), idx)| (self.ids[idx], score)).collect()
    }
}

#[derive(Clone, Copy, PartialEq)]
struct Score(f32);

impl Eq for Score {}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Score) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Score) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Dice (xorshift64*), as numbers from -1 to 1.
    fn dice(seed: &mut u64) -> f32 {
        *seed ^= *seed >> 12;
        *seed ^= *seed << 25;
        *seed ^= *seed >> 27;
        (seed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn id(n: usize) -> FactId {
        FactId((n as u128).to_be_bytes())
    }

    fn cosine(a: &[f32], b: &[f32]) -> f32 {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    }

    #[test]
    fn bytes_find_what_whole_numbers_find() {
        let mut seed = 5;
        let mut vector = || (0..384).map(|_| dice(&mut seed)).collect::<Vec<f32>>();
        let all: Vec<Vec<f32>> = (0..500).map(|_| vector()).collect();
        let mut vectors = Vectors::default();
        for (n, vector) in all.iter().enumerate() {
            assert!(vectors.put(id(n), &quantize(vector).unwrap()));
        }
        let mut n_same = 0;
        for _ in 0..50 {
            let question = vector();
            let found = vectors.nearest(&quantize(&question).unwrap(), 5);
            let best = (0..all.len())
                .max_by(|a, b| cosine(&all[*a], &question).total_cmp(&cosine(&all[*b], &question)));
            n_same += usize::from(found.iter().any(|(found, _)| Some(*found) == best.map(id)));
            assert!(found.windows(2).all(|two| two[0].1 >= two[1].1));
        }
        assert_eq!(n_same, 50);
    }

    #[test]
    fn what_is_put_again_takes_its_own_place_and_no_other_length_is_taken() {
        let mut vectors = Vectors::default();
        let axis = |n: usize| (0..10).map(|at| if at == n { 1.0 } else { 0.1 }).collect::<Vec<f32>>();
        for n in 0..9 {
            assert!(vectors.put(id(n), &quantize(&axis(n)).unwrap()));
        }
        assert!(vectors.put(id(3), &quantize(&axis(9)).unwrap()));
        for n in (0..10).filter(|n| *n != 3) {
            let found = vectors.nearest(&quantize(&axis(n)).unwrap(), 1)[0].0;
            assert_eq!(found, id(if n == 9 { 3 } else { n }), "{n}");
        }
        assert_eq!(vectors.len(), 9);
        assert!(!vectors.put(id(3), &[1; 9]) && quantize(&[0.0; 4]).is_none());
    }
}
