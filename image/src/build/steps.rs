//! Steps that are done once: a step is skipped while its inputs are the same and its stamp stands.
//!
//! A stamp is written after everything before it is on the disk, so a build that lost its power in the
//! middle of a step does that step again, and no other.

use crate::disk::write_whole;
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::path::PathBuf;

/// What a step's result follows from, as one hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Collects the inputs of a step. Every part carries its length, so parts never run into each other.
pub struct KeyMaker(blake3::Hasher);

impl KeyMaker {
    pub fn new(step: &str) -> KeyMaker {
        KeyMaker(blake3::Hasher::new()).with(step)
    }

    #[must_use]
    pub fn with(mut self, part: impl AsRef<[u8]>) -> KeyMaker {
        let part = part.as_ref();
        self.0.update(&(part.len() as u64).to_le_bytes());
        self.0.update(part);
        self
    }

    #[must_use]
    pub fn with_each<T: AsRef<[u8]>>(self, parts: impl IntoIterator<Item = T>) -> KeyMaker {
        parts.into_iter().fold(self, KeyMaker::with).with("end of list")
    }

    pub fn key(self) -> Key {
        Key(self.0.finalize().to_hex().to_string())
    }
}

/// The stamps of one output folder.
pub struct Stamps {
    folder: PathBuf,
}

impl Stamps {
    pub fn new(folder: PathBuf) -> Result<Stamps> {
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        Ok(Stamps { folder })
    }

    pub fn is_done(&self, step: &str, key: &Key) -> bool {
        fs::read_to_string(self.path(step)).is_ok_and(|text| text.trim_end() == key.as_str())
    }

    /// Forgets a step before its result is touched.
    pub fn begin(&self, step: &str) -> Result<()> {
        match fs::remove_file(self.path(step)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("forgetting step {step}"))
            }
            _ => Ok(()),
        }
    }

    /// Writes the stamp, once the step's result would survive a power cut: a result may be a whole tree, so
    /// the file system itself is asked.
    pub fn done(&self, step: &str, key: &Key) -> Result<()> {
        let syncing = || format!("syncing the results of step {step}");
        rustix::fs::syncfs(File::open(&self.folder).with_context(syncing)?).with_context(syncing)?;
        write_whole(&self.path(step), format!("{}\n", key.as_str()).as_bytes())
    }

    fn path(&self, step: &str) -> PathBuf {
        self.folder.join(format!("{step}.done"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_each_other() {
        let one = KeyMaker::new("s").with("ab").with("c").key();
        let other = KeyMaker::new("s").with("a").with("bc").key();
        assert_ne!(one, other);
    }

    #[test]
    fn a_step_is_done_only_with_the_same_key() {
        let folder = std::env::temp_dir().join(format!("duet-stamps-{}", std::process::id()));
        let stamps = Stamps::new(folder.clone()).unwrap();
        let key = KeyMaker::new("s").with("1").key();
        assert!(!stamps.is_done("s", &key));
        stamps.done("s", &key).unwrap();
        assert!(stamps.is_done("s", &key));
        assert!(!stamps.is_done("s", &KeyMaker::new("s").with("2").key()));
        stamps.begin("s").unwrap();
        assert!(!stamps.is_done("s", &key));
        fs::remove_dir_all(folder).unwrap();
    }
}
