//! A phrase with choices: `(please) [set|start] a timer for <length>`.
//!
//! `(a|b)` may be there, `[a|b]` must be; `<kind>` or `<kind:name>` is an amount or, as `<words>`, some words,
//! or, as `<rest>`, all that follow.

use super::amount::Amounts;
use super::{Value, words};
use std::collections::BTreeMap;

pub const PHRASE_BYTES_MAX: usize = 400;
/// Choices in choices.
const DEPTH_MAX: usize = 4;
/// How many words `<words>` takes at most.
const FREE_WORDS_MAX: usize = 8;
/// Ways to read one phrase that are followed at a time.
const WAYS_MAX: usize = 64;

pub type Slots = BTreeMap<String, Value>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Number,
    Length,
    Clock,
    Words,
    Rest,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Word(String),
    Slot { kind: Kind, name: String },
    Choice { ways: Vec<Vec<Part>>, is_needed: bool },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<Part>);

/// So many words are read, and this was named in them.
type Way = (usize, Slots);

impl Pattern {
    pub fn read(phrase: &str) -> Result<Pattern, String> {
        if phrase.len() > PHRASE_BYTES_MAX {
            return Err(format!("it has more than {PHRASE_BYTES_MAX} bytes"));
        }
        let mut rest = phrase;
        let mut ways = read_ways(&mut rest, None, 0)?;
        match (ways.len(), ways.pop()) {
            (1, Some(parts)) if !parts.is_empty() => Ok(Pattern(parts)),
            _ => Err("choices stand in [] or ()".to_owned()),
        }
    }

    /// What is named, if the phrase is all of these words.
    pub fn whole(&self, words: &[&str], amounts: &Amounts) -> Option<Slots> {
        let ways = follow(&self.0, words, amounts);
        ways.into_iter().find(|(n_words, _)| *n_words == words.len()).map(|(_, slots)| slots)
    }

    /// What is named, and how many words are read, if it begins with this phrase; the longest way.
    pub fn beginning(&self, words: &[&str], amounts: &Amounts) -> Option<Way> {
        follow(&self.0, words, amounts).into_iter().max_by_key(|(n_words, _)| *n_words)
    }

    /// Whether it names something of this kind.
    pub fn has(&self, wanted: Kind) -> bool {
        fn any(parts: &[Part], wanted: Kind) -> bool {
            parts.iter().any(|part| match part {
                Part::Slot { kind, .. } => *kind == wanted,
                Part::Choice { ways, .. } => ways.iter().any(|way| any(way, wanted)),
                Part::Word(_) => false,
            })
        }
        any(&self.0, wanted)
    }

    /// The phrase in JSGF, whose brackets are the other way round, without the choices that hold other words than
    /// `knows` lets pass; nothing where none is left, or where anything at all may be said.
    pub fn jsgf(&self, knows: &dyn Fn(&str) -> bool) -> Option<String> {
        jsgf(&self.0, knows)
    }
}

fn jsgf(parts: &[Part], knows: &dyn Fn(&str) -> bool) -> Option<String> {
    let mut text = String::new();
    for part in parts {
        let more = match part {
            Part::Word(word) => knows(word).then(|| word.clone())?,
            Part::Slot { kind: Kind::Number, .. } => "<number>".to_owned(),
            Part::Slot { kind: Kind::Length, .. } => "<length>".to_owned(),
            Part::Slot { kind: Kind::Clock, .. } => "<clock>".to_owned(),
            Part::Slot { kind: Kind::Words | Kind::Rest, .. } => return None,
            Part::Choice { ways, is_needed } => {
                let known: Vec<String> = ways.iter().filter_map(|way| jsgf(way, knows)).collect();
                let said: Vec<&str> =
                    known.iter().map(String::as_str).filter(|way| !way.is_empty()).collect();
                match (said.is_empty(), *is_needed && said.len() == known.len()) {
                    (true, true) => return None,
                    (true, false) => continue,
                    (false, true) => format!("({})", said.join("|")),
                    (false, false) => format!("[{}]", said.join("|")),
                }
            }
        };
        let blank = if text.is_empty() { "" } else { " " };
        text = format!("{text}{blank}{more}");
    }
    Some(text)
}

fn follow(parts: &[Part], words: &[&str], amounts: &Amounts) -> Vec<Way> {
    let mut ways = vec![(0, Slots::new())];
    for part in parts {
        let mut next = vec![];
        for (at, slots) in ways {
            for (n_words, more) in one(part, &words[at..], amounts) {
                let mut slots = slots.clone();
                slots.extend(more);
                next.push((at + n_words, slots));
            }
        }
        next.truncate(WAYS_MAX);
        ways = next;
    }
    ways
}

fn one(part: &Part, words: &[&str], amounts: &Amounts) -> Vec<Way> {
    match part {
        Part::Word(word) => match words.first() {
            Some(first) if first == word => vec![(1, Slots::new())],
            _ => vec![],
        },
        Part::Slot { kind: Kind::Rest, .. } if words.is_empty() => vec![],
        Part::Slot { kind: Kind::Rest, name } => {
            vec![(words.len(), Slots::from([(name.clone(), Value::Rest(words.join(" ")))]))]
        }
        Part::Slot { kind: Kind::Words, name } => (1..=words.len().min(FREE_WORDS_MAX))
            .map(|n_words| (n_words, Slots::from([(name.clone(), Value::Words(words[..n_words].join(" ")))])))
            .collect(),
        Part::Slot { kind, name } => amounts
            .read(*kind, words)
            .into_iter()
            .map(|(n_words, value)| (n_words, Slots::from([(name.clone(), value)])))
            .collect(),
        Part::Choice { ways, is_needed } => {
            let mut found: Vec<Way> = ways.iter().flat_map(|way| follow(way, words, amounts)).collect();
            if !is_needed {
                found.push((0, Slots::new()));
            }
            found
        }
    }
}

/// Reads up to `close`, or to the end.
fn read_ways(rest: &mut &str, close: Option<char>, depth: usize) -> Result<Vec<Vec<Part>>, String> {
    if depth > DEPTH_MAX {
        return Err(format!("choices are more than {DEPTH_MAX} deep"));
    }
    let mut ways = vec![vec![]];
    let mut word = String::new();
    loop {
        let next = rest.chars().next();
        if next.is_none_or(|char| !(char.is_alphanumeric() || matches!(char, '\'' | '’' | '-' | ':' | '.')))
        {
            let way = ways.last_mut().ok_or("it is empty")?;
            way.extend(words(&std::mem::take(&mut word)).into_iter().map(Part::Word));
        }
        let Some(char) = next else {
            return close.map_or(Ok(ways), |close| Err(format!("a {close} is missing")));
        };
        *rest = &rest[char.len_utf8()..];
        let way = ways.last_mut().ok_or("it is empty")?;
        match char {
            _ if Some(char) == close => return Ok(ways),
            '(' => way.push(Part::Choice { ways: read_ways(rest, Some(')'), depth + 1)?, is_needed: false }),
            '[' => way.push(Part::Choice { ways: read_ways(rest, Some(']'), depth + 1)?, is_needed: true }),
            ')' | ']' | '>' => return Err(format!("a {char} closes nothing")),
            '<' => {
                let (slot, behind) = rest.split_once('>').ok_or("a > is missing")?;
                *rest = behind;
                way.push(read_slot(slot)?);
            }
            '|' => ways.push(vec![]),
            ' ' | ',' => {}
            _ => word.push(char),
        }
    }
}

fn read_slot(slot: &str) -> Result<Part, String> {
    let (kind, name) = slot.split_once(':').unwrap_or((slot, slot));
    let kind = match kind {
        "number" => Kind::Number,
        "length" => Kind::Length,
        "clock" => Kind::Clock,
        "words" => Kind::Words,
        "rest" => Kind::Rest,
        other => return Err(format!("<{other}> is none of number, length, clock, words and rest")),
    };
    Ok(Part::Slot { kind, name: name.to_owned() })
}
