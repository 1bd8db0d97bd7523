//! What computes for the scheduler: a whole model in this process, or one that is cut over several nodes.
//!
//! The scheduler begins work and then waits for what became of it, so that a pipeline can have several pieces on
//! their way. A backend is used by one thread; it knows no request, no text and no client.

use engine::{Model, Sampling, Token};
use std::fmt;
use std::sync::Arc;

/// A place for one conversation, from 0.
pub type Slot = u32;

/// What a backend can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub n_slots: u32,
    /// Positions of one slot.
    pub n_ctx: u32,
    /// Rows that may be begun at once, of all slots together.
    pub n_rows: usize,
    /// Pieces of one slot's prompt that may be on their way at a time.
    pub n_ahead: usize,
}

/// How the tokens of one sequence are chosen.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Manner {
    pub sampling: Sampling,
    /// How many rivals of a token are told with their logarithms; `None` for no logarithms at all.
    pub top_logprobs: Option<u32>,
    /// Tokens of the answer that another copy chose: grammar and penalties go on after them.
    pub begun: Vec<Token>,
}

/// Tokens to be evaluated in a slot, where its sequence ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    pub slot: Slot,
    /// The position of the first.
    pub at: u32,
    pub tokens: Vec<Token>,
    /// Whether a token is chosen after the last.
    pub choose: bool,
}

/// What became of work.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// All before `end` is evaluated; the token that was chosen there, if one was asked for. It is not evaluated yet.
    Done { slot: Slot, end: u32, chosen: Option<Chosen> },
    /// This sequence cannot go on. What its slot holds is no longer known.
    Failed { slot: Slot, error: BackendError },
}

/// A token, and how likely it and its rivals were before any setting.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    pub token: Token,
    pub logprob: Option<f32>,
    /// The likeliest first.
    pub rivals: Vec<(Token, f32)>,
}

/// Why a sequence does not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackendError {
    /// What was asked cannot be done, such as a grammar that is none.
    Refused(String),
    /// Somebody who is needed is gone; another may be able to go on.
    Lost(String),
    /// Ours.
    Broken(String),
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BackendError::Refused(why) | BackendError::Lost(why) | BackendError::Broken(why) => {
                f.write_str(why)
            }
        }
    }
}

impl std::error::Error for BackendError {}

/// Evaluates sequences side by side.
pub trait Backend: Send {
    /// Whose vocabulary and chat template count.
    fn model(&self) -> &Arc<Model>;

    fn shape(&self) -> Shape;

    /// Begins a sequence in a slot that has no work on its way: its first `keep` positions stay as they are.
    /// Tells how many did stay: none where a model's state cannot be cut.
    fn open(&mut self, slot: Slot, keep: u32, manner: Manner) -> Result<u32, BackendError>;

    /// The sequence is over, perhaps before its end: what is on its way for it is told no more.
    /// The positions stay for the next [`Backend::open`].
    fn close(&mut self, slot: Slot);

    /// Begins work, at most `n_rows` in all and one piece for each slot.
    fn begin(&mut self, works: Vec<Work>);

    /// What became of work. It may come back with nothing after a moment, so that its user can look after new requests.
    fn wait(&mut self) -> Vec<Event>;

    /// Keeps a beginning that many sequences share, evaluated once. `false`: this backend keeps none.
    fn keep_prefix(&mut self, tokens: &[Token]) -> Result<bool, BackendError> {
        let _ = tokens;
        Ok(false)
    }

    /// Lets a slot begin with the whole of the kept beginning, in place of what it holds.
    fn take_prefix(&mut self, slot: Slot) -> Result<(), BackendError> {
        let _ = slot;
        Err(BackendError::Broken("no beginning is kept".to_owned()))
    }
}
