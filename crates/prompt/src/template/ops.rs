//! What operators do, by Python's rules, each paid for before it is done.

use std::cmp::Ordering;

use minijinja::machinery::ast::BinOpKind;

use super::budget::{Budget, Outcome, wrong};
use super::print::shown;
use super::value::Value;

pub fn binary(op: BinOpKind, left: &Value, right: &Value, budget: &mut Budget) -> Outcome<Value> {
    match op {
        BinOpKind::Concat => {
            let (left, right) = (shown(left, budget)?, shown(right, budget)?);
            budget.make(left.len() + right.len())?;
            Ok(Value::text(left + &right))
        }
        BinOpKind::Add => add(left, right, budget),
        BinOpKind::Mul => multiply(left, right, budget),
        BinOpKind::Eq => equal(left, right, budget).map(Value::Bool),
        BinOpKind::Ne => equal(left, right, budget).map(|is| Value::Bool(!is)),
        BinOpKind::Lt => order(left, right, budget).map(|order| Value::Bool(order.is_lt())),
        BinOpKind::Lte => order(left, right, budget).map(|order| Value::Bool(order.is_le())),
        BinOpKind::Gt => order(left, right, budget).map(|order| Value::Bool(order.is_gt())),
        BinOpKind::Gte => order(left, right, budget).map(|order| Value::Bool(order.is_ge())),
        BinOpKind::In => contains(right, left, budget).map(Value::Bool),
        BinOpKind::Sub => numbers(left, right, "-", i64::checked_sub, |left, right| left - right),
        BinOpKind::Div => match (left.number(), right.number()) {
            (Some(_), Some(0.0)) => wrong("division by zero"),
            (Some(left), Some(right)) => Ok(Value::Float(left / right)),
            _ => unfit("/", left, right),
        },
        BinOpKind::FloorDiv => divided(left, right, "//", floor_div, |left, right| (left / right).floor()),
        BinOpKind::Rem => {
            divided(left, right, "%", floor_rem, |left, right| left - right * (left / right).floor())
        }
        BinOpKind::Pow => power(left, right),
        BinOpKind::ScAnd | BinOpKind::ScOr => wrong("and, or are not operators of values"),
    }
}

fn unfit<T>(sign: &str, left: &Value, right: &Value) -> Outcome<T> {
    wrong(format!("{} {sign} {} means nothing", left.kind(), right.kind()))
}

fn numbers(
    left: &Value,
    right: &Value,
    sign: &str,
    whole: impl Fn(i64, i64) -> Option<i64>,
    broken: impl Fn(f64, f64) -> f64,
) -> Outcome<Value> {
    if let (Some(left), Some(right)) = (left.as_int(), right.as_int()) {
        return match whole(left, right) {
            Some(value) => Ok(Value::Int(value)),
            None => wrong(format!("{left} {sign} {right} is too large")),
        };
    }
    match (left.number(), right.number()) {
        (Some(left), Some(right)) => Ok(Value::Float(broken(left, right))),
        _ => unfit(sign, left, right),
    }
}

fn divided(
    left: &Value,
    right: &Value,
    sign: &str,
    whole: impl Fn(i64, i64) -> Option<i64>,
    broken: impl Fn(f64, f64) -> f64,
) -> Outcome<Value> {
    if right.number() == Some(0.0) {
        return wrong("division by zero");
    }
    numbers(left, right, sign, whole, broken)
}

/// Towards minus infinity, as Python divides.
fn floor_div(left: i64, right: i64) -> Option<i64> {
    let quotient = left.checked_div(right)?;
    let is_off = left % right != 0 && (left < 0) != (right < 0);
    Some(quotient - i64::from(is_off))
}

fn floor_rem(left: i64, right: i64) -> Option<i64> {
    let rest = left.checked_rem(right)?;
    Some(if rest != 0 && (rest < 0) != (right < 0) { rest + right } else { rest })
}

fn power(left: &Value, right: &Value) -> Outcome<Value> {
    match (left.as_int(), right.as_int()) {
        (Some(base), Some(exponent)) if exponent >= 0 => {
            match u32::try_from(exponent).ok().and_then(|exponent| base.checked_pow(exponent)) {
                Some(value) => Ok(Value::Int(value)),
                None => wrong(format!("{base} ** {exponent} is too large")),
            }
        }
        _ => match (left.number(), right.number()) {
            (Some(base), Some(exponent)) => Ok(Value::Float(base.powf(exponent))),
            _ => unfit("**", left, right),
        },
    }
}

fn add(left: &Value, right: &Value, budget: &mut Budget) -> Outcome<Value> {
    match (left, right) {
        (Value::Text(left), Value::Text(right)) => {
            budget.make(left.len() + right.len())?;
            Ok(Value::text(format!("{left}{right}")))
        }
        (Value::List(left), Value::List(right)) if left.is_tuple == right.is_tuple => {
            budget.make((left.items.len() + right.items.len()) * 16)?;
            let items = left.items.iter().chain(&right.items).cloned().collect();
            if left.is_tuple { Value::tuple(items, budget) } else { Value::list(items, budget) }
        }
        _ => numbers(left, right, "+", i64::checked_add, |left, right| left + right),
    }
}

fn multiply(left: &Value, right: &Value, budget: &mut Budget) -> Outcome<Value> {
    let (many, times) = match (left, right) {
        (Value::Text(_) | Value::List(_), times) => (left, times.as_int()),
        (times, Value::Text(_) | Value::List(_)) => (right, times.as_int()),
        _ => return numbers(left, right, "*", i64::checked_mul, |left, right| left * right),
    };
    let Some(times) = times else { return unfit("*", left, right) };
    let times = usize::try_from(times).unwrap_or(0);
    match many {
        Value::Text(text) => {
            budget.make(text.len().saturating_mul(times))?;
            Ok(Value::text(text.repeat(times)))
        }
        Value::List(list) => {
            budget.make(list.items.len().saturating_mul(times).saturating_mul(48))?;
            Value::list(list.items.iter().cycle().take(list.items.len() * times).cloned().collect(), budget)
        }
        _ => unfit("*", left, right),
    }
}

pub fn negative(value: &Value) -> Outcome<Value> {
    match (value, value.as_int()) {
        (_, Some(value)) => {
            value.checked_neg().map_or_else(|| wrong("a number is too large"), |value| Ok(Value::Int(value)))
        }
        (Value::Float(value), _) => Ok(Value::Float(-value)),
        (other, _) => wrong(format!("minus {} means nothing", other.kind())),
    }
}

pub fn equal(left: &Value, right: &Value, budget: &mut Budget) -> Outcome<bool> {
    budget.steps(1 + left.weight().min(right.weight()) / 8)?;
    Ok(same(left, right))
}

fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Undefined, Value::Undefined) | (Value::None, Value::None) => true,
        (Value::Text(left), Value::Text(right)) => left == right,
        (Value::List(left), Value::List(right)) => {
            left.is_tuple == right.is_tuple
                && left.items.len() == right.items.len()
                && left.items.iter().zip(&right.items).all(|(left, right)| same(left, right))
        }
        (Value::Map(left), Value::Map(ours)) => {
            left.entries.len() == ours.entries.len()
                && left
                    .entries
                    .iter()
                    .all(|(key, value)| right.get(key).is_some_and(|other| same(value, other)))
        }
        (Value::Namespace(left), Value::Namespace(right)) | (Value::Macro(left), Value::Macro(right)) => {
            left == right
        }
        (Value::Function(left), Value::Function(right)) => left == right,
        (left, right) => left.number().is_some_and(|left| right.number() == Some(left)),
    }
}

pub fn order(left: &Value, right: &Value, budget: &mut Budget) -> Outcome<Ordering> {
    budget.steps(1 + left.weight().min(right.weight()) / 8)?;
    ranked(left, right)
}

fn ranked(left: &Value, right: &Value) -> Outcome<Ordering> {
    match (left, right) {
        (Value::Text(left), Value::Text(right)) => Ok(left.cmp(right)),
        (Value::List(ours), Value::List(theirs)) => {
            for (left, right) in ours.items.iter().zip(&theirs.items) {
                if !same(left, right) {
                    return ranked(left, right);
                }
            }
            Ok(ours.items.len().cmp(&theirs.items.len()))
        }
        _ => match (left.as_int(), right.as_int(), left.number(), right.number()) {
            (Some(left), Some(right), _, _) => Ok(left.cmp(&right)),
            (_, _, Some(left), Some(right)) => Ok(left.partial_cmp(&right).unwrap_or(Ordering::Equal)),
            _ => unfit("<", left, right),
        },
    }
}

pub fn contains(container: &Value, value: &Value, budget: &mut Budget) -> Outcome<bool> {
    match (container, value) {
        (Value::Undefined, _) => Ok(false),
        (Value::Text(text), Value::Text(part)) => {
            budget.look(text.len() + part.len())?;
            Ok(text.contains(&**part))
        }
        (Value::List(list), value) => {
            for item in &list.items {
                if equal(item, value, budget)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        (Value::Map(map), key) => {
            budget.steps(map.entries.len() as u64 / 8)?;
            Ok(container.get(key).is_some())
        }
        _ => unfit("in", value, container),
    }
}

/// What a loop goes over.
pub fn items(value: &Value, budget: &mut Budget) -> Outcome<Vec<Value>> {
    match value {
        Value::Undefined => Ok(Vec::new()),
        Value::List(list) => {
            budget.make(list.items.len() * 16)?;
            Ok(list.items.clone())
        }
        Value::Map(map) => {
            budget.make(map.entries.len() * 16)?;
            Ok(map.entries.iter().map(|(key, _)| key.clone()).collect())
        }
        Value::Text(text) => {
            budget.make(text.len().saturating_mul(48))?;
            Ok(text.chars().map(|c| Value::text(c.to_string())).collect())
        }
        other => wrong(format!("{} has no items", other.kind())),
    }
}

/// A place counted from the front, or from the back when it is negative.
pub fn index(idx: i64, len: usize) -> Option<usize> {
    let idx = if idx < 0 { idx.checked_add(len as i64)? } else { idx };
    usize::try_from(idx).ok().filter(|idx| *idx < len)
}

pub fn slice(value: &Value, [start, stop, step]: [Option<i64>; 3], budget: &mut Budget) -> Outcome<Value> {
    let step = step.unwrap_or(1);
    if step == 0 {
        return wrong("a slice needs a step other than 0");
    }
    if let Value::Undefined = value {
        return wrong("something undefined has no items");
    }
    let text: Vec<char> = match value {
        Value::Text(text) => {
            budget.make(text.len() * 4)?;
            text.chars().collect()
        }
        _ => Vec::new(),
    };
    let len = match value {
        Value::Text(_) => text.len(),
        Value::List(list) => list.items.len(),
        other => return wrong(format!("{} cannot be sliced", other.kind())),
    } as i64;
    let place = |place: Option<i64>, default: i64| {
        let place = place.map_or(default, |place| if place < 0 { place.saturating_add(len) } else { place });
        if step > 0 { place.clamp(0, len) } else { place.clamp(-1, len - 1) }
    };
    let (mut at, end) = if step > 0 {
        (place(start, 0), place(stop, len))
    } else {
        (place(start, len - 1), stop.map_or(-1, |stop| place(Some(stop), -1)))
    };
    budget.make(usize::try_from((end - at).abs()).unwrap_or(0) * 16)?;
    let mut places = Vec::new();
    while if step > 0 { at < end } else { at > end } {
        places.push(at as usize);
        at = at.saturating_add(step);
    }
    match value {
        Value::List(list) => {
            let items = places.into_iter().map(|at| list.items[at].clone()).collect();
            if list.is_tuple { Value::tuple(items, budget) } else { Value::list(items, budget) }
        }
        _ => Ok(Value::text(places.into_iter().map(|at| text[at]).collect::<String>())),
    }
}
