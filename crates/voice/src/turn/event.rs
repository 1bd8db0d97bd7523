//! What happens to a turn, and what it wants done.

use super::{Clause, Report};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard<'a> {
    Text(&'a str),
    /// Nobody spoke.
    Nothing,
    Failed,
}

#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    Press,
    Release,
    /// Sound of the open microphone, at most `FRAME_SAMPLES_MAX`.
    Frame {
        pcm: &'a [i16],
        is_voice: bool,
    },
    MicrophoneLost,
    Heard {
        wish: u32,
        heard: Heard<'a>,
    },
    Words {
        turn: u32,
        words: &'a str,
    },
    AnswerEnded {
        turn: u32,
    },
    AnswerFailed {
        turn: u32,
    },
    /// The first sound of this clause has left.
    Sounding {
        turn: u32,
        clause_idx: u32,
    },
    /// The last one has.
    Spoken {
        turn: u32,
        clause_idx: u32,
    },
    SpeakerLost,
    /// Time went by.
    Tick,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earcon {
    Listening,
    Thinking,
    Error,
    /// A timer is over. No turn wishes for it.
    Ring,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    Earcon(Earcon),
    /// Whether frames are wanted. A key that still holds when they no longer are has to be told `Ended`.
    Microphone(bool),
    Transcribe {
        wish: u32,
        pcm: Vec<i16>,
        is_guess: bool,
    },
    /// Nobody waits for this text any more.
    Forget {
        wish: u32,
    },
    Ask {
        turn: u32,
        text: String,
    },
    StopAsking {
        turn: u32,
    },
    Say {
        turn: u32,
        clause_idx: u32,
        clause: Clause,
    },
    /// No sound of this turn may be heard from now on.
    Hush {
        turn: u32,
    },
    Done(Report),
}
