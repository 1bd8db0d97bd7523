//! The small part of TOML that this crate writes: one `[section]` or one `key = value` to a line.
//!
//! Values are strings without escapes, whole numbers, and lists of such strings on one line.
//! Comments, dates, floats, nested tables and escapes are unknown on purpose: we never write them.

use crate::Error;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// `[name]` or `[[name]]`, with the name between the brackets.
    Section(&'a str),
    Entry(&'a str, Value<'a>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Text(&'a str),
    Number(u64),
    List(Vec<&'a str>),
}

/// A text under its size limit, and its name for error sentences.
pub(crate) struct Text<'a> {
    what: &'static str,
    text: &'a str,
}

impl<'a> Text<'a> {
    pub(crate) fn new(what: &'static str, bytes: &'a [u8], bytes_max: usize) -> Result<Text<'a>, Error> {
        if bytes.len() > bytes_max {
            return Err(Error::TooLong { what, bytes_max });
        }
        let text = std::str::from_utf8(bytes).map_err(|_| Error::NotText { what })?;
        Ok(Text { what, text })
    }

    /// Every line that is not empty, with its number.
    pub(crate) fn lines(&self) -> impl Iterator<Item = Result<(Place, Line<'a>), Error>> {
        let what = self.what;
        let numbered = self.text.split('\n').enumerate().filter(|(_, line)| !line.is_empty());
        numbered.map(move |(idx, line)| {
            let place = Place { what, line: idx + 1 };
            Ok((place, parse_line(line).ok_or_else(|| place.wrong("not a line that duet writes"))?))
        })
    }
}

/// Where a value stood, so that an error can say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    what: &'static str,
    line: usize,
}

impl Place {
    pub(crate) fn wrong(self, want: &'static str) -> Error {
        Error::Line { what: self.what, line: self.line, want }
    }
}

impl<'a> Value<'a> {
    pub(crate) fn text(&self, place: Place) -> Result<&'a str, Error> {
        match self {
            Value::Text(text) => Ok(text),
            _ => Err(place.wrong("a text in quotes was expected")),
        }
    }

    pub(crate) fn number(&self, place: Place) -> Result<u64, Error> {
        match self {
            Value::Number(number) => Ok(*number),
            _ => Err(place.wrong("a whole number was expected")),
        }
    }

    pub(crate) fn list(&self, place: Place) -> Result<&[&'a str], Error> {
        match self {
            Value::List(list) => Ok(list),
            _ => Err(place.wrong("a list was expected")),
        }
    }
}

fn parse_line(line: &str) -> Option<Line<'_>> {
    if let Some(name) = line.strip_prefix("[[").and_then(|rest| rest.strip_suffix("]]")) {
        return Some(Line::Section(name));
    }
    if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return Some(Line::Section(name));
    }
    let (key, value) = line.split_once(" = ")?;
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    (!key.is_empty() && key.bytes().all(good)).then_some(Line::Entry(key, parse_value(value)?))
}

fn parse_value(value: &str) -> Option<Value<'_>> {
    if let Some(inner) = value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let items = inner.split(", ").filter(|_| !inner.is_empty());
        return items.map(parse_text).collect::<Option<_>>().map(Value::List);
    }
    parse_text(value).map(Value::Text).or_else(|| parse_number(value).map(Value::Number))
}

fn parse_text(value: &str) -> Option<&str> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    let good = |b: u8| (b' '..=b'~').contains(&b) && b != b'"' && b != b'\\';
    inner.bytes().all(good).then_some(inner)
}

/// One way to write each number: no sign, no leading zero.
fn parse_number(value: &str) -> Option<u64> {
    let number: u64 = value.parse().ok()?;
    (number.to_string() == value).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, want: Option<Line<'_>>) {
        assert_eq!(parse_line(line), want, "{line:?}");
    }

    #[test]
    fn a_section_keeps_what_stands_between_its_brackets() {
        check("[files.\"initrd\"]", Some(Line::Section("files.\"initrd\"")));
        check("[[stage]]", Some(Line::Section("stage")));
    }

    #[test]
    fn a_value_is_a_text_a_number_or_a_list() {
        check("a = \"b c\"", Some(Line::Entry("a", Value::Text("b c"))));
        check("a_1 = 18446744073709551615", Some(Line::Entry("a_1", Value::Number(u64::MAX))));
        check("a = [\"b\", \"c\"]", Some(Line::Entry("a", Value::List(vec!["b", "c"]))));
        check("a = []", Some(Line::Entry("a", Value::List(vec![]))));
    }

    #[test]
    fn a_line_we_never_write_is_refused() {
        for bad in [
            "a=1",
            "a = 01",
            "a = +1",
            "a = 18446744073709551616",
            "a = 'b'",
            "a = \"b",
            "a = \"",
            "a = \"b\"c\"",
            "a = \"\\n\"",
            "a = \"\u{e9}\"",
            "a = \"b\tc\"",
            "a = [\"b\",\"c\"]",
            "A = 1",
            " = 1",
            "# a",
            "[a",
            "a = 1 # b",
            "a = 1\r",
        ] {
            check(bad, None);
        }
    }
}
