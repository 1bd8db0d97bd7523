//! A turn: the key goes down, somebody speaks, and an answer is spoken while it is still being written.
//!
//! Nothing here reads a clock, a key or a sound: `key` makes presses of what keyboards tell, `pause` finds where speech
//! begins and rests, `turn` says what is to be done next, `clause` cuts what a model writes into what can be spoken,
//! `silero` and `whisper` hold the files of models to what they must be.
//! The hands are the agent's: devices, whisper, the brain, espeak.

#![forbid(unsafe_code)]

pub mod clause;
pub mod intent;
pub mod key;
pub mod pause;
pub mod silero;
pub mod speakable;
pub mod turn;
pub mod whisper;

/// Samples a second of everything that is recorded here, one channel.
pub const RATE: usize = 16_000;

/// How long so many samples last, in whole milliseconds.
pub fn ms(n_samples: usize) -> u32 {
    u32::try_from(n_samples * 1000 / RATE).unwrap_or(u32::MAX)
}

/// How many samples last so long.
pub const fn samples(ms: u32) -> usize {
    ms as usize * RATE / 1000
}
