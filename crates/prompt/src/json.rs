//! JSON whose objects keep the order they were written in.
//!
//! Order carries meaning here: a template prints a tool's parameters as the client wrote them, and a grammar makes a model fill properties in the schema's order.
//! `serde_json` keeps order only by a feature that would change every other crate of a build, hence this small type.

use std::fmt::Write;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

/// A JSON value. A key that is written twice keeps its first place and its last value.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Json {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Json>),
    Map(Vec<(String, Json)>),
}

impl Json {
    /// Reads a text. `serde_json` refuses more than 128 levels.
    pub fn parse(text: &str) -> Result<Json, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// The value under a key of an object.
    pub fn get(&self, key: &str) -> Option<&Json> {
        self.entries()?.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub fn entries(&self) -> Option<&[(String, Json)]> {
        if let Json::Map(entries) = self { Some(entries) } else { None }
    }

    pub fn items(&self) -> Option<&[Json]> {
        if let Json::List(items) = self { Some(items) } else { None }
    }

    pub fn text(&self) -> Option<&str> {
        if let Json::Text(text) = self { Some(text) } else { None }
    }

    /// The name that JSON schema gives to this kind of value.
    pub fn kind(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "boolean",
            Json::Int(_) => "integer",
            Json::Float(_) => "number",
            Json::Text(_) => "string",
            Json::List(_) => "array",
            Json::Map(_) => "object",
        }
    }

    fn set(entries: &mut Vec<(String, Json)>, key: String, value: Json) {
        match entries.iter_mut().find(|(name, _)| *name == key) {
            Some(entry) => entry.1 = value,
            None => entries.push((key, value)),
        }
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Json {
        Json::Text(text.to_string())
    }
}

/// Without blanks, characters beyond ASCII as they are.
impl std::fmt::Display for Json {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| std::fmt::Error)?)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Json::Null => to.serialize_unit(),
            Json::Bool(value) => to.serialize_bool(*value),
            Json::Int(value) => to.serialize_i64(*value),
            Json::Float(value) => to.serialize_f64(*value),
            Json::Text(value) => to.serialize_str(value),
            Json::List(items) => {
                let mut list = to.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| list.serialize_element(item))?;
                list.end()
            }
            Json::Map(entries) => {
                let mut map = to.serialize_map(Some(entries.len()))?;
                entries.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Json, D::Error> {
        from.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(i64::try_from(value).map_or(Json::Float(value as f64), Json::Int))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Json, E> {
        if value.is_finite() { Ok(Json::Float(value)) } else { Err(E::custom("a number is not finite")) }
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_string()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = from.next_element()? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Json, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = from.next_entry::<String, Json>()? {
            if entries.len() == ENTRIES_MAX {
                return Err(A::Error::custom(format!("an object has more than {ENTRIES_MAX} keys")));
            }
            Json::set(&mut entries, key, value);
        }
        Ok(Json::Map(entries))
    }
}

/// Keys of one object. Looking a key up costs a walk, so an object must stay small.
pub const ENTRIES_MAX: usize = 2048;

/// A float as Python and JavaScript write it: the fewest digits that read back, always with a point or an exponent.
pub(crate) fn write_float(out: &mut String, value: f64) {
    let scientific = format!("{value:e}");
    let exponent: i32 = scientific.split_once('e').and_then(|(_, exp)| exp.parse().ok()).unwrap_or(0);
    let _ = if (-4..16).contains(&exponent) {
        if value.fract() == 0.0 { write!(out, "{value:.1}") } else { write!(out, "{value}") }
    } else {
        let (digits, _) = scientific.split_once('e').unwrap_or((&scientific, ""));
        let sign = if exponent < 0 { '-' } else { '+' };
        write!(out, "{digits}e{sign}{:02}", exponent.abs())
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: &str) {
        assert_eq!(Json::parse(text).map_or_else(|error| error, |json| json.to_string()), want);
    }

    #[test]
    fn objects_keep_their_order() {
        check(
            r#"{"z": 1, "a": [true, null], "m": "\u00e9"}"#,
            "{\"z\":1,\"a\":[true,null],\"m\":\"\u{e9}\"}",
        );
    }

    #[test]
    fn a_key_written_twice_has_its_last_value() {
        check(r#"{"a": 1, "b": 2, "a": 3}"#, r#"{"a":3,"b":2}"#);
    }

    #[test]
    fn whole_and_broken_numbers_stay_apart() {
        check("[1, 1.0, -0.5, 18446744073709551615]", "[1,1.0,-0.5,1.8446744073709552e+19]");
    }

    #[test]
    fn a_deep_text_is_refused() {
        check(&"[".repeat(200), "recursion limit exceeded at line 1 column 128");
    }

    #[test]
    fn a_wide_object_is_refused() {
        let wide: Vec<String> = (0..=ENTRIES_MAX).map(|n| format!("\"k{n}\":0")).collect();
        let error = Json::parse(&format!("{{{}}}", wide.join(","))).unwrap_err();
        assert!(error.starts_with("an object has more than 2048 keys"), "{error}");
    }

    #[test]
    fn floats_are_written_as_python_writes_them() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (123456789.0, "123456789.0"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e-5, "1.5e-05"),
            (0.0001, "0.0001"),
            (1.25e300, "1.25e+300"),
        ];
        for (value, want) in cases {
            let mut out = String::new();
            write_float(&mut out, value);
            assert_eq!(out, want);
        }
    }
}
