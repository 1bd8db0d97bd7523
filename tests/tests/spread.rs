//! Models that travel: a real boot server and real agents, each host in a network namespace of its own.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use serde_json::Value;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
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

/// What a node shows of the model.
fn shown(shelf: &Shelf, idx: usize) -> Value {
    let status: Value =
        serde_json::from_str(&shelf.network.hosts[idx].on(|| get("/api/status"))).unwrap_or_default();
    let files = status["spread"]["files"].as_array().cloned().unwrap_or_default();
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
    assert!(times < 3.0, "each node fetched it for itself");
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
