//! Regular expressions to grammar: the part of them that says the same everywhere.
//!
//! Literals, classes, groups, alternatives and repetitions are taken; an unanchored end may be anything, as JSON schema has it.
//! Look-around, back references, word borders and anchors in the middle are refused: a grammar cannot keep them.

use super::chars::CharSet;
use crate::gbnf::REPETITIONS_MAX;

/// Length of a pattern.
pub const PATTERN_BYTES_MAX: usize = 4096;
const DEPTH_MAX: usize = 32;

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Set(CharSet),
    Row(Vec<Node>),
    Any(Vec<Node>),
    Repeat(Box<Node>, usize, Option<usize>),
}

/// The inside of a JSON string that holds a match. `add` makes a rule of a body and names it.
pub fn inside<E>(
    pattern: &str,
    add: &mut impl FnMut(String) -> Result<String, E>,
    refuse: impl Fn(&'static str) -> E,
) -> Result<String, E> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(refuse("the pattern is too long"));
    }
    let mut reader = Reader { rest: pattern.chars().collect(), at: 0, depth: 0 };
    let node = reader.whole().map_err(&refuse)?;
    write(&node.plain(), add)?.ok_or_else(|| refuse("no JSON string can match the pattern"))
}

fn anything() -> Node {
    Node::Repeat(Box::new(Node::Set(CharSet::all())), 0, None)
}

impl Node {
    fn takes_nothing(&self) -> bool {
        match self {
            Node::Set(_) => false,
            Node::Row(row) => row.iter().all(Node::takes_nothing),
            Node::Any(ways) => ways.iter().any(Node::takes_nothing),
            Node::Repeat(node, least, _) => *least == 0 || node.takes_nothing(),
        }
    }

    /// The same language, but nothing that may be empty is repeated: llama.cpp takes that for left recursion.
    fn plain(&self) -> Node {
        match self {
            Node::Set(_) => self.clone(),
            Node::Row(row) => Node::Row(row.iter().map(Node::plain).collect()),
            Node::Any(ways) => Node::Any(ways.iter().map(Node::plain).collect()),
            Node::Repeat(node, least, most) => {
                let node = node.plain();
                match node.takes_nothing() {
                    true => Node::Repeat(Box::new(node.something()), 0, *most),
                    false => Node::Repeat(Box::new(node), *least, *most),
                }
            }
        }
    }

    /// The same language without the empty word; the node is plain already.
    fn something(&self) -> Node {
        match self {
            Node::Set(_) => self.clone(),
            Node::Any(ways) => Node::Any(ways.iter().map(Node::something).collect()),
            Node::Repeat(node, least, most) => Node::Repeat(node.clone(), (*least).max(1), *most),
            Node::Row(row) if !self.takes_nothing() => Node::Row(row.clone()),
            // One of them is the first that takes something.
            Node::Row(row) => Node::Any(
                (0..row.len())
                    .map(|idx| {
                        Node::Row(
                            std::iter::once(row[idx].something())
                                .chain(row[idx + 1..].iter().cloned())
                                .collect(),
                        )
                    })
                    .collect(),
            ),
        }
    }
}

/// A part of a grammar, or `None` when nothing can match.
fn write<E>(node: &Node, add: &mut impl FnMut(String) -> Result<String, E>) -> Result<Option<String>, E> {
    Ok(match node {
        Node::Set(set) => {
            let ways = set.in_json();
            match ways.len() {
                0 => None,
                1 => ways.into_iter().next(),
                _ => Some(add(ways.join(" | "))?),
            }
        }
        Node::Row(row) => {
            let mut parts = Vec::new();
            for node in row {
                match write(node, add)? {
                    None => return Ok(None),
                    // Alternatives and long rows stay rules of their own.
                    Some(part) => parts.push(part),
                }
            }
            Some(parts.join(" "))
        }
        Node::Any(ways) => {
            let mut written = Vec::new();
            for way in ways {
                written.extend(write(way, add)?);
            }
            // An empty alternative stands first: a line must not end with a sign of choice.
            written.sort_by_key(|way| !way.is_empty());
            if written.is_empty() { None } else { Some(add(written.join(" | "))?) }
        }
        Node::Repeat(_, _, Some(0)) => Some(String::new()),
        Node::Repeat(node, least, most) => match write(node, add)? {
            None if *least == 0 => Some(String::new()),
            None => None,
            Some(part) => {
                let single = part.starts_with('[') && !part[1..].contains('[');
                let item = if single { part } else { add(part)? };
                Some(match (least, most) {
                    (0, None) => format!("{item}*"),
                    (1, None) => format!("{item}+"),
                    (0, Some(1)) => format!("{item}?"),
                    (least, None) => format!("{item}{{{least},}}"),
                    (least, Some(most)) => format!("{item}{{{least},{most}}}"),
                })
            }
        },
    })
}

struct Reader {
    rest: Vec<char>,
    at: usize,
    depth: usize,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.rest.get(self.at).copied()
    }

    fn take(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(c)
    }

    fn skip(&mut self, c: char) -> bool {
        let there = self.peek() == Some(c);
        self.at += usize::from(there);
        there
    }

    /// The outermost alternatives, each with its own anchors.
    fn whole(&mut self) -> Result<Node, &'static str> {
        let mut ways = Vec::new();
        loop {
            let begins = self.skip('^');
            let mut row = if begins { Vec::new() } else { vec![anything()] };
            row.push(self.row()?);
            if !self.skip('$') {
                row.push(anything());
            }
            ways.push(Node::Row(row));
            match self.take() {
                None => return Ok(Node::Any(ways)),
                Some('|') => {}
                Some(')') => return Err("a ) has no ("),
                Some(_) => return Err("an anchor stands in the middle of the pattern"),
            }
        }
    }

    fn ways(&mut self) -> Result<Node, &'static str> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("groups within groups are too deep");
        }
        let mut ways = vec![self.row()?];
        while self.skip('|') {
            ways.push(self.row()?);
        }
        self.depth -= 1;
        Ok(Node::Any(ways))
    }

    fn row(&mut self) -> Result<Node, &'static str> {
        let mut row = Vec::new();
        while let Some(c) = self.peek() {
            if matches!(c, '|' | ')' | '$' | '^') {
                break;
            }
            self.at += 1;
            let node = match c {
                '(' => self.group()?,
                '[' => Node::Set(self.class()?),
                '.' => Node::Set(CharSet::of(&[('\n', '\n'), ('\r', '\r'), ('\u{2028}', '\u{2029}')]).not()),
                '\\' => Node::Set(self.escape()?),
                '*' | '+' | '?' => return Err("nothing stands before a repetition"),
                c => Node::Set(CharSet::one(c)),
            };
            let node = self.repeated(node)?;
            row.push(node);
        }
        Ok(Node::Row(row))
    }

    fn group(&mut self) -> Result<Node, &'static str> {
        if self.skip('?') && !self.skip(':') {
            return Err("only plain groups ( ) and (?: ) are understood");
        }
        let node = self.ways()?;
        if self.skip(')') { Ok(node) } else { Err("a group is not closed, or holds an anchor") }
    }

    fn repeated(&mut self, node: Node) -> Result<Node, &'static str> {
        let (least, most) = match self.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => {
                self.at += 1;
                let least = self.number()?;
                let most = match self.skip(',') {
                    false => Some(least),
                    true if self.peek() == Some('}') => None,
                    true => Some(self.number()?),
                };
                if self.peek() != Some('}') {
                    return Err("a repetition { is not closed");
                }
                (least, most)
            }
            _ => return Ok(node),
        };
        self.at += 1;
        if most.is_some_and(|most| most < least) || most.unwrap_or(least) > REPETITIONS_MAX {
            return Err("a repetition is too large, or ends before it begins");
        }
        // Lazy or not, the same texts match.
        self.skip('?');
        match self.peek() {
            Some('*' | '+' | '{' | '?') => Err("a repetition of a repetition"),
            _ => Ok(Node::Repeat(Box::new(node), least, most)),
        }
    }

    fn number(&mut self) -> Result<usize, &'static str> {
        let begin = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
        let digits: String = self.rest[begin..self.at].iter().collect();
        digits.parse().map_err(|_| "a number was expected in { }")
    }

    fn class(&mut self) -> Result<CharSet, &'static str> {
        let negated = self.skip('^');
        let mut set = CharSet::default();
        while let Some(c) = self.take() {
            match c {
                ']' => return Ok(if negated { set.not() } else { set }),
                '[' if self.peek() == Some(':') => return Err("named classes [:...:] are not understood"),
                _ => {}
            }
            let low = if c == '\\' { self.escape_in_class()? } else { CharSet::one(c) };
            let is_range = self.peek() == Some('-') && self.rest.get(self.at + 1).is_some_and(|c| *c != ']');
            if !is_range {
                set = set.or(&low);
                continue;
            }
            self.at += 1;
            let high = self.take().ok_or("a class is not closed")?;
            let high = if high == '\\' { self.escape_in_class()? } else { CharSet::one(high) };
            match (low.single(), high.single()) {
                (Some(low), Some(high)) if low <= high => set = set.or(&CharSet::of(&[(low, high)])),
                _ => return Err("a range in a class is the wrong way round"),
            }
        }
        Err("a class is not closed")
    }

    fn escape_in_class(&mut self) -> Result<CharSet, &'static str> {
        if self.skip('b') { Ok(CharSet::one('\u{8}')) } else { self.escape() }
    }

    fn escape(&mut self) -> Result<CharSet, &'static str> {
        let digit = || CharSet::of(&[('0', '9')]);
        let word = || CharSet::of(&[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')]);
        let space = || {
            let mut blanks = vec![('\t', '\r'), (' ', ' '), ('\u{a0}', '\u{a0}'), ('\u{1680}', '\u{1680}')];
            blanks.extend([('\u{2000}', '\u{200a}'), ('\u{2028}', '\u{2029}'), ('\u{202f}', '\u{202f}')]);
            blanks.extend([('\u{205f}', '\u{205f}'), ('\u{3000}', '\u{3000}'), ('\u{feff}', '\u{feff}')]);
            CharSet::of(&blanks)
        };
        Ok(match self.take().ok_or("a \\ stands at the end")? {
            'd' => digit(),
            'D' => digit().not(),
            'w' => word(),
            'W' => word().not(),
            's' => space(),
            'S' => space().not(),
            'n' => CharSet::one('\n'),
            'r' => CharSet::one('\r'),
            't' => CharSet::one('\t'),
            'f' => CharSet::one('\u{c}'),
            'v' => CharSet::one('\u{b}'),
            'x' => self.by_number(2)?,
            'u' => self.by_number(4)?,
            c if c.is_ascii_alphanumeric() => return Err("this escape is not understood"),
            c => CharSet::one(c),
        })
    }

    fn by_number(&mut self, n_digits: usize) -> Result<CharSet, &'static str> {
        let digits: String = self.rest.iter().skip(self.at).take(n_digits).collect();
        self.at += n_digits;
        let whole = digits.len() == n_digits && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let c = u32::from_str_radix(&digits, 16).ok().filter(|_| whole).and_then(char::from_u32);
        c.map(CharSet::one).ok_or("an escape by number is no character")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gbnf::Grammar;
    use crate::schema::chars::SHORT_ESCAPES;

    /// The short escapes and plain characters of a text, as a JSON string holds it: what a pattern is matched against.
    fn json_inside(text: &str) -> String {
        let escape = |c: char| SHORT_ESCAPES.iter().find(|(plain, _)| *plain == c);
        text.chars()
            .flat_map(|c| match escape(c) {
                Some((_, letter)) => vec!['\\', *letter],
                None => vec![c],
            })
            .collect()
    }

    fn grammar(pattern: &str) -> Result<Grammar, &'static str> {
        let mut rules = Vec::new();
        let mut add = |body: String| {
            rules.push(body);
            Ok(format!("r{}", rules.len()))
        };
        let mut text = format!("root ::= {}\n", inside(pattern, &mut add, |what| what)?);
        rules.iter().enumerate().for_each(|(idx, body)| text += &format!("r{} ::= {body}\n", idx + 1));
        Ok(Grammar::parse(&text).unwrap_or_else(|error| panic!("{pattern}: {error}\n{text}")))
    }

    #[track_caller]
    fn check(pattern: &str, taken: &[&str], refused: &[&str]) {
        let grammar = grammar(pattern).unwrap();
        taken
            .iter()
            .for_each(|text| assert!(grammar.accepts(&json_inside(text)), "{text:?} should be taken"));
        refused
            .iter()
            .for_each(|text| assert!(!grammar.accepts(&json_inside(text)), "{text:?} should be refused"));
    }

    #[track_caller]
    fn wrong(pattern: &str, want: &str) {
        assert_eq!(grammar(pattern).unwrap_err(), want, "{pattern}");
    }

    #[test]
    fn anchored_patterns_hold_from_end_to_end() {
        check("^[A-Z]{2}-\\d{3,4}$", &["AB-123", "XY-1234"], &["AB-12", "aB-123", "AB-123 ", "AB-12345"]);
        check("^(cat|dog)s?$", &["cat", "dogs"], &["cats ", "do"]);
        check("^a.c$", &["abc", "a\u{e9}c"], &["a\nc", "ac"]);
        check("^$", &[""], &["x"]);
    }

    #[test]
    fn an_open_end_may_be_anything() {
        check("bar", &["bar", "foobar!", "ba bar"], &["ba", "fo"]);
        check("^x", &["x", "xyz"], &["yx"]);
        check("^a$|b$", &["a", "b", "xxb"], &["ab!", "aa"]);
    }

    #[test]
    fn what_json_escapes_still_matches() {
        check(r#"^"\\\n$"#, &["\"\\\n"], &["\"\\n", "\""]);
        check("^[^a]$", &["b", "\"", "\n", "\u{1f600}"], &["a", ""]);
        check("^\\S+\\s\\w*$", &["a-b c_1", "x\t"], &["ab", " "]);
    }

    #[test]
    fn what_may_be_empty_may_be_repeated() {
        check("^(a*b?)*$", &["", "aab", "bbba"], &["c"]);
        check("^(a?){3}$", &["", "aaa"], &["aaaa"]);
        check("^((a|)(b|))+c$", &["c", "abc", "bac"], &["ab"]);
    }

    #[test]
    fn lazy_signs_change_nothing() {
        check("^a+?b*?$", &["a", "aab"], &["b"]);
    }

    #[test]
    fn classes_take_ranges_and_signs() {
        check(r"^[\w.+-]+@[a-z\-]+\.[^\d\s]{2,}$", &["a.b+c@x-y.org"], &["a@b.c", "a b@c.de"]);
        wrong("^[]$", "no JSON string can match the pattern");
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        wrong("^(?=a)b$", "only plain groups ( ) and (?: ) are understood");
        wrong("^(a)\\1$", "this escape is not understood");
        wrong("\\bword\\b", "this escape is not understood");
        wrong("a^b", "an anchor stands in the middle of the pattern");
        wrong("(^a)", "a group is not closed, or holds an anchor");
        wrong("a{5,2}", "a repetition is too large, or ends before it begins");
        wrong("a{3000}", "a repetition is too large, or ends before it begins");
        wrong("+a", "nothing stands before a repetition");
        wrong("[z-a]", "a range in a class is the wrong way round");
        wrong("[a", "a class is not closed");
        wrong(&"(".repeat(40), "groups within groups are too deep");
        wrong(&"a".repeat(5000), "the pattern is too long");
        wrong("^\\u0001$", "no JSON string can match the pattern");
    }
}
