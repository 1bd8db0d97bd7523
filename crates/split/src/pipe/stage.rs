//! A stage behind the head: pieces come from the stage before, are computed in their order, and are handed on.
//!
//! When the ring falls, what is in the cache stays, and what was handed on is kept; the head of the next ring asks for
//! it before anything else.

mod slot;

use super::kept::Kept;
use super::{KEPT_BYTES_MAX, QUEUE_MAX};
use crate::wire::{Blame, Chosen, Done, Fault, Frame, Hello, Left, Manner, Open, Rows, sentence};
use slot::Slot;
use std::collections::VecDeque;

/// Hidden states that wait, as bytes: all that the stage before keeps, and pieces that are on their way.
const QUEUE_BYTES_MAX: usize = 3 * KEPT_BYTES_MAX;

pub enum StageInput {
    /// From the stage before.
    Came(Frame),
    /// The job that was asked for is done.
    Worked(Result<Worked, (Blame, String)>),
    /// The stage before came, perhaps once more without a word on why.
    Up,
    /// A connection fell.
    Down,
    /// The stage is given other neighbours, and its layers stay; only between two rings.
    Remake(Hello),
}

/// What the model gave for a job.
#[derive(Debug, PartialEq)]
pub enum Worked {
    /// An opening: nothing.
    Opened,
    /// For the next stage.
    Hidden(Vec<f32>),
    /// Of the last stage.
    Chosen(Option<Chosen>),
}

/// Work for the model, one at a time.
#[derive(Debug, PartialEq)]
pub enum Job {
    /// Takes all positions from `keep` on out of the cache; the last stage makes a sampler that stands where it stood
    /// after what was chosen.
    Open {
        slot: u16,
        keep: u32,
        manner: Manner,
        chosen: Vec<i32>,
        rolls: u32,
    },
    Rows {
        slot: u16,
        at: u32,
        choose: bool,
        tokens: Vec<i32>,
        hidden: Vec<f32>,
    },
    Forget {
        slot: u16,
    },
}

#[derive(Debug, PartialEq)]
pub enum StageOutput {
    Work(Job),
    /// To the next stage; to the head, if this is the last.
    Send(Frame),
    /// The ring cannot go on: both connections are to be closed with this sentence.
    Drop(String),
}

pub struct Stage {
    mine: Hello,
    slots: Vec<Slot>,
    kept: Kept,
    /// Of the head whose sequences are here.
    life: Option<u64>,
    /// The head of this ring has asked what is left.
    was_asked: bool,
    queue: VecDeque<Frame>,
    queue_bytes: usize,
    /// The job that the model is at, and where it begins.
    current: Option<Frame>,
    start: u32,
    /// The ring fell since the job began: nobody waits for what it gives.
    is_stale: bool,
    outputs: VecDeque<StageOutput>,
}

impl Stage {
    pub fn new(mine: Hello) -> Stage {
        Stage {
            slots: vec![Slot::default(); usize::from(mine.n_slots)],
            kept: Kept::new(mine.n_slots, mine.n_embd),
            mine,
            life: None,
            was_asked: false,
            queue: VecDeque::new(),
            queue_bytes: 0,
            current: None,
            start: 0,
            is_stale: false,
            outputs: VecDeque::new(),
        }
    }

    pub fn handle(&mut self, input: StageInput) {
        match input {
            StageInput::Came(frame) => self.came(frame),
            StageInput::Worked(done) => self.worked(done),
            StageInput::Up | StageInput::Down => self.stop(),
            StageInput::Remake(mine) => {
                assert!(
                    mine.n_slots == self.mine.n_slots && mine.n_embd == self.mine.n_embd,
                    "a stage of another shape is another stage"
                );
                self.stop();
                self.mine = mine;
            }
        }
        self.next_job();
    }

    pub fn poll(&mut self) -> Option<StageOutput> {
        self.outputs.pop_front()
    }

    fn is_last(&self) -> bool {
        self.mine.stage_idx + 1 == self.mine.n_stages
    }

    /// Nothing that waits is of use to anyone; what is computed stays.
    fn stop(&mut self) {
        self.was_asked = false;
        self.queue.clear();
        self.queue_bytes = 0;
        self.is_stale = self.current.is_some();
        self.outputs.clear();
    }

    /// What the model has is no longer known.
    fn forget(&mut self) {
        self.slots.fill(Slot::default());
        self.kept.clear();
        self.life = None;
    }

    fn drop_ring(&mut self, why: &str) {
        self.stop();
        self.outputs.push_back(StageOutput::Drop(why.to_owned()));
    }

    fn came(&mut self, frame: Frame) {
        if let Err(why) = self.admit(&frame) {
            return self.drop_ring(why);
        }
        if let Frame::Close { slot, epoch } = frame {
            // What still waits of it is of no use to anyone.
            let is_of_it = |frame: &Frame| matches!(frame, Frame::Rows(rows) if (rows.slot, rows.epoch) == (slot, epoch));
            let first = self.queue.iter().find_map(|frame| match frame {
                Frame::Rows(rows) if is_of_it(frame) => Some(rows.at),
                _ => None,
            });
            self.queue.retain(|frame| !is_of_it(frame));
            self.queue_bytes = self.queue.iter().map(bytes).sum();
            self.slots[usize::from(slot)].close(first);
        }
        self.queue_bytes += bytes(&frame);
        self.queue.push_back(frame);
        if self.queue.len() > QUEUE_MAX || self.queue_bytes > QUEUE_BYTES_MAX {
            self.drop_ring("more pieces came than may wait");
        }
    }

    /// Whether a frame comes where it may come.
    fn admit(&mut self, frame: &Frame) -> Result<(), &'static str> {
        let idx = usize::from(self.mine.stage_idx);
        let (slot, epoch) = match frame {
            Frame::Left(left) => {
                let n_slots = self.slots.len();
                let is_good = left.stages.len() + 1 == idx && left.stages.iter().all(|s| s.len() == n_slots);
                let is_first = !std::mem::replace(&mut self.was_asked, true);
                return if is_good && is_first { Ok(()) } else { Err("a question came out of order") };
            }
            _ if !self.was_asked => return Err("something came before the question what is left"),
            Frame::Open(open) => (open.slot, open.epoch),
            Frame::Rows(rows) => (rows.slot, rows.epoch),
            Frame::Close { slot, epoch } | Frame::Forget { slot, epoch } => (*slot, *epoch),
            // A sequence that failed in a stage before goes on to the head.
            Frame::Fault(Fault { of: Some((slot, epoch)), .. }) => (*slot, *epoch),
            _ => return Err("something came that no stage says to the next"),
        };
        let own = self.slots.get_mut(usize::from(slot)).ok_or("a slot came that there is not")?;
        match frame {
            Frame::Open(open) => {
                if open.starts.len() + 1 != usize::from(self.mine.n_stages) {
                    return Err("a sequence came for another number of stages");
                }
                own.open(epoch, open.starts[idx - 1])
            }
            Frame::Rows(rows) => own.rows(rows, &self.mine),
            Frame::Forget { .. } => own.end(epoch, true),
            _ => own.end(epoch, false),
        }
    }

    /// Hands on what needs no model, and gives the model its next job.
    fn next_job(&mut self) {
        while self.current.is_none() {
            let Some(mut frame) = self.queue.pop_front() else { return };
            self.queue_bytes -= bytes(&frame);
            let job = match &mut frame {
                Frame::Open(Open { slot, starts, manner, chosen, rolls, .. }) => Job::Open {
                    slot: *slot,
                    keep: starts[usize::from(self.mine.stage_idx) - 1],
                    manner: manner.clone(),
                    chosen: chosen.clone(),
                    rolls: *rolls,
                },
                Frame::Rows(Rows { slot, at, choose, tokens, hidden, .. }) => Job::Rows {
                    slot: *slot,
                    at: *at,
                    choose: *choose,
                    tokens: tokens.clone(),
                    hidden: std::mem::take(hidden),
                },
                Frame::Forget { slot, .. } => Job::Forget { slot: *slot },
                Frame::Left(left) => {
                    self.answer(left);
                    self.hand_on(frame);
                    continue;
                }
                _ => {
                    if let Frame::Close { slot, .. } = &frame {
                        self.kept.close(*slot);
                    }
                    self.hand_on(frame);
                    continue;
                }
            };
            self.start = match &job {
                Job::Open { keep: at, .. } | Job::Rows { at, .. } => *at,
                Job::Forget { .. } => 0,
            };
            self.is_stale = false;
            self.current = Some(frame);
            self.outputs.push_back(StageOutput::Work(job));
        }
    }

    /// Adds what is left here.
    fn answer(&mut self, left: &mut Left) {
        if self.life != Some(left.life) {
            self.forget();
            self.life = Some(left.life);
        }
        let kept = &self.kept;
        let rests = (0..).zip(&mut self.slots).map(|(slot, own)| own.left(kept.end(slot)));
        left.stages.push(rests.collect());
    }

    /// The head hears only of what it asked to hear.
    fn hand_on(&mut self, frame: Frame) {
        let is_for_head = matches!(frame, Frame::Done(_) | Frame::Fault(_) | Frame::Left(_));
        if !self.is_last() || is_for_head {
            self.outputs.push_back(StageOutput::Send(frame));
        }
    }

    fn worked(&mut self, done: Result<Worked, (Blame, String)>) {
        let Some(frame) = self.current.take() else { return };
        let is_stale = std::mem::take(&mut self.is_stale);
        let fault = match (&frame, done) {
            (Frame::Open(open), Ok(_)) => return self.opened(open.clone(), is_stale),
            (Frame::Forget { slot, .. }, Ok(_)) => {
                self.kept.close(*slot);
                self.kept.cut(*slot, 0);
                self.slots[usize::from(*slot)].forgot();
                if !is_stale {
                    self.hand_on(frame);
                }
                return;
            }
            (Frame::Rows(_), Ok(worked)) => {
                let Frame::Rows(rows) = frame else { return };
                return self.computed(rows, worked, is_stale);
            }
            (_, Err(fault)) => fault,
            (_, Ok(_)) => return,
        };
        let (slot, epoch) = match &frame {
            Frame::Open(open) => (open.slot, open.epoch),
            Frame::Rows(rows) => (rows.slot, rows.epoch),
            _ => return self.broke(&fault.1),
        };
        match fault {
            // The model may be in any state: only what was asked wrongly leaves it as it was.
            (Blame::Asked, why) => {
                let own = &mut self.slots[usize::from(slot)];
                match &frame {
                    Frame::Open(_) => own.opened(epoch, self.start),
                    _ => own.failed(self.start),
                }
                self.kept.cut(slot, self.start);
                if is_stale {
                    return;
                }
                // The stages behind must know of the sequence, or its end would surprise them.
                if let (Frame::Open(_), false) = (&frame, self.is_last()) {
                    self.hand_on(frame);
                }
                let (of, why) = (Some((slot, epoch)), sentence(&why));
                self.hand_on(Frame::Fault(Fault { of, blame: Blame::Asked, why }));
            }
            (_, why) => self.broke(&why),
        }
    }

    fn broke(&mut self, why: &str) {
        self.forget();
        self.drop_ring(why);
    }

    /// A sequence began: the next stage hears of it, and gets what it has not and this one has.
    fn opened(&mut self, open: Open, is_stale: bool) {
        let (slot, epoch, known) = (open.slot, open.epoch, open.known);
        let start = self.start;
        self.slots[usize::from(slot)].opened(epoch, start);
        self.kept.cut(slot, start);
        let next = open.starts.get(usize::from(self.mine.stage_idx)).copied();
        let Some(next) = next.filter(|_| !is_stale) else { return };
        self.kept.open(slot, next);
        self.hand_on(Frame::Open(open));
        if next < start {
            match self.kept.again(slot, epoch, next..start, known) {
                Some(again) => again.into_iter().for_each(|rows| self.hand_on(Frame::Rows(rows))),
                None => self.drop_ring("what was kept is gone"),
            }
        }
    }

    fn computed(&mut self, rows: Rows, worked: Worked, is_stale: bool) {
        let (slot, epoch, end) = (rows.slot, rows.epoch, rows.at + rows.tokens.len() as u32);
        match worked {
            Worked::Hidden(hidden) if !self.is_last() => {
                self.slots[usize::from(slot)].computed(end);
                let rows = self.kept.hand_on(Rows { hidden, ..rows });
                if let (Some(rows), false) = (rows, is_stale) {
                    self.hand_on(Frame::Rows(rows));
                }
            }
            Worked::Chosen(chosen) if self.is_last() => {
                self.slots[usize::from(slot)].computed(end);
                if !is_stale {
                    self.hand_on(Frame::Done(Done { slot, epoch, end, chosen }));
                }
            }
            // The stage was the last, and is not any more, or the other way round: the ring was remade meanwhile.
            _ if is_stale => self.slots[usize::from(slot)].failed(rows.at),
            _ => self.broke("the model gave what no stage gives"),
        }
    }
}

fn bytes(frame: &Frame) -> usize {
    match frame {
        Frame::Rows(rows) => 4 * rows.hidden.len(),
        _ => 0,
    }
}
