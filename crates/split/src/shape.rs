//! The shapes of models: bytes of layers, embedding and head, out of a model's file or out of `models/manifest.toml`.
//!
//! The manifest knows models that lie nowhere yet, so that a plan can be made before anything is fetched; of others the
//! boot server tells the shape in its catalogue, as ten numbers. A file that lies on the node itself counts more.

use crate::assign::LAYERS_MAX;
use crate::manifest::Manifest;
pub use crate::manifest::{MANIFEST_BYTES_MAX, MODELS_MAX};
use crate::place::Model;
use gguf::{Cache, Error, Gguf};
use serde::Deserialize;

/// Of one layer, of an embedding: more is no number of bytes.
const BYTES_MAX: u64 = 1 << 40;
const WIDTH_MAX: u32 = 1 << 17;
const INNER_MAX: u32 = 1 << 20;
const VOCABULARY_MAX: u32 = 1 << 22;

/// The shape of a model as the manifest tells it, for models that lie nowhere yet.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    pub layers: u32,
    /// Of one layer.
    pub layer_bytes: u64,
    pub embedding_bytes: u64,
    #[serde(default)]
    pub head_bytes: u64,
    pub width: u32,
    /// Of a layer's inner part.
    pub inner: u32,
    /// Tokens that it knows.
    pub vocabulary: u32,
    /// Positions it was trained for.
    pub context: u32,
    /// Numbers that one position keeps in one layer, keys and values together.
    pub cache_numbers: u64,
    /// Whether stages of it were compared with the whole, bit by bit.
    #[serde(default)]
    pub can_split: bool,
}

/// The shapes of the manifest's text, or the first thing wrong with it.
pub fn manifest(text: &str) -> Result<Vec<Model>, String> {
    Ok(Manifest::parse(text)?.shapes())
}

impl Shape {
    /// No smaller than the model: what differs from layer to layer is as the largest.
    pub fn of(model: &Model) -> Shape {
        let layers = u32::try_from(model.layer_bytes.len()).unwrap_or(u32::MAX);
        // As many numbers as take the bytes of the cache that the model has.
        let least = model.kv_bytes / 34 * 32;
        let fits = |n: &u64| Cache::Q8_0.bytes(*n) >= model.kv_bytes;
        let cache_numbers = (least..least.saturating_add(34)).find(fits).unwrap_or(least);
        Shape {
            layers,
            layer_bytes: model.layer_bytes.iter().copied().max().unwrap_or(0),
            embedding_bytes: model.embedding_bytes,
            head_bytes: model.head_bytes,
            width: model.width,
            inner: model.inner,
            vocabulary: model.n_vocab,
            context: model.n_ctx_trained,
            cache_numbers,
            // Where stages may begin at some layers alone, this says too little.
            can_split: model.split_step == 1,
        }
    }

    /// Ten numbers, in the order of the fields.
    pub fn to_text(&self) -> String {
        let Shape { layers, layer_bytes, embedding_bytes, head_bytes, width, inner, vocabulary, .. } = self;
        let Shape { context, cache_numbers, can_split, .. } = self;
        format!(
            "{layers} {layer_bytes} {embedding_bytes} {head_bytes} {width} {inner} {vocabulary} {context} \
             {cache_numbers} {}",
            u8::from(*can_split)
        )
    }

    /// Nothing for what is no shape that a model can have.
    pub fn parse(text: &str) -> Option<Shape> {
        let mut numbers = text.split(' ').map(|word| word.parse::<u64>().ok());
        let mut next = || numbers.next().flatten();
        let short = |n: Option<u64>| u32::try_from(n?).ok();
        let shape = Shape {
            layers: short(next())?,
            layer_bytes: next()?,
            embedding_bytes: next()?,
            head_bytes: next()?,
            width: short(next())?,
            inner: short(next())?,
            vocabulary: short(next())?,
            context: short(next())?,
            cache_numbers: next()?,
            can_split: next()? == 1,
        };
        (numbers.next().is_none() && shape.check().is_ok()).then_some(shape)
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let sizes = [self.layer_bytes, self.embedding_bytes, self.head_bytes, self.cache_numbers];
        if !(1..=LAYERS_MAX).contains(&self.layers)
            || self.width > WIDTH_MAX
            || self.inner > INNER_MAX
            || !(1..=VOCABULARY_MAX).contains(&self.vocabulary)
            || self.context == 0
            || sizes.iter().any(|n| *n > BYTES_MAX)
        {
            return Err("has a number that no model has".to_owned());
        }
        Ok(())
    }

    /// For a shape that was checked.
    pub fn model(&self, file: &str) -> Model {
        Model {
            file: file.to_owned(),
            layer_bytes: vec![self.layer_bytes; self.layers as usize],
            embedding_bytes: self.embedding_bytes,
            head_bytes: self.head_bytes,
            // Heads of all these models are multiples of its blocks.
            kv_bytes: Cache::Q8_0.bytes(self.cache_numbers),
            width: self.width,
            inner: self.inner,
            n_vocab: self.vocabulary,
            n_ctx_trained: self.context,
            split_step: u32::from(self.can_split),
        }
    }
}

/// Where stages of this model may begin: at multiples of this; 0 if it must not be cut.
pub fn step_of(head: &Gguf) -> u32 {
    head.slice_step().ok().and_then(|step| u32::try_from(step).ok()).unwrap_or(0)
}

/// The shape of a model whose head was read. `split_step` is 0 for a model that must not be cut.
pub fn of_file(file: &str, head: &Gguf, split_step: u32) -> Result<Model, Error> {
    let facts = gguf::check_model(head)?;
    let short = |n: u64, most: u32| u32::try_from(n).unwrap_or(most);
    let mut model = Model {
        file: file.to_owned(),
        layer_bytes: vec![0; usize::try_from(facts.n_layers).unwrap_or(0)],
        kv_bytes: facts.cache().bytes(facts.cache_numbers()),
        width: short(facts.n_embd, WIDTH_MAX),
        inner: short(facts.n_inner, INNER_MAX),
        n_vocab: short(facts.n_vocab, VOCABULARY_MAX),
        n_ctx_trained: short(facts.n_ctx, u32::MAX),
        split_step,
        ..Model::default()
    };
    for tensor in &head.tensors {
        let mut words = tensor.name.split('.');
        let layer = match (words.next(), words.next().map(str::parse::<usize>)) {
            (Some("blk"), Some(Ok(idx))) => model.layer_bytes.get_mut(idx),
            _ => None,
        };
        // Norms and whatever else stands beside the layers travel with the embedding.
        let place = match (layer, tensor.name.as_str()) {
            (Some(layer), _) => layer,
            (None, "output.weight") => &mut model.head_bytes,
            (None, _) => &mut model.embedding_bytes,
        };
        *place = place.saturating_add(tensor.bytes);
    }
    Ok(model)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = include_str!("../../../models/manifest.toml");

    #[test]
    fn every_expert_of_the_repository_has_its_model_in_the_manifest() {
        let models = manifest(MANIFEST).unwrap();
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/experts");
        for entry in std::fs::read_dir(folder).unwrap() {
            let expert =
                crate::expert::Expert::parse(&std::fs::read_to_string(entry.unwrap().path()).unwrap());
            let expert = expert.unwrap();
            assert!(models.iter().any(|model| model.file == expert.model), "{}", expert.model);
        }
    }

    #[test]
    fn ten_numbers_are_a_shape_and_nothing_else_is() {
        for model in manifest(MANIFEST).unwrap() {
            let text = Shape::of(&model).to_text();
            assert!(text.len() <= 128, "{text}");
            let shape = Shape::parse(&text).unwrap();
            assert_eq!(shape.model(&model.file), model, "{text}");
        }
        let uneven = Model {
            layer_bytes: vec![5, 9, 7],
            kv_bytes: 1000,
            split_step: 6,
            n_vocab: 9,
            n_ctx_trained: 9,
            ..Model::default()
        };
        let shape = Shape::of(&uneven);
        assert_eq!((shape.layers, shape.layer_bytes, shape.can_split), (3, 9, false));
        assert!((1000..1040).contains(&shape.model("m").kv_bytes), "{shape:?}");
        let good = "2 1 1 0 1 1 1 1 1 1";
        assert!(Shape::parse(good).is_some());
        for bad in [
            "",
            "2",
            "2 1 1 0 1 1 1 1 1",
            "2 1 1 0 1 1 1 1 1 1 1",
            "-2 1 1 0 1 1 1 1 1 1",
            "0 1 1 0 1 1 1 1 1 1",
        ] {
            assert_eq!(Shape::parse(bad), None, "{bad:?}");
        }
        let much = good.replace("1 1 0", "99999999999999999999 1 0");
        assert_eq!(Shape::parse(&much), None);
        assert_eq!(Shape::parse(&good.replacen('2', "4294967295", 1)), None);
    }

    #[test]
    fn the_one_bit_models_have_their_published_sizes() {
        let models = manifest(MANIFEST).unwrap();
        let mib = |file: &str| {
            let model = models.iter().find(|model| model.file == file).unwrap();
            (model.layer_bytes.iter().sum::<u64>() + model.embedding_bytes + model.head_bytes) >> 20
        };
        assert_eq!(mib("Bonsai-1.7B-Q1_0.gguf"), 231);
        assert_eq!(mib("Bonsai-4B-Q1_0.gguf"), 540);
        assert_eq!(mib("Bonsai-8B-Q1_0.gguf"), 1099);
    }
}
