//! `agent transcribe`: files in, words and times out.

use super::ear::{Ear, Heard, Options, Span, Steps};
use super::{RATE, hot, kernel_choice, resample};
use crate::args::Transcribe;
use crate::sound::wav;
use anyhow::{Context, bail};
use serde::Serialize;
use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// More threads than any PC of the shelf has.
pub const THREADS_MAX: usize = 64;

#[derive(Serialize)]
struct Report {
    kernels: String,
    threads: usize,
    load: Span,
    files: Vec<FileReport>,
}

#[derive(Serialize)]
struct FileReport {
    file: String,
    seconds: f64,
    #[serde(flatten)]
    heard: Heard,
}

/// Runs the command and gives what it prints.
pub fn run(args: &Transcribe) -> anyhow::Result<String> {
    if args.files.is_empty() {
        bail!("name a WAV file, or - for standard input");
    }
    let options = Options {
        language: args.language.clone(),
        threads: threads(args.threads)?,
        audio_ctx: args.audio_ctx,
        n_tokens: args.tokens,
        steps: match args.steps.as_str() {
            "ours" => Steps::Ours,
            "whisper" => Steps::Whisper,
            other => bail!("there are no steps {other:?}: say ours or whisper"),
        },
    };
    let kernels = kernel_choice::take(args.kernels.as_deref())?;
    let mut load = Span::default();
    let mut ear = load.add(|| open(&args.model))?;
    ear.set_hot_words(&hot::sayable(args.hot_word.iter().cloned()));
    let mut files = vec![];
    for path in &args.files {
        let sound = sound(path)?;
        let heard = ear.hear(&sound, &options, &|| false);
        let heard = heard.with_context(|| format!("hearing {}", path.display()))?;
        let seconds = sound.len() as f64 / f64::from(RATE);
        files.push(FileReport { file: path.display().to_string(), seconds, heard });
    }
    let report = Report { kernels, threads: args.threads, load, files };
    Ok(if args.json { serde_json::to_string(&report)? + "\n" } else { text(&report) })
}

pub fn threads(asked: usize) -> anyhow::Result<usize> {
    if !(1..=THREADS_MAX).contains(&asked) {
        bail!("1 to {THREADS_MAX} threads can work, not {asked}");
    }
    Ok(asked)
}

/// Takes the kernels that the command line names.
pub fn kernels(choice: Option<&str>) -> anyhow::Result<String> {
    kernel_choice::take(choice)
}

pub fn open(path: &Path) -> anyhow::Result<Ear> {
    Ear::open(path).with_context(|| format!("{}", path.display()))
}

/// A file as whisper wants it.
pub fn sound(path: &Path) -> anyhow::Result<Vec<f32>> {
    let mut bytes = vec![];
    let source: Box<dyn Read> = match path.to_str() {
        Some("-") => Box::new(std::io::stdin().lock()),
        _ => Box::new(File::open(path).with_context(|| format!("opening {}", path.display()))?),
    };
    source
        .take(wav::FILE_BYTES_MAX)
        .read_to_end(&mut bytes)
        .with_context(|| format!("reading {}", path.display()))?;
    let clip = wav::read(&bytes).with_context(|| format!("{}", path.display()))?;
    Ok(resample::to_hearing(&clip))
}

fn text(report: &Report) -> String {
    let mut text = format!(
        "kernels {}, {} thread(s), load {:.3} s ({:.3} s of processor)\n",
        report.kernels, report.threads, report.load.wall_s, report.load.cpu_s
    );
    for FileReport { file, seconds, heard } in &report.files {
        let written = writeln!(
            text,
            "{file}: {}\n  {seconds:.2} s of sound in {:.3} s ({:.3} s of processor: mel {:.3}, encode {:.3}, decode {:.3}), \
             {} tokens, {} places",
            heard.text,
            heard.whole.wall_s,
            heard.whole.cpu_s,
            heard.mel.cpu_s,
            heard.encode.cpu_s,
            heard.decode.cpu_s,
            heard.n_tokens,
            heard.audio_ctx,
        );
        written.expect("a String takes every text");
    }
    text
}
