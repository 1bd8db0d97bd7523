//! One alternative of a schema with all its demands side by side, and what two of them demand together.

use std::ops::BitAnd;

use super::expand::Place;
use super::number::Bound;
use crate::json::Json;

/// A set of JSON's kinds. `NUMBER` is a number that may have a fraction; a plain `number` is `INTEGER | NUMBER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kinds(pub u8);

impl Kinds {
    pub const NULL: Kinds = Kinds(1);
    pub const BOOLEAN: Kinds = Kinds(2);
    pub const INTEGER: Kinds = Kinds(4);
    pub const NUMBER: Kinds = Kinds(8 | 4);
    pub const STRING: Kinds = Kinds(16);
    pub const ARRAY: Kinds = Kinds(32);
    pub const OBJECT: Kinds = Kinds(64);
    pub const ALL: Kinds = Kinds(127);

    pub fn named(name: &str) -> Option<Kinds> {
        Some(match name {
            "null" => Kinds::NULL,
            "boolean" => Kinds::BOOLEAN,
            "integer" => Kinds::INTEGER,
            "number" => Kinds::NUMBER,
            "string" => Kinds::STRING,
            "array" => Kinds::ARRAY,
            "object" => Kinds::OBJECT,
            _ => return None,
        })
    }

    pub fn has(self, other: Kinds) -> bool {
        self.0 & other.0 == other.0
    }

    pub fn add(&mut self, other: Kinds) {
        self.0 |= other.0;
    }

    /// Without numbers that have a fraction.
    pub fn whole(self) -> Kinds {
        Kinds(self.0 & !8)
    }

    pub fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl BitAnd for Kinds {
    type Output = Kinds;

    fn bitand(self, other: Kinds) -> Kinds {
        Kinds(self.0 & other.0)
    }
}

/// Schemas that must all hold at one place.
pub type Together<'s> = Vec<Place<'s>>;

/// What may stand beside the named properties.
#[derive(Debug, Clone, Default)]
pub enum Others<'s> {
    /// Nothing was said: the grammar offers none.
    #[default]
    Unsaid,
    Forbidden,
    Allowed(Together<'s>),
}

/// The demands of one alternative. `None` and empty mean that nothing is demanded.
#[derive(Debug, Clone, Default)]
pub struct Flat<'s> {
    pub path: String,
    pub kinds: Option<Kinds>,
    /// Kinds that the demands speak of: they stand in where `type` is missing.
    pub spoken_of: u8,
    pub values: Option<Vec<&'s Json>>,
    pub length_min: usize,
    pub length_max: Option<usize>,
    pub pattern: Option<(&'s str, String)>,
    pub format: Option<&'s str>,
    pub low: Option<Bound>,
    pub high: Option<Bound>,
    pub items_min: usize,
    pub items_max: Option<usize>,
    pub prefix: Vec<Together<'s>>,
    /// The items after the prefix; `Some(None)` forbids them.
    pub items: Option<Option<Together<'s>>>,
    pub properties: Vec<(&'s str, Together<'s>)>,
    pub required: Vec<&'s str>,
    pub others: Others<'s>,
    pub properties_min: usize,
    pub properties_max: Option<usize>,
}

impl<'s> Flat<'s> {
    /// Both at once; `Ok(None)` when nothing can be both, `Err` says what cannot be brought together.
    pub fn and(mut self, other: Flat<'s>) -> Result<Option<Flat<'s>>, &'static str> {
        self.kinds = match (self.kinds, other.kinds) {
            (Some(ours), Some(theirs)) => {
                let both = ours & theirs;
                if both.is_none() {
                    return Ok(None);
                }
                Some(both)
            }
            (ours, theirs) => ours.or(theirs),
        };
        self.spoken_of |= other.spoken_of;
        self.values = match (self.values, other.values) {
            (Some(ours), Some(theirs)) => {
                let both: Vec<&Json> = ours.into_iter().filter(|value| theirs.contains(value)).collect();
                if both.is_empty() {
                    return Ok(None);
                }
                Some(both)
            }
            (ours, theirs) => ours.or(theirs),
        };
        self.length_min = self.length_min.max(other.length_min);
        self.length_max = least(self.length_max, other.length_max);
        self.pattern = match (self.pattern, other.pattern) {
            (Some(ours), Some(theirs)) if ours.0 != theirs.0 => return Err("two patterns for one string"),
            (ours, theirs) => ours.or(theirs),
        };
        self.format = match (self.format, other.format) {
            (Some(ours), Some(theirs)) if ours != theirs => return Err("two formats for one string"),
            (ours, theirs) => ours.or(theirs),
        };
        self.low = Bound::narrower(self.low, other.low, true);
        self.high = Bound::narrower(self.high, other.high, false);
        self.items_min = self.items_min.max(other.items_min);
        self.items_max = least(self.items_max, other.items_max);
        self.items_and(other.prefix, other.items);
        self.properties_and(other.properties, other.others);
        for name in other.required {
            if !self.required.contains(&name) {
                self.required.push(name);
            }
        }
        self.properties_min = self.properties_min.max(other.properties_min);
        self.properties_max = least(self.properties_max, other.properties_max);
        Ok(Some(self))
    }

    fn items_and(&mut self, prefix: Vec<Together<'s>>, items: Option<Option<Together<'s>>>) {
        let n_prefix = self.prefix.len().max(prefix.len());
        let end =
            |rest: &Option<Option<Together<'s>>>, n_own: usize| (matches!(rest, Some(None))).then_some(n_own);
        let ends = least(end(&self.items, self.prefix.len()), end(&items, prefix.len()));
        let place = |own: &[Together<'s>], rest: &Option<Option<Together<'s>>>, idx: usize| {
            own.get(idx).cloned().or_else(|| rest.clone().flatten()).unwrap_or_default()
        };
        let both = |idx| {
            let mut both = place(&self.prefix, &self.items, idx);
            both.extend(place(&prefix, &items, idx));
            both
        };
        let merged: Vec<_> = (0..n_prefix.min(ends.unwrap_or(usize::MAX))).map(both).collect();
        self.items = match (self.items.take(), items) {
            _ if ends.is_some() => Some(None),
            (Some(Some(mut ours)), Some(Some(theirs))) => {
                ours.extend(theirs);
                Some(Some(ours))
            }
            (ours, theirs) => ours.or(theirs),
        };
        self.prefix = merged;
    }

    fn properties_and(&mut self, properties: Vec<(&'s str, Together<'s>)>, others: Others<'s>) {
        let ours: Vec<&str> = self.properties.iter().map(|(name, _)| *name).collect();
        // A property that only one side names is subject to what the other says about others.
        for (name, place) in &mut self.properties {
            match properties.iter().find(|(theirs, _)| theirs == name) {
                Some((_, theirs)) => place.extend(theirs.iter().cloned()),
                None => Self::subject(place, &others),
            }
        }
        for (name, mut place) in properties {
            if !ours.contains(&name) {
                Self::subject(&mut place, &self.others);
                self.properties.push((name, place));
            }
        }
        self.others = match (std::mem::take(&mut self.others), others) {
            (Others::Forbidden, _) | (_, Others::Forbidden) => Others::Forbidden,
            (Others::Allowed(mut ours), Others::Allowed(theirs)) => {
                ours.extend(theirs);
                Others::Allowed(ours)
            }
            // What one side does not speak of is what the other side says.
            (Others::Unsaid, others) | (others, Others::Unsaid) => others,
        };
    }

    fn subject(place: &mut Together<'s>, others: &Others<'s>) {
        match others {
            Others::Unsaid => {}
            Others::Forbidden => place.push(Place::never()),
            Others::Allowed(also) => place.extend(also.iter().cloned()),
        }
    }

    /// The kinds that the grammar offers.
    pub fn offered(&self) -> Kinds {
        match (self.kinds, self.spoken_of) {
            (Some(kinds), _) => kinds,
            (None, 0) => Kinds::ALL,
            (None, spoken_of) => Kinds(spoken_of),
        }
    }
}

pub fn least(ours: Option<usize>, theirs: Option<usize>) -> Option<usize> {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
        (ours, theirs) => ours.or(theirs),
    }
}
