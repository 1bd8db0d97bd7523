//! What a tool is: its name, what it wants, how long it may take and how dangerous it is.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Letters of a tool's or a field's name.
pub const NAME_BYTES_MAX: usize = 64;
/// Of a sentence that says what something is for.
pub const ABOUT_BYTES_MAX: usize = 300;
pub const FIELDS_MAX: usize = 16;
pub const CHOICES_MAX: usize = 32;
/// Longest text that any field may take.
pub const TEXT_BYTES_MAX: usize = 64 << 10;
pub const SECONDS_MAX: u32 = 600;
pub const OUTPUT_BYTES_MAX: usize = 64 << 10;

/// What must happen before a call runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// Nothing: it harms nobody.
    Free,
    /// A person says yes to exactly this call.
    Ask,
    /// It never runs.
    Forbidden,
}

impl Risk {
    pub const WORDS: [&str; 3] = ["free", "ask", "forbidden"];

    pub fn parse(word: &str) -> Option<Risk> {
        let all = [Risk::Free, Risk::Ask, Risk::Forbidden];
        all.into_iter().find(|risk| risk.word() == word)
    }

    pub fn word(self) -> &'static str {
        Risk::WORDS[self as usize]
    }
}

/// Whether a small PC should rather leave it to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    Light,
    Heavy,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Small letters, digits, `-`, `_` and dots between them: `web.fetch`.
    pub name: String,
    /// One sentence, for models and persons.
    pub about: String,
    pub fields: Vec<Field>,
    /// What holds where the owner says nothing.
    pub risk: Risk,
    pub seconds_max: u32,
    /// Bytes of what it says; more is cut.
    pub output_max: usize,
    pub weight: Weight,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    pub about: String,
    pub kind: Kind,
    pub is_required: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Text {
        bytes_max: usize,
    },
    /// A whole number; both ends belong to it.
    Whole {
        least: i64,
        most: i64,
    },
    /// One of these words.
    Choice(Vec<String>),
    YesNo,
    /// Anything that JSON can say, for tools of others, whose fields are not ours.
    Json {
        bytes_max: usize,
    },
}

/// Why a spec is none, in a sentence; such a one comes from outside alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecError(pub String);

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SpecError {}

impl Spec {
    /// A tool that is free, light, wants nothing, and has 5 s and 4 KiB.
    pub fn new(name: &str, about: &str) -> Spec {
        Spec {
            name: name.to_owned(),
            about: about.to_owned(),
            fields: vec![],
            risk: Risk::Free,
            seconds_max: 5,
            output_max: 4 << 10,
            weight: Weight::Light,
        }
    }

    pub fn field(mut self, field: Field) -> Spec {
        self.fields.push(field);
        self
    }

    pub fn ask(self) -> Spec {
        Spec { risk: Risk::Ask, ..self }
    }

    pub fn seconds(self, seconds_max: u32) -> Spec {
        Spec { seconds_max, ..self }
    }

    pub fn output(self, output_max: usize) -> Spec {
        Spec { output_max, ..self }
    }

    pub fn heavy(self) -> Spec {
        Spec { weight: Weight::Heavy, ..self }
    }

    /// Whether it keeps the limits; whoever takes specs from outside asks.
    pub fn good(self) -> Result<Spec, SpecError> {
        let wrong = |what: String| Err(SpecError(what));
        if !is_name(&self.name) {
            return wrong(format!("{:?} is no name of a tool", crate::cut(&self.name, NAME_BYTES_MAX)));
        }
        let name = &self.name;
        if !is_about(&self.about) {
            return wrong(format!("{name}: what it is for must be one line of 1 to {ABOUT_BYTES_MAX} bytes"));
        }
        if self.fields.len() > FIELDS_MAX {
            return wrong(format!("{name} has more than {FIELDS_MAX} fields"));
        }
        if !(1..=SECONDS_MAX).contains(&self.seconds_max)
            || !(1..=OUTPUT_BYTES_MAX).contains(&self.output_max)
        {
            return wrong(format!("{name}: at most {SECONDS_MAX} seconds and {OUTPUT_BYTES_MAX} bytes"));
        }
        for (idx, field) in self.fields.iter().enumerate() {
            if let Some(what) = field.fault() {
                return wrong(format!("{name}: {what}"));
            }
            if self.fields[..idx].iter().any(|other| other.name == field.name) {
                return wrong(format!("{name} has the field {} twice", field.name));
            }
        }
        Ok(self)
    }
}

impl Field {
    fn new(name: &str, about: &str, kind: Kind) -> Field {
        Field { name: name.to_owned(), about: about.to_owned(), kind, is_required: true }
    }

    /// A text that must be there.
    pub fn text(name: &str, about: &str, bytes_max: usize) -> Field {
        Field::new(name, about, Kind::Text { bytes_max })
    }

    pub fn whole(name: &str, about: &str, least: i64, most: i64) -> Field {
        Field::new(name, about, Kind::Whole { least, most })
    }

    pub fn choice(name: &str, about: &str, words: &[&str]) -> Field {
        Field::new(name, about, Kind::Choice(words.iter().map(|word| (*word).to_owned()).collect()))
    }

    pub fn yes_no(name: &str, about: &str) -> Field {
        Field::new(name, about, Kind::YesNo)
    }

    pub fn json(name: &str, about: &str, bytes_max: usize) -> Field {
        Field::new(name, about, Kind::Json { bytes_max })
    }

    /// It may be left out.
    pub fn optional(self) -> Field {
        Field { is_required: false, ..self }
    }

    fn fault(&self) -> Option<String> {
        let name = crate::cut(&self.name, NAME_BYTES_MAX);
        let is_word = |word: &String| is_about(word) && word.len() <= NAME_BYTES_MAX;
        // Fields of others' tools may have capitals.
        if !is_name(&self.name.to_ascii_lowercase()) {
            return Some(format!("{name:?} is no name of a field"));
        }
        if !is_about(&self.about) {
            return Some(format!("what the field {name} is for must be one line"));
        }
        let is_good = match &self.kind {
            Kind::Text { bytes_max } | Kind::Json { bytes_max } => (1..=TEXT_BYTES_MAX).contains(bytes_max),
            Kind::Whole { least, most } => least <= most,
            Kind::Choice(words) => (1..=CHOICES_MAX).contains(&words.len()) && words.iter().all(is_word),
            Kind::YesNo => true,
        };
        (!is_good).then(|| format!("the limits of the field {name} are none"))
    }
}

/// Whether a word can be the name of a tool.
pub fn is_name(word: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    word.len() <= NAME_BYTES_MAX
        && word.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase())
        && word.bytes().all(known)
        && !word.ends_with('.')
        && !word.contains("..")
}

fn is_about(text: &str) -> bool {
    (1..=ABOUT_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_from_outside_keeps_its_limits_or_is_none() {
        let spec = || Spec::new("files.read", "Reads a file.").field(Field::text("Path", "which", 100));
        assert!(spec().good().is_ok());
        for name in ["", "A", "9a", "a b", "a.", "a..b", "-a", "é", &"a".repeat(65)] {
            assert!(Spec { name: name.to_string(), ..spec() }.good().is_err(), "{name}");
        }
        assert!(Spec { about: "a\nb".into(), ..spec() }.good().is_err());
        assert!(spec().seconds(0).good().is_err() && spec().output(1 << 20).good().is_err());
        assert!(spec().field(Field::text("Path", "again", 1)).good().is_err());
        assert!(spec().field(Field::choice("x", "none", &[])).good().is_err());
        assert!(spec().field(Field::whole("x", "none", 2, 1)).good().is_err());
        assert!(spec().field(Field::text("x y", "a", 1)).good().is_err());
    }

    #[test]
    fn a_risk_is_the_word_that_it_is_called_by() {
        for word in Risk::WORDS {
            assert_eq!(Risk::parse(word).map(Risk::word), Some(word));
        }
        assert_eq!(Risk::parse("Free"), None);
    }
}
