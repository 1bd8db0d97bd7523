//! The models of our own that the demo's PCs fetch by themselves: one that hears and one that talks.

use crate::vm::person;
use crate::vm::shelf::Shelf;
use anyhow::Result;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub const EAR: &str = "duet-ear-q8_0.bin";
pub const TALK: &str = "duet-talk-q8_0.gguf";
/// Until a PC has both: 12 MB over a virtual wire, once its boot is over.
const FETCH_MAX: Duration = Duration::from_secs(240);

/// A shelf that has both.
#[derive(Debug)]
pub struct Models {
    pub shelf: PathBuf,
}

impl Models {
    /// Those of a folder; none where one of them is missing.
    pub fn of(folder: &Path) -> Option<Models> {
        let is_there = [EAR, TALK].iter().all(|name| folder.join(name).is_file());
        is_there.then(|| Models { shelf: folder.to_owned() })
    }

    /// Waits until a PC has fetched both.
    pub fn wait(&self, shelf: &Shelf, pc_idx: usize, tell: &dyn Fn(&str)) -> Result<()> {
        let are_here = |status: &Value| [EAR, TALK].iter().all(|file| is_here(status, file));
        person::until(shelf, pc_idx, "the models of our own", FETCH_MAX, tell, are_here)
    }
}

/// What a node tells of the models that it fetches.
fn is_here(status: &Value, file: &str) -> bool {
    let files = status["spread"]["files"].as_array();
    files.into_iter().flatten().any(|one| one["file"] == file && one["is_here"] == true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_model_is_here_when_the_node_says_so() {
        let status = json!({"spread": {"files": [
            {"file": EAR, "is_here": true}, {"file": TALK, "is_here": false},
        ]}});
        assert!(is_here(&status, EAR) && !is_here(&status, TALK) && !is_here(&json!({}), EAR));
    }
}
