//! The hands of `crates/brain`: runs workflows with the models, tools and memory of this node.
//!
//! `library` holds workflows and personas, and reads them again when a file changes; `run` drives one machine; `ask` puts a
//! question to a model, `router` chooses an expert; `shown` is what of it others may see, `message` the door for text,
//! `command` the command line.
//! What a turn may do beside asking models is its `Hands`': the mind gives those of a conversation.

pub(crate) mod ask;
pub mod command;
pub mod library;
pub mod measure;
pub mod message;
mod router;
pub mod run;
pub mod sharing;
pub mod shown;
#[cfg(test)]
mod tests;

use crate::answer::model::Models;
use crate::talk::parts::{Part, Stop};
use crate::tools::desk::Desk;
use brain::{Machine, Value};
use library::Library;
use router::Router;
use run::{Calling, Over, Run};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::runtime::Handle;
use tools::{Origin, Wanted};

/// The workflow of every turn.
pub const TURN: &str = "tiered";
/// How soon a stop or a deadline is seen.
const LOOK_EVERY: Duration = Duration::from_millis(40);

/// What is found by meaning, or why not.
pub type Recalled = Box<dyn FnOnce(Result<Vec<String>, String>) + Send>;

/// The name of an intent and what is said to it; nothing where a model is to answer.
pub type Understood = Box<dyn FnOnce(Option<(String, String)>) + Send>;

/// What a run may do beside asking models.
pub trait Hands: Send + Sync {
    /// For what needs no model. Calls `done` once, soon or late.
    fn intent(&self, text: &str, done: Understood);

    /// Calls `done` once, soon or late.
    fn recall(&self, query: String, most: usize, done: Recalled);

    /// Does what is wanted, and tells `calling` what comes of it, soon or late.
    fn tool(&self, wanted: Wanted, origin: Origin, calling: Calling);

    /// What a run says while nobody listens: a person allowed a tool somewhere else than in this conversation.
    fn late(&self, _part: Part) {}

    /// A person was asked, and the run waits for what is said next.
    fn waits(&self, run: &Arc<Run>);
}

/// Who is told what a run says, and who can stop it.
pub struct Listener {
    pub stop: Stop,
    pub sink: Box<dyn FnMut(Part) + Send>,
}

/// Everything that runs share.
pub struct Brain {
    pub library: Library,
    models: Arc<dyn Models>,
    /// What models may call.
    pub desk: Arc<Desk>,
    router: Router,
    /// Absent where nobody waits: tests, and a turn that is played from files.
    pub runtime: Option<Handle>,
    start: Instant,
    last: Mutex<BTreeMap<String, Over>>,
}

impl Brain {
    pub fn new(library: Library, models: Arc<dyn Models>, desk: Arc<Desk>) -> Brain {
        Brain {
            library,
            models,
            desk,
            router: Router::default(),
            runtime: Handle::try_current().ok(),
            start: Instant::now(),
            last: Mutex::default(),
        }
    }

    /// Runs a workflow; an input that it does not know is passed over. What cannot begin is told as a failure.
    pub fn run(
        self: &Arc<Self>,
        workflow: &str,
        inputs: BTreeMap<String, Value>,
        hands: Arc<dyn Hands>,
        mut listener: Listener,
    ) {
        let begun = match self.library.workflow(workflow) {
            Some(found) => Machine::start(found, inputs, self.now()),
            None => Err(format!("there is no workflow {workflow}")),
        };
        match begun {
            Ok(machine) => {
                let run = Run::new(self.clone(), workflow, machine, hands, listener);
                self.watch(&run);
                run.drive();
            }
            Err(why) => (listener.sink)(Part::Failed(why)),
        }
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Sees a stop and a deadline, until the run is over.
    fn watch(&self, run: &Arc<Run>) {
        let Some(runtime) = &self.runtime else { return };
        let run = Arc::downgrade(run);
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                match run.upgrade() {
                    Some(run) if run.look() => {}
                    _ => return,
                }
            }
        });
    }

    /// How the last run of each workflow went.
    pub fn last(&self) -> MutexGuard<'_, BTreeMap<String, Over>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
