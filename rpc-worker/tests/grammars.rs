//! Grammars made from schemas, in the hands of llama.cpp: it reads each of them, and writes what we would take.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

#[path = "../../crates/prompt/tests/support/mod.rs"]
#[allow(dead_code)]
mod support;
#[path = "../../crates/engine/tests/common/tiny.rs"]
mod tiny;

use engine::{Context, Load, Model, Sampler, Sampling, Settings, Token};
use prompt::gbnf::Matcher;
use prompt::{Grammar, Json, schema_grammar};
use std::path::Path;
use std::sync::Arc;
use support::{Dice, schema, valid};

const SEED: u64 = 0x00d0_e70c;
const SCHEMAS: u64 = 600;
/// Bytes that are written under one grammar; a token of this model is about one byte.
const TOKENS: u32 = 120;
/// Of the random texts, at least so many must come to their end, or the test says too little.
const WHOLE_LEAST: u32 = 150;

fn model() -> Arc<Model> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("grammars-{}.gguf", std::process::id()));
    std::fs::write(&path, tiny::model("llama")).unwrap();
    let model = Model::load(&path, Load::default()).unwrap();
    std::fs::remove_file(&path).unwrap();
    Arc::new(model)
}

/// What llama.cpp writes by dice under a grammar, and whether it came to the end.
/// Its grammars count bytes as characters without asking whether they are the shortest form, so dice over single bytes
/// may write what is no UTF-8; the text ends there.
fn write(model: &Arc<Model>, context: &mut Context, how: &Sampling) -> Result<(String, bool), engine::Error> {
    let mut sampler = Sampler::new(Arc::clone(model), how)?;
    context.forget(0, 0);
    let (mut token, mut bytes): (Token, Vec<u8>) = (1, Vec::new());
    for at in 0..TOKENS {
        context.evaluate(&[token], 0, at)?;
        token = sampler.sample(context)?;
        if model.ends(token) {
            let is_text = std::str::from_utf8(&bytes).is_ok();
            return Ok((text_of(&bytes), is_text));
        }
        bytes.extend(model.piece(token, false)?);
    }
    Ok((text_of(&bytes), false))
}

fn text_of(bytes: &[u8]) -> String {
    bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid()).to_owned()
}

#[test]
fn what_llama_writes_under_a_schemas_grammar_is_valid() {
    let model = model();
    let settings = Settings { n_ctx: TOKENS, n_batch: 16, ..Settings::default() };
    let mut context = Context::new(Arc::clone(&model), settings).unwrap();
    let mut n_whole = 0;
    for round in 0..SCHEMAS {
        let schema = schema(&mut Dice::new(SEED + round), 3);
        let grammar = schema_grammar(&schema).unwrap();
        let said = format!("round {round} of seed {SEED:#x}: {schema}\n{grammar}");
        let how = Sampling {
            grammar: Some(grammar.clone()),
            temperature: 1.0,
            seed: round as u32,
            ..Sampling::default()
        };
        let (text, is_whole) =
            write(&model, &mut context, &how).unwrap_or_else(|error| panic!("{said}\n{error}"));
        let parsed = Grammar::parse(&grammar).unwrap();
        let mut matcher = Matcher::new(&parsed);
        assert!(text.chars().all(|c| matcher.push(c)), "we refuse what llama.cpp took: {said}\n{text}");
        if is_whole {
            n_whole += 1;
            assert!(matcher.is_done(), "llama.cpp ended too early: {said}\n{text}");
            assert!(valid(&schema, &Json::parse(&text).unwrap()), "{said}\n{text}");
        }
    }
    println!("{n_whole} of {SCHEMAS} texts came to their end");
    assert!(n_whole >= WHOLE_LEAST, "only {n_whole} texts came to their end");
}
