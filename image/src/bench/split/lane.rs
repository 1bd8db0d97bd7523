//! One way to run the model, whole or cut, with what a run of it took.

use super::SplitArgs;
use super::figures::{Instructions, Logits, Run};
use super::links::Links;
use super::process::{Process, Taken, between};
use super::relay::Relay;
use crate::bench::llm::make::Recipe;
use crate::bench::worker::Worker;
use crate::progress::Step;
use anyhow::{Context, Result, ensure};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Tokens before the measuring begins, and behind its end: whoever reads a line reads it a little late.
const MARGIN: u32 = 8;
/// The rows that a ring reads at a time, so that the whole model reads the same pieces.
const BATCH: &str = "64";
/// The prompt of the run that counts instructions.
const COUNTED_LETTERS: usize = 31;
/// Positions beyond prompt and answer.
const SPARE: u32 = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Whole,
    RingOfTwo,
    RingOfThree,
    /// Everything between two stages goes through the head, as where a host asks its helpers in turn.
    StarOfThree,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Whole, Kind::RingOfTwo, Kind::RingOfThree, Kind::StarOfThree];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Whole => "whole",
            Kind::RingOfTwo | Kind::RingOfThree => "ring",
            Kind::StarOfThree => "star",
        }
    }

    pub fn n_stages(self) -> usize {
        match self {
            Kind::Whole => 1,
            Kind::RingOfTwo => 2,
            Kind::RingOfThree | Kind::StarOfThree => 3,
        }
    }

    /// Times that something crosses a cable for a token.
    pub fn hops(self) -> usize {
        match self {
            Kind::Whole => 0,
            Kind::RingOfTwo | Kind::RingOfThree => self.n_stages(),
            Kind::StarOfThree => 2 * (self.n_stages() - 1),
        }
    }

    fn port(self) -> u16 {
        50_052 + self as u16 * 10
    }
}

/// What all runs share.
pub struct Course<'a> {
    pub args: &'a SplitArgs,
    worker: &'a Worker,
    pub links: &'a Links,
    whole: PathBuf,
    /// For two stages and for three.
    slices: [Vec<PathBuf>; 2],
}

/// Where a stage is and whom it tells.
pub struct Seat {
    pub host_idx: usize,
    pub stage_idx: usize,
    pub n_stages: usize,
    pub port: u16,
    pub next: SocketAddr,
}

impl<'a> Course<'a> {
    /// Makes the model and its slices.
    pub fn new(
        args: &'a SplitArgs,
        worker: &'a Worker,
        links: &'a Links,
        recipe: &Recipe,
        step: &Step,
    ) -> Result<Course<'a>> {
        let whole = recipe.make(&args.out.join("cache/bench"), step)?;
        let cut = |n_stages: u64| {
            let slice = |idx| slice(&whole, share(recipe.layers, n_stages, idx));
            (0..n_stages).map(slice).collect::<Result<Vec<_>>>()
        };
        let slices = [cut(2)?, cut(3)?];
        Ok(Course { args, worker, links, whole, slices })
    }

    /// Instructions of one token, of the whole model and of three slices together: the first token behind the same prompt.
    /// Not of the wire: a frame of 2.3 kB and its check are some ten thousand.
    pub fn count(&self, step: &Step) -> Result<Instructions> {
        let prompt = "a".repeat(COUNTED_LETTERS);
        let tail = ["--prompt", &prompt, "--tokens", "3", "--kernels", &self.args.level];
        let count = |name: &str, files: &[&Path]| {
            let mut words: Vec<&OsStr> = vec!["generate".as_ref(), files[0].as_os_str()];
            words.extend(files[1..].iter().flat_map(|slice| ["--then".as_ref(), slice.as_os_str()]));
            words.extend(tail.iter().map(OsStr::new));
            let calls = self.worker.count(name, "llama_decode", &words, step)?;
            // A call for each slice with the prompt, then one for each with the token.
            let token = calls.get(files.len()..2 * files.len()).context("valgrind saw too few calls")?;
            anyhow::Ok(token.iter().sum())
        };
        let slices: Vec<&Path> = (0..3).map(|idx| self.slice(3, idx)).collect();
        Ok(Instructions {
            whole: count("split-whole", &[&self.whole])?,
            slices: count("split-slices", &slices)?,
        })
    }

    /// The model goes with its slices.
    pub fn remove(&self) -> Result<()> {
        for file in self.slices.iter().flatten().chain([&self.whole]) {
            fs::remove_file(file).with_context(|| format!("removing {}", file.display()))?;
        }
        Ok(())
    }

    fn start(&self, host_idx: usize, words: &[OsString]) -> Result<Process> {
        let words: Vec<&OsStr> = words.iter().map(OsString::as_os_str).collect();
        let mut command = self.worker.command(&words);
        command.env("DUET_KERNELS", &self.args.level);
        Process::start(&mut self.links.wrap(host_idx, &command))
    }

    fn slice(&self, n_stages: usize, idx: usize) -> &Path {
        &self.slices[n_stages - 2][idx]
    }

    fn n_ctx(&self) -> u32 {
        self.args.letters + self.args.tokens + SPARE
    }

    /// A stage that is ready.
    pub fn stage(&self, seat: &Seat, more: &[&str]) -> Result<Process> {
        let Seat { host_idx, stage_idx, n_stages, port, next } = *seat;
        let mut words = vec![OsString::from("stage"), self.slice(n_stages, stage_idx).into()];
        let listen = self.links.address(host_idx, port).to_string();
        words.extend(
            ["--stage", &stage_idx.to_string(), "--stages", &n_stages.to_string()].map(OsString::from),
        );
        words.extend(["--listen", &listen, "--next", &next.to_string()].map(OsString::from));
        words.extend(["--context", &self.n_ctx().to_string()].map(OsString::from));
        words.extend(more.iter().map(OsString::from));
        let stage = self.start(host_idx, &words)?;
        stage.wait_for("is ready").with_context(|| format!("stage {stage_idx} of {n_stages}"))?;
        Ok(stage)
    }

    /// A head that speaks.
    pub fn head(&self, n_stages: usize, port: u16, next: SocketAddr, n_tokens: u32) -> Result<Process> {
        let listen = self.links.address(0, port).to_string();
        let mut words = self.generate(self.slice(n_stages, 0), n_tokens);
        words.extend(["--ring", &next.to_string(), "--ring-listen", &listen].map(OsString::from));
        words.extend(["--ring-stages", &n_stages.to_string()].map(OsString::from));
        words.extend(["--ring-context", &self.n_ctx().to_string()].map(OsString::from));
        self.start(0, &words)
    }

    /// The whole model, that reads its prompt in the pieces of a ring.
    fn whole(&self, n_tokens: u32, more: &[&str]) -> Result<Process> {
        let mut words = self.generate(&self.whole, n_tokens);
        words.extend(["--batch", BATCH].map(OsString::from));
        words.extend(more.iter().map(OsString::from));
        self.start(0, &words)
    }

    fn generate(&self, model: &Path, n_tokens: u32) -> Vec<OsString> {
        // Letters have tokens of their own in the made vocabulary, and nothing joins them.
        let prompt: String = ('a'..='z').cycle().take(self.args.letters as usize).collect();
        let mut words = vec![OsString::from("generate"), model.into()];
        words
            .extend(["--prompt", &prompt, "--tokens", &n_tokens.to_string(), "--events"].map(OsString::from));
        words
    }

    /// Every logit of a ring of three and of the whole model, as a hash for each token.
    pub fn compare_logits(&self) -> Result<Logits> {
        let n_tokens = super::COMPARED_TOKENS;
        let whole = self.whole(n_tokens, &["--logits"])?;
        let lines = whole.rest().into_iter().map(|(_, line)| line);
        let lines: Vec<String> = lines.filter(|line| line.starts_with("logits after")).collect();
        ensure!(lines.len() == n_tokens as usize, "the whole model told of {} tokens", lines.len());
        let port = 50_042;
        let to = |idx| self.links.address(idx, port);
        let seat =
            |idx: usize| Seat { host_idx: idx, stage_idx: idx, n_stages: 3, port, next: to((idx + 1) % 3) };
        let (_one, two) = (self.stage(&seat(1), &[])?, self.stage(&seat(2), &["--logits"])?);
        let head = self.head(3, port, to(1), n_tokens)?;
        let ring = (0..n_tokens).map(|_| Ok(two.wait_for("logits after")?.1));
        let ring = ring.collect::<Result<Vec<_>>>().context("the last stage")?;
        head.end()?;
        Ok(Logits { whole: lines, ring })
    }
}

/// Layers of one of several stages, about as many in each.
fn share(n_layers: u64, n_stages: u64, idx: u64) -> Range<u64> {
    n_layers * idx / n_stages..n_layers * (idx + 1) / n_stages
}

/// The file with these layers, made if it is not there.
fn slice(whole: &Path, layers: Range<u64>) -> Result<PathBuf> {
    let path = whole.with_extension(format!("{}-{}.gguf", layers.start, layers.end));
    if !path.exists() {
        gguf::write_slice_file(whole, layers, &path)
            .with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(path)
}

/// The stages of one kind, which stay for all rounds.
pub struct Lane {
    kind: Kind,
    stages: Vec<Process>,
    /// Only of a star.
    _relay: Option<Relay>,
}

impl Lane {
    pub fn start(course: &Course, kind: Kind) -> Result<Lane> {
        let (n_stages, port) = (kind.n_stages(), kind.port());
        let to = |idx| course.links.address(idx, port);
        let relay = match kind {
            Kind::StarOfThree => Some(Relay::start(course.links, 0, port + 1, to(2))?),
            _ => None,
        };
        let next = |idx: usize| match (kind, idx) {
            (Kind::StarOfThree, 1) => course.links.address(0, port + 1),
            _ => to((idx + 1) % n_stages),
        };
        let seat = |idx: usize| Seat { host_idx: idx, stage_idx: idx, n_stages, port, next: next(idx) };
        let stages = (1..n_stages).map(|idx| course.stage(&seat(idx), &[])).collect::<Result<_>>()?;
        Ok(Lane { kind, stages, _relay: relay })
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// One answer, from its prompt to its last token.
    pub fn run(&self, course: &Course) -> Result<Run> {
        let n_tokens = course.args.tokens;
        let process = match self.kind {
            Kind::Whole => course.whole(n_tokens, &[])?,
            kind => {
                course.head(kind.n_stages(), kind.port(), course.links.address(1, kind.port()), n_tokens)?
            }
        };
        let first_token_ms = token(&process)?;
        let mut all = vec![&process];
        all.extend(&self.stages);
        let (began_ms, before) = (skip(&process, MARGIN)?, taken(&all)?);
        let n = n_tokens - 2 * MARGIN;
        let (ended_ms, after) = (skip(&process, n)?, taken(&all)?);
        let cpu_ns: u64 = before.iter().zip(&after).map(|(before, after)| between(before, after)).sum();
        process.end().with_context(|| format!("the {}", self.kind.name()))?;
        Ok(Run {
            first_token_ms,
            ms_per_token: (ended_ms - began_ms) / f64::from(n),
            cpu_ms_per_token: cpu_ns as f64 / 1e6 / f64::from(n),
        })
    }
}

fn taken(all: &[&Process]) -> Result<Vec<Taken>> {
    all.iter().map(|process| process.taken()).collect()
}

/// When the next token came, by the process's own clock.
fn token(process: &Process) -> Result<f64> {
    let (_, line) = process.wait_for("token at ")?;
    let ms = line.strip_prefix("token at ").and_then(|rest| rest.strip_suffix(" ms")?.parse().ok());
    ms.with_context(|| format!("{line:?} is not about a token"))
}

/// The same of the token after so many.
fn skip(process: &Process, n: u32) -> Result<f64> {
    (0..n).try_fold(0.0, |_, _| token(process))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layer_is_in_one_share() {
        for (n_layers, n_stages) in [(30, 3), (30, 2), (4, 3), (7, 2)] {
            let shares: Vec<_> = (0..n_stages).map(|idx| share(n_layers, n_stages, idx)).collect();
            assert!(shares.iter().all(|share| !share.is_empty()), "{shares:?}");
            let layers: Vec<u64> = shares.into_iter().flatten().collect();
            assert_eq!(layers, (0..n_layers).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_star_crosses_more_cables_than_a_ring() {
        assert_eq!(Kind::ALL.map(Kind::hops), [0, 2, 3, 4]);
    }
}
