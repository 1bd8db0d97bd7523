//! What is to be played, in order, and what of it has left: pure, at the card's own rate.
//!
//! Clauses are put on it piece by piece, as they are made; `fill` takes sound off it, and notes where a clause begins
//! and ends. When the card says that so much has left, those marks that lie before are told.
//! Earcons are laid over what is there: they wait for nobody.

use super::earcon;
use super::loudness::Gain;
use super::rate::Resampler;
use crate::talk::parts::{ANNOUNCEMENTS, Event};
use std::collections::VecDeque;
use voice::turn::Earcon;

/// Sound that waits. The talk gives a clause or two ahead, so this is a fault of somebody's, and what is more is lost.
pub const WAITING_SECONDS_MAX: u32 = 120;
/// Earcons that sound at once.
const EARCONS_MAX: usize = 4;

/// What a conversation wants of its speaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    Play { turn: u32, clause_idx: u32, rate: u32, pcm: Vec<i16> },
    End { turn: u32, clause_idx: u32 },
    Hush { turn: u32 },
    Earcon(Earcon),
    Volume(u8),
}

#[derive(Debug)]
struct Clause {
    turn: u32,
    clause_idx: u32,
    stream: Option<(u32, Resampler)>,
    pcm: Vec<i16>,
    /// What of it was taken.
    at: usize,
    is_whole: bool,
}

/// An earcon, and what of it was taken.
#[derive(Debug)]
struct Laid {
    earcon: Earcon,
    pcm: Vec<i16>,
    at: usize,
}

/// A place in all that was ever taken, and what is to be told when it has left.
#[derive(Debug)]
struct Mark {
    place: u64,
    turn: u32,
    event: Event,
}

#[derive(Debug)]
pub struct Tape {
    rate: u32,
    gain: Gain,
    clauses: VecDeque<Clause>,
    earcons: Vec<Laid>,
    marks: VecDeque<Mark>,
    /// Samples taken since the beginning.
    n_taken: u64,
    /// The last of them that was no silence.
    n_taken_loud: u64,
    /// Of turns and of announcements: up to here nothing is wanted.
    hushed: [Option<u32>; 2],
}

impl Tape {
    pub fn new(rate: u32, volume: u8) -> Tape {
        Tape {
            rate,
            gain: Gain::new(rate, volume),
            clauses: VecDeque::new(),
            earcons: Vec::new(),
            marks: VecDeque::new(),
            n_taken: 0,
            n_taken_loud: 0,
            hushed: [None; 2],
        }
    }

    pub fn handle(&mut self, wish: Wish) {
        match wish {
            Wish::Play { turn, clause_idx, rate, pcm } => self.play(turn, clause_idx, rate, &pcm),
            Wish::End { turn, clause_idx } => self.end(turn, clause_idx),
            Wish::Hush { turn } => self.hush(turn),
            Wish::Earcon(earcon) if self.earcons.len() < EARCONS_MAX => {
                self.earcons.push(Laid { earcon, pcm: earcon::samples(earcon, self.rate), at: 0 });
            }
            Wish::Earcon(_) => {}
            Wish::Volume(percent) => self.gain.set(percent),
        }
    }

    /// Whether `fill` would give more than silence now.
    pub fn has_sound(&self) -> bool {
        let first = self.clauses.front();
        !self.earcons.is_empty()
            || first.is_some_and(|clause| clause.is_whole || clause.at < clause.pcm.len())
    }

    /// Whether more will come, or something was taken and is not yet told.
    pub fn is_busy(&self) -> bool {
        !self.clauses.is_empty() || !self.earcons.is_empty() || !self.marks.is_empty()
    }

    pub fn n_taken(&self) -> u64 {
        self.n_taken
    }

    pub fn n_taken_loud(&self) -> u64 {
        self.n_taken_loud
    }

    /// The next sound, silence where there is none.
    pub fn fill(&mut self, out: &mut [i16]) {
        let n_speech = self.fill_speech(out);
        let n_earcon = self.mix_earcons(out);
        self.gain.apply(out);
        let n_loud = n_speech.max(n_earcon);
        if n_loud > 0 {
            self.n_taken_loud = self.n_taken + n_loud as u64;
        }
        self.n_taken += out.len() as u64;
    }

    /// So many samples of all that was taken have left: what there is to tell of it.
    pub fn left(&mut self, n_left: u64) -> Option<Event> {
        if self.marks.front()?.place > n_left {
            return None;
        }
        self.marks.pop_front().map(|mark| mark.event)
    }

    /// The last `n` samples that were taken never leave: the card drops them.
    pub fn discarded(&mut self, n: usize) {
        self.marks.clear();
        for laid in &mut self.earcons {
            laid.at = laid.at.saturating_sub(n);
        }
    }

    fn play(&mut self, turn: u32, clause_idx: u32, rate: u32, pcm: &[i16]) {
        let waiting: usize = self.clauses.iter().map(|clause| clause.pcm.len() - clause.at).sum();
        let room = (WAITING_SECONDS_MAX * self.rate) as usize;
        let to = self.rate;
        let Some(clause) = self.clause(turn, clause_idx) else { return };
        if waiting + pcm.len() > room || pcm.is_empty() {
            return;
        }
        if clause.stream.as_ref().is_none_or(|(of, _)| *of != rate) {
            finish(clause);
            clause.stream = Resampler::new(rate, to).map(|stream| (rate, stream));
        }
        if let Some((_, stream)) = &mut clause.stream {
            stream.push(pcm, &mut clause.pcm);
        }
    }

    fn end(&mut self, turn: u32, clause_idx: u32) {
        if let Some(clause) = self.clause(turn, clause_idx) {
            finish(clause);
            clause.is_whole = true;
        }
    }

    /// The clause that is being made, a new one if it is the first that is heard of it, none if nobody wants it.
    fn clause(&mut self, turn: u32, clause_idx: u32) -> Option<&mut Clause> {
        if self.hushed.iter().flatten().any(|hushed| is_over(turn, *hushed)) {
            return None;
        }
        let is_it =
            |clause: &Clause| (clause.turn, clause.clause_idx) == (turn, clause_idx) && !clause.is_whole;
        if !self.clauses.back().is_some_and(is_it) {
            // Whoever begins the next has ended the last.
            if let Some(last) = self.clauses.back_mut() {
                finish(last);
                last.is_whole = true;
            }
            let stream = None;
            self.clauses.push_back(Clause {
                turn,
                clause_idx,
                stream,
                pcm: Vec::new(),
                at: 0,
                is_whole: false,
            });
        }
        self.clauses.back_mut()
    }

    fn hush(&mut self, turn: u32) {
        let hushed = &mut self.hushed[usize::from(turn >= ANNOUNCEMENTS)];
        *hushed = (*hushed).max(Some(turn));
        self.clauses.retain(|clause| !is_over(clause.turn, turn));
        self.marks.retain(|mark| !is_over(mark.turn, turn));
        self.earcons.retain(|laid| laid.earcon != Earcon::Thinking);
    }

    fn fill_speech(&mut self, out: &mut [i16]) -> usize {
        out.fill(0);
        let mut n_out = 0;
        while let Some(clause) = self.clauses.front_mut() {
            let n = (clause.pcm.len() - clause.at).min(out.len() - n_out);
            let (turn, clause_idx) = (clause.turn, clause.clause_idx);
            let place = self.n_taken + n_out as u64;
            if clause.at == 0 && n > 0 {
                let event = Event::Sounding { turn, clause_idx };
                self.marks.push_back(Mark { place: place + 1, turn, event });
            }
            out[n_out..n_out + n].copy_from_slice(&clause.pcm[clause.at..clause.at + n]);
            clause.at += n;
            n_out += n;
            if clause.at < clause.pcm.len() || !clause.is_whole {
                break;
            }
            let event = Event::Spoken { turn, clause_idx };
            self.marks.push_back(Mark { place: place + n as u64, turn, event });
            self.clauses.pop_front();
        }
        n_out
    }

    fn mix_earcons(&mut self, out: &mut [i16]) -> usize {
        let mut n_loud = 0;
        for laid in &mut self.earcons {
            let n = (laid.pcm.len() - laid.at).min(out.len());
            for (out, sample) in out.iter_mut().zip(&laid.pcm[laid.at..]) {
                *out = out.saturating_add(*sample);
            }
            laid.at += n;
            n_loud = n_loud.max(n);
        }
        self.earcons.retain(|laid| laid.at < laid.pcm.len());
        n_loud
    }
}

/// Whether a hush means this turn too: numbers of turns only grow, and so do those of announcements.
fn is_over(turn: u32, hushed: u32) -> bool {
    turn <= hushed && (turn >= ANNOUNCEMENTS) == (hushed >= ANNOUNCEMENTS)
}

/// What the resampler held back belongs to the clause.
fn finish(clause: &mut Clause) {
    if let Some((_, mut stream)) = clause.stream.take() {
        stream.finish(&mut clause.pcm);
    }
}

#[cfg(test)]
mod tests;
