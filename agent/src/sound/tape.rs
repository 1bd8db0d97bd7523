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
mod tests {
    use super::*;

    const RATE: u32 = 8_000;

    fn tape(wishes: &[Wish]) -> Tape {
        let mut tape = Tape::new(RATE, 100);
        wishes.iter().cloned().for_each(|wish| tape.handle(wish));
        tape
    }

    fn play(turn: u32, clause_idx: u32, pcm: &[i16]) -> Wish {
        Wish::Play { turn, clause_idx, rate: RATE, pcm: pcm.to_vec() }
    }

    fn end(turn: u32, clause_idx: u32) -> Wish {
        Wish::End { turn, clause_idx }
    }

    /// Takes sample by sample, each of which leaves at once: `7 s1.0 8 9 e1.0` with the places of what is told.
    fn story(mut tape: Tape, n: usize) -> String {
        let mut told = vec![];
        for _ in 0..n {
            let mut out = [0];
            tape.fill(&mut out);
            told.push(out[0].to_string());
            while let Some(event) = tape.left(tape.n_taken()) {
                told.push(match event {
                    Event::Sounding { turn, clause_idx } => format!("s{turn}.{clause_idx}"),
                    Event::Spoken { turn, clause_idx } => format!("e{turn}.{clause_idx}"),
                    other => format!("{other:?}"),
                });
            }
        }
        told.join(" ")
    }

    #[track_caller]
    fn check(wishes: &[Wish], n: usize, want: &str) {
        assert_eq!(story(tape(wishes), n), want);
    }

    #[test]
    fn a_clause_is_told_at_its_first_and_its_last_sample() {
        check(&[play(1, 0, &[7, 8]), play(1, 0, &[9]), end(1, 0)], 4, "7 s1.0 8 9 e1.0 0");
    }

    #[test]
    fn clauses_follow_without_a_gap() {
        let two = [play(1, 0, &[7]), end(1, 0), play(1, 1, &[8, 9]), end(1, 1)];
        check(&two, 4, "7 s1.0 e1.0 8 s1.1 9 e1.1 0");
    }

    #[test]
    fn a_clause_that_is_not_whole_waits_in_silence() {
        let mut tape = tape(&[play(1, 0, &[7])]);
        let mut out = [1; 3];
        tape.fill(&mut out);
        assert_eq!((out, tape.has_sound(), tape.is_busy()), ([7, 0, 0], false, true));
        tape.handle(play(1, 0, &[8]));
        tape.handle(end(1, 0));
        assert_eq!(story(tape, 2), "8 s1.0 e1.0 0");
    }

    #[test]
    fn a_clause_without_sound_is_spoken_at_once() {
        check(&[end(1, 0), play(1, 1, &[5]), end(1, 1)], 2, "5 e1.0 s1.1 e1.1 0");
        check(&[play(1, 0, &[]), end(1, 0)], 1, "0 e1.0");
    }

    #[test]
    fn whoever_begins_the_next_clause_has_ended_the_last() {
        check(&[play(1, 0, &[7]), play(1, 1, &[8]), end(1, 1)], 2, "7 s1.0 e1.0 8 s1.1 e1.1");
    }

    #[test]
    fn hush_silences_the_turn_for_ever_and_no_later_one() {
        let hush = Wish::Hush { turn: 1 };
        check(&[play(1, 0, &[7, 8]), end(1, 0), hush.clone(), play(1, 1, &[9]), end(1, 1)], 2, "0 0");
        check(&[play(1, 0, &[7]), end(1, 0), play(2, 0, &[8]), end(2, 0), hush], 1, "8 s2.0 e2.0");
    }

    #[test]
    fn a_hushed_announcement_silences_no_turn_and_no_later_announcement() {
        let (ring, again) = (ANNOUNCEMENTS | 1, ANNOUNCEMENTS | 2);
        let hush = Wish::Hush { turn: ring };
        check(&[play(ring, 0, &[7]), hush.clone(), play(5, 0, &[8]), end(5, 0)], 2, "8 s5.0 e5.0 0");
        check(&[hush.clone(), play(ring, 0, &[7]), end(ring, 0)], 1, "0");
        let later = format!("9 s{again}.0 e{again}.0");
        check(&[hush, Wish::Hush { turn: 5 }, play(again, 0, &[9]), end(again, 0)], 1, &later);
    }

    #[test]
    fn what_was_taken_of_a_hushed_turn_is_not_told() {
        let mut tape = tape(&[play(1, 0, &[7]), end(1, 0)]);
        tape.fill(&mut [0]);
        tape.handle(Wish::Hush { turn: 1 });
        assert!(tape.left(u64::MAX).is_none() && !tape.is_busy());
    }

    #[test]
    fn an_earcon_sounds_over_speech_and_does_not_delay_it() {
        let mut tape = tape(&[play(1, 0, &[100; 400]), end(1, 0), Wish::Earcon(Earcon::Listening)]);
        let mut out = [0; 400];
        tape.fill(&mut out);
        assert!(out.iter().any(|sample| *sample > 5_000));
        assert!(matches!(tape.left(1), Some(Event::Sounding { turn: 1, clause_idx: 0 })));
        assert!(matches!(tape.left(400), Some(Event::Spoken { .. })));
    }

    #[test]
    fn an_earcon_goes_on_where_the_card_dropped_it() {
        let mut tape = tape(&[Wish::Earcon(Earcon::Error)]);
        let (mut first, mut again) = ([0; 200], [0; 150]);
        tape.fill(&mut first);
        tape.discarded(150);
        tape.fill(&mut again);
        assert_eq!(first[50..], again);
    }

    #[test]
    fn nobody_thinks_after_a_hush() {
        let tape = tape(&[Wish::Earcon(Earcon::Thinking), Wish::Hush { turn: 1 }]);
        assert!(!tape.has_sound());
    }

    #[test]
    fn a_rate_that_no_card_has_is_silence_and_an_end() {
        check(&[Wish::Play { turn: 1, clause_idx: 0, rate: 7, pcm: vec![9; 5] }, end(1, 0)], 1, "0 e1.0");
    }

    #[test]
    fn what_nobody_could_wait_for_is_lost_and_its_end_is_told() {
        let piece = vec![1; RATE as usize];
        let mut tape = tape(&[]);
        for _ in 0..WAITING_SECONDS_MAX + 5 {
            tape.handle(play(1, 0, &piece));
        }
        tape.handle(end(1, 0));
        let mut out = vec![0; (RATE * (WAITING_SECONDS_MAX + 5)) as usize];
        tape.fill(&mut out);
        assert_eq!(tape.n_taken_loud(), u64::from(RATE * WAITING_SECONDS_MAX));
        assert!(matches!(tape.left(u64::MAX), Some(Event::Sounding { .. })));
        assert!(matches!(tape.left(u64::MAX), Some(Event::Spoken { .. })));
    }
}
