//! Texts with `{slots}` in them; `{{` and `}}` are braces.

use crate::fields::Word;
use crate::machine::Value;
use crate::mistake::Pad;
use crate::{SLOT_BYTES_MAX, cut};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Slot(String),
}

impl Template {
    /// The place of a mistake is that of the text's beginning.
    pub fn read(word: &Word, pad: &mut Pad) -> Option<Template> {
        let (mut pieces, mut text) = (vec![], String::new());
        let mut rest = word.text.as_str();
        while let Some(at) = rest.find(['{', '}']) {
            text.push_str(&rest[..at]);
            let (brace, after) = rest[at..].split_at(1);
            if after.starts_with(brace) {
                text.push_str(brace);
                rest = &after[1..];
                continue;
            }
            let end = after.find('}').filter(|end| brace == "{" && crate::is_name(&after[..*end]));
            let Some(end) = end else {
                pad.note(word.at, "a lone brace in this text: write {slot} for a slot, {{ or }} for a brace");
                return None;
            };
            pieces.push(Piece::Text(std::mem::take(&mut text)));
            pieces.push(Piece::Slot(after[..end].to_owned()));
            rest = &after[end + 1..];
        }
        text.push_str(rest);
        pieces.push(Piece::Text(text));
        pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
        Some(Template { pieces })
    }

    pub fn slots(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Slot(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    pub fn fill(&self, slots: &BTreeMap<String, Value>) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Slot(name) => text.push_str(&slots.get(name).map(Value::text).unwrap_or_default()),
            }
        }
        let n = cut(&text, SLOT_BYTES_MAX).len();
        text.truncate(n);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mistake::At;

    fn read(text: &str) -> Option<Template> {
        Template::read(&Word { at: At::START, text: text.into() }, &mut Pad::default())
    }

    #[test]
    fn slots_are_filled_and_braces_can_be_written() {
        let slots = BTreeMap::from([("a".to_owned(), Value::Text("{b}".into()))]);
        assert_eq!(read("x {a}{{a}} é").unwrap().fill(&slots), "x {b}{a} é");
        assert_eq!(read("{a}{c}").unwrap().slots().collect::<Vec<_>>(), ["a", "c"]);
        for wrong in ["{", "}", "{a", "{A}", "{}", "a}b", "{a b}"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_filled_text_has_its_limit() {
        let slots = BTreeMap::from([("a".to_owned(), Value::Text("é".repeat(SLOT_BYTES_MAX)))]);
        assert!(read("x{a}{a}").unwrap().fill(&slots).len() <= SLOT_BYTES_MAX);
    }
}
