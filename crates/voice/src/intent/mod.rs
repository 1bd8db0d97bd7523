//! What can be answered without a model: the time, a timer, louder, stop.
//!
//! One file a language says how people put it and how it is answered; `pattern` matches a phrase, `amount` reads
//! numbers, lengths of time and times of day. `grammar` writes all of it for recognisers that hear nothing else.
//! What an intent does is the product's.

mod amount;
mod file;
mod grammar;
mod pattern;
#[cfg(test)]
mod tests;

pub use file::{FILE_BYTES_MAX, IntentError};
pub use pattern::{PHRASE_BYTES_MAX, Slots};

use amount::Amounts;
use pattern::{Kind, Pattern};
use std::collections::BTreeSet;
use std::time::Duration;

/// Nobody puts a simple wish in more words.
pub const WORDS_MAX: usize = 24;
/// One that ends in `<rest>`, which is told and not asked.
pub const REST_WORDS_MAX: usize = 200;

/// What was named in a phrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Number(u32),
    Length(Duration),
    Clock(Clock),
    Words(String),
    /// All to the end, as it was said.
    Rest(String),
}

/// A time of day. `half` is absent where the hour may be of the morning or of the evening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    pub hour: u8,
    pub minute: u8,
    pub is_exact: bool,
}

/// An utterance that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish<'a> {
    pub intent: &'a str,
    pub slots: Slots,
    /// How it is answered, with `{names}` to be filled in.
    pub answer: &'a str,
}

#[derive(Debug)]
struct Intent {
    name: String,
    patterns: Vec<Pattern>,
    answer: String,
}

/// How one language puts things.
#[derive(Debug)]
pub struct Intents {
    pub language: String,
    intents: Vec<Intent>,
    amounts: Amounts,
    /// Words that change nothing: please, hey.
    idle: BTreeSet<String>,
}

impl Intents {
    /// Reads the text of an intent file.
    pub fn read(text: &str) -> Result<Intents, IntentError> {
        file::read(text)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.intents.iter().map(|intent| intent.name.as_str())
    }

    /// The first intent one of whose phrases is the whole utterance.
    pub fn find(&self, said: &str) -> Option<Wish<'_>> {
        let all = spans(said);
        let end = all.last().map_or(0, |span| span.to);
        let spans: Vec<Span> = all.into_iter().filter(|span| !self.idle.contains(&span.word)).collect();
        let words: Vec<&str> = spans.iter().map(|span| span.word.as_str()).collect();
        if words.is_empty() || words.len() > REST_WORDS_MAX {
            return None;
        }
        let may = |pattern: &&Pattern| words.len() <= WORDS_MAX || pattern.has(Kind::Rest);
        self.intents.iter().find_map(|intent| {
            let mut patterns = intent.patterns.iter().filter(may);
            let mut slots = patterns.find_map(|pattern| pattern.whole(&words, &self.amounts))?;
            for value in slots.values_mut() {
                if let Value::Rest(rest) = value {
                    // Idle words belong to it: the name of the house is no part of a wish, but of what is told.
                    let n_before = spans.len().saturating_sub(rest.split(' ').count());
                    let from =
                        n_before.checked_sub(1).and_then(|last| spans.get(last)).map_or(0, |span| span.to);
                    let told = said.get(from..end).unwrap_or_default();
                    *rest = told.trim_start_matches(|char: char| !char.is_alphanumeric()).to_owned();
                }
            }
            Some(Wish { intent: &intent.name, slots, answer: &intent.answer })
        })
    }
}

/// A word, and where it ends.
struct Span {
    word: String,
    /// The byte behind it.
    to: usize,
}

/// The words of an utterance: lower case, without marks. `7:30` is two, `what's` is one.
fn words(text: &str) -> Vec<String> {
    spans(text).into_iter().map(|span| span.word).collect()
}

fn spans(text: &str) -> Vec<Span> {
    let mut spans: Vec<Span> = vec![];
    let mut is_open = false;
    for (at, char) in text.char_indices().filter(|(_, char)| !matches!(char, '\'' | '’')) {
        if !char.is_alphanumeric() {
            is_open = false;
            continue;
        }
        if !is_open {
            spans.push(Span { word: String::new(), to: at });
            is_open = true;
        }
        if let Some(span) = spans.last_mut() {
            span.word.push(char);
            span.to = at + char.len_utf8();
        }
    }
    // Of a whole word, because some letters are small in another way at its end.
    spans.iter_mut().for_each(|span| span.word = span.word.to_lowercase());
    spans
}
