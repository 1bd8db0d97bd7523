//! An engine of one tone: so long as the text has words, and the same samples each time.
//!
//! It shows that the place of the engine is one, and lets tests of a whole conversation know every sample.

use super::engine::{Engine, Sink, SpeechError, TEXT_BYTES_MAX, Voice};

/// Samples a second.
pub const RATE: u32 = 16_000;
/// As long as a piece of espeak's.
const PIECE: usize = RATE as usize / 25;
/// Samples of half a wave: 400 Hz.
const HALF_WAVE: usize = 20;
const LOUDNESS: i16 = 8000;
const VOICES: [&str; 3] = ["en", "de", "fr"];

/// A square wave.
#[derive(Debug, Default)]
pub struct Tone {
    voice: Voice,
}

/// How many samples a text has at a rate of speech.
pub fn n_samples(text: &str, words_a_minute: u16) -> usize {
    text.split_whitespace().count() * RATE as usize * 60 / usize::from(words_a_minute.max(1))
}

impl Engine for Tone {
    fn name(&self) -> &'static str {
        "tone"
    }

    fn rate(&self) -> u32 {
        RATE
    }

    fn set(&mut self, voice: &Voice) -> Result<(), SpeechError> {
        if !VOICES.contains(&voice.name.as_str()) {
            return Err(SpeechError::Voice { name: voice.name.clone() });
        }
        self.voice = voice.clone();
        Ok(())
    }

    fn voices(&self) -> Vec<String> {
        VOICES.map(String::from).into()
    }

    fn say(&mut self, text: &str, sink: Sink<'_>) -> Result<(), SpeechError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(SpeechError::Text { bytes: text.len() });
        }
        let sample = |idx: usize| if (idx / HALF_WAVE).is_multiple_of(2) { LOUDNESS } else { -LOUDNESS };
        let sound: Vec<i16> = (0..n_samples(text, self.voice.rate)).map(sample).collect();
        // Whatever ends it, nothing is left to do.
        let _ = sound.chunks(PIECE).try_for_each(sink);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::ControlFlow;

    #[test]
    fn it_is_as_long_as_its_words_and_ends_when_told() {
        let mut tone = Tone::default();
        let mut pieces = vec![];
        let mut all = |piece: &[i16]| {
            pieces.push(piece.len());
            ControlFlow::Continue(())
        };
        tone.set(&Voice { rate: 150, ..Voice::default() }).unwrap();
        tone.say("one two", &mut all).unwrap();
        assert_eq!(pieces.iter().sum::<usize>(), n_samples("one two", 150));
        assert_eq!(pieces.iter().sum::<usize>(), 12_800);
        let mut n = 0;
        tone.say("one two", &mut |_| {
            n += 1;
            ControlFlow::Break(())
        })
        .unwrap();
        assert_eq!(n, 1);
    }
}
