//! Reads a grammar's text by the rules of llama.cpp's own reader.

use std::collections::BTreeMap;

use super::{
    Alternatives, ELEMENTS_MAX, Element, GRAMMAR_BYTES_MAX, GROUP_DEPTH_MAX, Grammar, GrammarError,
    REPETITIONS_MAX,
};

pub(super) fn read(text: &str) -> Result<Grammar, GrammarError> {
    if text.len() > GRAMMAR_BYTES_MAX {
        return Err(GrammarError::TooLong { bytes: text.len() });
    }
    let mut reader = Reader { text, at: 0, names: BTreeMap::new(), rules: Vec::new(), n_elements: 0 };
    reader.blanks(true);
    while reader.peek().is_some() {
        reader.rule()?;
    }
    let root = reader.names.get("root").copied().ok_or(GrammarError::NoRoot)?;
    for (name, idx) in &reader.names {
        if reader.rules[*idx].is_none() {
            return Err(GrammarError::Undefined { rule: name.clone() });
        }
    }
    let names = reader.names;
    let rules: Vec<Alternatives> = reader.rules.into_iter().flatten().collect();
    if let Some(idx) = left_recursive(&rules) {
        let named = names.iter().find(|(_, at)| **at == idx).map(|(name, _)| name.clone());
        return Err(GrammarError::LeftRecursion { rule: named.unwrap_or_else(|| "of a group".into()) });
    }
    Ok(Grammar { rules, root })
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    names: BTreeMap<String, usize>,
    /// None until defined.
    rules: Vec<Option<Alternatives>>,
    n_elements: usize,
}

/// The item that a repetition sign would repeat: the steps since this one, and how many rules they stand for.
struct Last {
    begin: usize,
    n_rules: usize,
}

impl Reader<'_> {
    fn wrong<T>(&self, what: &'static str) -> Result<T, GrammarError> {
        Err(GrammarError::Syntax { line: self.text[..self.at].matches('\n').count() + 1, what })
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn skip(&mut self, wanted: &str) -> bool {
        let there = self.text[self.at..].starts_with(wanted);
        self.at += if there { wanted.len() } else { 0 };
        there
    }

    fn blanks(&mut self, newlines: bool) {
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' => self.at += 1,
                '\r' | '\n' if newlines => self.at += 1,
                '#' => {
                    let rest = &self.text[self.at..];
                    self.at += rest.find(['\r', '\n']).unwrap_or(rest.len());
                }
                _ => return,
            }
        }
    }

    fn word(&mut self) -> Option<&str> {
        let rest = &self.text[self.at..];
        let len = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(rest.len());
        self.at += len;
        (len > 0).then(|| &rest[..len])
    }

    fn named(&mut self, name: String) -> usize {
        let next = self.rules.len();
        let idx = *self.names.entry(name).or_insert(next);
        if idx == next {
            self.rules.push(None);
        }
        idx
    }

    fn unnamed(&mut self, rule: Option<Alternatives>) -> usize {
        self.rules.push(rule);
        self.rules.len() - 1
    }

    fn rule(&mut self) -> Result<(), GrammarError> {
        let Some(name) = self.word().map(str::to_string) else {
            return self.wrong("a rule's name is missing");
        };
        let idx = self.named(name);
        self.blanks(false);
        if !self.skip("::=") {
            return self.wrong("::= is missing after a rule's name");
        }
        self.blanks(true);
        let alternatives = self.alternatives(0)?;
        self.rules[idx] = Some(alternatives);
        if !(self.skip("\r\n") || self.skip("\r") || self.skip("\n") || self.peek().is_none()) {
            return self.wrong("the end of the line was expected");
        }
        self.blanks(true);
        Ok(())
    }

    fn alternatives(&mut self, depth: usize) -> Result<Alternatives, GrammarError> {
        if depth > GROUP_DEPTH_MAX {
            return self.wrong("groups within groups are too deep");
        }
        let mut alternatives = vec![self.sequence(depth)?];
        while self.skip("|") {
            self.blanks(true);
            alternatives.push(self.sequence(depth)?);
        }
        Ok(alternatives)
    }

    fn sequence(&mut self, depth: usize) -> Result<Vec<Element>, GrammarError> {
        let mut row = Vec::new();
        let mut last = Last { begin: 0, n_rules: 1 };
        while let Some(c) = self.peek() {
            match c {
                '"' => {
                    last = Last { begin: row.len(), n_rules: 1 };
                    self.literal(&mut row)?;
                }
                '[' => {
                    last = Last { begin: row.len(), n_rules: 1 };
                    self.class(&mut row)?;
                }
                '.' => {
                    self.at += 1;
                    last = Last { begin: row.len(), n_rules: 1 };
                    row.push(Element::Chars { ranges: Vec::new(), negated: true });
                }
                '(' => {
                    self.at += 1;
                    self.blanks(true);
                    let before = self.rules.len();
                    let inner = self.alternatives(depth + 1)?;
                    if !self.skip(")") {
                        return self.wrong(") is missing");
                    }
                    let idx = self.unnamed(Some(inner));
                    last = Last { begin: row.len(), n_rules: (self.rules.len() - before).max(1) };
                    row.push(Element::Rule(idx));
                }
                '*' | '+' | '?' | '{' => {
                    let (least, most) = self.counts()?;
                    self.repeat(&mut row, &mut last, least, most)?;
                }
                c if c.is_ascii_alphanumeric() || c == '-' => {
                    let name = self.word().unwrap_or_default().to_string();
                    let idx = self.named(name);
                    last = Last { begin: row.len(), n_rules: 1 };
                    row.push(Element::Rule(idx));
                }
                '<' | '!' => return self.wrong("token elements are not taken from outside"),
                _ => break,
            }
            self.blanks(depth > 0);
            self.spend(row.len() - last.begin)?;
        }
        Ok(row)
    }

    fn spend(&mut self, n_elements: usize) -> Result<(), GrammarError> {
        self.n_elements += n_elements;
        if self.n_elements > ELEMENTS_MAX { Err(GrammarError::TooLarge) } else { Ok(()) }
    }

    fn literal(&mut self, row: &mut Vec<Element>) -> Result<(), GrammarError> {
        self.at += 1;
        while !self.skip("\"") {
            let c = self.character()?;
            row.push(Element::Chars { ranges: vec![(c, c)], negated: false });
        }
        Ok(())
    }

    fn class(&mut self, row: &mut Vec<Element>) -> Result<(), GrammarError> {
        self.at += 1;
        let negated = self.skip("^");
        let mut ranges = Vec::new();
        while !self.skip("]") {
            let low = self.character()?;
            let rest = &self.text[self.at..];
            let high = if rest.starts_with('-') && !rest.starts_with("-]") {
                self.at += 1;
                self.character()?
            } else {
                low
            };
            ranges.push((low, high));
        }
        if ranges.is_empty() {
            return self.wrong("a class of characters is empty");
        }
        row.push(Element::Chars { ranges, negated });
        Ok(())
    }

    fn character(&mut self) -> Result<u32, GrammarError> {
        let Some(c) = self.take() else { return self.wrong("the text ends within quotes or brackets") };
        if c != '\\' {
            return Ok(u32::from(c));
        }
        let digits = match self.take() {
            Some('t') => return Ok(9),
            Some('r') => return Ok(13),
            Some('n') => return Ok(10),
            Some(c @ ('\\' | '"' | '[' | ']' | '-')) => return Ok(u32::from(c)),
            Some('x') => 2,
            Some('u') => 4,
            Some('U') => 8,
            _ => return self.wrong("an unknown escape"),
        };
        let hex =
            self.text.get(self.at..self.at + digits).filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        match hex.and_then(|hex| u32::from_str_radix(hex, 16).ok()) {
            Some(value) => {
                self.at += digits;
                Ok(value)
            }
            None => self.wrong("an escape has too few hex digits"),
        }
    }

    fn counts(&mut self) -> Result<(usize, Option<usize>), GrammarError> {
        match self.take() {
            Some('*') => return Ok((0, None)),
            Some('+') => return Ok((1, None)),
            Some('?') => return Ok((0, Some(1))),
            _ => self.blanks(true),
        }
        let Some(least) = self.number() else { return self.wrong("a number is missing after {") };
        self.blanks(true);
        if self.skip("}") {
            return Ok((least, Some(least)));
        }
        if !self.skip(",") {
            return self.wrong(", or } is missing after a number");
        }
        self.blanks(true);
        let most = self.number();
        self.blanks(true);
        if self.skip("}") { Ok((least, most)) } else { self.wrong("} is missing") }
    }

    fn number(&mut self) -> Option<usize> {
        let rest = &self.text[self.at..];
        let len = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        self.at += len;
        (len > 0).then(|| rest[..len].parse().unwrap_or(usize::MAX))
    }

    /// Writes a repetition out as llama.cpp does: copies for the least, a chain of optional rules for the rest.
    fn repeat(
        &mut self,
        row: &mut Vec<Element>,
        last: &mut Last,
        least: usize,
        most: Option<usize>,
    ) -> Result<(), GrammarError> {
        if last.begin == row.len() {
            return self.wrong("nothing stands before a repetition");
        }
        let copies = most.unwrap_or(least).max(1);
        if most.is_some_and(|most| most < least) {
            return self.wrong("a repetition ends before it begins");
        }
        if copies > REPETITIONS_MAX || last.n_rules * copies > REPETITIONS_MAX {
            return self.wrong("a repetition is too large");
        }
        let item: Vec<Element> = row[last.begin..].to_vec();
        self.spend(item.len() * copies)?;
        row.truncate(last.begin);
        for _ in 0..least {
            row.extend_from_slice(&item);
        }
        let mut chain = None;
        for _ in least..most.unwrap_or(least + 1) {
            let idx = self.unnamed(None);
            let mut again = item.clone();
            again.extend(if most.is_none() { Some(idx) } else { chain }.map(Element::Rule));
            self.rules[idx] = Some(vec![again, Vec::new()]);
            chain = Some(idx);
        }
        row.extend(chain.map(Element::Rule));
        last.n_rules *= copies;
        Ok(())
    }
}

/// A rule that can reach itself before it takes a character.
fn left_recursive(rules: &[Alternatives]) -> Option<usize> {
    let empty = nullable(rules);
    // What each rule may begin with.
    let begins: Vec<Vec<usize>> = rules.iter().map(|rule| heads(rule, &empty)).collect();
    let mut colour = vec![0_u8; rules.len()];
    for start in 0..rules.len() {
        let mut path = vec![(start, 0)];
        while let Some((rule, next)) = path.pop() {
            match begins[rule].get(next) {
                _ if colour[rule] == 2 => {}
                Some(head) => {
                    colour[rule] = 1;
                    path.push((rule, next + 1));
                    match colour[*head] {
                        0 => path.push((*head, 0)),
                        1 => return Some(*head),
                        _ => {}
                    }
                }
                None => colour[rule] = 2,
            }
        }
    }
    None
}

fn heads(rule: &Alternatives, empty: &[bool]) -> Vec<usize> {
    let mut heads = Vec::new();
    for row in rule {
        for element in row {
            let Element::Rule(idx) = element else { break };
            heads.push(*idx);
            if !empty[*idx] {
                break;
            }
        }
    }
    heads
}

/// Which rules may take nothing.
fn nullable(rules: &[Alternatives]) -> Vec<bool> {
    let mut empty = vec![false; rules.len()];
    // Who must be looked at again when a rule turns out to be nullable.
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); rules.len()];
    for (idx, rule) in rules.iter().enumerate() {
        for element in rule.iter().flatten() {
            if let Element::Rule(used) = element {
                users[*used].push(idx);
            }
        }
    }
    let mut open: Vec<usize> = (0..rules.len()).collect();
    while let Some(idx) = open.pop() {
        let takes_nothing = |element: &Element| matches!(element, Element::Rule(used) if empty[*used]);
        if !empty[idx] && rules[idx].iter().any(|row| row.iter().all(takes_nothing)) {
            empty[idx] = true;
            open.extend(&users[idx]);
        }
    }
    empty
}

#[cfg(test)]
mod tests {
    use super::super::Matcher;
    use super::*;

    #[track_caller]
    fn check(grammar: &str, taken: &[&str], refused: &[&str]) {
        let grammar = Grammar::parse(grammar).unwrap();
        for text in taken {
            assert!(grammar.accepts(text), "{text:?} should be taken");
        }
        for text in refused {
            assert!(!grammar.accepts(text), "{text:?} should be refused");
        }
    }

    #[track_caller]
    fn wrong(grammar: &str, want: &str) {
        assert_eq!(Grammar::parse(grammar).unwrap_err().to_string(), want);
    }

    #[test]
    fn literals_classes_and_groups_match() {
        check(
            "root ::= \"ab\" [c-e]* (\"x\" | \"y\")?",
            &["ab", "abcde", "abx", "abcy"],
            &["a", "abxy", "abf"],
        );
        check("root ::= [^a-c\\n] .", &["d\n", "xx"], &["ax", "\nx", "d"]);
    }

    #[test]
    fn repetitions_count() {
        check("root ::= \"ab\"{2,3}", &["abab", "ababab"], &["ab", "abababab"]);
        check("root ::= [0-9]{3}", &["123"], &["12", "1234"]);
        check("root ::= \"a\"{2,}", &["aa", "aaaaa"], &["a"]);
        check("root ::= \"a\"{0} \"b\"", &["b"], &["ab"]);
    }

    #[test]
    fn rules_may_nest() {
        check("root ::= \"(\" root \")\" | \"x\"", &["x", "((x))"], &["(x", "()"]);
    }

    #[test]
    fn comments_and_lines_are_read() {
        check("# first\nroot ::= a | # or\n  b\na ::= \"a\"\r\nb ::= (\n \"b\"\n)\n", &["a", "b"], &[""]);
    }

    #[test]
    fn escapes_are_read() {
        check(r#"root ::= "\x41\u00e9\U0001F600\n\"" [\]\-]"#, &["A\u{e9}\u{1f600}\n\"]"], &["A"]);
    }

    #[test]
    fn a_long_repetition_keeps_few_stacks() {
        let grammar =
            Grammar::parse("root ::= \"\\\"\" c* \"\\\"\"\nc ::= [^\"\\\\] | \"\\\\\" [\"n]").unwrap();
        let mut matcher = Matcher::new(&grammar);
        assert!("\"".chars().chain("ab\\n".chars().cycle().take(10_000)).all(|c| matcher.push(c)));
        assert!(matcher.n_stacks() < 6, "{}", matcher.n_stacks());
    }

    #[test]
    fn what_llama_cpp_refuses_is_refused() {
        wrong("root ::= x", "rule x is used but not defined");
        wrong("main ::= \"x\"", "the grammar has no rule named root");
        wrong("root ::= root \"x\" | \"y\"", "rule root comes back to itself before it takes a character");
        wrong(
            "root ::= a \"x\"\na ::= b? root\nb ::= \"b\"",
            "rule root comes back to itself before it takes a character",
        );
        wrong("root ::= (\"x\"?)*", "rule of a group comes back to itself before it takes a character");
        wrong("root ::= \"x\"{3000}", "line 1 of the grammar: a repetition is too large");
        wrong("root ::= (\"x\"{0,50}){50}", "line 1 of the grammar: a repetition is too large");
        wrong("root ::= *", "line 1 of the grammar: nothing stands before a repetition");
        wrong("root ::= \"x", "line 1 of the grammar: the text ends within quotes or brackets");
        wrong("root ::= \"x\"\n\"y\"", "line 2 of the grammar: a rule's name is missing");
        wrong("root ::= [\\^]", "line 1 of the grammar: an unknown escape");
        wrong("root ::= <[7]>", "line 1 of the grammar: token elements are not taken from outside");
    }

    #[test]
    fn a_grammar_that_explodes_is_refused() {
        let mut text = "root ::= r0\n".to_string();
        (0..300).for_each(|n| text += &format!("r{n} ::= \"{}\"{{100}} r{}\n", "x".repeat(20), n + 1));
        wrong(&text, "the grammar has more than 400000 elements when written out");
        wrong(
            &format!("root ::= {}", "(".repeat(70)),
            "line 1 of the grammar: groups within groups are too deep",
        );
        wrong(
            &"#".repeat(GRAMMAR_BYTES_MAX + 1),
            "the grammar has 524289 bytes, but at most 524288 are allowed",
        );
    }
}
