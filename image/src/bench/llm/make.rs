//! Makes model files: the true shape, random weights, and a vocabulary of the right size.

use super::blocks::{Dice, fill};
use super::shape::{Architecture, Mix, Part, Role, Shape};
use crate::disk::free_bytes;
use crate::progress::Step;
use anyhow::{Context, Result, ensure};
use gguf::{Array, NewTensor, Texts, Value, Writer};
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

/// A file of an older maker has another name, so it is not taken for one of today's.
const MAKER: u32 = 1;
const SEED: u64 = 0x6475_6574;
/// Weights made at a time.
const PIECE_BYTES: usize = 1 << 20;
/// What must stay free on the disk.
const FREE_BYTES_MIN: u64 = 512 << 20;

/// A model to be made.
#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    pub shape: Shape,
    pub mix: Mix,
    pub layers: u64,
}

impl Recipe {
    /// With fewer layers than the model has, where `layers` says so.
    pub fn new(shape: Shape, mix: &Mix, layers: u64) -> Recipe {
        Recipe { shape: shape.fit(mix), mix: *mix, layers: layers.min(shape.layers) }
    }

    pub fn file(&self, folder: &Path) -> PathBuf {
        let Recipe { shape, mix, layers } = self;
        let (width, words) = (shape.width, shape.vocabulary);
        let name = format!("{}-w{width}-v{words}-l{layers}-{}-m{MAKER}.gguf", shape.name, mix.name);
        folder.join(name.to_lowercase())
    }

    fn parts(&self) -> Vec<Part> {
        self.shape.parts(&self.mix, self.layers)
    }

    /// Bytes of all weights: what decode reads for a token, because the token matrix is the output matrix too.
    pub fn weight_bytes(&self) -> u64 {
        self.parts().iter().map(Part::bytes).sum()
    }

    pub fn n_weights(&self) -> u64 {
        self.parts().iter().map(|part| part.dims.iter().product::<u64>()).sum()
    }

    /// Makes the file, or takes the one that is there.
    pub fn make(&self, folder: &Path, step: &Step) -> Result<PathBuf> {
        let path = self.file(folder);
        if path.exists() {
            return Ok(path);
        }
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        ensure_room(folder, self.weight_bytes())?;
        // The name appears when the file is whole.
        let half_done = path.with_extension("part");
        let writing = || format!("writing {}", half_done.display());
        let file = File::create(&half_done).with_context(writing)?;
        self.write(BufWriter::new(file), step).with_context(writing)?;
        fs::rename(&half_done, &path).with_context(|| format!("naming {}", path.display()))?;
        Ok(path)
    }

    /// Writes the model.
    pub fn write(&self, out: impl std::io::Write, step: &Step) -> Result<()> {
        let parts = self.parts();
        let tensors: Vec<NewTensor> = parts
            .iter()
            .map(|part| NewTensor { name: part.name.clone(), kind: part.kind, dims: part.dims.clone() })
            .collect();
        let meta = self.meta();
        let meta: Vec<(&str, Value)> =
            meta.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        let mut writer = Writer::new(out, &meta, &tensors)?;
        let mut dice = Dice::new(SEED);
        let mut done = 0;
        for part in &parts {
            let block = part.kind.block_bytes() as usize;
            let mut piece = vec![0; PIECE_BYTES / block * block];
            let mut left = part.bytes() as usize;
            while left > 0 {
                let piece = &mut piece[..left.min(PIECE_BYTES / block * block)];
                fill_part(part, &mut dice, piece);
                writer.write(piece)?;
                left -= piece.len();
                done += piece.len() as u64;
                step.at(done);
            }
        }
        writer.finish()?;
        Ok(())
    }

    fn meta(&self) -> Vec<(String, Value)> {
        let Shape { architecture, width, heads, heads_kv, head_width, hidden, vocabulary, .. } = self.shape;
        let number = |n: u64| Value::U32(u32::try_from(n).expect("a shape's numbers are small"));
        let of = |key: &str| format!("{}.{key}", architecture.name());
        let mut meta = vec![
            ("general.architecture".to_owned(), Value::Text(architecture.name().into())),
            (
                "general.name".to_owned(),
                Value::Text(format!("random weights in the shape of {}", self.shape.name)),
            ),
            (of("context_length"), number(4096)),
            (of("embedding_length"), number(width)),
            (of("block_count"), number(self.layers)),
            (of("feed_forward_length"), number(hidden)),
            (of("attention.head_count"), number(heads)),
            (of("attention.head_count_kv"), number(heads_kv)),
            (of("attention.key_length"), number(head_width)),
            (of("attention.value_length"), number(head_width)),
            (of("attention.layer_norm_rms_epsilon"), Value::F32(1e-6)),
            (of("rope.freq_base"), Value::F32(if architecture == Architecture::Llama { 1e4 } else { 1e6 })),
            (of("vocab_size"), number(vocabulary)),
        ];
        if architecture == Architecture::Llama {
            meta.push((of("rope.dimension_count"), number(head_width)));
        }
        meta.extend(words(vocabulary));
        meta
    }
}

fn fill_part(part: &Part, dice: &mut Dice, piece: &mut [u8]) {
    match part.role {
        Role::Weights | Role::Bias => fill(part.kind, dice, piece),
        Role::Ones => piece.chunks_exact_mut(4).for_each(|one| one.copy_from_slice(&1f32.to_le_bytes())),
    }
}

/// The least vocabulary that can spell everything: marks, all bytes, and made-up words up to the size.
fn words(n: u64) -> Vec<(String, Value)> {
    // The numbers that the format gives to kinds of tokens.
    const ORDINARY: i32 = 1;
    const UNKNOWN: i32 = 2;
    const CONTROL: i32 = 3;
    const BYTE: i32 = 6;
    let mut tokens: Texts = ["<unk>", "<s>", "</s>"].into_iter().collect();
    let mut types = vec![UNKNOWN, CONTROL, CONTROL];
    for byte in 0..256 {
        tokens.push(&format!("<0x{byte:02X}>"));
        types.push(BYTE);
    }
    for idx in tokens.len() as u64..n {
        tokens.push(&format!("\u{2581}w{idx}"));
        types.push(ORDINARY);
    }
    let scores = (0..n).map(|idx| -(idx as f32)).collect();
    let of = |key: &str| format!("tokenizer.ggml.{key}");
    vec![
        (of("model"), Value::Text("llama".into())),
        (of("pre"), Value::Text("default".into())),
        (of("tokens"), Value::Array(Array::Text(tokens))),
        (of("token_type"), Value::Array(Array::I32(types))),
        (of("scores"), Value::Array(Array::F32(scores))),
        (of("bos_token_id"), Value::U32(1)),
        (of("eos_token_id"), Value::U32(2)),
        (of("unknown_token_id"), Value::U32(0)),
    ]
}

fn ensure_room(folder: &Path, bytes: u64) -> Result<()> {
    let free = free_bytes(folder)?;
    ensure!(
        free >= bytes + FREE_BYTES_MIN,
        "{} has {} MB free; the model takes {} MB, and {} MB are to stay free",
        folder.display(),
        free / 1_000_000,
        bytes / 1_000_000,
        FREE_BYTES_MIN / 1_000_000
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::shape::{MIXES, SHAPES};
    use super::*;
    use crate::progress::Progress;
    use gguf::Gguf;

    /// Small enough to be made in a test, with everything that a shape has.
    fn small(shape: Shape, mix: &Mix) -> Recipe {
        let shape = Shape { hidden: 512, vocabulary: 300, ..shape };
        Recipe::new(shape, mix, 2)
    }

    fn made(recipe: &Recipe) -> Vec<u8> {
        let step = Progress::new(1).step("making a model", None);
        let mut bytes = Vec::new();
        recipe.write(&mut bytes, &step).unwrap();
        bytes
    }

    #[test]
    fn a_made_model_is_read_back_whole() {
        let each_type = MIXES.iter().map(|mix| (SHAPES[0], mix));
        let each_shape = SHAPES.into_iter().map(|shape| (shape, &MIXES[12]));
        for (shape, mix) in each_type.chain(each_shape) {
            let recipe = small(shape, mix);
            let bytes = made(&recipe);
            let head = Gguf::read(&mut bytes.as_slice(), bytes.len() as u64).unwrap();
            gguf::check_model(&head).unwrap();
            assert_eq!(head.weight_bytes(), recipe.weight_bytes(), "{} {}", shape.name, mix.name);
            assert_eq!(head.texts("tokenizer.ggml.tokens").unwrap().len(), 300);
        }
    }

    #[test]
    fn a_recipe_makes_the_same_bytes_again() {
        let recipe = small(SHAPES[0], &MIXES[6]);
        assert!(made(&recipe) == made(&recipe));
    }

    #[test]
    fn a_model_that_does_not_fit_the_disk_is_not_begun() {
        let error = ensure_room(&std::env::temp_dir(), 1 << 60).unwrap_err().to_string();
        assert!(error.contains("MB free; the model takes"), "{error}");
    }

    #[test]
    fn names_tell_the_recipe() {
        let file = Recipe::new(SHAPES[0], &MIXES[6], 4).file(Path::new("x"));
        assert_eq!(file, Path::new("x/smollm2-135m-w768-v49152-l4-q4_k_m-m1.gguf"));
    }
}
