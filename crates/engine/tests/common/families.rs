//! Models with dice for weights, one for each architecture that can be cut.

use super::tiny::{Dice, bytes_vocabulary};
use gguf::{Kind, NewTensor, Value, Writer};

/// What is special about an architecture.
#[derive(Clone, Copy)]
pub struct Family {
    pub name: &'static str,
    pub n_layers: u64,
    pub n_embd: u64,
    /// Positions that it says it was trained for.
    pub n_ctx: u32,
    /// The head is a tensor of its own.
    pub has_head: bool,
    pub has_bias: bool,
    pub has_qk_norm: bool,
    /// Norms behind attention and behind the inner part.
    pub has_post_norm: bool,
    /// Positions that most layers see back; shorter than what the tests evaluate.
    pub window: Option<u32>,
    pub has_caps: bool,
}

const PLAIN: Family = Family {
    name: "llama",
    n_layers: 7,
    n_embd: 64,
    n_ctx: 512,
    has_head: false,
    has_bias: false,
    has_qk_norm: false,
    has_post_norm: false,
    window: None,
    has_caps: false,
};

pub const ALL: [Family; 9] = [
    PLAIN,
    Family { has_head: true, n_embd: 128, ..PLAIN },
    Family { name: "qwen2", has_bias: true, has_head: true, ..PLAIN },
    Family { name: "qwen3", has_qk_norm: true, n_embd: 128, ..PLAIN },
    Family { name: "smollm3", n_layers: 10, ..PLAIN },
    Family { name: "gemma", ..PLAIN },
    Family { name: "gemma2", has_post_norm: true, window: Some(6), has_caps: true, n_embd: 96, ..PLAIN },
    Family { name: "gemma3", has_post_norm: true, has_qk_norm: true, window: Some(6), n_layers: 13, ..PLAIN },
    Family { name: "gemma3", has_post_norm: true, has_qk_norm: true, ..PLAIN },
];

const HEAD: u64 = 32;

/// The file of a model.
pub fn model(family: &Family) -> Vec<u8> {
    let Family { name, n_embd, n_layers, .. } = *family;
    let (n_vocab, tokenizer) = bytes_vocabulary();
    let key = |key: &str| format!("{name}.{key}");
    let number = |of: u64| Value::U32(of as u32);
    let mut meta = vec![
        ("general.architecture".to_owned(), Value::Text(name.to_owned())),
        (key("context_length"), Value::U32(family.n_ctx)),
        (key("embedding_length"), number(n_embd)),
        (key("block_count"), number(n_layers)),
        (key("feed_forward_length"), number(n_embd * 2)),
        (key("attention.head_count"), number(n_embd / HEAD)),
        (key("attention.head_count_kv"), Value::U32(1)),
        (key("attention.key_length"), number(HEAD)),
        (key("attention.value_length"), number(HEAD)),
        (key("attention.layer_norm_rms_epsilon"), Value::F32(1e-5)),
        (key("rope.dimension_count"), number(HEAD)),
    ];
    meta.extend(family.window.map(|window| (key("attention.sliding_window"), Value::U32(window))));
    if family.has_caps {
        meta.push((key("attn_logit_softcapping"), Value::F32(50.0)));
        meta.push((key("final_logit_softcapping"), Value::F32(30.0)));
    }
    meta.extend(tokenizer);
    let meta: Vec<(&str, Value)> = meta.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    let tensors = tensors(family, n_vocab);
    let mut writer = Writer::new(Vec::new(), &meta, &tensors).unwrap();
    let mut dice = Dice(0x00d0_e700 + n_embd + n_layers);
    for tensor in &tensors {
        let n = tensor.dims.iter().product::<u64>();
        let is_norm = tensor.name.contains("norm");
        let size = if tensor.name == "token_embd.weight" { 1.0 } else { 0.2 };
        let weights = (0..n).map(|_| if is_norm { 1.0 + dice.weight() * 0.1 } else { dice.weight() * size });
        writer.write(&weights.flat_map(f32::to_le_bytes).collect::<Vec<u8>>()).unwrap();
    }
    writer.finish().unwrap()
}

fn tensors(family: &Family, n_vocab: u64) -> Vec<NewTensor> {
    let n_embd = family.n_embd;
    let one = |name: String, dims: &[u64]| NewTensor { name, kind: Kind::F32, dims: dims.to_vec() };
    let mut all = vec![
        one("token_embd.weight".to_owned(), &[n_embd, n_vocab]),
        one("output_norm.weight".to_owned(), &[n_embd]),
    ];
    if family.has_head {
        all.push(one("output.weight".to_owned(), &[n_embd, n_vocab]));
    }
    for layer in 0..family.n_layers {
        let mut shapes: Vec<(&str, Vec<u64>)> = vec![
            ("attn_norm.weight", vec![n_embd]),
            ("attn_q.weight", vec![n_embd, n_embd]),
            ("attn_k.weight", vec![n_embd, HEAD]),
            ("attn_v.weight", vec![n_embd, HEAD]),
            ("attn_output.weight", vec![n_embd, n_embd]),
            ("ffn_norm.weight", vec![n_embd]),
            ("ffn_gate.weight", vec![n_embd, n_embd * 2]),
            ("ffn_down.weight", vec![n_embd * 2, n_embd]),
            ("ffn_up.weight", vec![n_embd, n_embd * 2]),
        ];
        if family.has_bias {
            shapes.extend([
                ("attn_q.bias", vec![n_embd]),
                ("attn_k.bias", vec![HEAD]),
                ("attn_v.bias", vec![HEAD]),
            ]);
        }
        if family.has_qk_norm {
            shapes.extend([("attn_q_norm.weight", vec![HEAD]), ("attn_k_norm.weight", vec![HEAD])]);
        }
        if family.has_post_norm {
            shapes.extend([
                ("post_attention_norm.weight", vec![n_embd]),
                ("post_ffw_norm.weight", vec![n_embd]),
            ]);
        }
        all.extend(shapes.into_iter().map(|(name, dims)| one(format!("blk.{layer}.{name}"), &dims)));
    }
    all
}
