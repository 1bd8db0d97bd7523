//! The head of a ring: it has the first layers and knows every sequence's tokens.
//!
//! Work of the scheduler goes through the own layers and then out; what comes back are tokens. When the ring falls, it
//! is closed anew and goes on with what its stages have left, and the scheduler hears only that it took longer; or, if
//! there is no ring in time, that the sequence is lost.
//!
//! This file is what the scheduler asks and hears; `ring` is what becomes of it when the ring falls and comes back.

mod ring;

use super::kept::Kept;
use super::resume::Past;
use super::{AHEAD_MAX, CATCH_UP_TIME_MAX, PIECE_TIME_MAX};
use crate::wire::{Blame, Chosen, Done, Fault, Frame, Hello, Manner, Open, Rows};
use ring::Ring;
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
    /// Of the scheduler. `begun` was chosen elsewhere, without these dice.
    Open {
        slot: u16,
        keep: u32,
        manner: Manner,
        begun: Vec<i32>,
    },
    Close {
        slot: u16,
    },
    Begin(Work),
    /// What the own layers gave for the piece that was asked for last.
    Hidden(Result<Vec<f32>, String>),
    /// All stages are connected.
    Up,
    /// A connection fell.
    Down(String),
    /// The ring is given other neighbours: its connections are to be made anew.
    Remake(Hello),
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
    stand: Stand,
}

impl Piece {
    fn end(&self) -> u32 {
        self.at + self.tokens.len() as u32
    }
}

#[derive(Default)]
struct Slot {
    epoch: u32,
    past: Past,
    /// Set while a sequence is open.
    manner: Option<Manner>,
    /// Every token whose positions went through all stages.
    history: Vec<i32>,
    /// Positions that the own layers have.
    evaluated: u32,
    /// Of the history and behind it, those that were chosen since the opening, and how often the dice fell.
    chosen: Vec<i32>,
    rolls: u32,
    /// What was told to be in the history, and must go through some stages again; the scheduler hears nothing of it.
    again: VecDeque<Piece>,
    pieces: VecDeque<Piece>,
    /// Losses of the ring since the sequence got on last.
    n_losses: u32,
    /// Where each stage begins that does not have all of the history yet, the head first; nothing where all have it.
    starts: Option<Vec<u32>>,
    /// Pieces that were sent before count as sent then: a stage has much to compute first.
    patient: Option<Instant>,
}

impl Slot {
    fn known(&self) -> u32 {
        self.history.len() as u32
    }

    /// The next piece for the own layers.
    fn next(&mut self) -> Option<&mut Piece> {
        let waits = |piece: &&mut Piece| piece.stand == Stand::Waits;
        // What is sent again is paced by the own layers alone: nobody tells when it is through.
        if let Some(piece) = self.again.front_mut() {
            return Some(piece).filter(waits);
        }
        let n_ahead = self.pieces.iter().take_while(|piece| piece.stand != Stand::Waits).count();
        if n_ahead >= AHEAD_MAX { None } else { self.pieces.get_mut(n_ahead) }
    }
}

pub struct Head {
    mine: Hello,
    /// Tells this process's sequences from those of another head of the same ring.
    life: u64,
    n_rows: usize,
    slots: Vec<Slot>,
    kept: Kept,
    ring: Ring,
    /// The slot and epoch whose piece the own layers are at.
    busy: Option<(u16, u32)>,
    /// Who is asked first when the own layers are free, so that no slot starves.
    turn: usize,
    outputs: VecDeque<Output>,
}

impl Head {
    /// `life` is a roll of the caller's dice; `n_rows` positions are computed again at a time after a loss.
    pub fn new(now: Instant, mine: Hello, n_rows: usize, life: u64) -> Head {
        Head {
            life,
            slots: (0..mine.n_slots).map(|_| Slot::default()).collect(),
            kept: Kept::new(mine.n_slots, mine.n_embd),
            mine,
            n_rows: n_rows.max(1),
            ring: Ring::new(now),
            busy: None,
            turn: 0,
            outputs: VecDeque::new(),
        }
    }

    /// How many positions of a slot would stay.
    pub fn kept(&self, slot: u16, keep: u32) -> u32 {
        self.slots.get(usize::from(slot)).map_or(0, |slot| keep.min(slot.known()))
    }

    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Open { slot, keep, manner, begun } => self.open(now, slot, keep, manner, begun),
            Input::Close { slot } => self.close(slot),
            Input::Begin(work) => self.begin(now, work),
            Input::Hidden(Ok(hidden)) => self.hidden(now, hidden),
            Input::Hidden(Err(why)) => self.broken(why),
            Input::Up => self.up(now),
            Input::Down(why) => self.down(now, why),
            Input::Remake(hello) => self.remake(now, hello),
            Input::Came(Frame::Left(left)) => self.left(now, &left),
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

    fn open(&mut self, now: Instant, slot: u16, keep: u32, manner: Manner, begun: Vec<i32>) {
        let keep = self.kept(slot, keep);
        let Some(own) = self.slots.get_mut(usize::from(slot)) else { return };
        own.epoch += 1;
        own.past.began(own.epoch, keep);
        own.history.truncate(keep as usize);
        own.evaluated = own.evaluated.min(keep);
        own.chosen = begun;
        own.rolls = 0;
        own.again.clear();
        own.pieces.clear();
        own.n_losses = 0;
        own.manner = Some(manner);
        let starts = own.starts.take().unwrap_or_else(|| vec![keep; usize::from(self.mine.n_stages)]);
        let starts = starts.into_iter().map(|start| start.min(keep)).collect();
        self.kept.cut(slot, keep);
        if self.is_up() {
            self.resume(now, slot, starts);
        }
    }

    fn close(&mut self, slot: u16) {
        let Some(own) = self.slots.get_mut(usize::from(slot)) else { return };
        if own.manner.take().is_some() {
            own.again.clear();
            own.pieces.clear();
            let epoch = own.epoch;
            self.kept.close(slot);
            self.send(Frame::Close { slot, epoch });
        }
    }

    fn begin(&mut self, now: Instant, work: Work) {
        let Work { slot, at, tokens, choose } = work;
        let n_ctx = self.mine.n_ctx;
        let Some(own) = self.slots.get_mut(usize::from(slot)) else { return };
        let ends = own.pieces.back().map_or(own.known(), Piece::end);
        let is_good = own.manner.is_some() && at == ends && !tokens.is_empty();
        if !is_good || u64::from(at) + tokens.len() as u64 > u64::from(n_ctx) {
            let why = format!("a piece at position {at} does not follow position {ends} of {n_ctx}");
            return self.fail(slot, Blame::Asked, why);
        }
        own.pieces.push_back(Piece { at, tokens, choose, stand: Stand::Waits });
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
            let epoch = slot.epoch;
            let is_open = slot.manner.is_some();
            let Some(piece) = slot.next().filter(|_| is_open) else { continue };
            piece.stand = Stand::Evaluated;
            let evaluate = Output::Evaluate { slot: idx as u16, at: piece.at, tokens: piece.tokens.clone() };
            self.busy = Some((idx as u16, epoch));
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
        let is_again = own.again.front().is_some_and(|piece| piece.stand == Stand::Evaluated);
        let (at, choose, tokens) = if is_again {
            let Some(piece) = own.again.pop_front() else { return };
            (piece.at, piece.choose, piece.tokens)
        } else {
            // It is gone if the sequence was closed or the ring fell meanwhile.
            let mut pieces = own.pieces.iter_mut();
            let Some(piece) = pieces.find(|piece| piece.stand == Stand::Evaluated) else { return };
            piece.stand = Stand::Sent(now);
            (piece.at, piece.choose, piece.tokens.clone())
        };
        own.evaluated = at + tokens.len() as u32;
        let rows = Rows { slot, epoch, at, choose, tokens, hidden };
        if let Some(rows) = self.kept.hand_on(rows) {
            self.send(Frame::Rows(rows));
        }
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
        // What the last stage computed again.
        if end <= own.known() && chosen.is_none() {
            return;
        }
        let is_due = own.pieces.front().is_some_and(|piece| {
            let is_sent = matches!(piece.stand, Stand::Sent(_));
            is_sent && piece.end() == end && piece.choose == chosen.is_some()
        });
        let Some(piece) = (if is_due { own.pieces.pop_front() } else { None }) else {
            return self.drop_ring(now, "a token came that was not due".to_owned());
        };
        own.history.extend(&piece.tokens);
        if let Some(chosen) = &chosen {
            own.chosen.push(chosen.token);
            own.rolls += u32::from(chosen.rolls);
        }
        own.n_losses = 0;
        // It is behind all that was sent again.
        own.starts = None;
        self.outputs.push_back(Output::Event(Event::Done { slot, end, chosen }));
    }

    /// A sequence is over for the scheduler.
    fn fail(&mut self, slot: u16, blame: Blame, why: String) {
        let Some(own) = self.slots.get_mut(usize::from(slot)) else { return };
        let epoch = own.epoch;
        if own.manner.take().is_none() {
            return;
        }
        own.again.clear();
        own.pieces.clear();
        own.history.clear();
        (own.evaluated, own.starts) = (0, None);
        self.kept.close(slot);
        self.kept.cut(slot, 0);
        self.send(Frame::Close { slot, epoch });
        self.send(Frame::Forget { slot, epoch });
        self.outputs.push_back(Output::Event(Event::Failed { slot, blame, why }));
    }

    /// Without a ring nothing is said: a new one is told what it must know.
    fn send(&mut self, frame: Frame) {
        if self.is_up() {
            self.outputs.push_back(Output::Send(frame));
        }
    }
}
