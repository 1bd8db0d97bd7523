//! The targets of hearing: what a neighbour sends and answers, of timers too, WAV files, and the weights of Silero's detector.

use std::sync::Arc;
use voice::silero::{Silero, WINDOW, Weights};

use crate::{hear_letter as letter, sound_wav as wav, timer_record as record};

/// A byte says which of the three a stranger sends.
pub fn hear_letter(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    match kind % 3 {
        0 => match letter::sound(rest) {
            Ok(pcm) => assert_eq!(letter::body(&pcm), rest, "sound does not come back"),
            Err(error) => assert!(!error.to_string().is_empty()),
        },
        1 => {
            let Ok(text) = str::from_utf8(rest) else { return };
            if let Ok(language) = letter::language(text) {
                let head = letter::head("[fd01::7]:8000", language, 2);
                assert_eq!(head.matches("\r\n").count(), 7, "a language forged a field");
            }
        }
        _ => match letter::answer(rest) {
            Ok(told) => {
                assert!(told.text.len() < rest.len(), "the text is longer than what came");
                assert!(told.worked_s >= 0.0 && told.waited_s >= 0.0 && told.cpu_s >= 0.0);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        },
    }
}

/// A file; what was read of it is no more than what is there.
pub fn sound_wav(bytes: &[u8]) {
    match wav::read(bytes) {
        Ok(clip) => {
            assert!(2 * clip.samples.len() <= bytes.len(), "more samples than bytes");
            assert!((8_000..=48_000).contains(&clip.rate), "a rate of {}", clip.rate);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A file; weights that were taken make a likelihood of every sound.
pub fn silero_model(bytes: &[u8]) {
    match Weights::read(bytes) {
        Ok(weights) => {
            let score = Silero::new(Arc::new(weights)).hear(&[0.5; WINDOW]);
            assert!(score.is_nan() || (0.0..=1.0).contains(&score), "a likelihood of {score}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A byte says which of the four a node sends; what was taken comes back as it was.
pub fn timer_record(bytes: &[u8]) {
    fn check<T: record::Told + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
        match record::read::<T>(bytes) {
            Ok(told) => {
                let again = serde_json::to_vec(&told).expect("what was read can be written");
                assert_eq!(record::read::<T>(&again), Ok(told), "it does not come back");
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    let Some((kind, rest)) = bytes.split_first() else { return };
    match kind % 4 {
        0 => check::<record::Record>(rest),
        1 => check::<record::Rung>(rest),
        2 => check::<record::Known>(rest),
        _ => check::<record::Mine>(rest),
    }
}
