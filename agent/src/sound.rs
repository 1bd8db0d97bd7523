//! Sound cards: what a microphone hears, what a speaker plays.
//!
//! Pure, and tested without a card: `rate` converts between rates, `loudness` is volume and meter, `earcon` makes the
//! three sounds that are no speech, `tape` is what is to be played, `pump` keeps a card in sound and lets it rest,
//! `devices` says which card is taken, `echo` when the node hears itself, `state` is what a person sees of all that.
//! `inbox` is the way from a conversation to the thread of its speaker, `lent` lets another program have the cards.
//! `wav` reads and writes files of sound, `wav_device` stands for a whole card, on a clock that is only told.
//!
//! Behind the feature `sound`: `open` and `mixer` are the face of libasound, `finding` looks for cards, `recording` and
//! `playing` are the two threads, `local` is both for one conversation, `commands` what the owner asks at a terminal.

#[cfg(feature = "sound")]
pub mod commands;
pub mod devices;
pub mod earcon;
pub mod echo;
#[cfg(feature = "sound")]
pub mod finding;
pub mod inbox;
pub mod lent;
#[cfg(feature = "sound")]
pub mod local;
pub mod loudness;
#[cfg(feature = "sound")]
mod mixer;
#[cfg(feature = "sound")]
mod open;
#[cfg(feature = "sound")]
mod playing;
pub mod pump;
pub mod rate;
#[cfg(feature = "sound")]
mod recording;
pub mod state;
pub mod tape;
pub mod wav;
pub mod wav_device;

pub use inbox::Mouthpiece;
#[cfg(feature = "sound")]
pub use recording::Earpiece;

/// What a microphone's frame holds at 16 kHz: 16 ms, as the detector of voice takes them.
pub const FRAME_SAMPLES: usize = 256;
/// The niceness of the two threads: they do little, and what they do late is heard.
#[cfg(feature = "sound")]
const NICE: i32 = -10;

/// The calling thread goes first, where its unit allows it (`LimitNICE=-10`).
#[cfg(feature = "sound")]
fn hurry() {
    // Without the right to it sound goes on as well as it can; its overruns are counted.
    _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
}
