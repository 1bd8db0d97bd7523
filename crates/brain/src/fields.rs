//! Takes the fields of a map one by one, says what is wrong with each, and at last what nobody asked for.

use crate::mistake::{At, Pad};
use crate::yaml::{Key, Node, Value};
use std::cell::RefCell;
use std::ops::RangeInclusive;

pub struct Fields<'a> {
    at: At,
    what: String,
    all: &'a [(Key, Node)],
    asked: RefCell<Vec<&'static str>>,
}

/// A text and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    pub at: At,
    pub text: String,
}

impl<'a> Fields<'a> {
    /// `what` names the map in sentences: `the node plan`.
    pub fn of(node: &'a Node, what: &str, pad: &mut Pad) -> Option<Fields<'a>> {
        match &node.value {
            Value::Map(all) => {
                Some(Fields { at: node.at, what: what.to_owned(), all, asked: RefCell::default() })
            }
            other => {
                pad.note(node.at, format!("{what} must be a map of names and values, not {}", other.kind()));
                None
            }
        }
    }

    /// What is missing is told at another place than the map's beginning.
    pub fn told_at(self, at: At) -> Fields<'a> {
        Fields { at, ..self }
    }

    pub fn at(&self) -> At {
        self.at
    }

    pub fn get(&self, name: &'static str) -> Option<&'a Node> {
        self.asked.borrow_mut().push(name);
        self.all.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
    }

    /// A field that must be there.
    pub fn need(&self, name: &'static str, pad: &mut Pad) -> Option<&'a Node> {
        let found = self.get(name);
        if found.is_none() {
            pad.note(self.at, format!("{} lacks `{name}`", self.what));
        }
        found
    }

    pub fn word(&self, name: &'static str, pad: &mut Pad) -> Option<Word> {
        word(self.get(name)?, &format!("`{name}`"), pad)
    }

    pub fn need_word(&self, name: &'static str, pad: &mut Pad) -> Option<Word> {
        word(self.need(name, pad)?, &format!("`{name}`"), pad)
    }

    /// A name such as those of nodes and slots.
    pub fn name(&self, name: &'static str, pad: &mut Pad) -> Option<Word> {
        let word = self.word(name, pad)?;
        is_name(&word, pad).then_some(word)
    }

    pub fn number(&self, name: &'static str, range: RangeInclusive<u32>, pad: &mut Pad) -> Option<u32> {
        let word = self.word(name, pad)?;
        let number = word.text.parse().ok().filter(|number| range.contains(number));
        if number.is_none() {
            let (least, most) = (range.start(), range.end());
            pad.note(word.at, format!("`{name}` must be a whole number from {least} to {most}"));
        }
        number
    }

    pub fn flag(&self, name: &'static str, pad: &mut Pad) -> bool {
        let Some(word) = self.word(name, pad) else { return false };
        match word.text.as_str() {
            "yes" | "true" => true,
            "no" | "false" => false,
            _ => {
                pad.note(word.at, format!("`{name}` must be yes or no"));
                false
            }
        }
    }

    /// A list of texts, within its limit; absent is empty.
    pub fn words(&self, name: &'static str, n_max: usize, pad: &mut Pad) -> Vec<Word> {
        let Some(node) = self.get(name) else { return vec![] };
        let Value::List(all) = &node.value else {
            pad.note(node.at, format!("`{name}` must be a list, such as [one, two]"));
            return vec![];
        };
        if all.is_empty() || all.len() > n_max {
            pad.note(node.at, format!("`{name}` must have 1 to {n_max} entries"));
        }
        let what = format!("an entry of `{name}`");
        all.iter().take(n_max).filter_map(|node| word(node, &what, pad)).collect()
    }

    /// The entries of a map of texts, within its limit; absent is empty.
    pub fn pairs(&self, name: &'static str, n_max: usize, pad: &mut Pad) -> Vec<(Word, Word)> {
        let Some(node) = self.get(name) else { return vec![] };
        let Value::Map(all) = &node.value else {
            pad.note(node.at, format!("`{name}` must be a map of names and values"));
            return vec![];
        };
        if all.len() > n_max {
            pad.note(node.at, format!("`{name}` has more than {n_max} entries"));
        }
        let pair = |(key, node): &(Key, Node), pad: &mut Pad| {
            let value = word(node, &format!("`{}`", key.name), pad)?;
            Some((Word { at: key.at, text: key.name.clone() }, value))
        };
        all.iter().take(n_max).filter_map(|entry| pair(entry, pad)).collect()
    }

    /// Says what was there and not asked for: a mistyped name must not be passed over.
    pub fn rest(self, pad: &mut Pad) {
        let asked = self.asked.into_inner();
        for (key, _) in self.all.iter().filter(|(key, _)| !asked.contains(&key.name.as_str())) {
            let known: Vec<String> = asked.iter().map(|name| format!("`{name}`")).collect();
            pad.note(key.at, format!("{} has no `{}`; it has {}", self.what, key.name, known.join(", ")));
        }
    }
}

pub fn is_name(word: &Word, pad: &mut Pad) -> bool {
    let is_name = crate::is_name(&word.text);
    if !is_name {
        pad.note(
            word.at,
            format!("{:?} is no name: small letters, digits, - and _, a letter first", word.text),
        );
    }
    is_name
}

fn word(node: &Node, what: &str, pad: &mut Pad) -> Option<Word> {
    match &node.value {
        Value::Text(text) if !text.trim().is_empty() => Some(Word { at: node.at, text: text.clone() }),
        Value::Text(_) => {
            pad.note(node.at, format!("{what} is empty"));
            None
        }
        other => {
            pad.note(node.at, format!("{what} must be a text, not {}", other.kind()));
            None
        }
    }
}
