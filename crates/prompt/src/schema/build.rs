//! Writes the rules of a grammar for flat alternatives.

use std::collections::{BTreeMap, BTreeSet};

use super::chars::{CharSet, literal};
use super::expand::{Expander, Place};
use super::flat::{Flat, Kinds, Others, Together};
use super::{DEPTH_MAX, ITEMS_MAX, LENGTH_MAX, RULES_MAX, SchemaError, number, pattern, strings};
use crate::gbnf::Grammar;
use crate::json::Json;

/// Rules that many schemas share, with those that they lean on.
const COMMON: [(&str, &str, &[&str]); 8] = [
    ("ws", "\" \"?", &[]),
    ("character", strings::CHARACTER, &[]),
    ("string", "\"\\\"\" character* \"\\\"\"", &["character"]),
    ("integer", number::INTEGER, &[]),
    ("number", number::NUMBER, &[]),
    ("array", "\"[\" (value (\",\" ws value)*)? \"]\"", &["value", "ws"]),
    (
        "object",
        "\"{\" (string \":\" ws value (\",\" ws string \":\" ws value)*)? \"}\"",
        &["string", "value", "ws"],
    ),
    (
        "value",
        "object | array | string | number | \"true\" | \"false\" | \"null\"",
        &["object", "array", "string", "number"],
    ),
];

#[derive(Default)]
pub struct Builder {
    /// Name and body, in the order they were asked for.
    rules: Vec<(String, Option<String>)>,
    /// The rule of a place, or of several that must hold together.
    known: BTreeMap<String, String>,
    common: BTreeSet<&'static str>,
    depth: usize,
}

type Written = Result<String, SchemaError>;

impl Builder {
    /// The rule for a whole schema document; `path` is its name in errors.
    pub fn document(&mut self, schema: &Json, path: &str) -> Written {
        let mut expander = Expander { root: schema, root_path: path.to_string(), n_steps: 0 };
        let place = Place { schema, path: path.to_string() };
        self.together(&mut expander, &vec![place])
    }

    pub fn add(&mut self, body: String) -> Written {
        let name = self.reserve()?;
        self.define(&name, body);
        Ok(name)
    }

    fn reserve(&mut self) -> Written {
        if self.rules.len() >= RULES_MAX {
            return SchemaError::at("#", format!("the grammar would have more than {RULES_MAX} rules"));
        }
        let name = format!("r{}", self.rules.len());
        self.rules.push((name.clone(), None));
        Ok(name)
    }

    pub fn define(&mut self, name: &str, mut body: String) {
        // An empty alternative stands first: after a last sign of choice, the reader looks for more on the next line.
        if let Some(others) = body.trim_end().strip_suffix('|') {
            body = format!("| {others}");
        }
        if body.trim_matches([' ', '|']).is_empty() {
            body = "\"\"".to_string();
        }
        if let Some(rule) = self.rules.iter_mut().rev().find(|(rule, _)| rule == name) {
            rule.1 = Some(body);
        }
    }

    pub fn common(&mut self, name: &'static str) -> &'static str {
        if let Some((name, _, needs)) = COMMON.iter().find(|(common, _, _)| *common == name)
            && self.common.insert(name)
        {
            for need in *needs {
                self.common(need);
            }
        }
        name
    }

    /// The grammar's text. It is read back, so that nothing leaves this crate that llama.cpp would refuse.
    pub fn finish(self, root: &str) -> Written {
        let text = self.text(root);
        match Grammar::parse(&text) {
            Ok(_) => Ok(text),
            Err(error) => SchemaError::at("#", error.to_string()),
        }
    }

    fn text(&self, root: &str) -> String {
        let mut text = format!("root ::= {root}\n");
        for (name, body) in &self.rules {
            text += &format!("{name} ::= {}\n", body.as_deref().unwrap_or_default());
        }
        for (name, body, _) in COMMON.iter().filter(|(name, _, _)| self.common.contains(name)) {
            text += &format!("{name} ::= {body}\n");
        }
        text
    }

    /// The rule for schemas that must hold together. A place that is still being written is referred to, so schemas may recur.
    fn together<'s>(&mut self, expander: &mut Expander<'s>, places: &Together<'s>) -> Written {
        if places.is_empty() {
            return Ok(self.common("value").to_string());
        }
        let key: Vec<&str> = places.iter().map(|place| place.path.as_str()).collect();
        let key = key.join("\n");
        if let Some(name) = self.known.get(&key) {
            return Ok(name.clone());
        }
        if self.depth >= DEPTH_MAX {
            return SchemaError::at(
                &places[0].path,
                format!("more than {DEPTH_MAX} schemas within each other"),
            );
        }
        let flats = expander.together(places)?;
        let name = self.reserve()?;
        self.known.insert(key, name.clone());
        self.depth += 1;
        let mut ways = Vec::new();
        for flat in &flats {
            for way in self.flat(expander, flat)? {
                if !ways.contains(&way) {
                    ways.push(way);
                }
            }
        }
        self.depth -= 1;
        self.define(&name, ways.join(" | "));
        Ok(name)
    }

    fn flat<'s>(&mut self, expander: &mut Expander<'s>, flat: &Flat<'s>) -> Result<Vec<String>, SchemaError> {
        if let Some(values) = &flat.values {
            return self.values(expander, flat, values);
        }
        let offered = flat.offered();
        if offered == Kinds::ALL && flat.spoken_of == 0 {
            return Ok(vec![self.common("value").to_string()]);
        }
        let mut ways = Vec::new();
        if offered.has(Kinds::NULL) {
            ways.push("\"null\"".to_string());
        }
        if offered.has(Kinds::BOOLEAN) {
            ways.push("\"true\" | \"false\"".to_string());
        }
        if offered.has(Kinds::INTEGER) {
            ways.push(self.number(flat, offered.has(Kinds::NUMBER))?);
        }
        if offered.has(Kinds::STRING) {
            ways.push(self.string(flat)?);
        }
        if offered.has(Kinds::ARRAY) {
            ways.push(self.array(expander, flat)?);
        }
        if offered.has(Kinds::OBJECT) {
            ways.push(self.object(expander, flat)?);
        }
        Ok(ways)
    }

    /// The values of an `enum` that the other demands allow.
    fn values<'s>(
        &mut self,
        expander: &mut Expander<'s>,
        flat: &Flat<'s>,
        values: &[&'s Json],
    ) -> Result<Vec<String>, SchemaError> {
        let of_kind = |value: &&&Json| match value {
            // 1.0 is a whole number for JSON schema.
            Json::Float(float) if float.fract() == 0.0 => {
                flat.kinds.is_none_or(|kinds| kinds.has(Kinds::INTEGER))
            }
            value => {
                Kinds::named(value.kind()).is_none_or(|kind| flat.kinds.is_none_or(|kinds| kinds.has(kind)))
            }
        };
        let mut left: Vec<&Json> = values.iter().filter(of_kind).copied().collect();
        if flat.spoken_of != 0 {
            // What stands beside the enum is asked of each value by a grammar of its own.
            let beside = Flat { values: None, kinds: Some(Kinds(flat.spoken_of)), ..flat.clone() };
            let mut scratch = Builder::default();
            let ways = scratch.flat(expander, &beside)?.join(" | ");
            let grammar = Grammar::parse(&scratch.text(&ways));
            let grammar = match grammar {
                Ok(grammar) => grammar,
                Err(error) => return SchemaError::at(&flat.path, error.to_string()),
            };
            let spoken_of = |value: &Json| {
                Kinds::named(value.kind()).is_some_and(|kind| !(kind & Kinds(flat.spoken_of)).is_none())
            };
            left.retain(|value| !spoken_of(value) || grammar.accepts(&value.to_string()));
        }
        if left.is_empty() {
            return SchemaError::at(&flat.path, "no value of the enum is allowed by what stands beside it");
        }
        Ok(left.into_iter().map(|value| self.value(value)).collect())
    }

    /// One value, with blanks where they may stand.
    fn value(&mut self, value: &Json) -> String {
        match value {
            Json::List(items) if !items.is_empty() => {
                let ws = self.common("ws");
                let items: Vec<String> = items.iter().map(|item| self.value(item)).collect();
                format!("\"[\" {} \"]\"", items.join(&format!(" \",\" {ws} ")))
            }
            Json::Map(entries) if !entries.is_empty() => {
                let ws = self.common("ws");
                let pair = |(key, value): &(String, Json), builder: &mut Builder| {
                    format!("{} {ws} {}", key_literal(key), builder.value(value))
                };
                let pairs: Vec<String> = entries.iter().map(|entry| pair(entry, self)).collect();
                format!("\"{{\" {} \"}}\"", pairs.join(&format!(" \",\" {ws} ")))
            }
            other => literal(&other.to_string()),
        }
    }

    fn number(&mut self, flat: &Flat, with_fraction: bool) -> Written {
        let (low, high) = (flat.low.as_ref(), flat.high.as_ref());
        if low.is_none() && high.is_none() {
            return Ok(self.common(if with_fraction { "number" } else { "integer" }).to_string());
        }
        let body = if with_fraction { number::numbers(low, high) } else { number::integers(low, high) };
        match body {
            Some(body) => self.add(body),
            None => SchemaError::at(&flat.path, "no number lies within the bounds"),
        }
    }

    fn string(&mut self, flat: &Flat) -> Written {
        let is_bounded = flat.length_min > 0 || flat.length_max.is_some();
        let n_demands =
            [is_bounded, flat.pattern.is_some(), flat.format.is_some()].iter().filter(|is| **is).count();
        if n_demands > 1 {
            return SchemaError::at(
                &flat.path,
                "only one of a length, a pattern and a format can be promised for one string",
            );
        }
        if let Some((text, path)) = &flat.pattern {
            let refuse = |reason: &'static str| SchemaError {
                path: path.clone(),
                reason: format!("pattern: {reason}"),
            };
            let inside = pattern::inside(text, &mut |body| self.add(body), refuse)?;
            return Ok(format!("\"\\\"\" {inside} \"\\\"\""));
        }
        if let Some(format) = flat.format {
            let inside = self.add(strings::format(format))?;
            return Ok(format!("\"\\\"\" {inside} \"\\\"\""));
        }
        if !is_bounded {
            return Ok(self.common("string").to_string());
        }
        if flat.length_min > LENGTH_MAX || flat.length_max.is_some_and(|most| most < flat.length_min) {
            return SchemaError::at(&flat.path, "no string has such a length");
        }
        if flat.length_max.is_some_and(|most| most > LENGTH_MAX) {
            return SchemaError::at(&flat.path, format!("maxLength is at most {LENGTH_MAX}"));
        }
        let character = self.common("character");
        let rows = strings::rows(character, flat.length_min, flat.length_max, &mut |body| self.add(body))?;
        Ok(format!("\"\\\"\" {rows} \"\\\"\""))
    }

    fn array<'s>(&mut self, expander: &mut Expander<'s>, flat: &Flat<'s>) -> Written {
        let (least, most) = (flat.items_min, flat.items_max);
        if least > ITEMS_MAX || most.is_some_and(|most| most > ITEMS_MAX) {
            return SchemaError::at(&flat.path, format!("minItems and maxItems are at most {ITEMS_MAX}"));
        }
        // A tuple ends with its prefix, unless more is asked for or offered.
        let rest = match &flat.items {
            Some(rest) => rest.clone(),
            None if flat.prefix.is_empty() || least > flat.prefix.len() => Some(Vec::new()),
            None => None,
        };
        let most =
            if rest.is_some() { most } else { Some(most.unwrap_or(usize::MAX).min(flat.prefix.len())) };
        if most.is_some_and(|most| most < least) {
            return SchemaError::at(&flat.path, "no array has so many items");
        }
        let ws = self.common("ws");
        let n_prefix = flat.prefix.len().min(most.unwrap_or(usize::MAX));
        let mut first = Vec::new();
        for place in &flat.prefix[..n_prefix] {
            first.push(self.together(expander, place)?);
        }
        let most = most.map(|most| most - n_prefix);
        let least_rest = least.saturating_sub(n_prefix);
        let rest = match rest {
            Some(places) if most != Some(0) => Some(self.together(expander, &places)?),
            _ => None,
        };
        // From the back: what may follow the items so far.
        let mut tail = match rest {
            None => String::new(),
            Some(item) if n_prefix == 0 => {
                let more = self.add(format!("\",\" {ws} {item}"))?;
                // A rule of its own: a group is as large as all that it repeats, and llama.cpp has a limit for it.
                let most = most.map(|most| most - 1);
                let more = self.add(times(&more, least_rest.saturating_sub(1), most))?;
                let row = format!("{item} {more}");
                return Ok(format!(
                    "\"[\" {} \"]\"",
                    if least_rest == 0 { format!("({row})?") } else { row }
                ));
            }
            Some(item) => {
                let more = self.add(format!("\",\" {ws} {item}"))?;
                times(&more, least_rest, most)
            }
        };
        for (idx, item) in first.iter().enumerate().rev() {
            let comma = if idx == 0 { String::new() } else { format!("\",\" {ws} ") };
            let here = self.add(format!("{comma}{item} {tail}"))?;
            tail = if idx < least { here } else { format!("{here}?") };
        }
        Ok(format!("\"[\" {tail} \"]\""))
    }

    fn object<'s>(&mut self, expander: &mut Expander<'s>, flat: &Flat<'s>) -> Written {
        let mut properties = flat.properties.clone();
        for name in &flat.required {
            if properties.iter().any(|(known, _)| known == name) {
                continue;
            }
            match &flat.others {
                Others::Unsaid => properties.push((name, Vec::new())),
                Others::Allowed(places) => properties.push((name, places.clone())),
                Others::Forbidden => {
                    return SchemaError::at(
                        &flat.path,
                        format!("{name:?} is required, but no such property may be"),
                    );
                }
            }
        }
        let is_map = properties.is_empty() && !matches!(flat.others, Others::Forbidden);
        self.counts(flat, properties.len(), is_map)?;
        let ws = self.common("ws");
        let others = match &flat.others {
            Others::Allowed(places) => Some(places.clone()),
            Others::Unsaid if properties.is_empty() => Some(Vec::new()),
            _ => None,
        };
        let other = match others {
            None => None,
            Some(places) => {
                let names: Vec<&str> = properties.iter().map(|(name, _)| *name).collect();
                let key = self.other_key(&names)?;
                let value = self.together(expander, &places)?;
                Some(self.add(format!("{key} \":\" {ws} {value}"))?)
            }
        };
        let mut pairs = Vec::new();
        for (name, places) in &properties {
            let is_required = flat.required.contains(name);
            if places.iter().any(|place| *place.schema == Json::Bool(false)) {
                if is_required {
                    return SchemaError::at(
                        &flat.path,
                        format!("{name:?} is required, but nothing is valid for it"),
                    );
                }
                continue;
            }
            let value = self.together(expander, places)?;
            pairs.push((format!("{} {ws} {value}", key_literal(name)), is_required));
        }
        self.members(&pairs, other, flat.properties_min, flat.properties_max)
    }

    /// Refuses numbers of properties that cannot be promised.
    fn counts(&self, flat: &Flat, n_properties: usize, is_map: bool) -> Result<(), SchemaError> {
        let least_kept = flat.properties_min <= flat.required.len() || (is_map && flat.properties_min <= 1);
        let is_open = matches!(flat.others, Others::Allowed(_));
        let most_kept = match flat.properties_max {
            None => true,
            Some(most) if is_map => (1..=ITEMS_MAX).contains(&most) && flat.properties_min <= most,
            Some(most) => !is_open && n_properties <= most,
        };
        if least_kept && most_kept {
            return Ok(());
        }
        SchemaError::at(&flat.path, "so few or so many properties cannot be promised here")
    }

    /// The members between the braces. Two rules for each property: before and after a first member was written.
    fn members(
        &mut self,
        pairs: &[(String, bool)],
        other: Option<String>,
        least: usize,
        most: Option<usize>,
    ) -> Written {
        let ws = self.common("ws");
        let (mut first, mut rest) = match &other {
            None => (String::new(), String::new()),
            Some(other) => {
                let more = self.add(format!("\",\" {ws} {other}"))?;
                let most = if pairs.is_empty() { most.map(|most| most - 1) } else { None };
                let many = self.add(times(&more, 0, most))?;
                let is_must = pairs.is_empty() && least > 0;
                (if is_must { format!("{other} {many}") } else { format!("({other} {many})?") }, many)
            }
        };
        for (pair, is_required) in pairs.iter().rev() {
            let skip = |next: &str| if *is_required { String::new() } else { format!(" | {next}") };
            let begin = self.add(format!("{pair} {rest}{}", skip(&first)))?;
            rest = self.add(format!("\",\" {ws} {pair} {rest}{}", skip(&rest)))?;
            first = begin;
        }
        Ok(format!("\"{{\" {first} \"}}\""))
    }

    /// A key that is none of these names. Keys are written in one way only, so that no name slips in by another spelling.
    fn other_key(&mut self, names: &[&str]) -> Written {
        let rest = self.add(format!("{} ", CharSet::all().in_json().join(" | ")))?;
        let names: Vec<Vec<char>> = names.iter().map(|name| name.chars().collect()).collect();
        let body = self.key_after(&names.iter().map(Vec::as_slice).collect::<Vec<_>>(), &rest)?;
        Ok(format!("\"\\\"\" {body}"))
    }

    /// What may follow in a key, when these are the rests of the names that it has begun like.
    fn key_after(&mut self, names: &[&[char]], rest: &str) -> Written {
        let mut begins: BTreeMap<char, Vec<&[char]>> = BTreeMap::new();
        for name in names {
            if let [first, after @ ..] = name {
                begins.entry(*first).or_default().push(after);
            }
        }
        let mut ways = Vec::new();
        if !names.iter().any(|name| name.is_empty()) {
            ways.push("\"\\\"\"".to_string());
        }
        let mut elsewhere = CharSet::all();
        for (c, after) in begins {
            elsewhere = elsewhere.and(&CharSet::one(c).not());
            let next = self.key_after(&after, rest)?;
            ways.extend(CharSet::one(c).in_json().into_iter().map(|way| format!("{way} {next}")));
        }
        ways.extend(elsewhere.in_json().into_iter().map(|way| format!("{way} {rest}* \"\\\"\"")));
        self.add(ways.join(" | "))
    }
}

fn key_literal(name: &str) -> String {
    literal(&format!("{}:", Json::from(name)))
}

fn times(item: &str, least: usize, most: Option<usize>) -> String {
    match (least, most) {
        (0, None) => format!("{item}*"),
        (least, None) => format!("{item}{{{least},}}"),
        (_, Some(0)) => String::new(),
        (least, Some(most)) => format!("{item}{{{least},{most}}}"),
    }
}
