//! One of the backend's slots, and the request that runs in it: what it has read, what it wrote, what its client was told.
//!
//! It knows nothing of the other slots, and begins no work: `schedule` says whose turn it is.

use super::backend::{Chosen, Slot, Work};
use super::figures::{Count, Figures};
use super::job::{Chance, Job, Piece, Said};
use engine::{Model, Token};
use openai::answer::Finish;
use prompt::StopMachine;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::error::TrySendError;

/// A client that takes nothing for so long is given up.
const STALL_MAX: Duration = Duration::from_secs(30);
/// A piece, the rest of the text, and the end.
const ROOM_FOR_A_STEP: usize = 3;

/// A slot, what it holds, and whose it is.
#[derive(Default)]
pub struct Seat {
    /// What is evaluated there.
    pub held: Vec<Token>,
    pub running: Option<Running>,
    /// When it was last given away; the longest unused goes first.
    pub turn: u64,
}

/// A request in a slot.
pub struct Running {
    pub job: Job,
    stop: StopMachine,
    /// Prompt and answer.
    pub tokens: Vec<Token>,
    /// Of these the first are read: the prompt, and what another copy said.
    pub n_given: usize,
    /// Of these the client was told.
    n_told: usize,
    /// Positions that were handed to the backend.
    pub n_begun: usize,
    pub n_flying: usize,
    /// Since when its client takes nothing.
    full_since: Option<Instant>,
    arrived: Instant,
}

impl Seat {
    /// Whether nothing happens here before its client takes something.
    pub fn is_still(&self) -> bool {
        self.running.as_ref().is_none_or(|running| running.n_flying == 0 && running.full_since.is_some())
    }

    pub fn writes(&self) -> bool {
        self.running.as_ref().is_some_and(|running| !running.is_reading() && running.full_since.is_none())
    }

    /// Tokens of a text that are evaluated here already.
    pub fn shared(&self, tokens: &[Token]) -> usize {
        self.held.iter().zip(tokens).take_while(|(a, b)| a == b).count()
    }
}

impl Running {
    /// A request that sits down where `n_kept` of its tokens are evaluated. Perhaps it is over already: then the copy
    /// before this one had only not said so.
    pub fn begin(
        model: &Model,
        mut job: Job,
        tokens: Vec<Token>,
        n_kept: usize,
        mut stop: StopMachine,
        arrived: Instant,
    ) -> (Running, Option<Finish>) {
        // What stays of the prompt is told, as it would have been without a copy before this one.
        let n_cached = n_kept.min(job.prompt.len()) as u32;
        // Its client may be gone; the next step notices.
        let _ = job.says.try_send(Said::Began { n_cached });
        job.ticket.seated();
        let mut is_stopped = false;
        for token in &job.manner.begun {
            let piece = model.piece(*token, job.shows_marks).unwrap_or_default();
            is_stopped = stop.push(&piece).stopped.is_some();
        }
        let (n_given, n_told) = (tokens.len(), tokens.len());
        let running = Running {
            job,
            stop,
            tokens,
            n_given,
            n_told,
            n_begun: n_kept,
            n_flying: 0,
            full_since: None,
            arrived,
        };
        let is_full = running.n_generated() >= running.job.n_tokens_max;
        let over = if is_stopped { Some(Finish::Stop) } else { is_full.then_some(Finish::Length) };
        (running, over)
    }

    fn n_generated(&self) -> u32 {
        (self.tokens.len() - self.job.prompt.len()) as u32
    }

    pub fn is_reading(&self) -> bool {
        self.n_begun < self.n_given
    }

    /// Whether its last token waits to be evaluated, and its client for the next.
    pub fn is_next(&self) -> bool {
        let has_one = !self.is_reading() && self.n_flying == 0 && self.n_begun < self.tokens.len();
        has_one && self.full_since.is_none()
    }

    /// Whether its client left, or takes nothing for too long. One that is slow pauses.
    pub fn is_given_up(&mut self, now: Instant) -> bool {
        let is_full = self.job.says.capacity() < ROOM_FOR_A_STEP;
        self.full_since = is_full.then(|| self.full_since.unwrap_or(now));
        let is_stalled = self.full_since.is_some_and(|since| now - since > STALL_MAX);
        self.job.says.is_closed() || is_stalled
    }

    /// The next `n` tokens as work; after the last one is chosen.
    pub fn work(&mut self, slot: usize, n: usize) -> Work {
        let at = self.n_begun;
        self.n_begun += n;
        self.n_flying += 1;
        Work {
            slot: slot as Slot,
            at: at as u32,
            tokens: self.tokens[at..at + n].to_vec(),
            choose: at + n == self.tokens.len(),
        }
    }

    /// One more token of the answer; says why it ends, if it does.
    pub fn write(
        &mut self,
        model: &Model,
        n_ctx: usize,
        chosen: &Chosen,
        figures: &Figures,
    ) -> Option<Finish> {
        if self.tokens.len() == self.n_given {
            figures.add(Count::FirstTokens, 1);
            figures.add(Count::FirstTokenMs, self.arrived.elapsed().as_millis() as u64);
        }
        if model.ends(chosen.token) {
            return Some(Finish::Stop);
        }
        figures.add(Count::Tokens, 1);
        self.tokens.push(chosen.token);
        let shown = self.stop.push(&model.piece(chosen.token, self.job.shows_marks).unwrap_or_default());
        let chance = chance(model, chosen);
        if !shown.text.is_empty() || chance.is_some() {
            let tokens = self.tokens[self.n_told..].to_vec();
            self.n_told = self.tokens.len();
            say(&self.job, Said::Piece(Piece { text: shown.text, chance, tokens }));
        }
        if shown.stopped.is_some() {
            return Some(Finish::Stop);
        }
        let is_full = self.tokens.len() >= n_ctx || self.n_generated() >= self.job.n_tokens_max;
        is_full.then_some(Finish::Length)
    }

    /// The rest of the text, and why there is no more.
    pub fn end(self, finish: Finish) {
        let n_generated = self.n_generated();
        let rest = self.stop.finish().text;
        if !rest.is_empty() {
            say(&self.job, Said::Piece(Piece { text: rest, ..Piece::default() }));
        }
        say(&self.job, Said::Ended { finish, n_generated });
    }
}

/// There was room before the step began; a client that left is noticed before the next.
fn say(job: &Job, said: Said) {
    if let Err(TrySendError::Full(_)) = job.says.try_send(said) {
        unreachable!("a step begins only where there is room for what it says");
    }
}

fn chance(model: &Model, chosen: &Chosen) -> Option<Chance> {
    let logprob = chosen.logprob?;
    let bytes = |token: Token| model.piece(token, true).unwrap_or_default();
    let rivals = chosen.rivals.iter().map(|(token, logprob)| (bytes(*token), *logprob)).collect();
    Some(Chance { bytes: bytes(chosen.token), logprob, rivals })
}
