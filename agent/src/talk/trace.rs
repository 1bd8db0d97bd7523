//! What a turn leaves behind: how long each stage took, who worked, and how it ended; pure.

use super::news::cut;
use super::parts::HearEnd;
use serde::Serialize;
use std::collections::VecDeque;
use std::time::Duration;
use voice::turn::Report;

/// Traces that are kept.
pub const TRACES_MAX: usize = 64;
/// Kept of what was said, and of its answer.
const SAID_BYTES_MAX: usize = 512;
const ANSWER_BYTES_MAX: usize = 2048;
/// Words on who answered, and on what went wrong, of one turn.
const NOTES_MAX: usize = 8;
const NOTE_BYTES_MAX: usize = 300;
/// Steps of a workflow that are kept.
const STEPS_MAX: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Answered,
    Nothing,
    Interrupted,
    MicrophoneLost,
    NotHeard,
    NoAnswer,
    CutShort,
    NotSpoken,
}

impl From<voice::turn::Outcome> for Outcome {
    fn from(outcome: voice::turn::Outcome) -> Outcome {
        match outcome {
            voice::turn::Outcome::Answered => Outcome::Answered,
            voice::turn::Outcome::Nothing => Outcome::Nothing,
            voice::turn::Outcome::Interrupted => Outcome::Interrupted,
            voice::turn::Outcome::MicrophoneLost => Outcome::MicrophoneLost,
            voice::turn::Outcome::NotHeard => Outcome::NotHeard,
            voice::turn::Outcome::NoAnswer => Outcome::NoAnswer,
            voice::turn::Outcome::CutShort => Outcome::CutShort,
            voice::turn::Outcome::NotSpoken => Outcome::NotSpoken,
        }
    }
}

impl Outcome {
    pub const ALL: [Outcome; 8] = [
        Outcome::Answered,
        Outcome::Nothing,
        Outcome::Interrupted,
        Outcome::MicrophoneLost,
        Outcome::NotHeard,
        Outcome::NoAnswer,
        Outcome::CutShort,
        Outcome::NotSpoken,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Answered => "answered",
            Outcome::Nothing => "nothing",
            Outcome::Interrupted => "interrupted",
            Outcome::MicrophoneLost => "microphone-lost",
            Outcome::NotHeard => "not-heard",
            Outcome::NoAnswer => "no-answer",
            Outcome::CutShort => "cut-short",
            Outcome::NotSpoken => "not-spoken",
        }
    }
}

/// A part of a turn. They follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Somebody speaks.
    Listen,
    /// Until the text is there; what was guessed while the key was held costs nothing here.
    Hear,
    /// Until the answer's first word.
    Answer,
    /// Until its first clause.
    Clause,
    /// Until the first sound.
    Voice,
    /// Until the last sound.
    Speak,
}

impl Stage {
    pub const ALL: [Stage; 6] =
        [Stage::Listen, Stage::Hear, Stage::Answer, Stage::Clause, Stage::Voice, Stage::Speak];

    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Listen => "listen",
            Stage::Hear => "hear",
            Stage::Answer => "answer",
            Stage::Clause => "clause",
            Stage::Voice => "voice",
            Stage::Speak => "speak",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Took {
    pub stage: Stage,
    pub ms: f64,
}

/// What hearing took.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HearTrace {
    pub elsewhere: Option<String>,
    pub is_guess: bool,
    pub sound_ms: u32,
    pub waited_ms: f64,
    pub worked_ms: f64,
    pub cpu_ms: f64,
    pub audio_ctx: usize,
    pub was_doubted: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trace {
    pub talk: u64,
    pub whose: String,
    pub turn: u32,
    /// When it ended, in seconds since 1970 by this node's clock.
    pub unix_s: u64,
    pub outcome: Outcome,
    pub took: Vec<Took>,
    /// From the release of the key to the first sound.
    pub silence_ms: Option<f64>,
    pub recorded_ms: u32,
    pub is_guessed: bool,
    pub has_interrupted: bool,
    pub n_clauses: u32,
    pub answer_bytes: usize,
    pub heard: Vec<HearTrace>,
    /// Who answered, and why.
    pub by: Vec<String>,
    pub troubles: Vec<String>,
    /// What the workflow did.
    pub steps: Vec<brain::Step>,
    /// Private.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

/// What is noted while a turn goes on.
#[derive(Debug, Default)]
pub struct Draft {
    heard: Vec<HearTrace>,
    by: Vec<String>,
    troubles: Vec<String>,
    steps: Vec<brain::Step>,
    said: Option<String>,
    answer: Option<String>,
}

impl Draft {
    pub fn heard(&mut self, end: &HearEnd, is_guess: bool, sound_ms: u32) {
        if self.heard.len() == NOTES_MAX {
            self.heard.remove(0);
        }
        self.heard.push(HearTrace {
            elsewhere: end.elsewhere.clone(),
            is_guess,
            sound_ms,
            waited_ms: end.waited_s * 1e3,
            worked_ms: end.worked_s * 1e3,
            cpu_ms: end.cpu_s * 1e3,
            audio_ctx: end.audio_ctx,
            was_doubted: end.was_doubted,
        });
    }

    pub fn by(&mut self, by: &str) {
        note(&mut self.by, by);
    }

    pub fn trouble(&mut self, sentence: &str) {
        note(&mut self.troubles, sentence);
    }

    pub fn steps(&mut self, steps: Vec<brain::Step>) {
        self.steps = steps;
        self.steps.truncate(STEPS_MAX);
    }

    pub fn said(&mut self, text: &str) {
        self.said = Some(cut(text, SAID_BYTES_MAX).to_owned());
    }

    pub fn words(&mut self, words: &str) {
        let answer = self.answer.get_or_insert_default();
        let room = ANSWER_BYTES_MAX.saturating_sub(answer.len());
        answer.push_str(cut(words, room));
    }

    /// What is left when the turn is over.
    pub fn done(self, talk: u64, whose: &str, unix_s: u64, report: &Report) -> Trace {
        let Draft { heard, by, troubles, steps, said, answer } = self;
        let took = took(report);
        let since_release = |at: Duration| {
            let released = report.released.filter(|released| *released <= at)?;
            Some(ms(at - released))
        };
        Trace {
            talk,
            whose: whose.to_owned(),
            turn: report.turn,
            unix_s,
            outcome: report.outcome.into(),
            took,
            silence_ms: report.first_sound.and_then(since_release),
            recorded_ms: report.recorded_ms,
            is_guessed: report.is_guessed,
            has_interrupted: report.has_interrupted,
            n_clauses: report.n_clauses,
            answer_bytes: report.answer_bytes,
            heard,
            by,
            troubles,
            steps,
            said,
            answer,
        }
    }
}

fn note(notes: &mut Vec<String>, text: &str) {
    if notes.len() < NOTES_MAX {
        notes.push(cut(text, NOTE_BYTES_MAX).to_owned());
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The stages that were reached; the last one ends with the turn.
fn took(report: &Report) -> Vec<Took> {
    let ends = [report.released, report.heard, report.first_word, report.first_clause, report.first_sound];
    let ends = ends.into_iter().chain([None]).zip(Stage::ALL);
    let (mut took, mut from) = (vec![], report.began);
    for (end, stage) in ends {
        let until = end.or(report.ended).unwrap_or(from);
        took.push(Took { stage, ms: ms(until.saturating_sub(from)) });
        from = until;
        if end.is_none() {
            break;
        }
    }
    took
}

impl Trace {
    /// The stage that kept the person waiting longest, of those behind the release of the key.
    pub fn slowest(&self) -> Option<Took> {
        let waited = self.took.iter().filter(|took| !matches!(took.stage, Stage::Listen | Stage::Speak));
        waited.max_by(|a, b| a.ms.total_cmp(&b.ms)).copied()
    }

    /// Without what was said.
    pub fn closed(&self) -> Trace {
        // A note of a step may quote it.
        let steps = self.steps.iter().map(|step| brain::Step { notes: vec![], ..step.clone() }).collect();
        Trace { said: None, answer: None, steps, ..self.clone() }
    }
}

/// The last turns of a node, oldest first.
#[derive(Debug, Default)]
pub struct Ring {
    traces: VecDeque<Trace>,
}

impl Ring {
    pub fn add(&mut self, trace: Trace) {
        if self.traces.len() == TRACES_MAX {
            self.traces.pop_front();
        }
        self.traces.push_back(trace);
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Trace> {
        self.traces.iter()
    }
}

/// For tests.
#[cfg(test)]
pub fn example() -> Trace {
    Trace {
        talk: 1,
        whose: "this PC".into(),
        turn: 1,
        unix_s: 0,
        outcome: Outcome::Answered,
        took: vec![],
        silence_ms: None,
        recorded_ms: 900,
        is_guessed: false,
        has_interrupted: false,
        n_clauses: 1,
        answer_bytes: 10,
        heard: vec![],
        by: vec!["local on attic".into()],
        troubles: vec![],
        steps: vec![],
        said: None,
        answer: None,
    }
}

#[cfg(test)]
mod tests;
