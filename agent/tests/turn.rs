//! Whole turns of the program itself, from a question that it speaks to the answer that it plays; without the model that
//! hears (`DUET_MODELS_DATA`) one plain line says that nothing was tried.

#![cfg(all(feature = "hear", feature = "speak"))]
#![allow(clippy::unwrap_used)] // a test may fail

use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "../../tests/src/skip.rs"]
mod skip;

fn model(test: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/models-data");
    let folder = std::env::var_os("DUET_MODELS_DATA").map_or(beside, PathBuf::from);
    let model = folder.join("stt/whisper-tiny.en-relearned-q8_0.bin");
    if model.is_file() {
        return Some(model);
    }
    skip::skip(test, "no model that hears in DUET_MODELS_DATA");
    None
}

fn agent(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_agent")).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A question is spoken by the agent's own voice, and asked in a turn.
fn turn(name: &str, question: &str, more: &[&str]) -> Option<serde_json::Value> {
    let model = model(name)?;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = |end: &str| folder.join(format!("{name}-{end}")).display().to_string();
    let (asked, answered) = (path("ask.wav"), path("answer.wav"));
    agent(&["say", question, "--out", &asked]);
    let model = model.display().to_string();
    let args = ["turn", "--wav", &asked, "--model", &model, "--out", &answered, "--json"];
    let report = agent(&[&args[..], more].concat());
    let played = std::fs::read(&answered).unwrap();
    // Louder than an earcon's end, for longer than all earcons together.
    let n_loud =
        played[44..].chunks_exact(2).filter(|two| i16::from_le_bytes([two[0], two[1]]).abs() > 500).count();
    assert!(n_loud > 20_000, "{n_loud} samples of {} sound", played.len() / 2);
    Some(serde_json::from_str(&report).unwrap())
}

#[test]
fn a_spoken_question_is_heard_answered_and_played() {
    let Some(report) = turn("intent", "What time is it?", &[]) else { return };
    assert_eq!(report["said"], "What time is it?");
    assert_eq!(report["answer"], "My clock is not set, so I do not know.");
    assert_eq!(report["trace"]["by"][0], "intent time");
    assert_eq!(report["trace"]["outcome"], "answered");
    // It was heard once, while the key was still held.
    assert_eq!((&report["trace"]["is_guessed"], &report["hear"]["n"]), (&true.into(), &1.into()));
}

#[test]
fn without_a_guess_it_hears_when_the_key_comes_up() {
    let Some(report) = turn("plain", "What time is it?", &["--no-guess"]) else { return };
    assert_eq!((&report["trace"]["is_guessed"], &report["hear"]["n"]), (&false.into(), &1.into()));
    assert_eq!(report["said"], "What time is it?");
}

#[test]
fn what_no_model_answers_is_told_aloud() {
    let args = ["--said", "Tell me a story.", "--llm-url", "http://127.0.0.1:1"];
    let Some(report) = turn("alone", "Tell me a story.", &args) else { return };
    let answer = report["answer"].as_str().unwrap();
    assert!(answer.starts_with("I cannot reach a model: "), "{answer}");
}
