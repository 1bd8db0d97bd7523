//! A recording, and what is speech of it.

use super::{LISTEN_MS_MAX, QUIET_MS_LEAST};
use crate::pause::{Pauses, Sign};
use crate::{ms, samples};

/// A longer frame is cut off: the hands send 16 to 20 ms.
pub const FRAME_SAMPLES_MAX: usize = samples(100);
/// What is kept of the silence before somebody speaks.
const BEFORE_MS: u32 = 500;
/// When a silence is that long, its beginning is forgotten.
const SILENCE_MS_MAX: u32 = 4000;

#[derive(Debug, Default)]
pub struct Ear {
    pcm: Vec<i16>,
    pauses: Pauses,
}

impl Ear {
    pub fn handle(&mut self, pcm: &[i16], is_voice: bool) -> Option<Sign> {
        let room = samples(LISTEN_MS_MAX).saturating_sub(self.pcm.len());
        let pcm = &pcm[..pcm.len().min(FRAME_SAMPLES_MAX).min(room)];
        self.pcm.extend_from_slice(pcm);
        self.pauses.handle(pcm.len(), is_voice)
    }

    pub fn n_samples(&self) -> usize {
        self.pcm.len()
    }

    /// Nobody spoke so far, and that for long: only the end is kept.
    pub fn forget_old(&mut self) {
        if ms(self.pcm.len()) >= SILENCE_MS_MAX {
            let keep = samples(BEFORE_MS);
            self.pcm.drain(..self.pcm.len() - keep);
            self.pauses = Pauses::default();
            self.pauses.handle(keep, false);
        }
    }

    /// Too short for quiet speech, and nothing louder in it.
    pub fn is_slip(&self) -> bool {
        self.pauses.span().is_none() && ms(self.pcm.len()) < QUIET_MS_LEAST
    }

    /// What was said, with its margins. All of it where the detector heard no voice: it may be wrong.
    pub fn said(&self) -> Vec<i16> {
        match self.pauses.span() {
            Some((from, to)) => self.pcm[from..to].to_vec(),
            None => self.pcm.clone(),
        }
    }

    pub fn into_said(mut self) -> Vec<i16> {
        if let Some((from, to)) = self.pauses.span() {
            self.pcm.truncate(to);
            self.pcm.drain(..from);
        }
        self.pcm
    }
}
