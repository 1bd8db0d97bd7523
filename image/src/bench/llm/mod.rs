//! `duet bench llm`: language models, ggml's own kernels beside ours in one run.
//!
//! The models have the shapes of real ones and random weights, so nothing is downloaded.
//! Times are only good as ratios: a round of stock and a round of ours follow each other, in one process.

pub mod args;
pub mod blocks;
pub mod figures;
mod load;
pub mod make;
pub mod shape;

use super::worker::Worker;
use crate::progress::Progress;
use crate::setup::{self, For};
use anyhow::{Context, Result};
use args::{LlmArgs, Task};
use figures::{Figures, Instructions, Machine, Measured, Row};
use load::Load;
use make::Recipe;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

/// Tokens that are measured.
const PROMPT: u64 = 32;
const DECODE: u64 = 8;
/// The shape whose instructions are counted: valgrind is 50 times slower than the processor.
const COUNTED: shape::Shape = shape::Shape { vocabulary: 2048, ..shape::SMOLLM2 };
const COUNTED_LAYERS: u64 = 2;
const COUNTED_TYPES: [&str; 5] = ["F16", "Q8_0", "Q4_0", "Q4_K_M", "Q1_0"];
/// A token of the made vocabulary for each letter.
const COUNTED_PROMPT: &str = "0123456789abcdefghijklmnopqrst";

/// Runs the command.
pub fn command(args: &LlmArgs) -> Result<()> {
    let tasks = args.tasks()?;
    let counted = args.counted();
    if !counted.is_empty() {
        setup::ensure(&[For::Bench], args.yes)?;
    }
    let n_steps = tasks.len() + counted.len() + 2;
    let progress = Progress::new(n_steps);
    let worker = Worker::get(args.program.as_deref(), &args.out, args.yes, &progress)?;
    let models = args.out.join("cache/bench");
    say_plan(&tasks, &models);
    let mut figures = Figures::new(args.level.clone(), machine(&worker, &progress)?);
    for task in &tasks {
        let rows = measure(&worker, &progress, task, args, &models)?;
        figures.rows.extend(rows);
        figures.share();
        // What was measured survives an interruption.
        let file = worker.folder().join("llm.json");
        fs::write(&file, serde_json::to_string_pretty(&figures)?)
            .with_context(|| format!("writing {}", file.display()))?;
    }
    for mix in counted {
        let counts = count(&worker, &progress, &mix, args, &models)?;
        figures.instructions.push(counts);
    }
    say_kept(args.keep, &models);
    if let Some(place) = &args.plot {
        fs::write(place, super::plot::llm(&figures))
            .with_context(|| format!("writing {}", place.display()))?;
    }
    if args.json {
        println!("{}", serde_json::to_string(&figures)?);
    } else {
        print!("{}", figures::table(&figures));
    }
    Ok(())
}

fn say_plan(tasks: &[Task], models: &Path) {
    let largest = tasks.iter().map(|task| task.recipe.weight_bytes()).max().unwrap_or(0);
    let seconds: f64 = tasks.iter().map(Task::seconds).sum();
    eprintln!(
        "bench llm: {} models in {}, one at a time, the largest {} MB; about {} minutes on two quiet cores of today, \
         some times that on a Core 2",
        tasks.len(),
        models.display(),
        largest / 1_000_000,
        (seconds / 60.0).ceil()
    );
}

fn say_kept(keep: bool, models: &Path) {
    if keep {
        let sizes = fs::read_dir(models).into_iter().flatten().flatten();
        let bytes: u64 = sizes.filter_map(|entry| entry.metadata().ok()).map(|facts| facts.len()).sum();
        eprintln!("bench llm: {} keeps {} MB of models", models.display(), bytes / 1_000_000);
    }
}

/// What memory and processor could do at best.
fn machine(worker: &Worker, progress: &Progress) -> Result<Machine> {
    let step = progress.step("the machine itself: ten seconds", None);
    let args = ["kernels", "--machine", "--json"].map(OsStr::new);
    let machine: Machine = worker.ask("machine", &args, &step)?;
    step.done(&format!("{}, {:.1} GB/s read", machine.processor, machine.read_gb_per_s));
    Ok(machine)
}

fn measure(
    worker: &Worker,
    progress: &Progress,
    task: &Task,
    args: &LlmArgs,
    models: &Path,
) -> Result<Vec<Row>> {
    let Recipe { shape, mix, layers } = task.recipe;
    let about = format!("{} as {}, {layers} of {} layers", shape.name, mix.name, shape.layers);
    let step = progress.step(&format!("{about}: about {:.0} seconds", task.seconds()), None);
    let file = task.recipe.make(models, &step)?;
    let mut rows = Vec::new();
    for loaded in [false, true] {
        if loaded && args.quick {
            continue;
        }
        let load = loaded.then(Load::start);
        let rounds = if loaded { 1 } else { args.rounds }.to_string();
        let (prompt, decode) = (PROMPT.to_string(), DECODE.to_string());
        let words = [
            "measure",
            "--json",
            "--kernels",
            &args.level,
            "--rounds",
            &rounds,
            "--threads",
            args.threads(),
            "--prompt",
            &prompt,
            "--decode",
            &decode,
        ];
        let mut words = words.map(OsStr::new).to_vec();
        words.push(file.as_os_str());
        let measured: Measured = worker.ask("measure", &words, &step)?;
        drop(load);
        rows.extend(measured.rows.into_iter().map(|row| Row::new(&task.recipe, loaded, row)));
    }
    if !args.keep {
        fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))?;
    }
    step.done(&figures::ratios(&rows));
    Ok(rows)
}

fn count(
    worker: &Worker,
    progress: &Progress,
    mix: &shape::Mix,
    args: &LlmArgs,
    models: &Path,
) -> Result<Instructions> {
    let recipe = Recipe::new(COUNTED, mix, COUNTED_LAYERS);
    let step = progress.step(&format!("instructions of {}: one to six minutes", mix.name), None);
    let file = recipe.make(models, &step)?;
    let tokens = (DECODE + 1).to_string();
    let run = |kernels: &str| -> Result<[u64; 2]> {
        let words = ["generate", "--kernels", kernels, "--tokens", &tokens, "--prompt", COUNTED_PROMPT];
        let mut words = words.map(OsStr::new).to_vec();
        words.push(file.as_os_str());
        let calls = worker.count("instructions", "llama_decode", &words, &step)?;
        // The longest call is the prompt: the library tries itself out before it.
        let prompt = calls.iter().copied().max().unwrap_or(0);
        let at = calls.iter().position(|count| *count == prompt).unwrap_or(0);
        let decode: u64 = calls[at + 1..].iter().take(DECODE as usize).sum();
        Ok([prompt, decode])
    };
    let (stock, ours) = (run("stock")?, run(&args.level)?);
    if !args.keep {
        fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))?;
    }
    let counts = Instructions::new(mix.name, stock, ours);
    step.done(&format!("prompt {:.1}x fewer, decode {:.1}x fewer", counts.prompt_ratio, counts.decode_ratio));
    Ok(counts)
}
