//! How well a model hears: the clips of a folder against what was said in them.

use super::SttArgs;
use super::agent::{Agent, Manner};
use crate::progress::Step;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// The list of a folder: file, tab, words; what follows another tab is not read.
const LIST: &str = "transcripts.tsv";
const CLIPS_MAX: usize = 10_000;

pub struct Clip {
    pub path: PathBuf,
    pub name: String,
    pub want: String,
}

/// All figures of a folder.
#[derive(Debug, Serialize)]
pub struct Figures {
    pub clips: usize,
    /// Words that are wrong, missing or too many, for each word that was said.
    pub wer: f64,
    /// Seconds of processor for each second of sound, without the load.
    pub real_time_factor: f64,
    /// Clips whose first text was doubted, and that a longer encoder heard again.
    pub doubted: usize,
    /// ggml's kernels and whisper.cpp's own way.
    pub stock: Sum,
    /// Each length of the encoder that was asked for, without a second try.
    pub lengths: Vec<Length>,
    pub rows: Vec<Row>,
}

#[derive(Debug, Default, Clone, Copy, Serialize)]
pub struct Sum {
    pub wer: f64,
    pub real_time_factor: f64,
}

#[derive(Debug, Serialize)]
pub struct Length {
    pub audio_ctx: u32,
    #[serde(flatten)]
    pub sum: Sum,
}

#[derive(Debug, Serialize)]
pub struct Row {
    pub file: String,
    pub want: String,
    pub got: String,
    pub words: usize,
    pub wrong: usize,
    pub seconds: f64,
    pub cpu_s: f64,
    pub audio_ctx: usize,
    pub was_doubted: bool,
}

/// What `agent transcribe --json` prints, as far as it is used here.
#[derive(Deserialize)]
struct Report {
    files: Vec<Heard>,
}

#[derive(Deserialize)]
struct Heard {
    text: String,
    seconds: f64,
    audio_ctx: usize,
    was_doubted: bool,
    whole: Span,
}

#[derive(Deserialize)]
struct Span {
    cpu_s: f64,
}

/// The clips that a folder's list names.
pub fn clips(folder: &Path) -> Result<Vec<Clip>> {
    let list = folder.join(LIST);
    let text = fs::read_to_string(&list).with_context(|| format!("reading {}", list.display()))?;
    let clips = read_list(&text).map(|(name, want)| Clip {
        path: folder.join(name),
        name: name.to_string(),
        want: want.to_string(),
    });
    let clips: Vec<Clip> = clips.take(CLIPS_MAX).collect();
    ensure!(!clips.is_empty(), "{} names no clip", list.display());
    Ok(clips)
}

fn read_list(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| {
        let mut parts = line.split('\t');
        Some((parts.next()?, parts.next()?))
    })
}

/// Some clips at a time, so that the ways take turns and progress is seen.
const CLIPS_AT_ONCE: usize = 8;

pub fn hear(agent: &Agent, model: &Path, clips: &[Clip], args: &SttArgs, step: &Step) -> Result<Figures> {
    let ours = Manner { is_stock: false, audio_ctx: None, hot_words: &args.hot_word };
    let lengths = args.audio_ctx.iter().map(|places| Manner { audio_ctx: Some(*places), ..ours });
    let manners: Vec<Manner> = [ours, Manner { is_stock: true, ..ours }].into_iter().chain(lengths).collect();
    let mut rows: Vec<Vec<Row>> = manners.iter().map(|_| vec![]).collect();
    for (idx, some) in clips.chunks(CLIPS_AT_ONCE).enumerate() {
        step.note(&format!("{} of {} clips", idx * CLIPS_AT_ONCE, clips.len()));
        let paths: Vec<PathBuf> = some.iter().map(|clip| clip.path.clone()).collect();
        for (manner, rows) in manners.iter().zip(&mut rows) {
            let report: Report = agent.transcribe(model, &paths, *manner, step)?;
            let n = report.files.len();
            ensure!(n == some.len(), "the agent heard {n} of {} clips", some.len());
            rows.extend(some.iter().zip(report.files).map(|(clip, heard)| row(clip, heard)));
        }
    }
    let mut sums = rows.iter().map(|rows| sum(rows));
    let (own, stock) = (sums.next().unwrap_or_default(), sums.next().unwrap_or_default());
    let lengths =
        args.audio_ctx.iter().zip(sums).map(|(places, sum)| Length { audio_ctx: *places, sum }).collect();
    let rows = rows.swap_remove(0);
    Ok(Figures {
        clips: clips.len(),
        wer: own.wer,
        real_time_factor: own.real_time_factor,
        doubted: rows.iter().filter(|row| row.was_doubted).count(),
        stock,
        lengths,
        rows,
    })
}

fn row(clip: &Clip, heard: Heard) -> Row {
    let want = words(&clip.want);
    Row {
        file: clip.name.clone(),
        want: clip.want.clone(),
        words: want.len(),
        wrong: distance(&want, &words(&heard.text)),
        got: heard.text,
        seconds: heard.seconds,
        cpu_s: heard.whole.cpu_s,
        audio_ctx: heard.audio_ctx,
        was_doubted: heard.was_doubted,
    }
}

fn sum(rows: &[Row]) -> Sum {
    let of = |take: fn(&Row) -> f64| rows.iter().map(take).sum::<f64>();
    let n_words = of(|row| row.words as f64).max(1.0);
    let seconds = of(|row| row.seconds).max(f64::MIN_POSITIVE);
    Sum { wer: of(|row| row.wrong as f64) / n_words, real_time_factor: of(|row| row.cpu_s) / seconds }
}

/// Small letters, digits and apostrophes; all else parts words.
pub fn words(text: &str) -> Vec<String> {
    let is_part = |c: char| c.is_alphanumeric() || c == '\'';
    let text = text.to_lowercase();
    text.split(|c| !is_part(c)).filter(|word| !word.is_empty()).map(str::to_string).collect()
}

/// The fewest words to change, leave out or add (Levenshtein).
pub fn distance(want: &[String], got: &[String]) -> usize {
    let mut row: Vec<usize> = (0..=got.len()).collect();
    for (idx, word) in want.iter().enumerate() {
        let mut before = row[0];
        row[0] = idx + 1;
        for (at, other) in got.iter().enumerate() {
            let change = before + usize::from(word != other);
            before = row[at + 1];
            row[at + 1] = change.min(before + 1).min(row[at] + 1);
        }
    }
    row[got.len()]
}

pub fn table(figures: &Figures) -> String {
    let mut text = String::new();
    for row in &figures.rows {
        let Row { file, want, got, words, wrong, .. } = row;
        let again = if row.was_doubted { ", doubted" } else { "" };
        let _ = writeln!(text, "{file}: {wrong} of {words} wrong, {} places{again}", row.audio_ctx);
        if *wrong > 0 {
            let _ = writeln!(text, "  said:  {want}\n  heard: {got}");
        }
    }
    let mut line = |what: &str, sum: Sum| {
        let Sum { wer, real_time_factor } = sum;
        let _ = writeln!(text, "{what:<24}{:>7.1}{real_time_factor:>12.3}", 100.0 * wer);
    };
    let own = Sum { wer: figures.wer, real_time_factor: figures.real_time_factor };
    line("ours, length by the clip", own);
    line("stock, the same", figures.stock);
    for length in &figures.lengths {
        line(&format!("ours, {} places", length.audio_ctx), length.sum);
    }
    let _ = writeln!(
        text,
        "{} clips, {} doubted; percent of words wrong, seconds of processor a second of sound",
        figures.clips, figures.doubted
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(want: &str, got: &str, n_wrong: usize) {
        assert_eq!(distance(&words(want), &words(got)), n_wrong, "{want:?} {got:?}");
    }

    #[test]
    fn capitals_and_stops_are_no_errors() {
        check("And so, my fellow Americans:", "and so my fellow americans", 0);
    }

    #[test]
    fn each_changed_missing_or_added_word_counts() {
        check("ten of clubs", "ten off clubs", 1);
        check("ten of clubs", "ten clubs", 1);
        check("ten of clubs", "ten of the clubs", 1);
        check("ten of clubs", "", 3);
        check("", "you", 1);
    }

    #[test]
    fn sums_weigh_clips_by_their_words_and_seconds() {
        let clip = |want: &str| Clip { path: PathBuf::new(), name: "a.wav".into(), want: want.into() };
        let heard = |text: &str, seconds| Heard {
            text: text.into(),
            seconds,
            audio_ctx: 64,
            was_doubted: false,
            whole: Span { cpu_s: 1.0 },
        };
        let rows =
            [row(&clip("one two three"), heard("one two", 6.0)), row(&clip("four"), heard("four", 2.0))];
        let Sum { wer, real_time_factor } = sum(&rows);
        assert_eq!((wer, real_time_factor), (0.25, 0.25));
        assert_eq!(sum(&[]).wer, 0.0);
    }

    #[test]
    fn a_list_is_read_to_its_second_tab() {
        let list: Vec<_> = read_list("a.wav\tone two\tCC0\n\nb.wav\tthree\n").collect();
        assert_eq!(list, [("a.wav", "one two"), ("b.wav", "three")]);
    }
}
