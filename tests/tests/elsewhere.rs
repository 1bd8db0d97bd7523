//! Tools here or elsewhere, and what a node's tier means, with real agents on hosts of their own.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

#[path = "../../crates/engine/tests/common/families.rs"]
mod families;
#[allow(dead_code)] // Only its vocabulary is needed.
#[path = "../../crates/engine/tests/common/tiny.rs"]
mod tiny;

use admission::{ApiKey, ApiKeyFile, KeyLimits};
use families::{ALL, Family, model};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tests::network::inside;
use tests::shelf::{Programs, Shelf};
use tests::worker::Worker;

const PROGRAMS: Programs =
    Programs { agent: env!("CARGO_BIN_EXE_agent-under-test"), duet: env!("CARGO_BIN_EXE_duet-under-test") };
const KEY: &str = "duet-key-of-the-tests";
const KEY_OF_MODELS: &str = "duet-key-of-the-models";
const LIMITS: KeyLimits = KeyLimits { per_minute: 60_000, at_once: 64, tokens_per_day: 9_000_000 };
const RUN: &str = "/api/tools/run";

/// One request from wherever this thread is; status and body, 0 where nobody answers.
fn exchange(there: SocketAddr, path: &str, key: Option<&str>, body: Option<&Value>) -> (u16, Value) {
    let Ok(mut stream) = TcpStream::connect_timeout(&there, Duration::from_secs(2)) else {
        return (0, Value::Null);
    };
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let method = if body.is_some() { "POST" } else { "GET" };
    let body = body.map(Value::to_string).unwrap_or_default();
    let key = key.map(|key| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n{key}");
    let _ = write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len());
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    let status = text.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
}

/// Asks a node on itself, with the key for the voice.
fn ask(shelf: &Shelf, idx: usize, path: &str, body: Option<Value>) -> (u16, Value) {
    let path = path.to_owned();
    let there = SocketAddr::from((Ipv4Addr::LOCALHOST, 8000));
    shelf.network.hosts[idx].on(move || exchange(there, &path, Some(KEY), body.as_ref()))
}

fn call(shelf: &Shelf, idx: usize, tool: &str, arguments: Value) -> Value {
    let (status, told) = ask(shelf, idx, RUN, Some(json!({ "tool": tool, "arguments": arguments })));
    assert_eq!(status, 200, "{told}");
    told
}

fn sum(shelf: &Shelf, idx: usize) -> Value {
    call(shelf, idx, "calculator", json!({ "sum": "6*7" }))
}

/// How often a node's book says that somebody's call of a tool was done.
fn n_done(shelf: &Shelf, idx: usize, tool: &str, asker: &str) -> usize {
    let (_, book) = ask(shelf, idx, "/api/tools/audit", None);
    let calls = book["calls"].as_array().cloned().unwrap_or_default();
    let is_it = |call: &&Value| call["tool"] == tool && call["asker"] == asker && call["outcome"] == "done";
    calls.iter().filter(is_it).count()
}

/// Nodes that are called like this and have so much memory, with further words for their agents.
fn shelf(name: &str, nodes: &[(&str, u64, &[&str])]) -> Shelf {
    let mut shelf = Shelf::unplugged(PROGRAMS, name, nodes.len());
    let key = |name, text| ApiKey::new(name, text, LIMITS).unwrap();
    let keys = vec![key("tester", KEY).with_voice(), key("editor", KEY_OF_MODELS)];
    let file = shelf.out.join("keys.json");
    std::fs::write(&file, ApiKeyFile { version: 1, keys }.to_json()).unwrap();
    for (idx, (name, mib, words)) in nodes.iter().enumerate() {
        shelf.nodes[idx].root.put_proc(name, *mib, mib / 2);
        // The fixture's cannot be added to.
        let etc = shelf.nodes[idx].root.path().join("etc");
        std::fs::remove_file(&etc).unwrap();
        std::fs::create_dir_all(etc.join("duet-agent")).unwrap();
        let own = ["--api-keys", file.to_str().unwrap()];
        shelf.nodes[idx].words = own.iter().chain(words.iter()).map(ToString::to_string).collect();
        shelf.start(idx);
    }
    let all: Vec<usize> = (0..nodes.len()).collect();
    shelf.wait_alive("all meet", &all, nodes.len() as u64 + 1);
    all.iter().for_each(|idx| shelf.join_overlay(*idx));
    shelf
}

/// What a node knows of another.
fn facts(shelf: &Shelf, at: usize, of: usize) -> Value {
    let members = shelf.cluster(at)["picture"]["members"].as_array().cloned().unwrap_or_default();
    let found = members.into_iter().find(|member| member["id"] == shelf.nodes[of].id.as_str());
    found.unwrap_or_default()
}

fn runs_tools(shelf: &Shelf, at: usize, of: usize) -> bool {
    let services = facts(shelf, at, of)["facts"]["services"].as_array().cloned().unwrap_or_default();
    services.iter().any(|service| service["name"] == "tools")
}

fn put_settings(shelf: &Shelf, text: &str) {
    std::fs::write(shelf.out.join("state/duet.toml"), text).unwrap();
}

/// What the owner of a node says of tools.
fn put_rules(shelf: &Shelf, idx: usize, text: &str) {
    shelf.nodes[idx].root.put("etc/duet-agent/tools.toml", text);
}

#[test]
fn a_split_node_leaves_heavy_calls_to_another_and_keeps_light_ones() {
    const NAME: &str = "a_split_node_leaves_heavy_calls_to_another_and_keeps_light_ones";
    if !inside(NAME) {
        return;
    }
    let nodes: [(&str, u64, &[&str]); 2] = [("kitchen", 1000, &[]), ("attic", 4000, &[])];
    let mut shelf = shelf("elsewhere", &nodes);
    let settings = "[tools]\nmode = 'split'\nheavy = ['calculator', 'file.write']\nnever_here = true\n";
    put_settings(&shelf, settings);
    shelf.wait("the kitchen knows who runs tools", || runs_tools(&shelf, 0, 1));
    assert!(!runs_tools(&shelf, 1, 0), "an edge node runs no tools for others");
    assert_eq!(
        (&facts(&shelf, 1, 0)["facts"]["tier"], &facts(&shelf, 0, 1)["facts"]["tier"]),
        (&json!("edge"), &json!("mid"))
    );
    assert!(shelf.duet_nodes(&["list"]).contains(" edge "), "{}", shelf.duet_nodes(&["list"]));
    // Doors on the overlay open, and settings come, by and by.
    shelf.wait("a heavy call runs in the attic", || {
        sum(&shelf, 0) == json!({"ok": "6*7 = 42"}) && n_done(&shelf, 1, "calculator", "the node kitchen") > 0
    });
    assert!(n_done(&shelf, 0, "calculator", "the key tester") > 0, "the kitchen writes it down too");
    assert!(call(&shelf, 0, "file.list", json!({}))["ok"].is_string());
    assert_eq!(n_done(&shelf, 1, "file.list", "the node kitchen"), 0, "a light call stays");
    // Split here too, and nobody sends it round: the kitchen runs nothing for others.
    assert_eq!(sum(&shelf, 1)["failed"], "no other node that runs calculator for this one can be reached");

    a_person_is_asked_once(&shelf);
    strangers_are_refused(&shelf);

    // The other one dies.
    shelf.kill(1);
    let told = sum(&shelf, 0)["failed"].as_str().unwrap().to_owned();
    assert!(told.contains("reached"), "{told}");
    put_settings(&shelf, "");
    shelf.wait("all runs here again", || sum(&shelf, 0) == json!({"ok": "6*7 = 42"}));
}

fn a_person_is_asked_once(shelf: &Shelf) {
    let asked = json!({ "path": "note.txt", "text": "hello" });
    let pending =
        |idx: usize| ask(shelf, idx, "/api/approvals", None).1["pending"].as_array().unwrap().clone();
    let write = |yes: bool| {
        std::thread::scope(|scope| {
            let running = scope.spawn(|| call(shelf, 0, "file.write", asked.clone()));
            shelf.wait("the kitchen's person is asked", || !pending(0).is_empty());
            let shown = pending(0)[0].clone();
            assert_eq!(shown["will_run"], format!("file.write {asked}"));
            assert!(pending(1).is_empty());
            ask(shelf, 0, "/api/approvals", Some(json!({ "id": shown["id"], "yes": yes })));
            running.join().unwrap()
        })
    };
    let is_there = |idx: usize| shelf.nodes[idx].memory.join("workspace/note.txt").exists();
    assert_eq!(write(false)["failed"], "file.write did not run: a person said no");
    assert!(!is_there(0) && !is_there(1));
    assert_eq!(write(true), json!({"ok": "note.txt holds 5 bytes now"}));
    assert!(is_there(1) && !is_there(0));
    put_rules(shelf, 1, "[risk]\n\"file.write\" = \"forbidden\"\n");
    shelf.wait("the attic's rule holds", || {
        let all = ask(shelf, 1, "/api/tools", None).1["tools"].as_array().unwrap().clone();
        all.iter().any(|tool| tool["name"] == "file.write" && tool["risk"] == "forbidden")
    });
    assert_eq!(write(true)["failed"], "attic: file.write is forbidden on this node");
}

fn strangers_are_refused(shelf: &Shelf) {
    let overlay: IpAddr = facts(shelf, 0, 1)["overlay"].as_str().unwrap().parse().unwrap();
    let page = SocketAddr::from((shelf.network.hosts[1].address, 8000));
    let body = json!({ "tool": "calculator", "arguments": { "sum": "1+1" } });
    let before = ask(shelf, 1, "/api/tools/audit", None).1["calls"].as_array().unwrap().len();
    for (key, want) in [(None, 401), (Some("duet-a-wrong-key"), 401), (Some(KEY_OF_MODELS), 403)] {
        assert_eq!(exchange(page, RUN, key, Some(&body)).0, want, "{key:?}");
    }
    // On the overlay's wire, with an address of its network that is no member's.
    let strange = format!(
        "{}dead/64",
        overlay.to_string().rsplit_once(':').map(|(start, _)| format!("{start}:")).unwrap()
    );
    let done = Command::new("ip").args(["addr", "add", &strange, "dev", "whole0", "nodad"]).status().unwrap();
    assert!(done.success(), "{strange}");
    let (status, told) = exchange(SocketAddr::from((overlay, 8000)), RUN, Some(KEY), Some(&body));
    assert_eq!((status, told), (403, json!("the sender is no member\n")));
    let after = ask(shelf, 1, "/api/tools/audit", None).1["calls"].as_array().unwrap().len();
    assert_eq!(before, after, "nothing was run for a stranger");
}

#[test]
fn a_mid_node_answers_alone_and_an_edge_node_says_why_it_cannot() {
    const NAME: &str = "a_mid_node_answers_alone_and_an_edge_node_says_why_it_cannot";
    let needs = Worker::needs(Path::new(PROGRAMS.agent), "llm/stories260K.gguf");
    let (worker, _) = match needs {
        Ok(needs) => needs,
        Err(why) => return tests::skip(NAME, &why),
    };
    if !inside(NAME) {
        return;
    }
    let mut shelf = Shelf::unplugged(PROGRAMS, "tiers", 2);
    let file = shelf.out.join("keys.json");
    let keys = vec![ApiKey::new("tester", KEY, LIMITS).unwrap().with_voice()];
    std::fs::write(&file, ApiKeyFile { version: 1, keys }.to_json()).unwrap();
    let lines = "model = \"small.gguf\"\ncontext = 8192\nslots = 1\ncopies = 1\n";
    shelf.put_expert("small", &format!("{lines}tags = [\"small\"]\nfallback = true\n"));
    // Its words mean nothing, and there is room for a whole prompt.
    let random = shelf.out.join("random.gguf");
    std::fs::write(&random, model(&Family { n_ctx: 8192, ..ALL[0] })).unwrap();
    shelf.put_model(0, "small.gguf", &random);
    std::fs::create_dir_all(shelf.models(1)).unwrap();
    for (idx, tier) in [(0, "mid"), (1, "edge")] {
        shelf.nodes[idx].root.put_proc(["attic", "kitchen"][idx], 2000, 1000);
        let (experts, models) = (shelf.experts(), shelf.models(idx));
        let words = [
            ("--api-keys", file.as_path()),
            ("--experts", &experts),
            ("--models", &models),
            ("--tier", Path::new(tier)),
        ];
        let words = words.iter().flat_map(|(name, value)| [(*name).to_owned(), value.display().to_string()]);
        shelf.nodes[idx].words = words.collect();
        shelf.start(idx);
    }
    shelf.start_worker(0, &worker);
    shelf.wait_alive("both meet", &[0, 1], 3);
    (0..2).for_each(|idx| shelf.join_overlay(idx));
    let hello = |idx: usize| {
        let body = json!({ "text": "Tell me about a little dog.", "conversation": "c" });
        let (_, told) = ask(&shelf, idx, "/api/message", Some(body));
        told.as_str().unwrap_or_default().to_owned()
    };
    shelf.wait("both answer with the attic's model", || {
        (0..2).all(|idx| {
            let told = hello(idx);
            told.contains("small on attic") && told.contains("event: done")
        })
    });
    // The attic is alone with its model, and the kitchen without any.
    shelf.network.cut(&[0]);
    shelf.wait("they lose each other", || shelf.standing(0, 1) == "down" && shelf.standing(1, 0) == "down");
    let told = hello(0);
    assert!(told.contains("event: done") && !told.contains("cannot reach"), "{told}");
    let told = hello(1);
    for want in [
        "I cannot reach a model: no node serves a model for this at the moment",
        "this PC is of the tier edge",
        "it has no model of its own",
        "no other PC with a model can be reached",
    ] {
        assert!(words_of(&told).contains(want), "{told}");
    }
    let status = shelf.network.hosts[1].on(|| tests::shelf::get("/api/status.txt"));
    assert!(status.contains("edge: said by the owner"), "{status}");
}

fn words_of(answer: &str) -> String {
    let words = answer.lines().filter_map(|line| line.strip_prefix("data: {\"words\":"));
    words.filter_map(|json| serde_json::from_str::<String>(json.strip_suffix('}')?).ok()).collect()
}
