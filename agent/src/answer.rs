//! The mind of a node: what a person said in, an answer out, in words as they come.
//!
//! First the intents, which need no model (`deed` does them, `phrases` says how they are answered, `zone` knows the time
//! of day); then a model of the cluster (`model`), with the last turns of the same conversation before it (`memory`).
//! `timers` keeps timers and alarms, `keep` does so at peers, `bell` rings them. All but `model` and `bell` are pure or read what they are handed.

pub mod bell;
mod deed;
pub mod keep;
mod memory;
pub mod model;
pub mod phrases;
#[cfg(test)]
mod tests;
pub mod timers;
pub mod zone;

use crate::talk::parts::{Answer, AskJob, Part};
use crate::talk::trace::Trace;
use admission::VoiceSettings;
use memory::Memory;
use model::{ModelJob, Models};
use phrases::Phrases;
use std::sync::{Arc, Mutex, PoisonError};
use timers::TimerBook;
use voice::intent::Intents;

/// What a mind knows of the world around it, asked anew for each answer.
pub trait World: Send + Sync {
    fn settings(&self) -> VoiceSettings;

    /// Sets the volume of this PC; a sentence where that cannot be.
    fn set_volume(&self, volume: u8) -> Result<(), String>;

    /// Whether this is the conversation at the PC itself.
    fn is_here(&self, talk: u64) -> bool;

    fn about(&self) -> About;

    /// The last turn of a conversation that asked for something.
    fn last_trace(&self, talk: u64) -> Option<Trace>;
}

/// The node and its cluster, as an answer tells them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    pub node: String,
    /// Seconds since 1970, where the clock is set.
    pub unix_s: Option<u64>,
    pub n_alive: usize,
    pub n_known: usize,
    /// Names of nodes that do not answer.
    pub away: Vec<String>,
    /// Nodes that have a model ready.
    pub n_with_model: usize,
}

pub struct Mind {
    languages: Vec<(Intents, Phrases)>,
    world: Arc<dyn World>,
    models: Arc<dyn Models>,
    pub timers: Arc<TimerBook>,
    memory: Arc<Mutex<Memory>>,
}

impl Mind {
    pub fn new(world: Arc<dyn World>, models: Arc<dyn Models>, timers: Arc<TimerBook>) -> Mind {
        Mind { languages: phrases::languages(), world, models, timers, memory: Arc::default() }
    }

    /// Those of a language, such as `de` or `de-AT`; English for one that has none.
    fn language(&self, language: &str) -> &(Intents, Phrases) {
        let short = language.split(['-', '+']).next().unwrap_or_default();
        let found = self.languages.iter().find(|(intents, _)| intents.language == short);
        found.unwrap_or(&self.languages[0])
    }
}

impl Answer for Mind {
    fn answer(&self, job: AskJob) {
        let AskJob { text, talk, stop, mut sink } = job;
        let language = self.world.settings().language;
        let (intents, phrases) = self.language(&language);
        if let Some(wish) = intents.find(&text) {
            let told = deed::Deed { mind: self, phrases, talk }.answer(&wish);
            sink(Part::By(format!("intent {}", wish.intent)));
            sink(Part::Words(told.clone()));
            // What is repeated is not remembered twice.
            if wish.intent != "repeat" {
                self.memory().began(talk, &text, true);
                self.memory().words(talk, &told);
            }
            return sink(Part::End);
        }
        let body = model::body(&self.memory().before(talk), &text);
        self.memory().began(talk, &text, false);
        let (memory, no_model) = (self.memory.clone(), phrases.no_model.clone());
        let mut has_words = false;
        let sink = Box::new(move |part: Part| match part {
            Part::Words(words) => {
                has_words = true;
                memory.lock().unwrap_or_else(PoisonError::into_inner).words(talk, &words);
                sink(Part::Words(words));
            }
            // A person who asked is told aloud; what was begun ends in the middle.
            Part::Failed(why) if !has_words => {
                let why = why.trim_end_matches('.');
                sink(Part::By(format!("no model: {why}")));
                sink(Part::Words(no_model.replace("{why}", why)));
                sink(Part::End);
            }
            part => sink(part),
        });
        self.models.ask(ModelJob { body, stop, sink });
    }
}

impl Mind {
    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
