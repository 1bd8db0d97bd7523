//! Values as text: Python's `str` and `repr`, and `json.dumps` as Hugging Face calls it.

use std::fmt::Write;

use super::budget::{Budget, Fault, Outcome, wrong};
use super::value::Value;
use crate::json::write_float;

/// Indentation of `tojson`.
const INDENT_MAX: usize = 16;

/// Text that stops growing at a limit.
struct Page {
    text: String,
    bytes_max: usize,
}

impl Page {
    fn push(&mut self, text: &str) -> Outcome<()> {
        if text.len() > self.bytes_max - self.text.len().min(self.bytes_max) {
            return Err(Fault::UsedUp("memory"));
        }
        self.text.push_str(text);
        Ok(())
    }
}

/// What `{{ value }}` prints.
pub fn shown(value: &Value, budget: &mut Budget) -> Outcome<String> {
    let mut page = Page { text: String::new(), bytes_max: budget.makeable() };
    match value {
        Value::Undefined => {}
        Value::Text(text) => page.push(text)?,
        value => represent(value, &mut page)?,
    }
    budget.make(page.text.len())?;
    Ok(page.text)
}

fn represent(value: &Value, page: &mut Page) -> Outcome<()> {
    match value {
        Value::Undefined => page.push("Undefined"),
        Value::None => page.push("None"),
        Value::Bool(true) => page.push("True"),
        Value::Bool(false) => page.push("False"),
        Value::Int(value) => page.push(&value.to_string()),
        Value::Float(value) => page.push(&float(*value, ["inf", "-inf", "nan"])),
        Value::Text(text) => quote(text, page),
        Value::List(list) => {
            page.push(if list.is_tuple { "(" } else { "[" })?;
            for (idx, item) in list.items.iter().enumerate() {
                page.push(if idx == 0 { "" } else { ", " })?;
                represent(item, page)?;
            }
            page.push(match (list.is_tuple, list.items.len()) {
                (true, 1) => ",)",
                (true, _) => ")",
                (false, _) => "]",
            })
        }
        Value::Map(map) => {
            page.push("{")?;
            for (idx, (key, value)) in map.entries.iter().enumerate() {
                page.push(if idx == 0 { "" } else { ", " })?;
                represent(key, page)?;
                page.push(": ")?;
                represent(value, page)?;
            }
            page.push("}")
        }
        other => page.push(&format!("<{}>", other.kind())),
    }
}

fn float(value: f64, [inf, minus_inf, nan]: [&str; 3]) -> String {
    let mut text = String::new();
    match value {
        value if value.is_nan() => text.push_str(nan),
        f64::INFINITY => text.push_str(inf),
        f64::NEG_INFINITY => text.push_str(minus_inf),
        value => write_float(&mut text, value),
    }
    text
}

/// Single quotes, unless only double ones need no escape.
fn quote(text: &str, page: &mut Page) -> Outcome<()> {
    let sign = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut quoted = String::from(sign);
    for c in text.chars() {
        match c {
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c == sign => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(c));
            }
            c => quoted.push(c),
        }
        if quoted.len() > 256 {
            page.push(&quoted)?;
            quoted.clear();
        }
    }
    quoted.push(sign);
    page.push(&quoted)
}

/// How `tojson` was asked to write.
pub struct JsonStyle {
    pub indent: Option<usize>,
    pub item_separator: String,
    pub key_separator: String,
    pub sort_keys: bool,
    pub ensure_ascii: bool,
}

pub fn json(value: &Value, style: &JsonStyle, budget: &mut Budget) -> Outcome<String> {
    if style.indent.is_some_and(|indent| indent > INDENT_MAX) {
        return wrong(format!("tojson indents by at most {INDENT_MAX}"));
    }
    let mut page = Page { text: String::new(), bytes_max: budget.makeable() };
    write_json(value, style, 0, &mut page)?;
    budget.make(page.text.len())?;
    Ok(page.text)
}

fn write_json(value: &Value, style: &JsonStyle, depth: usize, page: &mut Page) -> Outcome<()> {
    match value {
        Value::None => page.push("null"),
        Value::Bool(value) => page.push(if *value { "true" } else { "false" }),
        Value::Int(value) => page.push(&value.to_string()),
        Value::Float(value) => page.push(&float(*value, ["Infinity", "-Infinity", "NaN"])),
        Value::Text(text) => json_text(text, style.ensure_ascii, page),
        Value::List(list) => {
            page.push("[")?;
            for (idx, item) in list.items.iter().enumerate() {
                separate(idx, style, depth, page)?;
                write_json(item, style, depth + 1, page)?;
            }
            close(list.items.is_empty(), style, depth, page)?;
            page.push("]")
        }
        Value::Map(map) => {
            let mut entries: Vec<&(Value, Value)> = map.entries.iter().collect();
            if style.sort_keys {
                entries.sort_by_key(|(key, _)| key.as_text().unwrap_or_default());
            }
            page.push("{")?;
            for (idx, (key, value)) in entries.into_iter().enumerate() {
                separate(idx, style, depth, page)?;
                match key {
                    Value::Text(_) => write_json(key, style, depth, page)?,
                    Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
                        page.push("\"")?;
                        write_json(key, style, depth, page)?;
                        page.push("\"")?;
                    }
                    other => return wrong(format!("{} is no key of a JSON object", other.kind())),
                }
                page.push(&style.key_separator)?;
                write_json(value, style, depth + 1, page)?;
            }
            close(map.entries.is_empty(), style, depth, page)?;
            page.push("}")
        }
        other => wrong(format!("{} cannot be written as JSON", other.kind())),
    }
}

fn separate(idx: usize, style: &JsonStyle, depth: usize, page: &mut Page) -> Outcome<()> {
    page.push(if idx == 0 { "" } else { &style.item_separator })?;
    match style.indent {
        Some(indent) => page.push(&format!("\n{}", " ".repeat(indent * (depth + 1)))),
        None => Ok(()),
    }
}

fn close(is_empty: bool, style: &JsonStyle, depth: usize, page: &mut Page) -> Outcome<()> {
    match style.indent {
        Some(indent) if !is_empty => page.push(&format!("\n{}", " ".repeat(indent * depth))),
        _ => Ok(()),
    }
}

fn json_text(text: &str, ensure_ascii: bool, page: &mut Page) -> Outcome<()> {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            c if c < ' ' || (ensure_ascii && c > '~') => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(quoted, "\\u{unit:04x}");
                }
            }
            c => quoted.push(c),
        }
        if quoted.len() > 256 {
            page.push(&quoted)?;
            quoted.clear();
        }
    }
    quoted.push('"');
    page.push(&quoted)
}
