//! What `is` asks of a value.

use super::budget::{Budget, Outcome, wrong};
use super::expr::Args;
use super::ops;
use super::value::Value;

pub fn ask(name: &str, value: &Value, args: &Args, budget: &mut Budget) -> Outcome<bool> {
    let other = || args.given.first().map_or_else(|| wrong(format!("is {name} needs a value")), Ok);
    let whole = || match value.as_int() {
        Some(value) => Ok(value),
        None => wrong(format!("{} is not whole, so {name} means nothing", value.kind())),
    };
    Ok(match name {
        "defined" => !matches!(value, Value::Undefined),
        "undefined" => matches!(value, Value::Undefined),
        "none" => matches!(value, Value::None),
        "string" => matches!(value, Value::Text(_)),
        "mapping" => matches!(value, Value::Map(_)),
        "sequence" => matches!(value, Value::Text(_) | Value::List(_) | Value::Map(_)),
        "iterable" => matches!(value, Value::Text(_) | Value::List(_) | Value::Map(_) | Value::Undefined),
        "number" => matches!(value, Value::Int(_) | Value::Float(_) | Value::Bool(_)),
        "integer" => matches!(value, Value::Int(_)),
        "float" => matches!(value, Value::Float(_)),
        "boolean" => matches!(value, Value::Bool(_)),
        "true" => matches!(value, Value::Bool(true)),
        "false" => matches!(value, Value::Bool(false)),
        "callable" => matches!(value, Value::Macro(_) | Value::Function(_)),
        "odd" => whole()? % 2 != 0,
        "even" => whole()? % 2 == 0,
        "divisibleby" => match other()?.as_int() {
            Some(by) if by != 0 => whole()?.checked_rem(by).unwrap_or(0) == 0,
            _ => return wrong("divisibleby needs a whole number other than 0"),
        },
        "lower" => value.as_text().is_some_and(|text| cased(text) && !text.chars().any(char::is_uppercase)),
        "upper" => value.as_text().is_some_and(|text| cased(text) && !text.chars().any(char::is_lowercase)),
        "in" => ops::contains(other()?, value, budget)?,
        "sameas" | "eq" | "equalto" | "==" => ops::equal(value, other()?, budget)?,
        "ne" | "!=" => !ops::equal(value, other()?, budget)?,
        "lt" | "lessthan" | "<" => ops::order(value, other()?, budget)?.is_lt(),
        "le" | "<=" => ops::order(value, other()?, budget)?.is_le(),
        "gt" | "greaterthan" | ">" => ops::order(value, other()?, budget)?.is_gt(),
        "ge" | ">=" => ops::order(value, other()?, budget)?.is_ge(),
        _ => return wrong(format!("is {name} is not known")),
    })
}

/// Whether there is a letter that could be written large or small.
pub fn cased(text: &str) -> bool {
    text.chars().any(|c| c.is_lowercase() || c.is_uppercase())
}
