//! How well a model hears: the clips of a folder against what was said in them.

use super::agent::Agent;
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
    path: PathBuf,
    name: String,
    want: String,
}

/// All figures of a folder.
#[derive(Debug, Serialize)]
pub struct Figures {
    pub clips: usize,
    /// Words that are wrong, missing or too many, for each word that was said.
    pub wer: f64,
    /// Seconds of processor for each second of sound, without the load.
    pub real_time_factor: f64,
    pub rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
pub struct Row {
    pub file: String,
    pub want: String,
    pub got: String,
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

pub fn hear(agent: &Agent, model: &Path, clips: &[Clip], step: &Step) -> Result<Figures> {
    let paths: Vec<PathBuf> = clips.iter().map(|clip| clip.path.clone()).collect();
    let report: Report = agent.transcribe(model, &paths, step)?;
    ensure!(
        report.files.len() == clips.len(),
        "the agent heard {} of {} clips",
        report.files.len(),
        clips.len()
    );
    let (mut n_words, mut n_wrong) = (0, 0);
    let mut rows = vec![];
    for (clip, heard) in clips.iter().zip(&report.files) {
        let want = words(&clip.want);
        n_words += want.len();
        n_wrong += distance(&want, &words(&heard.text));
        rows.push(Row { file: clip.name.clone(), want: clip.want.clone(), got: heard.text.clone() });
    }
    let sum = |of: fn(&Heard) -> f64| report.files.iter().map(of).sum::<f64>();
    Ok(Figures {
        clips: clips.len(),
        wer: n_wrong as f64 / n_words.max(1) as f64,
        real_time_factor: sum(|heard| heard.whole.cpu_s) / sum(|heard| heard.seconds),
        rows,
    })
}

/// Small letters, digits and apostrophes; all else parts words.
fn words(text: &str) -> Vec<String> {
    let is_part = |c: char| c.is_alphanumeric() || c == '\'';
    let text = text.to_lowercase();
    text.split(|c| !is_part(c)).filter(|word| !word.is_empty()).map(str::to_string).collect()
}

/// The fewest words to change, leave out or add (Levenshtein).
fn distance(want: &[String], got: &[String]) -> usize {
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
    for Row { file, want, got } in &figures.rows {
        let _ = writeln!(text, "{file}\n  said:  {want}\n  heard: {got}");
    }
    let _ = writeln!(
        text,
        "{} clips, {:.1} % of words wrong, {:.2} seconds of processor a second of sound",
        figures.clips,
        100.0 * figures.wer,
        figures.real_time_factor
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
    fn a_list_is_read_to_its_second_tab() {
        let list: Vec<_> = read_list("a.wav\tone two\tCC0\n\nb.wav\tthree\n").collect();
        assert_eq!(list, [("a.wav", "one two"), ("b.wav", "three")]);
    }
}
