//! A stage behind the head: pieces come from the stage before, are computed in their order, and are handed on.

use super::QUEUE_MAX;
use crate::wire::{Blame, Chosen, Done, Fault, Frame, Hello, Manner, Open, Rows, sentence};
use std::collections::VecDeque;

pub enum StageInput {
    /// From the stage before.
    Came(Frame),
    /// The job that was asked for is done.
    Worked(Result<Worked, (Blame, String)>),
    /// The stage before came, perhaps once more without a word on why: everything is forgotten.
    Up,
    /// A connection fell: everything is forgotten.
    Down,
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
    /// Takes all positions from `keep` on out of the cache; the last stage makes a sampler.
    Open {
        slot: u16,
        keep: u32,
        manner: Manner,
        chosen: Vec<i32>,
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

#[derive(Clone, Copy, Default)]
struct Slot {
    epoch: u32,
    is_open: bool,
    /// Where the next piece begins.
    at: u32,
}

pub struct Stage {
    mine: Hello,
    slots: Vec<Slot>,
    queue: VecDeque<Frame>,
    /// The job that the model is at; nothing if it was dropped meanwhile.
    current: Option<Frame>,
    is_busy: bool,
    outputs: VecDeque<StageOutput>,
}

impl Stage {
    pub fn new(mine: Hello) -> Stage {
        let slots = vec![Slot::default(); usize::from(mine.n_slots)];
        Stage { mine, slots, queue: VecDeque::new(), current: None, is_busy: false, outputs: VecDeque::new() }
    }

    pub fn handle(&mut self, input: StageInput) {
        match input {
            StageInput::Came(frame) => self.came(frame),
            StageInput::Worked(done) => self.worked(done),
            StageInput::Up | StageInput::Down => self.forget(),
        }
        self.next_job();
    }

    pub fn poll(&mut self) -> Option<StageOutput> {
        self.outputs.pop_front()
    }

    fn is_last(&self) -> bool {
        self.mine.stage_idx + 1 == self.mine.n_stages
    }

    fn forget(&mut self) {
        self.slots.fill(Slot::default());
        self.queue.clear();
        self.current = None;
        self.outputs.clear();
    }

    fn drop_ring(&mut self, why: &str) {
        self.forget();
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
            let own = &mut self.slots[usize::from(slot)];
            own.at = first.unwrap_or(own.at);
        }
        self.queue.push_back(frame);
        if self.queue.len() > QUEUE_MAX {
            self.drop_ring("more pieces came than may wait");
        }
    }

    /// Whether a frame comes where it may come.
    fn admit(&mut self, frame: &Frame) -> Result<(), &'static str> {
        let (n_embd, n_ctx) = (self.mine.n_embd as usize, self.mine.n_ctx);
        let (slot, epoch) = match frame {
            Frame::Open(open) => (open.slot, open.epoch),
            Frame::Rows(rows) => (rows.slot, rows.epoch),
            Frame::Close { slot, epoch } | Frame::Forget { slot, epoch } => (*slot, *epoch),
            // A sequence that failed in a stage before goes on to the head.
            Frame::Fault(Fault { of: Some((slot, epoch)), .. }) => (*slot, *epoch),
            _ => return Err("something came that no stage says to the next"),
        };
        let own = self.slots.get_mut(usize::from(slot)).ok_or("a slot came that there is not")?;
        match frame {
            Frame::Open(open) if epoch <= own.epoch || open.keep > own.at => {
                Err("a sequence began out of order")
            }
            Frame::Open(open) => {
                *own = Slot { epoch, is_open: true, at: open.keep };
                Ok(())
            }
            _ if epoch != own.epoch => Err("something came of a sequence that is not open"),
            Frame::Rows(rows) => {
                let end = rows.at + rows.tokens.len() as u32;
                if !own.is_open
                    || rows.at != own.at
                    || end > n_ctx
                    || rows.hidden.len() != rows.tokens.len() * n_embd
                {
                    return Err("a piece came that does not follow the one before");
                }
                own.at = end;
                Ok(())
            }
            Frame::Forget { .. } => {
                (own.at, own.is_open) = (0, false);
                Ok(())
            }
            _ => {
                own.is_open = false;
                Ok(())
            }
        }
    }

    /// Hands on what needs no model, and gives the model its next job.
    fn next_job(&mut self) {
        while !self.is_busy {
            let Some(frame) = self.queue.pop_front() else { return };
            let job = match &frame {
                Frame::Open(Open { slot, keep, manner, chosen, .. }) => {
                    Job::Open { slot: *slot, keep: *keep, manner: manner.clone(), chosen: chosen.clone() }
                }
                Frame::Rows(_) => {
                    let Frame::Rows(Rows { slot, at, choose, ref tokens, .. }) = frame else { return };
                    let tokens = tokens.clone();
                    let mut frame = frame;
                    let Frame::Rows(rows) = &mut frame else { return };
                    let hidden = std::mem::take(&mut rows.hidden);
                    self.work(frame, Job::Rows { slot, at, choose, tokens, hidden });
                    continue;
                }
                Frame::Forget { slot, .. } => Job::Forget { slot: *slot },
                Frame::Close { .. } | Frame::Fault(_) => {
                    self.hand_on(frame);
                    continue;
                }
                _ => continue,
            };
            self.work(frame, job);
        }
    }

    fn work(&mut self, frame: Frame, job: Job) {
        self.is_busy = true;
        self.current = Some(frame);
        self.outputs.push_back(StageOutput::Work(job));
    }

    /// The head hears only of what it asked to hear.
    fn hand_on(&mut self, frame: Frame) {
        let is_for_head = matches!(frame, Frame::Done(_) | Frame::Fault(_));
        if !self.is_last() || is_for_head {
            self.outputs.push_back(StageOutput::Send(frame));
        }
    }

    fn worked(&mut self, done: Result<Worked, (Blame, String)>) {
        self.is_busy = false;
        // The ring fell while the model worked.
        let Some(frame) = self.current.take() else { return };
        let (slot, epoch) = match &frame {
            Frame::Open(open) => (open.slot, open.epoch),
            Frame::Rows(rows) => (rows.slot, rows.epoch),
            _ => return self.hand_on(frame),
        };
        match (frame, done) {
            (frame @ Frame::Open(_), Ok(_)) => self.hand_on(frame),
            (Frame::Rows(rows), Ok(Worked::Hidden(hidden))) if !self.is_last() => {
                self.hand_on(Frame::Rows(Rows { hidden, ..rows }));
            }
            (Frame::Rows(rows), Ok(Worked::Chosen(chosen))) if self.is_last() => {
                let end = rows.at + rows.tokens.len() as u32;
                self.hand_on(Frame::Done(Done { slot, epoch, end, chosen }));
            }
            (_, Ok(_)) => self.drop_ring("the model gave what no stage gives"),
            // The model may be in any state: only what was asked wrongly leaves it as it was.
            (frame, Err((Blame::Asked, why))) => {
                // The stages behind must know of the sequence, or its end would surprise them.
                if let (Frame::Open(_), false) = (&frame, self.is_last()) {
                    self.hand_on(frame);
                }
                self.hand_on(Frame::Fault(Fault {
                    of: Some((slot, epoch)),
                    blame: Blame::Asked,
                    why: sentence(&why),
                }));
            }
            (_, Err((_, why))) => self.drop_ring(&why),
        }
    }
}
