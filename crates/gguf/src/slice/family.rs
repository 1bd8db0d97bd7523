//! Which models can be cut by layers, and where.
//!
//! A model may be cut only if every slice computes what those layers compute in the whole: the names here are held to
//! that by the engine's tests, bit for bit, prefill and decode. Everything else is refused with the reason.

use crate::{Array, Error, Gguf, Value};

/// Layers of a model that runs in slices. The library numbers a slice's layers from 0.
pub(super) struct Family {
    name: &'static str,
    /// Slices begin at multiples of this.
    pub step: u64,
    /// Of so many layers, all but the last see only what is near, if the file does not say it itself.
    pub near: Option<u32>,
    /// With so many layers the library takes other numbers, so it must not be cut, nor a slice be of that size.
    special: Option<u64>,
}

const fn family(name: &'static str) -> Family {
    Family { name, step: 1, near: None, special: None }
}

/// The tried ones. What is special about each comes from the library's sources.
const FAMILIES: [Family; 7] = [
    family("llama"),
    family("qwen2"),
    family("qwen3"),
    // Each fourth layer turns nothing, counted from the first of the file.
    Family { step: 4, ..family("smollm3") },
    family("gemma"),
    // The library knows the 27B by its number of layers, and scales its attention in another way.
    Family { near: Some(2), special: Some(46), ..family("gemma2") },
    Family { near: Some(6), special: Some(62), ..family("gemma3") },
];

/// Well known ones that need more, and why.
const REFUSED: [(&str, &str); 7] = [
    ("granite", "multiplies what comes in by embedding_scale, in every slice anew"),
    ("granitehybrid", "multiplies what comes in by embedding_scale, and keeps a state beside attention"),
    ("gemma3n", "gives each layer vectors of the tokens, which later slices do not have"),
    ("gemma4", "gives each layer vectors of the tokens, which later slices do not have"),
    ("lfm2", "has layers of several kinds, whose order is not cut yet"),
    ("qwen35", "has layers of several kinds, whose order is not cut yet"),
    ("bert", "makes vectors, no text"),
];

/// Keys that may say one thing for each layer.
const BY_LAYER: [&str; 5] = [
    "feed_forward_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.sliding_window_pattern",
    "expert_used_count",
];

/// Keys that mean more than one stream of hidden states, with what they mean.
const STRANGE: [(&str, &str); 5] = [
    ("embedding_scale", "multiplies what comes in, in every slice anew"),
    ("nextn_predict_layers", "has layers that predict further tokens"),
    (
        "embedding_length_per_layer_input",
        "gives each layer vectors of the tokens, which later slices do not have",
    ),
    ("expert_count", "is a mixture of experts, which is not tried in slices"),
    ("pooling_type", "makes vectors, no text"),
];

pub(super) fn refuse<T>(why: impl Into<String>) -> Result<T, Error> {
    Err(Error::Slice { why: why.into() })
}

impl Family {
    /// The family of a model, if it can be cut.
    pub fn of(file: &Gguf, arch: &str, n_layers: u64) -> Result<&'static Family, Error> {
        if let Some((_, why)) = REFUSED.iter().find(|(name, _)| *name == arch) {
            return refuse(format!("{arch} {why}"));
        }
        let Some(family) = FAMILIES.iter().find(|family| family.name == arch) else {
            return refuse(format!("{arch} is not tried in slices"));
        };
        for (key, why) in STRANGE {
            if file.uint(&format!("{arch}.{key}")).is_some_and(|n| n > 0)
                || file.float(&format!("{arch}.{key}")).is_some_and(|x| x != 0.0 && x != 1.0)
            {
                return refuse(format!("it {why} ({arch}.{key})"));
            }
        }
        if family.special.is_some_and(|special| n_layers >= special) {
            return refuse(format!("the library takes other numbers for {arch} of {n_layers} layers"));
        }
        Ok(family)
    }

    /// Which layers look only so far back, where the file leaves it to the library's knowledge of the family.
    pub fn pattern(&self, file: &Gguf, arch: &str, n_layers: u64) -> Option<Array> {
        let default = self.near?;
        let key = format!("{arch}.attention.sliding_window_pattern");
        let window = format!("{arch}.attention.sliding_window");
        // gemma3 without a window has none; gemma2 has one that is not always in the file.
        if self.name == "gemma3" && file.uint(&window).is_none_or(|window| window == 0) {
            return None;
        }
        let near = match file.get(&key) {
            Some(Value::Array(_)) => return None,
            Some(value) => u32::try_from(value.uint()?).ok()?,
            None => default,
        };
        let near = u64::from(near);
        Some(Array::Bool((0..n_layers).map(|layer| near == 0 || layer % near < near - 1).collect()))
    }
}

/// The part of a value that speaks of these layers, if it speaks of layers one by one.
pub(super) fn cut(
    key: &str,
    value: &Value,
    n_layers: u64,
    layers: std::ops::Range<u64>,
) -> Result<Value, Error> {
    let Value::Array(array) = value else { return Ok(value.clone()) };
    if array.len() as u64 != n_layers {
        return Ok(value.clone());
    }
    if !BY_LAYER.contains(&key) {
        // A list may have that length by chance; to keep it whole would be a guess.
        return refuse(format!("{key} has {n_layers} values, one for each layer perhaps, and is not known"));
    }
    let range = layers.start as usize..layers.end as usize;
    let array = match array {
        Array::U32(v) => Array::U32(v[range].to_vec()),
        Array::I32(v) => Array::I32(v[range].to_vec()),
        Array::U64(v) => Array::U64(v[range].to_vec()),
        Array::Bool(v) => Array::Bool(v[range].to_vec()),
        _ => return refuse(format!("{key} is of a type that says nothing of layers")),
    };
    Ok(Value::Array(array))
}
