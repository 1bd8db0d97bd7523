//! What a workflow may do in a conversation: intents, the memory, and tools.

use super::deed::Deed;
use super::facts::{self, FactTold, FactWish};
use super::{Mind, WAITING_MAX};
use crate::brain::run::{Calling, Run};
use crate::brain::{Hands, Recalled, Understood};
use crate::talk::parts::Part;
use crate::tools::desk::Job;
use std::sync::{Arc, Mutex, PoisonError};
use tools::{Asker, Origin, Pending, Wanted};

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
    /// Whoever asks may hear what persons told this home, and change something in it.
    pub is_of_home: bool,
    pub kind: Arc<Mutex<Kind>>,
    /// What is said while nobody listens.
    late: Mutex<String>,
}

impl TurnHands {
    pub fn new(mind: Mind, talk: u64, is_of_home: bool, kind: Arc<Mutex<Kind>>) -> TurnHands {
        TurnHands { mind, talk, is_of_home, kind, late: Mutex::default() }
    }
}

/// What rings, is loud, or ends for everybody who is near the PC.
fn changes_the_room(intent: &str) -> bool {
    intent == "stop"
        || intent.starts_with("volume.")
        || matches!(intent, "timer.set" | "timer.stop" | "alarm.set")
}

impl Hands for TurnHands {
    fn intent(&self, text: &str, done: Understood) {
        let (intents, phrases) = self.mind.own_language();
        let Some(wish) = intents.find(text) else { return done(None) };
        let kind = if wish.intent == "repeat" { Kind::Repeat } else { Kind::Intent };
        *self.kind.lock().unwrap_or_else(PoisonError::into_inner) = kind;
        let name = wish.intent.to_owned();
        if !self.is_of_home && changes_the_room(wish.intent) {
            return done(Some((name, phrases.not_theirs.clone())));
        }
        let Some(of_facts) = facts::wish(&wish) else {
            let told = Deed { mind: &self.mind, phrases, talk: self.talk }.answer(&wish);
            return done(Some((name, told)));
        };
        if !self.is_of_home {
            return done(Some((name, phrases.facts.private.clone())));
        }
        let (phrases, answer) = (phrases.clone(), wish.answer.to_owned());
        let then = move |told: FactTold| {
            let told = phrases.facts.answer(&told, |n| phrases.nodes(n));
            done(Some((name, answer.replace("{told}", &told))));
        };
        self.mind.facts.ask(self.talk, of_facts, Box::new(then));
    }

    fn recall(&self, query: String, most: usize, done: Recalled) {
        if !self.is_of_home {
            return done(Ok(vec![]));
        }
        let then = move |told: FactTold| {
            done(match told {
                FactTold::Found(facts) => Ok(facts),
                FactTold::Failed(why) => Err(why),
                _ => Err("memory answered something else".into()),
            });
        };
        self.mind.facts.ask(self.talk, FactWish::Look { text: query, most }, Box::new(then));
    }

    fn tool(&self, wanted: Wanted, origin: Origin, calling: Calling) {
        if !self.is_of_home {
            return calling.done(Err("tools need a key for the voice".into()));
        }
        let mind = self.mind.clone();
        let Some(runtime) = mind.brain.runtime.clone() else {
            return calling.done(Err(format!("{} works in a running agent only", wanted.tool)));
        };
        let asker = Asker { origin, who: mind.asker(self.talk, origin), talk: Some(self.talk) };
        let talk = self.talk;
        runtime.spawn(async move {
            let (calling, desk) = (Arc::new(calling), mind.brain.desk.clone());
            let (its_calling, its_mind) = (calling.clone(), mind.clone());
            let asks = Box::new(move |pending: &Pending| its_mind.asks(talk, pending, &its_calling));
            let told = desk.call(Job { wanted, asker, stop: calling.stop.clone(), asks }).await;
            calling.done(told);
        });
    }

    fn late(&self, part: Part) {
        let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        match part {
            Part::Words(words) => late.push_str(&words),
            Part::End | Part::Failed(_) if !late.is_empty() => {
                let text = std::mem::take(&mut *late);
                let mut memory = self.mind.memory();
                memory.began(self.talk, "", false);
                memory.words(self.talk, &text);
                drop(memory);
                self.mind.world.announce(self.talk, text);
            }
            _ => {}
        }
    }

    fn waits(&self, run: &Arc<Run>) {
        let mut waiting = self.mind.waiting();
        waiting.retain(|_, run| run.question().is_some());
        if waiting.len() < WAITING_MAX {
            waiting.insert(self.talk, run.clone());
        }
    }
}
