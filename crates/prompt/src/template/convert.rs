//! Values from JSON and from the constants of the tree.

use minijinja::Value as Constant;
use minijinja::value::ValueKind;

use super::budget::{Budget, Outcome, wrong};
use super::value::Value;
use crate::json::Json;

pub fn from_json(json: &Json, budget: &mut Budget) -> Outcome<Value> {
    Ok(match json {
        Json::Null => Value::None,
        Json::Bool(value) => Value::Bool(*value),
        Json::Int(value) => Value::Int(*value),
        Json::Float(value) => Value::Float(*value),
        Json::Text(text) => {
            budget.make(text.len())?;
            Value::text(text.as_str())
        }
        Json::List(items) => {
            let items = items.iter().map(|item| from_json(item, budget)).collect::<Outcome<_>>()?;
            Value::list(items, budget)?
        }
        Json::Map(entries) => {
            let mut pairs = Vec::with_capacity(entries.len());
            for (key, value) in entries {
                budget.make(key.len())?;
                pairs.push((Value::text(key.as_str()), from_json(value, budget)?));
            }
            Value::map(pairs, budget)?
        }
    })
}

pub fn from_constant(constant: &Constant, budget: &mut Budget) -> Outcome<Value> {
    Ok(match constant.kind() {
        ValueKind::Undefined => Value::Undefined,
        ValueKind::None => Value::None,
        ValueKind::Bool => Value::Bool(constant.is_true()),
        ValueKind::Number if constant.is_integer() => match constant.as_i64() {
            Some(value) => Value::Int(value),
            None => return wrong("a number is too large"),
        },
        ValueKind::Number => Value::Float(f64::try_from(constant.clone()).unwrap_or(f64::NAN)),
        _ => match constant.as_str() {
            Some(text) => {
                budget.make(text.len())?;
                Value::text(text)
            }
            None => return wrong("a constant of an unknown kind"),
        },
    })
}
