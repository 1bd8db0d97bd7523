//! `agent say`: text in, a WAV file out, by the way that answers go.

use super::mouth::{Mouth, MouthFacts};
use super::sayings;
use crate::args::Say;
use crate::sound::wav::{self, CLIP_SECONDS_MAX, Clip};
use crate::talk::parts::{Made, Sound, Speak, SpeakJob, Stop};
use admission::VoiceSettings;
use anyhow::{Context, bail};
use serde::Serialize;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::Instant;
use voice::clause::Cutter;

/// A long letter.
const TEXT_BYTES_MAX: usize = 64 << 10;
/// Pieces that wait to be taken.
const PIECES_MAX: usize = 64;

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    mouth: MouthFacts,
    rate: u32,
    seconds: f64,
    /// From the question to the first piece of each clause.
    first_piece_ms: Vec<f64>,
}

/// Runs the command and gives what it prints: the file itself, if it is to go to standard output.
pub fn run(args: &Say) -> anyhow::Result<Vec<u8>> {
    let settings = settings(args);
    settings.check()?;
    if args.text.len() > TEXT_BYTES_MAX {
        bail!("the text has {} bytes, at most {TEXT_BYTES_MAX} are spoken", args.text.len());
    }
    let mouth = super::start(&settings).context("cannot start the mouth")?;
    let mut clip = Clip { rate: 0, samples: vec![] };
    let mut first_piece_ms = vec![];
    for clause in clauses(&args.text, &settings.language) {
        first_piece_ms.push(speak(&mouth, clause, &mut clip)?);
    }
    if clip.rate == 0 {
        bail!("there is nothing to say in this text");
    }
    let bytes = wav::write(&clip)?;
    let facts = mouth.facts();
    if let Some(trouble) = &facts.trouble {
        eprintln!("agent: {trouble}");
    }
    if args.out == Path::new("-") {
        return Ok(bytes);
    }
    std::fs::write(&args.out, bytes).with_context(|| format!("writing {}", args.out.display()))?;
    let seconds = clip.samples.len() as f64 / f64::from(clip.rate);
    let report = Report { mouth: facts, rate: clip.rate, seconds, first_piece_ms };
    let told = if args.json { serde_json::to_string(&report)? + "\n" } else { text(&report, &args.out) };
    Ok(told.into_bytes())
}

fn settings(args: &Say) -> VoiceSettings {
    let (language, voice) = (args.language.clone(), args.voice.clone());
    VoiceSettings { language, voice, rate: args.rate, pitch: args.pitch, ..VoiceSettings::default() }
}

/// What is to be said of a text.
fn clauses(text: &str, language: &str) -> Vec<String> {
    let mut cutter = Cutter::default();
    cutter.push(text);
    let mut clauses = vec![];
    clauses.extend(std::iter::from_fn(|| cutter.poll()));
    clauses.extend(std::iter::from_fn(|| cutter.finish()));
    clauses.iter().filter_map(|clause| sayings::of(language).say(clause)).collect()
}

/// Adds a clause to the clip and gives how long its first piece took.
fn speak(mouth: &Mouth, text: String, clip: &mut Clip) -> anyhow::Result<f64> {
    let (to, from) = sync_channel(PIECES_MAX);
    let sink = move |sound: Sound<'_>| {
        let made = match sound {
            Sound::Piece { rate, pcm } => Made::Piece { rate, pcm: pcm.to_vec() },
            Sound::End => Made::End,
            Sound::Failed(why) => Made::Failed(why.to_owned()),
        };
        // Whoever listens may have given up.
        let _ = to.send(made);
    };
    let asked = Instant::now();
    let mut first = None;
    mouth.speak(SpeakJob { text, talk: 0, voice: None, stop: Stop::default(), sink: Box::new(sink) });
    for made in from {
        match made {
            Made::Piece { rate, pcm } => {
                first.get_or_insert_with(|| asked.elapsed());
                clip.rate = rate;
                clip.samples.extend(pcm);
                if clip.samples.len() > rate as usize * CLIP_SECONDS_MAX as usize {
                    bail!("the text is spoken for more than {CLIP_SECONDS_MAX} seconds");
                }
            }
            Made::End => break,
            Made::Failed(why) => bail!(why),
        }
    }
    Ok(first.unwrap_or_else(|| asked.elapsed()).as_secs_f64() * 1000.0)
}

fn text(report: &Report, out: &Path) -> String {
    let MouthFacts { engine, voice, cpu_s, n_clauses, .. } = &report.mouth;
    format!(
        "{}: {:.2} s of sound at {} Hz, {n_clauses} clauses, {} in voice {}, {cpu_s:.3} s of processor\n",
        out.display(),
        report.seconds,
        report.rate,
        engine.unwrap_or("-"),
        voice.as_deref().unwrap_or("-"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_and_made_speakable() {
        let text = "It is 20°C, so say the sensors. See https://example.org/x.\n```\nlet x = 1;\n```\n";
        let want = [
            "It is 20 degrees Celsius,",
            "so say the sensors.",
            "See example dot org.",
            "1 lines of code, shown on the page",
        ];
        assert_eq!(clauses(text, "en"), want);
        assert_eq!(clauses("*** --- ***", "en"), [""; 0]);
    }
}
