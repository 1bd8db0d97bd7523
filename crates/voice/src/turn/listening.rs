//! From the first frame to a text.

use super::ear::Ear;
use super::{
    Answer, Earcon, Guess, Heard, LISTEN_MS_MAX, Outcome, Output, Report, State, TEXT_BYTES_MAX, Turns, cut,
};
use crate::pause::Sign;
use crate::samples;
use std::time::Duration;

impl Turns {
    pub(super) fn listen(&mut self, now: Duration, ear: Ear, has_interrupted: bool) {
        self.n_turns += 1;
        let report = Report::new(self.n_turns, now, has_interrupted);
        self.state = State::Listening { ear, guess: None, report };
    }

    pub(super) fn frame(&mut self, now: Duration, pcm: &[i16], is_voice: bool) {
        match &mut self.state {
            State::Waiting { ear } => {
                let sign = ear.handle(pcm, is_voice);
                if sign == Some(Sign::Began) {
                    let ear = std::mem::take(ear);
                    self.listen(now, ear, false);
                } else {
                    ear.forget_old();
                }
            }
            State::Listening { ear, guess, .. } => {
                let sign = ear.handle(pcm, is_voice);
                let is_full = ear.n_samples() >= samples(LISTEN_MS_MAX);
                match sign {
                    Some(Sign::Rested { .. }) if self.rules.is_guessing && !is_full => {
                        self.n_wishes += 1;
                        *guess = Some(Guess { wish: self.n_wishes, heard: None });
                        let pcm = ear.said();
                        self.wishes.push_back(Output::Transcribe {
                            wish: self.n_wishes,
                            pcm,
                            is_guess: true,
                        });
                    }
                    Some(Sign::WentOn) => {
                        let stale = guess.take().filter(|guess| guess.heard.is_none());
                        self.wishes.extend(stale.map(|guess| Output::Forget { wish: guess.wish }));
                    }
                    _ => {}
                }
                if is_full || (self.rules.is_hands_free && sign == Some(Sign::Ended)) {
                    self.release(now);
                }
            }
            State::Idle | State::Hearing { .. } | State::Answering { .. } => {}
        }
    }

    /// The person is done speaking.
    pub(super) fn release(&mut self, now: Duration) {
        if !matches!(self.state, State::Listening { .. }) {
            return;
        }
        let State::Listening { ear, guess, mut report } = std::mem::replace(&mut self.state, State::Idle)
        else {
            return;
        };
        if !self.rules.is_hands_free {
            self.wishes.push_back(Output::Microphone(false));
        }
        report.released = Some(now);
        report.recorded_ms = crate::ms(ear.n_samples());
        let Some(guess) = guess else {
            if ear.is_slip() {
                return self.give_up(now, report, Outcome::Nothing);
            }
            self.n_wishes += 1;
            let wish = self.n_wishes;
            self.wishes.push_back(Output::Transcribe { wish, pcm: ear.into_said(), is_guess: false });
            self.state = State::Hearing { wish, is_thinking: false, report };
            return;
        };
        report.is_guessed = true;
        match guess.heard {
            None => self.state = State::Hearing { wish: guess.wish, is_thinking: false, report },
            Some(text) => self.understood(now, report, text),
        }
    }

    pub(super) fn microphone_lost(&mut self, now: Duration) {
        let was_open = std::mem::take(&mut self.is_open);
        match &self.state {
            State::Waiting { .. } => {
                self.wishes.extend([Output::Microphone(false), Output::Earcon(Earcon::Error)]);
                self.state = State::Idle;
            }
            State::Listening { ear, .. } if ear.is_slip() => {
                self.wishes.extend([Output::Microphone(false), Output::Earcon(Earcon::Error)]);
                self.stop(now, Outcome::MicrophoneLost);
            }
            State::Listening { .. } => {
                if self.rules.is_hands_free {
                    self.wishes.push_back(Output::Microphone(false));
                }
                self.release(now);
            }
            // Hands-free it listens on in between; the answer goes on without it.
            State::Hearing { .. } | State::Answering { .. } if was_open => {
                self.wishes.push_back(Output::Microphone(false));
            }
            State::Idle | State::Hearing { .. } | State::Answering { .. } => {}
        }
    }

    pub(super) fn heard(&mut self, now: Duration, wish: u32, heard: Heard<'_>) {
        let text = match heard {
            Heard::Text(text) => {
                Some(cut(text.trim(), TEXT_BYTES_MAX).to_owned()).filter(|text| !text.is_empty())
            }
            Heard::Nothing | Heard::Failed => None,
        };
        match &mut self.state {
            State::Listening { guess, .. } if guess.as_ref().is_some_and(|guess| guess.wish == wish) => {
                // A guess that failed is none: the whole is tried again.
                *guess = (heard != Heard::Failed).then_some(Guess { wish, heard: Some(text) });
            }
            State::Hearing { wish: wanted, .. } if *wanted == wish => {
                let State::Hearing { report, .. } = std::mem::replace(&mut self.state, State::Idle) else {
                    return;
                };
                if heard == Heard::Failed {
                    return self.give_up(now, report, Outcome::NotHeard);
                }
                self.understood(now, report, text);
            }
            _ => {}
        }
    }

    pub(super) fn understood(&mut self, now: Duration, mut report: Report, text: Option<String>) {
        report.heard = Some(now);
        let Some(text) = text else { return self.give_up(now, report, Outcome::Nothing) };
        let turn = report.turn;
        self.wishes.push_back(Output::Ask { turn, text });
        self.state = State::Answering { answer: Answer::new(now), is_thinking: false, report };
    }
}
