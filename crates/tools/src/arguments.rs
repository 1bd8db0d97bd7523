//! Checks what a call brings against what its tool wants; each error says how it is mended.
//!
//! Small models write numbers and yes or no as texts, and workflows know texts alone: those are read as what is wanted.

use crate::cut;
use crate::spec::{Field, Kind, Spec};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;

/// What was written in place of a value, as far as an error repeats it.
const SHOWN_BYTES_MAX: usize = 60;

/// A value that was checked.
#[derive(Clone, Debug, PartialEq)]
pub enum Argument {
    Text(String),
    Whole(i64),
    YesNo(bool),
    Json(Value),
}

/// By the names of their fields.
pub type Arguments = BTreeMap<String, Argument>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    Missing { field: String, about: String },
    Unknown { field: String, known: Vec<String> },
    Kind { field: String, want: &'static str, got: String },
    Long { field: String, bytes_max: usize },
    Range { field: String, least: i64, most: i64 },
    Choice { field: String, words: Vec<String> },
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Missing { field, about } => write!(f, "`{field}` is missing: {about}"),
            Wrong::Unknown { field, known } if known.is_empty() => {
                write!(f, "it takes no arguments; leave `{field}` out")
            }
            Wrong::Unknown { field, known } => {
                write!(f, "it takes no `{field}`; it takes {}", known.join(", "))
            }
            Wrong::Kind { field, want, got } => write!(f, "`{field}` must be {want}, not {got}"),
            Wrong::Long { field, bytes_max } => write!(f, "`{field}` has more than {bytes_max} bytes"),
            Wrong::Range { field, least, most } => {
                write!(f, "`{field}` must be a whole number from {least} to {most}")
            }
            Wrong::Choice { field, words } => write!(f, "`{field}` must be one of: {}", words.join(", ")),
        }
    }
}

impl std::error::Error for Wrong {}

impl Spec {
    /// What a tool may believe of its arguments.
    pub fn check(&self, given: &Map<String, Value>) -> Result<Arguments, Wrong> {
        if let Some(field) = given.keys().find(|name| !self.fields.iter().any(|field| field.name == **name)) {
            let known = self.fields.iter().map(|field| field.name.clone()).collect();
            return Err(Wrong::Unknown { field: cut(field, SHOWN_BYTES_MAX).to_owned(), known });
        }
        let mut checked = Arguments::new();
        for field in &self.fields {
            match given.get(&field.name) {
                None | Some(Value::Null) if field.is_required => {
                    return Err(Wrong::Missing { field: field.name.clone(), about: field.about.clone() });
                }
                None | Some(Value::Null) => {}
                Some(value) => _ = checked.insert(field.name.clone(), field.check(value)?),
            }
        }
        Ok(checked)
    }
}

impl Field {
    fn check(&self, value: &Value) -> Result<Argument, Wrong> {
        let field = || self.name.clone();
        let kind = |want| Wrong::Kind {
            field: field(),
            want,
            got: cut(&value.to_string(), SHOWN_BYTES_MAX).to_owned(),
        };
        match &self.kind {
            Kind::Text { bytes_max } => match value {
                Value::String(text) if text.len() > *bytes_max => {
                    Err(Wrong::Long { field: field(), bytes_max: *bytes_max })
                }
                Value::String(text) if text.contains('\0') => Err(kind("a text without zero bytes")),
                // Small models begin a text with a space; of a single line it is no part.
                Value::String(text) if !text.contains('\n') => {
                    Ok(Argument::Text(text.trim_matches(' ').to_owned()))
                }
                Value::String(text) => Ok(Argument::Text(text.clone())),
                // A number where a text is wanted says the same.
                Value::Number(number) => Ok(Argument::Text(number.to_string())),
                _ => Err(kind("a text")),
            },
            Kind::Whole { least, most } => {
                let number = match value {
                    Value::Number(number) => number.as_i64(),
                    Value::String(text) => text.trim().parse().ok(),
                    _ => return Err(kind("a whole number")),
                };
                let number = number.filter(|number| (least..=most).contains(&number));
                number.map(Argument::Whole).ok_or(Wrong::Range { field: field(), least: *least, most: *most })
            }
            Kind::Choice(words) => {
                let Value::String(text) = value else { return Err(kind("a word")) };
                let found = words.iter().find(|word| word.eq_ignore_ascii_case(text.trim()));
                let word = found.ok_or_else(|| Wrong::Choice { field: field(), words: words.clone() })?;
                Ok(Argument::Text(word.clone()))
            }
            Kind::YesNo => match value {
                Value::Bool(is_yes) => Ok(Argument::YesNo(*is_yes)),
                Value::String(text) => match text.trim() {
                    "yes" | "true" => Ok(Argument::YesNo(true)),
                    "no" | "false" => Ok(Argument::YesNo(false)),
                    _ => Err(kind("true or false")),
                },
                _ => Err(kind("true or false")),
            },
            Kind::Json { bytes_max } => {
                // What is nested any deeper is not let through by serde_json, which reads it.
                if value.to_string().len() > *bytes_max {
                    return Err(Wrong::Long { field: field(), bytes_max: *bytes_max });
                }
                Ok(Argument::Json(value.clone()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Spec {
        Spec::new("lamp", "Switches a lamp.")
            .field(Field::text("room", "where it stands", 8))
            .field(Field::whole("percent", "how bright", 0, 100).optional())
            .field(Field::choice("colour", "which colour", &["red", "blue"]).optional())
            .field(Field::yes_no("slowly", "whether to fade").optional())
            .field(Field::json("more", "anything", 20).optional())
    }

    /// What is written, and what of it is taken.
    #[track_caller]
    fn check(given: &str, want: Result<&str, &str>) {
        let given: Map<String, Value> = serde_json::from_str(given).unwrap();
        let got = spec().check(&given).map(|all| format!("{all:?}")).map_err(|wrong| wrong.to_string());
        match (got, want) {
            (Ok(got), Ok(want)) => assert!(got.contains(want), "{got}"),
            (Err(got), Err(want)) => assert_eq!(got, want),
            (got, want) => panic!("{got:?} instead of {want:?}"),
        }
    }

    #[test]
    fn arguments_are_read_as_what_is_wanted() {
        check(r#"{"room":"hall","percent":7}"#, Ok(r#"{"percent": Whole(7), "room": Text("hall")}"#));
        check(r#"{"room":3,"percent":" 7 ","slowly":"yes"}"#, Ok(r#""slowly": YesNo(true)"#));
        check(r#"{"room":"hall","colour":"RED","percent":null}"#, Ok(r#"Text("red")"#));
        check(r#"{"room":"hall","more":{"a":[1]}}"#, Ok("Json("));
        check(r#"{"room":" a hall "}"#, Ok(r#"Text("a hall")"#));
        check(r#"{"room":" a\nb "}"#, Ok(r#"Text(" a\nb ")"#));
    }

    #[test]
    fn each_error_says_how_it_is_mended() {
        check("{}", Err("`room` is missing: where it stands"));
        check(
            r#"{"room":"hall","lamp":1}"#,
            Err("it takes no `lamp`; it takes room, percent, colour, slowly, more"),
        );
        check(r#"{"room":["hall"]}"#, Err(r#"`room` must be a text, not ["hall"]"#));
        check(r#"{"room":"living room"}"#, Err("`room` has more than 8 bytes"));
        check(r#"{"room":"a\u0000b"}"#, Err(r#"`room` must be a text without zero bytes, not "a\u0000b""#));
        check(r#"{"room":"a","percent":101}"#, Err("`percent` must be a whole number from 0 to 100"));
        check(r#"{"room":"a","percent":1.5}"#, Err("`percent` must be a whole number from 0 to 100"));
        check(r#"{"room":"a","percent":true}"#, Err("`percent` must be a whole number, not true"));
        check(r#"{"room":"a","colour":"green"}"#, Err("`colour` must be one of: red, blue"));
        check(r#"{"room":"a","slowly":"maybe"}"#, Err(r#"`slowly` must be true or false, not "maybe""#));
        check(r#"{"room":"a","more":"aaaaaaaaaaaaaaaaaaaaaaaaaaa"}"#, Err("`more` has more than 20 bytes"));
        let none = Spec::new("time", "Tells the time.");
        let given = serde_json::from_str(r#"{"a":1}"#).unwrap();
        assert_eq!(none.check(&given).unwrap_err().to_string(), "it takes no arguments; leave `a` out");
    }
}
