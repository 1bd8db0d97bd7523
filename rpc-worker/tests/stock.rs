//! Stock llama.cpp clients through the real gate to the real server: what they are given, and what they cannot break.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

mod common;
#[path = "common/stock.rs"]
mod wire;

use common::models::families::{self, Family};
use common::models::{Folder, best, bits};
use common::{Worker, shared};
use engine::stock::Remote;
use engine::{Cache, Context, Load, Model, Settings, Token};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeSet;
use std::net::SocketAddrV4;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use wire::{Client, Place, Tensor, children, graph, knock, lender, stat};

const MIB: u64 = 1 << 20;

/// A new client is served as if nothing had been.
fn check_served(worker: &Worker) {
    let (mut client, place) = Client::with_buffer(worker, MIB);
    let row = Tensor::row(1, 4, place);
    client.send(wire::SET, &[&row.bytes(), &[0], &[0; 8], &[7; 16]]);
    let sum = Tensor::row(2, 4, Place { base: place.base + 64, ..place }).of(2, &[1, 1]);
    client.send(wire::GRAPH, &[&graph(&[2], &[row, sum.clone()])]);
    let told = client.ask(wire::GET, &[&sum.bytes(), &[0; 8], &16u64.to_le_bytes()]);
    let want = f32::from_le_bytes([7; 4]) * 2.0;
    assert_eq!(told, [want; 4].map(f32::to_le_bytes).concat());
}

/// This is refused for this reason, nothing dies of it but the lease, and the next client is served.
fn check_refused(worker: &mut Worker, pid: u32, want: &str, what: impl FnOnce(&mut Client, Place)) {
    let (mut client, place) = Client::with_buffer(worker, MIB);
    what(&mut client, place);
    assert!(client.is_ended(), "{want}");
    let line = worker.hear("a stock client's lease ended");
    assert!(line.contains(&format!("refused: {want}")), "{line}");
    assert!(!line.contains("died"), "the server died of what was refused: {line}");
    check_served(worker);
    assert_eq!(worker.pid(), pid);
    worker.hear("a stock client's lease ended");
}

/// Each message that is known to kill ggml's server, and its neighbours.
#[test]
fn messages_that_kill_the_server_end_with_a_refusal() {
    let folder = Folder::new("stock-refused");
    let mut worker = lender(&folder, 64);
    let pid = worker.pid();
    let mut check =
        |want: &str, what: &dyn Fn(&mut Client, Place)| check_refused(&mut worker, pid, want, what);
    let four = |place| Tensor::row(1, 1, place).bytes();
    let row = |id, place| Tensor::row(id, 4, place);

    check("SetTensor of 9223372036854775503 bytes at 0 in a tensor of 4", &|client, place| {
        client.send_head(wire::SET, 1 << 63, &[&four(place)[..], &[0; 9]].concat());
    });
    // No byte of a gibibyte follows, and none is waited for.
    check("SetTensor of 1073741519 bytes at 0 in a tensor of 4", &|client, place| {
        client.send_head(wire::SET, 1 << 30, &[&four(place)[..], &[0; 9]].concat());
    });
    check("GraphCompute of 18446744073709551615 bytes", &|client, _| {
        client.send_head(wire::GRAPH, u64::MAX, &[]);
    });
    check("tensor '' reaches beyond its buffer", &|client, place| {
        let outside = Place { base: place.base + MIB - 3, ..place };
        client.send(wire::INIT, &[&four(outside)]);
    });
    check("GetTensor of 4096 bytes at 0 in a tensor of 4", &|client, place| {
        client.send(wire::GET, &[&four(place), &[0; 8], &4096u64.to_le_bytes()]);
    });
    check("SetTensor of 4096 bytes at 0 in a tensor of 4", &|client, place| {
        client.send(wire::SET, &[&four(place), &[0; 9], &[0; 4096]]);
    });
    check("tensor '' is larger than any memory", &|client, place| {
        client.send(wire::INIT, &[&Tensor { ne: [u32::MAX; 4], ..row(1, place) }.bytes()]);
    });
    check("a graph computes a tensor that it does not have", &|client, place| {
        client.send(wire::GRAPH, &[&graph(&[0], &[row(1, place)])]);
    });
    check("operation 9999 of tensor '' is not let through", &|client, place| {
        client.send(wire::GRAPH, &[&graph(&[1], &[row(1, place).of(9999, &[])])]);
    });
    check("operation 2 of tensor '' has too few or too many sources", &|client, place| {
        client.send(wire::GRAPH, &[&graph(&[1], &[row(1, place).of(2, &[])])]);
    });
    check("operation 2 of tensor '' has shapes that do not fit", &|client, place| {
        let tensors = [row(1, place), Tensor::row(2, 3, place), row(3, place).of(2, &[1, 2])];
        client.send(wire::GRAPH, &[&graph(&[3], &tensors)]);
    });
    check("a second HELLO", &|client, _| client.send(wire::HELLO, &[&[0; 24]]));
    check("there is no command 77", &|client, _| client.send(77, &[]));
    check("GRAPH_RECOMPUTE without a graph", &|client, _| client.send(wire::RECOMPUTE, &[&[0; 4]]));
    check("18446744073709551615 bytes of memory were asked for", &|client, _| {
        client.send(wire::ALLOC, &[&[0; 4], &[0xff; 8]]);
    });
    check("there is no buffer 0x", &|client, place| {
        client.send(wire::FREE, &[&place.buffer.to_le_bytes()]);
        client.send(wire::FREE, &[&place.buffer.to_le_bytes()]);
    });
    check("tensor '' has a source that does not come before it", &|client, place| {
        client.send(wire::GRAPH, &[&graph(&[1], &[row(1, place).of(2, &[1, 1])])]);
    });
}

#[test]
fn a_client_that_does_not_greet_is_refused() {
    let folder = Folder::new("stock-greet");
    let mut worker = lender(&folder, 64);
    let mut client = Client::new(&worker);
    client.send(wire::COUNT, &[]);
    assert!(client.is_ended());
    assert!(worker.hear("lease ended").contains("refused: it does not begin with HELLO"));
    let mut client = Client::new(&worker);
    client.send_head(b'G', u64::from_le_bytes(*b"ET / HTT"), b"P/1.1\r\n\r\n");
    assert!(client.is_ended());
    assert!(worker.hear("lease ended").contains("refused: there is no command 71"));
    check_served(&worker);
}

#[test]
fn a_server_that_is_killed_ends_its_clients_connection_and_nothing_else() {
    let folder = Folder::new("stock-killed");
    let mut worker = lender(&folder, 64);
    let (mut client, _) = Client::with_buffer(&worker, MIB);
    let [child] = children(worker.pid())[..] else { panic!("one child is there") };
    kill_process(Pid::from_raw(child as i32).unwrap(), Signal::KILL).unwrap();
    assert!(client.is_ended());
    let line = worker.hear("lease ended");
    assert!(line.contains("its server ended; its server died of signal 9"), "{line}");
    check_served(&worker);
}

#[test]
fn a_client_that_goes_takes_a_frozen_server_with_it() {
    let folder = Folder::new("stock-frozen");
    let mut worker = lender(&folder, 64);
    let (mut client, _) = Client::with_buffer(&worker, MIB);
    let [child] = children(worker.pid())[..] else { panic!("one child is there") };
    kill_process(Pid::from_raw(child as i32).unwrap(), Signal::STOP).unwrap();
    client.send(wire::COUNT, &[]);
    drop(client);
    assert!(worker.hear("lease ended").contains("it went"));
    assert_eq!(stat(child), None, "a frozen server is left");
    check_served(&worker);
}

#[test]
fn a_client_that_goes_in_the_middle_of_a_message_leaves_nothing() {
    let folder = Folder::new("stock-half");
    let mut worker = lender(&folder, 64);
    let (mut client, place) = Client::with_buffer(&worker, MIB);
    let row = Tensor::row(1, 1 << 16, place).bytes();
    client.send_head(wire::SET, (row.len() + 9 + (1 << 18)) as u64, &[&row[..], &[0; 9 + 1000]].concat());
    drop(client);
    assert!(worker.hear("lease ended").contains("it went"));
    check_served(&worker);
    worker.hear("lease ended");
    assert!(children(worker.pid()).is_empty());
}

#[test]
fn a_silent_client_has_the_lease_and_others_are_told() {
    let folder = Folder::new("stock-silent");
    let mut worker = lender(&folder, 64);
    let silent = Client::new(&worker);
    let refused = knock(&worker).unwrap_err();
    assert_eq!((refused.status, refused.text.as_str()), (503, "another client has this node's memory\n"));
    drop(silent);
    worker.hear("lease ended");
    check_served(&worker);
}

#[test]
fn the_server_dies_with_its_worker() {
    let folder = Folder::new("stock-orphan");
    let worker = lender(&folder, 64);
    let (mut client, _) = Client::with_buffer(&worker, MIB);
    let [child] = children(worker.pid())[..] else { panic!("one child is there") };
    drop(worker);
    assert!(client.is_ended());
    // Nobody tells when an orphan is gone; it is asked until it is.
    let dead = |(state, _)| state == 'Z';
    while !stat(child).is_none_or(dead) {
        std::thread::yield_now();
    }
}

#[test]
fn without_the_owners_word_there_is_nothing() {
    let folder = Folder::new("stock-off");
    let worker = Worker::start(&folder.0, &["--stock", folder.0.join("no").to_str().unwrap()]);
    let refused = knock(&worker).unwrap_err();
    assert_eq!(refused.status, 404);
    assert!(refused.text.contains("lends no memory"), "{refused:?}");
    let worker = lender(&folder, 64);
    assert_eq!(worker.get("/rpc").status, 426);
}

#[test]
fn the_child_can_open_no_file_and_no_socket() {
    let folder = Folder::new("stock-sandbox");
    let worker = lender(&folder, 64);
    let (_client, _) = Client::with_buffer(&worker, MIB);
    let [child] = children(worker.pid())[..] else { panic!("one child is there") };
    let status = std::fs::read_to_string(format!("/proc/{child}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name}")).trim().to_owned()
    };
    assert_eq!((field("NoNewPrivs:"), field("Seccomp:")), ("1".to_owned(), "2".to_owned()));
    // Its standard input is its connection; a copy of it is what the server reads.
    let files = std::fs::read_dir(format!("/proc/{child}/fd")).unwrap().flatten();
    let kinds: BTreeSet<String> = files
        .filter_map(|file| {
            std::fs::read_link(file.path()).ok()?.to_str()?.split(':').next().map(str::to_owned)
        })
        .collect();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["/dev/null", "pipe", "socket"]);
}

#[test]
fn what_the_owner_takes_back_ends_at_once() {
    let folder = Folder::new("stock-back");
    let mut worker = lender(&folder, 64);
    for less in [32, 0] {
        let (mut client, _) = Client::with_buffer(&worker, MIB);
        folder.file("stock.json", format!("{{\"memory_mib\":{less}}}").as_bytes());
        assert!(client.is_ended());
        assert!(worker.hear("lease ended").contains("the owner took it back"));
    }
    assert_eq!(knock(&worker).unwrap_err().status, 404);
}

/// The types and operations that the gate knows are those of this llama.cpp.
#[test]
fn the_gates_tables_are_ggmls() {
    for kind in rpcgate::KINDS {
        assert_eq!(engine::stock::kind(kind.number), Some((kind.block, kind.bytes)), "type {}", kind.number);
    }
    let known: Vec<u32> = rpcgate::KINDS.iter().map(|kind| kind.number).collect();
    let missing: Vec<u32> = (0..64).filter(|number| !known.contains(number)).collect();
    assert!(missing.iter().all(|number| engine::stock::kind(*number).is_none()), "{missing:?}");
    for op in rpcgate::OPS {
        assert_eq!(engine::stock::op(op.number).as_deref(), Some(op.name));
    }
    assert_eq!(rpcgate::VERSION, engine::stock::PROTOCOL);
}

const STEPS: usize = 12;
/// Makes a host of the test below.
const HOST: &str = "DUET_STOCK_HOST";

/// What a model says: the likeliest tokens, and every bit of how likely.
fn say(path: &Path, cache: Cache, remote: Option<SocketAddrV4>) -> Vec<String> {
    let remote = remote.map(|address| Remote::at(address).unwrap());
    let model = Arc::new(Model::load(path, Load { remote, ..Load::default() }).unwrap());
    let settings = Settings { n_ctx: 256, n_batch: 64, cache, ..Settings::default() };
    let mut context = Context::new(Arc::clone(&model), settings).unwrap();
    let mut tokens: Vec<Token> = (0..18).map(|idx| 30 + idx * 7).collect();
    let mut at = 0;
    let step = |_| {
        context.evaluate(&tokens, 0, at).unwrap();
        at += tokens.len() as u32;
        let logits = context.logits().unwrap();
        tokens = vec![best(logits) as Token];
        let sum =
            bits(logits).iter().fold(0u64, |sum, bits| sum.wrapping_mul(31).wrapping_add((*bits).into()));
        format!("told {} {sum:x}", tokens[0])
    };
    (0..STEPS).map(step).collect()
}

/// A process of its own, because the library ends a host whose server goes.
#[test]
fn a_host_of_another_test() {
    let Ok(what) = std::env::var(HOST) else { return };
    let mut words = what.split(' ');
    let (address, cache, path) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    let cache = if cache == "f16" { Cache::F16 } else { Cache::Q8_0 };
    say(Path::new(path), cache, Some(address.parse().unwrap())).iter().for_each(|line| println!("\n{line}"));
}

/// What a stock client hears of a model that lies with this worker.
fn heard(address: SocketAddrV4, cache: Cache, path: &Path) -> (bool, Vec<String>) {
    let cache = if cache == Cache::F16 { "f16" } else { "q8_0" };
    let host = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_host_of_another_test", "--nocapture"])
        .env(HOST, format!("{address} {cache} {}", path.display()))
        .env("OMP_WAIT_POLICY", "passive")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&host.stdout);
    let told = text.lines().filter(|line| line.starts_with("told ")).map(str::to_owned).collect();
    if !host.status.success() {
        println!("{text}{}", String::from_utf8_lossy(&host.stderr));
    }
    (host.status.success(), told)
}

#[test]
fn a_stock_client_hears_every_bit_that_the_model_says_here() {
    let folder = Folder::new("stock-host");
    let worker = lender(&folder, 256);
    let address = wire::carrier(worker.address.clone());
    let mut models: Vec<_> = families::ALL
        .iter()
        .enumerate()
        .map(|(idx, family): (usize, &Family)| folder.file(&format!("{idx}.gguf"), &families::model(family)))
        .collect();
    models.extend(shared("llm/stories260K.gguf"));
    for (idx, path) in models.iter().enumerate() {
        let cache = if idx % 2 == 0 { Cache::F16 } else { Cache::Q8_0 };
        let (is_well, told) = heard(address, cache, path);
        assert!(is_well, "model {idx}");
        assert_eq!(told, say(path, cache, None), "model {idx}");
    }
}

#[test]
fn a_model_that_is_larger_than_the_lease_is_no_harm() {
    let folder = Folder::new("stock-large");
    let worker = lender(&folder, 16);
    let address = wire::carrier(worker.address.clone());
    let wide = families::ALL.iter().find(|family| family.n_embd == 128).unwrap();
    let path = folder.file("m.gguf", &families::model(&Family { n_layers: 40, ..*wide }));
    let (is_well, told) = heard(address, Cache::F16, &path);
    assert_eq!((is_well, told.len()), (false, 0));
    check_served(&worker);
}
