//! Hearing: a clip of sound in, its words out.
//!
//! `resample` brings sound into shape, `model` checks a model file before whisper.cpp sees it, `mel` makes the picture
//! that the encoder reads, `window` says how much of it is computed, `words` picks the next word, `detect` tells voice
//! from other sound.
//! All of these are pure. `ear`, behind the feature `hear`, is the face of whisper.cpp.

pub mod detect;
#[cfg(feature = "hear")]
pub mod ear;
#[cfg(feature = "hear")]
mod kernel_choice;
#[cfg(feature = "hear")]
pub mod measure;
pub mod mel;
pub mod model;
pub mod resample;
#[cfg(feature = "hear")]
pub mod transcribe;
pub mod window;
pub mod words;

/// Samples a second: what whisper was trained on.
pub const RATE: u32 = 16_000;
