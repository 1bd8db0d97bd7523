//! A clause on its way to sound, and whoever listens to it.

use crate::talk::parts::{Sound, SpeakJob, Stop};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

type Sink = Box<dyn FnMut(Sound<'_>) + Send>;

/// Whoever waits for the sound. The thread that speaks tells it, and the one that watches where the first one hangs.
#[derive(Clone)]
pub struct Listener {
    sink: Arc<Mutex<Option<Sink>>>,
    stop: Stop,
}

impl Listener {
    pub fn is_gone(&self) -> bool {
        self.stop.is_stopped()
    }

    /// Says whether more is wanted.
    pub fn piece(&self, rate: u32, pcm: &[i16]) -> bool {
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        match sink.as_mut().filter(|_| !self.is_gone()) {
            Some(sink) => sink(Sound::Piece { rate, pcm }),
            None => return false,
        }
        !self.is_gone()
    }

    /// What comes last, unless it was told already or nobody waits.
    pub fn last(&self, sound: Sound<'_>) {
        let sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut sink) = sink.filter(|_| !self.is_gone()) {
            sink(sound);
        }
    }

    /// Whether it is being told a piece right now.
    pub fn is_busy(&self) -> bool {
        matches!(self.sink.try_lock(), Err(TryLockError::WouldBlock))
    }
}

pub struct Job {
    pub text: String,
    pub voice: Option<String>,
    pub listener: Listener,
}

impl Job {
    /// The talk and what is to be said for it.
    pub fn of(job: SpeakJob) -> (u64, Job) {
        let listener = Listener { sink: Arc::new(Mutex::new(Some(job.sink))), stop: job.stop };
        (job.talk, Job { text: job.text, voice: job.voice, listener })
    }
}
