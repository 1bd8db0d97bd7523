//! Whether a well-made file can be a model. What is asked for here is what llama.cpp aborts on instead of refusing.
//!
//! Each rule stands for an assertion, a division by zero or an exception of the library that nobody catches.
//! A file that passes may still be refused by the library, with an error; it should not kill its process.

use crate::{Array, Error, Gguf, Texts, Value};
use std::collections::BTreeSet;

/// Layers, as the library has them.
const LAYERS_MAX: u64 = 512;
/// Width of the hidden state; the widest models have 16,384.
const WIDTH_MAX: u64 = 1 << 17;
/// Width of a layer's inner part.
const INNER_MAX: u64 = 1 << 20;
const HEADS_MAX: u64 = 1 << 10;
const HEAD_WIDTH_MAX: u64 = 1 << 12;
/// Positions a model may have been trained for.
const POSITIONS_MAX: u64 = 1 << 24;
/// Experts, as the library has them.
const EXPERTS_MAX: u64 = 1 << 10;
/// Bytes of one token.
const TOKEN_BYTES_MAX: usize = 1 << 12;

/// Architectures without attention: they need no heads.
const HEADLESS: [&str; 7] = ["mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7", "wavtokenizer-dec"];

/// What a model is, as far as every model says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub architecture: String,
    pub n_layers: u64,
    pub n_embd: u64,
    /// Heads of each layer; one number stands for all layers.
    pub n_heads: Vec<u64>,
    pub n_heads_kv: Vec<u64>,
    /// Width of a layer's inner part, where it is widest.
    pub n_inner: u64,
    /// Numbers of one key and of one value of one head.
    pub key_width: u64,
    pub value_width: u64,
    /// Positions it was trained for.
    pub n_ctx: u64,
    pub n_vocab: u64,
}

/// How an attention cache keeps its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// 34 bytes for 32 numbers: half the memory of F16, and decode at 400 positions needs 2.5 times less time (measured).
    Q8_0,
    F16,
}

impl Cache {
    /// What so many numbers take.
    pub fn bytes(self, n: u64) -> u64 {
        match self {
            Cache::Q8_0 => n.saturating_mul(34) / 32,
            Cache::F16 => n.saturating_mul(2),
        }
    }
}

impl Facts {
    /// The least cache that the model can have: Q8_0 keeps 32 numbers of a head together.
    pub fn cache(&self) -> Cache {
        let is_whole = self.key_width.is_multiple_of(32) && self.value_width.is_multiple_of(32);
        if is_whole { Cache::Q8_0 } else { Cache::F16 }
    }

    /// Numbers of one position in the cache of one layer, of the widest.
    pub fn cache_numbers(&self) -> u64 {
        let n_heads = self.n_heads_kv.iter().copied().max().unwrap_or(0);
        n_heads.saturating_mul(self.key_width.saturating_add(self.value_width))
    }
}

/// Holds a file to what a model must be.
pub fn check_model(file: &Gguf) -> Result<Facts, Error> {
    let Some(arch) = file.text("general.architecture") else {
        return wrong("general.architecture", "is missing or no text");
    };
    if arch.is_empty() || !arch.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
        return wrong("general.architecture", format!("{arch:?} is no name of one"));
    }
    if file.tensors.is_empty() {
        return wrong("the file", "has no tensors");
    }
    if file.uint("split.count").is_some_and(|n| n > 1) {
        return wrong("split.count", "says that the model lies in several files: join them first");
    }
    let model = Keys { file, arch };
    let n_layers = model.need("block_count", 1, LAYERS_MAX)?;
    let n_embd = model.need("embedding_length", 1, WIDTH_MAX)?;
    // The vectors of another width would be read as if they had this one.
    if let Some(n) = model.uint("embedding_length_out")?
        && n != n_embd
    {
        return wrong(
            model.name("embedding_length_out"),
            format!("is {n}, but embedding_length is {n_embd}"),
        );
    }
    let n_ctx = model.need("context_length", 1, POSITIONS_MAX)?;
    model.most("nextn_predict_layers", n_layers - 1)?;
    let inner = model.each("feed_forward_length", n_layers, INNER_MAX)?.unwrap_or_default();
    let n_inner = inner.into_iter().max().unwrap_or(0);
    let (n_heads, n_heads_kv) = check_heads(&model, n_layers, n_embd)?;
    // They were held to their limits with the heads.
    let head_width = n_embd / n_heads.first().copied().unwrap_or(0).max(1);
    let key_width = model.uint("attention.key_length")?.unwrap_or(head_width);
    let value_width = model.uint("attention.value_length")?.unwrap_or(head_width);
    check_experts(&model, n_layers)?;
    check_numbers(&model)?;
    let n_vocab = check_vocabulary(file)?;
    check_embedding(file, n_embd, n_vocab)?;
    Ok(Facts {
        architecture: arch.to_owned(),
        n_layers,
        n_embd,
        n_heads,
        n_heads_kv,
        n_inner,
        key_width,
        value_width,
        n_ctx,
        n_vocab,
    })
}

fn wrong<T>(name: impl Into<String>, why: impl Into<String>) -> Result<T, Error> {
    Err(Error::Model { name: name.into(), why: why.into() })
}

/// The keys of one architecture.
struct Keys<'a> {
    file: &'a Gguf,
    arch: &'a str,
}

impl Keys<'_> {
    fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.arch)
    }

    /// A whole number, if the key is there.
    fn uint(&self, key: &str) -> Result<Option<u64>, Error> {
        match self.file.get(&self.name(key)) {
            None => Ok(None),
            Some(value) => match value.uint() {
                Some(number) => Ok(Some(number)),
                None => wrong(self.name(key), format!("is {}, not a whole number", value.type_name())),
            },
        }
    }

    fn need(&self, key: &str, least: u64, most: u64) -> Result<u64, Error> {
        match self.uint(key)? {
            None => wrong(self.name(key), "is missing"),
            Some(number) if (least..=most).contains(&number) => Ok(number),
            Some(number) => wrong(self.name(key), format!("is {number}, not from {least} to {most}")),
        }
    }

    fn within(&self, key: &str, least: u64, most: u64) -> Result<Option<u64>, Error> {
        match self.uint(key)? {
            Some(_) => self.need(key, least, most).map(Some),
            None => Ok(None),
        }
    }

    fn most(&self, key: &str, most: u64) -> Result<u64, Error> {
        Ok(self.within(key, 0, most)?.unwrap_or(0))
    }

    /// One number for all layers, or one for each.
    fn each(&self, key: &str, n_layers: u64, most: u64) -> Result<Option<Vec<u64>>, Error> {
        let Some(Value::Array(array)) = self.file.get(&self.name(key)) else {
            return Ok(self.within(key, 0, most)?.map(|number| vec![number]));
        };
        let Some(numbers) = array.uints() else {
            return wrong(self.name(key), "holds something else than whole numbers");
        };
        if numbers.len() as u64 != n_layers {
            return wrong(self.name(key), format!("has {} numbers for {n_layers} layers", numbers.len()));
        }
        match numbers.iter().find(|number| **number > most) {
            Some(number) => wrong(self.name(key), format!("holds {number}, more than {most}")),
            None => Ok(Some(numbers)),
        }
    }
}

fn check_heads(model: &Keys<'_>, n_layers: u64, n_embd: u64) -> Result<(Vec<u64>, Vec<u64>), Error> {
    let key = "attention.head_count";
    let n_heads = match model.each(key, n_layers, HEADS_MAX)? {
        Some(n_heads) => n_heads,
        None if HEADLESS.contains(&model.arch) => vec![0],
        None => return wrong(model.name(key), "is missing"),
    };
    if n_heads.iter().all(|n| *n == 0) && !HEADLESS.contains(&model.arch) {
        return wrong(model.name(key), "is 0");
    }
    let key_kv = "attention.head_count_kv";
    let n_heads_kv = model.each(key_kv, n_layers, HEADS_MAX)?.unwrap_or_else(|| n_heads.clone());
    for layer in 0..n_layers as usize {
        let of = |numbers: &[u64]| if numbers.len() == 1 { numbers[0] } else { numbers[layer] };
        let (heads, kv) = (of(&n_heads), of(&n_heads_kv));
        // A layer without attention has none of the second kind, and that is all right where others have some.
        if kv == 0 && n_heads_kv.iter().all(|n| *n == 0) && heads > 0 {
            return wrong(model.name(key_kv), "is 0");
        }
        if kv > 0 && !heads.is_multiple_of(kv) {
            return wrong(model.name(key_kv), format!("is {kv}, which does not divide the {heads} heads"));
        }
    }
    let widths =
        ["attention.key_length", "attention.value_length"].map(|key| model.within(key, 1, HEAD_WIDTH_MAX));
    let [key_width, value_width] = widths;
    let (key_width, value_width) = (key_width?, value_width?);
    let first = n_heads.first().copied().unwrap_or(0);
    if first > 0 && (key_width.is_none() || value_width.is_none()) && first > n_embd {
        return wrong(model.name(key), format!("is {first}, more than the width {n_embd}"));
    }
    let width = key_width.or_else(|| n_embd.checked_div(first)).unwrap_or(HEAD_WIDTH_MAX);
    if let Some(turned) = model.within("rope.dimension_count", 0, width)?
        && turned % 2 == 1
    {
        return wrong(model.name("rope.dimension_count"), format!("is {turned}, an odd number"));
    }
    Ok((n_heads, n_heads_kv))
}

fn check_experts(model: &Keys<'_>, n_layers: u64) -> Result<(), Error> {
    let n_experts = model.most("expert_count", EXPERTS_MAX)?;
    let used = model.each("expert_used_count", n_layers, n_experts)?.unwrap_or_default();
    if n_experts > 0 && used.iter().all(|n| *n == 0) {
        return wrong(model.name("expert_used_count"), "is 0");
    }
    let groups = model.most("expert_group_count", n_experts.saturating_sub(1))?;
    if groups > 1 {
        if !n_experts.is_multiple_of(groups) {
            return wrong(model.name("expert_group_count"), format!("does not divide {n_experts} experts"));
        }
        model.need("expert_group_used_count", 1, groups - 1)?;
    }
    Ok(())
}

fn check_numbers(model: &Keys<'_>) -> Result<(), Error> {
    for (key, value) in &model.file.meta {
        let Some(number) = value.float() else { continue };
        if !number.is_finite() {
            return wrong(key, format!("is {number}"));
        }
        if (key.ends_with("epsilon") || key.ends_with("freq_base")) && number < 0.0 {
            return wrong(key, format!("is {number}, below 0"));
        }
    }
    let scaling = "rope.scaling.type";
    match model.file.get(&model.name(scaling)) {
        None => Ok(()),
        Some(Value::Text(text)) if ["none", "linear", "yarn", "longrope"].contains(&text.as_str()) => Ok(()),
        Some(other) => wrong(model.name(scaling), format!("is {other:?}, which is unknown")),
    }
}

/// The vocabulary; how many tokens it has.
fn check_vocabulary(file: &Gguf) -> Result<u64, Error> {
    let key = "tokenizer.ggml.tokens";
    let Some(kind) = file.text("tokenizer.ggml.model") else {
        return wrong("tokenizer.ggml.model", "is missing or no text");
    };
    if kind == "none" || kind == "no_vocab" {
        return wrong("tokenizer.ggml.model", format!("is {kind:?}: the model cannot read text"));
    }
    let Some(tokens) = file.texts(key) else { return wrong(key, "are missing or no texts") };
    if tokens.is_empty() {
        return wrong(key, "are none");
    }
    let n = tokens.len();
    check_tokens(key, tokens)?;
    check_beside("tokenizer.ggml.scores", file, n, |array| matches!(array, Array::F32(_) | Array::I32(_)))?;
    check_beside("tokenizer.ggml.token_type", file, n, |array| matches!(array, Array::I32(_)))?;
    let special = |name: &str| name.starts_with("tokenizer.ggml.") && name.ends_with("_token_id");
    for (name, value) in file.meta.iter().filter(|(name, _)| special(name)) {
        // 4294967295 is how some converters write "none".
        match value.uint() {
            Some(id) if id < n as u64 || id == u64::from(u32::MAX) => {}
            Some(id) => return wrong(name, format!("is {id}, but there are {n} tokens")),
            None => return wrong(name, "is no token"),
        }
    }
    match kind {
        "llama" => check_bytes(key, tokens)?,
        "gpt2" if file.texts("tokenizer.ggml.merges").is_none() => {
            return wrong("tokenizer.ggml.merges", "are missing or no texts");
        }
        "bert" => check_ends(file, n)?,
        _ => {}
    }
    if let Some(merges) = file.texts("tokenizer.ggml.merges") {
        check_merges(merges)?;
    }
    Ok(n as u64)
}

fn check_tokens(key: &str, tokens: &Texts) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    for (id, token) in tokens.iter().enumerate() {
        if token.len() > TOKEN_BYTES_MAX {
            return wrong(key, format!("have one of {} bytes, token {id}", token.len()));
        }
        // The library gives an empty token a name of its own.
        if !token.is_empty() && !seen.insert(token) {
            return wrong(key, format!("have {token:?} twice, the second time as token {id}"));
        }
    }
    Ok(())
}

/// An array with one value for each token.
fn check_beside(key: &str, file: &Gguf, n: usize, fits: impl Fn(&Array) -> bool) -> Result<(), Error> {
    match file.get(key) {
        None => Ok(()),
        Some(Value::Array(array)) if fits(array) => match array.len() {
            length if length == n => Ok(()),
            length => wrong(key, format!("are {length} for {n} tokens")),
        },
        Some(other) => wrong(key, format!("are of another type ({})", other.type_name())),
    }
}

/// A text that the vocabulary does not know is spelled in bytes, so each byte needs its token.
fn check_bytes(key: &str, tokens: &Texts) -> Result<(), Error> {
    let all: BTreeSet<&str> = tokens.iter().collect();
    for byte in 0..=u8::MAX {
        let spelled = format!("<0x{byte:02X}>");
        let letter = char::from(byte).to_string();
        let is_there = all.contains(spelled.as_str()) || byte.is_ascii() && all.contains(letter.as_str());
        if !is_there {
            return wrong(key, format!("do not have {spelled}, so not every text could be read"));
        }
    }
    Ok(())
}

/// Both halves of a merge are tokens, and none holds a blank.
fn check_merges(merges: &Texts) -> Result<(), Error> {
    let good = |merge: &str| merge.split(' ').filter(|half| !half.is_empty()).count() == 2;
    match merges.iter().position(|merge| !good(merge)) {
        Some(idx) => wrong("tokenizer.ggml.merges", format!("have number {idx}, which is no pair")),
        None => Ok(()),
    }
}

/// A text begins and ends with tokens whose numbers the library knows by heart, unless the file says others.
fn check_ends(file: &Gguf, n: usize) -> Result<(), Error> {
    let ids = [("bos_token_id", 101), ("seperator_token_id", 102), ("unknown_token_id", 100)];
    for (name, default) in ids {
        let id = file.uint(&format!("tokenizer.ggml.{name}")).unwrap_or(default);
        if id >= n as u64 {
            return wrong(format!("tokenizer.ggml.{name}"), format!("is {id}, but there are {n} tokens"));
        }
    }
    Ok(())
}

fn check_embedding(file: &Gguf, n_embd: u64, n_vocab: u64) -> Result<(), Error> {
    let name = "token_embd.weight";
    let Some(tensor) = file.tensor(name) else { return wrong(name, "is missing") };
    if tensor.dims == [n_embd, n_vocab] {
        return Ok(());
    }
    wrong(name, format!("is {:?}, but the width is {n_embd} and there are {n_vocab} tokens", tensor.dims))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, NewTensor, Writer};

    fn meta() -> Vec<(&'static str, Value)> {
        let bytes: Vec<String> = (0..=255).map(|byte| format!("<0x{byte:02X}>")).collect();
        let tokens = ["<unk>", "<s>", "</s>"].into_iter().chain(bytes.iter().map(String::as_str));
        vec![
            ("general.architecture", Value::Text("llama".to_owned())),
            ("llama.block_count", Value::U32(2)),
            ("llama.embedding_length", Value::U32(64)),
            ("llama.context_length", Value::U32(512)),
            ("llama.attention.head_count", Value::U32(4)),
            ("llama.attention.head_count_kv", Value::U32(2)),
            ("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
            ("llama.rope.dimension_count", Value::U32(16)),
            ("tokenizer.ggml.model", Value::Text("llama".to_owned())),
            ("tokenizer.ggml.tokens", Value::Array(Array::Text(tokens.collect()))),
            ("tokenizer.ggml.scores", Value::Array(Array::F32(vec![0.0; 259]))),
            ("tokenizer.ggml.token_type", Value::Array(Array::I32(vec![1; 259]))),
            ("tokenizer.ggml.bos_token_id", Value::U32(1)),
        ]
    }

    fn file(meta: &[(&str, Value)], dims: [u64; 2]) -> Gguf {
        let tensor = NewTensor { name: "token_embd.weight".to_owned(), kind: Kind::F32, dims: dims.to_vec() };
        let mut writer = Writer::new(Vec::new(), meta, &[tensor]).unwrap();
        writer.write(&vec![0; (dims[0] * dims[1] * 4) as usize]).unwrap();
        let bytes = writer.finish().unwrap();
        Gguf::read(&mut &bytes[..], bytes.len() as u64).unwrap()
    }

    /// Changes one key (or adds it, or takes it away) and tells what is said.
    fn check(key: &'static str, value: Option<Value>, want: &str) {
        let mut meta: Vec<_> = meta().into_iter().filter(|(name, _)| *name != key).collect();
        meta.extend(value.map(|value| (key, value)));
        let said = check_model(&file(&meta, [64, 259])).map_or_else(|e| e.to_string(), |_| "good".to_owned());
        assert!(said.contains(want), "{key}: {said:?} does not say {want:?}");
    }

    fn number(value: u32) -> Option<Value> {
        Some(Value::U32(value))
    }

    fn numbers(values: &[u32]) -> Option<Value> {
        Some(Value::Array(Array::U32(values.to_vec())))
    }

    fn text(value: &str) -> Option<Value> {
        Some(Value::Text(value.to_owned()))
    }

    fn texts(values: &[&str]) -> Option<Value> {
        Some(Value::Array(Array::Text(values.iter().copied().collect())))
    }

    #[test]
    fn a_good_model_tells_its_facts() {
        let facts = check_model(&file(&meta(), [64, 259])).unwrap();
        assert_eq!((facts.architecture.as_str(), facts.n_layers, facts.n_embd), ("llama", 2, 64));
        assert_eq!(
            (facts.n_heads, facts.n_heads_kv, facts.n_ctx, facts.n_vocab),
            (vec![4], vec![2], 512, 259)
        );
    }

    #[test]
    fn what_every_model_says_must_be_there() {
        check("general.architecture", None, "general.architecture is missing");
        check("general.architecture", text("../x"), "is no name of one");
        check("llama.block_count", None, "llama.block_count is missing");
        check("llama.block_count", number(0), "llama.block_count is 0, not from 1 to 512");
        check("llama.block_count", number(513), "llama.block_count is 513");
        check("llama.block_count", text("two"), "llama.block_count is text, not a whole number");
        check("llama.embedding_length", number(0), "llama.embedding_length is 0");
        check("llama.embedding_length_out", number(8), "is 8, but embedding_length is 64");
        check("llama.embedding_length_out", number(0), "is 0, but embedding_length is 64");
        check("llama.embedding_length_out", text("8"), "is text, not a whole number");
        check("llama.embedding_length_out", number(64), "good");
        check("llama.context_length", number(u32::MAX), "llama.context_length is 4294967295");
        check("split.count", number(2), "lies in several files");
    }

    #[test]
    fn heads_fit_each_other() {
        check("llama.attention.head_count", None, "head_count is missing");
        check("llama.attention.head_count", number(0), "head_count is 0");
        check("llama.attention.head_count", number(100), "100, more than the width 64");
        check("llama.attention.head_count_kv", number(0), "head_count_kv is 0");
        check("llama.attention.head_count_kv", number(3), "is 3, which does not divide the 4 heads");
        check("llama.attention.head_count_kv", numbers(&[2]), "has 1 numbers for 2 layers");
        check("llama.attention.head_count_kv", numbers(&[0, 2]), "good");
        check("llama.attention.key_length", number(0), "key_length is 0");
        check("llama.rope.dimension_count", number(15), "an odd number");
        check("llama.rope.dimension_count", number(18), "dimension_count is 18");
    }

    #[test]
    fn experts_fit_each_other() {
        check("llama.expert_used_count", number(1), "expert_used_count is 1, not from 0 to 0");
        check("llama.expert_count", number(4), "expert_used_count is 0");
        check("llama.expert_count", number(2000), "expert_count is 2000");
        check("llama.expert_group_count", number(2), "expert_group_count is 2");
        check("llama.nextn_predict_layers", number(2), "nextn_predict_layers is 2");
    }

    #[test]
    fn numbers_are_finite() {
        let eps = "llama.attention.layer_norm_rms_epsilon";
        check(eps, Some(Value::F32(f32::NAN)), "is NaN");
        check(eps, Some(Value::F32(-1.0)), "is -1, below 0");
        check("llama.rope.freq_base", Some(Value::F32(f32::INFINITY)), "is inf");
        check("llama.rope.scaling.type", text("spiral"), "which is unknown");
        check("llama.rope.scaling.type", text("yarn"), "good");
    }

    #[test]
    fn the_vocabulary_fits_together() {
        check("tokenizer.ggml.model", None, "tokenizer.ggml.model is missing");
        check("tokenizer.ggml.tokens", None, "tokenizer.ggml.tokens are missing");
        check("tokenizer.ggml.tokens", texts(&["a", "a"]), "have \"a\" twice, the second time as token 1");
        check("tokenizer.ggml.tokens", texts(&["a"]), "are 259 for 1 tokens");
        check("tokenizer.ggml.scores", Some(Value::Array(Array::F32(vec![0.0]))), "are 1 for 259 tokens");
        check("tokenizer.ggml.token_type", texts(&["a"]), "are of another type");
        check("tokenizer.ggml.bos_token_id", number(259), "is 259, but there are 259 tokens");
        check("tokenizer.ggml.model", text("gpt2"), "tokenizer.ggml.merges are missing");
        check("tokenizer.ggml.merges", texts(&["a b", "ab"]), "have number 1, which is no pair");
        check("tokenizer.ggml.model", text("bert"), "good");
    }

    #[test]
    fn a_vocabulary_spells_every_byte() {
        let mut meta = meta();
        for (key, value) in &mut meta {
            if let ("tokenizer.ggml.tokens", Value::Array(Array::Text(tokens))) = (*key, &mut *value) {
                *tokens = tokens.iter().map(|t| if t == "<0xC3>" { "other" } else { t }).collect();
            }
        }
        let said = check_model(&file(&meta, [64, 259])).unwrap_err().to_string();
        assert!(said.contains("do not have <0xC3>"), "{said}");
    }

    #[test]
    fn the_embedding_has_the_shape_that_the_numbers_say() {
        let said = check_model(&file(&meta(), [64, 258])).unwrap_err().to_string();
        assert!(said.contains("token_embd.weight is [64, 258], but the width is 64"), "{said}");
    }
}
