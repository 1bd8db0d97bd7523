//! `agent measure-hearing`: what a clip costs with ggml's own kernels and with ours, by turns in one run.
//!
//! Machines are noisy, so the two take turns and the median counts. "Whole" is stock against ours as each would be
//! used: whisper.cpp's own way with ggml's kernels, and our steps with our kernels. "Encoder" is the same step with
//! other kernels.

use super::ear::{Ear, Heard, Options, Steps};
use super::{kernel_choice, transcribe};
use crate::args::MeasureHearing;
use serde::Serialize;

/// Rounds that nobody would wait for.
const ROUNDS_MAX: usize = 1000;

/// Seconds of processor, medians.
#[derive(Debug, Default, Serialize)]
struct Side {
    encoder_s: f64,
    /// Absent with `--encoder-only`.
    whole_s: Option<f64>,
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
    stock_text: Option<String>,
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
        Ok(Ear::hear(&mut ear, &sound, &options, &|| false)?)
    };
    // The first of each warms caches and is thrown away.
    let mut rounds = vec![];
    for _ in 0..=args.rounds {
        let stock = hear("stock", Steps::Ours)?;
        let ours = hear(ours, Steps::Ours)?;
        let whisper = if args.encoder_only { None } else { Some(hear("stock", Steps::Whisper)?) };
        rounds.push(Round { stock, ours, whisper });
    }
    let Round { ours: last, whisper, .. } = rounds.remove(0);
    let of = |take: &dyn Fn(&Round) -> Option<f64>| median(rounds.iter().filter_map(take).collect());
    let encoder =
        |take: fn(&Round) -> &Heard| of(&|round| Some(take(round).encode.cpu_s)).unwrap_or_default();
    let stock_whole = of(&|round| round.whisper.as_ref().map(|heard| heard.whole.cpu_s));
    let ours_whole = of(&|round| round.whisper.as_ref().map(|_| round.ours.whole.cpu_s));
    let report = Report {
        kernels: kernel_choice::take(Some(ours))?,
        threads: args.threads,
        rounds: args.rounds,
        audio_ctx: last.audio_ctx,
        n_tokens: last.n_tokens,
        stock: Side { encoder_s: encoder(|round| &round.stock), whole_s: stock_whole },
        ours: Side { encoder_s: encoder(|round| &round.ours), whole_s: ours_whole },
        weights: ear.model().shape.weights.name,
        stock_text: whisper.map(|heard| heard.text),
        ours_text: last.text,
    };
    Ok(serde_json::to_string(&report)? + "\n")
}

struct Round {
    /// Our steps with ggml's kernels.
    stock: Heard,
    ours: Heard,
    /// whisper.cpp's own way with ggml's kernels.
    whisper: Option<Heard>,
}

fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied()
}
