//! Whether a frame of sound is voice: what opens the ear, finds rests and trims what was said.
//!
//! A detector keeps its state over frames, so each conversation has its own. It says what it thinks of single frames;
//! `voice::pause` draws the conclusions. How well each does, `agent/tests/detecting.rs` measures.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use voice::silero::{FILE_BYTES_MAX, Silero, WINDOW, Weights};

/// Samples of a frame at 16 kHz: 16 ms.
pub const FRAME: usize = 256;

/// Above this a frame is voice for earshot: with 0.5, a third of the pauses in noise as loud as the speech are voice.
pub const EARSHOT_LEAST: f32 = 0.6;
/// The same for Silero, which its makers advise.
pub const SILERO_LEAST: f32 = 0.5;
/// What the file of Silero's weights bears in its name.
const SILERO: &str = "silero";
/// Entries of the folder that are looked at.
const ENTRIES_MAX: usize = 1024;

pub trait Detector: Send {
    fn is_voice(&mut self, frame: &[i16; FRAME]) -> bool;

    /// Another recording begins.
    fn reset(&mut self);
}

/// What the owner chose, or the usual one and a sentence on why.
pub fn choose(which: admission::Detector, models: &Path) -> (Box<dyn Detector>, Option<String>) {
    match which {
        admission::Detector::Earshot => (earshot(), None),
        admission::Detector::Silero => match silero(models) {
            Ok(detector) => (detector, None),
            Err(why) => (earshot(), Some(format!("{why}; earshot tells voice from other sound instead"))),
        },
    }
}

/// The usual one: 6.6 M instructions for a second of sound.
pub fn earshot() -> Box<dyn Detector> {
    Box::new(Earshot(earshot::Detector::default()))
}

struct Earshot(earshot::Detector);

impl Detector for Earshot {
    fn is_voice(&mut self, frame: &[i16; FRAME]) -> bool {
        self.0.predict_i16(frame) >= EARSHOT_LEAST
    }

    fn reset(&mut self) {
        self.0.reset();
    }
}

/// With the first file of the folder that bears its name.
fn silero(models: &Path) -> Result<Box<dyn Detector>, String> {
    let file = find(models).ok_or_else(|| {
        format!("no model of Silero's detector (*{SILERO}*.bin) is in {}", models.display())
    })?;
    let mut bytes = vec![];
    let read = File::open(&file).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
    read.map_err(|error| format!("{}: {error}", file.display()))?;
    let weights = Weights::read(&bytes).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(Box::new(Windows { silero: Silero::new(Arc::new(weights)), half: None, was_voice: false }))
}

fn find(models: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(models).ok()?.take(ENTRIES_MAX).flatten().map(|entry| entry.path());
    let is_silero = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        name.contains(SILERO) && name.ends_with(".bin")
    };
    entries.filter(is_silero).min()
}

/// Silero hears two frames at a time; until the second is there, the last word holds.
struct Windows {
    silero: Silero,
    half: Option<[i16; FRAME]>,
    was_voice: bool,
}

impl Detector for Windows {
    fn is_voice(&mut self, frame: &[i16; FRAME]) -> bool {
        match self.half.take() {
            None => self.half = Some(*frame),
            Some(first) => {
                let mut window = [0.0; WINDOW];
                let both = first.iter().chain(frame);
                window.iter_mut().zip(both).for_each(|(to, from)| *to = f32::from(*from) / 32_768.0);
                self.was_voice = self.silero.hear(&window) >= SILERO_LEAST;
            }
        }
        self.was_voice
    }

    fn reset(&mut self) {
        self.silero.reset();
        (self.half, self.was_voice) = (None, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_no_voice() {
        let mut detector = earshot();
        for _ in 0..100 {
            assert!(!detector.is_voice(&[0; FRAME]));
        }
    }

    #[test]
    fn a_detector_without_its_model_is_replaced_with_a_sentence() {
        let folder = std::env::temp_dir().join(format!("duet-detect-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let why = || choose(admission::Detector::Silero, &folder).1.unwrap_or_default();
        let end = "; earshot tells voice from other sound instead";
        assert_eq!(
            why(),
            format!("no model of Silero's detector (*silero*.bin) is in {}{end}", folder.display())
        );
        fs::write(folder.join("ggml-silero-v6.bin"), b"no model").unwrap();
        let file = folder.join("ggml-silero-v6.bin");
        assert_eq!(why(), format!("{}: this is no Silero model in ggml's format{end}", file.display()));
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(choose(admission::Detector::Earshot, &folder).1, None);
    }
}
