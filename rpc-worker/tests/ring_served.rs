//! An expert that is cut over three nodes answers like one that is whole, and follows its assignment.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

mod common;

use common::models::Folder;
use common::models::families::{ALL, model};
use common::{Opened, Worker};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

const CUTS: [u64; 4] = [0, 2, 5, 7];

/// An address of loopback that no other run has, and no other test.
fn address(test: usize, idx: usize) -> String {
    let pid = std::process::id();
    format!("127.{}.{}.{}:50052", pid % 250 + 1, pid / 250 % 200 + 30, test * 10 + idx + 1)
}

fn given(name: &str) -> Value {
    json!({"expert": {"name": name, "model": "m.gguf", "quantisation": "F32", "context": 256, "slots": 2}, "persona": ""})
}

/// A stage of the ring with this digit for a key, whose next one is at the address of this number.
fn stage(test: usize, idx: usize, key: &str, next: usize) -> Value {
    stage_of("cut", test, idx, key, next)
}

fn stage_of(name: &str, test: usize, idx: usize, key: &str, next: usize) -> Value {
    let (first, last) = (CUTS[idx], CUTS[idx + 1]);
    json!({
        "given": given(name),
        "first": first,
        "last": last,
        "of": 7,
        "stage_idx": idx,
        "n_stages": 3,
        "slice": split::assign::slice_file("m.gguf", first as u32, last as u32),
        "previous": address(test, (idx + 2) % 3),
        "next": address(test, next),
        "key": key.repeat(32),
    })
}

/// As the agent does it: whole, then renamed.
fn assign(folder: &Path, generation: u64, experts: &[Value], stages: &[Value]) {
    let assignment = json!({"generation": generation, "build": "", "experts": experts, "stages": stages});
    let part = folder.join("agent/assignment.part");
    std::fs::write(&part, assignment.to_string()).unwrap();
    std::fs::rename(part, folder.join("agent/assignment.json")).unwrap();
}

fn folder_of(folder: &Path, at: usize) -> PathBuf {
    folder.join(at.to_string())
}

/// A node at the address of this number, with this assignment and no model yet.
fn empty(folder: &Path, test: usize, at: usize, experts: &[Value], stages: &[Value]) -> Worker {
    let folder = folder_of(folder, at);
    std::fs::create_dir_all(folder.join("models")).unwrap();
    std::fs::create_dir_all(folder.join("agent")).unwrap();
    assign(&folder, 1, experts, stages);
    let (file, models) = (folder.join("agent/assignment.json"), folder.join("models"));
    let (file, models) = (file.to_str().unwrap(), models.to_str().unwrap());
    Worker::start(&folder, &["--models", models, "--assignment", file, "--stages", &address(test, at)])
}

/// The whole model in a node's folder, from which it cuts its own slice.
fn put_model(folder: &Path, at: usize) {
    let models = folder_of(folder, at).join("models");
    std::fs::create_dir_all(&models).unwrap();
    std::fs::write(models.join("m.part"), model(&ALL[0])).unwrap();
    std::fs::rename(models.join("m.part"), models.join("m.gguf")).unwrap();
}

fn node(folder: &Path, test: usize, at: usize, experts: &[Value], stages: &[Value]) -> Worker {
    put_model(folder, at);
    empty(folder, test, at, experts, stages)
}

#[test]
fn an_expert_over_three_nodes_answers_like_a_whole_one() {
    let folder = Folder::new("ring-served");
    let mut others = [1, 2].map(|idx| node(&folder.0, 0, idx, &[], &[stage(0, idx, "a", (idx + 1) % 3)]));
    others.iter_mut().for_each(|other| drop(other.hear("is ready")));
    let mut head = node(&folder.0, 0, 0, &[given("whole")], &[stage(0, 0, "a", 1)]);
    // In whatever order.
    let mut told = String::new();
    while !["cut is served", "whole is served", "the ring is closed"].iter().all(|words| told.contains(words))
    {
        told += &head.hear("rpc-worker: ");
    }
    let ask = |name: &str| {
        let messages = json!([{"role": "user", "content": "the cat sat on the mat"}]);
        let body = json!({"model": name, "messages": messages, "max_tokens": 24, "temperature": 0});
        let answer = head.answered(&body).json();
        assert_eq!(answer["usage"]["completion_tokens"], 24, "{answer}");
        answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
    };
    let (cut, whole) = (ask("cut"), ask("whole"));
    assert_eq!(cut, whole);
    // A grammar and logarithms travel to the last stage.
    let messages = json!([{"role": "user", "content": "yes or no?"}]);
    let schema = json!({"type": "object", "properties": {"yes": {"type": "boolean"}}, "required": ["yes"], "additionalProperties": false});
    let format = json!({"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}});
    let ask_for = |format: &Value| json!({"model": "cut", "messages": messages, "max_tokens": 60, "temperature": 0, "response_format": format, "logprobs": true, "top_logprobs": 2});
    let answer = head.chat(ask_for(&format)).json();
    let content: Value =
        serde_json::from_str(answer["choices"][0]["message"]["content"].as_str().unwrap()).unwrap();
    assert!(content["yes"].is_boolean(), "{answer}");
    let first = &answer["choices"][0]["logprobs"]["content"][0];
    assert_eq!(first["top_logprobs"].as_array().unwrap().len(), 2, "{answer}");
    // An answer of a promised form that another copy began goes on.
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
    let mut body = ask_for(&format);
    body["stream"] = json!(true);
    let told =
        head.open_with("POST", "/v1/chat/completions", "x-duet: tokens\r\n", &body.to_string()).whole();
    let (shown, tokens) = begun(&told.text, 4);
    assert!(shown.len() > 2 && text.starts_with(&shown) && text != shown, "{shown:?} of {text:?}");
    body["duet"] = json!({"continue": {"shown": shown, "tokens": tokens}});
    assert_eq!(format!("{shown}{}", head.chat(body).said()), text);
    // What is here of the ring is told.
    let health = head.health();
    let (part, holds) = (&health["stages"][0], &health["holds"]);
    assert_eq!((&part["is_connected"], &part["state"]), (&json!(true), &json!("ready")), "{health}");
    let held = &holds["stages"][0];
    assert_eq!(
        [&held["model"], &held["first"], &held["last"], &held["of"]],
        [&json!("m.gguf"), &json!(0), &json!(2), &json!(7)]
    );
    let cut = holds["experts"].as_array().unwrap().iter().find(|held| held["name"] == "cut").unwrap();
    assert_eq!((&cut["model"], &cut["state"]), (&json!("m.layers-0-2.gguf"), &json!("ready")));
    let other = others[1].health();
    assert_eq!(
        (&other["stages"][0]["stage_idx"], &other["holds"]["stages"][0]["last"]),
        (&json!(2), &json!(7))
    );
    // Without a stage the client is told at once, so that another copy may answer.
    drop(others);
    let body = json!({"model": "cut", "messages": [{"role": "user", "content": "x"}], "max_tokens": 4});
    let (status, _, _) = head.chat(body).error();
    assert_eq!(status, 503);
    // And the agent, whom it could not reach, so that placement doubts it.
    head.hear("cannot be reached");
    let holds = &head.health()["holds"];
    assert_eq!(holds["doubts"], json!([{"name": "cut", "address": address(0, 1)}]));
    let cut = holds["experts"].as_array().unwrap().iter().find(|held| held["name"] == "cut").unwrap();
    assert_eq!(cut["state"], "loading", "{holds}");
}

#[test]
fn a_slice_of_an_older_plan_goes_and_what_cannot_be_cut_again_stays() {
    let folder = Folder::new("ring-swept");
    let mut worker = node(&folder.0, 2, 1, &[], &[stage(2, 1, "a", 2)]);
    worker.hear("is ready");
    let models = folder_of(&folder.0, 1).join("models");
    let (own, others) = (models.join("m.layers-2-5.gguf"), models.join("n.layers-2-5.gguf"));
    std::fs::copy(&own, &others).unwrap();
    // A model that only bears the name of a slice.
    let named = models.join("m.layers-0-7.gguf");
    std::fs::copy(models.join("m.gguf"), &named).unwrap();
    assign(&folder_of(&folder.0, 1), 2, &[], &[]);
    worker.hear("m.layers-2-5.gguf is in no plan any more");
    assert!(!own.exists() && others.exists() && named.exists() && models.join("m.gguf").exists());
}

/// Text and tokens of the first events of a stream that tells them.
fn begun(stream: &str, n: usize) -> (String, Vec<i32>) {
    let (mut shown, mut tokens, mut left) = (String::new(), Vec::new(), n);
    for line in stream.lines() {
        if let Some(told) = line.strip_prefix(": tokens ") {
            if left == 0 {
                break;
            }
            left -= 1;
            tokens.extend(told.split(' ').map(|token| token.parse::<i32>().unwrap()));
        } else if let Some(data) = line.strip_prefix("data: ") {
            let event: Value = serde_json::from_str(data).unwrap();
            shown += event["choices"][0]["delta"]["content"].as_str().unwrap_or_default();
        }
    }
    (shown, tokens)
}

/// All words of a stream, from here on.
fn words(stream: &mut Opened) -> String {
    let events = std::iter::from_fn(|| stream.event()).take_while(|data| data != "[DONE]");
    let word = |data: String| {
        let event: Value = serde_json::from_str(&data).unwrap();
        assert!(event["error"].is_null(), "{event}");
        event["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned()
    };
    events.map(word).collect()
}

fn signal(worker: &Worker, name: &str) {
    let done = Command::new("kill").args([&format!("-{name}"), &worker.pid().to_string()]).status().unwrap();
    assert!(done.success());
}

#[test]
fn an_answer_goes_on_over_a_ring_that_a_new_assignment_made() {
    let folder = Folder::new("ring-remade");
    let folder = &folder.0;
    let old = |idx| stage(1, idx, "a", (idx + 1) % 3);
    let mut others = [1, 2].map(|idx| node(folder, 1, idx, &[], &[old(idx)]));
    // It is to take the place of the first of them.
    let mut spare = node(folder, 1, 3, &[], &[stage(1, 1, "b", 2)]);
    others.iter_mut().chain([&mut spare]).for_each(|other| drop(other.hear("is ready")));
    let mut head = node(folder, 1, 0, &[], &[old(0)]);
    head.hear("cut is served");
    let messages = json!([{"role": "user", "content": "the cat sat on the mat"}]);
    let body = json!({"model": "cut", "messages": messages, "max_tokens": 180, "temperature": 1.5, "seed": 5, "stream": true});
    let undisturbed = words(&mut head.open("POST", "/v1/chat/completions", &body.to_string()));
    let mut stream = head.open("POST", "/v1/chat/completions", &body.to_string());
    let mut said = String::new();
    for _ in 0..5 {
        let event: Value = serde_json::from_str(&stream.event().unwrap()).unwrap();
        said += event["choices"][0]["delta"]["content"].as_str().unwrap_or_default();
    }
    // Nothing is said while it happens.
    signal(&others[1], "STOP");
    assign(&folder_of(folder, 2), 2, &[], &[stage(1, 2, "b", 0)]);
    assign(&folder_of(folder, 0), 2, &[], &[stage(1, 0, "b", 3)]);
    head.hear("the ring is made anew");
    signal(&others[1], "CONT");
    said += &words(&mut stream);
    assert_eq!(said, undisturbed);
    assert!(undisturbed.len() > 100, "too short to be disturbed: {undisturbed:?}");
    let health = head.health();
    assert_eq!(health["stages"][0]["next"], address(1, 3), "{health}");
    assert_eq!(health["holds"]["generation"], 2);
    // Nothing was loaded again.
    drop(others);
    let said = head.hear("lost");
    assert!(!said.contains("is served"), "{said}");
}

#[test]
fn two_experts_of_one_model_answer_with_the_same_slices() {
    let folder = Folder::new("ring-twins");
    let stages = |idx| {
        let next = (idx + 1) % 3;
        [stage(3, idx, "a", next), stage_of("twin", 3, idx, "b", next)]
    };
    let mut others = [1, 2].map(|idx| node(&folder.0, 3, idx, &[], &stages(idx)));
    for other in &mut others {
        (0..2).for_each(|_| drop(other.hear("is ready")));
    }
    let mut head = node(&folder.0, 3, 0, &[], &stages(0));
    (0..2).for_each(|_| drop(head.hear("the ring is closed")));
    let ask = |name: &str| {
        let messages = json!([{"role": "user", "content": "the cat sat on the mat"}]);
        let body = json!({"model": name, "messages": messages, "max_tokens": 24, "temperature": 0});
        head.answered(&body).json()["choices"][0]["message"]["content"].as_str().map(str::to_owned)
    };
    assert_eq!(ask("cut").unwrap(), ask("twin").unwrap());
    for node in [&head, &others[0], &others[1]] {
        let health = node.health();
        let files = health["holds"]["files"].as_array().unwrap();
        assert_eq!(files.len(), 2, "the whole and one slice: {health}");
    }
}

#[test]
fn what_could_not_be_loaded_is_tried_again() {
    let folder = Folder::new("ring-retried");
    let folder = &folder.0;
    let mut node = empty(folder, 2, 1, &[given("whole")], &[stage(2, 1, "a", 2)]);
    let mut told = String::new();
    while !["no stage of cut here", "whole is not served"].iter().all(|words| told.contains(words)) {
        told += &node.hear("rpc-worker: ");
    }
    let health = node.health();
    assert_eq!(health["holds"]["stages"][0]["state"], "failed", "{health}");
    put_model(folder, 1);
    let mut told = String::new();
    while !["stage 1 is ready", "whole is served"].iter().all(|words| told.contains(words)) {
        told += &node.hear("rpc-worker: ");
    }
    assert_eq!(node.health()["holds"]["stages"][0]["state"], "ready");
}
