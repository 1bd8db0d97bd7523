//! Some layers of a model as a model file of their own.
//!
//! A slice keeps `blk.A` to `blk.B-1`, numbered from 0, and says in keys of its own what it is a part of.
//! It is written while the whole is read, a piece at a time, so a model larger than memory can be cut.
//!
//! The library wants an embedding and a head in every file. What a slice never uses is made small instead of kept:
//! a slice in the middle gets a vocabulary of bytes and an embedding of zeros; the last one gets an embedding of zeros
//! if its head is another tensor; and only the last one keeps that head.

mod family;

use crate::{Array, Error, Gguf, Kind, NewTensor, Tensor, Texts, Value, Writer, check_model};
use family::{Family, refuse};
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;

/// Slices of one model: more than that would be hops without layers.
pub const SLICES_MAX: u64 = 64;
/// Bytes that are copied at a time.
const PIECE: u64 = 1 << 18;
/// Places in the weights that are looked at to know a model again, and bytes at each.
const PLACES: u64 = 64;
const PLACE_BYTES: u64 = 1 << 12;

const MODEL: &str = "duet.slice.model";
const FIRST: &str = "duet.slice.first";
const END: &str = "duet.slice.end";
const OF: &str = "duet.slice.of";
const EMBEDDING: &str = "token_embd.weight";
const HEAD: &str = "output.weight";

/// What makes a model itself: its head and a sample of its weights, hashed.
pub type ModelId = [u8; 16];

/// What a slice says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The whole that it was cut from.
    pub model: ModelId,
    /// Its layers, as the whole numbers them.
    pub layers: Range<u64>,
    /// Layers of the whole.
    pub of: u64,
}

impl Slice {
    pub fn is_first(&self) -> bool {
        self.layers.start == 0
    }

    pub fn is_last(&self) -> bool {
        self.layers.end == self.of
    }
}

impl Gguf {
    /// Where a slice of this model may begin: at multiples of this. An error if the model cannot be cut at all.
    pub fn slice_step(&self) -> Result<u64, Error> {
        let facts = check_model(self)?;
        Ok(Family::of(self, &facts.architecture, facts.n_layers)?.step)
    }

    /// What this file is a slice of; nothing if it is a whole model.
    pub fn slice_of(&self) -> Result<Option<Slice>, Error> {
        let Some(model) = self.text(MODEL) else { return Ok(None) };
        let wrong = || Error::Model {
            name: "duet.slice".to_owned(),
            why: "does not say well what the file is a slice of".to_owned(),
        };
        let number = |key| self.uint(key).filter(|n| *n <= 512).ok_or_else(wrong);
        let slice = Slice {
            model: id_of(model).ok_or_else(wrong)?,
            layers: number(FIRST)?..number(END)?,
            of: number(OF)?,
        };
        let arch = self.text("general.architecture").unwrap_or_default();
        let n_layers = self.uint(&format!("{arch}.block_count"));
        let good = !slice.layers.is_empty()
            && slice.layers.end <= slice.of
            && n_layers == Some(slice.layers.end - slice.layers.start);
        if good { Ok(Some(slice)) } else { Err(wrong()) }
    }

    /// What makes this model itself. `input` is what the head was read from.
    pub fn model_id(&self, input: &mut (impl Read + Seek)) -> Result<ModelId, Error> {
        let n_bytes = self.file_bytes - self.data_at;
        let heads = (0..self.data_at).step_by(PLACE_BYTES as usize).map(|at| (at, self.data_at));
        let places = (0..PLACES).map(|idx| (self.data_at + n_bytes * idx / PLACES, self.file_bytes));
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.file_bytes.to_le_bytes());
        let mut room = [0; PLACE_BYTES as usize];
        for (at, end) in heads.chain(places) {
            let bytes = &mut room[..PLACE_BYTES.min(end - at) as usize];
            read_at(input, at, bytes)?;
            hasher.update(bytes);
        }
        let mut id = ModelId::default();
        id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Ok(id)
    }

    /// Writes these layers as a model of their own. `input` is what the head was read from.
    pub fn write_slice<W: Write>(
        &self,
        layers: Range<u64>,
        input: &mut (impl Read + Seek),
        out: W,
    ) -> Result<W, Error> {
        let model = self.model_id(input)?;
        self.write_slice_of(model, layers, input, out)
    }

    /// The same where it is known what makes the model itself; then only [`Gguf::slice_places`] of it are read.
    pub fn write_slice_of<W: Write>(
        &self,
        model: ModelId,
        layers: Range<u64>,
        input: &mut (impl Read + Seek),
        out: W,
    ) -> Result<W, Error> {
        let plan = Plan::new(self, layers, model)?;
        let meta: Vec<(&str, Value)> = plan.meta.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
        let tensors: Vec<NewTensor> = plan.parts.iter().map(|part| part.new.clone()).collect();
        let mut writer = Writer::new(out, &meta, &tensors)?;
        let mut room = vec![0; PIECE as usize];
        for part in &plan.parts {
            let bytes = part.new.kind.bytes_of(part.new.dims.iter().product()).unwrap_or(0);
            for at in (0..bytes).step_by(PIECE as usize) {
                let piece = &mut room[..PIECE.min(bytes - at) as usize];
                match part.from {
                    Some(from) => read_at(input, self.data_at + from.offset + at, piece)?,
                    None => piece.fill(0),
                }
                writer.write(piece)?;
            }
        }
        writer.finish()
    }

    /// Where in the file lies what a slice of these layers is made of, the head of the file included.
    pub fn slice_places(&self, layers: Range<u64>) -> Result<Vec<Range<u64>>, Error> {
        let place = Place::new(self, layers)?;
        let weights = place.parts(self).into_iter().filter_map(|part| part.from).map(|tensor| {
            let at = self.data_at + tensor.offset;
            at..at.saturating_add(tensor.bytes)
        });
        Ok(std::iter::once(0..self.data_at).chain(weights).collect())
    }

    /// Bytes of weights that a slice of these layers will have.
    pub fn slice_bytes(&self, layers: Range<u64>) -> Result<u64, Error> {
        let place = Place::new(self, layers)?;
        let parts = place.parts(self);
        Ok(parts.iter().filter_map(|part| part.new.kind.bytes_of(part.new.dims.iter().product())).sum())
    }
}

/// Cuts `n_layers` into stages of nearly one size that begin at multiples of `step`.
pub fn even_cuts(n_layers: u64, step: u64, n_stages: u64) -> Result<Vec<Range<u64>>, Error> {
    let n_steps = n_layers.div_ceil(step.max(1));
    if n_stages == 0 || n_stages > SLICES_MAX.min(n_steps) {
        return refuse(format!("{n_layers} layers in steps of {step} cannot be {n_stages} slices"));
    }
    let edge = |idx: u64| (idx * n_steps / n_stages * step).min(n_layers);
    Ok((0..n_stages)
        .map(|idx| edge(idx)..if idx + 1 == n_stages { n_layers } else { edge(idx + 1) })
        .collect())
}

/// A tensor of the slice: what it is, and where its weights come from; zeros if from nowhere.
struct Part<'a> {
    new: NewTensor,
    from: Option<&'a Tensor>,
}

/// Where a slice lies in its model.
struct Place {
    arch: String,
    layers: Range<u64>,
    n_layers: u64,
    n_embd: u64,
    family: &'static Family,
    /// The head is a tensor of its own.
    has_head: bool,
}

impl Place {
    fn new(file: &Gguf, layers: Range<u64>) -> Result<Place, Error> {
        if file.get(MODEL).is_some() {
            return refuse("it is a slice already");
        }
        let facts = check_model(file)?;
        let family = Family::of(file, &facts.architecture, facts.n_layers)?;
        if layers.is_empty() || layers.end > facts.n_layers {
            return refuse(format!("layers {layers:?} are not within its {}", facts.n_layers));
        }
        let is_edge = |at: u64| at == facts.n_layers || at.is_multiple_of(family.step);
        if !is_edge(layers.start) || !is_edge(layers.end) {
            let (arch, step) = (&facts.architecture, family.step);
            return refuse(format!(
                "{arch} is cut only before each layer that {step} divides, not at {layers:?}"
            ));
        }
        Ok(Place {
            has_head: file.tensor(HEAD).is_some(),
            arch: facts.architecture,
            layers,
            n_layers: facts.n_layers,
            n_embd: facts.n_embd,
            family,
        })
    }

    fn is_first(&self) -> bool {
        self.layers.start == 0
    }

    fn is_last(&self) -> bool {
        self.layers.end == self.n_layers
    }

    /// Neither texts nor tokens ever meet it.
    fn is_middle(&self) -> bool {
        !self.is_first() && !self.is_last()
    }

    fn parts<'a>(&self, file: &'a Gguf) -> Vec<Part<'a>> {
        file.tensors.iter().filter_map(|tensor| self.part(tensor)).collect()
    }

    fn part<'a>(&self, tensor: &'a Tensor) -> Option<Part<'a>> {
        let keep = |name: &str| {
            let new = NewTensor { name: name.to_owned(), kind: tensor.kind, dims: tensor.dims.clone() };
            Some(Part { new, from: Some(tensor) })
        };
        if let Some((layer, rest)) = tensor.name.strip_prefix("blk.").and_then(|name| name.split_once('.')) {
            let layer: u64 = layer.parse().ok()?;
            let is_inside = self.layers.contains(&layer);
            return if is_inside { keep(&format!("blk.{}.{rest}", layer - self.layers.start)) } else { None };
        }
        let is_head = tensor.name.starts_with("output.");
        let is_embedding = tensor.name == EMBEDDING;
        match (is_head, is_embedding) {
            (true, _) if !self.is_last() => None,
            // The head of a model without one of its own is the embedding.
            (_, true) if self.is_middle() => Some(self.zeros(bytes_vocabulary().len() as u64)),
            (_, true) if !self.is_first() && self.has_head => Some(self.zeros(tensor.dims[1])),
            _ => keep(&tensor.name),
        }
    }

    /// An embedding that nobody reads, in the smallest type that rows of this width can have.
    fn zeros(&self, n_vocab: u64) -> Part<'static> {
        let kinds = [Kind::Q1_0, Kind::Q4_0, Kind::F16];
        let kind =
            kinds.into_iter().find(|kind| self.n_embd.is_multiple_of(kind.block())).unwrap_or(Kind::F32);
        let new = NewTensor { name: EMBEDDING.to_owned(), kind, dims: vec![self.n_embd, n_vocab] };
        Part { new, from: None }
    }
}

struct Plan<'a> {
    meta: Vec<(String, Value)>,
    parts: Vec<Part<'a>>,
}

impl<'a> Plan<'a> {
    fn new(file: &'a Gguf, layers: Range<u64>, model: ModelId) -> Result<Plan<'a>, Error> {
        let place = Place::new(file, layers)?;
        let mut meta = Vec::new();
        for (key, value) in &file.meta {
            if let Some(own) = key.strip_prefix(&format!("{}.", place.arch)) {
                let value = family::cut(own, value, place.n_layers, place.layers.clone())?;
                meta.push((key.clone(), value));
            } else if !(place.is_middle() && key.starts_with("tokenizer.")) {
                meta.push((key.clone(), value.clone()));
            }
        }
        let arch = &place.arch;
        let n = place.layers.end - place.layers.start;
        set(&mut meta, &format!("{arch}.block_count"), Value::U32(n as u32));
        if let Some(pattern) = place.family.pattern(file, arch, place.n_layers) {
            let key = "attention.sliding_window_pattern";
            let pattern = family::cut(key, &Value::Array(pattern), place.n_layers, place.layers.clone())?;
            set(&mut meta, &format!("{arch}.{key}"), pattern);
        }
        if place.is_middle() {
            meta.extend(vocabulary_of_bytes());
            if file.get(&format!("{arch}.vocab_size")).is_some() {
                set(&mut meta, &format!("{arch}.vocab_size"), Value::U32(bytes_vocabulary().len() as u32));
            }
        }
        let hex: String = model.iter().map(|byte| format!("{byte:02x}")).collect();
        set(&mut meta, MODEL, Value::Text(hex));
        for (key, number) in [(FIRST, place.layers.start), (END, place.layers.end), (OF, place.n_layers)] {
            set(&mut meta, key, Value::U32(number as u32));
        }
        Ok(Plan { meta, parts: place.parts(file) })
    }
}

fn set(meta: &mut Vec<(String, Value)>, key: &str, value: Value) {
    meta.retain(|(name, _)| name != key);
    meta.push((key.to_owned(), value));
}

/// The least vocabulary that is taken: a token for every byte.
fn bytes_vocabulary() -> Texts {
    let mut tokens = Texts::default();
    ["<unk>", "<s>", "</s>"].iter().for_each(|token| tokens.push(token));
    (0..=u8::MAX).for_each(|byte| tokens.push(&format!("<0x{byte:02X}>")));
    tokens
}

fn vocabulary_of_bytes() -> [(String, Value); 4] {
    let tokens = bytes_vocabulary();
    let n = tokens.len();
    let kinds = (0..n).map(|idx| if idx < 3 { 3 } else { 6 }).collect();
    [
        ("tokenizer.ggml.model", Value::Text("llama".to_owned())),
        ("tokenizer.ggml.scores", Value::Array(Array::F32(vec![0.0; n]))),
        ("tokenizer.ggml.token_type", Value::Array(Array::I32(kinds))),
        ("tokenizer.ggml.tokens", Value::Array(Array::Text(tokens))),
    ]
    .map(|(key, value)| (key.to_owned(), value))
}

fn id_of(hex: &str) -> Option<ModelId> {
    let mut id = ModelId::default();
    if hex.len() != 2 * id.len() || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, digits) in id.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(id)
}

fn read_at(input: &mut (impl Read + Seek), at: u64, bytes: &mut [u8]) -> Result<(), Error> {
    let failed = |e: std::io::Error| Error::Read { at, why: e.to_string() };
    input.seek(SeekFrom::Start(at)).map_err(failed)?;
    input.read_exact(bytes).map_err(failed)
}
