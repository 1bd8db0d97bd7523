//! The second engine: pocketsphinx, where an image was built with it (`--profile pocketsphinx`).
//!
//! It hears the commands that need no model, in English, and nothing else: its grammar is made of the product's own
//! intents (`voice::intent`), its dictionary of those of Debian's words that stand in it. Beside a command, any row of
//! sounds may be said (`noise`); where that fits better, what was said is no command and nothing was heard.
//! It runs as a program of its own for each clip, so that nothing in it can take the agent along: no shell, an empty
//! environment, files in a folder that only the agent sees, and an end in time. What it costs is bounded by the clip.

mod lexicon;
#[cfg(test)]
mod tests;

use super::desk::{How, Miss, OpenEar, Text};
use super::{RATE, letter};
use crate::tools::child::{self, End};
use rustix::fs::{Mode, mkdir};
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use voice::intent::Intents;

/// Where Debian has it, in the node's root.
pub const PROGRAM: &str = "usr/bin/pocketsphinx_batch";
/// What `hearing` under `[voice]` says, and the page.
pub const NAME: &str = "pocketsphinx";
/// Beside the folder of programs.
const MODEL: &str = "share/pocketsphinx/model/en-us";
const DICTIONARY: &str = "cmudict-en-us.dict";
const ENGLISH: &str = include_str!("../../intents/en.toml");
/// Rest on both sides of a clip; without it short commands lose their ends.
const REST: usize = RATE as usize / 5;
/// A clip is lifted to this; quiet ones are heard wrong.
const LEVEL: f32 = 16_000.0;
/// Softer than this is no speech, and would only be lifted to noise.
const PEAK_LEAST: i16 = 64;
/// The longest command takes a tenth of it.
const TIME_MAX: Duration = Duration::from_secs(20);
/// What it may say beside its files.
const OUTPUT_BYTES_MAX: usize = 16 << 10;
const HEARD_BYTES_MAX: u64 = 16 << 10;
const LOG_BYTES_MAX: u64 = 1 << 20;

pub struct Sphinx {
    program: PathBuf,
    model: PathBuf,
    folder: Folder,
}

impl Sphinx {
    /// Writes grammar and dictionary for the program at this path.
    pub fn open(program: &Path) -> Result<Sphinx, String> {
        let model = program.parent().and_then(Path::parent).unwrap_or(Path::new("/")).join(MODEL);
        let path = model.join(DICTIONARY);
        let words = File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let intents = Intents::read(ENGLISH).map_err(|error| error.to_string())?;
        let (grammar, dictionary) = lexicon::of(&intents, BufReader::new(words))?;
        let folder = Folder::new().map_err(|error| format!("no folder for pocketsphinx: {error}"))?;
        for (name, text) in [("grammar", grammar), ("dictionary", dictionary), ("clips", "clip\n".into())] {
            fs::write(folder.0.join(name), text)
                .map_err(|error| format!("a file for pocketsphinx: {error}"))?;
        }
        Ok(Sphinx { program: program.to_owned(), model, folder })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear().current_dir(&self.folder.0);
        command.arg("-hmm").arg(self.model.join("en-us"));
        let arguments = "-dict dictionary -jsgf grammar -cepdir . -cepext .raw -adcin yes -adchdr 0 -ctl clips \
                         -hyp heard -logfn log";
        command.args(arguments.split_whitespace());
        command
    }

    fn words(&self, pcm: &[i16], stop: &dyn Fn() -> bool) -> Result<String, Miss> {
        let failed = |what: String| Miss::Failed(format!("pocketsphinx: {what}"));
        let Some(bytes) = levelled(pcm) else { return Ok(String::new()) };
        let heard = self.folder.0.join("heard");
        // What an earlier clip left is not this one's.
        let _ = fs::remove_file(&heard);
        let clip = self.folder.0.join("clip.raw");
        fs::write(&clip, bytes).map_err(|error| failed(error.to_string()))?;
        let ended = child::run(self.command(), OUTPUT_BYTES_MAX, Instant::now() + TIME_MAX, stop);
        // What somebody said stays nowhere.
        let _ = fs::remove_file(&clip);
        let ended = ended.map_err(|error| failed(format!("{}: {error}", self.program.display())))?;
        match ended.end {
            End::Left => return Err(Miss::Stopped),
            End::Time => return Err(failed(format!("not done after {} s", TIME_MAX.as_secs()))),
            End::Output => return Err(failed("it said more than it may".into())),
            End::Status(0) => {}
            End::Status(status) => return Err(failed(format!("status {status}; {}", self.trouble()))),
        }
        let text = read(&heard, HEARD_BYTES_MAX).map_err(|error| failed(error.to_string()))?;
        told(&text).ok_or_else(|| failed("an answer that is none".into()))
    }

    /// The last line of its log that says what is wrong.
    fn trouble(&self) -> String {
        let log = read(&self.folder.0.join("log"), LOG_BYTES_MAX).unwrap_or_default();
        let is_bad = |line: &&str| line.starts_with("ERROR") || line.starts_with("FATAL");
        log.lines().rfind(is_bad).unwrap_or("its log says nothing").to_owned()
    }
}

impl OpenEar for Sphinx {
    fn hear(&mut self, pcm: &[i16], _: &How, stop: &dyn Fn() -> bool) -> Result<Text, Miss> {
        let heard = self.words(pcm, stop)?;
        let is_wish = !heard.split(' ').any(lexicon::is_noise);
        let text = if is_wish { heard } else { String::new() };
        Ok(Text { text, was_doubted: !is_wish, ..Text::default() })
    }

    /// Its grammar has no names.
    fn set_hot_words(&mut self, _: &[String]) {}

    fn languages(&self) -> Vec<String> {
        vec!["en".into()]
    }
}

/// As it reads sound: 16 bits, at one loudness, with rest around; nothing where there is no sound.
fn levelled(pcm: &[i16]) -> Option<Vec<u8>> {
    let pcm = &pcm[..pcm.len().min(letter::SAMPLES_MAX)];
    let peak = pcm.iter().map(|sample| sample.saturating_abs()).max().filter(|peak| *peak >= PEAK_LEAST)?;
    let lift = LEVEL / f32::from(peak);
    let rest = std::iter::repeat_n(0i16, REST);
    let sound = pcm.iter().map(|sample| (f32::from(*sample) * lift) as i16);
    Some(rest.clone().chain(sound).chain(rest).flat_map(i16::to_le_bytes).collect())
}

/// The words of `what time is it (clip -3212)`; none of an empty line.
fn told(text: &str) -> Option<String> {
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() {
        return Some(String::new());
    }
    Some(line.rsplit_once('(')?.0.trim().to_owned())
}

fn read(path: &Path, bytes_max: u64) -> std::io::Result<String> {
    let mut bytes = vec![];
    File::open(path)?.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// In the memory of this service alone; it goes with the ear.
struct Folder(PathBuf);

impl Folder {
    fn new() -> std::io::Result<Folder> {
        let number = u64::from_ne_bytes(crate::serve::enrolling::random());
        let path = std::env::temp_dir().join(format!("duet-sphinx-{number:016x}"));
        // It must be new: nobody else may have laid files there.
        mkdir(&path, Mode::RWXU)?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
