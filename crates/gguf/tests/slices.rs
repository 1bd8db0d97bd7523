//! Slices hold the right tensors, small ones where nothing is used, and models that must not be cut are refused.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use gguf::{Array, Gguf, Kind, NewTensor, Value, Writer, even_cuts};
use std::io::Cursor;

const N_LAYERS: u64 = 5;
const N_EMBD: u64 = 128;

fn meta(arch: &str) -> Vec<(String, Value)> {
    let tokens: Vec<String> = (0..=255).map(|byte| format!("<0x{byte:02X}>")).collect();
    let tokens = ["<unk>", "<s>", "</s>"].into_iter().chain(tokens.iter().map(String::as_str));
    let more = ["x", "y", "z"];
    let key = |key: &str| format!("{arch}.{key}");
    vec![
        ("general.architecture".to_owned(), Value::Text(arch.to_owned())),
        (key("block_count"), Value::U32(N_LAYERS as u32)),
        (key("embedding_length"), Value::U32(N_EMBD as u32)),
        (key("context_length"), Value::U32(512)),
        (key("attention.head_count"), Value::U32(4)),
        (key("feed_forward_length"), Value::Array(Array::U32(vec![10, 11, 12, 13, 14]))),
        ("tokenizer.ggml.model".to_owned(), Value::Text("llama".to_owned())),
        ("tokenizer.ggml.tokens".to_owned(), Value::Array(Array::Text(tokens.chain(more).collect()))),
        ("tokenizer.chat_template".to_owned(), Value::Text("{{ x }}".to_owned())),
    ]
}

/// Every byte of a tensor is its number.
fn file(meta: &[(String, Value)], has_head: bool) -> Vec<u8> {
    let one =
        |name: &str, dims: &[u64]| NewTensor { name: name.to_owned(), kind: Kind::F32, dims: dims.to_vec() };
    let mut tensors = vec![one("token_embd.weight", &[N_EMBD, 262]), one("output_norm.weight", &[N_EMBD])];
    tensors
        .extend((0..N_LAYERS).map(|layer| one(&format!("blk.{layer}.ffn_up.weight"), &[N_EMBD, 10 + layer])));
    if has_head {
        tensors.push(one("output.weight", &[N_EMBD, 262]));
    }
    let meta: Vec<(&str, Value)> = meta.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
    let mut writer = Writer::new(Vec::new(), &meta, &tensors).unwrap();
    for (idx, tensor) in tensors.iter().enumerate() {
        writer.write(&vec![idx as u8 + 1; tensor.dims.iter().product::<u64>() as usize * 4]).unwrap();
    }
    writer.finish().unwrap()
}

fn read(bytes: &[u8]) -> Gguf {
    Gguf::read(&mut &bytes[..], bytes.len() as u64).unwrap()
}

fn slice(whole: &[u8], layers: std::ops::Range<u64>) -> Result<Vec<u8>, gguf::Error> {
    let head = read(whole);
    let bytes = head.write_slice(layers.clone(), &mut Cursor::new(whole), Vec::new())?;
    assert_eq!(head.slice_bytes(layers), Ok(read(&bytes).weight_bytes()));
    gguf::check_model(&read(&bytes)).unwrap();
    Ok(bytes)
}

/// Tensors of a slice: name, type, and its first byte.
fn check(whole: &[u8], layers: std::ops::Range<u64>, want: &str) {
    let bytes = slice(whole, layers.clone()).unwrap();
    let head = read(&bytes);
    let told: Vec<String> = head
        .tensors
        .iter()
        .map(|t| format!("{} {} {}", t.name, t.kind, bytes[(head.data_at + t.offset) as usize]))
        .collect();
    assert_eq!(told.join(", "), want);
    let says = head.slice_of().unwrap().unwrap();
    assert_eq!((says.layers.clone(), says.of), (layers.clone(), N_LAYERS));
    let n = (10..15).skip(layers.start as usize).take((layers.end - layers.start) as usize).collect();
    assert_eq!(head.array("llama.feed_forward_length"), Some(&Array::U32(n)));
}

#[test]
fn a_slice_keeps_its_layers_and_what_it_uses() {
    let whole = file(&meta("llama"), true);
    check(
        &whole,
        0..2,
        "token_embd.weight f32 1, output_norm.weight f32 2, blk.0.ffn_up.weight f32 3, blk.1.ffn_up.weight f32 4",
    );
    check(&whole, 2..3, "token_embd.weight q1_0 0, output_norm.weight f32 2, blk.0.ffn_up.weight f32 5");
    check(
        &whole,
        4..5,
        "token_embd.weight q1_0 0, output_norm.weight f32 2, blk.0.ffn_up.weight f32 7, output.weight f32 8",
    );
    // Without a head of its own the embedding is the head.
    let tied = file(&meta("llama"), false);
    check(&tied, 4..5, "token_embd.weight f32 1, output_norm.weight f32 2, blk.0.ffn_up.weight f32 7");
}

#[test]
fn only_a_slice_in_the_middle_has_another_vocabulary() {
    let whole = file(&meta("llama"), false);
    let n_tokens = |layers| {
        let head = read(&slice(&whole, layers).unwrap());
        (head.texts("tokenizer.ggml.tokens").unwrap().len(), head.text("tokenizer.chat_template").is_some())
    };
    assert_eq!([n_tokens(0..1), n_tokens(1..4), n_tokens(4..5)], [(262, true), (259, false), (262, true)]);
}

#[test]
fn slices_know_which_model_they_are_of() {
    let (whole, other) = (file(&meta("llama"), false), file(&meta("llama"), true));
    let model =
        |whole: &[u8], layers| read(&slice(whole, layers).unwrap()).slice_of().unwrap().unwrap().model;
    assert_eq!(model(&whole, 0..1), model(&whole, 3..5));
    assert_ne!(model(&whole, 0..1), model(&other, 0..1));
    assert_eq!(read(&whole).slice_of(), Ok(None));
}

/// Why a model cannot be cut so.
#[track_caller]
fn check_refused(meta: &[(String, Value)], layers: std::ops::Range<u64>, want: &str) {
    let said = slice(&file(meta, false), layers).unwrap_err().to_string();
    assert!(said.contains(want), "{said:?} does not say {want:?}");
}

#[test]
fn models_that_would_compute_something_else_are_refused() {
    let with = |arch: &str, key: &str, value: Value| {
        let mut meta = meta(arch);
        meta.push((format!("{arch}.{key}"), value));
        meta
    };
    check_refused(&meta("granite"), 0..2, "granite multiplies what comes in by embedding_scale");
    check_refused(&meta("gemma3n"), 0..2, "vectors of the tokens");
    check_refused(&meta("mamba"), 0..2, "mamba is not tried in slices");
    check_refused(&with("llama", "embedding_scale", Value::F32(12.0)), 0..2, "embedding_scale");
    check_refused(&with("qwen3", "nextn_predict_layers", Value::U32(1)), 0..2, "predict further tokens");
    let strange = Value::Array(Array::U32(vec![1; N_LAYERS as usize]));
    check_refused(&with("llama", "strange", strange), 0..2, "strange has 5 values");
    check_refused(&meta("llama"), 2..2, "layers 2..2 are not within its 5");
    check_refused(&meta("llama"), 2..6, "layers 2..6 are not within its 5");
    check_refused(&meta("smollm3"), 0..3, "smollm3 is cut only before each layer that 4 divides");
    let mut cut = meta("llama");
    cut.push(("duet.slice.model".to_owned(), Value::Text("00".repeat(16))));
    check_refused(&cut, 0..2, "a slice already");
}

#[test]
fn layers_that_see_only_what_is_near_keep_their_kind() {
    let pattern = |layers| {
        let mut meta = meta("gemma2");
        meta.push(("gemma2.attention.sliding_window".to_owned(), Value::U32(4096)));
        let head = read(&slice(&file(&meta, false), layers).unwrap());
        head.array("gemma2.attention.sliding_window_pattern").unwrap().clone()
    };
    assert_eq!(pattern(0..2), Array::Bool(vec![true, false]));
    assert_eq!(pattern(1..4), Array::Bool(vec![false, true, false]));
}

#[test]
fn even_cuts_cover_every_layer_once_and_begin_where_they_may() {
    for (n, step, stages) in [(7, 1, 2), (7, 1, 3), (30, 1, 4), (10, 4, 3), (36, 4, 5), (1, 1, 1)] {
        let cuts = even_cuts(n, step, stages).unwrap();
        assert_eq!((cuts.len() as u64, cuts[0].start, cuts.last().unwrap().end), (stages, 0, n));
        assert!(cuts.windows(2).all(|two| two[0].end == two[1].start), "{cuts:?}");
        assert!(cuts.iter().all(|cut| cut.start < cut.end && cut.start % step == 0), "{cuts:?}");
    }
    assert!(even_cuts(10, 4, 4).is_err() && even_cuts(7, 1, 8).is_err() && even_cuts(7, 1, 0).is_err());
}

#[test]
fn a_slice_file_appears_whole_sealed_or_not_at_all() {
    let folder =
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("slice-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (from, to) = (folder.join("whole.gguf"), folder.join("slice.gguf"));
    std::fs::write(&from, file(&meta("llama"), true)).unwrap();
    assert!(gguf::write_slice_file(&from, 3..9, &to).is_err());
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "something is left of a failed attempt");
    let n = gguf::write_slice_file(&from, 1..3, &to).unwrap();
    assert_eq!(std::fs::metadata(&to).unwrap().len(), n);
    assert_eq!(gguf::check_slice_file(&to).unwrap().slice_of().unwrap().unwrap().layers, 1..3);
    let mut bytes = std::fs::read(&to).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 4;
    std::fs::write(&to, bytes).unwrap();
    assert!(matches!(gguf::check_slice_file(&to), Err(gguf::Error::Seal { .. })));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_slice_is_made_of_its_places_alone_where_the_model_is_known() {
    let folder =
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("places-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let whole = file(&meta("llama"), true);
    let head = read(&whole);
    let id = head.model_id(&mut Cursor::new(&whole)).unwrap();
    for layers in [0..1, 1..2, 2..N_LAYERS] {
        let mut holed = vec![0; whole.len()];
        for place in head.slice_places(layers.clone()).unwrap() {
            let place = place.start as usize..place.end as usize;
            holed[place.clone()].copy_from_slice(&whole[place]);
        }
        assert_ne!(holed, whole, "all of it was needed");
        let (from, to) = (folder.join("holed.gguf"), folder.join("slice.gguf"));
        std::fs::write(&from, &holed).unwrap();
        gguf::write_slice_file_of(id, &from, layers.clone(), &to).unwrap();
        let of_holed = std::fs::read(&to).unwrap();
        std::fs::write(&from, &whole).unwrap();
        gguf::write_slice_file(&from, layers.clone(), &to).unwrap();
        assert_eq!(of_holed, std::fs::read(&to).unwrap(), "{layers:?}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}
