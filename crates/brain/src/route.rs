//! Who should answer: by the words of a question, by the nearest example, or as a small model says under a grammar.
//!
//! Each way gives its reason. Where none is sure, nobody is chosen, and whoever asked takes the general expert.
//! The figures below were chosen on `agent/routing/sentences.tsv`, and are measured on other sentences (`held-out.tsv`).

use crate::{Message, Persona, Role};
use std::collections::{BTreeMap, BTreeSet};

/// How near an example must be, of 1 for the same words.
const WORDS_LEAST: f32 = 0.25;
/// The same for vectors: unrelated sentences are at about 0.
const VECTORS_LEAST: f32 = 0.15;
/// Nearest examples that are asked together: one alone may be an accident.
const NEAREST: usize = 3;
/// A word that no example has says little, and counts so much.
const UNKNOWN: f32 = 0.7;
/// What a keyword adds to the likeness of an expert: more than most examples do, because a person chose it.
const KEYWORD: f32 = 0.6;
/// Examples of each expert that a small model is shown, as questions that were answered. Without any one of 135 million
/// weights is right as often as a die is; with four it is no better than with two, and twice as slow.
const SHOWN: usize = 2;

#[derive(Clone, Debug, PartialEq)]
pub struct Chosen {
    pub expert: String,
    /// `because near to: "write a function"`.
    pub why: String,
    /// From 0 to about 1.
    pub likeness: f32,
}

/// An example and how alike it is.
struct Near<'a> {
    expert: &'a str,
    why: String,
    likeness: f32,
}

/// By words alone: rare ones count for more.
pub fn by_words(experts: &[&Persona], text: &str) -> Option<Chosen> {
    let asked = words(text);
    let examples: Vec<(&Persona, &String, Vec<String>)> = experts
        .iter()
        .flat_map(|expert| expert.examples.iter().map(|example| (*expert, example, words(example))))
        .collect();
    let weights = weights(experts.len(), &examples);
    let weight = |word: &String| weights.get(word).copied().unwrap_or(UNKNOWN);
    let length =
        |words: &[String]| words.iter().map(|word| weight(word).powi(2)).sum::<f32>().sqrt().max(0.1);
    let mut near = vec![];
    for (expert, example, words) in &examples {
        let shared: f32 =
            words.iter().filter(|word| asked.contains(word)).map(|word| weight(word).powi(2)).sum();
        let likeness = shared / (length(words) * length(&asked));
        near.push(Near { expert: &expert.name, why: format!("near to: {example:?}"), likeness });
    }
    near.extend(said(experts, text));
    chosen(near, WORDS_LEAST)
}

/// What each word says: rare ones more, and less those that many experts' examples have, such as `the`.
fn weights(n_experts: usize, examples: &[(&Persona, &String, Vec<String>)]) -> BTreeMap<String, f32> {
    let mut known: BTreeMap<&String, (usize, BTreeSet<&str>)> = BTreeMap::new();
    for (expert, _, words) in examples {
        for word in words {
            let (n, of) = known.entry(word).or_default();
            *n += 1;
            of.insert(&expert.name);
        }
    }
    let weight = |n: usize, n_of: usize| {
        let rare = ((examples.len() as f32 + 1.0) / (n as f32 + 0.5)).ln().max(0.0);
        rare * (n_experts as f32 + 0.5 - n_of as f32) / n_experts as f32
    };
    known.into_iter().map(|(word, (n, of))| (word.clone(), weight(n, of.len()))).collect()
}

/// The experts whose keywords are said.
fn said<'a>(experts: &[&'a Persona], text: &str) -> Vec<Near<'a>> {
    let text = words_in_order(text);
    let is_said = |keyword: &&String| {
        let keyword = words_in_order(keyword);
        !keyword.is_empty() && text.windows(keyword.len()).any(|some| some == keyword)
    };
    let mut near = vec![];
    for expert in experts {
        let said = expert.keywords.iter().find(is_said);
        near.extend(said.map(|keyword| Near {
            expert: &expert.name,
            why: format!("it says: {keyword:?}"),
            likeness: KEYWORD,
        }));
    }
    near
}

/// By vectors: those of each expert's examples, and that of the question, whose text may say a keyword.
pub fn by_vectors(
    experts: &[&Persona],
    vectors: &[Vec<Vec<f32>>],
    question: &[f32],
    text: &str,
) -> Option<Chosen> {
    let mut near = said(experts, text);
    for (expert, vectors) in experts.iter().zip(vectors) {
        for (example, vector) in expert.examples.iter().zip(vectors) {
            let likeness = cosine(vector, question);
            near.push(Near { expert: &expert.name, why: format!("near to: {example:?}"), likeness });
        }
    }
    chosen(near, VECTORS_LEAST)
}

/// What a small model is asked, as a talk in which examples were answered; it answers with one of the names.
/// Only the last of it changes from question to question, so a copy keeps the rest.
pub fn question(experts: &[&Persona], text: &str) -> Vec<Message> {
    let message = |role, text: String| Message { role, text };
    let mut talk = vec![];
    for n in 0..SHOWN {
        for expert in experts {
            let Some(example) = expert.examples.get(n) else { continue };
            talk.push(message(Role::Person, example.clone()));
            // As the grammar has it.
            talk.push(message(Role::Model, format!("\"{}\"", expert.name)));
        }
    }
    talk.push(message(Role::Person, text.to_owned()));
    let about: String = experts.iter().map(|expert| format!("{}: {}\n", expert.name, expert.about)).collect();
    if let Some(first) = talk.first_mut() {
        first.text = format!("Who should answer? Say one name.\n\n{about}\n{}", first.text);
    }
    talk
}

/// The expert whose nearest examples are nearest together; its reason is the nearest of them.
fn chosen(mut near: Vec<Near<'_>>, least: f32) -> Option<Chosen> {
    near.retain(|one| one.likeness.is_finite());
    near.sort_by(|a, b| b.likeness.total_cmp(&a.likeness).then(a.expert.cmp(b.expert)));
    let mut sums: BTreeMap<&str, (f32, usize)> = BTreeMap::new();
    for one in &near {
        let (sum, n) = sums.entry(one.expert).or_default();
        if *n < NEAREST {
            // The nearest counts whole, the next less.
            *sum += one.likeness / (1 << (2 * *n)) as f32;
            *n += 1;
        }
    }
    let (expert, _) = sums.into_iter().max_by(|(_, a), (_, b)| a.0.total_cmp(&b.0))?;
    let nearest = near.iter().find(|one| one.expert == expert)?;
    (nearest.likeness >= least).then(|| Chosen {
        expert: expert.to_owned(),
        why: format!("because {}", nearest.why),
        likeness: nearest.likeness,
    })
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    if a.len() != b.len() {
        return f32::NAN;
    }
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// The words of a text, each once, by their stems.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = words_in_order(text);
    words.sort();
    words.dedup();
    words
}

fn words_in_order(text: &str) -> Vec<String> {
    let parts = text.split(|letter: char| !letter.is_alphanumeric() && letter != '+' && letter != '#');
    parts.filter(|word| !word.is_empty()).map(|word| stem(&word.to_lowercase())).collect()
}

/// Roughly: what an ending changes is left out.
fn stem(word: &str) -> String {
    for end in ["ing", "en", "es", "ed", "s", "e"] {
        if let Some(stem) = word.strip_suffix(end).filter(|stem| stem.chars().count() >= 3) {
            return stem.to_owned();
        }
    }
    word.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expert(name: &str, examples: &[&str], keywords: &[&str]) -> Persona {
        let all = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Persona { name: name.into(), examples: all(examples), keywords: all(keywords), ..Persona::default() }
    }

    #[test]
    fn the_nearest_example_chooses_and_is_the_reason() {
        let coding =
            expert("coding", &["write a function that sorts numbers", "fix this loop"], &["compiler error"]);
        let creative = expert("creative", &["write a poem about the sea", "tell me a story"], &[]);
        let all = [&coding, &creative];
        let chosen = by_words(&all, "Please write functions for sorting!").unwrap();
        assert_eq!(
            (chosen.expert.as_str(), chosen.why.as_str()),
            ("coding", "because near to: \"write a function that sorts numbers\"")
        );
        assert_eq!(by_words(&all, "a poem of stories").unwrap().expert, "creative");
        assert_eq!(
            by_words(&all, "compiler errors again").unwrap().why,
            "because it says: \"compiler error\""
        );
        assert_eq!(by_words(&all, "how tall are towers"), None);
        assert_eq!(by_words(&all, ""), None);
        assert_eq!(by_words(&[], "x"), None);
    }

    #[test]
    fn vectors_choose_by_their_angle_and_odd_ones_choose_nobody() {
        let (a, b) = (expert("a", &["one", "two"], &[]), expert("b", &["three"], &[]));
        let vectors = [vec![vec![1.0, 0.0], vec![0.9, 0.1]], vec![vec![0.0, 1.0]]];
        let choose =
            |question: &[f32]| by_vectors(&[&a, &b], &vectors, question, "").map(|chosen| chosen.expert);
        assert_eq!(choose(&[2.0, 0.1]).as_deref(), Some("a"));
        assert_eq!(choose(&[0.1, 2.0]).as_deref(), Some("b"));
        assert_eq!(choose(&[-1.0, -1.0]), None);
        assert_eq!(choose(&[0.0, 0.0]), None);
        assert_eq!(choose(&[1.0]), None);
        assert_eq!(choose(&[f32::NAN, 1.0]), None);
    }
}
