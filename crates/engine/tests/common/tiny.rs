//! A model with dice for weights, small enough to be made in every test that needs one.

use gguf::{Array, Kind, NewTensor, Value, Writer};

/// Dice (xorshift64*): the same weights every time.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below
    }

    /// From -1 to 1.
    pub fn weight(&mut self) -> f32 {
        self.roll(20_001) as f32 / 10_000.0 - 1.0
    }
}

const N_EMBD: u64 = 64;
const N_FF: u64 = 96;
const N_LAYERS: u64 = 2;

/// The file of a model: 2 layers, 64 wide, heads of 32, a token for every byte. Only `llama` is a true architecture of it.
pub fn model(architecture: &str) -> Vec<u8> {
    let (n, tokenizer) = bytes_vocabulary();
    let text = |text: &str| Value::Text(text.to_owned());
    let meta = [
        ("general.architecture", text(architecture)),
        ("general.name", text("dice")),
        ("llama.context_length", Value::U32(512)),
        ("llama.embedding_length", Value::U32(N_EMBD as u32)),
        ("llama.block_count", Value::U32(N_LAYERS as u32)),
        ("llama.feed_forward_length", Value::U32(N_FF as u32)),
        ("llama.attention.head_count", Value::U32(2)),
        ("llama.attention.head_count_kv", Value::U32(1)),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
        ("llama.rope.dimension_count", Value::U32(32)),
    ];
    let named = |key: &str| key.replace("llama.", &format!("{architecture}."));
    let meta = meta.into_iter().map(|(key, value)| (named(key), value)).chain(tokenizer).collect::<Vec<_>>();
    let meta: Vec<(&str, Value)> = meta.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    let tensors = tensors(n);
    let mut writer = Writer::new(Vec::new(), &meta, &tensors).unwrap();
    let mut dice = Dice(0x00d0_e700);
    for tensor in &tensors {
        let (n, is_norm) = (tensor.dims.iter().product::<u64>(), tensor.dims.len() == 1);
        let weights = (0..n).map(|_| if is_norm { 1.0 } else { dice.weight() * 0.2 });
        writer.write(&weights.flat_map(f32::to_le_bytes).collect::<Vec<u8>>()).unwrap();
    }
    writer.finish().unwrap()
}

/// A token for every byte and letter; how many they are, and the keys that say so.
pub fn bytes_vocabulary() -> (u64, Vec<(String, Value)>) {
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>", "\u{2581}"].map(str::to_owned).into();
    tokens.extend((0..=255).map(|byte| format!("<0x{byte:02X}>")));
    tokens.extend(('a'..='z').map(String::from));
    let n = tokens.len();
    let kinds = [2, 3, 3, 1].into_iter().chain([6; 256]).chain([1; 26]).collect();
    let keys = [
        ("model", Value::Text("llama".to_owned())),
        ("tokens", Value::Array(Array::Text(tokens.iter().map(String::as_str).collect()))),
        ("scores", Value::Array(Array::F32((0..n).map(|idx| -(idx as f32)).collect()))),
        ("token_type", Value::Array(Array::I32(kinds))),
        ("bos_token_id", Value::U32(1)),
        ("eos_token_id", Value::U32(2)),
        ("unknown_token_id", Value::U32(0)),
    ];
    (n as u64, keys.map(|(key, value)| (format!("tokenizer.ggml.{key}"), value)).into())
}

fn tensors(n_vocab: u64) -> Vec<NewTensor> {
    let one = |name: String, dims: &[u64]| NewTensor { name, kind: Kind::F32, dims: dims.to_vec() };
    let mut all = vec![
        one("token_embd.weight".to_owned(), &[N_EMBD, n_vocab]),
        one("output_norm.weight".to_owned(), &[N_EMBD]),
    ];
    for layer in 0..N_LAYERS {
        let shapes: [(&str, &[u64]); 9] = [
            ("attn_norm", &[N_EMBD]),
            ("attn_q", &[N_EMBD, N_EMBD]),
            ("attn_k", &[N_EMBD, 32]),
            ("attn_v", &[N_EMBD, 32]),
            ("attn_output", &[N_EMBD, N_EMBD]),
            ("ffn_norm", &[N_EMBD]),
            ("ffn_gate", &[N_EMBD, N_FF]),
            ("ffn_down", &[N_FF, N_EMBD]),
            ("ffn_up", &[N_EMBD, N_FF]),
        ];
        all.extend(shapes.map(|(name, dims)| one(format!("blk.{layer}.{name}.weight"), dims)));
    }
    all
}
