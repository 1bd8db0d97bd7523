//! Remote microphones: a phone's or laptop's page, or any program with a key for the voice, talks with this node over a
//! WebSocket.
//!
//! `words` and `frame` read what callers send, `access` says who may come, `limits` what they may cost, `down` is the queue
//! to a remote speaker: pure.
//! `desk` knows which sessions there are, `carry` is one socket's hands, `door` answers requests, `local` is for this PC's
//! console.

pub mod access;
mod carry;
pub mod desk;
mod door;
pub mod down;
pub mod frame;
pub mod limits;
pub mod local;
#[cfg(test)]
mod tests;
pub mod words;

pub use desk::Sessions;
pub use door::{Door, PATH};
