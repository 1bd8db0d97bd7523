//! `duet bench stt`: what hearing costs with ggml's own kernels and with ours, and how well a model hears.
//!
//! Models are made here, with random weights of the true shape of tiny.en: cost follows shape. What a model hears
//! is measured with a real one and real speech, which the caller has (`--speech`).

mod agent;
pub mod speech;

use crate::progress::Progress;
use crate::setup::{self, For};
use agent::{Agent, Measured, Work};
use anyhow::{Context, Result, ensure};
use argh::{ArgsInfo, FromArgs};
use serde::Serialize;
use std::fmt::Write;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use voice::whisper::forge::{self, Form, Kind};

/// OpenAI's tiny.en.
const TINY_EN: Form = Form { n_state: 384, n_head: 6, n_layer: 4, n_text_ctx: 448 };
const SEED: u64 = 3;
/// The whole window of 30 seconds.
const FULL: u32 = 1500;
/// 2.56 seconds, for a clip of 2.5.
pub const SHORT: u32 = 128;
/// What is said in such a clip: a sentence of ten words.
pub const SHORT_TOKENS: u32 = 17;
const CLIP_SAMPLES: u32 = 40_000;
const RATE: u32 = 16_000;
const ROUNDS_MAX: u32 = 100;

/// Measure speech to text: ggml's own kernels beside ours.
#[derive(FromArgs, ArgsInfo, Debug, Clone)]
#[argh(
    subcommand,
    name = "stt",
    example = "Every type of weights, as data:\n  duet bench stt --json",
    example = "How well a model hears the clips of a folder, and with a shorter encoder:\n  duet bench stt --speech DIR --model tiny.en-q8_0.bin --audio-ctx 256 --audio-ctx 512",
    note = "Times are seconds of processor, medians of rounds by turns. A folder of speech has transcripts.tsv: file, tab, words."
)]
pub struct SttArgs {
    /// folder for models, logs and the node program (default: out)
    #[argh(option, default = "PathBuf::from(\"out\")")]
    pub out: PathBuf,
    /// print one JSON object on stdout; progress goes to stderr
    #[argh(switch)]
    pub json: bool,
    /// hear the clips of this folder instead
    #[argh(option)]
    pub speech: Option<PathBuf>,
    /// the model for --speech
    #[argh(option)]
    pub model: Option<PathBuf>,
    /// with --speech: hear all clips with so many places of the encoder too, 50 a second; may be given several times
    #[argh(option)]
    pub audio_ctx: Vec<u32>,
    /// with --speech: a name that is likelier than others; may be given several times
    #[argh(option)]
    pub hot_word: Vec<String>,
    /// only this type of weights: f16, q8_0, q4_0, q5_1; may be given several times
    #[argh(option)]
    pub only: Vec<String>,
    /// level of our kernels: sse2, ssse3 (default), sse41, avx2
    #[argh(option, default = "String::from(\"ssse3\")")]
    pub level: String,
    /// rounds of each, whose median counts (default 3)
    #[argh(option, default = "3")]
    pub rounds: u32,
    /// threads (default 1)
    #[argh(option, default = "1")]
    pub threads: u32,
    /// leave out the whole window of 30 seconds
    #[argh(switch)]
    pub quick: bool,
    /// a built agent to measure, instead of building one
    #[argh(option)]
    pub program: Option<PathBuf>,
    /// install missing packages without asking
    #[argh(switch, short = 'y')]
    pub yes: bool,
}

/// All figures of hearing.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// Of our kernels; ggml's own were built for a Core 2.
    pub level: String,
    pub threads: u32,
    pub rows: Vec<Row>,
    /// A 2.5 s clip from the start of the program to its end, load included; `None` where another type was asked for.
    pub instructions_q8_0_short: Option<Pair>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    #[serde(rename = "type")]
    pub kind: String,
    /// encoder (30 s), encoder_short and whole (2.5 s).
    pub what: &'static str,
    pub stock_s: f64,
    pub ours_s: f64,
    pub ratio: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Pair {
    pub stock: u64,
    pub ours: u64,
}

/// Runs the command.
pub fn command(args: &SttArgs) -> Result<()> {
    ensure!((1..=ROUNDS_MAX).contains(&args.rounds), "1 to {ROUNDS_MAX} rounds can be measured");
    let kinds = kinds(&args.only)?;
    if let Some(folder) = &args.speech {
        let model = args.model.as_deref().context("--speech needs a model: --model FILE")?;
        let clips = speech::clips(folder)?;
        let progress = Progress::new(2);
        let agent = Agent::get(args, &progress)?;
        ensure!(
            args.audio_ctx.iter().all(|places| (1..=FULL).contains(places)),
            "1 to {FULL} places can be tried"
        );
        let step = progress.step(&format!("hearing {} clips", clips.len()), None);
        let figures = speech::hear(&agent, model, &clips, args, &step)?;
        step.done(&format!("{:.1} % of words wrong", 100.0 * figures.wer));
        return show(args.json, &figures, speech::table);
    }
    setup::ensure(&[For::Bench], args.yes)?;
    let progress = Progress::new(1 + kinds.len() + usize::from(kinds.contains(&Kind::Q8_0)));
    let agent = Agent::get(args, &progress)?;
    let figures = measure(args, &kinds, &agent, &progress)?;
    show(args.json, &figures, table)
}

fn show<T: Serialize>(json: bool, figures: &T, table: impl Fn(&T) -> String) -> Result<()> {
    match json {
        true => println!("{}", serde_json::to_string(figures)?),
        false => print!("{}", table(figures)),
    }
    Ok(())
}

fn kinds(only: &[String]) -> Result<Vec<Kind>> {
    let named = |name: &String| {
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name.to_lowercase());
        kind.with_context(|| format!("no type {name} is measured: say f16, q8_0, q4_0 or q5_1"))
    };
    if only.is_empty() { Ok(Kind::ALL.to_vec()) } else { only.iter().map(named).collect() }
}

fn measure(args: &SttArgs, kinds: &[Kind], agent: &Agent, progress: &Progress) -> Result<Figures> {
    let clip = agent.folder().join("stt-clip.wav");
    write_clip(&clip)?;
    let mut rows = vec![];
    let mut instructions = None;
    for kind in kinds {
        let name = kind.name();
        let step = progress.step(&format!("{name}: {} rounds, a minute or two", args.rounds), None);
        let model = agent.folder().join(format!("stt-{name}.bin"));
        write_model(&model, *kind)?;
        let work = Work { clip: &clip, model: &model, audio_ctx: SHORT, tokens: SHORT_TOKENS };
        if !args.quick {
            let full = agent.measure(&Work { audio_ctx: FULL, tokens: 1, ..work }, true, &step)?;
            rows.push(row(*kind, "encoder", full.stock.encoder_s, full.ours.encoder_s));
        }
        let short = agent.measure(&work, false, &step)?;
        rows.push(row(*kind, "encoder_short", short.stock.encoder_s, short.ours.encoder_s));
        let Measured { stock, ours, .. } = short;
        if let (Some(stock), Some(ours)) = (stock.whole_s, ours.whole_s) {
            rows.push(row(*kind, "whole", stock, ours));
        }
        step.done("measured");
        if *kind == Kind::Q8_0 {
            let step = progress.step("counting instructions: a minute", None);
            let stock = agent.count(&work, "stock", "whisper", &step)?;
            let ours = agent.count(&work, &args.level, "ours", &step)?;
            instructions = Some(Pair { stock, ours });
            step.done("counted");
        }
        fs::remove_file(&model).with_context(|| format!("removing {}", model.display()))?;
    }
    Ok(Figures {
        level: args.level.clone(),
        threads: args.threads,
        rows,
        instructions_q8_0_short: instructions,
    })
}

fn row(kind: Kind, what: &'static str, stock_s: f64, ours_s: f64) -> Row {
    Row { kind: kind.name().to_string(), what, stock_s, ours_s, ratio: stock_s / ours_s }
}

/// A model of the true shape.
pub fn write_model(path: &Path, kind: Kind) -> Result<()> {
    let writing = || format!("writing {}", path.display());
    let mut file = BufWriter::new(File::create(path).with_context(writing)?);
    forge::write(&mut file, &TINY_EN, kind, SEED).with_context(writing)?;
    file.into_inner().with_context(writing)?;
    Ok(())
}

/// A clip of 2.5 s.
pub fn write_clip(path: &Path) -> Result<()> {
    fs::write(path, noise()).with_context(|| format!("writing {}", path.display()))
}

/// A WAV file of noise that swells and fades as syllables do.
fn noise() -> Vec<u8> {
    let n_bytes = 2 * CLIP_SAMPLES;
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + n_bytes).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    bytes.extend(RATE.to_le_bytes());
    bytes.extend((2 * RATE).to_le_bytes());
    bytes.extend(b"\x02\0\x10\0data");
    bytes.extend(n_bytes.to_le_bytes());
    let mut state = 1u32;
    for idx in 0..CLIP_SAMPLES {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let swell = (idx as f32 / 4000.0 * std::f32::consts::PI).sin().powi(2);
        let sample = ((state >> 16) as f32 - 32_768.0) * 0.3 * swell;
        bytes.extend((sample as i16).to_le_bytes());
    }
    bytes
}

/// What is asked of a row: the ratio, and what would be better still.
const GATES: [(&str, &str, f64, f64); 2] = [("f16", "encoder", 3.8, 8.0), ("q8_0", "encoder", 1.6, 4.0)];
/// The same of the instructions of a short clip, in thousands of millions.
const INSTRUCTIONS: (f64, f64) = (1.8, 1.2);

/// The figures beside their gates.
pub fn table(figures: &Figures) -> String {
    let mut text = format!(
        "seconds of processor, {} thread(s), our kernels: {}\n{:<6}{:<16}{:>9}{:>9}{:>8}\n",
        figures.threads, figures.level, "type", "what", "stock", "ours", "ratio"
    );
    for Row { kind, what, stock_s, ours_s, ratio } in &figures.rows {
        let gate = GATES.iter().find(|gate| (gate.0, gate.1) == (kind.as_str(), *what));
        let verdict = gate.map_or(String::new(), |(_, _, gate, beyond)| {
            format!("  gate {gate}, beyond {beyond}: {}", verdict(*ratio >= *gate, *ratio >= *beyond))
        });
        let _ = writeln!(text, "{kind:<6}{what:<16}{stock_s:>9.3}{ours_s:>9.3}{ratio:>8.2}{verdict}");
    }
    if let Some(Pair { stock, ours }) = figures.instructions_q8_0_short {
        let (gate, beyond) = INSTRUCTIONS;
        let [stock, ours] = [stock, ours].map(|n| n as f64 / 1e9);
        let verdict = verdict(ours <= gate, ours <= beyond);
        let _ = writeln!(
            text,
            "2.5 s, q8_0, whole program: {stock:.2} G instructions stock, {ours:.2} G ours  gate {gate}, beyond {beyond}: {verdict}"
        );
    }
    text
}

fn verdict(reached: bool, beyond: bool) -> &'static str {
    match (reached, beyond) {
        (_, true) => "beyond",
        (true, _) => "reached",
        _ => "missed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: Kind, ours_s: f64, instructions: u64, want: &str) {
        let figures = Figures {
            level: "ssse3".into(),
            threads: 1,
            rows: vec![row(kind, "encoder", 4.0, ours_s)],
            instructions_q8_0_short: Some(Pair { stock: 4_280_000_000, ours: instructions }),
        };
        let table = table(&figures);
        assert!(table.contains(want), "{want:?} is not in\n{table}");
    }

    #[test]
    fn each_figure_stands_beside_its_gate() {
        check(Kind::F16, 1.0, 0, "4.000    1.000    4.00  gate 3.8, beyond 8: reached");
        check(Kind::Q8_0, 1.0, 0, "gate 1.6, beyond 4: beyond");
        check(Kind::Q8_0, 3.0, 0, "gate 1.6, beyond 4: missed");
        check(Kind::Q8_0, 1.0, 1_500_000_000, "1.50 G ours  gate 1.8, beyond 1.2: reached");
        check(Kind::Q8_0, 1.0, 1_900_000_000, "gate 1.8, beyond 1.2: missed");
    }

    #[test]
    fn a_type_that_is_not_known_is_an_error() {
        assert_eq!(kinds(&["Q8_0".into()]).unwrap(), [Kind::Q8_0]);
        let error = kinds(&["q3".into()]).unwrap_err().to_string();
        assert_eq!(error, "no type q3 is measured: say f16, q8_0, q4_0 or q5_1");
    }
}
