//! A cut model at work: the head's machine, a stage's machine, and one connection's, all without hands.
//!
//! The stages form a ring: the head has the first layers, each stage hands on to the next, and the last chooses a token
//! and gives it to the head. When a connection falls, all fall, and the head closes the ring anew.
//! Then it asks what each stage has left: one that was not lost has its cache, and keeps the hidden states that it
//! handed on. So only the stage that is new computes again, from what the one before it kept, and nobody guesses what
//! another knows. What is not kept is computed again from as far back as it must be, at worst from the tokens.
//!
//! Clock, sockets and the model are handed in. What is said is in `wire`.

mod head;
mod kept;
mod link;
mod resume;
mod stage;

pub use head::{Event, Head, Input, Output, Work};
pub use link::{Link, LinkOutput};
pub use stage::{Job, Stage, StageInput, StageOutput, Worked};

use std::time::Duration;

/// Between two signs of life.
pub const BEAT: Duration = Duration::from_millis(150);
/// Who says nothing for so long is gone. Signs of life come from a thread that never computes, and go before models in
/// the scheduler; some may still be lost to a busy processor.
pub const SILENCE_MAX: Duration = Duration::from_millis(1000);
/// Who looks so much later than he wanted was asleep himself, and holds that time against nobody.
pub const LATE_MAX: Duration = Duration::from_millis(100);
/// From the connection to the other's hello.
pub const HELLO_TIME_MAX: Duration = Duration::from_millis(1200);
/// A piece that is not through by then will not come: the largest takes some seconds on a slow PC.
pub const PIECE_TIME_MAX: Duration = Duration::from_secs(30);
/// A new stage that computes a history anew is given this at most, however long the history is.
pub const CATCH_UP_TIME_MAX: Duration = Duration::from_secs(600);
/// A ring that was lost may come back for so long; then the sequences are given up, so that another can go on with them
/// while the client still waits.
pub const RESUME_TIME_MAX: Duration = Duration::from_millis(1200);
/// A ring that was given other neighbours, not lost: their assignments come within a second or two of each other.
pub const REMAKE_TIME_MAX: Duration = Duration::from_millis(3000);
/// A sequence that lost its ring so often without getting on is given up.
pub const RESUMES_MAX: u32 = 3;
/// Pieces of one sequence on their way at a time: enough to keep every stage of a short ring busy.
pub const AHEAD_MAX: usize = 4;
/// Pieces that wait in one stage, with those that are handed on again after a loss.
pub const QUEUE_MAX: usize = AHEAD_MAX * 64 + (1 << 14);
/// Hidden states that one stage keeps, as bytes: 2048 positions of a model 4096 wide.
pub const KEPT_BYTES_MAX: usize = 32 << 20;
/// Fewer rows than these are multiplied by other kernels, which round otherwise.
pub const FEW_ROWS: usize = 4;
/// Pieces of so few rows that are handed on again one by one; if there are more, they go together.
pub const EXACT_MAX: usize = 256;
/// Rows of a piece that is put together for a stage that is new.
pub const RESUME_ROWS: usize = 64;
