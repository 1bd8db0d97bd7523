//! Reads the words of a schema: `$ref` is followed, `allOf` and `anyOf` are multiplied out into flat alternatives.

use super::flat::{Flat, Kinds, Others, Together};
use super::number::Bound;
use super::{ALTERNATIVES_MAX, DEPTH_MAX, ENUM_MAX, PROPERTIES_MAX, STEPS_MAX, SchemaError};
use crate::json::Json;

static NEVER: Json = Json::Bool(false);

/// A schema and where it stands.
#[derive(Debug, Clone)]
pub struct Place<'s> {
    pub schema: &'s Json,
    pub path: String,
}

impl<'s> Place<'s> {
    pub fn never() -> Place<'s> {
        Place { schema: &NEVER, path: "nothing".to_string() }
    }

    fn within(&self, key: &str, schema: &'s Json) -> Place<'s> {
        let key = key.replace('~', "~0").replace('/', "~1");
        Place { schema, path: format!("{}/{key}", self.path) }
    }
}

/// Words that say nothing about what is valid.
const ANNOTATIONS: [&str; 16] = [
    "$schema",
    "$id",
    "$comment",
    "$anchor",
    "$defs",
    "definitions",
    "title",
    "description",
    "default",
    "example",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "contentMediaType",
    "strict",
];

/// Formats that bind; the others are remarks, as JSON schema itself has it.
pub const FORMATS: [&str; 5] = ["date", "time", "date-time", "uuid", "ipv4"];

pub struct Expander<'s> {
    /// The document that `$ref` points into, and its name in paths.
    pub root: &'s Json,
    pub root_path: String,
    pub n_steps: usize,
}

impl<'s> Expander<'s> {
    /// All alternatives of schemas that must hold together.
    pub fn together(&mut self, places: &Together<'s>) -> Result<Vec<Flat<'s>>, SchemaError> {
        let path = places.first().map_or_else(|| self.root_path.clone(), |place| place.path.clone());
        let mut flats = vec![Flat { path: path.clone(), ..Flat::default() }];
        for place in places {
            let more = self.place(place, &mut Vec::new())?;
            flats = multiply(flats, more, &place.path)?;
        }
        if flats.is_empty() {
            return SchemaError::at(&path, "nothing can be valid here");
        }
        Ok(flats)
    }

    fn place(&mut self, place: &Place<'s>, above: &mut Vec<String>) -> Result<Vec<Flat<'s>>, SchemaError> {
        self.n_steps += 1;
        if self.n_steps > STEPS_MAX {
            return SchemaError::at(
                &place.path,
                format!("the schema takes more than {STEPS_MAX} steps to read"),
            );
        }
        if above.len() > DEPTH_MAX {
            return SchemaError::at(&place.path, format!("more than {DEPTH_MAX} schemas within each other"));
        }
        if above.contains(&place.path) {
            return SchemaError::at(&place.path, "the schema refers to itself with nothing between");
        }
        let words = match place.schema {
            Json::Bool(true) => return Ok(vec![Flat { path: place.path.clone(), ..Flat::default() }]),
            Json::Bool(false) => return Ok(Vec::new()),
            Json::Map(words) => words,
            other => {
                return SchemaError::at(&place.path, format!("a schema is an object, not {}", other.kind()));
            }
        };
        above.push(place.path.clone());
        let mut flats = vec![self.words(place, words)?];
        for (word, value) in words {
            let below = place.within(word, value);
            match word.as_str() {
                "$ref" => {
                    let target = self.target(&below)?;
                    flats = multiply(flats, self.place(&target, above)?, &below.path)?;
                }
                "allOf" => {
                    for part in list(&below)? {
                        flats = multiply(flats, self.place(&part, above)?, &part.path)?;
                    }
                }
                "anyOf" | "oneOf" => {
                    let mut any = Vec::new();
                    for part in list(&below)? {
                        any.extend(self.place(&part, above)?);
                    }
                    flats = multiply(flats, any, &below.path)?;
                }
                _ => {}
            }
        }
        above.pop();
        Ok(flats)
    }

    /// The schema that a `$ref` points at.
    fn target(&self, place: &Place<'s>) -> Result<Place<'s>, SchemaError> {
        let Some(pointer) = place.schema.text() else {
            return SchemaError::at(&place.path, "a $ref is a text");
        };
        let Some(rest) = pointer.strip_prefix('#') else {
            return SchemaError::at(&place.path, "only references within the schema (#/...) are followed");
        };
        let mut target = Place { schema: self.root, path: self.root_path.clone() };
        for key in rest.split('/').skip(1) {
            let key = key.replace("~1", "/").replace("~0", "~");
            let found = match target.schema {
                Json::List(items) => key.parse::<usize>().ok().and_then(|idx| items.get(idx)),
                schema => schema.get(&key),
            };
            let Some(found) = found else {
                return SchemaError::at(&place.path, format!("{pointer} points at nothing"));
            };
            target = target.within(&key, found);
        }
        if !rest.is_empty() && !rest.starts_with('/') {
            return SchemaError::at(&place.path, format!("{pointer}: anchors are not known, only paths"));
        }
        Ok(target)
    }

    /// The demands that stand directly in a schema.
    fn words(&self, place: &Place<'s>, words: &'s [(String, Json)]) -> Result<Flat<'s>, SchemaError> {
        let mut flat = Flat { path: place.path.clone(), ..Flat::default() };
        for (word, value) in words {
            self.word(&mut flat, word, &place.within(word, value), place)?;
        }
        if place.schema.get("nullable") == Some(&Json::Bool(true))
            && let Some(kinds) = &mut flat.kinds
        {
            kinds.add(Kinds::NULL);
        }
        if place.schema.get("multipleOf").is_some() {
            // Whatever else: numbers are whole.
            flat.kinds = Some(flat.kinds.map_or(Kinds::INTEGER, Kinds::whole));
        }
        let bounds = [("exclusiveMinimum", true), ("exclusiveMaximum", false)];
        for (word, is_low) in bounds {
            // The older form: a flag beside minimum or maximum.
            if place.schema.get(word) == Some(&Json::Bool(true))
                && let Some(bound) = if is_low { &mut flat.low } else { &mut flat.high }
            {
                bound.excluded = true;
            }
        }
        Ok(flat)
    }

    fn word(
        &self,
        flat: &mut Flat<'s>,
        word: &str,
        place: &Place<'s>,
        schema: &Place<'s>,
    ) -> Result<(), SchemaError> {
        let value = place.schema;
        let spoken_of = match word {
            "type" => {
                flat.kinds = Some(kinds(place)?);
                return Ok(());
            }
            "enum" | "const" => {
                let mut values = values(word, place)?;
                if let Some(others) = flat.values.take() {
                    values.retain(|value| others.contains(value));
                }
                flat.values = Some(values);
                return Ok(());
            }
            "minLength" => {
                flat.length_min = count(place)?;
                Kinds::STRING
            }
            "maxLength" => {
                flat.length_max = Some(count(place)?);
                Kinds::STRING
            }
            "pattern" => {
                let Some(text) = value.text() else {
                    return SchemaError::at(&place.path, "a pattern is a text");
                };
                flat.pattern = Some((text, place.path.clone()));
                Kinds::STRING
            }
            "format" => {
                flat.format = value.text().filter(|format| FORMATS.contains(format));
                match value.text() {
                    Some("int32" | "int64" | "float" | "double") => return Ok(()),
                    _ => Kinds::STRING,
                }
            }
            "minimum" => {
                flat.low = Bound::narrower(flat.low.take(), Some(Bound::read(place, false)?), true);
                Kinds::NUMBER
            }
            "maximum" => {
                flat.high = Bound::narrower(flat.high.take(), Some(Bound::read(place, false)?), false);
                Kinds::NUMBER
            }
            "exclusiveMinimum" | "exclusiveMaximum" if matches!(value, Json::Bool(_)) => Kinds::NUMBER,
            "exclusiveMinimum" => {
                flat.low = Bound::narrower(flat.low.take(), Some(Bound::read(place, true)?), true);
                Kinds::NUMBER
            }
            "exclusiveMaximum" => {
                flat.high = Bound::narrower(flat.high.take(), Some(Bound::read(place, true)?), false);
                Kinds::NUMBER
            }
            "multipleOf" => {
                let one = matches!(value, Json::Int(1)) || matches!(value, Json::Float(one) if *one == 1.0);
                if !one {
                    return SchemaError::at(&place.path, "multiples of 1 can be promised, of nothing else");
                }
                Kinds::INTEGER
            }
            "minItems" => {
                flat.items_min = count(place)?;
                Kinds::ARRAY
            }
            "maxItems" => {
                flat.items_max = Some(count(place)?);
                Kinds::ARRAY
            }
            "prefixItems" => {
                flat.prefix = list(place)?.into_iter().map(|item| vec![item]).collect();
                Kinds::ARRAY
            }
            "items" if matches!(value, Json::List(_)) => {
                flat.prefix = list(place)?.into_iter().map(|item| vec![item]).collect();
                Kinds::ARRAY
            }
            "additionalItems" => {
                if matches!(schema.schema.get("items"), Some(Json::List(_))) {
                    flat.items = Some(rest(place));
                }
                Kinds::ARRAY
            }
            "items" => {
                flat.items = Some(rest(place));
                Kinds::ARRAY
            }
            "properties" => {
                flat.properties = properties(place)?;
                Kinds::OBJECT
            }
            "required" => {
                flat.required = required(place)?;
                Kinds::OBJECT
            }
            "additionalProperties" => {
                flat.others = match rest(place) {
                    Some(places) => Others::Allowed(places),
                    None => Others::Forbidden,
                };
                Kinds::OBJECT
            }
            "minProperties" => {
                flat.properties_min = count(place)?;
                Kinds::OBJECT
            }
            "maxProperties" => {
                flat.properties_max = Some(count(place)?);
                Kinds::OBJECT
            }
            // The grammar offers no property that is not named, so these hold by themselves.
            "unevaluatedProperties" => Kinds::OBJECT,
            "uniqueItems" if *value == Json::Bool(false) => Kinds::ARRAY,
            "nullable" | "$ref" | "allOf" | "anyOf" | "oneOf" => return Ok(()),
            _ if ANNOTATIONS.contains(&word) || word.starts_with("x-") => return Ok(()),
            _ => return SchemaError::at(&place.path, "this word is not understood, or cannot be promised"),
        };
        flat.spoken_of |= spoken_of.0;
        Ok(())
    }
}

/// Every alternative of the one with every alternative of the other.
fn multiply<'s>(
    ours: Vec<Flat<'s>>,
    theirs: Vec<Flat<'s>>,
    path: &str,
) -> Result<Vec<Flat<'s>>, SchemaError> {
    let mut both = Vec::new();
    for our in &ours {
        for their in &theirs {
            match our.clone().and(their.clone()) {
                Ok(merged) => both.extend(merged),
                Err(what) => return SchemaError::at(path, format!("{what}: this cannot be promised")),
            }
        }
        if both.len() > ALTERNATIVES_MAX {
            return SchemaError::at(path, format!("more than {ALTERNATIVES_MAX} alternatives at one place"));
        }
    }
    Ok(both)
}

fn list<'s>(place: &Place<'s>) -> Result<Vec<Place<'s>>, SchemaError> {
    match place.schema.items() {
        Some([]) => SchemaError::at(&place.path, "the list is empty"),
        Some(items) => {
            Ok(items.iter().enumerate().map(|(idx, item)| place.within(&idx.to_string(), item)).collect())
        }
        None => SchemaError::at(&place.path, "a list of schemas was expected"),
    }
}

/// A schema for all that is left over, or none when it is forbidden.
fn rest<'s>(place: &Place<'s>) -> Option<Together<'s>> {
    match place.schema {
        Json::Bool(false) => None,
        Json::Bool(true) => Some(Vec::new()),
        _ => Some(vec![place.clone()]),
    }
}

fn kinds(place: &Place) -> Result<Kinds, SchemaError> {
    let names = match place.schema {
        Json::List(names) => names.as_slice(),
        one => std::slice::from_ref(one),
    };
    let mut kinds = Kinds(0);
    for name in names {
        match name.text().and_then(Kinds::named) {
            Some(kind) => kinds.add(kind),
            None => return SchemaError::at(&place.path, format!("{name} is no type")),
        }
    }
    if kinds.is_none() { SchemaError::at(&place.path, "the list of types is empty") } else { Ok(kinds) }
}

fn values<'s>(word: &str, place: &Place<'s>) -> Result<Vec<&'s Json>, SchemaError> {
    if word == "const" {
        return Ok(vec![place.schema]);
    }
    match place.schema.items() {
        Some([]) | None => SchemaError::at(&place.path, "an enum is a list of at least one value"),
        Some(items) if items.len() > ENUM_MAX => {
            SchemaError::at(&place.path, format!("more than {ENUM_MAX} values"))
        }
        Some(items) => Ok(items.iter().collect()),
    }
}

fn count(place: &Place) -> Result<usize, SchemaError> {
    let whole = match place.schema {
        Json::Int(value) => usize::try_from(*value).ok(),
        Json::Float(value) if value.fract() == 0.0 && (0.0..1e15).contains(value) => Some(*value as usize),
        _ => None,
    };
    whole.map_or_else(|| SchemaError::at(&place.path, "a whole number from 0 up was expected"), Ok)
}

fn properties<'s>(place: &Place<'s>) -> Result<Vec<(&'s str, Together<'s>)>, SchemaError> {
    let Some(entries) = place.schema.entries() else {
        return SchemaError::at(&place.path, "properties are an object");
    };
    if entries.len() > PROPERTIES_MAX {
        return SchemaError::at(&place.path, format!("more than {PROPERTIES_MAX} properties"));
    }
    Ok(entries.iter().map(|(name, schema)| (name.as_str(), vec![place.within(name, schema)])).collect())
}

fn required<'s>(place: &Place<'s>) -> Result<Vec<&'s str>, SchemaError> {
    let names = place.schema.items().map(|items| items.iter().map(Json::text).collect::<Option<Vec<_>>>());
    match names.flatten() {
        Some(names) if names.len() <= PROPERTIES_MAX => Ok(names),
        Some(_) => SchemaError::at(&place.path, format!("more than {PROPERTIES_MAX} names")),
        None => SchemaError::at(&place.path, "a list of names was expected"),
    }
}
