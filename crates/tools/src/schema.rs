//! Specs as JSON Schema: each for the API, and all together as the one object by which a model calls a tool or none.
//!
//! The latter is also the grammar: whoever makes a grammar of a JSON schema holds a model to exactly the calls that are
//! read by `call`.

use crate::call::NONE;
use crate::spec::{Kind, Spec};
use serde_json::{Map, Value, json};

/// Longest text that a model may write into one field under a grammar: a grammar counts each letter.
const GRAMMAR_LETTERS_MAX: usize = 300;

impl Spec {
    /// What its arguments are.
    pub fn parameters(&self) -> Value {
        self.object(described)
    }

    fn object(&self, value: impl Fn(&Kind, &str) -> Value) -> Value {
        let properties: Map<String, Value> =
            self.fields.iter().map(|field| (field.name.clone(), value(&field.kind, &field.about))).collect();
        let required: Vec<&str> =
            self.fields.iter().filter(|field| field.is_required).map(|field| field.name.as_str()).collect();
        json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
    }

    /// As the OpenAI API has it.
    pub fn function(&self) -> Value {
        json!({
            "type": "function",
            "function": { "name": self.name, "description": self.about, "parameters": self.parameters() },
        })
    }

    /// A line for a prompt: `calculator(sum): Works a sum out.`
    pub fn line(&self) -> String {
        let name = |field: &crate::spec::Field| match (&field.kind, field.is_required) {
            (Kind::Choice(words), _) => format!("{}: {}", field.name, words.join("|")),
            (_, true) => field.name.clone(),
            (_, false) => format!("{}?", field.name),
        };
        let fields: Vec<String> = self.fields.iter().map(name).collect();
        format!("{}({}): {}", self.name, fields.join(", "), self.about)
    }
}

fn described(kind: &Kind, about: &str) -> Value {
    let mut value = bare(kind, usize::MAX);
    if let Some(object) = value.as_object_mut() {
        object.insert("description".into(), about.into());
    }
    value
}

fn bare(kind: &Kind, letters_max: usize) -> Value {
    match kind {
        Kind::Text { bytes_max } => json!({ "type": "string", "maxLength": bytes_max.min(&letters_max) }),
        Kind::Whole { least, most } => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Choice(words) => json!({ "type": "string", "enum": words }),
        Kind::YesNo => json!({ "type": "boolean" }),
        Kind::Json { .. } => json!({}),
    }
}

/// The calls that these tools allow, and the call of none. It is a text, because a model writes fields in the order in
/// which they stand: first the tool, and what it is told then.
pub fn calls(specs: &[Spec]) -> String {
    let closed = |properties: String, required: &str| {
        format!(
            r#"{{"type":"object","properties":{{{properties}}},"required":[{required}],"additionalProperties":false}}"#
        )
    };
    let name = |name: &str| format!(r#""tool":{}"#, json!({ "const": name }));
    let call = |spec: &Spec| {
        let arguments = spec.object(|kind, _| bare(kind, GRAMMAR_LETTERS_MAX));
        closed(format!(r#"{},"arguments":{arguments}"#, name(&spec.name)), r#""tool","arguments""#)
    };
    let none = closed(name(NONE), r#""tool""#);
    let all: Vec<String> = specs.iter().map(call).chain([none]).collect();
    format!(r#"{{"anyOf":[{}]}}"#, all.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Field;

    fn spec() -> Spec {
        Spec::new("lamp", "Switches a lamp.")
            .field(Field::text("room", "where", 8))
            .field(Field::whole("percent", "how bright", 0, 100).optional())
            .field(Field::choice("colour", "which", &["red", "blue"]).optional())
    }

    #[test]
    fn a_spec_is_a_schema_and_a_line() {
        let want = json!({
            "type": "object",
            "properties": {
                "room": { "type": "string", "maxLength": 8, "description": "where" },
                "percent": { "type": "integer", "minimum": 0, "maximum": 100, "description": "how bright" },
                "colour": { "type": "string", "enum": ["red", "blue"], "description": "which" },
            },
            "required": ["room"],
            "additionalProperties": false,
        });
        assert_eq!(spec().parameters(), want);
        assert_eq!(spec().function()["function"]["name"], "lamp");
        assert_eq!(spec().line(), "lamp(room, percent?, colour: red|blue): Switches a lamp.");
    }

    #[test]
    fn a_model_may_always_call_none() {
        let all: Value = serde_json::from_str(&calls(&[spec()])).unwrap();
        let tools: Vec<&Value> =
            all["anyOf"].as_array().unwrap().iter().map(|one| &one["properties"]["tool"]["const"]).collect();
        assert_eq!(tools, ["lamp", "none"]);
    }
}
