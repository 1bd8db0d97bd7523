//! What the benches share that have the agent measure models: the agent, rpc-worker with the models, and the answer as JSON.

use super::served::{Place, Served, Wanted};
use super::worker::program;
use crate::progress::Progress;
use crate::tool;
use anyhow::{Context, Result};
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Whom to ask, and where logs go.
pub struct Asked<'a> {
    /// Of its logs.
    pub name: &'a str,
    pub out: &'a Path,
    pub yes: bool,
    /// Built programs, or none to build them.
    pub agent: Option<&'a Path>,
    pub worker: Option<&'a Path>,
    /// Served here.
    pub models: &'a [Wanted<'a>],
    /// Or a server that is there.
    pub llm_url: Option<&'a str>,
}

impl Asked<'_> {
    /// How many steps of a progress it takes.
    pub fn n_steps(&self) -> usize {
        2 + 2 * usize::from(!self.models.is_empty())
    }

    /// Runs the agent with these words.
    pub fn figures(&self, progress: &Progress, what: &str, add: impl FnOnce(&mut Command)) -> Result<Value> {
        let agent = program("agent", self.agent, self.out, self.yes, progress)?;
        let folder = fs::canonicalize(self.out).context("the folder for logs")?.join("bench");
        let place = Place { worker: self.worker, out: self.out, yes: self.yes, folder: &folder };
        let served = match self.models {
            [] => None,
            models => Some(Served::start(&place, models, progress)?),
        };
        let mut command = tool::command(&agent.display().to_string());
        add(&mut command);
        if let Some(url) = served.as_ref().map(Served::url).or(self.llm_url.map(str::to_owned)) {
            command.args(["--llm-url", &url]);
        }
        let step = progress.step(what, None);
        let answer: PathBuf = folder.join(format!("{}.json", self.name));
        let file = File::create(&answer).with_context(|| format!("writing {}", answer.display()))?;
        tool::run_into(&mut command, file, &folder.join(format!("{}.log", self.name)), &step)?;
        step.done("measured");
        let text = fs::read_to_string(&answer).with_context(|| format!("reading {}", answer.display()))?;
        serde_json::from_str(&text).context("understanding what the agent measured")
    }
}
