//! The shapes of models: bytes of layers, embedding and head, out of a model's file or out of `models/manifest.toml`.
//!
//! The manifest knows models that lie nowhere yet, so that a plan can be made before anything is fetched.
//! A file that does lie somewhere counts more: it says of itself what it is.

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
    pub(crate) fn model(&self, file: &str) -> Model {
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
