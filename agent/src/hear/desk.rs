//! The one ear of a node, for all who want something heard: conversations here, and neighbours that are busy.
//!
//! One thread owns the one model. What a person waits for comes before what programs ask, and that before guesses; what
//! is being heard for a program or as a guess makes room for a person once. A wish that would wait here, or that this node is
//! slow with, goes to an idle neighbour if that was measured to be faster (`away`).
//! The model is loaded as soon as its file is there, not at the first word: neighbours choose by how fast a node was
//! measured to be, a damaged file is told before anybody speaks, and the first turn is as fast as all others.
//! Nothing here names whisper: who hears is handed in, so that the desk is tested without a model.

mod file;
pub(super) mod load;
pub(super) mod queue;
#[cfg(test)]
mod tests;
mod work;

use super::away::{Away, Neighbours};
use super::detect::{Detector, Detectors};
use super::letter::SAMPLES_MAX;
use crate::talk::parts::{Hear, HearEnd, HearJob};
use crate::talk::tongue;
use load::Load;
use queue::{Queue, Wish};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// More threads than this gain nothing for small models.
const THREADS_MAX: usize = 4;

/// A model that is loaded.
pub trait OpenEar: Send {
    /// `stop` is asked between the steps.
    fn hear(&mut self, pcm: &[i16], how: &How, stop: &dyn Fn() -> bool) -> Result<Text, Miss>;

    fn set_hot_words(&mut self, words: &[String]);

    /// The languages that it understands.
    fn languages(&self) -> Vec<String>;
}

/// Opens a model file: the ear, or a sentence on what is wrong with the file.
pub type Opener = Box<dyn Fn(&Path) -> Result<Box<dyn OpenEar>, String> + Send>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct How {
    pub language: String,
    pub threads: usize,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Text {
    pub text: String,
    pub cpu_s: f64,
    pub audio_ctx: usize,
    pub was_doubted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Miss {
    Stopped,
    Failed(String),
}

/// How far the model has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Readiness {
    #[default]
    Absent,
    Loading,
    Ready,
    Failed,
}

/// What the page shows, and what others are told.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct HearingStatus {
    pub readiness: Readiness,
    /// For a person, also on what is wrong.
    pub sentence: String,
    pub model: String,
    pub language: String,
    /// Those that the model understands; none while there is no model.
    #[serde(skip)]
    pub languages: Vec<String>,
    /// Why it is not the detector that the owner chose; empty where it is.
    pub detector: String,
    pub queued: usize,
    pub is_busy: bool,
    /// Thousandths of a second of work for a second of sound, silence at its end included; 0 before the first.
    pub milli: u32,
    pub n_heard: u64,
    pub n_doubted: u64,
    /// Heard by neighbours for this node, sent there in vain, and heard here for neighbours.
    pub n_away: u64,
    pub n_came_back: u64,
    pub n_for_others: u64,
    pub n_refused: u64,
}

/// What the owner says of hearing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Folder of models.
    pub models: PathBuf,
    /// A file there, or `pocketsphinx`; without a name the first that can be opened.
    pub model: Option<String>,
    pub language: String,
    /// Where an image that has pocketsphinx has it.
    pub sphinx: Option<PathBuf>,
}

pub struct Desk {
    shared: Arc<Shared>,
    away: Away,
    detectors: Arc<Detectors>,
}

struct Shared {
    inner: Mutex<Inner>,
    woken: Condvar,
}

struct Inner {
    queue: Queue,
    load: Load,
    wanted: Wanted,
    hot_words: Vec<String>,
    /// Hot words are others than those that the model has.
    has_new_words: bool,
    status: HearingStatus,
    is_over: bool,
}

impl Desk {
    /// Starts the thread that hears and the one that asks neighbours.
    pub fn start(wanted: Wanted, open: Opener, neighbours: Box<dyn Neighbours>) -> std::io::Result<Desk> {
        let inner = Inner {
            queue: Queue::default(),
            load: Load::default(),
            wanted,
            hot_words: vec![],
            has_new_words: false,
            // Until the thread has looked, a wish waits.
            status: HearingStatus { readiness: Readiness::Loading, ..HearingStatus::default() },
            is_over: false,
        };
        let shared = Arc::new(Shared { inner: Mutex::new(inner), woken: Condvar::new() });
        let (worker, back) = (shared.clone(), shared.clone());
        std::thread::Builder::new().name("hear".into()).spawn(move || work::run(&worker, &open))?;
        let away = Away::start(neighbours, move |wish, end| back.is_back(wish, end))?;
        Ok(Desk { shared, away, detectors: Arc::default() })
    }

    /// What the owner says from now on. Another model is loaded, another language holds from the next wish on.
    pub fn set(&self, wanted: Wanted) {
        let mut inner = self.shared.lock();
        if inner.wanted != wanted {
            inner.wanted = wanted;
            self.shared.woken.notify_all();
        }
    }

    /// Who tells voice from other sound, from the next frame on.
    pub fn set_detector(&self, which: admission::Detector) {
        let models = self.shared.lock().wanted.models.clone();
        self.detectors.set(which, &models);
    }

    /// A detector for one conversation.
    pub fn detector(&self) -> Box<dyn Detector> {
        self.detectors.listen()
    }

    /// Names of nodes, rooms and experts, as people say them.
    pub fn set_hot_words(&self, names: impl IntoIterator<Item = String>) {
        let words = super::hot::sayable(names);
        let mut inner = self.shared.lock();
        if inner.hot_words != words {
            inner.hot_words = words;
            inner.has_new_words = true;
            self.shared.woken.notify_all();
        }
    }

    pub fn status(&self) -> HearingStatus {
        let inner = self.shared.lock();
        HearingStatus {
            queued: inner.queue.len(),
            is_busy: inner.load.is_busy(),
            milli: inner.load.milli(),
            language: inner.wanted.language.clone(),
            detector: self.detectors.sentence(),
            ..inner.status.clone()
        }
    }

    /// A neighbour's wish: taken only while this node has nothing else to hear, and never sent on.
    pub fn hear_for_another(&self, job: HearJob) -> Result<(), Refusal> {
        let mut inner = self.shared.lock();
        let is_free = inner.queue.is_empty() && !inner.load.is_busy();
        if !is_free || inner.status.readiness != Readiness::Ready {
            inner.status.n_refused += 1;
            return Err(if is_free { Refusal::NoModel } else { Refusal::Busy });
        }
        inner.status.n_for_others += 1;
        // There is room: nobody waits.
        inner.queue.push(Wish::new(job));
        self.shared.woken.notify_all();
        Ok(())
    }
}

/// Why a neighbour's wish is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Busy,
    NoModel,
}

impl Hear for Desk {
    fn hear(&self, mut job: HearJob) {
        job.pcm.truncate(SAMPLES_MAX);
        let n_samples = job.pcm.len();
        let (here_s, language) = {
            let inner = self.shared.lock();
            let language = job.language.clone().unwrap_or_else(|| inner.wanted.language.clone());
            let is_ready = inner.status.readiness == Readiness::Ready;
            let is_able = is_ready && inner.lacks(&language).is_none();
            // Without a model for it, it would never be heard here, so any neighbour is faster.
            let here_s = if is_able { inner.load.until_heard_s(n_samples, &inner.queue) } else { f64::MAX };
            (here_s, language)
        };
        let mut wish = Wish::new(job);
        if let Some(plan) = self.away.plan(n_samples, here_s) {
            match self.away.send(wish, plan, language) {
                None => return,
                Some(refused) => wish = refused,
            }
        }
        self.shared.push(wish);
    }

    fn languages(&self) -> Vec<String> {
        self.shared.lock().status.languages.clone()
    }
}

impl Inner {
    /// The sentence for a language that the model does not understand.
    fn lacks(&self, language: &str) -> Option<String> {
        tongue::check("hears", language, &self.status.languages).err()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.shared.woken.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a wish, or says at once why nothing will come of it.
    fn push(&self, wish: Wish) {
        let mut inner = self.lock();
        let lacks = wish.job.language.as_deref().and_then(|language| inner.lacks(language));
        let (refused, why) = match inner.status.readiness {
            Readiness::Ready if lacks.is_some() => (Some(wish), lacks.unwrap_or_default()),
            Readiness::Ready | Readiness::Loading => (inner.queue.push(wish), queue::FULL.to_owned()),
            Readiness::Absent | Readiness::Failed => (Some(wish), inner.status.sentence.clone()),
        };
        inner.status.n_refused += u64::from(refused.is_some());
        self.woken.notify_all();
        // Whoever is called back may ask for more.
        drop(inner);
        if let Some(wish) = refused {
            wish.end(HearEnd::failed(why));
        }
    }

    /// What came of a wish that was sent away: its end, or it is heard here after all.
    fn is_back(&self, mut wish: Wish, end: Option<HearEnd>) {
        if wish.job.stop.is_stopped() {
            return;
        }
        match end {
            Some(end) => {
                self.lock().status.n_away += 1;
                wish.end(end);
            }
            None => {
                self.lock().status.n_came_back += 1;
                // It has waited already.
                wish.is_first = true;
                self.push(wish);
            }
        }
    }
}

impl HearEnd {
    /// Nothing was heard, and why.
    pub fn failed(why: impl Into<String>) -> HearEnd {
        HearEnd {
            text: Err(why.into()),
            elsewhere: None,
            waited_s: 0.0,
            worked_s: 0.0,
            cpu_s: 0.0,
            audio_ctx: 0,
            was_doubted: false,
        }
    }
}
