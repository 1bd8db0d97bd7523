//! `duet test`: sets up, builds the image, runs every test there is, and ends with one line of counts.

use crate::build::{self, Options, verify};
use crate::disk::free_bytes;
use crate::progress::megabytes;
use crate::setup::{self, For};
use anyhow::{Context, Result, bail};
use argh::{ArgsInfo, FromArgs};
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Run every test: lints, unit, golden, simulation, loopback, image, boot.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "test",
    example = "Everything, as CI does it:\n  duet test --yes",
    example = "What needs no image and no virtual PC, in a few minutes:\n  duet test --quick"
)]
pub struct TestArgs {
    /// leave out the image and the virtual PCs
    #[argh(switch)]
    pub quick: bool,
    /// folder for everything that is made (default: out)
    #[argh(option, default = "PathBuf::from(\"out\")")]
    pub out: PathBuf,
    /// install missing packages without asking
    #[argh(switch, short = 'y')]
    pub yes: bool,
}

/// The tests that boot PCs. They run alone, because each takes both cores.
const BOOT_TESTS: &str = "boot";

/// What the first run of all tests writes, measured in a clean checkout, and what one more writes.
const DISK_BYTES_FIRST: u64 = 9_000_000_000;
const DISK_BYTES_AGAIN: u64 = 3_000_000_000;

/// What has been counted so far.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Counts {
    fn add(&mut self, other: &Counts) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    fn check(&mut self, name: &str, result: Result<()>) {
        match result {
            Ok(()) => {
                println!("check {name}: ok");
                self.passed += 1;
            }
            Err(error) => {
                println!("check {name}: FAILED: {error:#}");
                self.failed += 1;
            }
        }
    }
}

/// Runs the command.
pub fn command(args: TestArgs) -> Result<()> {
    let started = Instant::now();
    let repository = build::repository()?;
    let purposes: &[For] = if args.quick {
        &[For::Build, For::Test, For::Bench, For::Speech]
    } else {
        &[For::Build, For::Vm, For::Test, For::Bench, For::Speech]
    };
    setup::ensure(purposes, args.yes)?;
    fs::create_dir_all(&args.out).with_context(|| format!("making {}", args.out.display()))?;
    let out = fs::canonicalize(&args.out).with_context(|| format!("{}", args.out.display()))?;
    enough_disk(&out)?;
    let run = Run { repository: &repository, skips: out.join("skipped.log"), out };
    let mut counts = Counts::default();
    let _ = fs::remove_file(&run.skips);

    counts.check("cargo fmt", run.cargo(&["fmt", "--all", "--check"]));
    counts.check(
        "cargo clippy",
        run.cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]),
    );
    // A workspace of its own, so the two above do not reach it.
    let fuzz = ["--manifest-path", "fuzz/Cargo.toml"];
    counts.check("cargo fmt of fuzz", run.cargo(&[&["fmt"], &fuzz[..], &["--check"]].concat()));
    counts.check(
        "cargo clippy of fuzz",
        run.cargo(&[&["clippy"], &fuzz[..], &["--quiet", "--", "-D", "warnings"]].concat()),
    );
    counts.add(&run.tests(&["--workspace", "--exclude", "tests"])?);
    for name in run.suites()?.iter().filter(|name| *name != BOOT_TESTS) {
        counts.add(&run.tests(&["--package", "tests", "--test", name])?);
    }
    if !args.quick {
        let built = build::build(&repository, &Options::new(run.out.clone()));
        let is_built = built.is_ok();
        counts.check("duet build", built.map(drop));
        if is_built {
            counts.add(&run.tests(&["--package", "tests", "--test", BOOT_TESTS])?);
            counts.check("duet verify --rebuild", verify::rebuild_promoted(&run.out));
        }
    }
    let told = fs::read_to_string(&run.skips).unwrap_or_default();
    counts.skipped += told.lines().count();
    counts.passed = counts.passed.saturating_sub(told.lines().count());
    print!("{told}");
    println!("all of it took {} seconds", started.elapsed().as_secs());
    println!("{} passed, {} failed, {} skipped", counts.passed, counts.failed, counts.skipped);
    if counts.failed > 0 {
        bail!("{} tests failed; their names stand above", counts.failed);
    }
    Ok(())
}

/// A full disk fails one test after the other, and none says why as plainly as this.
fn enough_disk(out: &Path) -> Result<()> {
    // The programs of an earlier run are written over.
    let needed = if out.join("releases").exists() { DISK_BYTES_AGAIN } else { DISK_BYTES_FIRST };
    let free = free_bytes(out)?;
    if free < needed {
        let (free, needed) = (megabytes(free), megabytes(needed));
        bail!("{} has {free} left, all tests need {needed}; free some, or use --out", out.display());
    }
    Ok(())
}

struct Run<'a> {
    repository: &'a Path,
    out: PathBuf,
    /// Where a test that must be skipped says why.
    skips: PathBuf,
}

impl Run<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        let mut command = Command::new(cargo);
        command.current_dir(self.repository).args(arguments).stdin(Stdio::null());
        command.env("DUET_OUT", &self.out).env("DUET_SKIPS", &self.skips);
        command
    }

    fn cargo(&self, arguments: &[&str]) -> Result<()> {
        let status = self.command(arguments).status().context("starting cargo")?;
        anyhow::ensure!(status.success(), "cargo {} ended with {status}", arguments.join(" "));
        Ok(())
    }

    /// The names of the test programs in `tests/tests`.
    fn suites(&self) -> Result<Vec<String>> {
        let folder = self.repository.join("tests/tests");
        let reading = || format!("reading {}", folder.display());
        let mut names = Vec::new();
        for entry in fs::read_dir(&folder).with_context(reading)? {
            let path = entry.with_context(reading)?.path();
            let is_suite =
                path.join("main.rs").is_file() || path.extension().is_some_and(|kind| kind == "rs");
            if is_suite {
                names.extend(path.file_stem().and_then(|name| name.to_str()).map(str::to_string));
            }
        }
        names.sort();
        Ok(names)
    }

    /// Runs `cargo test`, shows all it says, and counts.
    fn tests(&self, which: &[&str]) -> Result<Counts> {
        println!("\n== cargo test {}", which.join(" "));
        let mut command = self.command(&["test", "--no-fail-fast", "--color", "never"]);
        let mut child = command.args(which).stdout(Stdio::piped()).spawn().context("starting cargo")?;
        let mut counts = Counts::default();
        if let Some(lines) = child.stdout.take() {
            for line in BufReader::new(lines).lines() {
                let line = line.context("reading what cargo says")?;
                counts.add(&count(&line));
                // The lines of empty test programs say nothing.
                if !(line.is_empty()
                    || line == "running 0 tests"
                    || line.contains(" 0 passed; 0 failed; 0 ignored"))
                {
                    println!("{line}");
                }
            }
        }
        let status = child.wait().context("waiting for cargo")?;
        if !status.success() && counts.failed == 0 {
            // It did not compile, or a test program died without a count.
            println!("cargo test {} ended with {status}", which.join(" "));
            counts.failed += 1;
        }
        Ok(counts)
    }
}

/// Reads cargo's own closing line: `test result: ok. 3 passed; 0 failed; 1 ignored; ...`.
fn count(line: &str) -> Counts {
    let Some(rest) = line.strip_prefix("test result: ") else { return Counts::default() };
    let number = |what: &str| {
        let part = rest.split([';', '.']).find_map(|part| part.trim().strip_suffix(what))?;
        part.trim().parse().ok()
    };
    Counts {
        passed: number("passed").unwrap_or(0),
        failed: number("failed").unwrap_or(0),
        skipped: number("ignored").unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_of_cargo_is_counted() {
        let line = "test result: FAILED. 3 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        assert_eq!(count(line), Counts { passed: 3, failed: 2, skipped: 1 });
    }

    #[test]
    fn other_lines_count_nothing() {
        assert_eq!(count("test a_name_with_passed ... ok"), Counts::default());
    }
}
