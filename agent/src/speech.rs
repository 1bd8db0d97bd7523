//! Text to sound.
//!
//! `engine` is what an engine must do, `espeak` is the one that every node has, `tone` is the one of tests. `mouth` lets
//! one engine speak for all conversations of a node: `queue` says whose turn it is, `wish` in which voice, `job` keeps
//! whoever listens, `watch` sees an engine that hangs. `sayings` is how each language says what is written, and `say`
//! is the command.

pub mod engine;
#[cfg(feature = "speak")]
pub mod espeak;
mod job;
pub mod mouth;
mod queue;
pub mod say;
pub mod sayings;
#[cfg(feature = "speak")]
mod tame;
pub mod tone;
mod watch;
pub mod wish;

use admission::VoiceSettings;
use engine::{Engine, SpeechError};
use mouth::Mouth;

/// The mouth of this node, with the engine that this agent was built with.
pub fn start(settings: &VoiceSettings) -> std::io::Result<Mouth> {
    Mouth::start(Box::new(engine), settings)
}

#[cfg(feature = "speak")]
fn engine() -> Result<Box<dyn Engine>, SpeechError> {
    Ok(Box::new(espeak::Espeak::start(None)?))
}

#[cfg(not(feature = "speak"))]
fn engine() -> Result<Box<dyn Engine>, SpeechError> {
    Err(SpeechError::Start("this agent was built without speech".into()))
}
