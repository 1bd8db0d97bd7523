//! Experts over their real door: a real rpc-worker, small models, plain HTTP.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

mod common;

use common::models::Folder;
use common::{Answer, Worker, long_stories, shared};
use serde_json::{Value, json};
use split::report::HeldState;
use std::thread;

/// Clients at once.
const CLIENTS: u64 = 8;

fn ask(text: &str, more: Value) -> Value {
    let mut body = json!({"model": "e", "messages": [{"role": "user", "content": text}], "max_tokens": 24});
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

/// A worker with one expert, or nothing where the shared models are not there.
fn worker(folder: &Folder, lines: &str) -> Option<Worker> {
    Some(Worker::expert(folder, &shared("llm/stories260K.gguf")?, lines))
}

/// A text, and how likely each of its tokens was, to the last digit.
type Told = (String, Vec<Value>);

/// What eight clients hear one after the other, and all at once.
fn alone_and_together(worker: &Worker) -> [Vec<Told>; 2] {
    let told = |n: u64| {
        let text = format!("Once upon a time there was a {}", "very ".repeat(n as usize * 3) + "small cat");
        let more = json!({"seed": n, "temperature": 0.8, "stream": true, "max_tokens": 48, "logprobs": true});
        let answer = worker.chat(ask(&text, more));
        let chances = |piece: &Value| piece["choices"][0]["logprobs"]["content"].clone();
        let chances: Vec<Value> =
            answer.pieces().iter().map(chances).filter(|chance| !chance.is_null()).collect();
        (answer.said(), chances)
    };
    let alone: Vec<Told> = (0..CLIENTS).map(told).collect();
    let together = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|n| scope.spawn(move || told(n))).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    assert_eq!((worker.metric("busy"), worker.metric("waiting")), (0.0, 0.0));
    [alone, together]
}

/// The last digits follow who else is there, and then the dice may fall on the other side: our kernels add up one or
/// two columns in another order than many, and attention adds up a sequence's places in the order in which they were
/// free. How likely the first tokens are shows that nobody reads another's prompt.
#[test]
fn streams_at_once_differ_from_alone_in_the_last_digits_only() {
    let folder = Folder::new("at-once");
    let Some(worker) = worker(&folder, "context = 256\nslots = 8\n") else { return };
    let [alone, together] = alone_and_together(&worker);
    let first = |told: &Told| told.1[0][0]["logprob"].as_f64().unwrap();
    for (alone, together) in alone.iter().zip(&together) {
        let apart = (first(alone) - first(together)).abs();
        assert!(apart < 0.05, "{apart}: {:?} {:?}", alone.0, together.0);
        assert!(alone.1.len() > 10 && together.1.len() > 10, "{:?} {:?}", alone.0, together.0);
    }
    let n_same = alone.iter().zip(&together).filter(|(alone, together)| alone.0 == together.0).count();
    println!("{n_same} of {CLIENTS} texts are the same to the end");
}

#[test]
fn a_seed_says_the_same_again_and_another_does_not() {
    let folder = Folder::new("seed");
    let Some(worker) = worker(&folder, "context = 256\n") else { return };
    let say = |seed: u64| worker.chat(ask("A dog", json!({"seed": seed, "temperature": 1.0}))).said();
    let first = say(7);
    assert_eq!((say(7), first != say(8)), (first.clone(), true), "{first}");
    let streamed = worker.chat(ask("A dog", json!({"seed": 7, "temperature": 1.0, "stream": true})));
    assert_eq!(streamed.said(), first);
}

#[test]
fn an_answer_tells_usage_and_why_it_ended() {
    let folder = Folder::new("usage");
    let Some(worker) = worker(&folder, "context = 256\n") else { return };
    let body = ask("A dog", json!({"max_tokens": 5, "temperature": 0, "logprobs": true, "top_logprobs": 2}));
    let answer = worker.chat(body).good();
    let usage = &answer["usage"];
    assert_eq!(
        (&usage["completion_tokens"], &answer["choices"][0]["finish_reason"]),
        (&json!(5), &json!("length"))
    );
    let chances = answer["choices"][0]["logprobs"]["content"].as_array().unwrap();
    assert_eq!(chances.len(), 5);
    for chance in chances {
        // The likeliest was taken, so it is the first of its rivals.
        assert_eq!(chance["token"], chance["top_logprobs"][0]["token"], "{chance}");
        assert!(chance["logprob"].as_f64().unwrap() <= 0.0, "{chance}");
        assert_eq!(chance["top_logprobs"].as_array().unwrap().len(), 2);
    }
    let text: String = chances.iter().map(|chance| chance["token"].as_str().unwrap().to_owned()).collect();
    let content = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert_eq!(text, content);
    // The same text is stopped before its own third letter.
    let stop: String = content.chars().skip(2).take(2).collect();
    let want: String = content[..content.find(&stop).unwrap()].to_owned();
    let stopped = worker.chat(ask("A dog", json!({"temperature": 0, "stop": [stop]}))).good();
    assert_eq!(stopped["choices"][0]["message"]["content"], json!(want));
    assert_eq!(stopped["choices"][0]["finish_reason"], "stop");
    // The prompt was read before: only its last piece is read again.
    let cached = stopped["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap();
    assert_eq!(cached + 4, stopped["usage"]["prompt_tokens"].as_u64().unwrap());
}

#[test]
fn a_stream_begins_with_the_role_and_ends_with_the_count() {
    let folder = Folder::new("stream");
    let Some(worker) = worker(&folder, "context = 256\n") else { return };
    let body =
        ask("A dog", json!({"stream": true, "stream_options": {"include_usage": true}, "max_tokens": 3}));
    let pieces = worker.chat(body).pieces();
    assert_eq!(pieces[0]["choices"][0]["delta"]["role"], "assistant");
    let [.., end, usage] = pieces.as_slice() else { panic!("{pieces:?}") };
    assert_eq!(end["choices"][0]["finish_reason"], "length");
    assert_eq!((&usage["choices"], &usage["usage"]["completion_tokens"]), (&json!([]), &json!(3)));
    assert!(pieces.iter().all(|piece| piece["id"] == pieces[0]["id"] && piece["model"] == "e"), "{pieces:?}");
}

const TOOL: &str = r#"[{"type": "function", "function": {"name": "light", "parameters": {"type": "object",
    "properties": {"room": {"enum": ["kitchen", "hall"]}, "on": {"type": "boolean"}}, "required": ["room", "on"]}}}]"#;

#[test]
fn a_tool_is_called_as_its_schema_says() {
    let folder = Folder::new("tools");
    let Some(worker) = worker(&folder, "context = 512\n") else { return };
    let tools: Value = serde_json::from_str(TOOL).unwrap();
    for seed in 0..4 {
        let more = json!({"tools": tools, "tool_choice": "required", "parallel_tool_calls": false, "max_tokens": 200,
            "seed": seed, "temperature": 1.0});
        let answer = worker.chat(ask("Light, please", more.clone())).good();
        let choice = &answer["choices"][0];
        let call = &choice["message"]["tool_calls"][0];
        assert_eq!(
            (&call["function"]["name"], &choice["finish_reason"]),
            (&json!("light"), &json!("tool_calls"))
        );
        let arguments = call["function"]["arguments"].as_str().unwrap();
        let parsed: Value = serde_json::from_str(arguments).unwrap();
        assert!(["kitchen", "hall"].contains(&parsed["room"].as_str().unwrap()) && parsed["on"].is_boolean());
        let mut streamed = ask("Light, please", more);
        streamed["stream"] = json!(true);
        let (name, pieces) = streamed_call(&worker.chat(streamed));
        assert_eq!((name.as_str(), pieces.as_str()), ("light", arguments), "seed {seed}");
    }
}

/// Name and arguments of the only call of a stream.
fn streamed_call(answer: &Answer) -> (String, String) {
    let (mut name, mut arguments) = (String::new(), String::new());
    for piece in answer.pieces() {
        for call in piece["choices"][0]["delta"]["tool_calls"].as_array().into_iter().flatten() {
            assert_eq!(call["index"], 0);
            name.push_str(call["function"]["name"].as_str().unwrap_or_default());
            arguments.push_str(call["function"]["arguments"].as_str().unwrap());
        }
    }
    (name, arguments)
}

#[test]
fn a_json_schema_is_obeyed() {
    let folder = Folder::new("schema");
    let Some(worker) = worker(&folder, "context = 512\n") else { return };
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 9},
        "ok": {"type": "boolean"}, "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 3}},
        "required": ["n", "ok", "tags"], "additionalProperties": false});
    for seed in 0..4 {
        let format = json!({"type": "json_schema", "json_schema": {"name": "s", "schema": schema}});
        let more = json!({"response_format": format, "seed": seed, "temperature": 1.5, "max_tokens": 100});
        let answer = worker.chat(ask("Numbers", more)).good();
        assert_eq!(answer["choices"][0]["finish_reason"], "stop", "seed {seed}: {answer}");
        let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
        let parsed: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("seed {seed}: {e}: {text}"));
        assert!((1..=9).contains(&parsed["n"].as_i64().unwrap()) && parsed["ok"].is_boolean(), "{text}");
        assert!(parsed["tags"].as_array().unwrap().len() <= 3, "{text}");
    }
}

#[test]
fn what_cannot_be_done_is_told_by_its_name() {
    let folder = Folder::new("errors");
    let Some(worker) = worker(&folder, "context = 64\n") else { return };
    let error = |body: Value| worker.chat(body).error();
    let param = |param: &str| (400, Some(param.to_owned()), None);
    let code = |status, param: &str, code: &str| (status, Some(param.to_owned()), Some(code.to_owned()));
    assert_eq!(error(json!({"model": "e", "messages": 7})), param("messages"));
    assert_eq!(error(ask("x", json!({"model": "no"}))), code(404, "model", "model_not_found"));
    let long = "word ".repeat(200);
    assert_eq!(error(ask(&long, json!({}))), code(400, "messages", "context_length_exceeded"));
    let schema = json!({"response_format": {"type": "json_schema", "json_schema": {"schema": {"not": {}}}}});
    assert_eq!(error(ask("x", schema)), param("response_format.json_schema.schema"));
    assert_eq!(worker.post("/v1/embeddings", &json!({"model": "e", "input": "x"})).error(), param("model"));
    assert_eq!(worker.get("/v1/nothing").error().0, 404);
    assert_eq!(worker.get("/v1/models/no").error(), code(404, "model", "model_not_found"));
    assert_eq!(worker.get("/v1/models").good()["data"][0]["id"], "e");
    drop(worker.open("POST", "/v1/chat/completions", "{"));
    assert_eq!(worker.chat(ask("x", json!({}))).status, 200);
}

/// An answer that goes on for thousands of tokens: a list that must have so many items.
fn endless(more: Value) -> Value {
    let schema = json!({"type": "array", "items": {"type": "boolean"}, "minItems": 2000, "maxItems": 2000});
    let format = json!({"type": "json_schema", "json_schema": {"schema": schema}});
    let mut body = ask("List", json!({"response_format": format, "max_tokens": 30_000, "stream": true}));
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

#[test]
fn a_client_that_leaves_frees_its_slot() {
    let folder = Folder::new("cancel");
    let Some(model) = long_stories(&folder) else { return };
    let worker = Worker::expert(&folder, &model, "context = 32768\n");
    for is_stream in [true, false] {
        let n_before = worker.metric("cancelled_total");
        let mut leaving =
            worker.open("POST", "/v1/chat/completions", &endless(json!({"stream": is_stream})).to_string());
        if is_stream {
            leaving.head();
            assert!(leaving.event().is_some() && leaving.event().is_some());
        } else {
            while worker.metric("busy") < 1.0 {
                thread::yield_now();
            }
        }
        drop(leaving);
        // The only slot is wanted: this is answered as soon as it is free.
        assert_eq!(worker.chat(ask("A dog", json!({}))).status, 200);
        assert_eq!(worker.metric("cancelled_total"), n_before + 1.0);
    }
}

#[test]
fn who_finds_the_queue_full_is_told_when_to_come_again() {
    let folder = Folder::new("full");
    let Some(model) = long_stories(&folder) else { return };
    let worker = Worker::expert(&folder, &model, "context = 32768\n");
    let mut crowd = Vec::new();
    let refused = loop {
        // One runs and sixteen wait.
        assert!(crowd.len() < 40, "the queue has no end");
        let full = worker.metric("waiting") >= 16.0;
        if full {
            break worker.chat(ask("A dog", json!({})));
        }
        crowd.push(worker.open("POST", "/v1/chat/completions", &endless(json!({})).to_string()));
        thread::yield_now();
    };
    assert_eq!(refused.error(), (503, None, Some("overloaded".to_owned())));
    assert!(refused.head.contains("retry-after-ms: 500"), "{}", refused.head);
    drop(crowd);
    while worker.metric("waiting") > 0.0 {
        thread::yield_now();
    }
    assert_eq!(worker.chat(ask("A dog", json!({}))).status, 200);
}

#[test]
fn sentences_of_one_meaning_have_near_vectors() {
    let folder = Folder::new("embeddings");
    let Some(model) = shared("embed/all-MiniLM-L6-v2-q8_0.gguf") else { return };
    let worker = Worker::expert(&folder, &model, "context = 256\nuse = \"embeddings\"\n");
    let texts =
        ["A cat sits on the mat.", "A kitten is resting on a rug.", "Shares fell after the bank's report."];
    let answer = worker.post("/v1/embeddings", &json!({"model": "e", "input": texts})).good();
    let vectors: Vec<Vec<f64>> =
        (0..3).map(|n| serde_json::from_value(answer["data"][n]["embedding"].clone()).unwrap()).collect();
    let near = |a: usize, b: usize| vectors[a].iter().zip(&vectors[b]).map(|(a, b)| a * b).sum::<f64>();
    assert_eq!(vectors[0].len(), 384);
    assert!((near(0, 0) - 1.0).abs() < 1e-4, "{}", near(0, 0));
    assert!(near(0, 1) > 0.5 && near(0, 2) < 0.2, "{} {}", near(0, 1), near(0, 2));
    let body = json!({"model": "e", "input": texts[0], "encoding_format": "base64"});
    let coded = worker.post("/v1/embeddings", &body).good();
    let first = coded["data"][0]["embedding"].as_str().unwrap();
    assert_eq!(first.len(), (384usize * 4).div_ceil(3) * 4);
    // Whoever knows the address alone.
    let auto = worker.post("/v1/embeddings", &json!({"model": "auto", "input": texts[0]})).good();
    assert_eq!((&auto["model"], &auto["data"][0]), (&json!("e"), &answer["data"][0]));
    let chat = json!({"model": "auto", "messages": [{"role": "user", "content": "x"}]});
    assert_eq!(worker.post("/v1/chat/completions", &chat).status, 404);
    let long = json!({"model": "e", "input": ["x", "word ".repeat(400)]});
    let error = worker.post("/v1/embeddings", &long).error();
    assert_eq!(error, (400, Some("input[1]".to_owned()), Some("context_length_exceeded".to_owned())));
}

#[test]
fn what_the_node_holds_follows_its_assignment() {
    let folder = Folder::new("assignment");
    let Some(model) = shared("llm/stories260K.gguf") else { return };
    let models = folder.0.join("models");
    std::fs::create_dir_all(&models).unwrap();
    std::fs::copy(&model, models.join("a.gguf")).unwrap();
    std::fs::write(models.join("broken.gguf"), b"GGUF and nothing else").unwrap();
    std::fs::create_dir_all(folder.0.join("agent")).unwrap();
    let file = folder.0.join("agent/assignment.json");
    let arguments = ["--models", models.to_str().unwrap(), "--assignment", file.to_str().unwrap()];
    let mut worker = Worker::start(&folder.0, &arguments);
    // Nobody said anything yet: the smallest model that is one.
    worker.hear("local is served");
    let given = |name: &str, model: &str| json!({"expert": {"name": name, "model": model, "quantisation": "F32", "context": 128}, "persona": "Be brief."});
    let assign = |generation: u64, experts: &[Value]| {
        let text =
            json!({"generation": generation, "build": "", "experts": experts, "stages": []}).to_string();
        std::fs::write(file.with_extension("new"), text).unwrap();
        std::fs::rename(file.with_extension("new"), &file).unwrap();
    };
    assign(3, &[given("good", "a.gguf"), given("bad", "broken.gguf")]);
    let names = ["good is served", "bad is not served"];
    let first = worker.hear("served");
    let second = worker.hear("served");
    for name in names {
        assert!(first.contains(name) || second.contains(name), "{first}{second}");
    }
    let mut body = ask("A dog", json!({"model": "good", "max_tokens": 4}));
    assert_eq!(worker.chat(body.clone()).status, 200);
    let health = worker.health();
    let holds: split::report::Holds = serde_json::from_value(health["holds"].clone()).unwrap();
    assert_eq!((holds.generation, holds.check()), (3, Ok(())));
    let told = |n: usize| (holds.experts[n].name.as_str(), holds.experts[n].state, holds.experts[n].slots);
    assert_eq!([told(0), told(1)], [("bad", HeldState::Failed, 0), ("good", HeldState::Ready, 1)]);
    let files: Vec<&str> = holds.files.iter().map(|told| told.file.as_str()).collect();
    assert_eq!((files, holds.speeds[0].model.as_str()), (vec!["a.gguf", "broken.gguf"], "a.gguf"));
    // Beside the weights, 256 positions of 5 layers of 4 heads of 8 numbers, keys and values, two bytes each, and what
    // computing takes.
    let beside = holds.experts[1].bytes - health["experts"][1]["weight_bytes"].as_u64().unwrap();
    assert!((256 * 5 * 128..8 << 20).contains(&beside), "{beside}");
    assert!(holds.experts[0].sentence.contains("broken.gguf"), "{}", holds.experts[0].sentence);
    body["model"] = json!("local");
    assert_eq!(worker.chat(body.clone()).error().0, 404);
    // Nonsense changes nothing.
    std::fs::write(&file, "{").unwrap();
    worker.hear("is not followed");
    body["model"] = json!("good");
    assert_eq!(worker.chat(body).status, 200);
}

#[test]
fn the_persona_is_read_once_and_survives_a_restart() {
    let folder = Folder::new("warm");
    let Some(model) = shared("llm/stories260K.gguf") else { return };
    std::fs::create_dir_all(folder.0.join("x")).unwrap();
    std::fs::create_dir_all(folder.0.join("personas")).unwrap();
    std::fs::write(folder.0.join("personas/kind.txt"), "You are kind to all animals, large or small.")
        .unwrap();
    let text =
        "name = \"e\"\nmodel = \"m.gguf\"\nquantisation = \"F32\"\ncontext = 512\npersona = \"kind\"\n";
    std::fs::write(folder.0.join("x/e.toml"), text).unwrap();
    let warm = folder.0.join("warm");
    std::fs::create_dir_all(&warm).unwrap();
    let (expert, warm_text) = (folder.0.join("x/e.toml"), warm.to_str().unwrap().to_owned());
    let arguments =
        ["--expert", expert.to_str().unwrap(), "--model", model.to_str().unwrap(), "--warm", &warm_text];
    let (mut told, mut written) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let mut worker = Worker::start(&folder.0, &arguments);
        worker.hear("e is served");
        let answer = worker.chat(ask("A dog", json!({"temperature": 0}))).good();
        let cached = answer["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap();
        assert!(cached > 10, "{answer}");
        told.push((cached, answer["choices"][0]["message"]["content"].clone()));
        let mut files = std::fs::read_dir(&warm).unwrap();
        written.push(files.next().unwrap().unwrap().metadata().unwrap().modified().unwrap());
        assert!(files.next().is_none());
    }
    assert_eq!(told[0], told[1]);
    // It was taken as it was: one that does not fit is written anew.
    assert_eq!(written[0], written[1]);
}
