//! The mind of a node: what a person said in, an answer out, in words as they come.
//!
//! The workflow of turns (`crate::brain`) says in which order: first the intents, which need no model (`deed` does them,
//! `phrases` says how they are answered, `zone` knows the time of day); then a model of the cluster (`model`), with the last
//! turns of the same conversation before it (`memory`) and what this home was told on other days (`facts`). `hands` are
//! the mind's for workflows, `asking` has a person allow what a tool would do.
//! `timers` keeps timers and alarms, `keep` does so at peers, `bell` rings them. All but `model` and `bell` are pure or read what they are handed.

mod asking;
pub mod bell;
mod deed;
pub mod facts;
mod farewell;
mod hands;
pub mod keep;
mod memory;
pub mod model;
pub mod phrases;
#[cfg(test)]
mod tests;
pub mod timers;
pub mod zone;

use crate::brain::library::Library;
use crate::brain::run::Run;
use crate::brain::{Brain, Listener};
use crate::talk::parts::{Answer, AskJob, Part};
use crate::talk::trace::Trace;
use crate::tools::desk::Desk;
use admission::VoiceSettings;
use asking::Asked;
use brain::Value;
use facts::Facts;
use hands::{Kind, TurnHands};
use memory::Memory;
use model::Models;
use phrases::Phrases;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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

    /// Says something at this PC; false where it has no mouth.
    fn say_here(&self, _text: String) -> bool {
        false
    }

    /// Says something in a conversation that nobody asked for just now.
    fn announce(&self, _talk: u64, _text: String) {}
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

/// Cheap to clone: all of it is shared.
#[derive(Clone)]
pub struct Mind {
    languages: Arc<Vec<(Intents, Phrases)>>,
    world: Arc<dyn World>,
    pub brain: Arc<Brain>,
    facts: Arc<dyn Facts>,
    pub timers: Arc<TimerBook>,
    memory: Arc<Mutex<Memory>>,
    /// Runs that asked a person, by their conversations.
    waiting: Arc<Mutex<BTreeMap<u64, Arc<Run>>>>,
    /// Tools that wait for a person's yes, by their conversations.
    asking: Arc<Mutex<BTreeMap<u64, Asked>>>,
}

/// The tools of a conversation.
pub const TOOLS: [&str; 6] = ["time", "date", "status", "timers", "timer", "volume"];
/// Conversations by text are numbered apart from those by voice.
pub const TEXT_TALKS: u64 = 1 << 63;
/// Conversations in which a person was asked.
const WAITING_MAX: usize = 32;

impl Mind {
    pub fn new(
        world: Arc<dyn World>,
        models: Arc<dyn Models>,
        facts: Arc<dyn Facts>,
        timers: Arc<TimerBook>,
        library: Library,
        desk: Arc<Desk>,
    ) -> Mind {
        Mind {
            languages: Arc::new(phrases::languages()),
            world,
            brain: Arc::new(Brain::new(library, models, desk)),
            facts,
            timers,
            memory: Arc::default(),
            waiting: Arc::default(),
            asking: Arc::default(),
        }
    }

    /// Those of a language, such as `de` or `de-AT`; English for one that has none.
    fn language(&self, language: &str) -> &(Intents, Phrases) {
        let short = language.split(['-', '+']).next().unwrap_or_default();
        let found = self.languages.iter().find(|(intents, _)| intents.language == short);
        found.unwrap_or(&self.languages[0])
    }

    /// Those of the owner's.
    fn own_language(&self) -> &(Intents, Phrases) {
        self.language(&self.world.settings().language)
    }

    /// Answers by a workflow of one's choice. What persons told this home is for those of the home alone.
    pub fn answer_by(&self, workflow: &str, job: AskJob, is_of_home: bool) {
        let AskJob { text, talk, stop, sink } = job;
        let kind = Arc::new(Mutex::new(Kind::Model));
        let listener = Listener { stop, sink: self.noted(talk, &text, &kind, sink) };
        let Some(listener) = self.allowed(talk, &text, listener) else { return };
        if let Some((run, id)) = self.waited(talk) {
            return run.go_on(id, text, listener);
        }
        let before = self.memory().before(talk).into_iter().map(|turn| (turn.said, turn.answer)).collect();
        let inputs = [("text", Value::Text(text)), ("before", Value::Talk(before))];
        let inputs = inputs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let hands = Arc::new(TurnHands::new(self.clone(), talk, is_of_home, kind));
        self.brain.run(workflow, inputs, hands, listener);
    }

    /// The run that asked in this conversation, if it still waits.
    fn waited(&self, talk: u64) -> Option<(Arc<Run>, brain::Id)> {
        let run = self.waiting().remove(&talk)?;
        let id = run.question()?;
        Some((run, id))
    }

    /// Remembers what is said, and tells a person aloud who asked in vain.
    fn noted(&self, talk: u64, text: &str, kind: &Arc<Mutex<Kind>>, mut sink: Sink) -> Sink {
        let (mind, text, kind) = (self.clone(), text.to_owned(), kind.clone());
        let mut has_words = false;
        Box::new(move |part: Part| match part {
            Part::Words(words) => {
                let kind = *kind.lock().unwrap_or_else(PoisonError::into_inner);
                // What is repeated is not remembered twice.
                if kind != Kind::Repeat {
                    if !has_words {
                        mind.memory().began(talk, &text, kind == Kind::Intent);
                    }
                    mind.memory().words(talk, &words);
                }
                has_words = true;
                sink(Part::Words(words));
            }
            // What was begun ends in the middle.
            Part::Failed(why) if !has_words => {
                let why = why.trim_end_matches('.');
                sink(Part::By(format!("no model: {why}")));
                sink(Part::Words(mind.own_language().1.no_model.replace("{why}", why)));
                sink(Part::End);
            }
            part => sink(part),
        })
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Run>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Sink = Box<dyn FnMut(Part) + Send>;

impl Answer for Mind {
    fn answer(&self, job: AskJob) {
        self.answer_by(crate::brain::TURN, job, true);
    }
}
