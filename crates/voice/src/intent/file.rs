//! An intent file, checked.

use super::amount::{Amounts, ClockPhrase, Half};
use super::pattern::{Kind, Pattern};
use super::{Intent, Intents, words};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;

pub const FILE_BYTES_MAX: usize = 64 << 10;
const INTENTS_MAX: usize = 200;
const PHRASES_MAX: usize = 1000;

#[derive(Debug, PartialEq, Eq)]
pub enum IntentError {
    Long {
        bytes: usize,
    },
    /// Line and column are in the text.
    Syntax(String),
    Many {
        what: &'static str,
        n: usize,
        max: usize,
    },
    Phrase {
        of: String,
        phrase: String,
        why: String,
    },
    Twice {
        name: String,
    },
}

impl fmt::Display for IntentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IntentError::Long { bytes } => {
                write!(f, "the file has {bytes} bytes, at most {FILE_BYTES_MAX} are read")
            }
            IntentError::Syntax(text) => f.write_str(text.trim_end()),
            IntentError::Many { what, n, max } => write!(f, "{n} {what}, at most {max} are kept"),
            IntentError::Phrase { of, phrase, why } => write!(f, "{of}: phrase {phrase:?}: {why}"),
            IntentError::Twice { name } => write!(f, "intent {name} is there twice"),
        }
    }
}

impl std::error::Error for IntentError {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    language: String,
    #[serde(default)]
    idle: Vec<String>,
    #[serde(default)]
    numbers: BTreeMap<String, u32>,
    #[serde(default)]
    length: Lengths,
    #[serde(default)]
    clock: Vec<ClockLine>,
    #[serde(default)]
    intent: Vec<IntentLine>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Lengths {
    #[serde(default)]
    seconds: Vec<String>,
    #[serde(default)]
    minutes: Vec<String>,
    #[serde(default)]
    hours: Vec<String>,
    #[serde(default)]
    days: Vec<String>,
    #[serde(default)]
    and: Vec<String>,
    #[serde(default)]
    half: Vec<String>,
    /// Whole phrases, in seconds.
    #[serde(default)]
    whole: BTreeMap<String, u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockLine {
    say: Vec<String>,
    #[serde(default)]
    minutes: i32,
    half: Option<HalfWord>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum HalfWord {
    Morning,
    Evening,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IntentLine {
    name: String,
    say: Vec<String>,
    #[serde(default)]
    answer: String,
}

pub fn read(text: &str) -> Result<Intents, IntentError> {
    if text.len() > FILE_BYTES_MAX {
        return Err(IntentError::Long { bytes: text.len() });
    }
    let file: File = toml::from_str(text).map_err(|error| IntentError::Syntax(error.to_string()))?;
    at_most("intents", file.intent.len(), INTENTS_MAX)?;
    let n_phrases = file.intent.iter().map(|intent| intent.say.len()).sum::<usize>() + file.clock.len();
    at_most("phrases", n_phrases, PHRASES_MAX)?;
    let mut clocks = vec![];
    for line in file.clock {
        let half = line.half.map(|half| match half {
            HalfWord::Morning => Half::Morning,
            HalfWord::Evening => Half::Evening,
        });
        for pattern in patterns("clock", &line.say)? {
            if pattern.has(Kind::Clock) {
                let (of, phrase) = ("clock".to_owned(), line.say.join(", "));
                return Err(IntentError::Phrase {
                    of,
                    phrase,
                    why: "a clock is not made of clocks".to_owned(),
                });
            }
            clocks.push(ClockPhrase { pattern, minutes: line.minutes, half });
        }
    }
    let mut intents: Vec<Intent> = vec![];
    for line in file.intent {
        if intents.iter().any(|intent| intent.name == line.name) {
            return Err(IntentError::Twice { name: line.name });
        }
        let patterns = patterns(&line.name, &line.say)?;
        intents.push(Intent { name: line.name, patterns, answer: line.answer });
    }
    let amounts = amounts(file.numbers, file.length, clocks);
    let idle = file.idle.iter().flat_map(|word| words(word)).collect();
    Ok(Intents { language: file.language, intents, amounts, idle })
}

fn at_most(what: &'static str, n: usize, max: usize) -> Result<(), IntentError> {
    if n > max { Err(IntentError::Many { what, n, max }) } else { Ok(()) }
}

fn patterns(of: &str, phrases: &[String]) -> Result<Vec<Pattern>, IntentError> {
    let read = |phrase: &String| {
        Pattern::read(phrase).map_err(|why| IntentError::Phrase {
            of: of.to_owned(),
            phrase: phrase.clone(),
            why,
        })
    };
    phrases.iter().map(read).collect()
}

fn amounts(numbers: BTreeMap<String, u32>, length: Lengths, clocks: Vec<ClockPhrase>) -> Amounts {
    let units = [(length.seconds, 1), (length.minutes, 60), (length.hours, 3600), (length.days, 86_400)];
    let units =
        units.into_iter().flat_map(|(names, seconds)| names.into_iter().map(move |name| (name, seconds)));
    Amounts {
        numbers,
        units: units.collect(),
        lengths: length.whole.into_iter().map(|(phrase, seconds)| (words(&phrase), seconds)).collect(),
        joints: length.and,
        halves: length.half.iter().map(|phrase| words(phrase)).collect(),
        clocks,
    }
}
