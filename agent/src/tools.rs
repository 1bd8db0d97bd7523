//! What a node can do beside talking: tools, each with a spec, and one desk that lets their calls through.
//!
//! `desk` is the only way to a tool: it checks a call, asks the owner's policy and, where that says so, a person, keeps the
//! time, cuts what is too long, and writes all of it down (`book`). `setup` puts the tools on it and follows what the owner
//! says of them (`config`), `door` is the API, `command` the command line. The other modules are tools.
//! A tool is handed its limits and must keep them; the desk does not wait for one that does not.

pub mod acts;
pub mod book;
pub mod calculator;
pub mod camera;
pub mod child;
pub mod command;
pub mod config;
pub mod desk;
pub mod documents;
pub mod door;
pub mod files;
pub mod git;
pub mod hands;
pub mod inspect;
pub mod mcp;
pub mod measure;
pub mod program;
pub mod remote;
pub mod sandbox;
pub mod setup;
pub mod ssh;
pub mod talking;
#[cfg(test)]
mod tests;
pub mod web;
pub mod webhook;
pub mod workspace;

pub use command::alone;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
pub use tools::{Call, Field, Spec};

/// One tool. It runs on a thread of its own and may block.
pub trait Tool: Send + Sync {
    /// The same at each call, as long as it is registered.
    fn spec(&self) -> Spec;

    /// Exactly what a call will do, in plain words for whoever is to say yes; nothing where the call says it best.
    fn will_do(&self, _: &Call) -> Option<String> {
        None
    }

    /// What it found or did, or a sentence on why not; both are for a model or a person.
    fn run(&self, call: &Call, limits: &Limits<'_>) -> Result<String, String>;
}

/// What one run may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits<'a> {
    pub deadline: Instant,
    /// Bytes that are of use; the rest is cut.
    pub output_max: usize,
    /// Set when nobody waits any more.
    pub stop: &'a AtomicBool,
}

impl Limits<'_> {
    /// Until the deadline.
    pub fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Whether to give up: the time is over, or nobody waits.
    pub fn is_over(&self) -> bool {
        self.stop.load(Ordering::Acquire) || self.left().is_zero()
    }
}
