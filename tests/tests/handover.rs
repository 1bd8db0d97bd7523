//! A stream goes on when the node that writes it is lost: real rpc-workers behind the agent's gateway.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use admission::KeyLimits;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tests::gateway::{Gateway, KEY};
use tests::worker::{Fate, Worker, wire};

const LIMITS: KeyLimits = KeyLimits { per_minute: 6000, at_once: 64, tokens_per_day: 1_000_000 };
const MODEL: &str = "llm/stories260K.gguf";
const CHAT: &str = "/v1/chat/completions";

fn agent() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_agent-under-test"))
}

fn needs(test: &str) -> Option<(PathBuf, PathBuf)> {
    Worker::needs(agent(), MODEL).map_err(|why| tests::skip(test, &why)).ok()
}

/// An agent that knows nobody but these, in this order.
fn gateway(name: &str, models: &[SocketAddr]) -> Gateway {
    let words = models.iter().flat_map(|address| ["--llm-last-resort".into(), format!("http://{address}")]);
    Gateway::start(agent(), name, LIMITS, &words.collect::<Vec<_>>())
}

fn ask(more: Value) -> Value {
    let mut body = json!({
        "model": "e",
        "messages": [{"role": "user", "content": "Once upon a time there was a small cat"}],
        "max_tokens": 60,
        "temperature": 0,
        "seed": 7,
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// A stream as a client puts it together.
#[derive(Debug, Default, PartialEq)]
struct Told {
    text: String,
    /// Name and arguments of each call.
    calls: Vec<(String, String)>,
    finish: Value,
    usage: Value,
    error: Value,
    /// All ids that it had.
    ids: Vec<String>,
    is_done: bool,
    handovers: Vec<Value>,
    comments: Vec<String>,
}

fn told(answer: &str) -> Told {
    let mut told = Told::default();
    for line in answer.lines() {
        let Some(data) = line.strip_prefix("data: ") else {
            told.comments.extend(line.strip_prefix(": handed over").map(str::to_owned));
            assert!(
                !line.starts_with(": tokens") && !line.starts_with(": more"),
                "{line} is not for clients"
            );
            continue;
        };
        if data == "[DONE]" {
            told.is_done = true;
            continue;
        }
        let event: Value = serde_json::from_str(data).unwrap();
        told.handovers.extend(event["duet"].get("handover").cloned());
        for (kept, name) in [(&mut told.usage, "usage"), (&mut told.error, "error")] {
            if !event[name].is_null() {
                *kept = event[name].clone();
            }
        }
        if let Some(id) = event["id"].as_str()
            && told.ids.last().is_none_or(|last| last != id)
        {
            told.ids.push(id.to_owned());
        }
        let choice = &event["choices"][0];
        let delta = &choice["delta"];
        told.text += delta["content"].as_str().or(choice["text"].as_str()).unwrap_or_default();
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            if let Some(name) = call["function"]["name"].as_str() {
                told.calls.push((name.to_owned(), String::new()));
            }
            told.calls.last_mut().unwrap().1 += call["function"]["arguments"].as_str().unwrap();
        }
        if !choice["finish_reason"].is_null() {
            told.finish = choice["finish_reason"].clone();
        }
    }
    told
}

/// The stream as one copy writes it alone, and as two write it of which the first is lost after so many events.
fn alone_and_handed_over(
    needs: &(PathBuf, PathBuf),
    fate: Fate,
    n_events: usize,
    path: &str,
    more: &Value,
) -> [Told; 2] {
    let name = format!("handover-{fate:?}-{n_events}-{}", std::thread::current().name().unwrap_or_default());
    let name = name.replace(':', "-");
    let [first, second] = [0, 1].map(|_| Worker::start(needs, &name, "e", "context = 512\n"));
    let mut body = ask(more.clone());
    if path != CHAT {
        body["prompt"] = json!("Once upon a time");
    }
    let alone = gateway(&format!("{name}-alone"), &[first.address]);
    let alone = told(&alone.post(path, &body.to_string()));
    assert!(alone.is_done && alone.handovers.is_empty() && alone.error.is_null(), "{alone:?}");
    let both = gateway(&name, &[wire(&first, fate, n_events), second.address]);
    let over = told(&both.post(path, &body.to_string()));
    let metrics = both.ask("GET", "/metrics", "", "");
    assert!(
        metrics.contains("duet_gateway_handovers_total{expert=\"elsewhere\"} 1\n"),
        "{over:?}\n{metrics}"
    );
    let status = both.ask("GET", "/api/status", "", "");
    assert!(status.contains("\"handovers\":1") && !status.contains(KEY), "{status}");
    println!("{fate:?} after {n_events} events: {}", over.handovers[0]);
    [alone, over]
}

#[track_caller]
fn check(test: &str, fate: Fate, n_events: usize, path: &str, more: Value) -> Option<Told> {
    let needs = needs(test)?;
    let [alone, over] = alone_and_handed_over(&needs, fate, n_events, path, &more);
    assert_eq!((&over.text, &over.calls), (&alone.text, &alone.calls), "{fate:?} after {n_events}");
    assert_eq!((&over.finish, over.is_done, &over.error), (&alone.finish, true, &Value::Null));
    let counts = |told: &Told| (told.usage["prompt_tokens"].clone(), told.usage["completion_tokens"].clone());
    assert_eq!(counts(&over), counts(&alone));
    assert_eq!((over.handovers.len(), over.comments.len(), over.ids.len()), (1, 1, 1), "{over:?}");
    Some(over)
}

#[test]
fn a_killed_copys_stream_goes_on_with_the_same_text() {
    check("killed", Fate::Killed, 20, CHAT, json!({}));
    check("killed", Fate::Killed, 3, "/v1/completions", json!({}));
}

#[test]
fn a_frozen_copys_stream_goes_on_with_the_same_text() {
    check("frozen", Fate::Frozen, 25, CHAT, json!({}));
}

#[test]
fn a_stream_behind_a_cut_wire_goes_on_with_the_same_text() {
    check("cut", Fate::Cut, 30, CHAT, json!({"stop": ["zebra"], "logprobs": true}));
}

/// An answer in one piece, without what differs from one to the next.
fn whole(gateway: &Gateway, path: &str, more: &Value) -> Value {
    let mut body = ask(json!({"stream": false, "prompt": "Once upon a time"}));
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer = gateway.post(path, &body.to_string());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("application/json"), "{answer}");
    let mut answer: Value = serde_json::from_str(body).unwrap();
    for field in ["id", "created"] {
        assert!(!answer.as_object_mut().unwrap().remove(field).unwrap().is_null());
    }
    answer["usage"].as_object_mut().unwrap().remove("prompt_tokens_details");
    // Their last digits depend on what was computed beside; that none is missing does not.
    let logprobs = answer["choices"][0].as_object_mut().unwrap().remove("logprobs").unwrap();
    let list = logprobs["content"].as_array().or(logprobs["tokens"].as_array()).unwrap();
    assert_eq!(json!(list.len()), answer["usage"]["completion_tokens"], "{logprobs}");
    answer
}

#[test]
fn an_answer_in_one_piece_is_the_same_though_its_copy_is_lost() {
    let Some(needs) = needs("whole") else { return };
    let text = json!({"logprobs": true});
    let old = json!({"logprobs": 1});
    let cases = [
        (Fate::Frozen, 0, CHAT, &text),
        (Fate::Frozen, 20, CHAT, &text),
        (Fate::Killed, 9, "/v1/completions", &old),
    ];
    for (fate, n_events, path, more) in cases {
        let name = format!("whole-{fate:?}-{n_events}");
        let [first, second] = [0, 1].map(|_| Worker::start(&needs, &name, "e", "context = 512\n"));
        let alone = whole(&gateway(&format!("{name}-alone"), &[second.address]), path, more);
        let both = gateway(&name, &[wire(&first, fate, n_events), second.address]);
        let mut over = whole(&both, path, more);
        let told = over.as_object_mut().unwrap().remove("duet").unwrap_or_default();
        assert_eq!(over, alone, "{fate:?} after {n_events}");
        assert_eq!(told["handover"].is_object(), n_events > 0, "{told}");
        println!("{fate:?} after {n_events} events: {told}");
    }
}

#[test]
fn a_promised_form_is_kept_over_a_handover() {
    let schema = json!({"type": "object", "properties": {"name": {"type": "string", "maxLength": 20}, "cat": {"type": "boolean"}}, "required": ["name", "cat"], "additionalProperties": false});
    let format = json!({"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}});
    let Some(over) =
        check("form", Fate::Killed, 8, CHAT, json!({"response_format": format, "max_tokens": 200}))
    else {
        return;
    };
    let answer: Value = serde_json::from_str(&over.text).unwrap();
    assert!(answer["cat"].is_boolean(), "{answer}");
}

#[test]
fn half_a_call_of_a_tool_is_gone_on_with() {
    let parameters = json!({"type": "object", "properties": {"name": {"type": "string", "maxLength": 20}}, "required": ["name"], "additionalProperties": false});
    let tool = json!({"type": "function", "function": {"name": "greet", "parameters": parameters}});
    let more =
        json!({"tools": [tool], "tool_choice": "required", "parallel_tool_calls": false, "max_tokens": 200});
    let Some(over) = check("call", Fate::Killed, 6, CHAT, more) else { return };
    let [(name, arguments)] = &over.calls[..] else { panic!("{over:?}") };
    assert_eq!((name.as_str(), &over.finish), ("greet", &json!("tool_calls")));
    assert!(serde_json::from_str::<Value>(arguments).unwrap()["name"].is_string());
}

#[test]
fn without_another_copy_the_small_model_goes_on_from_what_the_client_has() {
    let Some(needs) = needs("small") else { return };
    let first = Worker::start(&needs, "small", "e", "context = 512\n");
    let small = Worker::start(&needs, "small", "local", "context = 512\nslots = 1\n");
    let gateway = gateway("small", &[wire(&first, Fate::Killed, 20), small.address]);
    let over = told(&gateway.post(CHAT, &ask(json!({})).to_string()));
    assert_eq!((over.is_done, &over.handovers[0]["expert"]), (true, &json!("local")), "{over:?}");
    assert!(over.usage["completion_tokens"].as_u64().unwrap() >= 20, "{over:?}");
    assert_eq!(over.comments.len(), 1);
}

#[test]
fn a_stream_that_nobody_can_go_on_with_ends_with_an_error() {
    let Some(needs) = needs("alone") else { return };
    let first = Worker::start(&needs, "alone", "e", "context = 512\n");
    let gateway = gateway("lonely", &[wire(&first, Fate::Frozen, 20)]);
    let over = told(&gateway.post(CHAT, &ask(json!({})).to_string()));
    assert!(over.error["message"].as_str().unwrap().contains("the model's node was lost"), "{over:?}");
    assert!(!over.is_done && !over.text.is_empty(), "{over:?}");
}

#[test]
fn what_a_client_says_of_a_begun_answer_is_not_believed() {
    let Some(needs) = needs("stranger") else { return };
    let first = Worker::start(&needs, "stranger", "e", "context = 512\n");
    let gateway = gateway("stranger", &[first.address]);
    let plain = told(&gateway.post(CHAT, &ask(json!({})).to_string()));
    let begun = json!({"duet": {"continue": {"shown": "I say: ", "id": "chatcmpl-mine"}}});
    let asked = told(&gateway.post(CHAT, &ask(begun).to_string()));
    assert_eq!((asked.text, asked.ids.len()), (plain.text, 1));
    assert_ne!(asked.ids[0], "chatcmpl-mine");
}
