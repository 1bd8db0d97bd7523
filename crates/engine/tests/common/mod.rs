//! Models for tests: where they are, and how another one is made of them.

#![allow(dead_code)] // Each test file uses its part.

pub mod families;
pub mod tiny;

use engine::{Context, Load, Model, Settings};
use gguf::{Gguf, Kind, NewTensor, Value, Writer};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A folder that is gone when the test is over.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// In memory, where the files of a node without a disk lie.
    pub fn in_memory(name: &str) -> Folder {
        let path = Path::new("/dev/shm").join(format!("duet-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// A file with these bytes.
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A file of the shared models, or a line that says why the test is skipped.
pub fn shared(name: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/models-data");
    let folder = std::env::var_os("DUET_MODELS_DATA").map_or(beside, PathBuf::from);
    let path = folder.join(name);
    if path.is_file() {
        return Some(path);
    }
    println!("skipped: there is no {name} in DUET_MODELS_DATA");
    None
}

pub fn load(path: &Path) -> Arc<Model> {
    Arc::new(Model::load(path, Load::default()).unwrap())
}

pub fn context(model: &Arc<Model>, settings: Settings) -> Context {
    Context::new(Arc::clone(model), Settings { n_ctx: 256, n_batch: 64, ..settings }).unwrap()
}

/// The first of the largest.
pub fn best<T: PartialOrd>(logits: &[T]) -> usize {
    (0..logits.len()).reduce(|best, next| if logits[next] > logits[best] { next } else { best }).unwrap()
}

/// Floats by their bits: equal means equal.
pub fn bits(floats: &[f32]) -> Vec<u32> {
    floats.iter().map(|float| float.to_bits()).collect()
}

/// A model file taken apart.
pub struct Parts {
    pub meta: Vec<(String, Value)>,
    pub tensors: Vec<(NewTensor, Vec<u8>)>,
}

impl Parts {
    pub fn read(bytes: &[u8]) -> Parts {
        let head = Gguf::read(&mut &bytes[..], bytes.len() as u64).unwrap();
        let data = &bytes[head.data_at as usize..];
        let part = |t: &gguf::Tensor| {
            let tensor = NewTensor { name: t.name.clone(), kind: t.kind, dims: t.dims.clone() };
            (tensor, data[t.offset as usize..][..t.bytes as usize].to_vec())
        };
        Parts { tensors: head.tensors.iter().map(part).collect(), meta: head.meta.into_iter().collect() }
    }

    pub fn set(&mut self, key: &str, value: Value) {
        self.meta.retain(|(name, _)| name != key);
        self.meta.push((key.to_owned(), value));
    }

    pub fn number(&self, key: &str) -> u64 {
        let found = self.meta.iter().find(|(name, _)| name == key);
        found.and_then(|(_, value)| value.uint()).unwrap()
    }

    pub fn write(&self) -> Vec<u8> {
        let meta: Vec<(&str, Value)> = self.meta.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
        let tensors: Vec<NewTensor> = self.tensors.iter().map(|(tensor, _)| tensor.clone()).collect();
        let mut writer = Writer::new(Vec::new(), &meta, &tensors).unwrap();
        self.tensors.iter().for_each(|(_, bytes)| writer.write(bytes).unwrap());
        writer.finish().unwrap()
    }
}

/// The width that every block of weights divides.
const WIDE: u64 = 256;

/// The same model of floats, with zeros around its weights until every row is a multiple of 256: the small models have
/// rows of 64 to 352, which most quantisations cannot hold. It computes the same: zeros add nothing, and where a norm
/// divides by more numbers, its weights make up for it.
pub fn widen(bytes: &[u8]) -> Vec<u8> {
    let mut parts = Parts::read(bytes);
    let number = |key: &str| parts.number(&format!("llama.{key}"));
    let (narrow, inner) = (number("embedding_length"), number("feed_forward_length"));
    let (heads, heads_kv) = (number("attention.head_count"), number("attention.head_count_kv"));
    let head = narrow / heads;
    let (wide_heads, wide_inner) = (WIDE / head, inner.next_multiple_of(WIDE));
    let wide_kv = wide_heads * heads_kv / heads;
    let share = narrow as f32 / WIDE as f32;
    for (tensor, bytes) in &mut parts.tensors {
        assert_eq!(tensor.kind, Kind::F32);
        let name = tensor.name.split('.').rev().nth(1).unwrap().to_owned();
        let wide = |dim: u64, is_kv: bool| match dim {
            _ if is_kv => wide_kv * head,
            dim if dim == narrow => WIDE,
            dim if dim == inner => wide_inner,
            other => other,
        };
        let is_kv = name == "attn_k" || name == "attn_v";
        let mut dims = vec![wide(tensor.dims[0], false)];
        dims.extend(tensor.dims.get(1).map(|dim| wide(*dim, is_kv)));
        let gain = if name.ends_with("norm") { share.sqrt() } else { 1.0 };
        *bytes = widen_rows(bytes, &tensor.dims, &dims, gain);
        tensor.dims = dims;
    }
    let epsilon = "llama.attention.layer_norm_rms_epsilon";
    for (key, value) in &mut parts.meta {
        if let (true, Value::F32(number)) = (key == epsilon, &mut *value) {
            *number *= share;
        }
    }
    for (key, value) in [
        ("embedding_length", WIDE),
        ("feed_forward_length", wide_inner),
        ("attention.head_count", wide_heads),
        ("attention.head_count_kv", wide_kv),
        ("attention.key_length", head),
        ("attention.value_length", head),
    ] {
        parts.set(&format!("llama.{key}"), Value::U32(value as u32));
    }
    parts.write()
}

/// Rows of floats in the corner of a larger matrix of zeros. The vocabulary keeps its size.
fn widen_rows(bytes: &[u8], from: &[u64], to: &[u64], gain: f32) -> Vec<u8> {
    let mut out = vec![0.0f32; to.iter().product::<u64>() as usize];
    let (floats, _) = bytes.as_chunks::<4>();
    for (row, wide_row) in floats.chunks(from[0] as usize).zip(out.chunks_mut(to[0] as usize)) {
        wide_row.iter_mut().zip(row).for_each(|(out, float)| *out = f32::from_le_bytes(*float) * gain);
    }
    out.into_iter().flat_map(f32::to_le_bytes).collect()
}
