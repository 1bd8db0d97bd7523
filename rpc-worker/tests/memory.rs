//! What a plan reckons that a model takes is what it takes, whole and as a stage: no less, and little more.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

mod common;

use common::Worker;
use common::models::Folder;
use common::models::families::{ALL, Family, model};
use serde_json::{Value, json};
use std::path::Path;

const N_LAYERS: u64 = 40;
/// Long enough that caches are most of it: 64 numbers of a layer as Q8_0.
const CONTEXT: u32 = 8192;
const LAYER_CACHE: u64 = 2 * CONTEXT as u64 * 68;
/// What a short conversation does not touch of what is reckoned for a long one, beside a tenth.
const SPARE: u64 = 16 << 20;

fn file() -> Vec<u8> {
    model(&Family { n_layers: N_LAYERS, n_ctx: 1 << 17, ..ALL[0] })
}

/// All conversations are spoken in, so that everything is touched that always is.
fn talk(worker: &Worker) {
    let messages = json!([{"role": "user", "content": "the cat sat on the mat. ".repeat(40)}]);
    let body = json!({"model": "e", "messages": messages, "max_tokens": 4, "temperature": 0});
    for _ in 0..2 {
        worker.answered(&body);
    }
}

#[track_caller]
fn check(what: &str, reckoned: &Value, taken: &Value, cache: u64) {
    let (reckoned, taken) = (reckoned.as_u64().unwrap(), taken.as_u64().unwrap());
    println!("{what}: {} KiB are reckoned, {} KiB taken", reckoned >> 10, taken >> 10);
    assert!(taken > cache, "{what}: a cache of {cache} bytes is made at once, and {taken} are taken");
    assert!(taken <= reckoned, "{what}: {taken} bytes are taken, {reckoned} reckoned");
    assert!(reckoned - taken <= taken / 10 + SPARE, "{what}: {taken} bytes are taken, {reckoned} reckoned");
}

#[test]
fn a_whole_model_takes_what_is_reckoned() {
    let folder = Folder::new("memory-whole");
    let path = folder.file("m.gguf", &file());
    let worker = Worker::expert(&folder, &path, &format!("context = {CONTEXT}\nslots = 2\n"));
    talk(&worker);
    let health = worker.health();
    let expert = &health["experts"][0];
    // The file is mapped, and takes its memory where it lies.
    let beside = expert["bytes"].as_u64().unwrap() - expert["weight_bytes"].as_u64().unwrap();
    check("whole", &json!(beside), &health["holds"]["taken_bytes"], N_LAYERS * LAYER_CACHE);
}

/// As many positions as an expert may ask for, and the beginning that all share beside them.
#[test]
fn a_whole_model_of_the_most_positions_is_held() {
    let folder = Folder::new("memory-most");
    let path = folder.file("m.gguf", &model(&Family { n_layers: 2, n_ctx: 1 << 17, ..ALL[0] }));
    let worker = Worker::expert(&folder, &path, &format!("context = {}\n", split::expert::CONTEXT_MAX));
    assert_eq!(worker.health()["experts"][0]["context"], split::expert::CONTEXT_MAX);
}

#[test]
fn a_model_is_held_for_no_more_positions_than_it_was_trained_for() {
    let folder = Folder::new("memory-trained");
    let path = folder.file("m.gguf", &model(&ALL[0]));
    let worker = Worker::expert(&folder, &path, "context = 65536\nslots = 2\n");
    let expert = &worker.health()["experts"][0];
    assert_eq!(expert["context"], ALL[0].n_ctx);
    assert!(expert["bytes"].as_u64().unwrap() < 16 << 20, "{expert}");
}

fn address(idx: u32) -> String {
    let pid = std::process::id();
    format!("127.{}.{}.{}:50052", pid % 250 + 1, pid / 250 % 200 + 30, 80 + idx)
}

/// One of the two stages, on a node that has the whole model and cuts its own slice.
fn node(folder: &Path, idx: u32) -> Worker {
    let folder = folder.join(idx.to_string());
    std::fs::create_dir_all(folder.join("models")).unwrap();
    std::fs::create_dir_all(folder.join("agent")).unwrap();
    std::fs::write(folder.join("models/m.gguf"), file()).unwrap();
    let half = N_LAYERS as u32 / 2;
    let expert =
        json!({"name": "e", "model": "m.gguf", "quantisation": "F32", "context": CONTEXT, "slots": 2});
    let stage = json!({
        "given": {"expert": expert, "persona": ""},
        "first": idx * half,
        "last": (idx + 1) * half,
        "of": N_LAYERS,
        "stage_idx": idx,
        "n_stages": 2,
        "slice": split::assign::slice_file("m.gguf", idx * half, (idx + 1) * half),
        "previous": address(1 - idx),
        "next": address(1 - idx),
        "key": "a".repeat(32),
    });
    let (assignment, models) = (folder.join("agent/assignment.json"), folder.join("models"));
    let text = json!({"generation": 1, "build": "", "experts": [], "stages": [stage]}).to_string();
    std::fs::write(&assignment, text).unwrap();
    let words = ["--models", models.to_str().unwrap(), "--assignment", assignment.to_str().unwrap()];
    Worker::start(&folder, &[&words[..], &["--stages", &address(idx)]].concat())
}

#[test]
fn a_stage_takes_what_is_reckoned_with_the_file_that_it_cuts() {
    let folder = Folder::in_memory("memory-ring");
    let mut nodes = [1, 0].map(|idx| node(&folder.0, idx));
    nodes[0].hear("is ready");
    nodes[1].hear("the ring is closed");
    talk(&nodes[1]);
    for (what, node) in ["last", "first"].into_iter().zip(&nodes) {
        let health = node.health();
        let reckoned = &health["stages"][0]["bytes"];
        check(what, reckoned, &health["holds"]["taken_bytes"], N_LAYERS / 2 * LAYER_CACHE);
    }
}
