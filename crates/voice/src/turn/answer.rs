//! An answer that comes in words and goes out in clauses.

use super::Outcome;
use crate::clause::{Clause, Cutter};
use std::time::Duration;

/// Until the first word: a model that is cut over nodes reads a long prompt slowly.
pub const FIRST_WORD_MAX: Duration = Duration::from_secs(90);
/// Between two words.
pub const WORD_MAX: Duration = Duration::from_secs(30);
/// Until a clause that can be spoken is: the longest takes 20 s.
pub const SPEAK_MAX: Duration = Duration::from_secs(60);
/// Twenty minutes of speech. Nobody listens to more.
pub const ANSWER_BYTES_MAX: usize = 16 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Coming,
    Ended,
    Failed,
}

#[derive(Debug)]
pub struct Answer {
    cutter: Cutter,
    source: Source,
    n_bytes: usize,
    n_said: u32,
    n_spoken: u32,
    /// There is no speaker: what is said counts as spoken.
    is_mute: bool,
    /// When something last happened.
    moved: Duration,
}

impl Answer {
    pub fn new(now: Duration) -> Answer {
        Answer {
            cutter: Cutter::default(),
            source: Source::Coming,
            n_bytes: 0,
            n_said: 0,
            n_spoken: 0,
            is_mute: false,
            moved: now,
        }
    }

    pub fn words(&mut self, now: Duration, words: &str) {
        if self.source == Source::Coming && !self.is_overlong() {
            self.moved = now;
            let words = super::cut(words, ANSWER_BYTES_MAX);
            self.n_bytes += words.len();
            self.cutter.push(words);
        }
    }

    pub fn ended(&mut self, now: Duration) {
        self.end(now, Source::Ended);
    }

    pub fn failed(&mut self, now: Duration) {
        self.end(now, Source::Failed);
    }

    fn end(&mut self, now: Duration, source: Source) {
        if self.source == Source::Coming {
            self.moved = now;
            self.source = source;
        }
    }

    /// Clauses are spoken in order, so this one and all before it.
    pub fn spoken(&mut self, now: Duration, clause_idx: u32) {
        if clause_idx < self.n_said {
            self.moved = now;
            self.n_spoken = self.n_spoken.max(clause_idx + 1);
        }
    }

    pub fn mute(&mut self, now: Duration) {
        self.moved = now;
        self.is_mute = true;
        self.n_spoken = self.n_said;
    }

    pub fn alive(&mut self, now: Duration) {
        self.moved = now;
    }

    /// The next clause to be said. A mute answer has its clauses too: the page shows them.
    pub fn poll(&mut self) -> Option<(u32, Clause)> {
        let clause = match self.source {
            Source::Coming => self.cutter.poll(),
            Source::Ended | Source::Failed => self.cutter.finish(),
        }?;
        self.n_said += 1;
        if self.is_mute {
            self.n_spoken = self.n_said;
        }
        Some((self.n_said - 1, clause))
    }

    pub fn n_said(&self) -> u32 {
        self.n_said
    }

    pub fn n_bytes(&self) -> usize {
        self.n_bytes
    }

    pub fn is_coming(&self) -> bool {
        self.source == Source::Coming
    }

    /// Longer than anybody listens to, and still coming.
    pub fn is_overlong(&self) -> bool {
        self.source == Source::Coming && self.n_bytes >= ANSWER_BYTES_MAX
    }

    /// How it ended, if it is over.
    pub fn outcome(&self) -> Option<Outcome> {
        match self.source {
            Source::Coming => None,
            Source::Ended | Source::Failed if self.n_said == 0 => Some(Outcome::NoAnswer),
            _ if self.n_spoken < self.n_said => None,
            Source::Ended => Some(Outcome::Answered),
            Source::Failed => Some(Outcome::CutShort),
        }
    }

    /// Whom to blame when its time is up.
    pub fn too_slow(&self) -> Outcome {
        match self.source {
            Source::Coming if self.n_said == 0 => Outcome::NoAnswer,
            Source::Coming if self.n_spoken == self.n_said => Outcome::CutShort,
            _ => Outcome::NotSpoken,
        }
    }

    pub fn deadline(&self) -> Duration {
        let wait = match self.source {
            _ if self.n_spoken < self.n_said => SPEAK_MAX,
            Source::Coming if self.n_bytes == 0 => FIRST_WORD_MAX,
            _ => WORD_MAX,
        };
        self.moved + wait
    }
}
