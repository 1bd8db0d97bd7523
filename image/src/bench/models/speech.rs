//! Words heard wrong: of sentences that are spoken now, and of clips with a list.

use crate::bench::served::data;
use crate::bench::stt::speech as clips;
use crate::progress::{Progress, Step};
use crate::tool;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

const SENTENCES: &str = "models/train/speech/held-out.txt";
/// Variants of espeak-ng and a voice of flite that models/train/speech/synth.py never trains.
const ESPEAK: [&str; 3] = ["en-us+f4", "en-gb+m7", "en-us+steph"];
const FLITE: [&str; 1] = ["slt"];
const CLIPS_AT_ONCE: usize = 16;

/// A clip, and what was said in it.
pub struct Clip {
    path: PathBuf,
    want: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wrong {
    pub n_wrong: u64,
    pub n_words: u64,
}

impl Wrong {
    pub fn wer(self) -> f64 {
        self.n_wrong as f64 / self.n_words.max(1) as f64
    }
}

/// Has every sentence spoken once, or the first ones, the voices by turns.
pub fn speak(folder: &Path, n_max: usize, progress: &Progress) -> Result<Vec<Clip>> {
    let file = data(None, SENTENCES)?;
    let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let sentences = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let voices = ESPEAK.iter().map(|voice| ("espeak-ng", *voice));
    let voices: Vec<_> = voices
        .chain(FLITE.iter().map(|voice| ("flite", *voice)))
        .filter(|(program, _)| tool::find(program).is_some())
        .collect();
    ensure!(!voices.is_empty(), "neither espeak-ng nor flite is installed: apt-get install espeak-ng flite");
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let step = progress.step("sentences in voices that nobody trained", None);
    let mut made = vec![];
    for (idx, sentence) in sentences.take(n_max).enumerate() {
        let (program, voice) = voices[idx % voices.len()];
        let path = folder.join(format!("{idx:03}.wav"));
        let mut command = tool::command(program);
        match program {
            "flite" => command.args(["-voice", voice, "-t", sentence, "-o"]).arg(&path),
            _ => command.args(["-v", voice, "-w"]).arg(&path).arg(sentence),
        };
        tool::run(&mut command, &folder.join("speak.log"), &step)?;
        made.push(Clip { path, want: sentence.to_owned() });
    }
    step.done(&format!("{} clips", made.len()));
    Ok(made)
}

/// The clips of a folder with a list, or the first ones.
pub fn listed(folder: &Path, n_max: usize) -> Result<Vec<Clip>> {
    let found = clips::clips(folder)?.into_iter();
    // Clips may be left out of a copy of the folder.
    Ok(found
        .map(|clip| Clip { path: clip.path, want: clip.want })
        .filter(|clip| clip.path.is_file())
        .take(n_max)
        .collect())
}

/// What a model makes of them.
pub fn wrong(agent: &Path, model: &Path, clips: &[Clip], folder: &Path, step: &Step) -> Result<Wrong> {
    let mut sum = Wrong::default();
    for (idx, some) in clips.chunks(CLIPS_AT_ONCE).enumerate() {
        step.note(&format!("{} of {} clips", idx * CLIPS_AT_ONCE, clips.len()));
        let mut command = tool::command(&agent.display().to_string());
        command.arg("transcribe").args(some.iter().map(|clip| &clip.path));
        command.arg("--model").arg(model).arg("--json");
        let answer = folder.join("heard.json");
        let file = File::create(&answer).with_context(|| format!("writing {}", answer.display()))?;
        tool::run_into(&mut command, file, &folder.join("heard.log"), step)?;
        let text = fs::read_to_string(&answer).with_context(|| format!("reading {}", answer.display()))?;
        let told: Value = serde_json::from_str(&text).context("understanding what the agent heard")?;
        let Some(heard) = told["files"].as_array().filter(|files| files.len() == some.len()) else {
            bail!("the agent heard other clips than it was given: {}", answer.display());
        };
        for (clip, heard) in some.iter().zip(heard) {
            let want = clips::words(&clip.want);
            let got = clips::words(heard["text"].as_str().unwrap_or_default());
            sum.n_wrong += clips::distance(&want, &got) as u64;
            sum.n_words += want.len() as u64;
        }
    }
    Ok(sum)
}
