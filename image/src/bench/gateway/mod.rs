//! `duet bench gateway`: what the agent's gateway adds to each request and each token, and whether 32 streams make it grow.
//!
//! The model is none: a thread that writes numbered words at a fixed pace, each with the time at which it was sent.
//! Every request is sent by turns straight to it and through the gateway, so that a busy machine hurts both alike.

mod client;
mod words;

use crate::build::{self, programs};
use crate::progress::Progress;
use crate::setup::{self, For};
use admission::{ApiKey, ApiKeyFile, KeyLimits};
use anyhow::{Context, Result, ensure};
use argh::{ArgsInfo, FromArgs};
use client::Side;
use serde::Serialize;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use words::Words;

const KEY: &str = "duet-key-of-the-bench";
/// Between two tokens: faster than any old PC.
const PACE: Duration = Duration::from_millis(5);
/// Tokens of a stream whose delays are measured.
const TOKENS: u64 = 200;
/// Tokens of each of the streams at once.
const LONG_TOKENS: u64 = 1500;
const ROUNDS_MAX: u32 = 1000;
const STREAMS_MAX: usize = 60;
/// Between two looks at the agent's memory.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Measure the agent's gateway.
#[derive(FromArgs, ArgsInfo, Debug, Clone)]
#[argh(
    subcommand,
    name = "gateway",
    example = "What the gateway adds, as data:\n  duet bench gateway --json",
    note = "Times are medians of rounds by turns with the same request to the same model without the gateway."
)]
pub struct GatewayArgs {
    /// folder for the node program and its logs (default: out)
    #[argh(option, default = "PathBuf::from(\"out\")")]
    pub out: PathBuf,
    /// print one JSON object on stdout; progress goes to stderr
    #[argh(switch)]
    pub json: bool,
    /// requests of each side (default 100)
    #[argh(option, default = "100")]
    pub rounds: u32,
    /// streams at once (default 32)
    #[argh(option, default = "32")]
    pub streams: usize,
    /// a built agent to measure, instead of building one
    #[argh(option)]
    pub program: Option<PathBuf>,
    /// install missing packages without asking
    #[argh(switch, short = 'y')]
    pub yes: bool,
}

#[derive(Debug, Serialize)]
pub struct Figures {
    /// Of a whole answer.
    pub added_ms_per_request: f64,
    /// Of a token in a stream, from the model's hand to the client's.
    pub added_ms_per_token: f64,
    /// Processor time of the agent.
    pub cpu_ms_per_request: f64,
    pub cpu_ms_per_token: f64,
    pub streams: usize,
    pub tokens_per_second: f64,
    pub rss_idle_bytes: u64,
    pub rss_streams_bytes: u64,
    /// The most in the second half of the streams' time beyond the most in the first.
    pub rss_growth_bytes: u64,
}

/// Runs the command.
pub fn command(args: &GatewayArgs) -> Result<()> {
    ensure!((1..=ROUNDS_MAX).contains(&args.rounds), "1 to {ROUNDS_MAX} rounds can be measured");
    ensure!((1..=STREAMS_MAX).contains(&args.streams), "1 to {STREAMS_MAX} streams can be measured");
    let progress = Progress::new(4);
    let program = program(args, &progress)?;
    let words = Words::serve(PACE)?;
    let agent = Agent::start(&program, &args.out.join("bench"), words.address)?;
    let (direct, through) = (Side::new(words.address, ""), Side::new(agent.address, KEY));

    let step = progress.step("whole answers by turns", None);
    let (ticks, mut pairs) = (agent.cpu_ms()?, vec![]);
    for _ in 0..args.rounds {
        pairs.push((direct.whole()?, through.whole()?));
    }
    let cpu_ms_per_request = (agent.cpu_ms()? - ticks) / f64::from(args.rounds);
    let added_ms_per_request = added(&pairs);
    step.done(&format!("{added_ms_per_request:.3} ms more"));

    let step = progress.step("streams by turns", None);
    let (mut pairs, n_streams) = (vec![], args.rounds.div_ceil(20));
    for _ in 0..n_streams {
        pairs.extend(
            direct.delays(TOKENS, words.start)?.into_iter().zip(through.delays(TOKENS, words.start)?),
        );
    }
    let added_ms_per_token = added(&pairs);
    step.done(&format!("{added_ms_per_token:.3} ms more for each token"));

    let step = progress.step(&format!("{} streams at once", args.streams), None);
    let rss_idle_bytes = agent.rss()?;
    let at_once = at_once(&agent, &through, args.streams)?;
    step.done(&format!("{} bytes more at the end", at_once.growth));
    let figures = Figures {
        added_ms_per_request,
        added_ms_per_token,
        cpu_ms_per_request,
        cpu_ms_per_token: at_once.cpu_ms_per_token,
        streams: args.streams,
        tokens_per_second: at_once.tokens_per_second,
        rss_idle_bytes,
        rss_streams_bytes: at_once.rss_bytes,
        rss_growth_bytes: at_once.growth,
    };
    println!("{}", if args.json { serde_json::to_string(&figures)? } else { table(&figures) });
    Ok(())
}

fn table(figures: &Figures) -> String {
    let Figures { added_ms_per_request, added_ms_per_token, streams, .. } = figures;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    format!(
        "a request takes {added_ms_per_request:.3} ms more, {:.3} ms of processor\n\
         a token comes {added_ms_per_token:.3} ms later, {:.4} ms of processor\n\
         {streams} streams: {:.0} tokens a second, {:.1} MiB (idle {:.1}), {:.2} MiB more at the end",
        figures.cpu_ms_per_request,
        figures.cpu_ms_per_token,
        figures.tokens_per_second,
        mib(figures.rss_streams_bytes),
        mib(figures.rss_idle_bytes),
        mib(figures.rss_growth_bytes),
    )
}

/// Median of what the second of each pair takes longer, in milliseconds.
fn added(pairs: &[(Duration, Duration)]) -> f64 {
    let ms = |time: &Duration| time.as_secs_f64() * 1000.0;
    let mut more: Vec<f64> = pairs.iter().map(|(direct, through)| ms(through) - ms(direct)).collect();
    more.sort_by(f64::total_cmp);
    more.get(more.len() / 2).copied().unwrap_or(0.0)
}

struct AtOnce {
    tokens_per_second: f64,
    cpu_ms_per_token: f64,
    rss_bytes: u64,
    growth: u64,
}

fn at_once(agent: &Agent, side: &Side, n_streams: usize) -> Result<AtOnce> {
    // What the first streams of an agent take for good is not what streams cost.
    run(agent, side, n_streams, TOKENS)?;
    let (cpu, began) = (agent.cpu_ms()?, std::time::Instant::now());
    let looks = run(agent, side, n_streams, LONG_TOKENS)?;
    let n_tokens = (n_streams as u64 * LONG_TOKENS) as f64;
    let (first, second) = looks.split_at(looks.len() / 2);
    let most = |looks: &[u64]| looks.iter().copied().max().unwrap_or(0);
    Ok(AtOnce {
        tokens_per_second: n_tokens / began.elapsed().as_secs_f64(),
        cpu_ms_per_token: (agent.cpu_ms()? - cpu) / n_tokens,
        rss_bytes: most(&looks),
        growth: most(second).saturating_sub(most(first)),
    })
}

/// All streams to their end; gives the agent's memory from look to look.
fn run(agent: &Agent, side: &Side, n_streams: usize, n_tokens: u64) -> Result<Vec<u64>> {
    let are_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looks = scope.spawn(|| {
            let mut looks = vec![];
            while !are_done.load(Ordering::Relaxed) {
                std::thread::sleep(LOOK_EVERY);
                looks.extend(agent.rss());
            }
            looks
        });
        let streams: Vec<_> = (0..n_streams).map(|_| scope.spawn(|| side.stream(n_tokens))).collect();
        let ends: Vec<_> =
            streams.into_iter().map(|stream| stream.join().expect("a stream does not panic")).collect();
        are_done.store(true, Ordering::Relaxed);
        let looks = looks.join().expect("a look does not panic");
        ends.into_iter().collect::<Result<Vec<_>>>()?;
        Ok(looks)
    })
}

fn program(args: &GatewayArgs, progress: &Progress) -> Result<PathBuf> {
    let folder = args.out.join("bench");
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    if let Some(program) = &args.program {
        ensure!(program.is_file(), "{} is no program", program.display());
        progress.skip("the agent");
        return Ok(program.clone());
    }
    setup::ensure(&[For::Build], args.yes)?;
    let repository = build::repository()?;
    programs::check_path(&repository)?;
    let out = fs::canonicalize(&args.out).with_context(|| format!("{}", args.out.display()))?;
    let step = progress.step("building the agent for a Core 2: up to ten minutes the first time", None);
    let program = programs::one(&repository, &out.join("target"), "agent", &out.join("logs"), &step)?;
    step.done("built");
    Ok(program)
}

/// A running agent.
struct Agent {
    child: Child,
    address: SocketAddr,
}

impl Agent {
    fn start(program: &Path, folder: &Path, model: SocketAddr) -> Result<Agent> {
        let root = folder.join("gateway-root");
        fs::create_dir_all(&root).with_context(|| format!("making {}", root.display()))?;
        let limits = KeyLimits { per_minute: u16::MAX, at_once: u16::MAX, tokens_per_day: u32::MAX };
        let keys = vec![ApiKey::new("bench", KEY, limits).context("the bench's own key")?];
        let file = root.join("keys.json");
        fs::write(&file, ApiKeyFile { version: 1, keys }.to_json()).context("writing the bench's key")?;
        let mut command = Command::new(program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--root"]).arg(&root).arg("--api-keys").arg(&file);
        command.args(["--llm-url", &format!("http://{model}")]).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("starting {}", program.display()))?;
        let said = child.stderr.take().context("the agent's words")?;
        let mut lines = BufReader::new(said).lines();
        let page = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, page) = line.split_once("the page is at http://")?;
            page.trim_end_matches('/').parse().ok()
        });
        // Its pipe must never be full.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let agent = Agent { child, address: page.unwrap_or(model) };
        ensure!(page.is_some(), "{} ended before it listened", program.display());
        Ok(agent)
    }

    fn proc(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.child.id());
        fs::read_to_string(&path).with_context(|| format!("reading {path}"))
    }

    fn rss(&self) -> Result<u64> {
        let status = self.proc("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        Ok(kib.context("no VmRSS")? * 1024)
    }

    /// Processor time so far, of all threads.
    fn cpu_ms(&self) -> Result<f64> {
        let mut ns = 0;
        for entry in fs::read_dir(format!("/proc/{}/task", self.child.id())).context("the agent's threads")? {
            let path = entry?.path().join("schedstat");
            let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            ns +=
                text.split(' ').next().and_then(|n| n.parse::<u64>().ok()).context("no time in schedstat")?;
        }
        Ok(ns as f64 / 1e6)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // If it is gone already there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_the_differences_is_told() {
        let ms = Duration::from_millis;
        assert_eq!(added(&[(ms(1), ms(2)), (ms(5), ms(1000)), (ms(3), ms(3))]), 1.0);
        assert_eq!(added(&[]), 0.0);
    }

    #[test]
    fn the_model_of_the_bench_tells_when_each_token_was_sent() {
        let words = Words::serve(Duration::ZERO).unwrap();
        let side = Side::new(words.address, "");
        side.whole().unwrap();
        let delays = side.delays(7, words.start).unwrap();
        assert_eq!(delays.len(), 7);
        assert!(delays.iter().all(|delay| *delay <= words.start.elapsed()));
        side.stream(3).unwrap();
    }
}
