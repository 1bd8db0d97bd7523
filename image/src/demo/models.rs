//! The models of our own that the demo's PCs get: one that hears and one that talks.

use crate::vm::hands;
use crate::vm::shelf::Shelf;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

pub const EAR: &str = "duet-ear-q8_0.bin";
pub const TALK: &str = "duet-talk-q8_0.gguf";
/// Where a node has its models.
const THERE: &str = "/var/lib/duet/models";

/// Both of them, complete.
#[derive(Debug)]
pub struct Models {
    files: [PathBuf; 2],
}

impl Models {
    /// Those of a folder; none where one of them is missing.
    pub fn of(folder: &Path) -> Option<Models> {
        let files = [EAR, TALK].map(|name| folder.join(name));
        files.iter().all(|file| file.is_file()).then_some(Models { files })
    }

    /// Brings both to a PC, whatever it fetches by itself.
    pub fn bring(&self, shelf: &Shelf, pc_idx: usize) -> Result<()> {
        for file in &self.files {
            let name = file.file_name().context("a model has a name")?.to_string_lossy();
            hands::give(shelf, pc_idx, file, &format!("{THERE}/{name}"))?;
        }
        Ok(())
    }
}
