//! Sets of characters, and how they are written inside a JSON string within a grammar.

use std::fmt::Write;

/// Sorted ranges of code points that do not touch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CharSet(Vec<(u32, u32)>);

const LAST: u32 = 0x10_ffff;
/// Code points that are no characters.
const SURROGATES: (u32, u32) = (0xd800, 0xdfff);
/// What JSON strings write with a short escape.
pub const SHORT_ESCAPES: [(char, char); 7] =
    [('"', '"'), ('\\', '\\'), ('\n', 'n'), ('\r', 'r'), ('\t', 't'), ('\u{8}', 'b'), ('\u{c}', 'f')];

impl CharSet {
    pub fn of(ranges: &[(char, char)]) -> CharSet {
        CharSet::tidy(ranges.iter().map(|(low, high)| (u32::from(*low), u32::from(*high))).collect())
    }

    pub fn one(c: char) -> CharSet {
        CharSet::of(&[(c, c)])
    }

    pub fn all() -> CharSet {
        CharSet(vec![(0, LAST)])
    }

    fn tidy(mut ranges: Vec<(u32, u32)>) -> CharSet {
        ranges.sort_unstable();
        let mut tidy: Vec<(u32, u32)> = Vec::new();
        for (low, high) in ranges {
            match tidy.last_mut() {
                Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
                _ => tidy.push((low, high)),
            }
        }
        CharSet(tidy)
    }

    pub fn or(&self, other: &CharSet) -> CharSet {
        CharSet::tidy(self.0.iter().chain(&other.0).copied().collect())
    }

    pub fn not(&self) -> CharSet {
        let (mut from, mut left) = (0, Vec::new());
        for (low, high) in &self.0 {
            if *low > from {
                left.push((from, low - 1));
            }
            from = high + 1;
        }
        if from <= LAST {
            left.push((from, LAST));
        }
        CharSet(left)
    }

    pub fn and(&self, other: &CharSet) -> CharSet {
        self.not().or(&other.not()).not()
    }

    /// The only character of the set.
    pub fn single(&self) -> Option<char> {
        match self.0[..] {
            [(low, high)] if low == high => char::from_u32(low),
            _ => None,
        }
    }

    pub fn has(&self, c: char) -> bool {
        self.0.iter().any(|(low, high)| (*low..=*high).contains(&u32::from(c)))
    }

    /// The characters that a JSON string holds as they are.
    fn plain(&self) -> CharSet {
        let special = CharSet::tidy(vec![(0, 0x1f), (0x22, 0x22), (0x5c, 0x5c), SURROGATES]);
        self.and(&special.not())
    }

    /// The alternatives that write one character of this set inside a JSON string; none if there is none.
    pub fn in_json(&self) -> Vec<String> {
        let plain = self.plain();
        let mut ways = Vec::new();
        if !plain.0.is_empty() {
            ways.push(plain.class());
        }
        let escapes: String = SHORT_ESCAPES
            .iter()
            .filter(|(c, _)| self.has(*c))
            .map(|(_, letter)| class_char(*letter))
            .collect();
        if !escapes.is_empty() {
            ways.push(format!("\"\\\\\" [{escapes}]"));
        }
        ways
    }

    pub fn class(&self) -> String {
        let mut class = "[".to_string();
        for (low, high) in &self.0 {
            let _ = write!(class, "{}", class_code(*low));
            if high > low {
                let _ = write!(class, "-{}", class_code(*high));
            }
        }
        class + "]"
    }
}

fn class_char(c: char) -> String {
    class_code(u32::from(c))
}

/// Letters and digits as they are, all else by number: then no sign of the grammar's own can slip in.
fn class_code(code: u32) -> String {
    match char::from_u32(code) {
        Some(c) if c.is_ascii_alphanumeric() => c.to_string(),
        _ if code < 0x100 => format!("\\x{code:02X}"),
        _ if code < 0x1_0000 => format!("\\u{code:04X}"),
        _ => format!("\\U{code:08X}"),
    }
}

/// A grammar's literal for a text.
pub fn literal(text: &str) -> String {
    let mut quoted = "\"".to_string();
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if u32::from(c) < 0x20 || c == '\u{7f}' => {
                let _ = write!(quoted, "\\x{:02X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_join_and_turn_round() {
        let vowels = CharSet::of(&[('a', 'a'), ('e', 'e'), ('b', 'c')]);
        assert_eq!(vowels.class(), "[a-ce]");
        assert_eq!(vowels.not().not(), vowels);
        assert_eq!(vowels.and(&CharSet::of(&[('b', 'z')])).class(), "[b-ce]");
        assert!(!vowels.not().has('b') && vowels.not().has('\u{10ffff}'));
    }

    #[test]
    fn what_json_must_escape_is_escaped() {
        assert_eq!(CharSet::one('"').in_json(), ["\"\\\\\" [\\x22]"]);
        assert_eq!(CharSet::of(&[('\n', '\n'), ('a', 'a')]).in_json(), ["[a]", "\"\\\\\" [n]"]);
        assert!(CharSet::one('\u{1}').in_json().is_empty());
    }

    #[test]
    fn literals_are_quoted() {
        assert_eq!(literal("a\"\\\n\u{1}\u{e9}"), "\"a\\\"\\\\\\n\\x01\u{e9}\"");
    }
}
