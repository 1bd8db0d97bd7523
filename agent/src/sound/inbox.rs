//! The way from a conversation to the thread of its speaker: nobody waits on either side.

use super::tape::{WAITING_SECONDS_MAX, Wish};
use crate::talk::parts::Speaker;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use voice::turn::Earcon;

/// Samples that wait for the thread, which takes all of them every few milliseconds.
const SAMPLES_MAX: usize = WAITING_SECONDS_MAX as usize * 48_000;
/// Pieces, earcons and volumes that wait; what ends or hushes a clause is never lost.
const WISHES_MAX: usize = 4096;

#[derive(Debug, Default)]
struct Letters {
    wishes: VecDeque<Wish>,
    n_samples: usize,
    n_lost: u64,
    is_closed: bool,
    was_called: bool,
}

/// What waits for the thread of a speaker.
#[derive(Debug, Default)]
pub struct Inbox {
    letters: Mutex<Letters>,
    came: Condvar,
}

impl Inbox {
    fn letters(&self) -> MutexGuard<'_, Letters> {
        // Whoever panicked has pushed or taken whole wishes.
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn put(&self, wish: Wish) {
        let mut letters = self.letters();
        let n_samples = if let Wish::Play { pcm, .. } = &wish { pcm.len() } else { 0 };
        let may_be_lost = !matches!(wish, Wish::End { .. } | Wish::Hush { .. });
        let is_full = letters.wishes.len() >= WISHES_MAX || letters.n_samples + n_samples > SAMPLES_MAX;
        if may_be_lost && is_full {
            letters.n_lost += 1;
            return;
        }
        letters.n_samples += n_samples;
        letters.wishes.push_back(wish);
        drop(letters);
        self.came.notify_one();
    }

    pub fn take(&self) -> VecDeque<Wish> {
        let mut letters = self.letters();
        letters.n_samples = 0;
        std::mem::take(&mut letters.wishes)
    }

    /// Until there is a wish, a call or no time left.
    pub fn wait(&self, timeout: Duration) {
        let letters = self.letters();
        let nothing = |letters: &mut Letters| {
            letters.wishes.is_empty() && !letters.is_closed && !std::mem::take(&mut letters.was_called)
        };
        drop(self.came.wait_timeout_while(letters, timeout, nothing));
    }

    /// Something else than a wish has changed.
    pub fn call(&self) {
        self.letters().was_called = true;
        self.came.notify_one();
    }

    /// The thread is to end.
    pub fn close(&self) {
        self.letters().is_closed = true;
        self.came.notify_one();
    }

    pub fn is_closed(&self) -> bool {
        self.letters().is_closed
    }

    /// Pieces that found no room.
    pub fn n_lost(&self) -> u64 {
        self.letters().n_lost
    }
}

/// A conversation's end of it.
#[derive(Debug, Clone, Default)]
pub struct Mouthpiece(pub(super) Arc<Inbox>);

impl Mouthpiece {
    /// 0 to 100.
    pub fn set_volume(&self, percent: u8) {
        self.0.put(Wish::Volume(percent));
    }
}

impl Speaker for Mouthpiece {
    fn play(&mut self, turn: u32, clause_idx: u32, rate: u32, pcm: &[i16]) {
        self.0.put(Wish::Play { turn, clause_idx, rate, pcm: pcm.to_vec() });
    }

    fn end(&mut self, turn: u32, clause_idx: u32) {
        self.0.put(Wish::End { turn, clause_idx });
    }

    fn hush(&mut self, turn: u32) {
        self.0.put(Wish::Hush { turn });
    }

    fn earcon(&mut self, earcon: Earcon) {
        self.0.put(Wish::Earcon(earcon));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_inbox_loses_sound_and_no_end() {
        let mut mouth = Mouthpiece::default();
        for _ in 0..WISHES_MAX + 10 {
            mouth.play(1, 0, 22_050, &[1]);
        }
        mouth.end(1, 0);
        mouth.hush(1);
        let wishes = mouth.0.take();
        assert_eq!((wishes.len(), mouth.0.n_lost()), (WISHES_MAX + 2, 10));
        assert_eq!(wishes.back(), Some(&Wish::Hush { turn: 1 }));
    }

    #[test]
    fn a_piece_that_is_too_long_is_lost_alone() {
        let mut mouth = Mouthpiece::default();
        mouth.play(1, 0, 22_050, &vec![0; SAMPLES_MAX + 1]);
        mouth.play(1, 0, 22_050, &[7]);
        assert_eq!((mouth.0.take().len(), mouth.0.n_lost()), (1, 1));
    }
}
