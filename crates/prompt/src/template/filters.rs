//! Jinja's filters, as far as chat templates use them.

use std::cmp::Ordering;

use super::asks;
use super::budget::{Outcome, wrong};
use super::eval::Evaluator;
use super::expr::Args;
use super::methods::{self, capitalized, joined, replaced, title};
use super::ops;
use super::print::{JsonStyle, json, shown};
use super::value::Value;

pub fn apply<'t>(on: &mut Evaluator<'t>, name: &str, value: Value, args: &Args) -> Outcome<Value> {
    let budget = &mut on.budget;
    match name {
        "trim" | "upper" | "lower" | "title" | "capitalize" | "replace" | "string" | "escape" | "e" => {
            let text = shown(&value, budget)?;
            budget.make(text.len() * 3)?;
            match name {
                "trim" => methods::call(&Value::text(text), "strip", args, budget),
                "upper" => Ok(Value::text(text.to_uppercase())),
                "lower" => Ok(Value::text(text.to_lowercase())),
                "title" => Ok(Value::text(title(&text))),
                "capitalize" => Ok(Value::text(capitalized(&text))),
                "string" => Ok(Value::text(text)),
                "replace" => match (args.text(0, "old")?, args.text(1, "new")?) {
                    (Some(old), Some(new)) => replaced(&text, old, new, args.int(2, "count")?, budget),
                    _ => wrong("replace needs two texts"),
                },
                _ => escaped(on, &text),
            }
        }
        "safe" => Ok(value),
        "length" | "count" => {
            budget.look(value.weight() as usize)?;
            Ok(Value::Int(match &value {
                Value::Undefined => 0,
                Value::Text(text) => text.chars().count() as i64,
                Value::List(list) => list.items.len() as i64,
                Value::Map(map) => map.entries.len() as i64,
                other => return wrong(format!("{} has no length", other.kind())),
            }))
        }
        "default" | "d" => {
            let is_missing =
                matches!(value, Value::Undefined) || (args.is_true(1, "boolean") && !value.is_true());
            let default = || args.get(0, "default_value").cloned().unwrap_or_else(|| Value::text(""));
            Ok(if is_missing { default() } else { value })
        }
        "tojson" => to_json(on, &value, args),
        "join" => {
            let between = args.text(0, "d")?.unwrap_or("").to_string();
            match args.get(1, "attribute").cloned() {
                Some(attribute) => {
                    let values = mapped(on, &value, &attribute)?;
                    joined(&between, &values, &mut on.budget)
                }
                None => joined(&between, &value, budget),
            }
        }
        "first" => Ok(ops::items(&value, budget)?.into_iter().next().unwrap_or(Value::Undefined)),
        "last" => Ok(ops::items(&value, budget)?.pop().unwrap_or(Value::Undefined)),
        "list" => {
            let items = ops::items(&value, budget)?;
            Value::list(items, budget)
        }
        "reverse" => {
            let mut items = ops::items(&value, budget)?;
            items.reverse();
            match value {
                Value::Text(_) => joined("", &Value::list(items, budget)?, budget),
                _ => Value::list(items, budget),
            }
        }
        "items" => methods::call(&value, "items", args, budget),
        "dictsort" => {
            let pairs = methods::call(&value, "items", &Args::default(), budget)?;
            let pairs = ops::items(&pairs, budget)?;
            sorted(on, pairs, None, args.is_true(2, "reverse"), args.is_true(0, "case_sensitive"))
        }
        "sort" => {
            let items = ops::items(&value, budget)?;
            let attribute = args.get(2, "attribute").cloned();
            sorted(on, items, attribute, args.is_true(0, "reverse"), args.is_true(1, "case_sensitive"))
        }
        "unique" => {
            let mut kept: Vec<Value> = Vec::new();
            'items: for item in ops::items(&value, budget)? {
                for known in &kept {
                    if ops::equal(known, &item, budget)? {
                        continue 'items;
                    }
                }
                kept.push(item);
            }
            Value::list(kept, budget)
        }
        "map" => match (args.get(usize::MAX, "attribute").cloned(), args.given.first()) {
            (Some(attribute), _) => mapped(on, &value, &attribute),
            (None, Some(Value::Text(filter))) => {
                let items = ops::items(&value, budget)?;
                let rest = Args { given: args.given[1..].to_vec(), named: Vec::new() };
                let mut made = Vec::with_capacity(items.len());
                for item in items {
                    on.budget.deeper()?;
                    made.push(apply(on, filter, item, &rest)?);
                    on.budget.shallower();
                }
                Value::list(made, &mut on.budget)
            }
            _ => wrong("map needs an attribute or a filter"),
        },
        "select" | "reject" => selected(on, &value, args, None, name == "select"),
        "selectattr" | "rejectattr" => match args.given.first() {
            Some(attribute) => {
                let rest = Args { given: args.given[1..].to_vec(), named: Vec::new() };
                selected(on, &value, &rest, Some(attribute), name == "selectattr")
            }
            None => wrong(format!("{name} needs an attribute")),
        },
        "int" => Ok(Value::Int(match &value {
            Value::Float(value) => *value as i64,
            Value::Text(text) => text
                .trim()
                .parse()
                .or(text.trim().parse().map(|value: f64| value as i64))
                .unwrap_or(args.int(0, "default")?.unwrap_or(0)),
            other => other.as_int().unwrap_or(args.int(0, "default")?.unwrap_or(0)),
        })),
        "float" => Ok(Value::Float(match &value {
            Value::Text(text) => text.trim().parse().unwrap_or(0.0),
            other => other.number().unwrap_or(0.0),
        })),
        "abs" => match (value.as_int(), value.number()) {
            (Some(value), _) => Ok(Value::Int(value.saturating_abs())),
            (None, Some(value)) => Ok(Value::Float(value.abs())),
            _ => wrong("abs needs a number"),
        },
        "round" => {
            let digits = args.int(0, "precision")?.unwrap_or(0).clamp(-15, 15) as i32;
            let scale = 10_f64.powi(digits);
            match value.number() {
                // Python rounds halves to even.
                Some(value) => Ok(Value::Float((value * scale).round_ties_even() / scale)),
                None => wrong("round needs a number"),
            }
        }
        "sum" => {
            let mut total = Value::Int(0);
            for item in ops::items(&value, budget)? {
                total = ops::binary(minijinja::machinery::ast::BinOpKind::Add, &total, &item, budget)?;
            }
            Ok(total)
        }
        "min" | "max" => {
            let wanted = if name == "min" { Ordering::Less } else { Ordering::Greater };
            let mut best = Value::Undefined;
            for item in ops::items(&value, budget)? {
                if matches!(best, Value::Undefined) || ops::order(&item, &best, budget)? == wanted {
                    best = item;
                }
            }
            Ok(best)
        }
        "indent" => indented(on, &value, args),
        _ => wrong(format!("there is no filter {name}")),
    }
}

fn to_json(on: &mut Evaluator, value: &Value, args: &Args) -> Outcome<Value> {
    // Hugging Face: tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False).
    let indent = args.int(1, "indent")?.map(|indent| usize::try_from(indent).unwrap_or(0));
    let mut style = JsonStyle {
        indent,
        item_separator: if indent.is_some() { "," } else { ", " }.to_string(),
        key_separator: ": ".to_string(),
        sort_keys: args.is_true(3, "sort_keys"),
        ensure_ascii: args.is_true(0, "ensure_ascii"),
    };
    if let Some(Value::List(separators)) = args.get(2, "separators") {
        let [Value::Text(item), Value::Text(key)] = &separators.items[..] else {
            return wrong("separators are two texts");
        };
        on.budget.make(item.len() + key.len())?;
        style.item_separator = item.to_string();
        style.key_separator = key.to_string();
    }
    json(value, &style, &mut on.budget).map(Value::text)
}

fn escaped(on: &mut Evaluator, text: &str) -> Outcome<Value> {
    let mut made = Value::text(text);
    for (sign, name) in [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("'", "&#39;"), ("\"", "&#34;")] {
        made = replaced(made.as_text().unwrap_or_default(), sign, name, None, &mut on.budget)?;
    }
    Ok(made)
}

/// `a.b.0` of an item.
fn attribute(on: &mut Evaluator, item: &Value, path: &Value) -> Outcome<Value> {
    let Some(path) = path.as_text() else { return on.get_item(item, path) };
    let mut found = item.clone();
    for name in path.split('.') {
        found = match name.parse() {
            Ok(idx) => on.get_item(&found, &Value::Int(idx))?,
            Err(_) => on.get_attribute(&found, name)?,
        };
    }
    Ok(found)
}

fn mapped(on: &mut Evaluator, value: &Value, path: &Value) -> Outcome<Value> {
    let items = ops::items(value, &mut on.budget)?;
    let found = items.iter().map(|item| attribute(on, item, path)).collect::<Outcome<_>>()?;
    Value::list(found, &mut on.budget)
}

fn selected(
    on: &mut Evaluator,
    value: &Value,
    args: &Args,
    path: Option<&Value>,
    wanted: bool,
) -> Outcome<Value> {
    let rest = Args { given: args.given.iter().skip(1).cloned().collect(), named: Vec::new() };
    let mut kept = Vec::new();
    for item in ops::items(value, &mut on.budget)? {
        on.budget.steps(1)?;
        let looked_at = match path {
            Some(path) => attribute(on, &item, path)?,
            None => item.clone(),
        };
        let is = match args.given.first() {
            None => looked_at.is_true(),
            Some(Value::Text(test)) => asks::ask(test, &looked_at, &rest, &mut on.budget)?,
            Some(_) => return wrong("a test is named by a text"),
        };
        if is == wanted {
            kept.push(item);
        }
    }
    Value::list(kept, &mut on.budget)
}

fn sorted(
    on: &mut Evaluator,
    items: Vec<Value>,
    path: Option<Value>,
    reverse: bool,
    by_case: bool,
) -> Outcome<Value> {
    let mut keyed = Vec::with_capacity(items.len());
    for item in items {
        let key = match &path {
            Some(path) => attribute(on, &item, path)?,
            None => item.clone(),
        };
        let key = match key {
            Value::Text(text) if !by_case => {
                on.budget.make(text.len() * 3)?;
                Value::text(text.to_lowercase())
            }
            key => key,
        };
        keyed.push((key, item));
    }
    // Each item is put after the last that is not greater: the standard sort may panic on an order that fails halfway.
    let budget = &mut on.budget;
    let mut kept: Vec<(Value, Value)> = Vec::with_capacity(keyed.len());
    for (key, item) in keyed {
        let (mut low, mut high) = (0, kept.len());
        while low < high {
            let middle = (low + high) / 2;
            let order = ops::order(&kept[middle].0, &key, budget)?;
            let goes_after = if reverse { order != Ordering::Less } else { order != Ordering::Greater };
            (low, high) = if goes_after { (middle + 1, high) } else { (low, middle) };
        }
        budget.steps(kept.len() as u64 / 32)?;
        kept.insert(low, (key, item));
    }
    Value::list(kept.into_iter().map(|(_, item)| item).collect(), budget)
}

fn indented(on: &mut Evaluator, value: &Value, args: &Args) -> Outcome<Value> {
    let text = shown(value, &mut on.budget)?;
    let margin = match args.get(0, "width") {
        Some(Value::Text(margin)) => margin.to_string(),
        _ => {
            let width = args.int(0, "width")?.unwrap_or(4).clamp(0, 256);
            " ".repeat(width as usize)
        }
    };
    let (first, blank) = (args.is_true(1, "first"), args.is_true(2, "blank"));
    on.budget.make(
        text.len().saturating_add(text.matches('\n').count().saturating_add(1).saturating_mul(margin.len())),
    )?;
    let mut made = String::new();
    for (idx, line) in text.split('\n').enumerate() {
        let has_margin = if idx == 0 { first } else { blank || !line.trim_end_matches('\r').is_empty() };
        made.push_str(if idx == 0 { "" } else { "\n" });
        made.push_str(if has_margin { &margin } else { "" });
        made.push_str(line);
    }
    Ok(Value::text(made))
}
