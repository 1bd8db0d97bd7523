//! What can be answered without a model: the time, a timer, louder, stop.
//!
//! One file a language says how people put it and how it is answered; `pattern` matches a phrase, `amount` reads
//! numbers, lengths of time and times of day. What an intent does is the product's.

mod amount;
mod file;
mod pattern;
#[cfg(test)]
mod tests;

pub use file::{FILE_BYTES_MAX, IntentError};
pub use pattern::{PHRASE_BYTES_MAX, Slots};

use amount::Amounts;
use pattern::Pattern;
use std::collections::BTreeSet;
use std::time::Duration;

/// Nobody puts a simple wish in more words.
pub const WORDS_MAX: usize = 24;

/// What was named in a phrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Number(u32),
    Length(Duration),
    Clock(Clock),
    Words(String),
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
        let all = words(said);
        let words: Vec<&str> =
            all.iter().map(String::as_str).filter(|word| !self.idle.contains(*word)).collect();
        if words.is_empty() || words.len() > WORDS_MAX {
            return None;
        }
        self.intents.iter().find_map(|intent| {
            let slots = intent.patterns.iter().find_map(|pattern| pattern.whole(&words, &self.amounts))?;
            Some(Wish { intent: &intent.name, slots, answer: &intent.answer })
        })
    }
}

/// The words of an utterance: lower case, without marks. `7:30` is two, `what's` is one.
fn words(text: &str) -> Vec<String> {
    let bare: String = text.chars().filter(|char| !matches!(char, '\'' | '’')).collect();
    let parts = bare.split(|char: char| !char.is_alphanumeric());
    parts.filter(|part| !part.is_empty()).map(str::to_lowercase).collect()
}
