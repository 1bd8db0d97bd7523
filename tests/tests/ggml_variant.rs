//! `libggml-cpu-core2.so` in a real program with dynamic ggml: who picks it, and what it computes there.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use image::build::variant::{self, Variant};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use tests::{out, repository, skip};

const TYPES: [&str; 6] = ["f16", "q4_0", "q8_0", "q4_K", "q6_K", "tq2_0"];
/// Of the whole product's size: activations in 8 bits cost about 0.006.
const ERROR_MAX: f64 = 0.015;

/// The program, and folders with ggml's own CPU backend alone, and with ours beside it.
struct Lab {
    program: PathBuf,
    libraries: PathBuf,
    stock: PathBuf,
    both: PathBuf,
}

fn lab() -> &'static Lab {
    static LAB: OnceLock<Lab> = OnceLock::new();
    LAB.get_or_init(|| {
        let built = variant::build(repository(), &out(), None).unwrap();
        let place = built.library.parent().unwrap().join("test");
        let lab = Lab {
            program: place.join("product"),
            libraries: built.bin.clone(),
            stock: place.join("stock"),
            both: place.join("both"),
        };
        for folder in [&lab.stock, &lab.both] {
            fs::create_dir_all(folder).unwrap();
            fs::copy(built.bin.join("libggml-cpu.so"), folder.join("libggml-cpu-stock.so")).unwrap();
        }
        fs::copy(&built.library, lab.both.join("libggml-cpu-core2.so")).unwrap();
        compile(&built, &lab);
        lab
    })
}

fn compile(built: &Variant, lab: &Lab) {
    let mut command = Command::new("c++");
    command.args(["-std=c++17", "-O1", "-o"]).arg(&lab.program);
    command.arg(repository().join("tests/c++/product.cpp")).arg("-I").arg(&built.include);
    command.arg("-L").arg(&built.bin).args(["-lggml", "-lggml-base", "-ldl"]);
    assert!(command.status().unwrap().success(), "the program with dynamic ggml does not compile");
}

/// Runs the program on this machine, or on a processor of the emulator.
fn run(processor: Option<&str>, folder: &PathBuf, types: &[&str]) -> Option<Vec<String>> {
    let lab = lab();
    let mut command = match processor {
        None => Command::new(&lab.program),
        Some(processor) => {
            if Command::new("qemu-x86_64").arg("--version").output().is_err() {
                skip("ggml's variant on old processors", "qemu-x86_64 is not installed");
                return None;
            }
            let mut command = Command::new("qemu-x86_64");
            command.args(["-cpu", processor]).arg(&lab.program);
            command
        }
    };
    let done = command.arg(folder).args(types).env("LD_LIBRARY_PATH", &lab.libraries).output().unwrap();
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{processor:?}: {}: {errors}", done.status);
    Some(String::from_utf8(done.stdout).unwrap().lines().map(str::to_string).collect())
}

fn check_pick(processor: &str, want: &str) {
    let Some(said) = run(Some(processor), &lab().both, &[]) else { return };
    assert!(said[0].ends_with(want), "{processor} picks {}", said[0]);
}

#[test]
fn every_core_2_picks_our_library() {
    check_pick("core2duo", "/libggml-cpu-core2.so");
    check_pick("Conroe", "/libggml-cpu-core2.so");
    check_pick("Penryn", "/libggml-cpu-core2.so");
}

#[test]
fn a_processor_without_ssse3_does_not_pick_it() {
    check_pick("qemu64,-ssse3", "/libggml-cpu-stock.so");
}

/// Every product is near the true one; gives the sums of bits.
fn check_products(processor: Option<&str>, folder: &PathBuf) -> Option<Vec<String>> {
    let said = run(processor, folder, &TYPES)?;
    assert_eq!(said.len(), 1 + 2 * TYPES.len(), "{said:?}");
    let sum = |line: &String| {
        let words: Vec<&str> = line.split(' ').collect();
        let error: f64 = words[2].parse().unwrap();
        assert!(error < ERROR_MAX, "{processor:?} {}: {line}", said[0]);
        words[3].to_string()
    };
    Some(said[1..].iter().map(sum).collect())
}

#[test]
fn its_products_are_right_and_made_by_our_kernels() {
    for processor in [None, Some("Conroe"), Some("Penryn")] {
        let Some(ours) = check_products(processor, &lab().both) else { return };
        let Some(stock) = check_products(processor, &lab().stock) else { return };
        // The same bits everywhere would say that ggml's own kernels ran.
        let n_same = ours.iter().zip(&stock).filter(|(a, b)| a == b).count();
        assert!(n_same <= ours.len() / 2, "{processor:?}: {ours:?} against {stock:?}");
    }
}
