//! A written clause as somebody would say it: no marks, no addresses letter by letter, units in words.
//!
//! Numbers themselves are left as they are: a speech engine says them better than we do.

mod mark;

use crate::clause::Clause;
use serde::Deserialize;
use std::collections::BTreeMap;

pub const FILE_BYTES_MAX: usize = 64 << 10;
/// A longer row of digits is no amount: it is said digit by digit.
const DIGITS_MAX: usize = 12;

/// One word for one, one for many.
type Pair = [String; 2];

/// How one language says what is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sayings {
    pub language: String,
    code: String,
    dot: String,
    at: String,
    /// Between two numbers.
    to: String,
    minus: String,
    about: String,
    time: String,
    /// A time without minutes.
    hour: String,
    words: BTreeMap<String, String>,
    units: BTreeMap<String, Pair>,
    money: BTreeMap<String, Pair>,
}

impl Sayings {
    /// Reads the text of such a file; the error tells line and column.
    pub fn read(text: &str) -> Result<Sayings, String> {
        if text.len() > FILE_BYTES_MAX {
            return Err(format!("the file has {} bytes, at most {FILE_BYTES_MAX} are read", text.len()));
        }
        toml::from_str(text).map_err(|error| error.to_string())
    }

    /// What is to be said of a clause, if anything is.
    pub fn say(&self, clause: &Clause) -> Option<String> {
        let said = match clause {
            Clause::Text(text) => self.text(&mark::bare(text)),
            Clause::Code { n_lines } => self.code.replace("{n}", &n_lines.to_string()),
        };
        said.chars().any(char::is_alphanumeric).then_some(said)
    }

    fn text(&self, text: &str) -> String {
        let mut said: Vec<String> = vec![];
        let mut written = text.split_whitespace().peekable();
        while let Some(word) = written.next() {
            let (open, core, close) = self.framed(word);
            // A unit may stand apart: 5 km.
            let next = written.peek().map(|next| self.framed(next));
            let apart =
                next.filter(|(open, ..)| open.is_empty() && close.is_empty()).and_then(|(_, unit, close)| {
                    let pair = self.units.get(unit).filter(|_| is_number(core))?;
                    Some(format!("{core} {}{close}", number_of(core, pair)))
                });
            let core = match apart {
                Some(both) => {
                    written.next();
                    both
                }
                None => self.word(core),
            };
            said.push(format!("{open}{core}{close}"));
        }
        said.retain(|word| word.chars().any(|char| char.is_alphanumeric()));
        said.join(" ")
    }

    /// Opening marks, the word, closing marks.
    fn framed<'a>(&self, word: &'a str) -> (&'a str, &'a str, &'a str) {
        let start = word.find(|char| !matches!(char, '(' | '"' | '“' | '„' | '\'')).unwrap_or(0);
        let (open, rest) = word.split_at(start);
        let end = rest.trim_end_matches([',', ';', ':', '!', '?', ')', '"', '”', '\'', '.']).len();
        // A full stop may be a part of the word: e.g.
        let end = if self.words.contains_key(rest.get(..end + 1).unwrap_or(rest)) { end + 1 } else { end };
        let (core, close) = rest.split_at(end.min(rest.len()));
        (open, core, close)
    }

    fn word(&self, word: &str) -> String {
        if let Some(said) = self.words.get(word) {
            return said.clone();
        }
        if let Some(address) = self.address(word) {
            return address;
        }
        if let Some((from, to)) =
            word.split_once(['–', '-']).filter(|(from, to)| is_number(from) && is_begun_number(to))
        {
            return format!("{from} {} {}", self.to, self.word(to));
        }
        if let Some(rest) = word.strip_prefix(['-', '−']).filter(|rest| is_begun_number(rest)) {
            return format!("{} {}", self.minus, self.word(rest));
        }
        if let Some(rest) = word.strip_prefix(['~', '≈']).filter(|rest| is_begun_number(rest)) {
            return format!("{} {}", self.about, self.word(rest));
        }
        if let Some(time) = self.clock(word) {
            return time;
        }
        for (sign, pair) in &self.money {
            if let Some(amount) = word.strip_prefix(sign.as_str()).filter(|amount| is_number(amount)) {
                return format!("{amount} {}", number_of(amount, pair));
            }
        }
        let digits_end = word.find(|char: char| !(char.is_ascii_digit() || matches!(char, '.' | ',')));
        if let Some((amount, unit)) =
            digits_end.map(|end| word.split_at(end)).filter(|(amount, _)| is_number(amount))
            && let Some(pair) = self.units.get(unit)
        {
            return format!("{amount} {}", number_of(amount, pair));
        }
        if word.len() > DIGITS_MAX && word.bytes().all(|byte| byte.is_ascii_digit()) {
            return word.chars().map(String::from).collect::<Vec<_>>().join(" ");
        }
        word.chars().filter(|char| mark::is_said(*char)).collect()
    }

    /// `https://example.org/a?b` is said by its host, `a@example.org` whole.
    fn address(&self, word: &str) -> Option<String> {
        let host = word.strip_prefix("https://").or_else(|| word.strip_prefix("http://"));
        let dotted = |host: &str| host.replace('.', &format!(" {} ", self.dot));
        if let Some(host) = host {
            let host = host.split(['/', '?', '#', ':']).next().unwrap_or(host);
            return Some(dotted(host.strip_prefix("www.").unwrap_or(host)));
        }
        let (name, host) = word.split_once('@')?;
        let is_host = host.contains('.') && !name.is_empty();
        is_host.then(|| format!("{} {} {}", dotted(name), self.at, dotted(host)))
    }

    fn clock(&self, word: &str) -> Option<String> {
        let (hour, minute) = word.split_once(':')?;
        let is_time =
            |text: &str, limit: u32| text.len() <= 2 && text.parse().is_ok_and(|number: u32| number < limit);
        if !is_time(hour, 24) || minute.len() != 2 || !is_time(minute, 60) {
            return None;
        }
        let form = if minute == "00" { &self.hour } else { &self.time };
        let hour = hour.strip_prefix('0').filter(|hour| !hour.is_empty()).unwrap_or(hour);
        Some(form.replace("{hour}", hour).replace("{minute}", minute))
    }
}

fn is_begun_number(word: &str) -> bool {
    word.starts_with(|char: char| char.is_ascii_digit())
}

fn is_number(word: &str) -> bool {
    is_begun_number(word) && word.chars().all(|char| char.is_ascii_digit() || matches!(char, '.' | ','))
}

fn number_of<'a>(amount: &str, pair: &'a Pair) -> &'a str {
    &pair[usize::from(amount != "1")]
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGLISH: &str = include_str!("../../../agent/speech/en.toml");
    const GERMAN: &str = include_str!("../../../agent/speech/de.toml");

    fn check(file: &str, written: &str, want: &str) {
        let said = Sayings::read(file).unwrap().say(&Clause::Text(written.to_owned()));
        assert_eq!(said.as_deref().unwrap_or("-"), want, "{written}");
    }

    #[test]
    fn marks_are_not_said() {
        check(ENGLISH, "## The *big* **plan**, `now`", "The big plan, now");
        check(ENGLISH, "- ~~no~~ _yes_!", "no yes!");
        check(ENGLISH, "1. Switch it off.", "1. Switch it off.");
        check(ENGLISH, "> He said \"go\" (loudly).", "He said \"go\" (loudly).");
        check(ENGLISH, "Great 🎉 news ✅", "Great news");
        check(ENGLISH, "🎉 — !", "-");
    }

    #[test]
    fn links_are_said_by_what_they_show_or_by_their_host() {
        check(ENGLISH, "See [the manual](https://example.org/a/b).", "See the manual.");
        check(ENGLISH, "See https://www.example.org/a?b=c.", "See example dot org.");
        check(ENGLISH, "Write to jo.b@example.org, soon", "Write to jo dot b at example dot org, soon");
        check(
            ENGLISH,
            "an array[3](x)",
            "an array[3](x)".replace(['[', ']'], " ").replace(" 3 ", "3").as_str(),
        );
    }

    #[test]
    fn units_are_said_in_words() {
        check(
            ENGLISH,
            "It is 5 km, 1 km, 20°C or 3.5 km/h.",
            "It is 5 kilometres, 1 kilometre, 20 degrees Celsius or 3.5 kilometres per hour.",
        );
        check(ENGLISH, "I am 5 m from a m.", "I am 5 metres from a m.");
        check(ENGLISH, "50% of 2 GB & $3", "50 percent of 2 gigabytes and 3 dollars");
        check(GERMAN, "1 € für 3,5 l, z.B. Milch", "1 Euro für 3,5 Liter, zum Beispiel Milch");
    }

    #[test]
    fn numbers_and_times_keep_their_sense() {
        check(ENGLISH, "From -5 to 3-4 at 14:05 or 9:00.", "From minus 5 to 3 to 4 at 14 05 or 9 o'clock.");
        check(GERMAN, "Um 14:05 und 9:00", "Um 14 Uhr 05 und 9 Uhr");
        check(GERMAN, "Um 00:30, 0:10 und 07:05", "Um 0 Uhr 30, 0 Uhr 10 und 7 Uhr 05");
        check(ENGLISH, "~5 of 1,000,000", "about 5 of 1,000,000");
        check(ENGLISH, "Call 1234567890123", "Call 1 2 3 4 5 6 7 8 9 0 1 2 3");
        check(ENGLISH, "a well-known 10:1 ratio", "a well-known 10:1 ratio");
    }

    #[test]
    fn shortened_words_are_said_whole() {
        check(ENGLISH, "fruit, e.g. pears, etc.", "fruit, for example pears, and so on");
        check(ENGLISH, "one vs. two", "one versus two");
    }

    #[test]
    fn code_is_told_by_its_length() {
        let said = Sayings::read(ENGLISH).unwrap().say(&Clause::Code { n_lines: 3 });
        assert_eq!(said.as_deref(), Some("3 lines of code, shown on the page"));
    }

    #[test]
    fn a_file_with_a_fault_says_where() {
        let error = Sayings::read("language = \"en\"\nwrong = 3\n").unwrap_err();
        assert!(error.contains("line 2"), "{error}");
        assert!(Sayings::read(&" ".repeat(FILE_BYTES_MAX + 1)).is_err());
    }
}
