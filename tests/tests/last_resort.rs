//! The language model of our own, with the real rpc-worker: alone on a node it talks, calls tools and says what it does not
//! know, and of calls that its training never saw at least 95 of 100 are exact.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use admission::{ApiKey, ApiKeyFile, KeyLimits};
use agent::answer::TOOLS;
use agent::brain::library::Library;
use agent::tools::setup::Setup;
use agent::tools::talking;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tests::network::inside;
use tests::shelf::{Programs, Shelf};
use tests::worker::Worker;

const PROGRAMS: Programs =
    Programs { agent: env!("CARGO_BIN_EXE_agent-under-test"), duet: env!("CARGO_BIN_EXE_duet-under-test") };
const KEY: &str = "duet-key-of-the-tests";
const LIMITS: KeyLimits = KeyLimits { per_minute: 60_000, at_once: 64, tokens_per_day: 9_000_000 };
const MODEL: &str = "duet-talk-q8_0.gguf";
const DUNNO: &str = "I do not know that.";

/// The program that was built beside `agent`, and the model of the repository.
fn needs(test: &str) -> Option<(PathBuf, PathBuf)> {
    let program = Path::new(PROGRAMS.agent).with_file_name("rpc-worker");
    if !program.is_file() {
        let why = format!("there is no {}: cargo build -p rpc-worker makes it", program.display());
        tests::skip(test, &why);
        return None;
    }
    Some((program, tests::repository().join("models/default").join(MODEL)))
}

fn post(there: SocketAddr, path: &str, body: &str) -> String {
    let Ok(mut stream) = TcpStream::connect_timeout(&there, Duration::from_secs(2)) else {
        return String::new();
    };
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let key = format!("Authorization: Bearer {KEY}\r\n");
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: application/json\r\n{key}"
    );
    let _ = write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len());
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}

/// The expert's file as it ships, without the name of the model.
fn expert() -> String {
    let text = std::fs::read_to_string(tests::repository().join("models/experts/last-resort.toml")).unwrap();
    text.lines()
        .filter(|line| !line.starts_with("name ") && !line.starts_with("quant"))
        .fold(String::new(), |all, line| all + line + "\n")
}

#[test]
fn a_node_with_nothing_but_the_last_resort_answers() {
    const NAME: &str = "a_node_with_nothing_but_the_last_resort_answers";
    let Some((worker, model)) = needs(NAME) else { return };
    if !inside(NAME) {
        return;
    }
    let mut shelf = Shelf::unplugged(PROGRAMS, "last-resort", 1);
    let file = shelf.out.join("keys.json");
    let keys = vec![ApiKey::new("tester", KEY, LIMITS).unwrap().with_voice()];
    std::fs::write(&file, ApiKeyFile { version: 1, keys }.to_json()).unwrap();
    shelf.put_expert("last-resort", &expert());
    shelf.put_model(0, MODEL, &model);
    shelf.nodes[0].root.put_proc("attic", 1000, 500);
    let (experts, models) = (shelf.experts(), shelf.models(0));
    let words = [("--api-keys", &file), ("--experts", &experts), ("--models", &models)];
    let words = words.iter().flat_map(|(name, value)| [(*name).to_owned(), value.display().to_string()]);
    shelf.nodes[0].words = words.collect();
    shelf.start(0);
    shelf.start_worker(0, &worker);
    shelf.wait_alive("it is there", &[0], 2);
    let say = |text: &str| {
        let body = json!({ "text": text, "conversation": "c" });
        shelf.network.hosts[0]
            .on(move || post((Ipv4Addr::LOCALHOST, 8000).into(), "/api/message", &body.to_string()))
    };
    shelf.wait("the last resort is served", || say("who was Napoleon").contains("last-resort on attic"));
    let said = |text: &str| words_of(&say(text));
    assert!(said("who are you").contains("I am duet"), "{}", say("who are you"));
    assert!(said("help me").contains("I can tell the time"), "{}", say("help me"));
    assert!(said("Hi there!").starts_with("Hello."), "{}", say("Hi there!"));
    // What cannot be known, be it as long as it may.
    for text in ["who painted the Mona Lisa?".to_owned(), format!("who painted {}?", "🦊".repeat(900))] {
        assert!(said(&text).starts_with(DUNNO), "{text}: {}", say(&text));
    }
    // No intent knows these words.
    let call = |tool: &str| {
        let body = json!({ "tool": tool, "arguments": {} });
        let ran = move || post((Ipv4Addr::LOCALHOST, 8000).into(), "/api/tools/run", &body.to_string());
        shelf.network.hosts[0].on(ran)
    };
    let before = call("timers");
    let told = say("the potatoes take twenty-five minutes");
    let after = call("timers");
    assert_ne!(before, after, "{told}");
    assert!(after.contains("24 minutes") || after.contains("25 minutes"), "{after}");
}

fn words_of(answer: &str) -> String {
    let words = answer.lines().filter_map(|line| line.strip_prefix("data: {\"words\":"));
    words.filter_map(|json| serde_json::from_str::<String>(json.strip_suffix('}')?).ok()).collect()
}

/// What the product's brain would send: its words, its tools, its grammar, as a text, because no map keeps a schema's order.
fn question(said: &str, system: &str, schema: &str) -> String {
    let messages = json!([{ "role": "system", "content": system }, { "role": "user", "content": said }]);
    let format = format!(r#"{{"type":"json_schema","json_schema":{{"name":"call","schema":{schema}}}}}"#);
    format!(
        r#"{{"model":"last-resort","messages":{messages},"max_tokens":200,"temperature":0,"response_format":{format}}}"#
    )
}

#[test]
fn of_held_out_calls_at_least_95_in_100_are_exact() {
    const NAME: &str = "of_held_out_calls_at_least_95_in_100_are_exact";
    let Some(needs) = needs(NAME) else { return };
    let folder = std::env::temp_dir().join(format!("duet-held-out-{}", std::process::id()));
    let setup = Setup::new(&folder, None);
    let mut specs: Vec<tools::Spec> = setup.desk.specs().into_iter().map(|(spec, _)| spec).collect();
    specs.extend(talking::specs());
    let schema = tools::schema::calls(&specs);
    let persona = Library::shipped(&TOOLS).persona("tools").unwrap();
    let lines: String = specs.iter().map(|spec| format!("\n- {}", spec.line())).collect();
    let system = format!("{}\nThe tools:{lines}", persona.prompt);
    let worker = Worker::start(&needs, NAME, "last-resort", "context = 1024\nslots = 1\n");
    let held_out = tests::repository().join("models/train/language/held-out.jsonl");
    let text = std::fs::read_to_string(held_out).unwrap();
    let (mut n, mut wrong) = (0, vec![]);
    for line in text.lines() {
        let wanted: Value = serde_json::from_str(line).unwrap();
        let said = wanted["said"].as_str().unwrap();
        let told = post(worker.address, "/v1/chat/completions", &question(said, &system, &schema));
        let told: Value = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"));
        let call = told["choices"][0]["message"]["content"].as_str().unwrap_or_else(|| panic!("{told}"));
        let (tool, arguments) = read(call, &specs);
        n += 1;
        if tool != wanted["call"]["tool"] || arguments != wanted["call"]["arguments"] {
            wrong.push(format!("{said}: {call}"));
        }
    }
    assert!(n >= 200 && wrong.len() * 20 <= n, "{} of {n} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// A call as the desk reads it.
fn read(call: &str, specs: &[tools::Spec]) -> (String, Value) {
    let call: Value = serde_json::from_str(call).unwrap_or_else(|error| panic!("{error}: {call}"));
    let tool = call["tool"].as_str().unwrap().to_owned();
    let Some(spec) = specs.iter().find(|spec| spec.name == tool) else { return (tool, json!({})) };
    let checked = spec.check(call["arguments"].as_object().unwrap()).unwrap();
    let value = |argument: tools::Argument| match argument {
        tools::Argument::Text(text) => json!(text),
        tools::Argument::Whole(number) => json!(number),
        tools::Argument::YesNo(is_yes) => json!(is_yes),
        tools::Argument::Json(value) => value,
    };
    (tool, checked.into_iter().map(|(name, argument)| (name, value(argument))).collect())
}
