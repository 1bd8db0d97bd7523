//! The folder of models: what lies there, what of it is known, and who writes there now.

use super::part::{PART, STATE};
use super::pins::{Kind, Pins};
use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, OFlags, flock};
use split::manifest::{Known, Manifest, Use, is_file_name};
use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Below OUT.
pub const FOLDER: &str = "models";
/// More than a shelf can mean.
const FILES_MAX: usize = 1024;

pub struct Shelf {
    pub folder: PathBuf,
    pub pins: Pins,
    /// Held while files change; the lock goes with the process.
    _alone: Option<File>,
}

/// What a file must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub purpose: Use,
    pub bytes: u64,
    pub sha256: String,
    /// Who says so.
    pub by: By,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Manifest,
    FirstDownload,
    Owner,
}

impl By {
    pub fn name(self) -> &'static str {
        match self {
            By::Manifest => "manifest",
            By::FirstDownload => "first-download",
            By::Owner => "owner",
        }
    }
}

impl Shelf {
    /// To look at.
    pub fn read(out: &Path) -> Result<Shelf> {
        let folder = out.join(FOLDER);
        Ok(Shelf { pins: Pins::read(&folder.join("pins.toml"))?, folder, _alone: None })
    }

    /// To change: one process at a time.
    pub fn alone(out: &Path) -> Result<Shelf> {
        let folder = out.join(FOLDER);
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let path = folder.join(".lock");
        // Never through a link, and what lies there stays as it is.
        let mut how = File::options();
        how.write(true).create(true).truncate(false).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
        let lock = how.open(&path).with_context(|| format!("writing {}", path.display()))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).with_context(|| {
            format!("another `duet models` is at work in {}; wait for it, or use --out", folder.display())
        })?;
        Ok(Shelf { _alone: Some(lock), ..Shelf::read(out)? })
    }

    /// For a name that was checked.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The length of a whole file; a link is none.
    pub fn bytes(&self, name: &str) -> Option<u64> {
        let facts = fs::symlink_metadata(self.file(name)).ok()?;
        facts.is_file().then_some(facts.len())
    }

    /// What of it has come so far.
    pub fn part_bytes(&self, name: &str) -> Option<u64> {
        let facts = fs::symlink_metadata(self.file(&format!("{name}{PART}"))).ok()?;
        facts.is_file().then_some(facts.len())
    }

    /// Names of whole files, sorted.
    pub fn names(&self) -> Result<Vec<String>> {
        let reading = || format!("reading {}", self.folder.display());
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.with_context(reading)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.with_context(reading)?.file_name().to_string_lossy().into_owned();
            if is_file_name(&name) && self.bytes(&name).is_some() {
                names.push(name);
            }
            if names.len() > FILES_MAX {
                bail!("{} holds more than {FILES_MAX} models", self.folder.display());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Names of files that have come in part.
    pub fn halves(&self) -> Vec<String> {
        let halves = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let halves = halves.filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().strip_suffix(PART)?.to_owned();
            is_file_name(&name).then_some(name)
        });
        let mut names: Vec<String> = halves.take(FILES_MAX).collect();
        names.sort();
        names
    }

    /// What a file of this name must be, if anybody has said so. The owner's word counts first: the file is theirs.
    pub fn wanted(&self, name: &str, manifest: &Manifest) -> Option<Wanted> {
        let pinned = |kind: Kind, by: By| {
            let pin = self.pins.of(name).filter(|pin| pin.kind == kind)?;
            Some(Wanted { purpose: pin.purpose, bytes: pin.bytes, sha256: pin.sha256.clone(), by })
        };
        let known = |known: &Known| {
            let sha256 = known.hash()?.to_owned();
            Some(Wanted { purpose: known.purpose, bytes: known.bytes, sha256, by: By::Manifest })
        };
        pinned(Kind::Owner, By::Owner)
            .or_else(|| manifest.model(name).and_then(known))
            .or_else(|| pinned(Kind::FirstDownload, By::FirstDownload))
    }

    /// Removes the file and what came of it; says whether there was anything.
    pub fn remove(&mut self, name: &str) -> Result<bool> {
        let mut was_there = false;
        for path in
            [self.file(name), self.file(&format!("{name}{PART}")), self.file(&format!("{name}{STATE}"))]
        {
            match fs::remove_file(&path) {
                Ok(()) => was_there = true,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).with_context(|| format!("removing {}", path.display())),
            }
        }
        self.pins.forget_own(name)?;
        Ok(was_there)
    }

    /// The name on the shelf that a person means: with or without its ending, in any case.
    pub fn meant(&self, word: &str) -> Result<String> {
        let mut all = self.names()?;
        all.extend(self.halves());
        let found = all.iter().find(|name| is_meant(name, word));
        found.cloned().with_context(|| {
            format!("{word:?} does not lie on the shelf; `duet models list` shows what does")
        })
    }
}

/// Whether a person's word means this file.
pub fn is_meant(file: &str, word: &str) -> bool {
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    file.eq_ignore_ascii_case(word) || stem.eq_ignore_ascii_case(word)
}
