//! Whether a frame of sound is voice: what opens the ear, finds rests and trims what was said.
//!
//! A detector keeps its state over frames, so each conversation has its own. It says what it thinks of single frames;
//! `voice::pause` draws the conclusions.

/// Samples of a frame at 16 kHz: 16 ms.
pub const FRAME: usize = 256;

/// Above this a frame is voice for earshot.
const EARSHOT_LEAST: f32 = 0.5;

pub trait Detector: Send {
    fn is_voice(&mut self, frame: &[i16; FRAME]) -> bool;

    /// Another recording begins.
    fn reset(&mut self);
}

/// The usual one: 6.6 M instructions for a second of sound.
pub fn earshot() -> Box<dyn Detector> {
    Box::new(Earshot(earshot::Detector::default()))
}

struct Earshot(earshot::Detector);

impl Detector for Earshot {
    fn is_voice(&mut self, frame: &[i16; FRAME]) -> bool {
        self.0.predict_i16(frame) >= EARSHOT_LEAST
    }

    fn reset(&mut self) {
        self.0.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_no_voice() {
        let mut detector = earshot();
        for _ in 0..100 {
            assert!(!detector.is_voice(&[0; FRAME]));
        }
    }
}
