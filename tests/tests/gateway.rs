//! The agent's gateway from outside: who is let in, where requests go, and what a client sees when a copy fails.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use admission::KeyLimits;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Instant;
use tests::gateway::{Gateway, KEY};
use tests::model::{Manner, Model};
use tests::node::{WAIT_MAX, connect};

const LIMITS: KeyLimits = KeyLimits { per_minute: 6000, at_once: 64, tokens_per_day: 1_000_000 };

/// An agent that knows nobody but these.
fn gateway(name: &str, limits: KeyLimits, models: &[SocketAddr]) -> Gateway {
    let words = models.iter().flat_map(|address| ["--llm-last-resort".into(), format!("http://{address}")]);
    let program = Path::new(env!("CARGO_BIN_EXE_agent-under-test"));
    Gateway::start(program, name, limits, &words.collect::<Vec<_>>())
}

/// Status and body.
fn parts(answer: &str) -> (u16, Value) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

fn chat(stream: bool) -> String {
    json!({"model": "calm", "messages": [{"role": "user", "content": "hello"}], "stream": stream}).to_string()
}

/// The events of a stream, without the lengths of its chunks.
fn events(answer: &str) -> Vec<String> {
    let told = |line: &str| line.starts_with("data:") || line.starts_with(':');
    answer.lines().filter(|line| told(line)).map(str::to_owned).collect()
}

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn metric(gateway: &Gateway, name: &str) -> u64 {
    let text = gateway.ask("GET", "/metrics", "", "");
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).trim().parse().unwrap()
}

#[test]
fn without_a_key_nothing_is_answered_on_loopback_either() {
    let model = Model::new(Manner::Well);
    let gateway = gateway("closed", LIMITS, &[model.address]);
    for fields in ["", "Authorization: Bearer duet-wrong\r\n", "Authorization: Basic x\r\n"] {
        let (status, body) = parts(&gateway.ask("POST", "/v1/chat/completions", fields, &chat(false)));
        assert_eq!((status, &body["error"]["code"]), (401, &json!("invalid_api_key")), "{fields}");
    }
    assert_eq!(parts(&gateway.ask("GET", "/v1/models", "", "")).0, 401);
    assert_eq!(model.n_heard(), 0);
}

#[test]
fn a_long_body_without_a_key_is_refused_before_it_is_sent() {
    let gateway = gateway("long", LIMITS, &[]);
    let mut stream = connect(gateway.address);
    let head = "POST /v1/chat/completions HTTP/1.1\r\nHost: node\r\nContent-Length: 4000000\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    let mut stream = connect(gateway.address);
    let head = format!(
        "POST /v1/completions HTTP/1.1\r\nHost: node\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 4194305\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 413");
}

#[test]
fn an_answer_passes_as_it_is_with_the_clients_own_request_id() {
    let model = Model::new(Manner::Well);
    let gateway = gateway("whole", LIMITS, &[model.address]);
    let fields = format!("Authorization: Bearer {KEY}\r\nX-Request-Id: mine-1\r\n");
    let answer = gateway.ask("POST", "/v1/chat/completions", &fields, &chat(false));
    let (status, body) = parts(&answer);
    assert_eq!((status, &body["choices"][0]["finish_reason"]), (200, &json!("stop")));
    assert!(answer.contains("x-request-id: mine-1\r\n"), "{answer}");
    let (head, asked) = model.last();
    assert!(head.contains("x-request-id: mine-1\r\n") && !head.contains(KEY), "{head}");
    assert_eq!(asked["messages"][0]["content"], json!("hello"));
    // The copy was asked for a stream, so that its silence would be noticed.
    assert_eq!(asked["stream"], json!(true));
    let told = gateway.ask("GET", "/metrics", "", "");
    assert!(told.contains("duet_gateway_queue{expert=\"elsewhere\"} 0\n"), "{told}");
}

#[test]
fn a_stream_passes_event_by_event_and_its_count_only_for_whom_asked() {
    let model = Model::new(Manner::Well);
    let gateway = gateway("stream", LIMITS, &[model.address]);
    let plain = events(&gateway.post("/v1/chat/completions", &chat(true)));
    assert_eq!(plain.last().unwrap(), "data: [DONE]");
    assert_eq!(plain.len(), 1 + tests::model::WORDS as usize + 1 + 1, "{plain:#?}");
    let counted =
        chat(true).replace("\"stream\":true", "\"stream\":true,\"stream_options\":{\"include_usage\":true}");
    let counted = events(&gateway.post("/v1/chat/completions", &counted));
    assert_eq!(counted.len(), plain.len() + 1);
    assert!(counted[counted.len() - 2].contains("\"completion_tokens\":5"), "{counted:#?}");
    // Both were counted for the key: three tokens read and five written, twice.
    let (_, status) = parts(&gateway.ask("GET", "/api/status", "", ""));
    assert_eq!(status["gateway"]["keys"][0]["tokens_today"], json!(16));
    assert_eq!(metric(&gateway, "duet_gateway_tokens_total{expert=\"elsewhere\"}"), 10);
}

#[test]
fn copies_that_are_gone_or_full_are_passed_over() {
    let (full, well) = (Model::new(Manner::Full), Model::new(Manner::Well));
    let gateway = gateway("passed", LIMITS, &[nobody(), full.address, well.address]);
    for stream in [false, true] {
        let answer = gateway.post("/v1/chat/completions", &chat(stream));
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("word0"), "{answer}");
    }
    assert_eq!((full.n_heard(), well.n_heard()), (2, 2));
    assert_eq!(metric(&gateway, "duet_gateway_retries_total{expert=\"elsewhere\"}"), 4);
}

#[test]
fn when_all_copies_are_full_the_client_hears_when_to_come_again() {
    let full = Model::new(Manner::Full);
    let gateway = gateway("full", LIMITS, &[full.address]);
    let answer = gateway.post("/v1/chat/completions", &chat(true));
    let (status, body) = parts(&answer);
    assert_eq!((status, &body["error"]["message"]), (503, &json!("all slots are taken")));
    assert!(answer.contains("retry-after-ms: 10\r\n") && answer.contains("retry-after: 1\r\n"), "{answer}");
}

#[test]
fn a_copy_that_breaks_before_its_first_token_is_replaced_unseen() {
    let (broken, well) = (Model::new(Manner::BreaksEarly), Model::new(Manner::Well));
    let gateway = gateway("early", LIMITS, &[broken.address, well.address]);
    let told = events(&gateway.post("/v1/chat/completions", &chat(true)));
    let roles = told.iter().filter(|event| event.contains("\"role\"")).count();
    assert_eq!((roles, told.last().unwrap().as_str()), (1, "data: [DONE]"));
}

#[test]
fn after_the_first_token_a_break_is_an_error_unless_another_copy_says_that_it_goes_on() {
    let (broken, well) = (Model::new(Manner::BreaksLate), Model::new(Manner::Well));
    let gateway = gateway("late", LIMITS, &[broken.address, well.address]);
    let told = events(&gateway.post("/v1/chat/completions", &chat(true)));
    let last: Value = serde_json::from_str(told.last().unwrap().strip_prefix("data: ").unwrap()).unwrap();
    assert!(last["error"]["message"].as_str().unwrap().contains("the model's node was lost"), "{last}");
    // It was asked to go on, and is no copy of ours: it began anew, and nothing of that reached the client.
    assert_eq!(told.iter().filter(|event| event.contains("word0")).count(), 1);
    assert_eq!(well.last().1["duet"]["continue"]["shown"], json!("word0 word1 "));
}

#[test]
fn a_wrong_request_is_told_in_the_models_own_words_and_not_tried_again() {
    let (one, two) = (Model::new(Manner::Well), Model::new(Manner::Well));
    let gateway = gateway("wrong", LIMITS, &[one.address, two.address]);
    let body = json!({"model": "calm", "messages": []}).to_string();
    let (status, error) = parts(&gateway.post("/v1/chat/completions", &body));
    assert_eq!((status, &error["error"]["param"]), (400, &json!("messages")));
    assert_eq!(two.n_heard(), 0);
    let (status, error) = parts(&gateway.post("/v1/chat/completions", "{\"stream\":true}"));
    assert_eq!((status, &error["error"]["param"]), (400, &json!("model")));
    assert_eq!(parts(&gateway.post("/v1/nothing", "{}")).0, 404);
}

fn leave_at_the_first_word(gateway: &Gateway, body: &str) {
    let mut stream = connect(gateway.address);
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: node\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while !line.contains("word0") {
        line.clear();
        assert_ne!(reader.read_line(&mut line).unwrap(), 0, "the stream ended");
    }
}

#[test]
fn a_client_that_leaves_stops_the_model() {
    let model = Model::new(Manner::Endless);
    let gateway = gateway("leaves", LIMITS, &[model.address]);
    leave_at_the_first_word(&gateway, &chat(true));
    model.gone.recv_timeout(WAIT_MAX).expect("the model still writes");
}

#[test]
fn while_a_slow_prompt_runs_the_client_hears_that_somebody_is_here() {
    let model = Model::new(Manner::Slow);
    let gateway = gateway("slow", LIMITS, &[model.address]);
    let mut stream = connect(gateway.address);
    let body = chat(true);
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: node\r\nConnection: close\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while !line.starts_with(": keep-alive") {
        line.clear();
        assert_ne!(reader.read_line(&mut line).unwrap(), 0, "the stream ended");
    }
    model.go_on();
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    assert_eq!(events(&rest).last().unwrap(), "data: [DONE]");
}

#[test]
fn a_key_has_its_limits() {
    let model = Model::new(Manner::Well);
    let limits = KeyLimits { per_minute: 2, at_once: 1, tokens_per_day: 1_000_000 };
    let gateway = gateway("limits", limits, &[model.address]);
    let status = |answer: &str| parts(answer).0;
    assert_eq!(status(&gateway.post("/v1/chat/completions", &chat(false))), 200);
    assert_eq!(status(&gateway.post("/v1/chat/completions", &chat(false))), 200);
    let third = gateway.post("/v1/chat/completions", &chat(false));
    assert!(third.starts_with("HTTP/1.1 429") && third.contains("retry-after-ms: "), "{third}");
    assert_eq!(model.n_heard(), 2);
}

#[test]
fn who_hangs_up_before_the_count_comes_pays_for_the_prompt() {
    let model = Model::new(Manner::Endless);
    let gateway = gateway("hang-up", LIMITS, &[model.address]);
    let messages = json!([{"role": "user", "content": "word ".repeat(1000)}]);
    let long = json!({"model": "local", "stream": true, "messages": messages});
    leave_at_the_first_word(&gateway, &long.to_string());
    model.gone.recv_timeout(WAIT_MAX).expect("the model still writes");
    // It is counted a moment after the model was told.
    let paid = || {
        let (_, status) = parts(&gateway.get("/api/status"));
        status["gateway"]["keys"][0]["tokens_today"].as_u64().unwrap()
    };
    let end = Instant::now() + WAIT_MAX;
    while paid() < 1000 {
        assert!(Instant::now() < end, "the prompt cost {} tokens", paid());
    }
}

#[test]
fn an_address_that_the_owner_set_gets_everything() {
    let model = Model::new(Manner::Well);
    let program = Path::new(env!("CARGO_BIN_EXE_agent-under-test"));
    let words = ["--llm-url".to_owned(), format!("http://{}", model.address)];
    let gateway = Gateway::start(program, "set", LIMITS, &words);
    assert_eq!(parts(&gateway.post("/v1/chat/completions", &chat(false))).0, 200);
    assert_eq!(parts(&gateway.get("/v1/models")).0, 200);
    assert!(model.last().0.starts_with("GET /v1/models "));
}

fn words_of(answer: &str) -> String {
    let words = answer.lines().filter_map(|line| line.strip_prefix("data: {\"words\":"));
    words.filter_map(|json| serde_json::from_str::<String>(json.strip_suffix('}')?).ok()).collect()
}

#[test]
fn a_message_is_answered_by_the_workflow_of_turns_and_its_conversation_goes_on() {
    let model = Model::new(Manner::Well);
    let program = Path::new(env!("CARGO_BIN_EXE_agent-under-test"));
    let words = ["--llm-url".to_owned(), format!("http://{}", model.address)];
    let gateway = Gateway::start(program, "message", LIMITS, &words);
    let body = |text: &str| json!({"text": text, "conversation": "c"}).to_string();
    assert_eq!(parts(&gateway.ask("POST", "/api/message", "", &body("hi"))).0, 401);
    let evil = format!("Authorization: Bearer {KEY}\r\nOrigin: http://evil.example\r\n");
    assert_eq!(parts(&gateway.ask("POST", "/api/message", &evil, &body("hi"))).0, 403);
    assert_eq!(parts(&gateway.post("/api/message", "{}")).0, 400);
    assert_eq!(parts(&gateway.post("/api/message", r#"{"text":"hi","workflow":"none"}"#)).0, 404);

    let told = gateway.post("/api/message", &body("Who are you?"));
    assert!(told.contains("event: by\ndata: {\"by\":\"intent who\"}"), "{told}");
    assert_eq!(model.n_heard(), 0);

    let told = gateway.post("/api/message", &body("Tell me a story about a lamp."));
    assert!(!words_of(&told).is_empty() && told.contains("event: done\n"), "{told}");
    assert!(told.contains("\"node\":\"router\""), "{told}");
    gateway.post("/api/message", &body("And then what happened to it?"));
    let (head, asked) = model.last();
    assert!(head.starts_with("POST /v1/chat/completions "), "{head}");
    let said: Vec<&Value> = asked["messages"].as_array().unwrap().iter().map(|one| &one["content"]).collect();
    assert!(said.contains(&&json!("Tell me a story about a lamp.")), "{said:?}");

    let (status, shown) = parts(&gateway.get("/api/workflows"));
    assert_eq!((status, &shown["troubles"]), (200, &json!([])));
    let turn = shown["workflows"].as_array().unwrap().iter().find(|one| one["name"] == "tiered").unwrap();
    assert_eq!(turn["last"]["end"]["end"], "answered");
    assert_eq!(parts(&gateway.get("/api/personas")).1["personas"][0]["name"], "coding");
}

#[test]
fn without_any_model_a_message_says_why_it_cannot_be_answered() {
    let gateway = gateway("message-alone", LIMITS, &[]);
    let told = gateway.post("/api/message", &json!({"text": "Tell me a story."}).to_string());
    assert!(words_of(&told).starts_with("I cannot reach a model: no node serves a model for this"), "{told}");
}
