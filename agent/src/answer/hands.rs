//! What a workflow may do in a conversation: intents, the memory, and the few tools that need no model.

use super::deed::Deed;
use super::{Mind, WAITING_MAX};
use crate::brain::run::Run;
use crate::brain::{Hands, Recalled};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use voice::intent::{Slots, Value, Wish};

/// Longest timer that a workflow may set, in seconds: a year.
const TIMER_SECONDS_MAX: u64 = 366 * 24 * 3600;

/// Who answers a turn: what an intent answers is no matter for a model, and what is repeated is not remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Model,
    Intent,
    Repeat,
}

pub struct TurnHands {
    pub mind: Mind,
    pub talk: u64,
    pub kind: Arc<Mutex<Kind>>,
}

impl TurnHands {
    /// As an intent would be answered, but in the few words of `answer`.
    fn deed(&self, intent: &str, slots: Slots, answer: &str) -> String {
        let (_, phrases) = self.mind.own_language();
        Deed { mind: &self.mind, phrases, talk: self.talk }.answer(&Wish { intent, slots, answer })
    }
}

impl Hands for TurnHands {
    fn intent(&self, text: &str) -> Option<(String, String)> {
        let (intents, phrases) = self.mind.own_language();
        let wish = intents.find(text)?;
        let kind = if wish.intent == "repeat" { Kind::Repeat } else { Kind::Intent };
        *self.kind.lock().unwrap_or_else(PoisonError::into_inner) = kind;
        let told = Deed { mind: &self.mind, phrases, talk: self.talk }.answer(&wish);
        Some((wish.intent.to_owned(), told))
    }

    fn recall(&self, _query: String, _most: usize, done: Recalled) {
        // Nothing is known yet; what a home remembers comes by this way.
        done(Ok(vec![]));
    }

    fn tool(&self, name: &str, arguments: &BTreeMap<String, String>) -> Result<String, String> {
        let number = |key: &str, most: u64| {
            let told = arguments.get(key).and_then(|text| text.trim().parse::<u64>().ok());
            told.filter(|number| *number <= most)
                .ok_or_else(|| format!("{name} needs `{key}`, a whole number up to {most}"))
        };
        let slot = |key: &str, value| Slots::from([(key.to_owned(), value)]);
        Ok(match name {
            "time" => self.deed("time", Slots::new(), "{time}"),
            "date" => self.deed("date", Slots::new(), "{date}"),
            "status" => self.deed("status", Slots::new(), "{status}"),
            "timers" => self.deed("timer.list", Slots::new(), "{timers}"),
            "timer" => {
                let length = Duration::from_secs(number("seconds", TIMER_SECONDS_MAX)?);
                self.deed("timer.set", slot("length", Value::Length(length)), "{length}")
            }
            "volume" => {
                let percent = u32::try_from(number("percent", 100)?).unwrap_or(100);
                self.deed("volume.set", slot("number", Value::Number(percent)), "{number}")
            }
            _ => return Err(format!("there is no tool {name}")),
        })
    }

    fn waits(&self, run: &Arc<Run>) {
        let mut waiting = self.mind.waiting();
        waiting.retain(|_, run| run.question().is_some());
        if waiting.len() < WAITING_MAX {
            waiting.insert(self.talk, run.clone());
        }
    }
}
