//! A call: as a model writes it, and as it was checked.
//!
//! A model writes one JSON object on a line of its own, `{"tool":"calculator","arguments":{"sum":"2+2"}}`, or
//! `{"tool":"none"}` where it needs none. What it writes before and after is passed over, so that a model without a
//! grammar can be read too; `schema` is what holds one with a grammar to it.

use crate::arguments::{Argument, Arguments, Wrong};
use crate::spec::{NAME_BYTES_MAX, Spec};
use serde_json::{Map, Value};
use std::fmt;

/// Longest text of a model in which a call is looked for.
pub const TEXT_BYTES_MAX: usize = 80 << 10;
/// The name that says that no tool is needed.
pub const NONE: &str = "none";

/// What somebody wants to have done; nothing of it was checked but its form.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    pub tool: String,
    pub arguments: Map<String, Value>,
}

/// Why a text holds no call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It says that it needs no tool.
    None,
    NoCall,
    Long,
    Name,
    Arguments,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unread::None => f.write_str("no tool is needed"),
            Unread::NoCall => {
                f.write_str(r#"there is no call; write {"tool":"NAME","arguments":{}} on a line of its own"#)
            }
            Unread::Long => write!(f, "a call has at most {TEXT_BYTES_MAX} bytes"),
            Unread::Name => f.write_str("`tool` must be the name of a tool"),
            Unread::Arguments => f.write_str("`arguments` must be an object of names and values"),
        }
    }
}

impl std::error::Error for Unread {}

impl Wanted {
    /// The first call in what a model wrote.
    pub fn read(text: &str) -> Result<Wanted, Unread> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(Unread::Long);
        }
        // Some break the line inside of the object; then the text as a whole is one.
        let lines = std::iter::once(text).chain(text.lines()).map(str::trim);
        let mut objects =
            lines.filter(|line| line.starts_with('{')).filter_map(|line| serde_json::from_str(line).ok());
        let found = objects.find(|object: &Map<String, Value>| object.contains_key("tool"));
        let mut object = found.ok_or(Unread::NoCall)?;
        let tool = match object.remove("tool") {
            Some(Value::String(tool)) if tool.len() <= NAME_BYTES_MAX => tool,
            _ => return Err(Unread::Name),
        };
        if tool == NONE {
            return Err(Unread::None);
        }
        let arguments = match object.remove("arguments") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(arguments)) => arguments,
            Some(_) => return Err(Unread::Arguments),
        };
        if !object.is_empty() || !crate::spec::is_name(&tool) {
            return Err(if object.is_empty() { Unread::Name } else { Unread::NoCall });
        }
        Ok(Wanted { tool, arguments })
    }
}

/// Who had the idea. What a model wants may have been put into its mouth by a page that it read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Typed or pressed it.
    Person,
    /// A workflow says that this tool runs here; the arguments may be a model's.
    Workflow,
    Model,
}

/// Who wants a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    pub origin: Origin,
    /// For persons and the audit: `a talk at kitchen`, `the command line`.
    pub who: String,
    /// The conversation, where there is one.
    pub talk: Option<u64>,
}

/// A call whose arguments are as its tool wants them.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub tool: String,
    pub arguments: Arguments,
    pub asker: Asker,
    /// Who said yes to it, where a person had to.
    pub yes: Option<String>,
    /// It came from another node, and goes to no third.
    pub stays: bool,
}

impl Call {
    pub fn new(spec: &Spec, wanted: &Wanted, asker: Asker) -> Result<Call, Wrong> {
        Ok(Call {
            tool: spec.name.clone(),
            arguments: spec.check(&wanted.arguments)?,
            asker,
            yes: None,
            stays: false,
        })
    }

    /// A text or a choice.
    pub fn text(&self, field: &str) -> Option<&str> {
        match self.arguments.get(field) {
            Some(Argument::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub fn whole(&self, field: &str) -> Option<i64> {
        match self.arguments.get(field) {
            Some(Argument::Whole(number)) => Some(*number),
            _ => None,
        }
    }

    /// What is left out is no.
    pub fn is_yes(&self, field: &str) -> bool {
        matches!(self.arguments.get(field), Some(Argument::YesNo(true)))
    }

    pub fn json(&self, field: &str) -> Option<&Value> {
        match self.arguments.get(field) {
            Some(Argument::Json(value)) => Some(value),
            _ => None,
        }
    }

    /// The arguments as JSON again, for another program or another node.
    pub fn given(&self) -> Map<String, Value> {
        let value = |argument: &Argument| match argument {
            Argument::Text(text) => Value::String(text.clone()),
            Argument::Whole(number) => Value::from(*number),
            Argument::YesNo(is_yes) => Value::Bool(*is_yes),
            Argument::Json(value) => value.clone(),
        };
        self.arguments.iter().map(|(name, argument)| (name.clone(), value(argument))).collect()
    }

    /// Exactly what will run, on one line, for whoever is to say yes.
    pub fn will_run(&self) -> String {
        format!("{} {}", self.tool, visible(&Value::Object(self.given()).to_string()))
    }
}

/// Letters that turn the line around or hide in it are written as what they are: a person must see what runs.
pub fn visible(json: &str) -> String {
    let is_hidden = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
    };
    let mut shown = String::with_capacity(json.len());
    for letter in json.chars() {
        match is_hidden(letter) {
            true => shown.push_str(&format!("\\u{{{:x}}}", u32::from(letter))),
            false => shown.push(letter),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Field;

    #[track_caller]
    fn check(text: &str, want: Result<(&str, &str), Unread>) {
        let got = Wanted::read(text).map(|wanted| (wanted.tool, Value::Object(wanted.arguments).to_string()));
        assert_eq!(got, want.map(|(tool, arguments)| (tool.to_owned(), arguments.to_owned())), "{text}");
    }

    #[test]
    fn a_call_is_found_in_what_a_model_writes() {
        check(r#"{"tool":"time"}"#, Ok(("time", "{}")));
        check(
            "Let me see.\n```json\n{\"tool\":\"a.b\",\"arguments\":{\"x\":1}}\n```",
            Ok(("a.b", r#"{"x":1}"#)),
        );
        check("{\n \"tool\": \"a\",\n \"arguments\": {}\n}", Ok(("a", "{}")));
        check("{\"a\":1}\n{\"tool\":\"first\"}\n{\"tool\":\"second\"}", Ok(("first", "{}")));
        check(r#"{"tool":"none"}"#, Err(Unread::None));
    }

    #[test]
    fn what_is_no_call_is_told_as_such() {
        for text in ["", "4", "{", "[{\"tool\":\"a\"}]", "x {\"tool\":\"a\"}", r#"{"tool":"a","more":1}"#] {
            check(text, Err(Unread::NoCall));
        }
        for text in [r#"{"tool":1}"#, r#"{"tool":"A b"}"#, r#"{"tool":""}"#] {
            check(text, Err(Unread::Name));
        }
        check(r#"{"tool":"a","arguments":[1]}"#, Err(Unread::Arguments));
        check(&" ".repeat(TEXT_BYTES_MAX + 1), Err(Unread::Long));
        check(&format!(r#"{{"tool":{}}}"#, "[".repeat(5000)), Err(Unread::NoCall));
    }

    #[test]
    fn a_person_sees_all_letters_of_what_will_run() {
        let spec = Spec::new("say", "Says.").field(Field::text("text", "what", 100));
        let wanted =
            Wanted::read("{\"tool\":\"say\",\"arguments\":{\"text\":\"a\\n\u{202e}b\u{200b}\u{9b}\"}}")
                .unwrap();
        let asker = Asker { origin: Origin::Model, who: "a test".into(), talk: None };
        let call = Call::new(&spec, &wanted, asker).unwrap();
        assert_eq!(call.will_run(), r#"say {"text":"a\n\u{202e}b\u{200b}\u{9b}"}"#);
        assert_eq!(call.given(), wanted.arguments);
    }
}
