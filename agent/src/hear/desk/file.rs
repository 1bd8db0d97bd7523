//! Which file is the model that hears, and whether it is still the one that was opened.

use super::Wanted;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Files of the folder that may be tried where the owner names none.
pub const MODEL_FILES_MAX: usize = 16;
/// What whisper models end with; the detectors' models bear their name.
const ENDING: &str = "bin";
const DETECTOR: &str = "silero";

/// A file as it lies there; another is another choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub path: PathBuf,
    bytes: u64,
    changed: (i64, i64),
    inode: u64,
}

impl Choice {
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// What is to be tried, best first; or a sentence on why there is nothing.
pub fn choices(wanted: &Wanted) -> Result<Vec<Choice>, String> {
    let folder = wanted.models.display();
    if let Some(name) = &wanted.model {
        let found = look(&wanted.models.join(name));
        return found.map(|choice| vec![choice]).ok_or_else(|| {
            format!("the model that hears, {name}, is not in {folder}; hearing under [voice] in duet.toml names it")
        });
    }
    let entries = fs::read_dir(&wanted.models).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut paths: Vec<PathBuf> = entries.filter(|path| is_candidate(path)).collect();
    paths.sort();
    let found: Vec<Choice> = paths.iter().filter_map(|path| look(path)).take(MODEL_FILES_MAX).collect();
    if found.is_empty() {
        Err(format!("no model that hears (a whisper model, *.bin) is in {folder}"))
    } else {
        Ok(found)
    }
}

fn is_candidate(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    path.extension().is_some_and(|ending| ending == ENDING) && !name.contains(DETECTOR)
}

fn look(path: &Path) -> Option<Choice> {
    let told = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    let changed = (told.mtime(), told.mtime_nsec());
    Some(Choice { path: path.to_owned(), bytes: told.len(), changed, inode: told.ino() })
}
