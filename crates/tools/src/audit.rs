//! One line about each call, also about those that were refused: what was wanted, by whom, who allowed it, what came of it.

use crate::call::Call;
use crate::cut;
use crate::spec::NAME_BYTES_MAX;
use serde::{Deserialize, Serialize};

/// Of the arguments, of an error, and of who wanted it; longer ones are cut.
pub const ARGUMENTS_BYTES_MAX: usize = 2000;
pub const WHY_BYTES_MAX: usize = 300;
pub const WHO_BYTES_MAX: usize = 100;
/// Of a line, each letter of it written as six.
pub const LINE_BYTES_MAX: usize =
    6 * (ARGUMENTS_BYTES_MAX + WHY_BYTES_MAX + 2 * WHO_BYTES_MAX + NAME_BYTES_MAX) + 400;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditRecord {
    /// Counted from the first that was ever written here.
    pub number: u64,
    /// Seconds since 1970, or since the start where the clock is not set.
    pub at_s: u64,
    pub tool: String,
    pub arguments: String,
    pub asker: String,
    pub outcome: Outcome,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Who said yes or no, where somebody was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Of the run alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// Bytes that it said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// There is no such tool, its arguments are wrong, or the owner forbids it.
    Refused,
    /// It waits for a person.
    Asked,
    /// A person said no, or nothing.
    Denied,
    /// It begins to run; written before it does, so that a call which ends the program is in the book.
    Began,
    Done,
    Failed,
    /// It did not end in time.
    Late,
    /// Whoever wanted it has gone.
    Stopped,
}

impl AuditRecord {
    /// Of a call that came to nothing but a wish, or the first of several about one.
    pub fn new(at_s: u64, tool: &str, arguments: &str, asker: &str, outcome: Outcome) -> AuditRecord {
        AuditRecord {
            number: 0,
            at_s,
            tool: cut(tool, NAME_BYTES_MAX).to_owned(),
            arguments: cut(arguments, ARGUMENTS_BYTES_MAX).to_owned(),
            asker: cut(asker, WHO_BYTES_MAX).to_owned(),
            outcome,
            why: String::new(),
            by: None,
            took_ms: None,
            output: None,
        }
    }

    pub fn of(at_s: u64, call: &Call, outcome: Outcome) -> AuditRecord {
        let given = serde_json::Value::Object(call.given()).to_string();
        AuditRecord::new(at_s, &call.tool, &given, &call.asker.who, outcome)
    }

    pub fn why(self, why: &str) -> AuditRecord {
        AuditRecord { why: cut(why, WHY_BYTES_MAX).to_owned(), ..self }
    }

    pub fn by(self, by: &str) -> AuditRecord {
        AuditRecord { by: Some(cut(by, WHO_BYTES_MAX).to_owned()), ..self }
    }

    /// One line of JSON, with its end.
    pub fn line(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers can be written") + "\n"
    }

    /// A line that a power cut tore is none.
    pub fn read(line: &str) -> Option<AuditRecord> {
        (line.len() <= LINE_BYTES_MAX).then(|| serde_json::from_str(line).ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_and_comes_back() {
        let record = AuditRecord::new(7, "say", "{\"text\":\"a\\n\"}", "a talk\nforged", Outcome::Denied);
        let record = AuditRecord { number: 3, ..record.why("said no").by("the page") };
        let line = record.line();
        assert_eq!(line.matches('\n').count(), 1);
        assert_eq!(AuditRecord::read(&line), Some(record));
        assert_eq!(AuditRecord::read(&line[..line.len() / 2]), None);
    }

    #[test]
    fn a_line_has_its_limit_whatever_is_in_it() {
        let long = "\u{1}".repeat(1 << 16);
        let record = AuditRecord::new(u64::MAX, &long, &long, &long, Outcome::Refused).why(&long).by(&long);
        let record =
            AuditRecord { number: u64::MAX, took_ms: Some(u64::MAX), output: Some(u64::MAX), ..record };
        assert!(record.line().len() <= LINE_BYTES_MAX, "{}", record.line().len());
        assert_eq!(AuditRecord::read(&record.line()), Some(record));
    }
}
