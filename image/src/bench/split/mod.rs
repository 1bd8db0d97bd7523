//! `duet bench split`: what cutting a model over several nodes costs, and what the loss of one costs.
//!
//! One whole model and its rings of two and three stages take turns, each stage in a process of its own. Where the
//! machine allows it, each has a network namespace with a cable of 1 Gbit/s; else all share loopback, and the figures
//! say so. Shares and ratios are what counts: on two cores three stages never work at once.

pub mod figures;
mod lane;
mod links;
mod loss;
pub mod process;
mod relay;

use super::llm::args::LEVELS;
use super::llm::make::Recipe;
use super::llm::shape::{MIXES, SMOLLM2};
use super::worker::Worker;
use crate::progress::Progress;
use crate::setup::{self, For};
use anyhow::{Context, Result, bail, ensure};
use argh::{ArgsInfo, FromArgs};
use figures::{Figures, Round};
use lane::{Course, Kind, Lane};
use links::Links;
use std::fs;
use std::path::PathBuf;

const ROUNDS_MAX: u32 = 100;
const TOKENS: std::ops::RangeInclusive<u32> = 32..=1024;
const LETTERS: std::ops::RangeInclusive<u32> = 1..=2048;
/// Tokens at which all logits are held to each other.
const COMPARED_TOKENS: u32 = 32;

/// Measure a model that is cut over several nodes beside the whole one.
#[derive(FromArgs, ArgsInfo, Debug, Clone)]
#[argh(
    subcommand,
    name = "split",
    example = "As data, some minutes:\n  duet bench split --json",
    example = "A small part of the model, without namespaces:\n  duet bench split --layers 6 --rounds 1 --loopback",
    error_code(1, "A gate is missed, or nothing could be measured; one sentence on stderr says what."),
    note = "The model has the shape of SmolLM2-135M in Q8_0, and random weights. Each process has one thread."
)]
pub struct SplitArgs {
    /// folder for the model, its slices, logs and the node program (default: out)
    #[argh(option, default = "PathBuf::from(\"out\")")]
    pub out: PathBuf,
    /// print one JSON object on stdout; progress goes to stderr
    #[argh(switch)]
    pub json: bool,
    /// layers of the model (default: all 30)
    #[argh(option, default = "SMOLLM2.layers")]
    pub layers: u64,
    /// level of our kernels: sse2, ssse3 (default), sse41, avx2
    #[argh(option, default = "String::from(\"ssse3\")")]
    pub level: String,
    /// rounds, whose median counts (default 5)
    #[argh(option, default = "5")]
    pub rounds: u32,
    /// tokens that are decoded in each (default 96)
    #[argh(option, default = "96")]
    pub tokens: u32,
    /// letters of the prompt, a token each (default 511)
    #[argh(option, default = "511")]
    pub letters: u32,
    /// all processes on loopback, whatever the machine allows
    #[argh(switch)]
    pub loopback: bool,
    /// keep the model and its slices for the next run
    #[argh(switch)]
    pub keep: bool,
    /// a built rpc-worker to measure, instead of building one
    #[argh(option)]
    pub program: Option<PathBuf>,
    /// install missing packages without asking
    #[argh(switch, short = 'y')]
    pub yes: bool,
}

/// Runs the command.
pub fn command(args: &SplitArgs) -> Result<()> {
    args.check()?;
    setup::ensure(&[For::Bench], args.yes)?;
    let progress = Progress::new(if args.program.is_some() { 7 } else { 8 });
    let worker = Worker::get(args.program.as_deref(), &args.out, args.yes, &progress)?;
    if !args.loopback && !links::are_inside() && links::are_possible() {
        return links::go_inside(worker.program());
    }
    let figures = measure(args, &worker, &progress)?;
    let file = worker.folder().join("split.json");
    fs::write(&file, serde_json::to_string_pretty(&figures)?)
        .with_context(|| format!("writing {}", file.display()))?;
    if args.json {
        println!("{}", serde_json::to_string(&figures)?);
    } else {
        print!("{}", figures::table(&figures));
    }
    let missed = figures.missed();
    ensure!(missed.is_empty(), "a gate is missed: {}", missed.join("; "));
    Ok(())
}

fn measure(args: &SplitArgs, worker: &Worker, progress: &Progress) -> Result<Figures> {
    eprintln!(
        "bench split: {} rounds of {} runs, a run about ten seconds on two quiet cores of today",
        args.rounds,
        Kind::ALL.len()
    );
    let step = progress.step("links between the stages", None);
    let links = Links::new(args.loopback)?;
    let link = links.measure()?;
    step.done(&format!(
        "{}: {:.0} Mbit/s, {:.0} us there and back",
        link.how, link.mbit_per_s, link.round_trip_us
    ));

    let step = progress.step("the model and its slices", None);
    let recipe = Recipe::new(SMOLLM2, &MIXES[1], args.layers);
    let course = Course::new(args, worker, &links, &recipe, &step)?;
    step.done(&format!(
        "{} of {} layers, {} MB",
        recipe.layers,
        SMOLLM2.layers,
        recipe.weight_bytes() / 1_000_000
    ));

    let step = progress.step("every logit of the ring beside the whole model's", None);
    let logits = course.compare_logits()?;
    let verdict = if logits.are_equal() { "bit by bit the same" } else { "not the same" };
    step.done(&format!("{} logits after {} tokens: {verdict}", SMOLLM2.vocabulary, logits.whole.len()));

    let step = progress.step("the instructions of a token, counted by valgrind", None);
    let instructions = course.count(&step)?;
    step.done(&format!("{:+.2} % in three slices", instructions.overhead_percent()));

    let step = progress.step("the whole model and its rings in turns", None);
    let rounds = rounds(args, &course, &step)?;
    step.done(&format!("{} rounds", rounds.len()));

    let step = progress.step("a stage is killed while it decodes, and another takes its place", None);
    let killed = course.lose("KILL", &step)?;
    step.done(&killed.told());
    let step = progress.step("a stage freezes while it decodes, and another takes its place", None);
    let frozen = course.lose("STOP", &step)?;
    step.done(&frozen.told());

    let figures = Figures::new(args, &recipe, link, &logits, instructions, &rounds, [killed, frozen]);
    if !args.keep {
        course.remove()?;
    }
    Ok(figures)
}

/// Everything takes its turn in every round, so that what else the machine does falls on all alike.
fn rounds(args: &SplitArgs, course: &Course, step: &crate::progress::Step) -> Result<Vec<Round>> {
    let lanes = Kind::ALL.iter().map(|kind| Lane::start(course, *kind)).collect::<Result<Vec<_>>>()?;
    let mut rounds = Vec::new();
    for n in 1..=args.rounds {
        let mut round = Round::new();
        for lane in &lanes {
            step.note(&format!("round {n} of {}: {}", args.rounds, lane.kind().name()));
            round.insert(lane.kind(), lane.run(course)?);
        }
        rounds.push(round);
    }
    Ok(rounds)
}

impl SplitArgs {
    fn check(&self) -> Result<()> {
        if !LEVELS.contains(&self.level.as_str()) {
            bail!("there are no kernels {:?}, only {}", self.level, LEVELS.join(", "));
        }
        let within = |name: &str, n: u32, range: std::ops::RangeInclusive<u32>| {
            ensure!(range.contains(&n), "--{name} is from {} to {}", range.start(), range.end());
            Ok(())
        };
        within("rounds", self.rounds, 1..=ROUNDS_MAX)?;
        within("tokens", self.tokens, TOKENS)?;
        within("letters", self.letters, LETTERS)?;
        ensure!((3..=SMOLLM2.layers).contains(&self.layers), "--layers is from 3 to {}", SMOLLM2.layers);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, want: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let error = SplitArgs::from_args(&["split"], &words).unwrap().check().err();
        assert_eq!(error.map(|error| error.to_string()).unwrap_or_default(), want);
    }

    #[test]
    fn what_cannot_be_measured_is_refused_before_anything_is_built() {
        check("", "");
        check("--layers 2", "--layers is from 3 to 30");
        check("--rounds 0", "--rounds is from 1 to 100");
        check("--tokens 31", "--tokens is from 32 to 1024");
        check("--letters 0", "--letters is from 1 to 2048");
        check("--level sse5", "there are no kernels \"sse5\", only sse2, ssse3, sse41, avx2");
    }
}
