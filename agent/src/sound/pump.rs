//! Keeps a card in sound while there is any, and lets it rest when there is none: the same for every card.
//!
//! A card at rest is open and ready, so the first period of an earcon or an answer leaves as soon as it is written, and
//! the node wakes for nothing in between. While it runs, what was written lies up to `N_PERIODS` ahead of what is heard:
//! so a hush does not wait for it, it tells the card to drop it.

use super::tape::{Tape, Wish};
use crate::talk::parts::Event;
use std::collections::VecDeque;
use std::time::Duration;

/// One writing: as often as the thread wakes while sound is heard.
pub const PERIOD: Duration = Duration::from_millis(8);
/// What a card holds of what was written: a thread that is late by so much is not heard.
pub const N_PERIODS: u32 = 6;
/// After its last sound a card runs on for so long, so that a sentence that follows needs no start.
const REST_AFTER: Duration = Duration::from_millis(400);
/// While only silence leaves, so much is ahead: what comes next is heard that much later.
const SILENCE_PERIODS: usize = 3;

/// A card that plays one channel, or what stands for one.
pub trait Card {
    fn rate(&self) -> u32;

    /// Samples to be written at a time.
    fn period(&self) -> usize;

    /// Waits for room and writes; starts a card at rest.
    fn write(&mut self, pcm: &[i16]) -> Result<(), Gone>;

    /// What was written and has not left.
    fn n_ahead(&mut self) -> usize;

    /// Drops that, and rests until the next writing.
    fn discard(&mut self) -> Result<(), Gone>;
}

/// The card is no more, with a sentence for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone(pub String);

/// When there is something to do again, if nobody wishes anything before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Now: the card says when it has room.
    Write,
    /// Enough is written for now.
    Pause(Duration),
    /// The card rests.
    Rest,
}

#[derive(Debug)]
pub struct Pump {
    tape: Tape,
    period: Vec<i16>,
    is_running: bool,
    must_discard: bool,
    told: VecDeque<Event>,
}

impl Pump {
    pub fn new(card: &dyn Card, volume: u8) -> Pump {
        Pump {
            tape: Tape::new(card.rate(), volume),
            period: vec![0; card.period().max(1)],
            is_running: false,
            must_discard: false,
            told: VecDeque::new(),
        }
    }

    pub fn wish(&mut self, wish: Wish) {
        self.must_discard |= matches!(wish, Wish::Hush { .. }) && self.is_running;
        self.tape.handle(wish);
    }

    pub fn poll(&mut self) -> Option<Event> {
        self.told.pop_front()
    }

    pub fn is_running(&self) -> bool {
        self.is_running
    }

    /// Whether something else than silence was written and has not left, and what of it in samples.
    pub fn n_loud_ahead(&self, n_ahead: usize) -> usize {
        let n_left = self.tape.n_taken().saturating_sub(n_ahead as u64);
        usize::try_from(self.tape.n_taken_loud().saturating_sub(n_left)).unwrap_or(0)
    }

    /// Does the next thing.
    pub fn turn(&mut self, card: &mut dyn Card) -> Result<Next, Gone> {
        if std::mem::take(&mut self.must_discard) {
            self.rest(card)?;
        }
        if self.tape.has_sound() {
            self.write(card)?;
            self.tell(card.n_ahead());
            return Ok(Next::Write);
        }
        if !self.is_running {
            return Ok(Next::Rest);
        }
        let n_ahead = card.n_ahead();
        self.tell(n_ahead);
        let n_quiet = self.tape.n_taken() - self.tape.n_taken_loud();
        let n_rest = REST_AFTER.as_millis() as u64 * u64::from(card.rate()) / 1000;
        if !self.tape.is_busy() && n_quiet.saturating_sub(n_ahead as u64) >= n_rest {
            self.rest(card)?;
            return Ok(Next::Rest);
        }
        if n_ahead > SILENCE_PERIODS * self.period.len() {
            return Ok(Next::Pause(PERIOD));
        }
        self.write(card)?;
        Ok(Next::Write)
    }

    /// So much was written and has not left.
    pub fn tell(&mut self, n_ahead: usize) {
        let n_left = self.tape.n_taken().saturating_sub(n_ahead as u64);
        self.told.extend(std::iter::from_fn(|| self.tape.left(n_left)));
    }

    fn write(&mut self, card: &mut dyn Card) -> Result<(), Gone> {
        self.tape.fill(&mut self.period);
        card.write(&self.period)?;
        self.is_running = true;
        Ok(())
    }

    fn rest(&mut self, card: &mut dyn Card) -> Result<(), Gone> {
        self.is_running = false;
        self.tape.discarded(card.n_ahead());
        card.discard()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use voice::turn::Earcon;

    /// Takes so many writings and is gone then; what is ahead is what the test says.
    struct Faulty {
        n_writes_left: u32,
        n_ahead: usize,
        n_discards: u32,
    }

    impl Card for Faulty {
        fn rate(&self) -> u32 {
            8_000
        }

        fn period(&self) -> usize {
            64
        }

        fn write(&mut self, _: &[i16]) -> Result<(), Gone> {
            self.n_writes_left = self.n_writes_left.checked_sub(1).ok_or_else(|| Gone("unplugged".into()))?;
            Ok(())
        }

        fn n_ahead(&mut self) -> usize {
            self.n_ahead
        }

        fn discard(&mut self) -> Result<(), Gone> {
            self.n_discards += 1;
            Ok(())
        }
    }

    fn card() -> (Faulty, Pump) {
        let card = Faulty { n_writes_left: 100_000, n_ahead: 0, n_discards: 0 };
        let pump = Pump::new(&card, 100);
        (card, pump)
    }

    fn speech(turn: u32) -> [Wish; 2] {
        let pcm = vec![1_000; 256];
        [Wish::Play { turn, clause_idx: 0, rate: 8_000, pcm }, Wish::End { turn, clause_idx: 0 }]
    }

    #[test]
    fn a_card_without_sound_rests_and_is_never_written_to() {
        let (mut card, mut pump) = card();
        card.n_writes_left = 0;
        assert_eq!(pump.turn(&mut card), Ok(Next::Rest));
        pump.wish(Wish::Hush { turn: 1 });
        assert_eq!((pump.turn(&mut card), card.n_discards), (Ok(Next::Rest), 0));
    }

    #[test]
    fn after_its_last_sound_a_card_runs_on_for_a_while_and_rests() {
        let (mut card, mut pump) = card();
        pump.wish(Wish::Earcon(Earcon::Listening));
        let n_turns = (1..1000).find(|_| pump.turn(&mut card) == Ok(Next::Rest)).unwrap();
        // 100 ms of earcon and 400 ms of silence in periods of 8 ms, and the turn that stops it.
        assert_eq!((n_turns, card.n_discards, pump.is_running()), (64, 1, false));
    }

    #[test]
    fn a_card_that_is_slow_to_play_is_not_stopped_before_all_has_left() {
        let (mut card, mut pump) = card();
        speech(1).into_iter().for_each(|wish| pump.wish(wish));
        card.n_ahead = usize::MAX;
        for _ in 0..1000 {
            assert_ne!(pump.turn(&mut card), Ok(Next::Rest));
            assert!(pump.poll().is_none());
        }
        card.n_ahead = 0;
        pump.turn(&mut card).unwrap();
        assert!(matches!(pump.poll(), Some(Event::Sounding { .. })));
        assert!(matches!(pump.poll(), Some(Event::Spoken { .. })));
    }

    #[test]
    fn while_silence_leaves_little_is_written_ahead() {
        let (mut card, mut pump) = card();
        // A clause that is not whole: more will come.
        pump.wish(speech(1)[0].clone());
        (0..4).for_each(|_| _ = pump.turn(&mut card).unwrap());
        card.n_ahead = 4 * 64;
        assert_eq!(pump.turn(&mut card), Ok(Next::Pause(PERIOD)));
        card.n_ahead = 3 * 64;
        assert_eq!(pump.turn(&mut card), Ok(Next::Write));
    }

    #[test]
    fn a_card_that_is_unplugged_while_it_plays_says_so() {
        let (mut card, mut pump) = card();
        card.n_writes_left = 2;
        speech(1).into_iter().for_each(|wish| pump.wish(wish));
        let end = (0..10).find_map(|_| pump.turn(&mut card).err());
        assert_eq!(end, Some(Gone("unplugged".into())));
    }

    #[test]
    fn a_hush_drops_what_is_ahead_and_the_next_turn_is_heard() {
        let (mut card, mut pump) = card();
        speech(1).into_iter().for_each(|wish| pump.wish(wish));
        pump.turn(&mut card).unwrap();
        pump.wish(Wish::Hush { turn: 1 });
        speech(2).into_iter().for_each(|wish| pump.wish(wish));
        pump.poll();
        assert_eq!((pump.turn(&mut card), card.n_discards), (Ok(Next::Write), 1));
        assert!(matches!(pump.poll(), Some(Event::Sounding { turn: 2, .. })));
    }
}
