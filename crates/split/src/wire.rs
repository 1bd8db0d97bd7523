//! What the stages of a cut model say to each other: frames over TCP.
//!
//! A frame is a head of 24 bytes and a body. The head has the length, the frame's number on its connection and a check
//! of the whole frame; the body's length is held to its kind's limit before memory is asked for, and every field to its
//! own before it is used.
//! Hidden states travel as the floats they are: half of the bits would halve the bytes, and other tokens would come out.
//!
//! Pure: bytes to frames and back. Who may say what, and when, is in `pipe`.

mod check;
mod envelope;
mod error;
mod frame;
mod kinds;
mod put;
mod read;
#[cfg(test)]
mod tests;

pub use envelope::{Counter, Head, seal};
pub use error::WireError;
pub use frame::{Blame, Chosen, Done, Fault, Frame, Hello, Left, Manner, Open, Rest, Rows, sentence};

/// Of the format; both ends must have the same.
pub const VERSION: u8 = 2;
/// Bytes before the body.
pub const HEAD_BYTES: usize = 24;
/// The longest body that any kind has: a piece of hidden states.
pub const BODY_BYTES_MAX: usize = ROWS_BYTES_MAX + 64 + 4 * ROWS_MAX;
/// Positions in one piece of a prompt.
pub const ROWS_MAX: usize = 512;
/// Floats of one piece, as bytes: 512 positions of a model 8192 wide.
pub const ROWS_BYTES_MAX: usize = 1 << 24;
/// Bytes of the name of a build.
pub const BUILD_BYTES_MAX: usize = 64;
/// Bytes of a grammar, as the engine has it.
pub const GRAMMAR_BYTES_MAX: usize = 1 << 18;
/// Rivals that are told with a token.
pub const RIVALS_MAX: usize = 20;
/// Tokens that were chosen before, of a sequence that is taken up again.
pub const CHOSEN_MAX: usize = 1 << 17;
/// Rolls of the dice that were made before: a token takes two where a grammar refuses the first.
pub const ROLLS_MAX: u32 = 1 << 18;
/// Bytes of the sentence of a fault.
pub const WHY_BYTES_MAX: usize = 400;
pub const SLOTS_MAX: u16 = 64;
pub const STAGES_MAX: u16 = 64;
pub const LAYERS_MAX: u16 = 512;
/// Positions of one sequence.
pub const CTX_MAX: u32 = 1 << 17;
/// Width of a hidden state, as `gguf` takes it.
pub const WIDTH_MAX: u32 = 1 << 17;
