//! An expert that is cut over three nodes answers like one that is whole, and follows its assignment.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

mod common;

use common::Worker;
use common::models::Folder;
use common::models::families::{ALL, model};
use serde_json::{Value, json};
use std::path::Path;

const CUTS: [u64; 4] = [0, 2, 5, 7];

/// An address of loopback that no other run has.
fn address(idx: usize) -> String {
    let pid = std::process::id();
    format!("127.{}.{}.{}:50052", pid % 250 + 1, pid / 250 % 200 + 30, idx + 1)
}

fn given(name: &str) -> Value {
    json!({"expert": {"name": name, "model": "m.gguf", "quantisation": "F32", "context": 256, "slots": 2}, "persona": ""})
}

fn stage(idx: usize) -> Value {
    let (first, last) = (CUTS[idx], CUTS[idx + 1]);
    json!({
        "given": given("cut"),
        "first": first,
        "last": last,
        "of": 7,
        "stage_idx": idx,
        "n_stages": 3,
        "slice": split::assign::slice_file("m.gguf", first as u32, last as u32),
        "previous": address((idx + 2) % 3),
        "next": address((idx + 1) % 3),
        "key": "0".repeat(32),
    })
}

/// A node with the whole model in its folder, which cuts its own slice.
fn node(folder: &Path, idx: usize, experts: &[Value]) -> Worker {
    let folder = folder.join(idx.to_string());
    std::fs::create_dir_all(folder.join("models")).unwrap();
    std::fs::create_dir_all(folder.join("agent")).unwrap();
    std::fs::write(folder.join("models/m.gguf"), model(&ALL[0])).unwrap();
    let file = folder.join("agent/assignment.json");
    let text = json!({"generation": 1, "build": "", "experts": experts, "stages": [stage(idx)]}).to_string();
    std::fs::write(&file, text).unwrap();
    let models = folder.join("models");
    let (file, models) = (file.to_str().unwrap(), models.to_str().unwrap());
    Worker::start(&folder, &["--models", models, "--assignment", file, "--stages", &address(idx)])
}

#[test]
fn an_expert_over_three_nodes_answers_like_a_whole_one() {
    let folder = Folder::new("ring-served");
    let mut others = [node(&folder.0, 1, &[]), node(&folder.0, 2, &[])];
    others.iter_mut().for_each(|other| drop(other.hear("is ready")));
    let mut head = node(&folder.0, 0, &[given("whole")]);
    // In whatever order.
    let mut told = String::new();
    while !["cut is served", "whole is served", "the ring is closed"].iter().all(|words| told.contains(words))
    {
        told += &head.hear("rpc-worker: ");
    }
    let ask = |name: &str| {
        let messages = json!([{"role": "user", "content": "the cat sat on the mat"}]);
        let body = json!({"model": name, "messages": messages, "max_tokens": 24, "temperature": 0});
        let answer = head.chat(body);
        assert_eq!(answer.status, 200, "{}", answer.text);
        let answer = answer.json();
        assert_eq!(answer["usage"]["completion_tokens"], 24, "{answer}");
        answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
    };
    let (cut, whole) = (ask("cut"), ask("whole"));
    assert_eq!(cut, whole);
    // A grammar and logarithms travel to the last stage.
    let messages = json!([{"role": "user", "content": "yes or no?"}]);
    let schema = json!({"type": "object", "properties": {"yes": {"type": "boolean"}}, "required": ["yes"], "additionalProperties": false});
    let format = json!({"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}});
    let body = json!({"model": "cut", "messages": messages, "max_tokens": 60, "temperature": 0, "response_format": format, "logprobs": true, "top_logprobs": 2});
    let answer = head.chat(body).json();
    let content: Value =
        serde_json::from_str(answer["choices"][0]["message"]["content"].as_str().unwrap()).unwrap();
    assert!(content["yes"].is_boolean(), "{answer}");
    let first = &answer["choices"][0]["logprobs"]["content"][0];
    assert_eq!(first["top_logprobs"].as_array().unwrap().len(), 2, "{answer}");
    // Without a stage the client is told at once, so that another copy may answer.
    drop(others);
    let body = json!({"model": "cut", "messages": [{"role": "user", "content": "x"}], "max_tokens": 4});
    let (status, _, _) = head.chat(body).error();
    assert_eq!(status, 503);
}
