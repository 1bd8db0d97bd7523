//! Keeps the house: what a machine can check about the repository is checked here, not by a reader.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use image::build::lists::Globs;
use image::build::recipe::{Preset, Recipe};
use std::fs;
use std::path::Path;
use std::process::Command;

const SOURCE_LINES_MAX: usize = 800;
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Models of our own, without which a fresh machine hears and answers nothing: all of them together.
const MODELS_FOLDER: &str = "models/default/";
const MODELS_BYTES_MAX: u64 = 24_000_000;

/// The only files that may speak to the kernel without a net.
const UNSAFE_FILES: [&str; 6] = [
    "agent/src/io/clock.rs",
    "agent/src/io/video.rs",
    "agent/src/keys/held.rs",
    "agent/src/speech/espeak.rs",
    "agent/tests/types.rs",
    "image/init/src/sys.rs",
];
/// The islands, whose matter is unsafe by nature: the kernels, and the face of a C library.
const UNSAFE_FOLDERS: [&str; 2] = ["crates/engine/", "crates/kernels/"];

/// The contracts that every other part may name.
const CONTRACTS: [&str; 2] = ["admission", "release"];
const PARTS: [&str; 18] = [
    "admission",
    "brain",
    "cluster",
    "engine",
    "gguf",
    "gossip",
    "journal",
    "kernels",
    "netboot",
    "openai",
    "prompt",
    "release",
    "rpcgate",
    "service",
    "split",
    "spread",
    "tools",
    "voice",
];

/// The few other leanings between parts: who leans on whom.
const LEANINGS: [(&str, &str); 4] =
    [("engine", "gguf"), ("engine", "kernels"), ("gossip", "cluster"), ("split", "gguf")];
const PRODUCTS: [&str; 3] = ["agent", "rpc-worker", "image"];

/// All files that git keeps.
fn tracked() -> Vec<String> {
    let listed =
        Command::new("git").arg("-C").arg(tests::repository()).args(["ls-files", "-z"]).output().unwrap();
    assert!(listed.status.success(), "git does not list the files of {}", tests::repository().display());
    let text = String::from_utf8(listed.stdout).unwrap();
    let there = |name: &&str| !name.is_empty() && tests::repository().join(name).is_file();
    text.split('\0').filter(there).map(str::to_string).collect()
}

fn read(name: &str) -> String {
    String::from_utf8_lossy(&fs::read(tests::repository().join(name)).unwrap()).into_owned()
}

/// Every file of one kind with its text.
fn sources(endings: &[&str]) -> Vec<(String, String)> {
    let wanted = |name: &String| endings.iter().any(|ending| name.ends_with(ending));
    let found: Vec<_> = tracked().into_iter().filter(wanted).map(|name| (read(&name), name)).collect();
    assert!(!found.is_empty(), "no file ends with {endings:?}");
    found.into_iter().map(|(text, name)| (name, text)).collect()
}

/// Fails with all findings at once.
fn check(findings: Vec<String>) {
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

/// Findings of a line rule: file, line and what is wrong.
fn lines(endings: &[&str], wrong: impl Fn(&str, &str) -> Option<&'static str>) -> Vec<String> {
    let mut findings = Vec::new();
    for (name, text) in sources(endings) {
        for (idx, line) in text.lines().enumerate() {
            if let Some(what) = wrong(&name, line) {
                findings.push(format!("{name}:{}: {what}", idx + 1));
            }
        }
    }
    findings
}

/// The names of a package's dependencies, without those of its tests.
fn dependencies(manifest: &str) -> Vec<String> {
    let body = manifest.lines().skip_while(|line| line.trim() != "[dependencies]").skip(1);
    let body = body.take_while(|line| !line.starts_with('['));
    body.filter_map(|line| line.split(['.', '=', ' ']).next())
        .filter(|n| !n.is_empty())
        .map(str::to_string)
        .collect()
}

#[test]
fn parts_name_no_product_and_no_other_part_but_a_contract() {
    let mut findings = Vec::new();
    for part in PARTS {
        for name in dependencies(&read(&format!("crates/{part}/Cargo.toml"))) {
            let leans_up = PRODUCTS.contains(&name.as_str());
            let leans_sideways = PARTS.contains(&name.as_str())
                && !CONTRACTS.contains(&name.as_str())
                && !LEANINGS.contains(&(part, name.as_str()));
            if leans_up || leans_sideways {
                findings.push(format!("crates/{part}/Cargo.toml: {part} names {name}"));
            }
        }
    }
    check(findings);
}

#[test]
fn products_name_no_other_product() {
    let mut findings = Vec::new();
    for product in PRODUCTS {
        let names = dependencies(&read(&format!("{product}/Cargo.toml")));
        assert!(names.len() > 2, "{product}/Cargo.toml was not understood: {names:?}");
        let others = names.iter().filter(|name| PRODUCTS.contains(&name.as_str()));
        findings.extend(others.map(|name| format!("{product}/Cargo.toml: {product} names {name}")));
    }
    check(findings);
}

#[test]
fn every_source_file_says_what_it_is_for() {
    let silent = |text: &str| {
        !text.lines().find(|line| !line.starts_with("#!")).unwrap_or_default().starts_with("//!")
    };
    // A fuzz target is two lines; its name says all.
    let found = sources(&[".rs"]).into_iter().filter(|(name, _)| !name.starts_with("fuzz/fuzz_targets/"));
    let found = found.filter(|(_, text)| silent(text));
    check(found.map(|(name, _)| format!("{name}: the first line is no //!")).collect());
}

#[test]
fn no_source_file_is_longer_than_one_head_holds() {
    let found = sources(&[".rs", ".js", ".css"])
        .into_iter()
        .filter(|(_, text)| text.lines().count() > SOURCE_LINES_MAX);
    check(found.map(|(name, _)| format!("{name}: more than {SOURCE_LINES_MAX} lines")).collect());
}

#[test]
fn unsafe_code_stays_on_its_islands_and_gives_its_reason() {
    let mut findings = Vec::new();
    for (name, text) in sources(&[".rs"]) {
        if name.ends_with("tidy.rs") {
            continue;
        }
        let all: Vec<&str> = text.lines().collect();
        for (idx, line) in all.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if !code.contains("unsafe {") && !code.contains("unsafe fn") {
                continue;
            }
            let above = all[idx.saturating_sub(6)..=idx].iter().any(|line| line.contains("SAFETY:"));
            let island = UNSAFE_FILES.contains(&name.as_str())
                || UNSAFE_FOLDERS.iter().any(|folder| name.starts_with(folder));
            if !island {
                let islands = format!("{UNSAFE_FILES:?} and {UNSAFE_FOLDERS:?}");
                findings.push(format!("{name}:{}: unsafe code outside {islands}", idx + 1));
            } else if !above && !UNSAFE_FOLDERS.iter().any(|folder| name.starts_with(folder)) {
                // Clippy holds the islands to it, block by block.
                findings.push(format!("{name}:{}: no SAFETY reason above", idx + 1));
            }
        }
    }
    check(findings);
}

#[test]
fn nothing_is_left_half_done() {
    let marks = ["todo", "unimplemented", "dbg"].map(|word| format!("{word}!("));
    check(lines(&[".rs"], |_, line| {
        marks.iter().any(|mark| line.contains(mark.as_str())).then_some("this is not finished")
    }));
}

#[test]
fn lines_end_without_blanks_and_indent_without_tabs() {
    check(lines(&[".rs", ".md", ".toml", ".list", ".service"], |name, line| {
        if line.ends_with([' ', '\t']) {
            return Some("a blank at the end of the line");
        }
        (line.contains('\t') && name.ends_with(".rs")).then_some("a tab")
    }));
}

#[test]
fn no_mirror_and_no_registry_is_named() {
    // In pieces, so that this file names none itself.
    let hosts = [["deb.", "debian.org"], ["static.", "crates.io"], ["index.", "crates.io"], ["pypi", ".org"]];
    let hosts: Vec<String> = hosts.iter().map(|parts| parts.concat()).collect();
    let mut findings = Vec::new();
    for name in tracked().into_iter().filter(|name| !name.ends_with("Cargo.lock")) {
        let text = read(&name);
        findings.extend(
            hosts.iter().filter(|host| text.contains(host.as_str())).map(|host| format!("{name}: {host}")),
        );
    }
    check(findings);
}

#[test]
fn the_repository_stays_light() {
    let bytes = |name: &str| fs::metadata(tests::repository().join(name)).unwrap().len();
    let (models, others): (Vec<String>, Vec<String>) =
        tracked().into_iter().partition(|name| name.starts_with(MODELS_FOLDER));
    let heavy = others.into_iter().filter(|name| bytes(name) > FILE_BYTES_MAX);
    let mut findings: Vec<String> =
        heavy.map(|name| format!("{name}: more than {FILE_BYTES_MAX} bytes")).collect();
    let all: u64 = models.iter().map(|name| bytes(name)).sum();
    if all > MODELS_BYTES_MAX {
        findings.push(format!("{MODELS_FOLDER}: {all} bytes, and {MODELS_BYTES_MAX} are the limit"));
    }
    check(findings);
}

#[test]
fn every_golden_file_is_named_by_a_test() {
    let tests: String = sources(&[".rs"]).into_iter().map(|(_, text)| text).collect();
    let mut findings = Vec::new();
    for name in tracked().into_iter().filter(|name| name.starts_with("tests/golden/")) {
        let path = Path::new(&name);
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let folder = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
        // A folder of many small inputs is named as a whole.
        if !tests.contains(stem) && !tests.contains(&format!("{folder}/")) {
            findings.push(format!("{name}: no test names it"));
        }
    }
    check(findings);
}

#[test]
fn every_service_of_ours_gives_up_new_privileges() {
    // The shell of a virtual PC is root's own; systemd refuses to start it on a real one. The other is in images that were
    // built with it.
    let free = ["systemd/duet-shell.service", "buildroot/profiles/shell/systemd/duet-root@.service"];
    let bold = sources(&[".service"]).into_iter().filter(|(_, text)| !text.contains("NoNewPrivileges=yes"));
    let bold = bold.filter(|(name, _)| !free.contains(&name.as_str()));
    check(bold.map(|(name, _)| format!("{name}: NoNewPrivileges=yes is missing")).collect());
}

#[test]
fn the_agents_tests_skip_in_the_one_way_that_is_counted() {
    let tests = sources(&[".rs"]).into_iter().filter(|(name, _)| name.starts_with("agent/tests/"));
    let own = tests.filter(|(_, text)| text.contains("skipped"));
    check(own.map(|(name, _)| format!("{name}: tests/src/skip.rs says what is skipped")).collect());
}

#[test]
fn only_the_diagnosis_is_shown_the_key_of_the_ear() {
    let units = sources(&[".service"]);
    let private = |line: &str| line.contains("/run/private");
    let shown = |folder: &str| {
        let is_so = |text: &str| text.lines().any(|line| private(line) && line.contains(folder));
        let mut names: Vec<&str> =
            units.iter().filter(|(_, text)| is_so(text)).map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(shown("/run/private/duet-talk:"), ["systemd/diag@.service"]);
    assert_eq!(
        shown("/run/private/duet-agent:"),
        ["systemd/duet-overlay.service", "systemd/rpc-worker.service"]
    );
    // Nobody is shown more than one of the two.
    assert_eq!(shown("/run/private").len(), 3);
    let agent = &units.iter().find(|(name, _)| name == "systemd/agent.service").unwrap().1;
    assert!(agent.contains("\nRuntimeDirectory=duet-agent duet-talk\n"));
}

#[test]
fn every_enabled_unit_is_ours_or_systemds() {
    let recipe = Recipe::read(tests::repository(), &[]).unwrap();
    let mut findings = Vec::new();
    for preset in &recipe.presets {
        let Preset::Enable(unit) = preset else { continue };
        let file = match unit.split_once('@') {
            Some((name, rest)) => format!("{name}@.{}", rest.rsplit('.').next().unwrap()),
            None => unit.clone(),
        };
        let ours = recipe.overlay.contains_key(&format!("usr/lib/systemd/system/{file}"));
        if !ours && !unit.starts_with("systemd-") {
            findings.push(format!("systemd/presets.list enables {unit}, which nobody ships"));
        }
    }
    check(findings);
}

#[test]
fn every_program_that_a_unit_starts_survives_the_pruning() {
    let globs = Globs::new(&Recipe::read(tests::repository(), &[]).unwrap().prune);
    let pruned = |path: &str| globs.speaks_of(path).is_some_and(|idx| globs.takes(idx));
    let mut findings = Vec::new();
    for (name, text) in sources(&[".service"]) {
        for line in text.lines().filter_map(|line| line.strip_prefix("ExecStart=")) {
            let program =
                line.trim_start_matches(['-', '+', '!', '@', ':']).split(' ').next().unwrap_or_default();
            if program.starts_with('/') && pruned(program.trim_start_matches('/')) {
                findings.push(format!("{name}: starts {program}, which buildroot/prune.list removes"));
            }
        }
    }
    check(findings);
}
