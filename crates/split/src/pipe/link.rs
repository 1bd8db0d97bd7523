//! One connection between neighbours: hello, signs of life, silence.

use super::{BEAT, HELLO_TIME_MAX, LATE_MAX, SILENCE_MAX};
use crate::wire::{Blame, Fault, Frame, Hello, sentence};
use std::collections::VecDeque;
use std::time::Instant;

#[derive(Debug, PartialEq)]
pub enum LinkOutput {
    Send(Frame),
    /// The other is the right one.
    Up,
    /// For the machine behind the link.
    Came(Frame),
    /// The connection is to be closed, after what was to be sent.
    Down(String),
}

/// A connection. Whoever dials speaks first.
pub struct Link {
    mine: Hello,
    /// The other is the stage before this one; else the one after it.
    is_from_previous: bool,
    is_up: bool,
    is_over: bool,
    began: Instant,
    heard: Instant,
    said: Instant,
    outputs: VecDeque<LinkOutput>,
}

impl Link {
    /// To the next stage.
    pub fn dial(now: Instant, mine: Hello) -> Link {
        let mut link = Link::new(now, mine, false);
        link.send(now, Frame::Hello(link.mine.clone()));
        link
    }

    /// From the stage before, which said its hello. It was found by its key.
    pub fn accept(now: Instant, mine: Hello, hello: &Hello) -> Link {
        let mut link = Link::new(now, mine, true);
        if link.judge(now, hello) {
            link.send(now, Frame::Hello(link.mine.clone()));
            link.outputs.push_back(LinkOutput::Up);
        }
        link
    }

    fn new(now: Instant, mine: Hello, is_from_previous: bool) -> Link {
        Link {
            mine,
            is_from_previous,
            is_up: false,
            is_over: false,
            began: now,
            heard: now,
            said: now,
            outputs: VecDeque::new(),
        }
    }

    pub fn came(&mut self, now: Instant, frame: Frame) {
        if self.is_over {
            return;
        }
        self.heard = now;
        match frame {
            Frame::Beat => {}
            Frame::Fault(Fault { of: None, why, .. }) => self.fall(now, why, false),
            Frame::Hello(hello) if !self.is_up => {
                if self.judge(now, &hello) {
                    self.outputs.push_back(LinkOutput::Up);
                }
            }
            Frame::Hello(_) => self.fall(now, "a second hello came".to_owned(), true),
            frame if self.is_up => self.outputs.push_back(LinkOutput::Came(frame)),
            _ => self.fall(now, "something came before the hello".to_owned(), true),
        }
    }

    pub fn is_up(&self) -> bool {
        self.is_up && !self.is_over
    }

    /// Whether it was up, also if it fell since.
    pub fn was_up(&self) -> bool {
        self.is_up
    }

    /// A frame of the machine behind the link.
    pub fn send(&mut self, now: Instant, frame: Frame) {
        if !self.is_over {
            self.said = now;
            self.outputs.push_back(LinkOutput::Send(frame));
        }
    }

    /// The machine behind the link ends it, and the other is told why.
    pub fn end(&mut self, now: Instant, why: &str) {
        self.fall(now, why.to_owned(), true);
    }

    pub fn time(&mut self, now: Instant) {
        let Some(due) = self.deadline() else { return };
        let late = now.saturating_duration_since(due);
        if late > LATE_MAX {
            // What came meanwhile may not be read yet.
            self.heard += late;
            self.began += late;
        }
        if !self.is_up && now >= self.began + HELLO_TIME_MAX {
            let why = format!("stage {} did not say hello", self.other());
            return self.fall(now, why, true);
        }
        if now >= self.heard + SILENCE_MAX {
            let why =
                format!("nothing was heard of stage {} for {} ms", self.other(), SILENCE_MAX.as_millis());
            return self.fall(now, why, true);
        }
        if self.is_up && now >= self.said + BEAT {
            self.send(now, Frame::Beat);
        }
    }

    pub fn poll(&mut self) -> Option<LinkOutput> {
        self.outputs.pop_front()
    }

    pub fn deadline(&self) -> Option<Instant> {
        if self.is_over {
            return None;
        }
        let silence = self.heard + SILENCE_MAX;
        Some(if self.is_up {
            silence.min(self.said + BEAT)
        } else {
            silence.min(self.began + HELLO_TIME_MAX)
        })
    }

    /// The number of the stage at the other end.
    fn other(&self) -> u16 {
        let Hello { stage_idx, n_stages, .. } = self.mine;
        if self.is_from_previous { (stage_idx + n_stages - 1) % n_stages } else { (stage_idx + 1) % n_stages }
    }

    fn judge(&mut self, now: Instant, other: &Hello) -> bool {
        match self.wrong(other) {
            None => self.is_up = true,
            Some(why) => self.fall(now, why, true),
        }
        self.is_up
    }

    /// Why the two cannot work together.
    fn wrong(&self, other: &Hello) -> Option<String> {
        let mine = &self.mine;
        let (before, after) = if self.is_from_previous { (other, mine) } else { (mine, other) };
        let follows = if after.stage_idx == 0 {
            before.end == before.of && after.first == 0
        } else {
            before.end == after.first
        };
        if mine.key != other.key {
            Some("the other stage is of another pipeline".to_owned())
        } else if mine.build != other.build {
            Some(format!("builds differ: {} here, {} there", mine.build, other.build))
        } else if mine.model != other.model || mine.of != other.of || mine.n_embd != other.n_embd {
            Some("the slices are of different models".to_owned())
        } else if mine.n_stages != other.n_stages || other.stage_idx != self.other() {
            let (found, n) = (other.stage_idx, other.n_stages);
            Some(format!(
                "stage {found} of {n} came, where stage {} of {} was due",
                self.other(),
                mine.n_stages
            ))
        } else if !follows {
            Some(format!("layer {} does not follow layer {}", after.first, before.end))
        } else if (mine.n_ctx, mine.n_slots) != (other.n_ctx, other.n_slots) {
            Some("the stages differ in their slots".to_owned())
        } else {
            None
        }
    }

    fn fall(&mut self, now: Instant, why: String, tells: bool) {
        if self.is_over {
            return;
        }
        if tells {
            self.send(now, Frame::Fault(Fault { of: None, blame: Blame::Lost, why: sentence(&why) }));
        }
        self.is_over = true;
        self.outputs.push_back(LinkOutput::Down(why));
    }
}
