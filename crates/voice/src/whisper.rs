//! The model file of whisper.cpp, read and judged before whisper.cpp sees it.
//!
//! whisper.cpp believes its files: a wrong number makes it abort, or read behind its buffers. So every number is held
//! to a limit here, and every tensor to the shape and type that the numbers ask for. What passes has nothing left
//! to be believed. Layout: whisper.cpp 1.8.3, `whisper_model_load`.

pub mod forge;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};

/// "ggml", as a number.
pub const MAGIC: u32 = 0x6767_6d6c;
/// Bins of the picture's spectrum: half of a window of 400 samples, and one.
pub const BINS: usize = 201;
/// Thousands of the file's type tell how its blocks were packed.
const PACKING: u32 = 1000;

pub const STATE_MAX: u32 = 1280;
pub const LAYERS_MAX: u32 = 32;
pub const AUDIO_CTX_MAX: u32 = 1500;
pub const TEXT_CTX_MAX: u32 = 448;
const WORD_BYTES_MAX: u32 = 256;
const NAME_BYTES_MAX: u32 = 64;
/// Vocabularies that whisper.cpp knows the special tokens of: English, all languages, and one language more.
const VOCABULARIES: [u32; 3] = [51_864, 51_865, 51_866];

/// How the large tensors are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weights {
    pub name: &'static str,
    /// The file's number for it.
    pub file: u32,
    /// ggml's number for it.
    pub ggml: u32,
    /// Weights and bytes of a block.
    pub block: (u32, u32),
}

const fn weights(name: &'static str, file: u32, ggml: u32, block: (u32, u32)) -> Weights {
    Weights { name, file, ggml, block }
}

const F32: Weights = weights("f32", 0, 0, (1, 4));
const F16: Weights = weights("f16", 1, 1, (1, 2));
const WEIGHTS: [Weights; 12] = [
    F32,
    F16,
    weights("q4_0", 2, 2, (32, 18)),
    weights("q4_1", 3, 3, (32, 20)),
    weights("q8_0", 7, 8, (32, 34)),
    weights("q5_0", 8, 6, (32, 22)),
    weights("q5_1", 9, 7, (32, 24)),
    weights("q2_k", 10, 10, (256, 84)),
    weights("q3_k", 11, 11, (256, 110)),
    weights("q4_k", 12, 12, (256, 144)),
    weights("q5_k", 13, 13, (256, 176)),
    weights("q6_k", 14, 14, (256, 210)),
];

/// The numbers at the head of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    pub n_vocab: u32,
    pub n_audio_ctx: u32,
    /// Width of encoder and decoder.
    pub n_state: u32,
    pub n_audio_head: u32,
    pub n_audio_layer: u32,
    pub n_text_ctx: u32,
    pub n_text_head: u32,
    pub n_text_layer: u32,
    pub n_mels: u32,
    pub weights: Weights,
}

/// A file that whisper.cpp may have.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    pub shape: Shape,
    /// `n_mels` rows of `BINS`.
    pub filters: Vec<f32>,
    /// The token of a lone blank, which no text begins with.
    pub blank: u32,
    pub bytes: u64,
}

#[derive(Debug)]
pub enum ModelError {
    Io(io::Error),
    NotAModel,
    Short { what: &'static str },
    Number { what: &'static str, value: u64, must: &'static str },
    Filters,
    NoBlank,
    Name,
    Unknown { name: String },
    Twice { name: String },
    Tensor { name: String, what: &'static str },
    Missing { name: String, n_missing: usize },
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            ModelError::Io(error) => write!(f, "the model cannot be read: {error}"),
            ModelError::NotAModel => f.write_str("this is no whisper model in ggml's format"),
            ModelError::Short { what } => write!(f, "the model ends in the middle of {what}"),
            ModelError::Number { what, value, must } => {
                write!(f, "the model says that {what} is {value}, which must be {must}")
            }
            ModelError::Filters => f.write_str("a mel filter of the model is no number"),
            ModelError::NoBlank => f.write_str("the model's vocabulary has no blank"),
            ModelError::Name => f.write_str("a tensor of the model has a name that is no text"),
            ModelError::Unknown { name } => write!(f, "no whisper model has a tensor {name:?}"),
            ModelError::Twice { name } => write!(f, "the model has the tensor {name} twice"),
            ModelError::Tensor { name, what } => write!(f, "the model's tensor {name} has the wrong {what}"),
            ModelError::Missing { name, n_missing } => {
                write!(f, "the model lacks {n_missing} tensors, among them {name}")
            }
        }
    }
}

impl std::error::Error for ModelError {}

impl From<io::Error> for ModelError {
    fn from(error: io::Error) -> Self {
        ModelError::Io(error)
    }
}

/// Reads heads and words, and steps over the weights. `bytes` is the length of the whole file.
pub fn check(source: impl Read + Seek, bytes: u64) -> Result<Model, ModelError> {
    let mut source = Source { source, left: bytes };
    if source.u32("the head").map_err(|_| ModelError::NotAModel)? != MAGIC {
        return Err(ModelError::NotAModel);
    }
    let shape = shape(&mut source)?;
    let filters = filters(&mut source, shape.n_mels)?;
    let blank = vocabulary(&mut source, shape.n_vocab)?;
    tensors(&mut source, &shape)?;
    Ok(Model { shape, filters, blank, bytes })
}

struct Source<S> {
    source: S,
    left: u64,
}

impl<S: Read + Seek> Source<S> {
    fn fill(&mut self, bytes: &mut [u8], what: &'static str) -> Result<(), ModelError> {
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or(ModelError::Short { what })?;
        Ok(self.source.read_exact(bytes)?)
    }

    fn u32(&mut self, what: &'static str) -> Result<u32, ModelError> {
        let mut bytes = [0; 4];
        self.fill(&mut bytes, what)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// A number within its limits. They are ggml's signed numbers, so the limits also keep them positive.
    fn number(
        &mut self,
        what: &'static str,
        must: &'static str,
        is_good: impl Fn(u32) -> bool,
    ) -> Result<u32, ModelError> {
        let value = self.u32(what)?;
        if is_good(value) { Ok(value) } else { Err(ModelError::Number { what, value: value.into(), must }) }
    }

    fn skip(&mut self, bytes: u64, what: &'static str) -> Result<(), ModelError> {
        self.left = self.left.checked_sub(bytes).ok_or(ModelError::Short { what })?;
        self.source.seek(SeekFrom::Current(bytes.cast_signed()))?;
        Ok(())
    }
}

fn shape(source: &mut Source<impl Read + Seek>) -> Result<Shape, ModelError> {
    let n_vocab = source.number("the vocabulary", "51864, 51865 or 51866", |n| VOCABULARIES.contains(&n))?;
    let n_audio_ctx =
        source.number("the encoder's length", "64 to 1500", |n| (64..=AUDIO_CTX_MAX).contains(&n))?;
    let width = |n: u32| (32..=STATE_MAX).contains(&n) && n.is_multiple_of(32);
    let n_state = source.number("the encoder's width", "a multiple of 32 up to 1280", width)?;
    // Heads are of one width, and vectors of four numbers fit in it.
    let heads = |n: u32| (1..=n_state / 4).contains(&n) && n_state.is_multiple_of(4 * n);
    let layers = |n: u32| (1..=LAYERS_MAX).contains(&n);
    let must_heads = "a part of the width";
    let n_audio_head = source.number("the encoder's number of heads", must_heads, heads)?;
    let n_audio_layer = source.number("the encoder's number of layers", "1 to 32", layers)?;
    let n_text_ctx =
        source.number("the decoder's length", "16 to 448", |n| (16..=TEXT_CTX_MAX).contains(&n))?;
    source.number("the decoder's width", "the encoder's", |n| n == n_state)?;
    let n_text_head = source.number("the decoder's number of heads", must_heads, heads)?;
    let n_text_layer = source.number("the decoder's number of layers", "1 to 32", layers)?;
    let n_mels = source.number("the number of mel bands", "80 or 128", |n| n == 80 || n == 128)?;
    let of = |n: u32| WEIGHTS.into_iter().find(|weights| weights.file == n % PACKING);
    let known =
        |n: u32| n < 3 * PACKING && of(n).is_some_and(|weights| n_state.is_multiple_of(weights.block.0));
    let weights = source.number("the type of weights", "one that fits the width", known)?;
    let weights = of(weights).unwrap_or(F32);
    Ok(Shape {
        n_vocab,
        n_audio_ctx,
        n_state,
        n_audio_head,
        n_audio_layer,
        n_text_ctx,
        n_text_head,
        n_text_layer,
        n_mels,
        weights,
    })
}

fn filters(source: &mut Source<impl Read + Seek>, n_mels: u32) -> Result<Vec<f32>, ModelError> {
    source.number("the number of filters", "the number of mel bands", |n| n == n_mels)?;
    source.number("the number of bins", "201", |n| n as usize == BINS)?;
    let mut bytes = vec![0; n_mels as usize * BINS * 4];
    source.fill(&mut bytes, "its filters")?;
    let float = |four: &[u8]| f32::from_le_bytes([four[0], four[1], four[2], four[3]]);
    let filters: Vec<f32> = bytes.chunks_exact(4).map(float).collect();
    if filters.iter().all(|filter| filter.is_finite()) { Ok(filters) } else { Err(ModelError::Filters) }
}

/// Steps through the words and gives the place of the blank.
fn vocabulary(source: &mut Source<impl Read + Seek>, n_vocab: u32) -> Result<u32, ModelError> {
    let n_words = source.number("the number of words", "at most the vocabulary", |n| n <= n_vocab)?;
    let mut word = [0; WORD_BYTES_MAX as usize];
    let mut blank = None;
    for idx in 0..n_words {
        let length = source.number("a word's length", "at most 256", |n| n <= WORD_BYTES_MAX)?;
        let word = &mut word[..length as usize];
        source.fill(word, "its words")?;
        if word == b" " {
            blank = Some(idx);
        }
    }
    blank.ok_or(ModelError::NoBlank)
}

fn tensors(source: &mut Source<impl Read + Seek>, shape: &Shape) -> Result<(), ModelError> {
    // The value says whether the file had it.
    let mut expected: BTreeMap<String, (Expected, bool)> = BTreeMap::new();
    each_tensor(shape, |name, tensor| {
        expected.insert(name, (tensor, false));
    });
    while source.left > 0 {
        let n_dims = source.number("a tensor's number of dimensions", "1 to 3", |n| (1..=3).contains(&n))?;
        let length =
            source.number("a tensor's name", "1 to 64 long", |n| (1..=NAME_BYTES_MAX).contains(&n))?;
        let kind = source.u32("a tensor's head")?;
        let mut dims = [1; 3];
        for dim in &mut dims[..n_dims as usize] {
            *dim = source.u32("a tensor's head")?;
        }
        let mut name = vec![0; length as usize];
        source.fill(&mut name, "a tensor's name")?;
        let name = String::from_utf8(name).map_err(|_| ModelError::Name)?;
        let Some((tensor, is_there)) = expected.get_mut(&name) else {
            return Err(ModelError::Unknown { name });
        };
        if std::mem::replace(is_there, true) {
            return Err(ModelError::Twice { name });
        }
        if tensor.dims != dims {
            return Err(ModelError::Tensor { name, what: "shape" });
        }
        if tensor.weights.ggml != kind {
            return Err(ModelError::Tensor { name, what: "type" });
        }
        source.skip(tensor.bytes(), "a tensor")?;
    }
    let mut missing = expected.iter().filter(|(_, (_, is_there))| !is_there);
    match missing.next() {
        None => Ok(()),
        Some((name, _)) => Err(ModelError::Missing { name: name.clone(), n_missing: missing.count() + 1 }),
    }
}

/// What a tensor must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    pub dims: [u32; 3],
    pub weights: Weights,
}

impl Expected {
    pub fn bytes(&self) -> u64 {
        let n: u64 = self.dims.iter().map(|dim| u64::from(*dim)).product();
        n / u64::from(self.weights.block.0) * u64::from(self.weights.block.1)
    }
}

/// Every tensor of a model of this shape.
pub fn each_tensor(shape: &Shape, mut take: impl FnMut(String, Expected)) {
    let d = shape.n_state;
    let large = shape.weights;
    let conv = if large == F32 { F32 } else { F16 };
    let mut tensor = |name: String, dims, weights| take(name, Expected { dims, weights });
    tensor("encoder.positional_embedding".into(), [d, shape.n_audio_ctx, 1], F32);
    for (name, width) in [("conv1", shape.n_mels), ("conv2", d)] {
        tensor(format!("encoder.{name}.weight"), [3, width, d], conv);
        tensor(format!("encoder.{name}.bias"), [1, d, 1], F32);
    }
    tensor("decoder.positional_embedding".into(), [d, shape.n_text_ctx, 1], F32);
    tensor("decoder.token_embedding.weight".into(), [d, shape.n_vocab, 1], large);
    let mut norms = vec!["encoder.ln_post".to_string(), "decoder.ln".to_string()];
    for (part, n_layers) in [("encoder", shape.n_audio_layer), ("decoder", shape.n_text_layer)] {
        for layer in 0..n_layers {
            let block = format!("{part}.blocks.{layer}");
            norms.push(format!("{block}.mlp_ln"));
            for (name, from, to) in [("mlp.0", d, 4 * d), ("mlp.2", 4 * d, d)] {
                tensor(format!("{block}.{name}.weight"), [from, to, 1], large);
                tensor(format!("{block}.{name}.bias"), [to, 1, 1], F32);
            }
            let attentions: &[&str] = if part == "encoder" { &["attn"] } else { &["attn", "cross_attn"] };
            for attention in attentions {
                norms.push(format!("{block}.{attention}_ln"));
                for name in ["query", "key", "value", "out"] {
                    tensor(format!("{block}.{attention}.{name}.weight"), [d, d, 1], large);
                    if name != "key" {
                        tensor(format!("{block}.{attention}.{name}.bias"), [d, 1, 1], F32);
                    }
                }
            }
        }
    }
    for norm in norms {
        tensor(format!("{norm}.weight"), [d, 1, 1], F32);
        tensor(format!("{norm}.bias"), [d, 1, 1], F32);
    }
}
