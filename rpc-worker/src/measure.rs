//! `rpc-worker measure`: ggml's own kernels against ours, in one process and in turn.
//!
//! The machine's mood changes from second to second, so a round of each follows the other, and medians are compared.
//! CPU time is what counts; wall time is told beside it.

use crate::args::Measure;
use crate::choice::{self, Choice};
use crate::probe;
use anyhow::{Context as _, bail};
use engine::kernels::Way;
use engine::kernels::hook::{self, Mode};
use engine::{Context, N_BATCH_MAX, Settings, Token};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use std::sync::Arc;

const ROUNDS_MAX: u32 = 1000;
const TOKENS_MAX: u32 = 1 << 14;
const THREADS_LISTED_MAX: usize = 8;

#[derive(Serialize)]
struct Report {
    model: String,
    #[serde(rename = "type")]
    kind: String,
    bytes: u64,
    prompt: u32,
    decode: u32,
    rounds: u32,
    cache: &'static str,
    rows: Vec<Row>,
}

/// Times are for one token, in milliseconds.
#[derive(Serialize)]
struct Row {
    stage: &'static str,
    threads: u32,
    stock_ms_per_token: f64,
    ours_ms_per_token: f64,
    stock_wall_ms_per_token: f64,
    ours_wall_ms_per_token: f64,
    /// Stock CPU time over ours.
    ratio: f64,
}

/// CPU and wall time of one round, in seconds.
#[derive(Clone, Copy)]
struct Time {
    cpu: f64,
    wall: f64,
}

pub fn run(args: &Measure, way: Option<Way>) -> anyhow::Result<()> {
    let threads = threads(&args.threads)?;
    if args.prompt < 1 || args.decode < 1 || args.prompt.max(args.decode) > TOKENS_MAX {
        bail!("prompt and decode are from 1 to {TOKENS_MAX} tokens");
    }
    if !(1..=ROUNDS_MAX).contains(&args.rounds) {
        bail!("there are 1 to {ROUNDS_MAX} rounds");
    }
    let kernels = choice::choose(args.kernels, way)?;
    if kernels == Choice::Stock {
        bail!("stock is measured in any case: name the level of ours, or nothing");
    }
    eprintln!("{}", choice::told(kernels));
    let model = probe::load(&args.model)?;
    let settings = Settings {
        n_ctx: args.prompt + args.decode + 8,
        n_batch: args.prompt.clamp(1, N_BATCH_MAX),
        ..Settings::default()
    };
    let mut context = Context::new(Arc::clone(&model), settings)?;
    let mut rows = Vec::new();
    for n_threads in threads {
        eprintln!(
            "measuring {} with {n_threads} threads: {} rounds of stock and of ours",
            args.model.display(),
            args.rounds
        );
        context.set_threads(n_threads)?;
        rows.extend(measure(&mut context, args, n_threads)?);
    }
    let report = Report {
        model: args.model.display().to_string(),
        kind: model.type_name(),
        bytes: model.weight_bytes(),
        prompt: args.prompt,
        decode: args.decode,
        rounds: args.rounds,
        cache: match context.cache() {
            engine::Cache::Q8_0 => "q8_0",
            engine::Cache::F16 => "f16",
        },
        rows,
    };
    if args.json {
        println!("{}", serde_json::to_string(&report).context("cannot write the report")?);
    } else {
        show(&report);
    }
    Ok(())
}

fn threads(list: &str) -> anyhow::Result<Vec<u32>> {
    let numbers: Result<Vec<u32>, _> = list.split(',').map(|number| number.trim().parse()).collect();
    match numbers {
        Ok(numbers) if numbers.len() <= THREADS_LISTED_MAX => Ok(numbers),
        _ => bail!("--threads is a list of up to {THREADS_LISTED_MAX} numbers, such as 1,2"),
    }
}

fn measure(context: &mut Context, args: &Measure, threads: u32) -> anyhow::Result<[Row; 2]> {
    let n_vocab = context.model().n_vocab() as u32;
    let tokens: Vec<Token> =
        (0..args.prompt + args.decode).map(|idx| (idx.wrapping_mul(7919) % n_vocab) as Token).collect();
    let (prompt, decode) = tokens.split_at(args.prompt as usize);
    // Prompt and decode of stock, then of ours.
    let mut times: [[Vec<Time>; 2]; 2] = Default::default();
    for round in 0..=args.rounds {
        // Who begins changes, so that neither always runs on the other's warm caches.
        let order = if round % 2 == 0 { [Mode::Stock, Mode::Ours] } else { [Mode::Ours, Mode::Stock] };
        for mode in order {
            hook::set_mode(mode);
            let found = measure_round(context, prompt, decode)?;
            // The first round fetches the weights from the file.
            if round > 0 {
                let whose = &mut times[usize::from(mode == Mode::Ours)];
                whose.iter_mut().zip(found).for_each(|(times, time)| times.push(time));
            }
        }
    }
    let row = |stage, idx: usize, n: u32| {
        let per_token = |whose: usize, pick: fn(&Time) -> f64| {
            median(times[whose][idx].iter().map(pick).collect()) * 1000.0 / f64::from(n)
        };
        let (stock, ours) = (per_token(0, |t| t.cpu), per_token(1, |t| t.cpu));
        Row {
            stage,
            threads,
            stock_ms_per_token: stock,
            ours_ms_per_token: ours,
            stock_wall_ms_per_token: per_token(0, |t| t.wall),
            ours_wall_ms_per_token: per_token(1, |t| t.wall),
            ratio: stock / ours,
        }
    };
    Ok([row("prompt", 0, args.prompt), row("decode", 1, args.decode)])
}

/// The times of the prompt and of decoding.
fn measure_round(context: &mut Context, prompt: &[Token], decode: &[Token]) -> anyhow::Result<[Time; 2]> {
    context.forget(0, 0);
    let start = now();
    context.evaluate(prompt, 0, 0)?;
    let middle = now();
    for (at, token) in (prompt.len() as u32..).zip(decode) {
        context.evaluate(&[*token], 0, at)?;
    }
    let end = now();
    let between = |a: Time, b: Time| Time { cpu: b.cpu - a.cpu, wall: b.wall - a.wall };
    Ok([between(start, middle), between(middle, end)])
}

/// CPU time of all threads of this process, and the clock that never jumps.
fn now() -> Time {
    let seconds = |clock| {
        let time = clock_gettime(clock);
        time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
    };
    Time { cpu: seconds(ClockId::ProcessCPUTime), wall: seconds(ClockId::Monotonic) }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 { values[half] } else { (values[half - 1] + values[half]) / 2.0 }
}

fn show(report: &Report) {
    println!("{}: {}, {} bytes, cache {}", report.model, report.kind, report.bytes, report.cache);
    println!("stage   threads  stock ms  ours ms  ratio  stock wall  ours wall");
    for row in &report.rows {
        println!(
            "{:<7} {:>7}  {:>8.3}  {:>7.3}  {:>5.2}  {:>10.3}  {:>9.3}",
            row.stage,
            row.threads,
            row.stock_ms_per_token,
            row.ours_ms_per_token,
            row.ratio,
            row.stock_wall_ms_per_token,
            row.ours_wall_ms_per_token
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_of_many() {
        assert_eq!((median(vec![3.0, 1.0, 2.0]), median(vec![4.0, 1.0, 2.0, 3.0])), (2.0, 2.5));
    }

    #[test]
    fn threads_are_numbers_with_commas() {
        assert_eq!(threads("1, 2").unwrap(), [1, 2]);
        assert!(threads("one").is_err() && threads("1,1,1,1,1,1,1,1,1").is_err());
    }
}
