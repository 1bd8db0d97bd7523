//! What a turn leaves behind: when each stage was reached, and how it ended.

use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Answered,
    /// Nobody spoke, or nothing was understood.
    Nothing,
    /// The key went down, or the ear was closed.
    Interrupted,
    MicrophoneLost,
    /// Speech to text failed or took too long.
    NotHeard,
    /// The model failed before its first word, or never began.
    NoAnswer,
    /// The model failed or stopped in the middle; what came was spoken.
    CutShort,
    /// The speaker took no sound.
    NotSpoken,
}

/// Times are those of the hands' clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub turn: u32,
    pub outcome: Outcome,
    /// The key went down, or a voice was heard.
    pub began: Duration,
    pub released: Option<Duration>,
    pub heard: Option<Duration>,
    pub first_word: Option<Duration>,
    pub first_clause: Option<Duration>,
    pub first_sound: Option<Duration>,
    pub ended: Option<Duration>,
    pub recorded_ms: u32,
    pub n_clauses: u32,
    pub answer_bytes: usize,
    /// The text was guessed before the key came up.
    pub is_guessed: bool,
    /// The turn began in the middle of another.
    pub has_interrupted: bool,
}

impl Report {
    pub(super) fn new(turn: u32, began: Duration, has_interrupted: bool) -> Report {
        Report {
            turn,
            outcome: Outcome::Nothing,
            began,
            released: None,
            heard: None,
            first_word: None,
            first_clause: None,
            first_sound: None,
            ended: None,
            recorded_ms: 0,
            n_clauses: 0,
            answer_bytes: 0,
            is_guessed: false,
            has_interrupted,
        }
    }
}
