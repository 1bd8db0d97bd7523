//! Sound cards: what a microphone hears, what a speaker plays.
//!
//! Pure, and tested without a card: `rate` converts between rates, `loudness` is volume and meter, `earcon` makes the
//! three sounds that are no speech, `tape` is what is to be played, `pump` keeps a card in sound and lets it rest.
//! `inbox` is the way from a conversation to the thread of its speaker.
//! `wav` reads and writes files of sound, `wav_device` stands for a whole card, on a clock that is only told.

pub mod earcon;
pub mod inbox;
pub mod loudness;
pub mod pump;
pub mod rate;
pub mod tape;
pub mod wav;
pub mod wav_device;

pub use inbox::Mouthpiece;

/// What a microphone's frame holds at 16 kHz: 16 ms, as the detector of voice takes them.
pub const FRAME_SAMPLES: usize = 256;
