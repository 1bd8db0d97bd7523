//! The head of a ring: it has the first layers and knows every sequence's tokens.
//!
//! Work of the scheduler goes through the own layers and then out; what comes back are tokens. When the ring falls, the
//! tokens are sent through a new one, and the scheduler hears only that it took longer; or, if there is none in time,
//! that the sequence is lost.

use super::{AHEAD_MAX, PIECE_TIME_MAX, RESUME_TIME_MAX, RESUMES_MAX};
use crate::wire::{Blame, Chosen, Done, Fault, Frame, Hello, Manner, Open, Rows};
use std::collections::VecDeque;
use std::time::Instant;

/// A piece of a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    pub slot: u16,
    pub at: u32,
    pub tokens: Vec<i32>,
    pub choose: bool,
}

pub enum Input {
    /// Of the scheduler.
    Open {
        slot: u16,
        keep: u32,
        manner: Manner,
    },
    Close {
        slot: u16,
    },
    Begin(Work),
    /// What the own layers gave for the piece that was asked for last.
    Hidden(Result<Vec<f32>, String>),
    /// All stages are connected, and none knows anything.
    Up,
    /// A connection fell.
    Down(String),
    /// From the last stage.
    Came(Frame),
    Time,
}

#[derive(Debug, PartialEq)]
pub enum Output {
    /// The own layers are to compute this; what the slot holds from `at` on is void.
    Evaluate {
        slot: u16,
        at: u32,
        tokens: Vec<i32>,
    },
    /// To the next stage.
    Send(Frame),
    Event(Event),
    /// Both connections are to be closed with this sentence.
    Drop(String),
}

/// For the scheduler.
#[derive(Debug, PartialEq)]
pub enum Event {
    Done { slot: u16, end: u32, chosen: Option<Chosen> },
    Failed { slot: u16, blame: Blame, why: String },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stand {
    Waits,
    /// The own layers are at it.
    Evaluated,
    Sent(Instant),
}

struct Piece {
    at: u32,
    tokens: Vec<i32>,
    choose: bool,
    /// The scheduler knows of it: it is not one that is sent again.
    is_new: bool,
    stand: Stand,
}

#[derive(Default)]
struct Slot {
    epoch: u32,
    /// Set while a sequence is open.
    manner: Option<Manner>,
    /// Every token whose positions all stages have, or had.
    history: Vec<i32>,
    /// Of them and behind them, those that were chosen since the opening.
    chosen: Vec<i32>,
    pieces: VecDeque<Piece>,
    /// Losses of the ring since the sequence got on last.
    n_losses: u32,
    /// The ring is another one than that which has the history.
    is_unknown: bool,
}

/// Whether there is a ring.
enum Ring {
    Up,
    Down { since: Instant, why: String },
}

pub struct Head {
    mine: Hello,
    n_rows: usize,
    slots: Vec<Slot>,
    ring: Ring,
    /// The slot and epoch whose piece the own layers are at.
    busy: Option<(u16, u32)>,
    /// Who is asked first when the own layers are free, so that no slot starves.
    turn: usize,
    outputs: VecDeque<Output>,
}

impl Head {
    /// `n_rows` positions are sent again at a time after a loss.
    pub fn new(now: Instant, mine: Hello, n_rows: usize) -> Head {
        Head {
            slots: (0..mine.n_slots).map(|_| Slot::default()).collect(),
            mine,
            n_rows: n_rows.max(1),
            ring: Ring::Down { since: now, why: "the other stages did not come yet".to_owned() },
            busy: None,
            turn: 0,
            outputs: VecDeque::new(),
        }
    }

    /// How many positions of a slot would stay.
    pub fn kept(&self, slot: u16, keep: u32) -> u32 {
        self.slots.get(usize::from(slot)).map_or(0, |slot| keep.min(slot.history.len() as u32))
    }

    pub fn is_up(&self) -> bool {
        matches!(self.ring, Ring::Up)
    }

    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Open { slot, keep, manner } => self.open(slot, keep, manner),
            Input::Close { slot } => self.close(slot),
            Input::Begin(work) => self.begin(now, work),
            Input::Hidden(Ok(hidden)) => self.hidden(now, hidden),
            Input::Hidden(Err(why)) => self.broken(why),
            Input::Up => self.up(now),
            Input::Down(why) => self.down(now, why),
            Input::Came(Frame::Done(done)) => self.done(now, done),
            Input::Came(Frame::Fault(Fault { of: Some((slot, epoch)), blame, why })) => {
                if self.slots.get(usize::from(slot)).is_some_and(|own| own.epoch == epoch) {
                    self.fail(slot, blame, why);
                }
            }
            Input::Came(_) => self.drop_ring(now, "something came that no last stage says".to_owned()),
            Input::Time => {}
        }
        self.time(now);
        self.next_piece();
    }

    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn deadline(&self) -> Option<Instant> {
        match &self.ring {
            Ring::Up => self.sent().map(|since| since + PIECE_TIME_MAX).min(),
            Ring::Down { since, .. } => {
                self.slots.iter().any(|slot| !slot.pieces.is_empty()).then(|| *since + RESUME_TIME_MAX)
            }
        }
    }

    fn sent(&self) -> impl Iterator<Item = Instant> {
        self.slots.iter().flat_map(|slot| &slot.pieces).filter_map(|piece| match piece.stand {
            Stand::Sent(since) => Some(since),
            _ => None,
        })
    }

    fn open(&mut self, slot: u16, keep: u32, manner: Manner) {
        let keep = self.kept(slot, keep);
        let Some(own) = self.slots.get_mut(usize::from(slot)) else { return };
        own.epoch += 1;
        own.history.truncate(keep as usize);
        own.chosen.clear();
        own.pieces.clear();
        own.n_losses = 0;
        own.manner = Some(manner.clone());
        let is_unknown = std::mem::take(&mut own.is_unknown);
        let epoch = own.epoch;
        if is_unknown {
            self.send_again(slot);
        }
        let keep = if is_unknown { 0 } else { keep };
        self.send(Frame::Open(Open { slot, epoch, keep, manner, chosen: Vec::new() }));
    }

    /// Puts the history of a sequence in front of its pieces.
    fn send_again(&mut self, slot: u16) {
        let n_rows = self.n_rows;
        let own = &mut self.slots[usize::from(slot)];
        let again = std::mem::take(&mut own.history);
        for (n, tokens) in again.chunks(n_rows).enumerate().rev() {
            let at = (n * n_rows) as u32;
            let piece =
                Piece { at, tokens: tokens.to_vec(), choose: false, is_new: false, stand: Stand::Waits };
            own.pieces.push_front(piece);
        }
    }

    fn close(&mut self, slot: u16) {
        let Some(own) = self.slots.get_mut(usize::from(slot)) else { return };
        if own.manner.take().is_some() {
            own.pieces.clear();
            let epoch = own.epoch;
            self.send(Frame::Close { slot, epoch });
        }
    }

    fn begin(&mut self, now: Instant, work: Work) {
        let Work { slot, at, tokens, choose } = work;
        let n_ctx = self.mine.n_ctx;
        let Some(own) = self.slots.get_mut(usize::from(slot)) else { return };
        let ends =
            own.pieces.back().map_or(own.history.len() as u32, |piece| piece.at + piece.tokens.len() as u32);
        let is_good = own.manner.is_some() && at == ends && !tokens.is_empty();
        if !is_good || u64::from(at) + tokens.len() as u64 > u64::from(n_ctx) {
            let why = format!("a piece at position {at} does not follow position {ends} of {n_ctx}");
            return self.fail(slot, Blame::Asked, why);
        }
        own.pieces.push_back(Piece { at, tokens, choose, is_new: true, stand: Stand::Waits });
        self.time(now);
    }

    /// Gives the own layers their next piece.
    fn next_piece(&mut self) {
        if self.busy.is_some() || !self.is_up() {
            return;
        }
        let n = self.slots.len();
        for idx in (0..n).map(|step| (self.turn + step) % n) {
            let slot = &mut self.slots[idx];
            let n_ahead = slot.pieces.iter().take_while(|piece| piece.stand != Stand::Waits).count();
            if slot.manner.is_none() || n_ahead >= AHEAD_MAX {
                continue;
            }
            let Some(piece) = slot.pieces.get_mut(n_ahead) else { continue };
            piece.stand = Stand::Evaluated;
            let evaluate = Output::Evaluate { slot: idx as u16, at: piece.at, tokens: piece.tokens.clone() };
            self.busy = Some((idx as u16, slot.epoch));
            self.turn = idx + 1;
            return self.outputs.push_back(evaluate);
        }
    }

    fn hidden(&mut self, now: Instant, hidden: Vec<f32>) {
        let Some((slot, epoch)) = self.busy.take() else { return };
        let own = &mut self.slots[usize::from(slot)];
        if own.epoch != epoch {
            return;
        }
        // It is gone if the sequence was closed or the ring fell meanwhile.
        let Some(piece) = own.pieces.iter_mut().find(|piece| piece.stand == Stand::Evaluated) else { return };
        piece.stand = Stand::Sent(now);
        let (at, choose, tokens) = (piece.at, piece.choose, piece.tokens.clone());
        self.send(Frame::Rows(Rows { slot, epoch, at, choose, tokens, hidden }));
    }

    fn broken(&mut self, why: String) {
        let Some((slot, epoch)) = self.busy.take() else { return };
        if self.slots[usize::from(slot)].epoch == epoch {
            self.fail(slot, Blame::Broken, why);
        }
    }

    fn done(&mut self, now: Instant, done: Done) {
        let Done { slot, epoch, end, chosen } = done;
        let Some(own) = self.slots.get_mut(usize::from(slot)) else {
            return self.drop_ring(now, "a slot came that there is not".to_owned());
        };
        // Of a sequence that is over.
        if own.epoch != epoch || own.manner.is_none() {
            return;
        }
        let is_due = own.pieces.front().is_some_and(|piece| {
            let is_sent = matches!(piece.stand, Stand::Sent(_));
            is_sent && piece.at + piece.tokens.len() as u32 == end && piece.choose == chosen.is_some()
        });
        let Some(piece) = (if is_due { own.pieces.pop_front() } else { None }) else {
            return self.drop_ring(now, "a token came that was not due".to_owned());
        };
        own.history.extend(&piece.tokens);
        own.chosen.extend(chosen.iter().map(|chosen| chosen.token));
        if piece.is_new {
            own.n_losses = 0;
            self.outputs.push_back(Output::Event(Event::Done { slot, end, chosen }));
        }
    }

    /// A sequence is over for the scheduler.
    fn fail(&mut self, slot: u16, blame: Blame, why: String) {
        let Some(own) = self.slots.get_mut(usize::from(slot)) else { return };
        let epoch = own.epoch;
        if own.manner.take().is_none() {
            return;
        }
        own.pieces.clear();
        own.history.clear();
        self.send(Frame::Close { slot, epoch });
        self.send(Frame::Forget { slot, epoch });
        self.outputs.push_back(Output::Event(Event::Failed { slot, blame, why }));
    }

    /// Sequences that were open are sent through the new ring from their first token.
    fn up(&mut self, now: Instant) {
        if self.is_up() {
            self.lose(now, "the ring was closed anew".to_owned());
        }
        self.ring = Ring::Up;
        for slot in 0..self.mine.n_slots {
            let own = &mut self.slots[usize::from(slot)];
            let Some(manner) = own.manner.clone() else {
                own.is_unknown = true;
                continue;
            };
            own.epoch += 1;
            let (epoch, chosen) = (own.epoch, own.chosen.clone());
            self.send_again(slot);
            self.send(Frame::Open(Open { slot, epoch, keep: 0, manner, chosen }));
        }
    }

    fn down(&mut self, now: Instant, why: String) {
        if self.is_up() {
            self.lose(now, why);
        } else if let Ring::Down { why: said, .. } = &mut self.ring {
            *said = why;
        }
    }

    fn lose(&mut self, now: Instant, why: String) {
        self.ring = Ring::Down { since: now, why };
        self.outputs.retain(|output| !matches!(output, Output::Send(_)));
        for slot in &mut self.slots {
            // Tokens that were being sent again are not known to anyone yet.
            let mut history = std::mem::take(&mut slot.history);
            slot.pieces.iter().filter(|piece| !piece.is_new).for_each(|piece| history.extend(&piece.tokens));
            slot.history = history;
            slot.pieces.retain(|piece| piece.is_new);
            slot.pieces.iter_mut().for_each(|piece| piece.stand = Stand::Waits);
            slot.n_losses += 1;
        }
    }

    fn drop_ring(&mut self, now: Instant, why: String) {
        if self.is_up() {
            self.lose(now, why.clone());
            self.outputs.push_back(Output::Drop(why));
        }
    }

    fn time(&mut self, now: Instant) {
        if self.sent().min().is_some_and(|since| now >= since + PIECE_TIME_MAX) {
            self.drop_ring(now, format!("a piece was on its way for {} s", PIECE_TIME_MAX.as_secs()));
        }
        let Ring::Down { since, why } = &self.ring else { return };
        let (is_late, why) = (now >= *since + RESUME_TIME_MAX, why.clone());
        for idx in 0..self.slots.len() {
            let slot = &self.slots[idx];
            if !slot.pieces.is_empty() && (is_late || slot.n_losses > RESUMES_MAX) {
                self.fail(idx as u16, Blame::Lost, why.clone());
            }
        }
    }

    /// Without a ring nothing is said: a new one learns everything anew.
    fn send(&mut self, frame: Frame) {
        if self.is_up() {
            self.outputs.push_back(Output::Send(frame));
        }
    }
}
