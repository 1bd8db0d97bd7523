//! The head's ring as it falls and comes back: what the stages have left, and what is sent through it again.

use super::super::resume::{self, starts};
use super::super::{REMAKE_TIME_MAX, RESUME_TIME_MAX, RESUMES_MAX};
use super::{Blame, CATCH_UP_TIME_MAX, Frame, Head, Hello, Open, Output, PIECE_TIME_MAX, Piece, Slot, Stand};
use crate::wire::Left;
use std::time::Instant;

/// Whether there is a ring.
pub(super) enum Ring {
    Up,
    /// It is closed, and the stages were asked what they have left.
    Asked {
        since: Instant,
    },
    /// It may come back until then.
    Down {
        until: Instant,
        why: String,
    },
}

impl Ring {
    pub fn new(now: Instant) -> Ring {
        Ring::Down { until: now + RESUME_TIME_MAX, why: "the other stages did not come yet".to_owned() }
    }
}

impl Head {
    pub fn is_up(&self) -> bool {
        matches!(self.ring, Ring::Up)
    }

    /// Whether it fell, or was never there.
    pub fn is_down(&self) -> bool {
        matches!(self.ring, Ring::Down { .. })
    }

    pub fn deadline(&self) -> Option<Instant> {
        match &self.ring {
            Ring::Up => self.sent().map(|since| since + PIECE_TIME_MAX).min(),
            Ring::Asked { since } => Some(*since + PIECE_TIME_MAX),
            Ring::Down { until, .. } => {
                self.slots.iter().any(|slot| !slot.pieces.is_empty()).then_some(*until)
            }
        }
    }

    fn sent(&self) -> impl Iterator<Item = Instant> {
        let sent = |slot: &Slot, piece: &Piece| match piece.stand {
            Stand::Sent(since) => Some(slot.patient.map_or(since, |patient| patient.max(since))),
            _ => None,
        };
        self.slots.iter().flat_map(move |slot| slot.pieces.iter().filter_map(move |piece| sent(slot, piece)))
    }

    /// Asks the stages of a new ring what they have left.
    pub(super) fn up(&mut self, now: Instant) {
        if !matches!(self.ring, Ring::Down { .. }) {
            self.lose(now, "the ring was closed anew".to_owned());
        }
        self.ring = Ring::Asked { since: now };
        let left = Left { life: self.life, stages: Vec::new() };
        self.outputs.push_back(Output::Send(Frame::Left(left)));
    }

    /// Sequences that are open go on; for the others it is remembered what the stages have.
    pub(super) fn left(&mut self, now: Instant, left: &Left) {
        let n_stages = usize::from(self.mine.n_stages);
        let n_slots = self.slots.len();
        let is_whole = left.life == self.life
            && left.stages.len() + 1 == n_stages
            && left.stages.iter().all(|stage| stage.len() == n_slots);
        if !matches!(self.ring, Ring::Asked { .. }) || !is_whole {
            return self.drop_ring(now, "the stages told nothing good of what they have left".to_owned());
        }
        self.ring = Ring::Up;
        for slot in 0..self.mine.n_slots {
            let starts = self.starts(slot, left);
            let own = &mut self.slots[usize::from(slot)];
            if own.manner.is_some() {
                own.epoch += 1;
                own.past.began(own.epoch, u32::MAX);
                self.resume(now, slot, starts);
            } else {
                own.starts = (own.known() > 0).then_some(starts);
            }
        }
    }

    /// Where each stage of a slot goes on, the head first.
    fn starts(&self, slot: u16, left: &Left) -> Vec<u32> {
        let own = &self.slots[usize::from(slot)];
        let end = own.pieces.back().map_or(own.known(), Piece::end);
        let mut stands = vec![resume::Stand { have: own.evaluated.min(end), kept: self.kept.end(slot) }];
        for stage in &left.stages {
            let rest = stage[usize::from(slot)];
            let have = rest.have.min(own.past.shared(rest.epoch)).min(end);
            stands.push(resume::Stand { have, kept: rest.kept });
        }
        // What the last chose, and was not heard, is chosen again.
        if let Some(last) = stands.last_mut() {
            last.have = last.have.min(own.known());
        }
        let mut starts = starts(&stands);
        // The head computes whole pieces.
        starts[0] = own.whole(starts[0]);
        starts
    }

    /// Sends an open sequence through the ring from where its stages are.
    pub(super) fn resume(&mut self, now: Instant, slot: u16, starts: Vec<u32>) {
        let (n_rows, own) = (self.n_rows, &mut self.slots[usize::from(slot)]);
        let Some(manner) = own.manner.clone() else { return };
        let (epoch, known, chosen, rolls) = (own.epoch, own.known(), own.chosen.clone(), own.rolls);
        let (start, next) = (starts[0], starts[1]);
        own.evaluated = own.evaluated.min(start);
        // A stage that is new computes the whole history before a piece can come back; signs of life watch it meanwhile.
        let least = starts.iter().min().copied().unwrap_or(0);
        let n_before = known.saturating_sub(least).div_ceil(n_rows as u32);
        own.patient = Some(now + (PIECE_TIME_MAX * n_before).min(CATCH_UP_TIME_MAX));
        for piece in &mut own.pieces {
            piece.stand = if piece.end() <= start { Stand::Sent(now) } else { Stand::Waits };
        }
        own.starts = starts.iter().any(|start| *start < known).then(|| starts.clone());
        own.again.clear();
        if start < known {
            let tokens = own.history[start as usize..].chunks(n_rows);
            let piece = |(n, tokens): (usize, &[i32])| {
                let at = start + (n * n_rows) as u32;
                Piece { at, tokens: tokens.to_vec(), choose: false, stand: Stand::Waits }
            };
            own.again.extend(tokens.enumerate().map(piece));
        }
        self.kept.open(slot, next);
        self.kept.cut(slot, start);
        let starts = starts[1..].to_vec();
        self.send(Frame::Open(Open { slot, epoch, starts, known, manner, chosen, rolls }));
        if next < start {
            // Another sequence may have taken the room since the stages were asked.
            let Some(again) = self.kept.again(slot, epoch, next..start, known) else {
                return self.drop_ring(now, "what was kept is gone".to_owned());
            };
            again.into_iter().for_each(|rows| self.send(Frame::Rows(rows)));
        }
    }

    pub(super) fn down(&mut self, now: Instant, why: String) {
        if let Ring::Down { why: said, .. } = &mut self.ring {
            *said = why;
        } else {
            self.lose(now, why);
        }
    }

    /// The other stages may still follow their old wishes.
    pub(super) fn remake(&mut self, now: Instant, mine: Hello) {
        assert!(
            mine.n_slots == self.mine.n_slots && mine.n_embd == self.mine.n_embd,
            "a ring of another shape is another ring"
        );
        self.lose(now, "the ring is made anew".to_owned());
        self.mine = mine;
        if let Ring::Down { until, .. } = &mut self.ring {
            *until = now + REMAKE_TIME_MAX;
        }
        for slot in &mut self.slots {
            slot.n_losses = 0;
        }
    }

    fn lose(&mut self, now: Instant, why: String) {
        self.ring = Ring::Down { until: now + RESUME_TIME_MAX, why };
        self.outputs.retain(|output| !matches!(output, Output::Send(_)));
        for slot in &mut self.slots {
            slot.again.clear();
            slot.pieces.iter_mut().for_each(|piece| piece.stand = Stand::Waits);
            slot.n_losses += 1;
        }
    }

    pub(super) fn drop_ring(&mut self, now: Instant, why: String) {
        if !matches!(self.ring, Ring::Down { .. }) {
            self.lose(now, why.clone());
            self.outputs.push_back(Output::Drop(why));
        }
    }

    pub(super) fn time(&mut self, now: Instant) {
        let asked = match &self.ring {
            Ring::Asked { since } => Some(*since),
            _ => None,
        };
        if self.sent().chain(asked).min().is_some_and(|since| now >= since + PIECE_TIME_MAX) {
            self.drop_ring(now, format!("a piece was on its way for {} s", PIECE_TIME_MAX.as_secs()));
        }
        let Ring::Down { until, why } = &self.ring else { return };
        let (is_late, why) = (now >= *until, why.clone());
        for idx in 0..self.slots.len() {
            let slot = &self.slots[idx];
            if !slot.pieces.is_empty() && (is_late || slot.n_losses > RESUMES_MAX) {
                self.fail(idx as u16, Blame::Lost, why.clone());
            }
        }
    }
}

impl Slot {
    /// The last boundary of a piece up to a position, in what was not told to be known yet.
    fn whole(&self, at: u32) -> u32 {
        let ends = self.pieces.iter().map(Piece::end).take_while(|end| *end <= at);
        if at <= self.known() { at } else { ends.last().unwrap_or(self.known()) }
    }
}
