//! The values of a template. A list or map knows its whole weight and depth, so that looking through it can be paid for first.

use std::sync::Arc;

use super::budget::{Budget, Fault, Outcome};

/// Lists within lists. JSON from outside has at most 128 levels.
const DEPTH_MAX: u32 = 160;
/// Bytes that one list entry stands for.
const ENTRY_BYTES: u64 = 48;
/// Keys of a map that was made by a template.
const KEYS_MAX: usize = 1024;

#[derive(Debug, Clone)]
pub enum Value {
    Undefined,
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Arc<str>),
    List(Arc<List>),
    Map(Arc<Map>),
    /// By its number: a namespace may hold itself, and must not be freed or printed in circles.
    Namespace(usize),
    Macro(usize),
    Loop(Arc<Loop>),
    Function(&'static str),
}

#[derive(Debug)]
pub struct List {
    pub items: Vec<Value>,
    pub is_tuple: bool,
    weight: u64,
    depth: u32,
}

#[derive(Debug)]
pub struct Map {
    pub entries: Vec<(Value, Value)>,
    weight: u64,
    depth: u32,
}

/// What `loop` is in one round.
#[derive(Debug)]
pub struct Loop {
    pub index: usize,
    pub length: usize,
    pub depth: usize,
    pub previous: Value,
    pub next: Value,
}

impl Value {
    pub fn text(text: impl Into<Arc<str>>) -> Value {
        Value::Text(text.into())
    }

    pub fn list(items: Vec<Value>, budget: &mut Budget) -> Outcome<Value> {
        Value::row(items, false, budget)
    }

    pub fn tuple(items: Vec<Value>, budget: &mut Budget) -> Outcome<Value> {
        Value::row(items, true, budget)
    }

    fn row(items: Vec<Value>, is_tuple: bool, budget: &mut Budget) -> Outcome<Value> {
        budget.make(items.len() * ENTRY_BYTES as usize)?;
        let weight =
            items.iter().map(|item| item.weight().saturating_add(ENTRY_BYTES)).fold(0, u64::saturating_add);
        let depth = 1 + items.iter().map(Value::depth).max().unwrap_or(0);
        if depth > DEPTH_MAX {
            return Err(Fault::UsedUp("lists within lists"));
        }
        Ok(Value::List(Arc::new(List { items, is_tuple, weight, depth })))
    }

    /// A map of keys in this order; a key that comes twice keeps its first place and its last value.
    pub fn map(entries: Vec<(Value, Value)>, budget: &mut Budget) -> Outcome<Value> {
        if entries.len() > KEYS_MAX {
            return Err(Fault::UsedUp("keys of a map"));
        }
        budget.make(entries.len() * ENTRY_BYTES as usize * 2)?;
        budget.steps((entries.len() * entries.len()) as u64 / 16)?;
        let mut unique: Vec<(Value, Value)> = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            match unique.iter_mut().find(|(known, _)| known.is_key(&key)) {
                Some(entry) => entry.1 = value,
                None => unique.push((key, value)),
            }
        }
        let heavy = |(key, value): &(Value, Value)| {
            key.weight().saturating_add(value.weight()).saturating_add(ENTRY_BYTES)
        };
        let weight = unique.iter().map(heavy).fold(0, u64::saturating_add);
        let depth = 1 + unique.iter().map(|(_, value)| value.depth()).max().unwrap_or(0);
        if depth > DEPTH_MAX {
            return Err(Fault::UsedUp("maps within maps"));
        }
        Ok(Value::Map(Arc::new(Map { entries: unique, weight, depth })))
    }

    /// Bytes that printing or comparing this has to look at, near enough.
    pub fn weight(&self) -> u64 {
        match self {
            Value::Text(text) => text.len() as u64,
            Value::List(list) => list.weight,
            Value::Map(map) => map.weight,
            _ => 1,
        }
    }

    fn depth(&self) -> u32 {
        match self {
            Value::List(list) => list.depth,
            Value::Map(map) => map.depth,
            _ => 0,
        }
    }

    /// Whether two scalars are the same key of a map.
    pub fn is_key(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Text(ours), Value::Text(theirs)) => ours == theirs,
            (ours, theirs) => match (ours.number(), theirs.number()) {
                (Some(ours), Some(theirs)) => ours == theirs,
                _ => matches!((ours, theirs), (Value::None, Value::None)),
            },
        }
    }

    pub fn as_text(&self) -> Option<&str> {
        if let Value::Text(text) = self { Some(text) } else { None }
    }

    /// As in Python, True is 1.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(value) => Some(*value),
            Value::Bool(value) => Some(i64::from(*value)),
            _ => None,
        }
    }

    pub fn number(&self) -> Option<f64> {
        match self {
            Value::Float(value) => Some(*value),
            other => other.as_int().map(|value| value as f64),
        }
    }

    pub fn is_true(&self) -> bool {
        match self {
            Value::Undefined | Value::None => false,
            Value::Bool(value) => *value,
            Value::Int(value) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::Text(text) => !text.is_empty(),
            Value::List(list) => !list.items.is_empty(),
            Value::Map(map) => !map.entries.is_empty(),
            _ => true,
        }
    }

    pub fn get(&self, key: &Value) -> Option<&Value> {
        let Value::Map(map) = self else { return None };
        map.entries.iter().find(|(known, _)| known.is_key(key)).map(|(_, value)| value)
    }

    /// What Python calls this kind of value, for errors.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Undefined => "something undefined",
            Value::None => "None",
            Value::Bool(_) => "a bool",
            Value::Int(_) => "an int",
            Value::Float(_) => "a float",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a dict",
            Value::Namespace(_) => "a namespace",
            Value::Macro(_) => "a macro",
            Value::Loop(_) => "a loop",
            Value::Function(_) => "a function",
        }
    }
}
