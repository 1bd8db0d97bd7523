//! One turn after another: listening, hearing what was said, answering; and stopping at once when the key goes down.
//!
//! While the key is held and the person rests, what was said so far is transcribed as a guess; if nothing follows, the
//! guess is the text, and the answer begins as the key comes up.
//! Answers come in words and go out in clauses. Numbers of turns and wishes are never used again, so that what comes
//! late from an earlier one is known and dropped.

mod answer;
mod answering;
mod ear;
mod event;
mod listening;
mod report;
#[cfg(test)]
mod tests;

pub use crate::clause::Clause;
pub use answer::{ANSWER_BYTES_MAX, FIRST_WORD_MAX, SPEAK_MAX, WORD_MAX};
pub use ear::FRAME_SAMPLES_MAX;
pub use event::{Earcon, Heard, Input, Output};
pub use report::{Outcome, Report};

use answer::Answer;
use ear::Ear;
use std::collections::VecDeque;
use std::time::Duration;

/// A recording fits whisper's window of 30 s with its margins.
pub const LISTEN_MS_MAX: u32 = 28_000;
/// Shorter ones without any voice are a slip of the finger.
pub const QUIET_MS_LEAST: u32 = 600;
/// Until a text is there.
pub const HEAR_MAX: Duration = Duration::from_secs(30);
/// Bytes of what was heard.
pub const TEXT_BYTES_MAX: usize = 4096;
/// A silence that is longer is filled with a sound, so that nobody speaks again.
pub const THINK_AFTER: Duration = Duration::from_millis(1500);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules {
    /// The key opens and closes the ear for any number of turns; each ends with a silence.
    pub is_hands_free: bool,
    /// Transcribe while the person still holds the key and rests.
    pub is_guessing: bool,
}

/// A text that was asked for before the person was done.
#[derive(Debug)]
struct Guess {
    wish: u32,
    /// Its answer, if that is here already.
    heard: Option<Option<String>>,
}

#[derive(Debug)]
enum State {
    Idle,
    /// Hands-free, and nobody speaks.
    Waiting {
        ear: Ear,
    },
    Listening {
        ear: Ear,
        guess: Option<Guess>,
        report: Report,
    },
    Hearing {
        wish: u32,
        is_thinking: bool,
        report: Report,
    },
    Answering {
        answer: Answer,
        is_thinking: bool,
        report: Report,
    },
}

/// What a person sees of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Idle,
    Waiting,
    Listening,
    Thinking,
    Speaking,
}

#[derive(Debug)]
pub struct Turns {
    rules: Rules,
    state: State,
    n_turns: u32,
    n_wishes: u32,
    /// Hands-free, and the key has opened the ear.
    is_open: bool,
    wishes: VecDeque<Output>,
}

impl Turns {
    pub fn new(rules: Rules) -> Turns {
        Turns { rules, state: State::Idle, n_turns: 0, n_wishes: 0, is_open: false, wishes: VecDeque::new() }
    }

    /// Rules of another kind end what goes on; the key must be told so.
    pub fn set_rules(&mut self, now: Duration, rules: Rules) {
        let is_other = rules.is_hands_free != self.rules.is_hands_free;
        self.rules = rules;
        if is_other && self.mood() != Mood::Idle {
            self.is_open = false;
            self.stop(now, Outcome::Interrupted);
            self.state = State::Idle;
            self.wishes.push_back(Output::Microphone(false));
        }
    }

    pub fn mood(&self) -> Mood {
        match &self.state {
            State::Idle => Mood::Idle,
            State::Waiting { .. } => Mood::Waiting,
            State::Listening { .. } => Mood::Listening,
            State::Hearing { .. } => Mood::Thinking,
            State::Answering { answer, .. } if answer.n_said() == 0 => Mood::Thinking,
            State::Answering { .. } => Mood::Speaking,
        }
    }

    pub fn poll(&mut self) -> Option<Output> {
        self.wishes.pop_front()
    }

    /// When time alone changes something.
    pub fn deadline(&self) -> Option<Duration> {
        let sound = |is_thinking: bool, report: &Report| {
            let silent_since = report.released.unwrap_or(report.began);
            (!is_thinking && report.first_clause.is_none()).then_some(silent_since + THINK_AFTER)
        };
        match &self.state {
            State::Idle | State::Waiting { .. } => None,
            // A dead microphone sends no frames by which the recording would become too long.
            State::Listening { report, .. } => {
                Some(report.began + Duration::from_millis(2 * u64::from(LISTEN_MS_MAX)))
            }
            State::Hearing { is_thinking, report, .. } => {
                let hear = report.released.unwrap_or(report.began) + HEAR_MAX;
                Some(sound(*is_thinking, report).map_or(hear, |sound| sound.min(hear)))
            }
            State::Answering { answer, is_thinking, report } => {
                let answer = answer.deadline();
                Some(sound(*is_thinking, report).map_or(answer, |sound| sound.min(answer)))
            }
        }
    }

    pub fn handle(&mut self, now: Duration, input: Input<'_>) {
        match input {
            Input::Press => self.press(now),
            Input::Release if !self.rules.is_hands_free => self.release(now),
            Input::Release => self.close(now),
            Input::Frame { pcm, is_voice } => self.frame(now, pcm, is_voice),
            Input::MicrophoneLost => self.microphone_lost(now),
            Input::Heard { wish, heard } => self.heard(now, wish, heard),
            Input::Words { turn, words } => self.answer(now, turn, |answer| answer.words(now, words)),
            Input::AnswerEnded { turn } => self.answer(now, turn, |answer| answer.ended(now)),
            Input::AnswerFailed { turn } => self.answer(now, turn, |answer| answer.failed(now)),
            Input::Sounding { turn, .. } => self.sounding(now, turn),
            Input::Spoken { turn, clause_idx } => {
                self.answer(now, turn, |answer| answer.spoken(now, clause_idx));
            }
            Input::SpeakerLost => {
                let turn = self.n_turns;
                self.answer(now, turn, |answer| answer.mute(now));
            }
            Input::Tick => self.tick(now),
        }
    }

    fn press(&mut self, now: Duration) {
        let was_silent = matches!(self.state, State::Idle | State::Waiting { .. });
        self.stop(now, Outcome::Interrupted);
        if self.rules.is_hands_free {
            self.is_open = true;
            self.wishes.extend([Output::Microphone(true), Output::Earcon(Earcon::Listening)]);
            self.state = State::Waiting { ear: Ear::default() };
            return;
        }
        self.wishes.extend([Output::Microphone(true), Output::Earcon(Earcon::Listening)]);
        self.listen(now, Ear::default(), !was_silent);
    }

    /// Hands-free no longer: what was said until now is answered still, what is being answered is not.
    fn close(&mut self, now: Duration) {
        self.is_open = false;
        if matches!(self.state, State::Listening { .. }) {
            self.release(now);
        } else {
            self.stop(now, Outcome::Interrupted);
        }
        self.wishes.push_back(Output::Microphone(false));
    }

    /// Ends whatever goes on.
    fn stop(&mut self, now: Duration, outcome: Outcome) {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle | State::Waiting { .. } => {}
            State::Listening { guess, report, .. } => {
                self.wishes.extend(guess.map(|guess| Output::Forget { wish: guess.wish }));
                self.done(now, report, outcome);
            }
            State::Hearing { wish, report, .. } => {
                self.wishes.push_back(Output::Forget { wish });
                self.done(now, report, outcome);
            }
            State::Answering { answer, report, .. } => {
                let turn = report.turn;
                // Silence first: it is what the person waits for.
                self.wishes.push_back(Output::Hush { turn });
                if answer.is_coming() {
                    self.wishes.push_back(Output::StopAsking { turn });
                }
                self.done(now, report, outcome);
            }
        }
    }

    fn done(&mut self, now: Duration, mut report: Report, outcome: Outcome) {
        report.ended = Some(now);
        report.outcome = outcome;
        self.wishes.push_back(Output::Done(report));
        self.state = match self.is_open {
            true => State::Waiting { ear: Ear::default() },
            false => State::Idle,
        };
    }

    /// Ends a turn that came to nothing. Somebody who pressed the key only to stop an answer is told nothing more.
    fn give_up(&mut self, now: Duration, report: Report, outcome: Outcome) {
        if !(report.has_interrupted && outcome == Outcome::Nothing) {
            self.wishes.push_back(Output::Earcon(Earcon::Error));
        }
        self.done(now, report, outcome);
    }

    fn tick(&mut self, now: Duration) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        match &mut self.state {
            State::Idle | State::Waiting { .. } => {}
            State::Listening { .. } => self.release(now),
            State::Hearing { is_thinking, report, .. } => {
                if now < report.released.unwrap_or(report.began) + HEAR_MAX {
                    *is_thinking = true;
                    self.wishes.push_back(Output::Earcon(Earcon::Thinking));
                } else {
                    self.wishes.push_back(Output::Earcon(Earcon::Error));
                    self.stop(now, Outcome::NotHeard);
                }
            }
            State::Answering { answer, is_thinking, .. } => {
                if now < answer.deadline() {
                    *is_thinking = true;
                    self.wishes.push_back(Output::Earcon(Earcon::Thinking));
                } else {
                    let outcome = answer.too_slow();
                    self.wishes.push_back(Output::Earcon(Earcon::Error));
                    self.stop(now, outcome);
                }
            }
        }
    }
}

/// At most so many bytes of a text, and no half letters.
fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
