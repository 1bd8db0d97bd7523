//! `duet bench turn`: what a person waits for, in instructions: from the release of the key to the first sound.
//!
//! The agent plays a turn from files (`agent turn`), and one function of it is counted. Hearing costs what the shape of
//! tiny.en costs, with random weights; what was said is handed in. The models' part is that of rpc-worker: 20 new tokens
//! behind a beginning that is kept, and 6 tokens until the first clause.

use super::llm::make::Recipe;
use super::llm::shape::{MIXES, SHAPES};
use super::stt::{SHORT, SHORT_TOKENS, write_model};
use super::worker::{Worker, program};
use crate::progress::Progress;
use crate::setup::{self, For};
use crate::tool;
use anyhow::{Context, Result, ensure};
use argh::{ArgsInfo, FromArgs};
use serde::Serialize;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use voice::whisper::forge::Kind;

/// The function of the agent that is counted.
const COUNTED: &str = "*until_sound*";
/// An intent, and about as long as people ask.
const SAID: &str = "what time is it";
/// A token of the made vocabulary for each letter.
const PROMPT: &str = "0123456789abcdefghij";
const CLAUSE_TOKENS: usize = 6;

/// Count the instructions from the release of the key to the first sound.
#[derive(FromArgs, ArgsInfo, Debug, Clone)]
#[argh(
    subcommand,
    name = "turn",
    example = "All of it, as data:\n  duet bench turn --json",
    note = "Ours are kernels of --level, stock are ggml's own, built for the same processor."
)]
pub struct TurnArgs {
    /// folder for models, logs and the node programs (default: out)
    #[argh(option, default = "PathBuf::from(\"out\")")]
    pub out: PathBuf,
    /// print one JSON object on stdout; progress goes to stderr
    #[argh(switch)]
    pub json: bool,
    /// level of our kernels: sse2, ssse3 (default), sse41, avx2
    #[argh(option, default = "String::from(\"ssse3\")")]
    pub level: String,
    /// leave out the models that write
    #[argh(switch)]
    pub quick: bool,
    /// a built agent to measure, instead of building one
    #[argh(option)]
    pub agent: Option<PathBuf>,
    /// a built rpc-worker to measure, instead of building one
    #[argh(option)]
    pub worker: Option<PathBuf>,
    /// install missing packages without asking
    #[argh(switch, short = 'y')]
    pub yes: bool,
}

#[derive(Debug, Serialize)]
struct Figures {
    level: String,
    /// With a guess at the text while the key was still held.
    instructions: Answers,
    stock_instructions: Answers,
    /// The same where hearing begins as the key comes up.
    instructions_without_guess: Answers,
    stock_instructions_without_guess: Answers,
    stages: Vec<Stage>,
}

/// `None` where it was left out.
#[derive(Debug, Clone, Copy, Serialize)]
struct Answers {
    intent: u64,
    m135: Option<u64>,
    m05b: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Stage {
    stage: &'static str,
    ours: u64,
    stock: u64,
}

/// Runs the command.
pub fn command(args: &TurnArgs) -> Result<()> {
    setup::ensure(&[For::Bench], args.yes)?;
    let n_built = usize::from(args.agent.is_none()) + usize::from(args.worker.is_none() && !args.quick);
    let progress = Progress::new(n_built + if args.quick { 5 } else { 7 });
    let agent = program("agent", args.agent.as_deref(), &args.out, args.yes, &progress)?;
    let folder = args.out.join("bench");
    let matter = Matter::make(&agent, &folder, &progress)?;
    let count = |kernels: &str, more: &[&str]| matter.count(kernels, more, &progress);
    let (guessed, plain) = (count(&args.level, &[])?, count(&args.level, &["--no-guess"])?);
    let (stock_guessed, stock_plain) = (count("stock", &[])?, count("stock", &["--no-guess"])?);
    let rest = Stage { stage: "intent and speech", ours: guessed, stock: stock_guessed };
    let hear = Stage {
        stage: "hear",
        ours: plain.saturating_sub(guessed),
        stock: stock_plain.saturating_sub(stock_guessed),
    };
    let models = if args.quick { vec![] } else { models(args, &progress)? };
    let of = |intent: u64, part: fn(&Stage) -> u64| {
        let with =
            |name: &str| models.iter().find(|stage| stage.stage == name).map(|stage| intent + part(stage));
        Answers { intent, m135: with("m135"), m05b: with("m05b") }
    };
    let figures = Figures {
        level: args.level.clone(),
        instructions: of(guessed, |stage| stage.ours),
        stock_instructions: of(stock_guessed, |stage| stage.stock),
        instructions_without_guess: of(plain, |stage| stage.ours),
        stock_instructions_without_guess: of(stock_plain, |stage| stage.stock),
        stages: [hear, rest].into_iter().chain(models).collect(),
    };
    if args.json {
        println!("{}", serde_json::to_string(&figures)?);
    } else {
        print!("{}", table(&figures));
    }
    Ok(())
}

/// What a turn is played with.
struct Matter<'a> {
    agent: &'a Path,
    folder: &'a Path,
    clip: PathBuf,
    model: PathBuf,
}

impl Matter<'_> {
    fn make<'a>(agent: &'a Path, folder: &'a Path, progress: &Progress) -> Result<Matter<'a>> {
        let step = progress.step("a question, and a model of the shape of tiny.en", None);
        let (clip, model) = (folder.join("turn.wav"), folder.join("turn.bin"));
        let mut command = tool::command(&agent.display().to_string());
        tool::run(command.args(["say", SAID, "--out"]).arg(&clip), &folder.join("turn-say.log"), &step)?;
        write_model(&model, Kind::Q8_0)?;
        step.done("made");
        Ok(Matter { agent, folder, clip, model })
    }

    fn count(&self, kernels: &str, more: &[&str], progress: &Progress) -> Result<u64> {
        let name = [&["a turn with kernels", kernels], more].concat().join(" ");
        let step = progress.step(&name, None);
        let counts = self.folder.join("turn.callgrind");
        let mut command = tool::command("valgrind");
        command.args(["--tool=callgrind", "--collect-atstart=no"]).arg(format!("--toggle-collect={COUNTED}"));
        command.arg(format!("--callgrind-out-file={}", counts.display())).arg(self.agent).arg("turn");
        command.arg("--wav").arg(&self.clip).arg("--model").arg(&self.model).args(["--said", SAID]);
        command.args(["--tokens", &SHORT_TOKENS.to_string(), "--audio-ctx", &SHORT.to_string()]);
        command.args(["--json", "--kernels", kernels]).args(more);
        command.env("OMP_WAIT_POLICY", "passive").env_remove("DUET_KERNELS");
        let said = self.folder.join("turn.json");
        let file = File::create(&said).with_context(|| format!("writing {}", said.display()))?;
        tool::run_into(&mut command, file, &self.folder.join("turn.log"), &step)?;
        let text = fs::read_to_string(&counts).with_context(|| format!("reading {}", counts.display()))?;
        let count =
            super::worker::total(&text).with_context(|| format!("{} has no total", counts.display()))?;
        ensure!(count > 0, "valgrind saw no call of {COUNTED}; has the agent lost its names?");
        step.done(&format!("{:.2} G instructions", count as f64 / 1e9));
        Ok(count)
    }
}

/// The models' part, by their names in the figures.
fn models(args: &TurnArgs, progress: &Progress) -> Result<Vec<Stage>> {
    let worker = Worker::get(args.worker.as_deref(), &args.out, args.yes, progress)?;
    let mix = MIXES.iter().find(|mix| mix.name == "Q8_0").context("no type Q8_0 is made")?;
    let tokens = (CLAUSE_TOKENS + 1).to_string();
    let mut stages = vec![];
    for (name, shape) in ["m135", "m05b"].into_iter().zip(SHAPES) {
        let step = progress.step(&format!("the first clause of {}: some minutes", shape.name), None);
        let file = Recipe::new(shape, mix, shape.layers).make(&args.out.join("cache/bench"), &step)?;
        let run = |kernels: &str| -> Result<u64> {
            let words = ["generate", "--kernels", kernels, "--tokens", &tokens, "--prompt", PROMPT];
            let mut words = words.map(OsStr::new).to_vec();
            words.push(file.as_os_str());
            let calls = worker.count("turn-model", "llama_decode", &words, &step)?;
            // The longest call is the prompt: the library tries itself out before it.
            let longest = calls.iter().enumerate().max_by_key(|(_, count)| **count).map_or(0, |(idx, _)| idx);
            Ok(calls[longest..].iter().take(1 + CLAUSE_TOKENS).sum())
        };
        let (stock, ours) = (run("stock")?, run(&args.level)?);
        fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))?;
        step.done(&format!("{:.2} G instructions, stock {:.2} G", ours as f64 / 1e9, stock as f64 / 1e9));
        stages.push(Stage { stage: name, ours, stock });
    }
    Ok(stages)
}

fn table(figures: &Figures) -> String {
    let g = |n: u64| format!("{:6.2} G", n as f64 / 1e9);
    let row = |name: &str, answers: &Answers| {
        let or = |n: Option<u64>| n.map_or("      - ".into(), g);
        format!("{name:<26}{}  {}  {}\n", g(answers.intent), or(answers.m135), or(answers.m05b))
    };
    let mut text = format!("{:<26}  intent      135M      0.5B\n", "key up to first sound");
    text += &row("guessed, ours", &figures.instructions);
    text += &row("guessed, stock", &figures.stock_instructions);
    text += &row("heard after, ours", &figures.instructions_without_guess);
    text += &row("heard after, stock", &figures.stock_instructions_without_guess);
    for Stage { stage, ours, stock } in &figures.stages {
        text += &format!("{stage:<26}{} ours, {} stock\n", g(*ours), g(*stock));
    }
    text
}
