//! What rpc-worker tells of what it holds: the key `holds` of its `/health`, and so what a node's facts say of models.
//!
//! The agent reads it from another process, so [`Holds::check`] bounds it before any of it goes into facts.

use crate::assign::{BUILD_BYTES_MAX, EXPERTS_MAX, STAGES_MAX};
use crate::expert::is_model_file;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Files of models that are told; a node has memory for fewer.
pub const FILES_MAX: usize = 32;
/// Longest sentence about a failure.
pub const SENTENCE_BYTES_MAX: usize = 400;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Holds {
    /// Of the assignment that is followed, 0 before the first.
    pub generation: u64,
    /// What tells this program from any other; empty where it was not told.
    pub build: String,
    pub experts: Vec<HeldExpert>,
    pub stages: Vec<HeldStage>,
    /// Neighbours in rings that cannot be reached from here.
    pub doubts: Vec<Doubt>,
    /// The models that lie in the models' folder, loaded or not.
    pub files: Vec<FileTold>,
    /// Memory that models take now beside their files, as the system counts it, and that of slices, which are cut again
    /// where they are needed: all that a new plan may give to others.
    pub taken_bytes: u64,
    /// Length of the disk that models lie on; 0 where they lie in memory.
    pub disk_bytes: u64,
    /// Measured here, for every model that ever ran since the start.
    pub speeds: Vec<SpeedTold>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeldExpert {
    pub name: String,
    /// The model's file.
    pub model: String,
    pub state: HeldState,
    /// Why it failed; empty otherwise.
    pub sentence: String,
    /// Requests at once, in work, and waiting.
    pub slots: u32,
    pub busy: u32,
    pub queued: u32,
    /// Memory of weights, cache and scratch.
    pub bytes: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeldStage {
    /// The expert it is a part of, and the whole model's file.
    pub name: String,
    pub model: String,
    pub first: u32,
    pub last: u32,
    pub of: u32,
    pub state: HeldState,
    pub sentence: String,
    pub bytes: u64,
}

/// A stage that did not answer when it was tried last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// The expert of the ring.
    pub name: String,
    pub address: SocketAddr,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeldState {
    #[default]
    Loading,
    Ready,
    Failed,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileTold {
    pub file: String,
    pub bytes: u64,
}

/// Tokens a second, times a thousand; 0 where it was not measured yet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpeedTold {
    pub model: String,
    pub decode_milli: u64,
    pub prompt_milli: u64,
}

impl Holds {
    /// Whether the same things are loaded, loading and failed, however busy they are.
    pub fn is_same_load(&self, other: &Holds) -> bool {
        let experts = |holds: &Holds| -> Vec<(String, HeldState)> {
            holds.experts.iter().map(|held| (held.name.clone(), held.state)).collect()
        };
        let stages = |holds: &Holds| -> Vec<(String, u32, u32, HeldState)> {
            let stage = |held: &HeldStage| (held.name.clone(), held.first, held.last, held.state);
            holds.stages.iter().map(stage).collect()
        };
        experts(self) == experts(other) && stages(self) == stages(other)
    }

    /// The first thing that no sane worker says.
    pub fn check(&self) -> Result<(), String> {
        let n_max = EXPERTS_MAX + STAGES_MAX;
        let is_much = self.experts.len() > EXPERTS_MAX || self.stages.len() > STAGES_MAX;
        if is_much || self.speeds.len() > n_max || self.doubts.len() > STAGES_MAX {
            return Err(format!("more than {EXPERTS_MAX} experts or {STAGES_MAX} stages are told"));
        }
        if self.files.len() > FILES_MAX {
            return Err(format!("more than {FILES_MAX} files are told"));
        }
        if self.build.len() > BUILD_BYTES_MAX {
            return Err(format!("a build's name has more than {BUILD_BYTES_MAX} bytes"));
        }
        let files = self.files.iter().map(|told| &told.file);
        let files = files.chain(self.experts.iter().map(|held| &held.model));
        let files = files.chain(self.stages.iter().map(|held| &held.model));
        let mut files = files.chain(self.speeds.iter().map(|told| &told.model));
        if let Some(odd) = files.find(|file| !is_model_file(file)) {
            return Err(format!("{:?} is no model's file", odd.chars().take(64).collect::<String>()));
        }
        let sentences = self.experts.iter().map(|held| &held.sentence);
        let mut sentences = sentences.chain(self.stages.iter().map(|held| &held.sentence));
        if sentences.any(|sentence| sentence.len() > SENTENCE_BYTES_MAX) {
            return Err(format!("a sentence has more than {SENTENCE_BYTES_MAX} bytes"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, want: Result<(), &str>) {
        let holds: Holds = serde_json::from_str(json).unwrap();
        assert_eq!(holds.check(), want.map_err(str::to_owned));
    }

    #[test]
    fn a_worker_that_holds_nothing_says_little() {
        check("{}", Ok(()));
        check(r#"{"generation": 3, "later": true}"#, Ok(()));
    }

    #[test]
    fn how_busy_an_expert_is_does_not_make_it_another() {
        let holds = |state, busy| Holds {
            experts: vec![HeldExpert { name: "calm".into(), state, busy, ..HeldExpert::default() }],
            ..Holds::default()
        };
        assert!(holds(HeldState::Ready, 0).is_same_load(&holds(HeldState::Ready, 2)));
        assert!(!holds(HeldState::Ready, 0).is_same_load(&holds(HeldState::Loading, 0)));
        assert!(!holds(HeldState::Ready, 0).is_same_load(&Holds::default()));
    }

    #[test]
    fn what_is_told_has_limits() {
        check(r#"{"files": [{"file": "../a.gguf"}]}"#, Err("\"../a.gguf\" is no model's file"));
        check(&format!(r#"{{"files": [{}]}}"#, ["{}"; 33].join(",")), Err("more than 32 files are told"));
        let expert = format!(r#"{{"model": "a.gguf", "sentence": "{}"}}"#, "x".repeat(401));
        check(&format!(r#"{{"experts": [{expert}]}}"#), Err("a sentence has more than 400 bytes"));
    }
}
