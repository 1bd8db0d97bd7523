//! Dice, random schemas, documents made from them, and a validator of the tests' own.

use prompt::Json;

/// xorshift64*: the same story every time.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % below
    }

    fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.roll((high - low + 1) as usize) as i64
    }

    fn flip(&mut self) -> bool {
        self.roll(2) == 0
    }
}

fn map(entries: Vec<(&str, Json)>) -> Json {
    Json::Map(entries.into_iter().map(|(key, value)| (key.to_string(), value)).collect())
}

const NAMES: [&str; 8] = ["a", "ab", "abc", "b", "", "x y", "q\"", "\u{e9}"];

/// A schema that something satisfies.
pub fn schema(dice: &mut Dice, depth: usize) -> Json {
    let kind = |name: &str| ("type", Json::from(name));
    match dice.roll(if depth == 0 { 6 } else { 10 }) {
        0 => map(vec![kind("boolean")]),
        1 => map(vec![("type", Json::List(vec!["string".into(), "null".into()]))]),
        2 => {
            let mut entries = vec![kind("string")];
            let least = dice.between(0, 3);
            if dice.flip() {
                entries.push(("minLength", Json::Int(least)));
            }
            if dice.flip() {
                entries.push(("maxLength", Json::Int(least + dice.between(0, 3))));
            }
            map(entries)
        }
        3 => {
            let mut entries = vec![kind("integer")];
            let low = dice.between(-120, 120);
            let words = [("minimum", "maximum"), ("exclusiveMinimum", "exclusiveMaximum")][dice.roll(2)];
            if dice.flip() {
                entries.push((words.0, Json::Int(low)));
            }
            if dice.flip() {
                entries.push((words.1, Json::Int(low + dice.between(2, 300))));
            }
            map(entries)
        }
        4 => {
            let mut entries = vec![kind("number")];
            let low = dice.between(-400, 400) as f64 / 4.0;
            if dice.flip() {
                entries.push((["minimum", "exclusiveMinimum"][dice.roll(2)], Json::Float(low)));
            }
            if dice.flip() {
                let high = low + dice.between(4, 90) as f64 / 4.0;
                entries.push((["maximum", "exclusiveMaximum"][dice.roll(2)], Json::Float(high)));
            }
            map(entries)
        }
        5 => {
            let values: Vec<Json> = (0..=dice.roll(3)).map(|_| random_json(dice, 1)).collect();
            map(vec![("enum", Json::List(values))])
        }
        6 => {
            let mut entries = vec![kind("array"), ("items", schema(dice, depth - 1))];
            let least = dice.between(0, 3);
            if dice.flip() {
                entries.push(("minItems", Json::Int(least)));
            }
            if dice.flip() {
                entries.push(("maxItems", Json::Int(least + dice.between(0, 2))));
            }
            map(entries)
        }
        7 => {
            let ways: Vec<Json> = (0..=dice.roll(3)).map(|_| schema(dice, depth - 1)).collect();
            map(vec![(["anyOf", "oneOf"][usize::from(ways.len() == 1 && dice.flip())], Json::List(ways))])
        }
        8 => {
            let parts = vec![object(dice, depth), map(vec![kind("object")])];
            map(vec![("allOf", Json::List(parts))])
        }
        _ => object(dice, depth),
    }
}

fn object(dice: &mut Dice, depth: usize) -> Json {
    let mut names = NAMES.to_vec();
    let mut properties = Vec::new();
    for _ in 0..dice.roll(4) {
        let name = names.remove(dice.roll(names.len()));
        properties.push((name.to_string(), schema(dice, depth - 1)));
    }
    let required =
        properties.iter().filter(|_| dice.flip()).map(|(name, _)| Json::Text(name.clone())).collect();
    let mut entries = vec![("type", Json::from("object")), ("required", Json::List(required))];
    entries.insert(dice.roll(2), ("properties", Json::Map(properties)));
    match dice.roll(4) {
        0 => entries.push(("additionalProperties", Json::Bool(false))),
        1 => entries.push(("additionalProperties", schema(dice, depth - 1))),
        // Without properties, any would be taken; the documents here have none then.
        _ => {}
    }
    map(entries)
}

fn text(dice: &mut Dice, len: usize) -> String {
    let letters = ['a', 'b', ' ', '"', '\\', '\n', '\u{e9}', '\u{1f600}', '/', '\u{7f}'];
    (0..len).map(|_| letters[dice.roll(letters.len())]).collect()
}

pub fn random_json(dice: &mut Dice, depth: usize) -> Json {
    match dice.roll(if depth == 0 { 5 } else { 7 }) {
        0 => Json::Null,
        1 => Json::Bool(dice.flip()),
        2 => Json::Int(dice.between(-500, 500)),
        3 => Json::Float(dice.between(-500, 500) as f64 + 0.25),
        4 => {
            let len = dice.roll(5);
            Json::Text(text(dice, len))
        }
        5 => Json::List((0..dice.roll(4)).map(|_| random_json(dice, depth - 1)).collect()),
        _ => {
            let n_keys = dice.roll(3);
            Json::Map(
                NAMES[..n_keys].iter().map(|name| (name.to_string(), random_json(dice, depth - 1))).collect(),
            )
        }
    }
}

fn int(schema: &Json, word: &str) -> Option<i64> {
    if let Some(Json::Int(value)) = schema.get(word) { Some(*value) } else { None }
}

fn number(json: &Json) -> Option<f64> {
    match json {
        Json::Int(value) => Some(*value as f64),
        Json::Float(value) => Some(*value),
        _ => None,
    }
}

/// A valid document, properties in the schema's order.
pub fn document(dice: &mut Dice, schema: &Json) -> Json {
    for word in ["anyOf", "oneOf"] {
        if let Some(ways) = schema.get(word).and_then(Json::items) {
            let way = dice.roll(ways.len());
            return document(dice, &ways[way]);
        }
    }
    if let Some(parts) = schema.get("allOf").and_then(Json::items) {
        return document(dice, &parts[0]);
    }
    if let Some(values) = schema.get("enum").and_then(Json::items) {
        return values[dice.roll(values.len())].clone();
    }
    let kind = match schema.get("type") {
        Some(Json::List(kinds)) => kinds[dice.roll(kinds.len())].text().unwrap(),
        kind => kind.and_then(Json::text).unwrap(),
    };
    match kind {
        "null" => Json::Null,
        "boolean" => Json::Bool(dice.flip()),
        "string" => {
            let least = int(schema, "minLength").unwrap_or(0);
            let most = int(schema, "maxLength").unwrap_or(least + 6);
            let len = dice.between(least, most) as usize;
            Json::Text(text(dice, len))
        }
        "integer" => {
            let low = int(schema, "minimum").or(int(schema, "exclusiveMinimum").map(|low| low + 1));
            let high = int(schema, "maximum").or(int(schema, "exclusiveMaximum").map(|high| high - 1));
            let low = low.unwrap_or(high.unwrap_or(0) - 1000);
            Json::Int(dice.between(low, high.unwrap_or(low + 1000)))
        }
        "number" => loop {
            let low = schema.get("minimum").or(schema.get("exclusiveMinimum")).and_then(number);
            let high = schema.get("maximum").or(schema.get("exclusiveMaximum")).and_then(number);
            let low = low.unwrap_or(high.unwrap_or(0.0) - 50.0);
            let high = high.unwrap_or(low + 50.0);
            let value = low + (high - low) * dice.roll(17) as f64 / 16.0;
            let json = if value.fract() == 0.0 && dice.flip() {
                Json::Int(value as i64)
            } else {
                Json::Float(value)
            };
            // Minus nothing is no number that the grammar offers.
            if valid(schema, &json) && !(value == 0.0 && value.is_sign_negative()) {
                break json;
            }
        },
        "array" => {
            let least = int(schema, "minItems").unwrap_or(0);
            let n_items = dice.between(least, int(schema, "maxItems").unwrap_or(least + 3));
            let items = schema.get("items").unwrap();
            Json::List((0..n_items).map(|_| document(dice, items)).collect())
        }
        _ => filled(dice, schema),
    }
}

fn filled(dice: &mut Dice, schema: &Json) -> Json {
    let properties = schema.get("properties").and_then(Json::entries).unwrap_or_default();
    let required = schema.get("required").and_then(Json::items).unwrap_or_default();
    let mut entries = Vec::new();
    for (name, property) in properties {
        if required.contains(&Json::from(name.as_str())) || dice.flip() {
            entries.push((name.clone(), document(dice, property)));
        }
    }
    if let Some(others @ Json::Map(_)) = schema.get("additionalProperties") {
        for name in
            NAMES.iter().filter(|name| properties.iter().all(|(known, _)| known != *name)).take(dice.roll(3))
        {
            entries.push((name.to_string(), document(dice, others)));
        }
    }
    Json::Map(entries)
}

/// Whether a document is valid, by the plain words of JSON schema that the schemas above use.
/// An object that lists properties and says nothing of others is closed, as the grammar reads it.
pub fn valid(schema: &Json, json: &Json) -> bool {
    let ways = |word| schema.get(word).and_then(Json::items);
    let any = |word| ways(word).is_none_or(|ways| ways.iter().any(|way| valid(way, json)));
    let low = |word| schema.get(word).and_then(number).zip(number(json));
    any("anyOf")
        && any("oneOf")
        && ways("allOf").is_none_or(|parts| parts.iter().all(|part| valid(part, json)))
        && ways("enum").is_none_or(|values| values.contains(json))
        && kind_fits(schema, json)
        && low("minimum").is_none_or(|(bound, value)| value >= bound)
        && low("maximum").is_none_or(|(bound, value)| value <= bound)
        && low("exclusiveMinimum").is_none_or(|(bound, value)| value > bound)
        && low("exclusiveMaximum").is_none_or(|(bound, value)| value < bound)
        && json.text().is_none_or(|text| counts(schema, "minLength", "maxLength", text.chars().count()))
        && json.items().is_none_or(|items| {
            let each = |item| schema.get("items").is_none_or(|schema| valid(schema, item));
            counts(schema, "minItems", "maxItems", items.len()) && items.iter().all(each)
        })
        && json.entries().is_none_or(|entries| object_fits(schema, json, entries))
}

fn counts(schema: &Json, least: &str, most: &str, count: usize) -> bool {
    let count = count as i64;
    int(schema, least).is_none_or(|least| count >= least)
        && int(schema, most).is_none_or(|most| count <= most)
}

fn kind_fits(schema: &Json, json: &Json) -> bool {
    let fits = |kind: &Json| match (kind.text().unwrap(), json) {
        ("number", Json::Int(_)) => true,
        ("integer", Json::Float(value)) => value.fract() == 0.0,
        (kind, json) => kind == json.kind(),
    };
    match schema.get("type") {
        None => true,
        Some(Json::List(kinds)) => kinds.iter().any(fits),
        Some(kind) => fits(kind),
    }
}

fn object_fits(schema: &Json, json: &Json, entries: &[(String, Json)]) -> bool {
    let required = schema.get("required").and_then(Json::items).unwrap_or_default();
    let properties = schema.get("properties").and_then(Json::entries);
    required.iter().all(|name| json.get(name.text().unwrap()).is_some())
        && entries.iter().all(|(name, value)| {
            let known = properties.and_then(|all| all.iter().find(|(known, _)| known == name));
            match (known, schema.get("additionalProperties")) {
                (Some((_, property)), _) => valid(property, value),
                (None, Some(Json::Bool(allowed))) => *allowed,
                (None, Some(others)) => valid(others, value),
                (None, None) => properties.is_none_or(<[_]>::is_empty),
            }
        })
}

/// Makes one small change somewhere.
pub fn spoil(dice: &mut Dice, json: &mut Json) {
    match json {
        Json::List(items) if !items.is_empty() && dice.flip() => {
            let idx = dice.roll(items.len());
            match dice.roll(3) {
                0 => drop(items.remove(idx)),
                1 => items.push(items[idx].clone()),
                _ => spoil(dice, &mut items[idx]),
            }
        }
        Json::Map(entries) if !entries.is_empty() => {
            let idx = dice.roll(entries.len());
            match dice.roll(4) {
                0 => drop(entries.remove(idx)),
                1 => entries[idx].0.push('a'),
                _ => spoil(dice, &mut entries[idx].1),
            }
        }
        Json::Int(value) => *value += dice.between(-200, 200),
        Json::Float(value) => *value += dice.between(-90, 90) as f64 / 4.0,
        Json::Text(text) if dice.flip() => text.push_str("aaa"),
        other => *other = random_json(dice, 1),
    }
}

/// As Python's json.dumps writes it.
pub fn spaced(json: &Json) -> String {
    let join = |parts: Vec<String>| parts.join(", ");
    match json {
        Json::List(items) => format!("[{}]", join(items.iter().map(spaced).collect())),
        Json::Map(entries) => {
            let pair =
                |(key, value): &(String, Json)| format!("{}: {}", Json::from(key.as_str()), spaced(value));
            format!("{{{}}}", join(entries.iter().map(pair).collect()))
        }
        other => other.to_string(),
    }
}
