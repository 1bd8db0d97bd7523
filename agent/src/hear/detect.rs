//! Whether a frame of sound is voice: what opens the ear, finds rests and trims what was said.
//!
//! A detector keeps its state over frames, so each conversation has its own. It says what it thinks of single frames;
//! `voice::pause` draws the conclusions. How well each does, `agent/tests/detecting.rs` measures.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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

/// The detector of the owner's choice, for all who listen here; another choice holds from the next frame on.
pub struct Detectors {
    now: Mutex<Now>,
    /// Counts the changes, so that a frame costs no lock.
    n_changes: AtomicU64,
}

struct Now {
    /// Whose choice could not be had is tried again.
    wish: Option<admission::Detector>,
    silero: Option<Arc<Weights>>,
    sentence: String,
}

impl Default for Detectors {
    fn default() -> Detectors {
        let now = Now { wish: None, silero: None, sentence: String::new() };
        Detectors { now: Mutex::new(now), n_changes: AtomicU64::new(0) }
    }
}

impl Detectors {
    /// What the owner says. A choice whose model is missing or damaged becomes the usual one, with a sentence; said
    /// again, its model is looked for again.
    pub fn set(&self, which: admission::Detector, models: &Path) {
        let mut now = self.lock();
        if now.wish == Some(which) {
            return;
        }
        let (silero, sentence) = match which {
            admission::Detector::Earshot => (None, String::new()),
            admission::Detector::Silero => match silero(models) {
                Ok(weights) => (Some(Arc::new(weights)), String::new()),
                Err(why) => (None, format!("{why}; earshot tells voice from other sound instead")),
            },
        };
        // What comes to the same as before changes nothing for who listens.
        let is_another = silero.is_some() || now.silero.is_some();
        *now = Now { wish: sentence.is_empty().then_some(which), silero, sentence };
        self.n_changes.fetch_add(u64::from(is_another), Ordering::Release);
    }

    /// Why it is not the owner's choice; empty where it is.
    pub fn sentence(&self) -> String {
        self.lock().sentence.clone()
    }

    /// A detector for one conversation.
    pub fn listen(self: &Arc<Self>) -> Box<dyn Detector> {
        Box::new(Following { n_changes: u64::MAX, own: earshot(), of: self.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Becomes another when the choice does.
struct Following {
    of: Arc<Detectors>,
    n_changes: u64,
    own: Box<dyn Detector>,
}

impl Detector for Following {
    fn is_voice(&mut self, frame: &[i16; FRAME]) -> bool {
        let n_changes = self.of.n_changes.load(Ordering::Acquire);
        if n_changes != self.n_changes {
            self.n_changes = n_changes;
            self.own = match &self.of.lock().silero {
                Some(weights) => Box::new(Windows::new(weights.clone())),
                None => earshot(),
            };
        }
        self.own.is_voice(frame)
    }

    fn reset(&mut self) {
        self.own.reset();
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

/// The first file of the folder that bears its name.
fn silero(models: &Path) -> Result<Weights, String> {
    let file = find(models).ok_or_else(|| {
        format!("no model of Silero's detector (*{SILERO}*.bin) is in {}", models.display())
    })?;
    let mut bytes = vec![];
    let read = File::open(&file).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
    read.map_err(|error| format!("{}: {error}", file.display()))?;
    Weights::read(&bytes).map_err(|error| format!("{}: {error}", file.display()))
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

impl Windows {
    fn new(weights: Arc<Weights>) -> Windows {
        Windows { silero: Silero::new(weights), half: None, was_voice: false }
    }
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
        let detectors = Arc::new(Detectors::default());
        let why = || {
            detectors.set(admission::Detector::Silero, &folder);
            detectors.sentence()
        };
        let end = "; earshot tells voice from other sound instead";
        assert_eq!(
            why(),
            format!("no model of Silero's detector (*silero*.bin) is in {}{end}", folder.display())
        );
        fs::write(folder.join("ggml-silero-v6.bin"), b"no model").unwrap();
        let file = folder.join("ggml-silero-v6.bin");
        assert_eq!(why(), format!("{}: this is no Silero model in ggml's format{end}", file.display()));
        fs::remove_dir_all(&folder).unwrap();
        assert!(!detectors.listen().is_voice(&[0; FRAME]));
        detectors.set(admission::Detector::Earshot, &folder);
        assert_eq!(detectors.sentence(), "");
    }
}
