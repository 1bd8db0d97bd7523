//! A cut model at work: the head's machine, a stage's machine, and one connection's, all without hands.
//!
//! The stages form a ring: the head has the first layers, each stage hands on to the next, and the last chooses a token
//! and gives it to the head. A ring is one thing: when a connection falls, all fall, every stage forgets, and the head,
//! which knows every sequence's tokens, builds it up again. So no stage ever has to guess what another still knows.
//!
//! Clock, sockets and the model are handed in. What is said is in `wire`.

mod head;
mod link;
mod stage;

pub use head::{Event, Head, Input, Output, Work};
pub use link::{Link, LinkOutput};
pub use stage::{Job, Stage, StageInput, StageOutput, Worked};

use std::time::Duration;

/// Between two signs of life.
pub const BEAT: Duration = Duration::from_millis(300);
/// Who says nothing for so long is gone. Four beats: one may be lost to a busy processor.
pub const SILENCE_MAX: Duration = Duration::from_millis(1200);
/// From the connection to the other's hello.
pub const HELLO_TIME_MAX: Duration = Duration::from_millis(1200);
/// A piece that is not through by then will not come: the largest takes some seconds on a slow PC.
pub const PIECE_TIME_MAX: Duration = Duration::from_secs(30);
/// A ring that was lost may come back for so long; then the sequences are given up, so that another can go on with them
/// while the client still waits.
pub const RESUME_TIME_MAX: Duration = Duration::from_millis(1200);
/// A sequence that lost its ring so often without getting on is given up.
pub const RESUMES_MAX: u32 = 3;
/// Pieces of one sequence on their way at a time: enough to keep every stage of a short ring busy.
pub const AHEAD_MAX: usize = 4;
/// Pieces that wait in one stage; the head never sends more.
pub const QUEUE_MAX: usize = AHEAD_MAX * 64;
