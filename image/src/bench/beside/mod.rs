//! `duet bench beside`: what hearing loses while the same node also writes an answer.
//!
//! It is no row of `bench stt`, because it needs both node programs, and measures neither's kernels: rpc-worker serves a
//! model as on a node, `agent transcribe` hears a clip with nothing beside it and with a stream that never ends, by
//! turns, and all of it has no more cores than threads. Models are made here, with random weights.

mod talker;

use super::llm::make::Recipe;
use super::llm::shape::{BONSAI, MIXES};
use super::split::process::Process;
use super::stt;
use super::worker::{self, Worker};
use crate::progress::{Progress, Step};
use anyhow::{Context, Result, ensure};
use argh::{ArgsInfo, FromArgs};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use talker::Talker;
use voice::whisper::forge;

/// Hearing may take so much of its time alone.
const GATE: f64 = 1.2;
const ROUNDS_MAX: u32 = 200;
const THREADS_MAX: usize = 16;
/// Times that a clip is heard in one go: alone it takes a tenth of a second on a server.
const CLIPS: usize = 8;
/// Of the model that writes: the shape of a 1.7B model, and as many layers as two cores write some tokens a second with.
const LAYERS: u64 = 4;
const MIX: &str = "Q5_0";

/// Measure hearing beside a model that writes.
#[derive(FromArgs, ArgsInfo, Debug, Clone)]
#[argh(
    subcommand,
    name = "beside",
    example = "What hearing loses, as data:\n  duet bench beside --json",
    note = "Ratios are medians of rounds: a clip with a stream beside it over the same clip without one."
)]
pub struct BesideArgs {
    /// folder for models, logs and the node programs (default: out)
    #[argh(option, default = "PathBuf::from(\"out\")")]
    pub out: PathBuf,
    /// print one JSON object on stdout; progress goes to stderr
    #[argh(switch)]
    pub json: bool,
    /// clips heard on each side (default 15)
    #[argh(option, default = "15")]
    pub rounds: u32,
    /// threads of each program, and cores of both together (default 2)
    #[argh(option, default = "2")]
    pub threads: usize,
    /// a built agent, instead of building one
    #[argh(option)]
    pub agent: Option<PathBuf>,
    /// a built rpc-worker, instead of building one
    #[argh(option)]
    pub worker: Option<PathBuf>,
    /// install missing packages without asking
    #[argh(switch, short = 'y')]
    pub yes: bool,
}

/// What one clip took.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Span {
    pub wall_s: f64,
    pub cpu_s: f64,
}

#[derive(Debug, Serialize)]
pub struct Figures {
    pub threads: usize,
    pub rounds: usize,
    /// Seconds for a clip of 2.5 s without anything beside it, and its processor time.
    pub alone_s: f64,
    pub alone_cpu_s: f64,
    /// With a stream beside it, over the same without one.
    pub wall_ratio: f64,
    pub wall_ratio_least: f64,
    pub wall_ratio_most: f64,
    pub cpu_ratio: f64,
    /// Of the stream: with nothing beside it, and while clips were heard.
    pub tokens_per_second_alone: f64,
    pub tokens_per_second_beside: f64,
}

/// Runs the command.
pub fn command(args: &BesideArgs) -> Result<()> {
    ensure!((1..=ROUNDS_MAX).contains(&args.rounds), "1 to {ROUNDS_MAX} rounds can be measured");
    ensure!((1..=THREADS_MAX).contains(&args.threads), "1 to {THREADS_MAX} threads can be measured");
    let progress = Progress::new(5);
    let agent = worker::program("agent", args.agent.as_deref(), &args.out, args.yes, &progress)?;
    let worker = Worker::get(args.worker.as_deref(), &args.out, args.yes, &progress)?;
    let clip = Clip::make(agent, worker.folder(), args.threads)?;
    let step = progress.step("making a model that writes", None);
    let mix = MIXES.iter().find(|mix| mix.name == MIX).context("the mix is one of them")?;
    let model = Recipe::new(BONSAI, mix, LAYERS).make(&worker.folder().join("models"), &step)?;
    step.done("made");
    few_cores(args.threads)?;
    let (_process, address) = serve(&worker, &model, args.threads)?;
    let step = progress.step(&format!("{} rounds by turns", args.rounds), None);
    let figures = measure(args, &clip, address, &step)?;
    step.done(&format!("{:.2} times as long", figures.wall_ratio));
    println!("{}", if args.json { serde_json::to_string(&figures)? } else { table(&figures) });
    Ok(())
}

/// From here on this program and what it starts have so many cores.
fn few_cores(n: usize) -> Result<()> {
    let mine = sched_getaffinity(None).context("asking for the own cores")?;
    let mut few = CpuSet::new();
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| mine.is_set(*core)).take(n).collect();
    ensure!(cores.len() == n, "{n} cores are needed for {n} threads, and there are {}", cores.len());
    cores.into_iter().for_each(|core| few.set(core));
    sched_setaffinity(None, &few).context("taking few cores")
}

/// rpc-worker as on a node, with this model alone.
fn serve(worker: &Worker, model: &Path, threads: usize) -> Result<(Process, SocketAddr)> {
    let mut command = worker.command(&[]);
    command.args(["--listen", "127.0.0.1:0", "--threads", &threads.to_string(), "--model"]).arg(model);
    command.arg("--overlay").arg(worker.folder().join("no-overlay"));
    let process = Process::start(&mut command)?;
    let (_, line) = process.wait_for("listening on ")?;
    let address = line.rsplit(' ').next().and_then(|word| word.trim().parse().ok());
    process.wait_for("is served")?;
    Ok((process, address.context("rpc-worker did not say where it listens")?))
}

/// What is heard, and by whom.
struct Clip {
    agent: PathBuf,
    clip: PathBuf,
    model: PathBuf,
    threads: usize,
}

impl Clip {
    fn make(agent: PathBuf, folder: &Path, threads: usize) -> Result<Clip> {
        let (clip, model) = (folder.join("beside-clip.wav"), folder.join("beside-hearing.bin"));
        stt::write_clip(&clip)?;
        stt::write_model(&model, forge::Kind::Q8_0)?;
        Ok(Clip { agent, clip, model, threads })
    }

    fn hear(&self) -> Result<Span> {
        #[derive(Deserialize)]
        struct Report {
            files: Vec<Heard>,
        }
        #[derive(Deserialize)]
        struct Heard {
            whole: Span,
        }
        let mut command = std::process::Command::new(&self.agent);
        command.args(["transcribe", "--json", "--threads", &self.threads.to_string()]);
        command.args(["--audio-ctx", &stt::SHORT.to_string(), "--tokens", &stt::SHORT_TOKENS.to_string()]);
        command.arg("--model").arg(&self.model).args([&self.clip; CLIPS]).env("OMP_WAIT_POLICY", "passive");
        let said = crate::tool::capture(&mut command)?;
        let report: Report = serde_json::from_str(&said).context("understanding what agent heard")?;
        ensure!(report.files.len() == CLIPS, "agent heard {} of {CLIPS} clips", report.files.len());
        let of = |take: fn(&Span) -> f64| {
            report.files.iter().map(|heard| take(&heard.whole)).sum::<f64>() / CLIPS as f64
        };
        Ok(Span { wall_s: of(|span| span.wall_s), cpu_s: of(|span| span.cpu_s) })
    }
}

fn measure(args: &BesideArgs, clip: &Clip, address: SocketAddr, step: &Step) -> Result<Figures> {
    let (mut pairs, mut speeds) = (Vec::new(), Speeds::default());
    for round in 0..args.rounds {
        // Whoever is second finds warmer caches and another mood of the machine.
        let pair = if round % 2 == 0 {
            let alone = clip.hear()?;
            (alone, beside(clip, address, &mut speeds)?)
        } else {
            let beside = beside(clip, address, &mut speeds)?;
            (clip.hear()?, beside)
        };
        pairs.push(pair);
        step.note(&format!("{} of {} rounds", round + 1, args.rounds));
    }
    Ok(figures(args.threads, &pairs, &speeds))
}

/// A clip while the model writes, and how fast that wrote before and meanwhile.
fn beside(clip: &Clip, address: SocketAddr, speeds: &mut Speeds) -> Result<Span> {
    let talker = Talker::start(address)?;
    speeds.alone.add(talker.of_a_while()?);
    let mark = talker.mark();
    let span = clip.hear()?;
    speeds.beside.add(talker.since(mark));
    talker.stop()?;
    Ok(span)
}

/// Tokens, and the seconds in which they were written, of all rounds.
#[derive(Default)]
struct Speeds {
    alone: Written,
    beside: Written,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    pub n_tokens: u64,
    pub seconds: f64,
}

impl Written {
    fn add(&mut self, more: Written) {
        self.n_tokens += more.n_tokens;
        self.seconds += more.seconds;
    }

    fn speed(&self) -> f64 {
        if self.seconds > 0.0 { self.n_tokens as f64 / self.seconds } else { 0.0 }
    }
}

fn figures(threads: usize, pairs: &[(Span, Span)], speeds: &Speeds) -> Figures {
    let of = |take: fn(&(Span, Span)) -> f64| sorted(pairs.iter().map(take).collect());
    let walls = of(|(alone, beside)| beside.wall_s / alone.wall_s);
    Figures {
        threads,
        rounds: pairs.len(),
        alone_s: median(&of(|(alone, _)| alone.wall_s)),
        alone_cpu_s: median(&of(|(alone, _)| alone.cpu_s)),
        wall_ratio: median(&walls),
        wall_ratio_least: walls.first().copied().unwrap_or(0.0),
        wall_ratio_most: walls.last().copied().unwrap_or(0.0),
        cpu_ratio: median(&of(|(alone, beside)| beside.cpu_s / alone.cpu_s)),
        tokens_per_second_alone: speeds.alone.speed(),
        tokens_per_second_beside: speeds.beside.speed(),
    }
}

fn sorted(mut numbers: Vec<f64>) -> Vec<f64> {
    numbers.sort_by(f64::total_cmp);
    numbers
}

fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

/// The figures beside their gate.
fn table(figures: &Figures) -> String {
    let verdict = if figures.wall_ratio <= GATE { "reached" } else { "missed" };
    format!(
        "2.5 s of speech alone: {:.3} s, {:.3} s of processor ({} threads, {} rounds)\n\
         beside a stream: {:.2} times as long ({:.2} to {:.2}), {:.2} times the processor  gate {GATE}: {verdict}\n\
         the stream: {:.1} tokens a second alone, {:.1} beside hearing",
        figures.alone_s,
        figures.alone_cpu_s,
        figures.threads,
        figures.rounds,
        figures.wall_ratio,
        figures.wall_ratio_least,
        figures.wall_ratio_most,
        figures.cpu_ratio,
        figures.tokens_per_second_alone,
        figures.tokens_per_second_beside,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(beside_s: f64, want: &str) {
        let span = |wall_s| Span { wall_s, cpu_s: 2.0 };
        let pairs: Vec<_> = (0..5).map(|n| (span(1.0), span(beside_s + f64::from(n)))).collect();
        let written = |n_tokens| Written { n_tokens, seconds: 10.0 };
        let table = table(&figures(2, &pairs, &Speeds { alone: written(90), beside: written(30) }));
        assert!(table.contains(want), "{want:?} is not in\n{table}");
    }

    #[test]
    fn the_median_is_held_to_the_gate() {
        check(0.5, "2.50 times as long (0.50 to 4.50), 1.00 times the processor  gate 1.2: missed");
        check(-0.8, "1.20 times as long (-0.80 to 3.20), 1.00 times the processor  gate 1.2: reached");
        check(1.0, "9.0 tokens a second alone, 3.0 beside hearing");
    }
}
