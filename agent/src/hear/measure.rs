//! `agent measure-hearing`: what a clip costs with ggml's own kernels and with ours, by turns in one run.
//!
//! Machines are noisy, so the two take turns and the median counts. "Whole" is stock against ours as each would be
//! used: whisper.cpp's own way with ggml's kernels, and our steps with our kernels. "Encoder" is the same step with
//! other kernels.

use super::ear::{Ear, Heard, Options, Steps};
use super::{kernel_choice, transcribe};
use crate::args::MeasureHearing;
use serde::Serialize;
use std::sync::atomic::AtomicBool;

/// Rounds that nobody would wait for.
const ROUNDS_MAX: usize = 1000;

/// Seconds of processor, medians.
#[derive(Debug, Default, Serialize)]
struct Side {
    encoder_s: f64,
    whole_s: f64,
}

#[derive(Serialize)]
struct Report {
    kernels: String,
    threads: usize,
    rounds: usize,
    audio_ctx: usize,
    n_tokens: usize,
    weights: &'static str,
    stock: Side,
    ours: Side,
    stock_text: String,
    ours_text: String,
}

/// Runs the command and gives what it prints.
pub fn run(args: &MeasureHearing) -> anyhow::Result<String> {
    anyhow::ensure!((1..=ROUNDS_MAX).contains(&args.rounds), "1 to {ROUNDS_MAX} rounds can be heard");
    let ours = args.kernels.as_deref().unwrap_or("ours");
    let mut ear = transcribe::open(&args.model)?;
    let sound = transcribe::sound(&args.file)?;
    let options = Options {
        language: "en".into(),
        threads: transcribe::threads(args.threads)?,
        audio_ctx: args.audio_ctx,
        n_tokens: args.tokens,
        steps: Steps::Ours,
    };
    let mut hear = |kernels: &str, steps| -> anyhow::Result<Heard> {
        kernel_choice::take(Some(kernels))?;
        let options = Options { steps, ..options.clone() };
        Ok(Ear::hear(&mut ear, &sound, &options, &AtomicBool::new(false))?)
    };
    // The first of each warms caches and is thrown away.
    let mut rounds = vec![];
    for _ in 0..=args.rounds {
        rounds.push([hear("stock", Steps::Ours)?, hear(ours, Steps::Ours)?, hear("stock", Steps::Whisper)?]);
    }
    let rounds = &rounds[1..];
    let of = |take: &dyn Fn(&[Heard; 3]) -> f64| median(rounds.iter().map(take).collect());
    let [_, last, stock] = rounds[rounds.len() - 1].clone();
    let report = Report {
        kernels: kernel_choice::take(Some(ours))?,
        threads: args.threads,
        rounds: args.rounds,
        audio_ctx: last.audio_ctx,
        n_tokens: last.n_tokens,
        stock: Side { encoder_s: of(&|r| r[0].encode.cpu_s), whole_s: of(&|r| r[2].whole.cpu_s) },
        ours: Side { encoder_s: of(&|r| r[1].encode.cpu_s), whole_s: of(&|r| r[1].whole.cpu_s) },
        weights: ear.model().shape.weights.name,
        stock_text: stock.text,
        ours_text: last.text,
    };
    Ok(serde_json::to_string(&report)? + "\n")
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
