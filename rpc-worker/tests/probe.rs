//! Broken model files: `rpc-worker probe` ends with a sentence or with success, whatever the file is.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

#[path = "../../crates/engine/tests/common/tiny.rs"]
mod tiny;

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tiny::Dice;

/// Broken files that are tried.
const FILES: u64 = 400;
const SEED: u64 = 0x00d0_e7f1;

/// A folder that is gone when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What `probe` says of a file, once it was held to its promise: an end by itself, and one sentence if it is bad.
fn probe(path: &Path, what: &str) -> Result<(), String> {
    let out = Command::new(env!("CARGO_BIN_EXE_rpc-worker")).arg("probe").arg(path).output().unwrap();
    let said = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.signal(), None, "{what}: the caller died: {said}");
    match out.status.code() {
        Some(0) => Ok(()),
        Some(1) => {
            let sentence = said.trim_end();
            assert!(sentence.starts_with("rpc-worker: ") && sentence.len() > 30, "{what}: {said:?}");
            assert_eq!(sentence.lines().count(), 1, "{what}: {said:?}");
            Err(sentence.to_owned())
        }
        code => panic!("{what}: the caller ended with {code:?}: {said}"),
    }
}

#[test]
fn a_good_model_is_found_good() {
    let folder = Folder::new("probe-good");
    let path = folder.0.join("good.gguf");
    std::fs::write(&path, tiny::model("llama")).unwrap();
    assert_eq!(probe(&path, "a good model"), Ok(()));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let said = probe(Path::new("/nowhere/model.gguf"), "no file").unwrap_err();
    assert!(said.contains("/nowhere/model.gguf"), "{said}");
}

/// Breaks a file in one to three places; says how.
fn break_it(dice: &mut Dice, bytes: &mut Vec<u8>, head: u64) -> String {
    let mut how = Vec::new();
    for _ in 0..=dice.roll(3) {
        // Most of the damage is done to the head, where the counts, sizes, offsets and names are.
        let n = bytes.len() as u64;
        let at = if dice.roll(4) > 0 { dice.roll(head.min(n)) } else { dice.roll(n) } as usize;
        let room = bytes.len() - at;
        let number: u64 = [0, 1, 0x7f, 0xff, 0xffff, 1 << 31, u64::from(u32::MAX), 1 << 63, u64::MAX]
            [dice.roll(9) as usize];
        match dice.roll(6) {
            0 if room > 8 => bytes[at..at + 8].copy_from_slice(&number.to_le_bytes()),
            1 if room > 4 => bytes[at..at + 4].copy_from_slice(&(number as u32).to_le_bytes()),
            2 => bytes.truncate((at + 1).max(bytes.len() / 3)),
            3 => drop(bytes.remove(at)),
            4 => bytes[at] = number as u8,
            _ => bytes[at] ^= 1 << dice.roll(8),
        }
        how.push(at);
    }
    format!("bytes {how:?}")
}

#[test]
fn a_broken_file_ends_with_a_sentence_and_never_kills_the_caller() {
    let folder = Folder::new("probe-broken");
    let good = tiny::model("llama");
    let head = gguf::Gguf::read(&mut &good[..], good.len() as u64).unwrap();
    let mut dice = Dice(SEED);
    let (mut taken, mut refused, mut died) = (0, 0, 0);
    for idx in 0..FILES {
        let mut bytes = good.clone();
        let how = break_it(&mut dice, &mut bytes, head.data_at);
        let path = folder.0.join(format!("{idx}.gguf"));
        std::fs::write(&path, &bytes).unwrap();
        match probe(&path, &format!("seed {SEED:#x}, file {idx}, {how}")) {
            Ok(()) => taken += 1,
            Err(said) if said.contains("died of it") => {
                println!("file {idx}: {said}");
                died += 1;
            }
            Err(_) => refused += 1,
        }
        std::fs::remove_file(&path).unwrap();
    }
    println!("{FILES} files: {taken} taken, {refused} refused, {died} times only a child died");
    // A changed weight or name makes another model, not a broken one; but most damage must be seen.
    assert!(refused > FILES / 4, "only {refused} of {FILES} were refused");
}

/// Writes bytes to a file and probes it.
fn say(name: &str, bytes: &[u8]) -> String {
    let folder = Folder::new(name);
    let path = folder.0.join("model.gguf");
    std::fs::write(&path, bytes).unwrap();
    probe(&path, name).unwrap_err()
}

#[test]
fn what_kills_the_library_kills_only_a_child_and_is_told() {
    // The library asserts that a model of this kind has experts.
    let said = say("probe-killer", &tiny::model("smallthinker"));
    assert!(said.contains("died of it (SIGABRT)") && said.contains("n_expert must be > 0"), "{said}");
}

#[test]
fn what_is_quantised_is_tried_by_a_child_first() {
    let folder = Folder::new("probe-quantise");
    let (input, output) = (folder.0.join("in.gguf"), folder.0.join("out.gguf"));
    let quantise = |architecture: &str| {
        std::fs::write(&input, tiny::model(architecture)).unwrap();
        let mut program = Command::new(env!("CARGO_BIN_EXE_rpc-worker"));
        let out = program.arg("quantize").args([&input, &output]).arg("q8_0").output().unwrap();
        (out.status.code(), String::from_utf8(out.stderr).unwrap())
    };
    let (code, said) = quantise("smallthinker");
    assert!(code == Some(1) && said.contains("died of it (SIGABRT)"), "{code:?}: {said}");
    assert!(!output.exists());
    let (code, said) = quantise("llama");
    assert!(code == Some(0) && output.exists(), "{code:?}: {said}");
}

#[test]
fn weights_that_are_no_numbers_are_found() {
    let mut bytes = tiny::model("llama");
    let head = gguf::Gguf::read(&mut &bytes[..], bytes.len() as u64).unwrap();
    let at = head.data_at as usize;
    bytes[at..].chunks_exact_mut(4).for_each(|weight| weight.copy_from_slice(&f32::NAN.to_le_bytes()));
    let said = say("probe-nan", &bytes);
    assert!(said.contains("something that is no number"), "{said}");
}
