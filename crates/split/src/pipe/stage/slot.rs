//! One slot of a stage: what may come for its sequence, and what the model has of it.
//!
//! The two run apart while pieces wait, and a ring may fall in between.

use crate::wire::{Hello, Rest, Rows};

#[derive(Clone, Copy, Default)]
pub(super) struct Slot {
    /// Of the sequence that came last.
    epoch: u32,
    is_open: bool,
    /// Where the next piece begins.
    at: u32,
    /// Of the sequence that the model has.
    computed_epoch: u32,
    /// Positions that the model has of it.
    computed: u32,
}

impl Slot {
    pub fn open(&mut self, epoch: u32, start: u32) -> Result<(), &'static str> {
        if epoch <= self.epoch || start > self.at {
            return Err("a sequence began out of order");
        }
        (self.epoch, self.is_open, self.at) = (epoch, true, start);
        Ok(())
    }

    pub fn rows(&mut self, rows: &Rows, mine: &Hello) -> Result<(), &'static str> {
        let end = rows.at + rows.tokens.len() as u32;
        let is_whole = rows.hidden.len() == rows.tokens.len() * mine.n_embd as usize;
        if rows.epoch != self.epoch || !self.is_open || rows.at != self.at || end > mine.n_ctx || !is_whole {
            return Err("a piece came that does not follow the one before");
        }
        self.at = end;
        Ok(())
    }

    /// The sequence is over; perhaps its positions are of no more use.
    pub fn end(&mut self, epoch: u32, forgets: bool) -> Result<(), &'static str> {
        if epoch != self.epoch {
            return Err("something came of a sequence that is not open");
        }
        self.is_open = false;
        if forgets {
            self.at = 0;
        }
        Ok(())
    }

    /// The pieces from here on, if any waited, will not be computed.
    pub fn close(&mut self, first: Option<u32>) {
        self.at = first.unwrap_or(self.at);
    }

    /// The model began with the first positions of what it had.
    pub fn opened(&mut self, epoch: u32, start: u32) {
        (self.computed_epoch, self.computed) = (epoch, self.computed.min(start));
    }

    pub fn computed(&mut self, end: u32) {
        self.computed = end;
    }

    pub fn failed(&mut self, at: u32) {
        self.computed = self.computed.min(at);
    }

    pub fn forgot(&mut self) {
        self.computed = 0;
    }

    /// What is left; from here on only that counts.
    pub fn left(&mut self, kept: u32) -> Rest {
        (self.at, self.is_open) = (self.computed, false);
        Rest { epoch: self.computed_epoch, have: self.computed, kept: kept.min(self.computed) }
    }
}
