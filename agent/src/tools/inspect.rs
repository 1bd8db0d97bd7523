//! Tools whose matter is another part's: the node's look at itself, and what was told to its memory.
//!
//! What each of them does is handed in, because it is known where all parts of the node meet.

use super::{Call, Field, Limits, Spec, Tool};
use std::pin::Pin;
use tokio::runtime::Handle;

/// Lines of the log.
const LINES_MAX: i64 = 100;
const FACT_BYTES_MAX: usize = 2000;
const ID_BYTES: usize = 32;

pub type Told = Pin<Box<dyn Future<Output = Result<String, String>> + Send>>;

pub type Tells = Box<dyn Fn(Call) -> Told + Send + Sync>;

pub struct Inspect {
    pub spec: Spec,
    pub runtime: Handle,
    pub tells: Tells,
}

pub fn status() -> Spec {
    Spec::new("mcp.status", "Shows how this PC and its cluster are.").output(6 << 10)
}

pub fn models() -> Spec {
    Spec::new("mcp.models", "Shows which models answer here.")
}

pub fn turns() -> Spec {
    Spec::new("mcp.turns", "Shows how long the last turns took and who answered, not what was said.")
}

pub fn log() -> Spec {
    let lines = Field::whole("lines", "how many lines, 20 where nothing is said", 1, LINES_MAX).optional();
    Spec::new("mcp.log", "Shows the end of this PC's log.").field(lines).output(8 << 10)
}

pub fn recall() -> Spec {
    Spec::new("memory.recall", "Finds what persons told this home to remember.")
        .field(Field::text("text", "what it is about", FACT_BYTES_MAX))
        .seconds(20)
}

/// What a page says must not become what a person told.
pub fn remember() -> Spec {
    Spec::new("memory.remember", "Remembers a fact on every PC of this home.")
        .field(Field::text("text", "the fact, as one sentence", FACT_BYTES_MAX))
        .seconds(20)
        .ask()
}

pub fn forget() -> Spec {
    Spec::new("memory.forget", "Forgets a fact on every PC of this home.")
        .field(Field::text("id", "the fact's id, as memory.recall shows it", ID_BYTES))
        .seconds(20)
        .ask()
}

impl Tool for Inspect {
    fn spec(&self) -> Spec {
        self.spec.clone()
    }

    fn run(&self, call: &Call, limits: &Limits<'_>) -> Result<String, String> {
        let told = (self.tells)(call.clone());
        let within = async { tokio::time::timeout(limits.left(), told).await };
        self.runtime.block_on(within).unwrap_or_else(|_| Err("there was no time for it".into()))
    }
}
