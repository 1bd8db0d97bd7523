//! Real clients: the libraries named openai of Python and of Node, as they are published, against agent and gateway.
//!
//! They are installed once, below `clients` of the build's folder, in the versions that `tests/clients` names.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use admission::KeyLimits;
use serde_json::{Value, json};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use tests::clients::source;
use tests::gateway::{Gateway, KEY};
use tests::model::{Manner, Model};
use tests::node::WAIT_MAX;
use tests::worker::{Fate, Worker, wire};

/// All that each client must be able to do.
const CASES: [&str; 12] = [
    "a_list",
    "a_chat",
    "a_stream",
    "a_tool",
    "a_schema",
    "a_completion",
    "an_embedding",
    "errors",
    "limits",
    "a_retry",
    "a_break",
    "a_cancel",
];

const LIMITS: KeyLimits = KeyLimits { per_minute: 6000, at_once: 64, tokens_per_day: 1_000_000 };

fn python(script: &str) -> Result<Command, String> {
    tests::clients::python("python", "requirements.txt", script)
}

fn node(script: &str) -> Result<Command, String> {
    let folder = tests::clients::npm()?;
    // Node looks for the library beside the script.
    let script = format!("{script}.mjs");
    fs::copy(source(&script), folder.join(&script)).map_err(|error| error.to_string())?;
    let mut command = Command::new("node");
    command.arg(folder.join(script));
    Ok(command)
}

fn gateway(name: &str, limits: KeyLimits, model: Option<&Model>) -> Gateway {
    let models: Vec<SocketAddr> = model.map(|model| model.address).into_iter().collect();
    gateway_to(name, limits, &models)
}

fn gateway_to(name: &str, limits: KeyLimits, models: &[SocketAddr]) -> Gateway {
    let words = models.iter().flat_map(|address| ["--llm-last-resort".into(), format!("http://{address}")]);
    Gateway::start(agent(), name, limits, &words.collect::<Vec<_>>())
}

fn agent() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_agent-under-test"))
}

/// Every case of one client, each against a gateway whose model behaves as the case needs it.
fn check(name: &str, client: Result<Command, String>) {
    let mut client = match client {
        Ok(client) => client,
        Err(why) => return tests::skip(name, &why),
    };
    let models = [Manner::Well, Manner::FullOnce, Manner::BreaksLate, Manner::Endless].map(Model::new);
    let [well, full_once, breaks, endless] = &models;
    let narrow = KeyLimits { per_minute: 1, ..LIMITS };
    let gateways = [
        ("WELL", LIMITS, Some(well)),
        ("FULL_ONCE", LIMITS, Some(full_once)),
        ("BREAKS", LIMITS, Some(breaks)),
        ("ENDLESS", LIMITS, Some(endless)),
        ("LIMITED", narrow, Some(well)),
        ("ALONE", LIMITS, None),
    ];
    let gateways =
        gateways.map(|(which, limits, model)| (which, gateway(&format!("{name}-{which}"), limits, model)));
    for (which, gateway) in &gateways {
        client.env(format!("DUET_{which}"), format!("http://{}/v1", gateway.address));
    }
    run(client, &CASES);
    assert_eq!(full_once.n_heard(), 2, "the client was to ask twice");
    endless.gone.recv_timeout(WAIT_MAX).expect("the model still writes for a client that is gone");
}

fn run(mut client: Command, cases: &[&str]) {
    let output = client.env("DUET_KEY", KEY).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let done: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("ok ")).collect();
    assert_eq!(done, cases, "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What each client must be able to do with a real model.
const WORKER_CASES: [&str; 15] = [
    "a_list",
    "a_chat",
    "a_stream",
    "a_tool",
    "a_choice_of_tools",
    "a_streamed_tool",
    "a_schema",
    "a_stop",
    "a_seed",
    "a_completion",
    "an_embedding",
    "errors",
    "a_retry",
    "a_cancel",
    "a_handover",
];

/// The same with rpc-worker, of which one dies in the middle of a stream.
fn check_worker(name: &str, client: Result<Command, String>) {
    let needs = ["llm/stories260K.gguf", "embed/all-MiniLM-L6-v2-q8_0.gguf"];
    let [Ok(needs), Ok(vectors)] = needs.map(|model| Worker::needs(agent(), model)) else {
        return tests::skip(name, "there is no rpc-worker, or no models in DUET_MODELS_DATA");
    };
    let mut client = match client {
        Ok(client) => client,
        Err(why) => return tests::skip(name, &why),
    };
    let folder = std::env::temp_dir().join(format!("duet-clients-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let model = folder.join("long.gguf");
    fs::write(&model, tests::worker::with_long_context(fs::read(&needs.1).unwrap())).unwrap();
    let needs = (needs.0, model);
    let [well, dies] = [0, 1].map(|_| Worker::start(&needs, name, "e", "context = 16384\n"));
    let vectors = Worker::start(&vectors, name, "v", "context = 256\nuse = \"embeddings\"\n");
    // Nobody listens there any more.
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let breaks = wire(&dies, Fate::Killed, 20);
    let gateways = [
        ("WELL", vec![well.address]),
        ("BREAKS", vec![breaks, well.address]),
        ("DEAD", vec![dead, well.address]),
        ("VECTORS", vec![vectors.address]),
    ];
    let gateways =
        gateways.map(|(which, models)| (which, gateway_to(&format!("{name}-{which}"), LIMITS, &models)));
    for (which, gateway) in &gateways {
        client.env(format!("DUET_{which}"), format!("http://{}/v1", gateway.address));
    }
    run(client, &WORKER_CASES);
    let metrics = tests::node::get(well.address, "/metrics");
    assert!(metrics.contains("duet_expert_cancelled_total{expert=\"e\"} 1\n"), "{metrics}");
    fs::remove_dir_all(&folder).unwrap();
}

/// What does not need a second copy or another model, of one that is cut over two nodes.
fn check_ring(name: &str, client: Result<Command, String>) {
    let needs = match Worker::needs(agent(), "llm/stories260K.gguf") {
        Ok(needs) => needs,
        Err(why) => return tests::skip(name, &why),
    };
    let mut client = match client {
        Ok(client) => client,
        Err(why) => return tests::skip(name, &why),
    };
    let folder = std::env::temp_dir().join(format!("duet-clients-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let model = folder.join("long.gguf");
    fs::write(&model, tests::worker::with_long_context(fs::read(&needs.1).unwrap())).unwrap();
    let needs = (needs.0, model);
    // Both are taken until both are known.
    let [one, two] = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    let addresses = [one, two].map(|listener| listener.local_addr().unwrap());
    let [_other, head] = [1, 0].map(|idx| {
        let assignment = ring(idx, addresses).to_string();
        Worker::assigned(&needs, name, addresses[idx], &assignment)
    });
    // In whatever order.
    let mut told = String::new();
    while !["is served", "the ring is closed"].iter().all(|words| told.contains(words)) {
        told += &head.hear("rpc-worker: ");
    }
    let gateway = gateway_to(name, LIMITS, &[head.address]);
    client.env("DUET_WELL", format!("http://{}/v1", gateway.address));
    let alone = ["an_embedding", "a_retry", "a_handover"];
    let cases: Vec<&str> = WORKER_CASES.into_iter().filter(|case| !alone.contains(case)).collect();
    client.args(&cases);
    run(client, &cases);
    fs::remove_dir_all(&folder).unwrap();
}

/// What one of two nodes is to hold: two layers of five, or three.
fn ring(idx: usize, addresses: [SocketAddr; 2]) -> Value {
    let (first, last) = [(0, 2), (2, 5)][idx];
    let expert = json!({"name": "e", "model": "m.gguf", "quantisation": "F32", "context": 16384, "slots": 1});
    let stage = json!({
        "given": {"expert": expert, "persona": ""},
        "first": first,
        "last": last,
        "of": 5,
        "stage_idx": idx,
        "n_stages": 2,
        "slice": split::assign::slice_file("m.gguf", first, last),
        "previous": addresses[1 - idx],
        "next": addresses[1 - idx],
        "key": "a".repeat(32),
    });
    json!({"generation": 1, "build": "", "experts": [], "stages": [stage]})
}

#[test]
fn the_python_library_talks_to_a_model_that_is_cut() {
    check_ring("python-ring", python("worker"));
}

#[test]
fn the_node_library_talks_to_a_model_that_is_cut() {
    check_ring("node-ring", node("worker"));
}

#[test]
fn the_python_library_talks_to_a_real_model_and_sees_no_break() {
    check_worker("python-worker", python("worker"));
}

#[test]
fn the_node_library_talks_to_a_real_model_and_sees_no_break() {
    check_worker("node-worker", node("worker"));
}

#[test]
fn the_python_library_does_all_it_is_used_for() {
    check("python", python("client"));
}

#[test]
fn the_node_library_does_all_it_is_used_for() {
    check("node", node("client"));
}
