//! What waits to be heard: persons before guesses, each in the order in which they came.

use crate::talk::parts::{HearEnd, HearJob};
use std::collections::VecDeque;
use std::time::Instant;

/// Wishes that wait; more conversations than a node has at once.
pub const WISHES_MAX: usize = 16;
/// For whom there is no room.
pub const FULL: &str = "too many wait to be heard here; try again";

pub struct Wish {
    pub job: HearJob,
    pub since: Instant,
    /// A neighbour's; otherwise the node's own holds.
    pub language: Option<String>,
    /// It was refused elsewhere, and comes before all others.
    pub is_first: bool,
    /// A guess that made room for a person once.
    pub was_put_off: bool,
}

impl Wish {
    pub fn new(job: HearJob) -> Wish {
        Wish { job, since: Instant::now(), language: None, is_first: false, was_put_off: false }
    }

    /// Calls back, if anybody still waits.
    pub fn end(self, end: HearEnd) {
        if !self.job.stop.is_stopped() {
            (self.job.done)(end);
        }
    }

    /// Lower comes first: guesses let persons pass, but only once.
    fn rank(&self) -> u8 {
        match (self.is_first, self.job.is_guess && !self.was_put_off) {
            (true, _) => 0,
            (false, false) => 1,
            (false, true) => 2,
        }
    }

    /// Whether it stops when a person comes.
    pub fn makes_room(&self) -> bool {
        self.job.is_guess && !self.was_put_off && !self.is_first
    }
}

#[derive(Default)]
pub struct Queue(VecDeque<Wish>);

impl Queue {
    /// Gives back what finds no room: the wish itself, or the last guess, whose place a person takes.
    pub fn push(&mut self, wish: Wish) -> Option<Wish> {
        self.0.retain(|waiting| !waiting.job.stop.is_stopped());
        if self.0.len() < WISHES_MAX {
            self.0.push_back(wish);
            return None;
        }
        let last_guess = self.0.iter().rposition(Wish::makes_room).filter(|_| !wish.makes_room());
        let Some(idx) = last_guess else { return Some(wish) };
        self.0.push_back(wish);
        self.0.remove(idx)
    }

    /// The next to be heard.
    pub fn pop(&mut self) -> Option<Wish> {
        self.0.retain(|waiting| !waiting.job.stop.is_stopped());
        let idx = self.0.iter().enumerate().min_by_key(|(idx, wish)| (wish.rank(), *idx))?.0;
        self.0.remove(idx)
    }

    /// Somebody waits who goes before guesses.
    pub fn has_person(&self) -> bool {
        self.0.iter().any(|wish| !wish.makes_room() && !wish.job.stop.is_stopped())
    }

    /// A guess that made room comes after the persons who wait now, and before those to come.
    pub fn put_off(&mut self, wish: Wish) {
        self.0.push_back(Wish { was_put_off: true, ..wish });
    }

    pub fn drain(&mut self) -> impl Iterator<Item = Wish> + '_ {
        self.0.drain(..)
    }

    /// Lengths of the recordings that wait, in samples.
    pub fn lengths(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().map(|wish| wish.job.pcm.len())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
