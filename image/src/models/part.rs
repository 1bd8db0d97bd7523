//! A file on its way to the shelf: `NAME.part`, hashed while it grows, and beside it where it comes from.
//!
//! What came before an interruption is kept, and goes on only from the same source; it is hashed again, not believed.
//! The whole file gets its name by one rename, after its bytes are on the disk and its hash was compared.

use super::hex;
use super::shelf::Shelf;
use crate::disk;
use anyhow::{Context, Result, bail, ensure};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Behind the name of a file that is not whole yet.
pub const PART: &str = ".part";
/// Behind the name of the file that says where it comes from.
pub const STATE: &str = ".part.toml";
const STATE_BYTES_MAX: usize = 4096;
pub const ETAG_BYTES_MAX: usize = 256;
const BLOCK: usize = 1 << 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    source: String,
    etag: Option<String>,
}

pub struct Part {
    file: File,
    path: PathBuf,
    state_path: PathBuf,
    whole_path: PathBuf,
    source: String,
    hasher: Sha256,
    /// How much is there.
    pub bytes: u64,
    /// How much there will be.
    pub bytes_whole: u64,
    /// What the server called this very content.
    pub etag: Option<String>,
    /// Whether it came in more than one try.
    pub is_resumed: bool,
}

/// How a whole file turned out.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    Placed { sha256: String },
    WrongHash { sha256: String },
}

impl Part {
    /// Goes on where the last try stopped, if it came from the same source; else begins anew.
    pub fn open(shelf: &Shelf, name: &str, source: &str, bytes_whole: u64) -> Result<Part> {
        let beside = |ending: &str| shelf.file(&format!("{name}{ending}"));
        let (path, state_path) = (beside(PART), beside(STATE));
        let writing = || format!("writing {}", path.display());
        if let Ok(facts) = fs::symlink_metadata(&path) {
            ensure!(facts.is_file(), "{} is no file; remove it", path.display());
        }
        let nofollow = OFlags::NOFOLLOW.bits().cast_signed();
        let mut file = File::options();
        let file = file.read(true).write(true).create(true).truncate(false).custom_flags(nofollow);
        let file = file.open(&path).with_context(writing)?;
        let state = disk::read_limited(&state_path, STATE_BYTES_MAX).ok();
        let state: Option<State> = state.and_then(|text| toml::from_str(&text).ok());
        let mut part = Part {
            file,
            state_path,
            whole_path: shelf.file(name),
            source: source.to_owned(),
            hasher: Sha256::new(),
            bytes: 0,
            bytes_whole,
            etag: None,
            is_resumed: false,
            path,
        };
        let there = part.file.metadata().with_context(|| format!("reading {}", part.path.display()))?.len();
        match state {
            Some(state) if state.source == source && there <= bytes_whole => {
                part.etag = state.etag.filter(|etag| etag.len() <= ETAG_BYTES_MAX);
                part.read_again(there)?;
            }
            _ => part.begin_anew()?,
        }
        Ok(part)
    }

    fn read_again(&mut self, there: u64) -> Result<()> {
        let reading = || format!("reading {}", self.path.display());
        let mut block = vec![0; BLOCK];
        while self.bytes < there {
            let n = self.file.read(&mut block).with_context(reading)?;
            if n == 0 {
                break;
            }
            self.hasher.update(&block[..n]);
            self.bytes += n as u64;
        }
        self.is_resumed = self.bytes > 0;
        Ok(())
    }

    /// Throws away what is there.
    pub fn begin_anew(&mut self) -> Result<()> {
        let writing = || format!("writing {}", self.path.display());
        self.file.set_len(0).with_context(writing)?;
        self.file.seek(SeekFrom::Start(0)).with_context(writing)?;
        (self.hasher, self.bytes, self.etag, self.is_resumed) = (Sha256::new(), 0, None, false);
        Ok(())
    }

    /// Notes what the content that begins or goes on is called, for the next try.
    pub fn called(&mut self, etag: Option<String>) -> Result<()> {
        self.etag = etag.filter(|etag| etag.len() <= ETAG_BYTES_MAX);
        let state = State { source: self.source.clone(), etag: self.etag.clone() };
        let text = toml::to_string(&state).context("writing down where a file comes from")?;
        disk::write_whole(&self.state_path, text.as_bytes())
    }

    /// Adds what came; more than was announced is refused.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if self.bytes + bytes.len() as u64 > self.bytes_whole {
            bail!("more came than the {} bytes that the file has", self.bytes_whole);
        }
        self.file.write_all(bytes).with_context(|| format!("writing {}", self.path.display()))?;
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Where it lies while it is not whole.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Holds the whole to its hash, if there is one, and gives it its name. A wrong one is thrown away.
    pub fn end(mut self, wanted: Option<&str>) -> Result<End> {
        ensure!(self.bytes == self.bytes_whole, "{} is not whole", self.path.display());
        let sha256 = hex(&std::mem::take(&mut self.hasher).finalize());
        if wanted.is_some_and(|wanted| wanted != sha256) {
            self.throw_away()?;
            return Ok(End::WrongHash { sha256 });
        }
        let naming = || format!("naming {}", self.whole_path.display());
        self.file.sync_all().with_context(|| format!("writing {}", self.path.display()))?;
        fs::rename(&self.path, &self.whole_path).with_context(naming)?;
        disk::sync_folder(self.whole_path.parent().unwrap_or(Path::new(".")))?;
        let _ = fs::remove_file(&self.state_path);
        Ok(End::Placed { sha256 })
    }

    /// Keeps what came for the next try, and nothing if nothing came.
    pub fn leave(&self) -> Result<()> {
        if self.bytes == 0 { self.throw_away() } else { Ok(()) }
    }

    /// Removes what came.
    pub fn throw_away(&self) -> Result<()> {
        fs::remove_file(&self.path).with_context(|| format!("removing {}", self.path.display()))?;
        // Without the part it says nothing.
        let _ = fs::remove_file(&self.state_path);
        Ok(())
    }

    /// Takes all of a file that lies somewhere else.
    pub fn copy_from(&mut self, path: &Path, told: &dyn Fn(u64)) -> Result<()> {
        let reading = || format!("reading {}", path.display());
        let mut file = File::open(path).with_context(reading)?;
        self.begin_anew()?;
        let mut block = vec![0; BLOCK];
        loop {
            let n = file.read(&mut block).with_context(reading)?;
            if n == 0 {
                break;
            }
            self.write(&block[..n])?;
            told(self.bytes);
        }
        ensure!(self.bytes == self.bytes_whole, "{} ended early", path.display());
        Ok(())
    }
}

/// The SHA-256 of a file, as hex digits.
pub fn sha256_of(path: &Path, told: &dyn Fn(u64)) -> Result<String> {
    let reading = || format!("reading {}", path.display());
    let mut file = File::open(path).with_context(reading)?;
    let (mut hasher, mut block, mut bytes) = (Sha256::new(), vec![0; BLOCK], 0);
    loop {
        let n = file.read(&mut block).with_context(reading)?;
        if n == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(&block[..n]);
        bytes += n as u64;
        told(bytes);
    }
}
