//! The node program that the benches run: built as it ships for a Core 2, with the names of its functions.

use crate::build::{self, programs};
use crate::progress::{Progress, Step};
use crate::setup::{self, For};
use crate::tool;
use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program to run, and where it may leave things.
pub struct Worker {
    program: PathBuf,
    folder: PathBuf,
}

impl Worker {
    /// Builds the program, or takes one that is there. Things are left below `out`.
    pub fn get(program: Option<&Path>, out: &Path, yes: bool, progress: &Progress) -> Result<Worker> {
        let program = self::program("rpc-worker", program, out, yes, progress)?;
        let out = fs::canonicalize(out).with_context(|| format!("{}", out.display()))?;
        Ok(Worker { program, folder: out.join("bench") })
    }

    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Where results and logs of the benches lie.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The program with these arguments. Waiting threads sleep, as on a node: see the unit.
    pub fn command(&self, args: &[&OsStr]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).env("OMP_WAIT_POLICY", "passive").env_remove("DUET_KERNELS");
        command
    }

    /// Runs it and reads the object that it prints; what it says meanwhile is shown.
    pub fn ask<T: DeserializeOwned>(&self, name: &str, args: &[&OsStr], step: &Step) -> Result<T> {
        let answer = self.folder.join(format!("{name}.json"));
        let file = File::create(&answer).with_context(|| format!("writing {}", answer.display()))?;
        tool::run_into(&mut self.command(args), file, &self.folder.join(format!("{name}.log")), step)?;
        let text = fs::read_to_string(&answer).with_context(|| format!("reading {}", answer.display()))?;
        serde_json::from_str(&text).with_context(|| format!("understanding {}", answer.display()))
    }

    /// Counts the instructions of every call of `function` in one run, in the order of the calls.
    pub fn count(&self, name: &str, function: &str, args: &[&OsStr], step: &Step) -> Result<Vec<u64>> {
        let folder = self.folder.join(format!("{name}-counts"));
        // Counts of an earlier run would be taken for this one's.
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("emptying {}", folder.display()))?;
        }
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let mut command = tool::command("valgrind");
        command.args(["--tool=callgrind", "--collect-atstart=no"]);
        command.args([format!("--toggle-collect={function}"), format!("--dump-after={function}")]);
        command.arg(format!("--callgrind-out-file={}", folder.join("calls").display()));
        command.arg(&self.program).args(args).env("OMP_WAIT_POLICY", "passive").env_remove("DUET_KERNELS");
        let said = self.folder.join(format!("{name}-said.txt"));
        let said = File::create(&said).with_context(|| format!("writing {}", said.display()))?;
        tool::run_into(&mut command, said, &self.folder.join(format!("{name}.log")), step)?;
        let mut counts = Vec::new();
        for idx in 1.. {
            let file = folder.join(format!("calls.{idx}"));
            let Ok(text) = fs::read_to_string(&file) else { break };
            counts.push(total(&text).with_context(|| format!("{} has no total", file.display()))?);
        }
        ensure!(!counts.is_empty(), "valgrind saw no call of {function}; has the program lost its names?");
        Ok(counts)
    }
}

/// A node program: built, or one that is there. `out/bench` is made too.
pub fn program(
    name: &str,
    built: Option<&Path>,
    out: &Path,
    yes: bool,
    progress: &Progress,
) -> Result<PathBuf> {
    let folder = out.join("bench");
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    if let Some(program) = built {
        ensure!(program.is_file(), "{} is no program", program.display());
        return Ok(program.to_path_buf());
    }
    let out = fs::canonicalize(out).with_context(|| format!("{}", out.display()))?;
    setup::ensure(&[For::Build], yes)?;
    let repository = build::repository()?;
    programs::check_path(&repository)?;
    let step =
        progress.step(&format!("building {name} for a Core 2: up to ten minutes the first time"), None);
    let program = programs::one(&repository, &out.join("target"), name, &out.join("logs"), &step)?;
    step.done("built");
    Ok(program)
}

/// The sum that callgrind writes at the end of a file, or at its beginning in older versions.
pub fn total(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:")))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_total_is_found_whatever_it_is_called() {
        assert_eq!(total("events: Ir\nfn=x\n1 5\ntotals: 1234567\n"), Some(1_234_567));
        assert_eq!(total("summary: 99\nfn=x\n"), Some(99));
        assert_eq!(total("events: Ir\n"), None);
    }

    #[test]
    fn a_program_that_is_not_there_is_said_so() {
        let out = std::env::temp_dir().join(format!("duet-worker-{}", std::process::id()));
        let got = Worker::get(Some(Path::new("/no/such/program")), &out, false, &Progress::new(1));
        fs::remove_dir_all(&out).unwrap();
        assert_eq!(got.err().unwrap().to_string(), "/no/such/program is no program");
    }
}
