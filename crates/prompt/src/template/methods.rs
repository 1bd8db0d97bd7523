//! Python's methods of texts, dicts and lists, as templates call them.

use super::asks::cased;
use super::budget::{Budget, Outcome, wrong};
use super::expr::Args;
use super::ops;
use super::value::Value;

const OF_DICT: [&str; 11] =
    ["items", "keys", "values", "get", "copy", "update", "pop", "popitem", "setdefault", "clear", "fromkeys"];

pub fn is_method_of_dict(value: &Value, name: &str) -> bool {
    matches!(value, Value::Map(_)) && OF_DICT.contains(&name)
}

pub fn call(value: &Value, name: &str, args: &Args, budget: &mut Budget) -> Outcome<Value> {
    match value {
        Value::Text(text) => of_text(text, name, args, budget),
        Value::Map(map) => {
            budget.make(map.entries.len() * 16)?;
            let entries = map.entries.iter();
            match name {
                "items" => {
                    let pair = |(key, value): &(Value, Value), budget: &mut Budget| {
                        Value::tuple(vec![key.clone(), value.clone()], budget)
                    };
                    let pairs = entries.map(|entry| pair(entry, budget)).collect::<Outcome<_>>()?;
                    Value::list(pairs, budget)
                }
                "keys" => Value::list(entries.map(|(key, _)| key.clone()).collect(), budget),
                "values" => Value::list(entries.map(|(_, value)| value.clone()).collect(), budget),
                "copy" => Ok(value.clone()),
                "get" => {
                    let found = args.given.first().and_then(|key| value.get(key));
                    Ok(found.or(args.get(1, "default")).cloned().unwrap_or(Value::None))
                }
                _ => unknown(value, name),
            }
        }
        Value::List(list) => match (name, args.given.first()) {
            ("index", Some(wanted)) => {
                for (idx, item) in list.items.iter().enumerate() {
                    if ops::equal(item, wanted, budget)? {
                        return Ok(Value::Int(idx as i64));
                    }
                }
                wrong("the item is not in the list")
            }
            ("count", Some(wanted)) => {
                let mut count = 0;
                for item in &list.items {
                    count += i64::from(ops::equal(item, wanted, budget)?);
                }
                Ok(Value::Int(count))
            }
            ("copy", _) => Ok(value.clone()),
            ("append" | "extend" | "insert" | "pop" | "remove" | "sort" | "reverse" | "clear", _) => {
                wrong(format!("lists cannot be changed, as .{name} would"))
            }
            _ => unknown(value, name),
        },
        Value::Undefined => wrong(format!("something undefined has no .{name}()")),
        _ => unknown(value, name),
    }
}

fn unknown(value: &Value, name: &str) -> Outcome<Value> {
    wrong(format!("{} has no .{name}()", value.kind()))
}

fn of_text(text: &str, name: &str, args: &Args, budget: &mut Budget) -> Outcome<Value> {
    // Every method looks at the whole text, and most make a new one; letters may grow threefold when their case changes.
    let only_looks =
        name.starts_with("is") || name.ends_with("with") || name.ends_with("find") || name == "count";
    if only_looks {
        budget.look(text.len())?
    } else {
        budget.make(text.len() * 3)?
    }
    let part = |idx, name: &str| match args.text(idx, name)? {
        Some(part) => Ok(part),
        None => wrong(format!(".{name}() needs a text")),
    };
    let any = |name: &str, fits: &dyn Fn(&str) -> bool| match args.given.first() {
        Some(Value::Text(part)) => Ok(fits(part)),
        Some(Value::List(parts)) => Ok(parts.items.iter().filter_map(Value::as_text).any(fits)),
        _ => wrong(format!(".{name}() needs a text")),
    };
    let signs = if name.ends_with("strip") { args.text(0, "chars")? } else { None };
    let trimmed = |c: char| signs.map_or_else(|| c.is_whitespace(), |signs| signs.contains(c));
    if let Some(signs) = signs {
        budget.steps((text.len() * signs.len()) as u64 / 32)?;
    }
    let all = |fits: &dyn Fn(char) -> bool| Ok(Value::Bool(!text.is_empty() && text.chars().all(fits)));
    let place = |at: Option<usize>| at.map_or(-1, |at| text[..at].chars().count() as i64);
    match name {
        "strip" => Ok(Value::text(text.trim_matches(trimmed))),
        "lstrip" => Ok(Value::text(text.trim_start_matches(trimmed))),
        "rstrip" => Ok(Value::text(text.trim_end_matches(trimmed))),
        "upper" => Ok(Value::text(text.to_uppercase())),
        "lower" | "casefold" => Ok(Value::text(text.to_lowercase())),
        "title" => Ok(Value::text(title(text))),
        "capitalize" => Ok(Value::text(capitalized(text))),
        "startswith" => any(name, &|part| text.starts_with(part)).map(Value::Bool),
        "endswith" => any(name, &|part| text.ends_with(part)).map(Value::Bool),
        "removeprefix" => Ok(Value::text(text.strip_prefix(part(0, name)?).unwrap_or(text))),
        "removesuffix" => Ok(Value::text(text.strip_suffix(part(0, name)?).unwrap_or(text))),
        "replace" => replaced(text, part(0, name)?, part(1, name)?, args.int(2, "count")?, budget),
        "split" | "rsplit" => split(text, name == "rsplit", args, budget),
        "splitlines" => Value::list(lines(text, args.is_true(0, "keepends")), budget),
        "partition" | "rpartition" => {
            let by = part(0, name)?;
            let at = if name == "partition" { text.find(by) } else { text.rfind(by) };
            let parts = match at {
                Some(at) => [&text[..at], by, &text[at + by.len()..]],
                None if name == "partition" => [text, "", ""],
                None => ["", "", text],
            };
            Value::tuple(parts.map(Value::text).to_vec(), budget)
        }
        "join" => joined(text, args.given.first().unwrap_or(&Value::Undefined), budget),
        "find" => Ok(Value::Int(place(text.find(part(0, name)?)))),
        "rfind" => Ok(Value::Int(place(text.rfind(part(0, name)?)))),
        "index" => match place(text.find(part(0, name)?)) {
            -1 => wrong("the part is not in the text"),
            at => Ok(Value::Int(at)),
        },
        "count" => match part(0, name)? {
            "" => Ok(Value::Int(text.chars().count() as i64 + 1)),
            part => Ok(Value::Int(text.matches(part).count() as i64)),
        },
        "isdigit" | "isnumeric" | "isdecimal" => all(&char::is_numeric),
        "isalpha" => all(&char::is_alphabetic),
        "isalnum" => all(&char::is_alphanumeric),
        "isspace" => all(&char::is_whitespace),
        "isascii" => Ok(Value::Bool(text.is_ascii())),
        "islower" => Ok(Value::Bool(cased(text) && !text.chars().any(char::is_uppercase))),
        "isupper" => Ok(Value::Bool(cased(text) && !text.chars().any(char::is_lowercase))),
        "zfill" | "ljust" | "rjust" | "center" => padded(text, name, args, budget),
        "format" => formatted(text, args, budget),
        _ => wrong(format!("a text has no .{name}()")),
    }
}

pub fn title(text: &str) -> String {
    let mut in_word = false;
    text.chars()
        .flat_map(|c| {
            let was_in_word = std::mem::replace(&mut in_word, c.is_alphabetic());
            if was_in_word { c.to_lowercase().collect::<Vec<_>>() } else { c.to_uppercase().collect() }
        })
        .collect()
}

pub fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| {
        first.to_uppercase().chain(chars.flat_map(char::to_lowercase)).collect()
    })
}

pub fn replaced(text: &str, old: &str, new: &str, count: Option<i64>, budget: &mut Budget) -> Outcome<Value> {
    let n_found = text.matches(old).count();
    let count = count.and_then(|count| usize::try_from(count).ok()).unwrap_or(n_found);
    budget.make(text.len().saturating_add(n_found.min(count).saturating_mul(new.len())))?;
    Ok(Value::text(text.replacen(old, new, count)))
}

fn split(text: &str, from_back: bool, args: &Args, budget: &mut Budget) -> Outcome<Value> {
    let most = args
        .int(1, "maxsplit")?
        .and_then(|most| usize::try_from(most).ok())
        .map_or(usize::MAX, |most| most.saturating_add(1));
    budget.make(text.len().saturating_mul(2))?;
    let mut parts: Vec<&str> = match (args.text(0, "sep")?, from_back) {
        (Some(""), _) => return wrong("a text cannot be split by nothing"),
        (Some(by), false) => text.splitn(most, by).collect(),
        (Some(by), true) => text.rsplitn(most, by).collect(),
        (None, _) if most == usize::MAX => text.split_whitespace().collect(),
        (None, false) => blank_split(text, most),
        (None, true) => return wrong("rsplit needs a separator here"),
    };
    if from_back && args.text(0, "sep")?.is_some() {
        parts.reverse();
    }
    budget.make(parts.len() * 48)?;
    Value::list(parts.into_iter().map(Value::text).collect(), budget)
}

fn blank_split(text: &str, most: usize) -> Vec<&str> {
    let (mut rest, mut parts) = (text.trim_start(), Vec::new());
    while !rest.is_empty() {
        match rest.find(char::is_whitespace) {
            Some(at) if parts.len() + 1 < most => {
                parts.push(&rest[..at]);
                rest = rest[at..].trim_start();
            }
            _ => {
                parts.push(rest);
                break;
            }
        }
    }
    parts
}

fn lines(text: &str, keep_ends: bool) -> Vec<Value> {
    text.split_inclusive('\n')
        .map(|line| match line.strip_suffix('\n') {
            Some(bare) if !keep_ends => Value::text(bare.strip_suffix('\r').unwrap_or(bare)),
            _ => Value::text(line),
        })
        .collect()
}

pub fn joined(between: &str, values: &Value, budget: &mut Budget) -> Outcome<Value> {
    let items = ops::items(values, budget)?;
    budget.make(between.len().saturating_mul(items.len()))?;
    let mut text = String::new();
    for (idx, item) in items.iter().enumerate() {
        text.push_str(if idx == 0 { "" } else { between });
        text.push_str(&super::print::shown(item, budget)?);
    }
    Ok(Value::text(text))
}

fn padded(text: &str, name: &str, args: &Args, budget: &mut Budget) -> Outcome<Value> {
    let width = args.int(0, "width")?.and_then(|width| usize::try_from(width).ok()).unwrap_or(0);
    let missing = width.saturating_sub(text.chars().count());
    let fill = args.text(1, "fillchar")?.unwrap_or(" ");
    budget.make(missing.saturating_mul(fill.len().max(1)).saturating_add(text.len()))?;
    let (left, right) = match name {
        "ljust" => (0, missing),
        "center" => (missing / 2, missing - missing / 2),
        _ => (missing, 0),
    };
    if name == "zfill" {
        let digits = text.trim_start_matches(['+', '-']);
        return Ok(Value::text(format!(
            "{}{}{digits}",
            &text[..text.len() - digits.len()],
            "0".repeat(missing)
        )));
    }
    Ok(Value::text(format!("{}{text}{}", fill.repeat(left), fill.repeat(right))))
}

/// `"{} and {name}".format(...)`, without widths and other demands.
fn formatted(text: &str, args: &Args, budget: &mut Budget) -> Outcome<Value> {
    let (mut made, mut rest, mut next) = (String::new(), text, 0);
    while let Some(at) = rest.find(['{', '}']) {
        made.push_str(&rest[..at]);
        let sign = &rest[at..at + 1];
        if rest[at + 1..].starts_with(sign) {
            made.push_str(sign);
            rest = &rest[at + 2..];
            continue;
        }
        let Some(end) = rest[at..].find('}').filter(|_| sign == "{") else {
            return wrong("a { or } stands alone");
        };
        let name = &rest[at + 1..at + end];
        let value = match name.parse::<usize>() {
            Ok(idx) => args.given.get(idx),
            Err(_) if name.is_empty() => args.given.get(next),
            Err(_) => args.get(usize::MAX, name),
        };
        next += usize::from(name.is_empty());
        let Some(value) = value else { return wrong(format!("format has no value for {{{name}}}")) };
        made.push_str(&super::print::shown(value, budget)?);
        rest = &rest[at + end + 1..];
    }
    made.push_str(rest);
    Ok(Value::text(made))
}
