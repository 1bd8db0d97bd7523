//! The agent that `duet bench stt` runs: built as it ships for a Core 2.

use super::SttArgs;
use crate::build::{self, programs};
use crate::progress::{Progress, Step};
use crate::setup::{self, For};
use crate::tool;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

pub struct Agent {
    program: PathBuf,
    /// Where models, results and logs lie.
    folder: PathBuf,
    rounds: u32,
    threads: u32,
    level: String,
}

/// A clip to hear, and how.
#[derive(Debug, Clone, Copy)]
pub struct Work<'a> {
    pub clip: &'a Path,
    pub model: &'a Path,
    pub audio_ctx: u32,
    pub tokens: u32,
}

impl Work<'_> {
    fn add_to(&self, command: &mut Command) {
        command.arg(self.clip).arg("--model").arg(self.model);
        command.args(["--audio-ctx", &self.audio_ctx.to_string(), "--tokens", &self.tokens.to_string()]);
    }
}

/// How clips are transcribed.
#[derive(Debug, Clone, Copy)]
pub struct Manner<'a> {
    /// ggml's kernels and whisper.cpp's own way, instead of ours.
    pub is_stock: bool,
    /// Places of the encoder; by the clip's length where none are given.
    pub audio_ctx: Option<u32>,
    pub hot_words: &'a [String],
}

/// What `agent measure-hearing` prints, as far as it is used here.
#[derive(Debug, Deserialize)]
pub struct Measured {
    pub stock: Side,
    pub ours: Side,
}

#[derive(Debug, Deserialize)]
pub struct Side {
    pub encoder_s: f64,
    pub whole_s: Option<f64>,
}

impl Agent {
    /// Builds the program, or takes one that is there.
    pub fn get(args: &SttArgs, progress: &Progress) -> Result<Agent> {
        let folder = args.out.join("bench");
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let folder = fs::canonicalize(&folder).with_context(|| format!("{}", folder.display()))?;
        let out = fs::canonicalize(&args.out).with_context(|| format!("{}", args.out.display()))?;
        let SttArgs { rounds, threads, level, .. } = args.clone();
        let agent = |program| Agent { program, folder, rounds, threads, level };
        if let Some(program) = &args.program {
            ensure!(program.is_file(), "{} is no program", program.display());
            progress.skip("the agent");
            return Ok(agent(program.clone()));
        }
        setup::ensure(&[For::Build], args.yes)?;
        let repository = build::repository()?;
        programs::check_path(&repository)?;
        let step = progress.step("building the agent for a Core 2: a few minutes the first time", None);
        let program = programs::one(&repository, &out.join("target"), "agent", &out.join("logs"), &step)?;
        step.done("built");
        Ok(agent(program))
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Hears a clip by turns with ggml's kernels and ours.
    pub fn measure(&self, work: &Work, encoder_only: bool, step: &Step) -> Result<Measured> {
        let mut command = Command::new(&self.program);
        work.add_to(command.arg("measure-hearing"));
        command.args(["--rounds", &self.rounds.to_string(), "--threads", &self.threads.to_string()]);
        command.args(["--kernels", &self.level]);
        if encoder_only {
            command.arg("--encoder-only");
        }
        self.ask(&mut command, step)
    }

    /// The words of many clips.
    pub fn transcribe<T: DeserializeOwned>(
        &self,
        model: &Path,
        clips: &[PathBuf],
        manner: Manner,
        step: &Step,
    ) -> Result<T> {
        let mut command = Command::new(&self.program);
        command.args(["transcribe", "--json", "--threads", &self.threads.to_string()]);
        let (kernels, steps) =
            if manner.is_stock { ("stock", "whisper") } else { (self.level.as_str(), "ours") };
        command.args(["--kernels", kernels, "--steps", steps]);
        if let Some(places) = manner.audio_ctx {
            command.args(["--audio-ctx", &places.to_string()]);
        }
        for word in manner.hot_words {
            command.args(["--hot-word", word]);
        }
        command.arg("--model").arg(model).args(clips);
        self.ask(&mut command, step)
    }

    /// Instructions of a whole run of the program, load included. Valgrind knows nothing newer than AVX2.
    pub fn count(&self, work: &Work, kernels: &str, steps: &str, step: &Step) -> Result<u64> {
        let counts = self.folder.join(format!("stt-{kernels}.callgrind"));
        let mut command = tool::command("valgrind");
        command.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", counts.display()));
        work.add_to(command.arg(&self.program).arg("transcribe"));
        command.args(["--kernels", kernels, "--steps", steps]);
        tool::run(quiet(&mut command), &self.folder.join("stt-count.log"), step)?;
        let text = fs::read_to_string(&counts).with_context(|| format!("reading {}", counts.display()))?;
        total(&text).with_context(|| format!("{} has no total", counts.display()))
    }

    fn ask<T: DeserializeOwned>(&self, command: &mut Command, step: &Step) -> Result<T> {
        let answer = self.folder.join("stt.json");
        let file = File::create(&answer).with_context(|| format!("writing {}", answer.display()))?;
        tool::run_into(quiet(command), file, &self.folder.join("stt.log"), step)?;
        let text = fs::read_to_string(&answer).with_context(|| format!("reading {}", answer.display()))?;
        serde_json::from_str(&text).with_context(|| format!("understanding {}", answer.display()))
    }
}

/// Waiting threads sleep, as on a node: see the unit.
fn quiet(command: &mut Command) -> &mut Command {
    command.env("OMP_WAIT_POLICY", "passive").env_remove("DUET_KERNELS")
}

/// The sum that callgrind writes at the end of a file, or at its beginning in older versions.
fn total(text: &str) -> Option<u64> {
    let line =
        text.lines().find_map(|line| line.strip_prefix("totals:").or(line.strip_prefix("summary:")))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_found_under_either_name() {
        assert_eq!(total("events: Ir\nfn=x\n1 5\ntotals: 1234567\n"), Some(1_234_567));
        assert_eq!(total("summary: 99\nfn=x\n"), Some(99));
        assert_eq!(total("events: Ir\n"), None);
    }
}
