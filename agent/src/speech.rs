//! Text to sound.

#[cfg(feature = "speak")]
pub mod espeak;
