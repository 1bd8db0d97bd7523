//! Models that travel: a real boot server and real agents, each host in a network namespace of its own.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use serde_json::Value;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tests::network::inside;
use tests::shelf::{Programs, SERVER, Shelf, get, get_from};

const PROGRAMS: Programs =
    Programs { agent: env!("CARGO_BIN_EXE_agent-under-test"), duet: env!("CARGO_BIN_EXE_duet-under-test") };

const CHUNK: usize = 4 << 20;
const N_CHUNKS: usize = 6;
const EAR: &str = "ear.bin";

/// Bytes that begin like a model of whisper.cpp's and are different everywhere (xorshift64*).
fn ear() -> Vec<u8> {
    let mut bytes = 0x6767_6d6c_u32.to_le_bytes().to_vec();
    bytes.extend([51_864u32, 1500, 384, 6, 4, 448, 384, 6, 4, 80, 7].iter().flat_map(|n| n.to_le_bytes()));
    let mut dice = 7u64;
    while bytes.len() < N_CHUNKS * CHUNK - 1000 {
        dice ^= dice >> 12;
        dice ^= dice << 25;
        dice ^= dice >> 27;
        bytes.extend(dice.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes
}

/// Nodes that know each other on the overlay, with folders for models; the boot server has none yet.
fn shelf(name: &str, n: usize) -> Shelf {
    let mut shelf = Shelf::unplugged(PROGRAMS, name, n);
    for idx in 0..n {
        let models = shelf.models(idx);
        fs::create_dir_all(&models).unwrap();
        shelf.nodes[idx].root.put_proc(&format!("pc{idx}"), 4096, 2048);
        shelf.nodes[idx].words = ["--models", models.to_str().unwrap()].map(str::to_owned).into();
        shelf.start(idx);
    }
    let all: Vec<usize> = (0..n).collect();
    shelf.wait_alive("all meet", &all, n as u64 + 1);
    all.iter().for_each(|idx| shelf.join_overlay(*idx));
    shelf
}

/// Whole, as `duet models` does it: by a rename.
fn offer(shelf: &Shelf, bytes: &[u8]) {
    let folder = shelf.out.join("models");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("ear.bin.part"), bytes).unwrap();
    fs::rename(folder.join("ear.bin.part"), folder.join(EAR)).unwrap();
}

fn path(shelf: &Shelf, idx: usize) -> PathBuf {
    shelf.models(idx).join(EAR)
}

/// What a node shows of all models.
fn spread_status(shelf: &Shelf, idx: usize) -> Value {
    status(shelf, idx)["spread"].clone()
}

fn status(shelf: &Shelf, idx: usize) -> Value {
    serde_json::from_str(&shelf.network.hosts[idx].on(|| get("/api/status"))).unwrap_or_default()
}

/// What it shows of this one.
fn shown(shelf: &Shelf, idx: usize) -> Value {
    let files = spread_status(shelf, idx)["files"].as_array().cloned().unwrap_or_default();
    files.into_iter().find(|file| file["file"] == EAR).unwrap_or_default()
}

fn wait_here(shelf: &Shelf, nodes: &[usize]) {
    for idx in nodes {
        shelf.wait("the model is here", || shown(shelf, *idx)["is_here"] == true);
    }
}

/// Bytes that the boot server has sent of the model; beside it lie those of the repository itself.
fn sent(shelf: &Shelf) -> u64 {
    let told = shelf.network.hosts[0].on(|| get_from(SERVER, 80, "/api/models"));
    let told: Value = serde_json::from_str(&told).unwrap();
    let models = told["models"].as_array().unwrap().iter().filter(|model| model["file"] == EAR);
    models.filter_map(|model| model["sent_bytes"].as_u64()).sum()
}

/// Other bytes in a file, which its length and times do not tell.
fn spoil(path: &Path) {
    let file = File::options().write(true).open(path).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    (0..N_CHUNKS).for_each(|chunk| file.write_all_at(b"spoiled", (chunk * CHUNK + 99) as u64).unwrap());
    file.set_modified(modified).unwrap();
}

#[test]
fn nodes_get_a_model_from_the_boot_server_and_then_from_each_other() {
    if !inside("nodes_get_a_model_from_the_boot_server_and_then_from_each_other") {
        return;
    }
    let mut shelf = shelf("spread-peers", 4);
    // This one belongs to the cluster, and sleeps while the others fetch.
    shelf.kill(3);
    let whole = ear();
    offer(&shelf, &whole);
    wait_here(&shelf, &[0, 1, 2]);
    for idx in 0..3 {
        assert!(fs::read(path(&shelf, idx)).unwrap() == whole, "node {idx} has other bytes");
    }
    let times = sent(&shelf) as f64 / whole.len() as f64;
    println!("the boot server sent the model {times:.2} times for three nodes");
    assert!(times < 2.0, "nodes fetched it for themselves");
    shelf.server.kill().unwrap();
    shelf.server.wait().unwrap();
    // One of those that have it lies from now on.
    spoil(&path(&shelf, 1));
    shelf.start(3);
    wait_here(&shelf, &[3]);
    assert!(fs::read(path(&shelf, 3)).unwrap() == whole);
    let got = shown(&shelf, 3);
    println!("{got}");
    let from = got["from"].as_array().unwrap();
    assert!(!from.is_empty() && from.iter().all(|share| share[0] != "boot server"), "{got}");
    let n: u64 = from.iter().filter_map(|share| share[1].as_u64()).sum();
    assert_eq!(n, N_CHUNKS as u64);
    assert_eq!(got["dropped"].as_array().map(Vec::len), Some(1), "who lies is shown");
}

#[test]
fn what_a_killed_agent_left_is_used_and_what_is_damaged_in_it_is_fetched_anew() {
    if !inside("what_a_killed_agent_left_is_used_and_what_is_damaged_in_it_is_fetched_anew") {
        return;
    }
    let mut shelf = shelf("spread-resume", 1);
    shelf.kill(0);
    let whole = ear();
    let mut left = whole.clone();
    left[4 * CHUNK + 5] ^= 1;
    left[5 * CHUNK..].fill(0);
    fs::write(shelf.models(0).join("ear.bin.part"), &left).unwrap();
    offer(&shelf, &whole);
    shelf.start(0);
    wait_here(&shelf, &[0]);
    assert!(fs::read(path(&shelf, 0)).unwrap() == whole);
    let got = shown(&shelf, 0);
    assert_eq!(got["from"], serde_json::json!([["boot server", 2]]), "{got}");
    assert!(!shelf.models(0).join("ear.bin.part").exists());
}

#[test]
fn an_agent_that_is_killed_in_the_middle_goes_on_where_it_was() {
    if !inside("an_agent_that_is_killed_in_the_middle_goes_on_where_it_was") {
        return;
    }
    let mut shelf = shelf("spread-killed", 1);
    // Two seconds for the whole.
    const SLOW: &str = "root tbf rate 100mbit burst 64kb latency 100ms";
    let tc =
        |how: &str| Command::new("tc").args(format!("qdisc {how}").split(' ')).status().unwrap().success();
    assert!(tc(&format!("add dev port1 {SLOW}")), "a slow wire");
    let whole = ear();
    offer(&shelf, &whole);
    let some = 2 * CHUNK as u64;
    shelf.wait("some of it is here", || shown(&shelf, 0)["have_bytes"].as_u64() >= Some(some));
    shelf.kill(0);
    let left = fs::read(shelf.models(0).join("ear.bin.part")).expect("it was killed in the middle");
    let is_whole = |chunk: &usize| {
        let place = chunk * CHUNK..((chunk + 1) * CHUNK).min(whole.len());
        left.get(place.clone()) == Some(&whole[place])
    };
    let n_left = (0..N_CHUNKS).filter(is_whole).count();
    assert!((2..N_CHUNKS).contains(&n_left), "{n_left} chunks were left");
    assert!(tc("del dev port1 root"));
    shelf.start(0);
    wait_here(&shelf, &[0]);
    assert!(fs::read(path(&shelf, 0)).unwrap() == whole);
    let got = shown(&shelf, 0);
    println!("{n_left} chunks were left: {got}");
    assert_eq!(got["from"], serde_json::json!([["boot server", N_CHUNKS - n_left]]), "what was here is kept");
}

#[test]
fn a_catalogue_that_is_not_the_boot_servers_own_changes_nothing() {
    if !inside("a_catalogue_that_is_not_the_boot_servers_own_changes_nothing") {
        return;
    }
    let mut shelf = shelf("spread-forged", 1);
    offer(&shelf, &ear());
    wait_here(&shelf, &[0]);
    let version = |shelf: &Shelf| spread_status(shelf, 0)["catalogue"].as_u64().unwrap_or(0);
    let true_one = version(&shelf);
    // Somebody answers in the boot server's place: a next version without any model, signed by nobody.
    let mut sealed: Value = serde_json::from_str(&get_from(SERVER, 80, "/models/catalogue.json")).unwrap();
    let mut told: Value = serde_json::from_str(sealed["catalogue"].as_str().unwrap()).unwrap();
    told["version"] = (true_one + 1).into();
    told["files"] = serde_json::json!([]);
    sealed["catalogue"] = told.to_string().into();
    shelf.server.kill().unwrap();
    shelf.server.wait().unwrap();
    let door = TcpListener::bind((SERVER, 80)).unwrap();
    let (body, n_asked) = (sealed.to_string(), Arc::new(AtomicUsize::new(0)));
    let counted = n_asked.clone();
    std::thread::spawn(move || {
        for mut visitor in door.incoming().flatten() {
            let mut asked = [0; 2048];
            let n = visitor.read(&mut asked).unwrap_or(0);
            if asked[..n].starts_with(b"GET /models/catalogue.json ") {
                counted.fetch_add(1, Ordering::Relaxed);
            }
            let length = body.len();
            let _ = write!(
                visitor,
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
        }
    });
    shelf.wait("it was asked three times", || n_asked.load(Ordering::Relaxed) >= 3);
    assert_eq!(version(&shelf), true_one);
    assert_eq!(shown(&shelf, 0)["is_here"], true);
    let log = fs::read_to_string(shelf.out.join("agent-0.log")).unwrap();
    assert_eq!(
        log.matches("the catalogue of models of the boot server").count(),
        1,
        "it is told once:\n{log}"
    );
}

#[test]
fn the_owner_sees_how_far_each_pc_is_and_every_page_how_good_the_models_are() {
    if !inside("the_owner_sees_how_far_each_pc_is_and_every_page_how_good_the_models_are") {
        return;
    }
    let shelf = shelf("spread-told", 2);
    offer(&shelf, &ear());
    wait_here(&shelf, &[0, 1]);
    let list = || -> Value { serde_json::from_str(&shelf.duet_nodes(&["list", "--json"])).unwrap() };
    let told = |list: &Value| -> Vec<(u64, u64)> {
        let nodes = list["nodes"].as_array().unwrap().iter();
        let number = |node: &Value, key: &str| node["models"][key].as_u64().unwrap_or(0);
        nodes.map(|node| (number(node, "n_here"), number(node, "n_files"))).collect()
    };
    shelf.wait("the owner sees that all is here", || {
        let told = told(&list());
        told.len() == 2 && told.iter().all(|(n_here, n)| n_here == n && *n >= 1)
    });
    println!("{}", shelf.duet_nodes(&["list"]));

    let quality = |idx: usize| status(&shelf, idx)["quality"].clone();
    assert_eq!(quality(0), Value::Null, "nobody has measured");
    let figures = shelf.out.join("models/quality.json");
    fs::write(&figures, QUALITY).unwrap();
    for idx in 0..2 {
        shelf.wait("the node has the figures", || quality(idx)["wer_real"]["thousandths"] == 123);
        let page = shelf.network.hosts[idx].on(|| get("/"));
        assert!(page.contains("heard.bin"), "node {idx} does not show it: {page}");
    }
    // A damaged file is no figure, and kills nobody.
    fs::write(&figures, "{").unwrap();
    (0..2).for_each(|idx| shelf.wait("the figures are gone", || quality(idx) == Value::Null));
}

const QUALITY: &str = r#"{"measured_unix_s":1700000000,"wer_real":0.123,
    "models":[{"model":"heard.bin","use":"speech","key":"wer_real","value":0.123,"n":50}]}"#;

#[test]
fn where_there_is_no_room_nothing_is_fetched_and_what_is_missing_is_told() {
    if !inside("where_there_is_no_room_nothing_is_fetched_and_what_is_missing_is_told") {
        return;
    }
    let mut shelf = shelf("spread-full", 1);
    shelf.kill(0);
    let models = shelf.models(0);
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=110m", "none"]).arg(&models).status();
    assert!(mounted.unwrap().success(), "a small disk in memory");
    // The owner's own file, which is in the way and stays.
    fs::write(models.join("owner.gguf"), vec![1; 4 << 20]).unwrap();
    offer(&shelf, &ear());
    shelf.start(0);
    shelf.wait("it is refused", || {
        shown(&shelf, 0)["sentence"].as_str().is_some_and(|why| why.ends_with("MiB are missing"))
    });
    assert_eq!(sent(&shelf), 0, "it was refused after the first byte");
    assert!(models.join("owner.gguf").exists() && !models.join("ear.bin.part").exists());
    let why = shown(&shelf, 0)["sentence"].as_str().unwrap().to_owned();
    println!("{why}");
    assert!(
        why.starts_with("ear.bin is not fetched: it needs 24 MiB of memory and 96 MiB stay free"),
        "{why}"
    );
    shelf.kill(0);
    assert!(Command::new("umount").arg(&models).status().unwrap().success());
}
