//! Finds passages by their words: BM25 over paragraphs, without a model.

use crate::cut;
use std::collections::BTreeMap;

/// A paragraph that is longer is cut into several.
pub const PASSAGE_BYTES_MAX: usize = 800;
pub const PASSAGES_MAX: usize = 40_000;
const WORDS_MAX: usize = 24;
/// How soon a word that comes often stops counting, and how much long passages are held back: the usual numbers.
const K1: f64 = 1.2;
const B: f64 = 0.75;

#[derive(Clone, Debug, PartialEq)]
pub struct Found<'a> {
    pub document: &'a str,
    pub text: &'a str,
    pub score: f64,
}

/// The best passages, best first; each document is a name and a text.
pub fn search<'a>(documents: &[(&'a str, &'a str)], query: &str, n_max: usize) -> Vec<Found<'a>> {
    let mut wanted: Vec<String> = words(query).take(WORDS_MAX).collect();
    wanted.sort();
    wanted.dedup();
    let all = documents.iter().flat_map(|(name, text)| passages(text).map(move |passage| (*name, passage)));
    let mut counted = vec![];
    let (mut with_word, mut n_words) = (vec![0usize; wanted.len()], 0);
    for (document, text) in all.take(PASSAGES_MAX) {
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        let mut length = 0;
        // The name of a document says what it is about, and counts once.
        for word in words(text).chain(words(document)) {
            length += 1;
            if let Ok(idx) = wanted.binary_search(&word) {
                *counts.entry(idx).or_default() += 1;
            }
        }
        counts.keys().for_each(|idx| with_word[*idx] += 1);
        n_words += length;
        counted.push((document, text, counts, length));
    }
    let n = counted.len() as f64;
    let mean = (n_words as f64 / n.max(1.0)).max(1.0);
    let weight = |idx: usize| {
        let has = with_word[idx] as f64;
        (1.0 + (n - has + 0.5) / (has + 0.5)).ln()
    };
    let mut found: Vec<Found<'a>> = counted
        .into_iter()
        .filter(|(_, _, counts, _)| !counts.is_empty())
        .map(|(document, text, counts, length)| {
            let long = 1.0 - B + B * length as f64 / mean;
            let of = |(idx, count): (usize, usize)| {
                let count = count as f64;
                weight(idx) * count * (K1 + 1.0) / (count + K1 * long)
            };
            Found { document, text, score: counts.into_iter().map(of).sum() }
        })
        .collect();
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    found.truncate(n_max);
    found
}

/// Words of one letter say nothing, and endings differ: the first letters of a long word are enough.
fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    const STEM_LETTERS: usize = 7;
    let pieces = text.split(|letter: char| !letter.is_alphanumeric());
    pieces.filter(|word| word.len() > 1).map(|word| word.to_lowercase().chars().take(STEM_LETTERS).collect())
}

/// Paragraphs, and pieces of those that are too long.
fn passages(text: &str) -> impl Iterator<Item = &str> {
    let paragraphs = text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty());
    paragraphs.flat_map(|paragraph| {
        let mut rest = paragraph;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let piece = cut(rest, PASSAGE_BYTES_MAX);
            // Between two words, where there are words.
            let end = match piece.len() < rest.len() {
                true => piece.rfind(char::is_whitespace).filter(|end| *end > 0).unwrap_or(piece.len()),
                false => piece.len(),
            };
            let (piece, after) = rest.split_at(end);
            rest = after.trim_start();
            Some(piece)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENTS: [(&str, &str); 3] = [
        ("house/heating.md", "# Heating\n\nThe pressure must be 1.5 bar.\n\nTurn the red valve to bleed it."),
        ("house/keys.txt", "The key of the cellar lies under the third pot."),
        ("recipes.md", "Bake the bread for 40 minutes."),
    ];

    #[track_caller]
    fn check(query: &str, want: &str) {
        let found = search(&DOCUMENTS, query, 3);
        assert!(found.first().is_some_and(|first| first.text.contains(want)), "{query}: {found:?}");
    }

    #[test]
    fn the_passage_with_the_rarest_words_comes_first() {
        check("which pressure does the heating need", "1.5 bar");
        check("the KEY of the cellar", "third pot");
        check("bleed which valve", "red valve");
        assert!(search(&DOCUMENTS, "zebra", 3).is_empty() && search(&DOCUMENTS, "", 3).is_empty());
        assert!(search(&[], "key", 3).is_empty());
        assert_eq!(search(&DOCUMENTS, "the", 1).len(), 1);
    }

    #[test]
    fn long_paragraphs_are_cut_between_words_and_nothing_is_lost() {
        let text = "äpfel und birnen ".repeat(200);
        let pieces: Vec<&str> = passages(&text).collect();
        assert!(pieces.len() > 3 && pieces.iter().all(|piece| piece.len() <= PASSAGE_BYTES_MAX));
        assert_eq!(pieces.join(" "), text.trim());
        assert_eq!(passages(&"é".repeat(1000)).map(str::len).sum::<usize>(), 2000);
    }
}
