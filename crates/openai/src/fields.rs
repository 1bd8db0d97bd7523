//! Reads JSON objects field by field, so that every mistake is named by its place.
//!
//! Values stay text until they are asked for: what is not known costs nothing, and a schema keeps its order.

use crate::{ApiError, FIELDS_MAX};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use std::ops::RangeInclusive;

/// An object, and where it stands in the request.
pub struct Fields<'a> {
    path: String,
    entries: Vec<(String, &'a RawValue)>,
}

/// A field's value, and where it stands.
pub struct Field<'a> {
    pub path: String,
    raw: &'a RawValue,
}

/// The whole body of a request.
pub fn body(bytes: &[u8]) -> Result<Fields<'_>, ApiError> {
    let text = std::str::from_utf8(bytes).map_err(|_| ApiError::unreadable("the body is not UTF-8"))?;
    let raw: &RawValue =
        serde_json::from_str(text).map_err(|e| ApiError::unreadable(format!("the body is not JSON: {e}")))?;
    if !raw.get().starts_with('{') {
        return Err(ApiError::unreadable("the body must be a JSON object"));
    }
    let entries = entries(raw).map_err(ApiError::unreadable)?;
    Ok(Fields { path: String::new(), entries })
}

impl<'a> Fields<'a> {
    /// A field that is there and not `null`.
    pub fn get(&self, name: &str) -> Option<Field<'a>> {
        // The last of two counts, as everywhere.
        let (_, raw) = self.entries.iter().rev().find(|(key, _)| key == name)?;
        (raw.get() != "null").then(|| Field { path: self.path_of(name), raw })
    }

    /// A field that must be there.
    pub fn need(&self, name: &str) -> Result<Field<'a>, ApiError> {
        let path = self.path_of(name);
        self.get(name).ok_or_else(|| ApiError::invalid(path, format!("the parameter {name} is missing")))
    }

    pub fn text(&self, name: &str, bytes_max: usize) -> Result<Option<String>, ApiError> {
        self.get(name).map(|field| field.text(bytes_max)).transpose()
    }

    pub fn flag(&self, name: &str) -> Result<Option<bool>, ApiError> {
        self.get(name).map(|field| field.flag()).transpose()
    }

    pub fn number(&self, name: &str, range: RangeInclusive<f32>) -> Result<Option<f32>, ApiError> {
        self.get(name).map(|field| field.number(range)).transpose()
    }

    pub fn whole(&self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, ApiError> {
        self.get(name).map(|field| field.whole(range)).transpose()
    }

    /// An error about a field of this object.
    pub fn wrong(&self, name: &str, message: impl Into<String>) -> ApiError {
        ApiError::invalid(self.path_of(name), message)
    }

    /// Refuses a field whose only understood values are these texts.
    pub fn only(&self, name: &str, understood: &[&str], why: &str) -> Result<(), ApiError> {
        match self.get(name) {
            Some(field) if !understood.contains(&field.raw.get()) => Err(ApiError::invalid(field.path, why)),
            _ => Ok(()),
        }
    }

    /// The names and values as they were written, for a copy with changes.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.entries.iter().map(|(name, raw)| (name.as_str(), raw.get()))
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

impl<'a> Field<'a> {
    fn wrong(&self, message: impl Into<String>) -> ApiError {
        ApiError::invalid(self.path.clone(), message)
    }

    /// The value as it was written.
    pub fn json(&self) -> &'a str {
        self.raw.get()
    }

    pub fn is_object(&self) -> bool {
        self.raw.get().starts_with('{')
    }

    pub fn is_list(&self) -> bool {
        self.raw.get().starts_with('[')
    }

    pub fn is_text(&self) -> bool {
        self.raw.get().starts_with('"')
    }

    pub fn text(&self, bytes_max: usize) -> Result<String, ApiError> {
        if !self.is_text() {
            return Err(self.wrong("must be a string"));
        }
        // Escapes only make it longer: the value is never longer than what was written.
        let text: String =
            serde_json::from_str(self.raw.get()).map_err(|e| self.wrong(format!("is no string: {e}")))?;
        if text.len() > bytes_max {
            return Err(self.wrong(format!("has {} bytes, but at most {bytes_max} are taken", text.len())));
        }
        Ok(text)
    }

    pub fn flag(&self) -> Result<bool, ApiError> {
        match self.raw.get() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(self.wrong("must be true or false")),
        }
    }

    pub fn number(&self, range: RangeInclusive<f32>) -> Result<f32, ApiError> {
        let number: f32 = self.parse("a number")?;
        if range.contains(&number) {
            return Ok(number);
        }
        Err(self.wrong(format!("must be from {} to {}", range.start(), range.end())))
    }

    pub fn whole(&self, range: RangeInclusive<u64>) -> Result<u64, ApiError> {
        let number: i64 = self.parse("a whole number")?;
        match u64::try_from(number) {
            Ok(number) if range.contains(&number) => Ok(number),
            _ => Err(self.wrong(format!("must be from {} to {}", range.start(), range.end()))),
        }
    }

    /// Any whole number, for what is only a seed.
    pub fn any_whole(&self) -> Result<i64, ApiError> {
        self.parse("a whole number")
    }

    fn parse<T: for<'de> Deserialize<'de>>(&self, what: &str) -> Result<T, ApiError> {
        serde_json::from_str(self.raw.get()).map_err(|_| self.wrong(format!("must be {what}")))
    }

    pub fn object(&self) -> Result<Fields<'a>, ApiError> {
        if !self.is_object() {
            return Err(self.wrong("must be an object"));
        }
        let entries = entries(self.raw).map_err(|e| self.wrong(e))?;
        Ok(Fields { path: self.path.clone(), entries })
    }

    pub fn list(&self, n_max: usize) -> Result<Vec<Field<'a>>, ApiError> {
        if !self.is_list() {
            return Err(self.wrong("must be a list"));
        }
        let mut reader = serde_json::Deserializer::from_str(self.raw.get());
        let items = reader.deserialize_seq(Items { n_max }).map_err(|e| self.wrong(e.to_string()))?;
        let field = |(idx, raw)| Field { path: format!("{}[{idx}]", self.path), raw };
        Ok(items.into_iter().enumerate().map(field).collect())
    }
}

fn entries(raw: &RawValue) -> Result<Vec<(String, &RawValue)>, String> {
    let mut reader = serde_json::Deserializer::from_str(raw.get());
    reader.deserialize_map(Entries).map_err(|e| e.to_string())
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = from.next_entry()? {
            if entries.len() == FIELDS_MAX {
                return Err(A::Error::custom(format!("more than {FIELDS_MAX} fields")));
            }
            entries.push(entry);
        }
        Ok(entries)
    }
}

struct Items {
    n_max: usize,
}

impl<'de> Visitor<'de> for Items {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = from.next_element()? {
            if items.len() == self.n_max {
                return Err(A::Error::custom(format!("more than {} items", self.n_max)));
            }
            items.push(item);
        }
        Ok(items)
    }
}
