//! A grammar for calling tools: which tool, with arguments that its schema allows.

use super::build::Builder;
use super::chars::{CharSet, literal};
use super::{DEPTH_MAX, SchemaError};
use crate::json::Json;

/// Tools that a model may choose from.
pub const TOOLS_MAX: usize = 128;
/// Length of a tool's name.
pub const TOOL_NAME_BYTES_MAX: usize = 64;
/// Calls in one answer.
pub const CALLS_MAX: usize = 16;

/// A tool as the grammar sees it.
#[derive(Debug, Clone, Copy)]
pub struct Tool<'a> {
    pub name: &'a str,
    /// The schema of the arguments; without one the tool takes none.
    pub parameters: Option<&'a Json>,
}

impl<'a> Tool<'a> {
    /// Reads a tool in the form of the OpenAI API: `{"type": "function", "function": {...}}`, or the inside alone.
    pub fn read(tool: &'a Json) -> Option<Tool<'a>> {
        let function = tool.get("function").unwrap_or(tool);
        Some(Tool { name: function.get("name")?.text()?, parameters: function.get("parameters") })
    }
}

/// Who decides whether a tool is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolChoice<'a> {
    /// The model: text, calls, or text and then calls.
    Auto,
    /// At least one call, and no text.
    Required,
    /// Calls of this tool only.
    Named(&'a str),
}

/// How a family of models writes a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallFormat<'a> {
    /// Stands before the JSON object of a call; may be empty.
    pub before: &'a str,
    pub after: &'a str,
    /// Stands between two calls; without it there is one call at most.
    pub between: Option<&'a str>,
    pub name_key: &'a str,
    pub arguments_key: &'a str,
}

impl CallFormat<'static> {
    /// Qwen, SmolLM3, Granite 4 and others of the Hermes family.
    pub const HERMES: CallFormat<'static> = CallFormat {
        before: "<tool_call>\n",
        after: "\n</tool_call>",
        between: Some("\n"),
        name_key: "name",
        arguments_key: "arguments",
    };
    /// Llama 3: a bare object, and one call only.
    pub const LLAMA_3: CallFormat<'static> =
        CallFormat { before: "", after: "", between: None, name_key: "name", arguments_key: "parameters" };
}

/// A grammar for an answer that may, or must, call tools. Errors name the place: `tools[2].parameters/properties/x`.
pub fn tool_grammar(tools: &[Tool], choice: ToolChoice, format: &CallFormat) -> Result<String, SchemaError> {
    check_names(tools)?;
    let chosen: Vec<(usize, &Tool)> = match choice {
        ToolChoice::Named(name) => tools.iter().enumerate().filter(|(_, tool)| tool.name == name).collect(),
        _ => tools.iter().enumerate().collect(),
    };
    if chosen.is_empty() {
        let reason = match choice {
            ToolChoice::Named(name) => format!("there is no tool named {name:?}"),
            _ => "there is no tool to call".to_string(),
        };
        return SchemaError::at("tool_choice", reason);
    }
    let mut builder = Builder::default();
    let ws = builder.common("ws");
    let mut ways = Vec::new();
    for (idx, tool) in chosen {
        let arguments = match tool.parameters {
            Some(schema) => builder.document(schema, &format!("tools[{idx}].parameters"))?,
            None => "\"{}\"".to_string(),
        };
        let name = Json::from(tool.name).to_string();
        let key = |key: &str| literal(&format!("{}:", Json::from(key)));
        ways.push(format!(
            "{} {ws} {} \",\" {ws} {} {ws} {arguments}",
            key(format.name_key),
            literal(&name),
            key(format.arguments_key)
        ));
    }
    let object = builder.add(ways.join(" | "))?;
    let (before, after) = (optional(format.before), optional(format.after));
    let body = builder.add(format!("\"{{\" {object} \"}}\" {after}"))?;
    let more = match format.between {
        None => String::new(),
        Some(between) => {
            let more = builder.add(format!("{} {before} {body}", optional(between)))?;
            format!("{more}{{0,{}}}", CALLS_MAX - 1)
        }
    };
    let root = match choice {
        ToolChoice::Auto => {
            // Blanks after the mark belong to the call: text cannot have the mark without them either.
            let mark = format.before.trim_end();
            let then = format!("{} {body} {more}", optional(&format.before[mark.len()..]));
            text_then(&mut builder, mark, &then)?
        }
        _ => format!("{before} {body} {more}"),
    };
    builder.finish(&root)
}

fn optional(text: &str) -> String {
    if text.is_empty() { String::new() } else { literal(text) }
}

fn check_names(tools: &[Tool]) -> Result<(), SchemaError> {
    if tools.len() > TOOLS_MAX {
        return SchemaError::at("tools", format!("more than {TOOLS_MAX} tools"));
    }
    for (idx, tool) in tools.iter().enumerate() {
        let sign = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':');
        let is_name = (1..=TOOL_NAME_BYTES_MAX).contains(&tool.name.len()) && tool.name.chars().all(sign);
        if !is_name {
            let reason = format!("a name is 1 to {TOOL_NAME_BYTES_MAX} letters, digits and _ - . / :");
            return SchemaError::at(&format!("tools[{idx}].name"), reason);
        }
        if tools[..idx].iter().any(|other| other.name == tool.name) {
            return SchemaError::at(&format!("tools[{idx}].name"), format!("{:?} is named twice", tool.name));
        }
    }
    Ok(())
}

/// Free text that ends at `mark`, where `then` follows; or free text to the end.
/// Each rule knows how much of the mark has just been written (the automaton of Knuth, Morris and Pratt).
fn text_then(builder: &mut Builder, mark: &str, then: &str) -> Result<String, SchemaError> {
    let mark: Vec<char> = mark.chars().collect();
    if mark.is_empty() {
        // Without a mark the first character decides: a call begins with a brace, a text does not.
        let other = CharSet::one('{').not().class();
        return Ok(format!("({other} {}*)? | {then}", CharSet::all().class()));
    }
    if mark.len() > DEPTH_MAX {
        return SchemaError::at(
            "format",
            format!("the mark before a call has more than {DEPTH_MAX} characters"),
        );
    }
    let names: Vec<String> = (0..mark.len()).map(|_| builder.add(String::new())).collect::<Result<_, _>>()?;
    for n_seen in 0..mark.len() {
        let mut elsewhere = CharSet::all();
        let mut ways = Vec::new();
        let mut letters: Vec<char> = mark.clone();
        letters.sort_unstable();
        letters.dedup();
        for c in letters {
            let seen: Vec<char> = mark[..n_seen].iter().copied().chain([c]).collect();
            let next = (0..=seen.len()).rev().find(|len| seen.ends_with(&mark[..*len])).unwrap_or(0);
            let follows = if next == mark.len() { then } else { &names[next] };
            ways.push(format!("{} {follows}", CharSet::one(c).class()));
            elsewhere = elsewhere.and(&CharSet::one(c).not());
        }
        ways.push(format!("{} {}", elsewhere.class(), names[0]));
        // The text may end here.
        ways.push(String::new());
        builder.define(&names[n_seen], ways.join(" | "));
    }
    Ok(names[0].clone())
}
