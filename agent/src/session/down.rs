//! What goes down to a remote speaker, and when it sounds there.
//!
//! The conversation gives sound faster than it is heard; what a slow wire does not take is lost, not kept. A clause counts
//! as sounding when it is sent. It counts as spoken when the client says so, as our page does; where nobody there tells
//! what was heard, when its time is over.

use serde::Serialize;
use std::collections::VecDeque;
use std::time::Duration;
use voice::turn::Earcon;

/// Of sound that the wire has not taken yet: 23 s at 22.05 kHz.
pub const QUEUE_BYTES_MAX: usize = 1 << 20;
/// Words about it; there is one for each piece of sound and each clause.
pub const QUEUE_MAX: usize = 1024;
/// A client that is to say when it has played a clause is waited for so long beyond the clause's own time.
pub const PLAYED_LATE_MAX: Duration = Duration::from_secs(10);

/// One thing for the client: words of JSON, or sound of the clause that was named last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Down {
    Word(Word),
    Sound(Vec<u8>),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Word {
    /// What follows in binary messages belongs to this clause: 16 bits, little endian, one channel.
    Clause {
        turn: u32,
        clause: u32,
        rate: u32,
    },
    ClauseEnd {
        turn: u32,
        clause: u32,
    },
    /// Silence now, and nothing more of this turn.
    Hush {
        turn: u32,
    },
    Earcon {
        earcon: &'static str,
    },
    /// The microphone is wanted, or no longer.
    Microphone {
        is_wanted: bool,
    },
}

/// What happened to a clause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    Sounding { turn: u32, clause_idx: u32 },
    Spoken { turn: u32, clause_idx: u32 },
}

/// A clause that is on its way.
#[derive(Debug)]
struct Clause {
    turn: u32,
    clause_idx: u32,
    /// When its first sample sounds, and when the last one so far is over.
    begins: Duration,
    ends: Duration,
    is_told: bool,
    is_whole: bool,
    is_played: bool,
}

impl Clause {
    /// When it counts as spoken, once it is whole.
    fn over(&self, tells_played: bool) -> Duration {
        match (tells_played, self.is_played) {
            (true, true) => Duration::ZERO,
            (true, false) => self.ends + PLAYED_LATE_MAX,
            (false, _) => self.ends,
        }
    }
}

/// What waits for the wire, and what sounds. Time is handed in.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: VecDeque<Down>,
    n_bytes: usize,
    clauses: VecDeque<Clause>,
    /// Which clause was named to the client last.
    named: Option<(u32, u32, u32)>,
    n_lost: u64,
    /// The client says what it has played.
    tells_played: bool,
}

impl Queue {
    pub fn new(tells_played: bool) -> Queue {
        Queue { tells_played, ..Queue::default() }
    }

    /// What the client says. It may be wrong: what was not whole was not played.
    pub fn played(&mut self, turn: u32, clause_idx: u32) {
        let is_it = |clause: &&mut Clause| clause.turn == turn && clause.clause_idx == clause_idx;
        if let Some(clause) = self.clauses.iter_mut().find(is_it) {
            clause.is_played |= clause.is_whole;
        }
    }

    pub fn play(&mut self, now: Duration, (turn, clause_idx): (u32, u32), rate: u32, pcm: &[i16]) {
        if rate == 0 {
            return;
        }
        let long = Duration::from_secs_f64(pcm.len() as f64 / f64::from(rate));
        let is_same = |clause: &&mut Clause| clause.turn == turn && clause.clause_idx == clause_idx;
        match self.clauses.back_mut().filter(is_same) {
            Some(clause) => clause.ends = clause.ends.max(now) + long,
            None => {
                let begins = self.clauses.back().map_or(now, |before| before.ends.max(now));
                let (is_told, is_whole, is_played) = (false, false, false);
                self.clauses.push_back(Clause {
                    turn,
                    clause_idx,
                    begins,
                    ends: begins + long,
                    is_told,
                    is_whole,
                    is_played,
                });
            }
        }
        let named = Some((turn, clause_idx, rate));
        if self.named != named {
            self.named = named;
            self.word(Word::Clause { turn, clause: clause_idx, rate });
        }
        if self.n_bytes + 2 * pcm.len() > QUEUE_BYTES_MAX || self.waiting.len() >= QUEUE_MAX {
            self.n_lost += pcm.len() as u64;
            return;
        }
        self.n_bytes += 2 * pcm.len();
        let bytes = pcm.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        self.waiting.push_back(Down::Sound(bytes));
    }

    pub fn end(&mut self, turn: u32, clause_idx: u32) {
        let mut its = self.clauses.iter_mut().filter(|clause| clause.turn == turn);
        if let Some(clause) = its.find(|clause| clause.clause_idx == clause_idx) {
            clause.is_whole = true;
            self.word(Word::ClauseEnd { turn, clause: clause_idx });
        }
    }

    pub fn hush(&mut self, turn: u32) {
        self.clauses.clear();
        self.waiting.retain(|down| {
            !matches!(down, Down::Sound(_) | Down::Word(Word::Clause { .. } | Word::ClauseEnd { .. }))
        });
        (self.n_bytes, self.named) = (0, None);
        self.word(Word::Hush { turn });
    }

    pub fn earcon(&mut self, earcon: Earcon) {
        let earcon = match earcon {
            Earcon::Listening => "listening",
            Earcon::Thinking => "thinking",
            Earcon::Error => "error",
            Earcon::Ring => "ring",
        };
        self.word(Word::Earcon { earcon });
    }

    /// Words are few, and are only lost where nothing is taken at all; the client is then about to be given up.
    /// A hush and what the microphone is to do are not lost even there: the last word of their kind is what holds.
    pub fn word(&mut self, word: Word) {
        if self.waiting.len() >= 2 * QUEUE_MAX {
            if !matches!(word, Word::Hush { .. } | Word::Microphone { .. }) {
                return;
            }
            let kind = std::mem::discriminant(&word);
            let is_same =
                |down: &Down| matches!(down, Down::Word(word) if std::mem::discriminant(word) == kind);
            self.waiting.retain(|down| !is_same(down));
        }
        self.waiting.push_back(Down::Word(word));
    }

    /// The next for the wire.
    pub fn pop(&mut self) -> Option<Down> {
        let down = self.waiting.pop_front()?;
        if let Down::Sound(bytes) = &down {
            self.n_bytes -= bytes.len();
        }
        Some(down)
    }

    /// What was heard by now.
    pub fn heard(&mut self, now: Duration) -> Option<Heard> {
        let tells_played = self.tells_played;
        let clause = self.clauses.front_mut()?;
        let (turn, clause_idx) = (clause.turn, clause.clause_idx);
        if !clause.is_told && clause.begins <= now {
            clause.is_told = true;
            return Some(Heard::Sounding { turn, clause_idx });
        }
        if clause.is_told && clause.is_whole && clause.over(tells_played) <= now {
            self.clauses.pop_front();
            return Some(Heard::Spoken { turn, clause_idx });
        }
        None
    }

    /// When [`Queue::heard`] has more to tell, if nothing comes before.
    pub fn deadline(&self) -> Option<Duration> {
        let clause = self.clauses.front()?;
        if !clause.is_told {
            return Some(clause.begins);
        }
        clause.is_whole.then_some(clause.over(self.tells_played))
    }

    /// Samples that a slow wire did not take.
    pub fn n_lost(&self) -> u64 {
        self.n_lost
    }
}

#[cfg(test)]
mod tests;
