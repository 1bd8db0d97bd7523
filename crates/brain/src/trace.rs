//! What a run leaves behind: its steps with their times, and how it ended.

use crate::cut;
use serde::Serialize;
use std::time::Duration;

/// Words on one step: who answered and why, what failed.
const NOTES_MAX: usize = 8;
const NOTE_BYTES_MAX: usize = 300;

/// How a run ended. It ends once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "end", content = "why", rename_all = "kebab-case")]
pub enum End {
    Answered,
    /// With a sentence for a person. Something may have been said before.
    Failed(String),
    Cancelled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Running,
    Done,
    Failed,
    /// The run was over before it.
    Stopped,
}

/// One node's turn. A node in a loop has several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    pub node: String,
    pub kind: &'static str,
    /// Since the run began.
    pub began_ms: u64,
    pub took_ms: u64,
    pub outcome: Outcome,
    /// Written by models.
    pub tokens: u32,
    pub notes: Vec<String>,
}

impl Step {
    pub(crate) fn new(node: &str, kind: &'static str, began: Duration) -> Step {
        Step {
            node: node.to_owned(),
            kind,
            began_ms: ms(began),
            took_ms: 0,
            outcome: Outcome::Running,
            tokens: 0,
            notes: vec![],
        }
    }

    pub(crate) fn note(&mut self, text: &str) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push(cut(text, NOTE_BYTES_MAX).to_owned());
        }
    }

    pub(crate) fn ended(&mut self, since_began: Duration, outcome: Outcome) {
        self.took_ms = ms(since_began).saturating_sub(self.began_ms);
        self.outcome = outcome;
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
