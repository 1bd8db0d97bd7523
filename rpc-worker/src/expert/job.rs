//! What a request asks of the scheduler, and what it hears from it.

use super::backend::{BackendError, Manner};
use super::figures::Ticket;
use engine::Token;
use openai::answer::Finish;
use tokio::sync::mpsc;

/// Words that wait for a slow reader. Then its sequence pauses, and nobody else's.
pub const SAID_MAX: usize = 64;

/// A text to be gone on with.
pub struct Job {
    pub prompt: Vec<Token>,
    pub manner: Manner,
    /// Tokens of the answer; at least one, and with the prompt no more than a slot holds.
    pub n_tokens_max: u32,
    pub stops: Vec<String>,
    /// Whether tokens that mean something are shown as text.
    pub shows_marks: bool,
    pub says: mpsc::Sender<Said>,
    /// Its place in the queue.
    pub ticket: Ticket,
}

/// What a request hears: once `Began`, then pieces, then `Ended`; or `Failed` at any time, and nothing after it.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    Began { n_cached: u32 },
    Piece(Piece),
    Ended { finish: Finish, n_generated: u32 },
    Failed(BackendError),
}

/// Text that became showable, perhaps none, and the token that brought it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Piece {
    pub text: String,
    /// Only where logarithms were asked for.
    pub chance: Option<Chance>,
    /// All tokens since the last piece. None at all where the answer ended and this was held back.
    pub tokens: Vec<Token>,
}

/// A token with its bytes and its rivals.
#[derive(Debug, Clone, PartialEq)]
pub struct Chance {
    pub bytes: Vec<u8>,
    pub logprob: f32,
    pub rivals: Vec<(Vec<u8>, f32)>,
}
