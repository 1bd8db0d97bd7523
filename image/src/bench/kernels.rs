//! `duet bench kernels`: every kernel alone, beside ggml's own and beside what the machine could do at best.
//!
//! The measuring is the node program's: an old PC can do it without this one.

use super::llm::args::LEVELS;
use super::worker::Worker;
use crate::progress::Progress;
use anyhow::{Context, Result, bail};
use argh::{ArgsInfo, FromArgs};
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fmt::Write;
use std::path::PathBuf;

const SECONDS_MAX: f64 = 60.0;

/// Measure every kernel alone.
#[derive(FromArgs, ArgsInfo, Debug, Clone)]
#[argh(
    subcommand,
    name = "kernels",
    example = "All kernels at the levels of two Core 2 generations:\n  duet bench kernels",
    note = "On a node, without this program: rpc-worker kernels."
)]
pub struct KernelsArgs {
    /// folder for logs and the node program (default: out)
    #[argh(option, default = "PathBuf::from(\"out\")")]
    pub out: PathBuf,
    /// print one JSON object on stdout; progress goes to stderr
    #[argh(switch)]
    pub json: bool,
    /// levels of our kernels, with commas (default: those of ssse3, sse41, avx2 that this processor has)
    #[argh(option)]
    pub level: Option<String>,
    /// threads (default 1)
    #[argh(option, default = "1")]
    pub threads: u32,
    /// seconds for each row (default 0.5)
    #[argh(option, default = "0.5")]
    pub seconds: f64,
    /// a built rpc-worker to measure, instead of building one
    #[argh(option)]
    pub program: Option<PathBuf>,
    /// install missing packages without asking
    #[argh(switch, short = 'y')]
    pub yes: bool,
}

/// All figures of a run.
#[derive(Debug, Serialize)]
pub struct Figures {
    pub processor: String,
    pub rows: Vec<Row>,
}

/// What `rpc-worker kernels` answers.
#[derive(Debug, Deserialize)]
struct Answer {
    processor: String,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Row {
    pub level: String,
    #[serde(rename = "type")]
    pub what: String,
    /// Rows x weights in a row, x columns.
    pub shape: String,
    /// `dot` (one column) or `gemm`.
    pub kind: String,
    pub threads: u32,
    /// Picoseconds for a multiply-add.
    pub stock_ps_per_mac: f64,
    pub ours_ps_per_mac: f64,
    pub ratio: f64,
    /// The least that multiplying in registers or reading the weights would take, whichever is longer.
    pub bound_ps_per_mac: f64,
    /// The bound over ours. Tables can be faster than multiplying, so it may be over 1.
    pub share_of_bound: f64,
}

/// Runs the command.
pub fn command(args: &KernelsArgs) -> Result<()> {
    let levels = args.levels()?;
    let progress = Progress::new(levels.len() + 1);
    let worker = Worker::get(args.program.as_deref(), &args.out, args.yes, &progress)?;
    let mut figures = Figures { processor: String::new(), rows: vec![] };
    for level in levels {
        let step =
            progress.step(&format!("kernels of {level}: every type alone, one to three minutes"), None);
        let (threads, seconds) = (args.threads.to_string(), args.seconds.to_string());
        let words = ["kernels", "--json", "--level", &level, "--threads", &threads, "--seconds", &seconds]
            .map(OsStr::new);
        let answer: Answer = worker.ask(&format!("kernels-{level}"), &words, &step)?;
        step.done(&format!("{} rows", answer.rows.len()));
        figures.processor = answer.processor;
        figures.rows.extend(answer.rows);
    }
    if args.json {
        println!("{}", serde_json::to_string(&figures)?);
    } else {
        print!("{}", table(&figures));
    }
    Ok(())
}

impl KernelsArgs {
    fn levels(&self) -> Result<Vec<String>> {
        if !(self.seconds > 0.0 && self.seconds <= SECONDS_MAX) {
            bail!("--seconds is more than 0 and at most {SECONDS_MAX}");
        }
        if self.threads == 0 {
            bail!("--threads is at least 1");
        }
        let Some(asked) = &self.level else { return Ok(levels_here()) };
        let known = |level: &str| {
            let known = LEVELS.contains(&level);
            known.then(|| level.to_owned()).with_context(|| {
                format!("--level: there are no kernels {level:?}, only {}", LEVELS.join(", "))
            })
        };
        asked.split(',').map(|level| known(level.trim())).collect()
    }
}

/// Levels like a Core 2's, and the newer one where it is there.
fn levels_here() -> Vec<String> {
    let here = [
        ("ssse3", std::is_x86_feature_detected!("ssse3")),
        ("sse41", std::is_x86_feature_detected!("sse4.1")),
        ("avx2", std::is_x86_feature_detected!("avx2")),
    ];
    here.into_iter().filter(|(_, here)| *here).map(|(level, _)| level.to_owned()).collect()
}

fn table(figures: &Figures) -> String {
    let mut text = format!("{}\npicoseconds for a multiply-add\n\n", figures.processor);
    let _ = writeln!(
        text,
        "{:<7}{:<8}{:<6}{:<17}{:>9}{:>9}{:>8}{:>9}{:>9}",
        "level", "type", "kind", "shape", "stock", "ours", "ratio", "bound", "share"
    );
    for row in &figures.rows {
        let _ = writeln!(
            text,
            "{:<7}{:<8}{:<6}{:<17}{:>9.1}{:>9.1}{:>8.2}{:>9.1}{:>7.0} %",
            row.level,
            row.what,
            row.kind,
            row.shape,
            row.stock_ps_per_mac,
            row.ours_ps_per_mac,
            row.ratio,
            row.bound_ps_per_mac,
            row.share_of_bound * 100.0
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, want: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let told = KernelsArgs::from_args(&["kernels"], &words).unwrap().levels();
        let told = told.map_or_else(|error| format!("{error:#}"), |levels| levels.join(" "));
        assert_eq!(told, want);
    }

    #[test]
    fn levels_are_listed_with_commas() {
        check("--level ssse3,sse41", "ssse3 sse41");
        check("--level ssse4", "--level: there are no kernels \"ssse4\", only sse2, ssse3, sse41, avx2");
    }

    #[test]
    fn a_row_takes_some_time_but_not_for_ever() {
        check("--seconds 0", "--seconds is more than 0 and at most 60");
        check("--seconds nan", "--seconds is more than 0 and at most 60");
        check("--threads 0", "--threads is at least 1");
    }

    #[test]
    fn rows_have_the_keys_that_were_promised() {
        let text = r#"{"level":"ssse3","type":"Q4_K","shape":"2048x2048","kind":"dot","threads":1,
            "stock_ps_per_mac":700.0,"ours_ps_per_mac":35.0,"ratio":20.0,"bound_ps_per_mac":30.0,"share_of_bound":0.857}"#;
        let row: Row = serde_json::from_str(text).unwrap();
        let value = serde_json::to_value(&row).unwrap();
        for key in ["type", "shape", "kind", "stock_ps_per_mac", "ours_ps_per_mac", "ratio", "share_of_bound"]
        {
            assert!(value.get(key).is_some(), "{key}");
        }
        let table = table(&Figures { processor: "p".into(), rows: vec![row] });
        assert!(table.contains("20.00") && table.contains("86 %"), "{table}");
    }
}
