//! Where speech begins, rests and ends, out of frames that are voice or are not.
//!
//! What a voice is, the detector says; it errs in single frames, so nothing follows from one of them.

use crate::{RATE, ms, samples};

/// So much voice in a row is speech: a click is shorter, and so are the false frames at a detector's start.
pub const BEGIN_MS: u32 = 80;
/// So long a silence is a rest: worth a guess at what was said.
pub const REST_MS: u32 = 300;
/// So long a silence ends what was said, where no key does.
pub const END_MS: u32 = 900;
/// What is kept before the first voice and after the last: soft consonants are no voice for a detector.
pub const MARGIN_MS: u32 = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// Somebody speaks.
    Began,
    /// A rest; up to where the recording holds what was said.
    Rested { end: usize },
    /// The rest is over.
    WentOn,
    /// Nobody went on.
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Silent { voice: usize },
    Speaking { silence: usize },
    Resting { silence: usize, voice: usize },
    Ended,
}

/// All lengths are in samples from the beginning of the recording.
#[derive(Debug)]
pub struct Pauses {
    state: State,
    n_samples: usize,
    /// Where speech began and was last heard.
    speech: Option<(usize, usize)>,
}

impl Default for Pauses {
    fn default() -> Pauses {
        Pauses { state: State::Silent { voice: 0 }, n_samples: 0, speech: None }
    }
}

impl Pauses {
    /// The next frame. At most one sign comes of it.
    pub fn handle(&mut self, n_samples: usize, is_voice: bool) -> Option<Sign> {
        self.n_samples += n_samples;
        let begin = samples(BEGIN_MS);
        let (state, sign) = match (self.state, is_voice) {
            (State::Silent { .. }, false) => (State::Silent { voice: 0 }, None),
            (State::Silent { voice }, true) if voice + n_samples < begin => {
                (State::Silent { voice: voice + n_samples }, None)
            }
            (State::Silent { voice }, true) => {
                self.speech = Some((self.n_samples - voice - n_samples, self.n_samples));
                (State::Speaking { silence: 0 }, Some(Sign::Began))
            }
            (State::Speaking { .. }, true) => {
                self.heard();
                (State::Speaking { silence: 0 }, None)
            }
            (State::Speaking { silence }, false) if ms(silence + n_samples) < REST_MS => {
                (State::Speaking { silence: silence + n_samples }, None)
            }
            (State::Speaking { silence }, false) => {
                let end = self.span().map_or(self.n_samples, |span| span.1);
                (State::Resting { silence: silence + n_samples, voice: 0 }, Some(Sign::Rested { end }))
            }
            (State::Resting { silence, voice }, true) if voice + n_samples < begin => {
                (State::Resting { silence: silence + n_samples, voice: voice + n_samples }, None)
            }
            (State::Resting { .. }, true) => {
                self.heard();
                (State::Speaking { silence: 0 }, Some(Sign::WentOn))
            }
            (State::Resting { silence, .. }, false) if ms(silence + n_samples) < END_MS => {
                (State::Resting { silence: silence + n_samples, voice: 0 }, None)
            }
            (State::Resting { .. }, false) => (State::Ended, Some(Sign::Ended)),
            (State::Ended, _) => (State::Ended, None),
        };
        self.state = state;
        sign
    }

    /// From where to where the recording holds what was said so far, margins included; nothing while nobody spoke.
    pub fn span(&self) -> Option<(usize, usize)> {
        let margin = samples(MARGIN_MS);
        let (from, to) = self.speech?;
        Some((from.saturating_sub(margin), (to + margin).min(self.n_samples)))
    }

    fn heard(&mut self) {
        if let Some((_, to)) = &mut self.speech {
            *to = self.n_samples;
        }
    }
}

const _: () = assert!(RATE.is_multiple_of(1000), "a millisecond is a whole number of samples");

#[cfg(test)]
mod tests {
    use super::*;

    /// `sound`: a letter for every 20 ms, `v` voice and `.` none. The signs, with the milliseconds at which they came.
    fn check(sound: &str, want: &str) {
        let mut pauses = Pauses::default();
        let mut told = vec![];
        for (idx, letter) in sound.chars().enumerate() {
            if let Some(sign) = pauses.handle(samples(20), letter == 'v') {
                let shown = match sign {
                    Sign::Rested { end } => format!("Rested({})", ms(end)),
                    other => format!("{other:?}"),
                };
                told.push(format!("{shown}@{}", (idx + 1) * 20));
            }
        }
        if let Some((from, to)) = pauses.span() {
            told.push(format!("{}..{}", ms(from), ms(to)));
        }
        assert_eq!(told.join(" "), want);
    }

    #[test]
    fn a_click_is_no_speech() {
        check("....vvv........v...vv....", "");
    }

    #[test]
    fn speech_begins_with_its_margin_and_rests() {
        let sound = format!("{}{}{}", ".".repeat(20), "v".repeat(30), ".".repeat(15));
        check(&sound, "Began@480 Rested(1200)@1300 200..1200");
    }

    #[test]
    fn a_short_gap_is_no_rest() {
        let sound = format!("{}{}{}", "v".repeat(10), ".".repeat(14), "v".repeat(10));
        check(&sound, "Began@80 0..680");
    }

    #[test]
    fn a_rest_ends_with_speech_and_not_with_a_click() {
        let rest = format!("{}{}", "v".repeat(10), ".".repeat(15));
        check(&format!("{rest}vv..vvvvv"), "Began@80 Rested(400)@500 WentOn@660 0..680");
        check(&format!("{rest}vv......"), "Began@80 Rested(400)@500 0..400");
    }

    #[test]
    fn a_long_silence_ends_it_and_nothing_follows() {
        let sound = format!("{}{}{}", "v".repeat(10), ".".repeat(45), "v".repeat(30));
        check(&sound, "Began@80 Rested(400)@500 Ended@1100 0..400");
    }
}
