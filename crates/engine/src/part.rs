//! Files that appear whole or not at all: written beside their place, then renamed.

use crate::Error;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where a file lies until it is whole. The whole name is kept: `a.q4` and `a.q8` must not share a place.
pub(crate) fn part_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// Whether two names mean one file that is there.
pub(crate) fn is_same(a: &Path, b: &Path) -> bool {
    let identity = |path: &Path| fs::metadata(path).map(|facts| (facts.dev(), facts.ino())).ok();
    identity(a).is_some_and(|a| identity(b) == Some(a))
}

/// Why a file could not be written.
pub(crate) fn error(path: &Path) -> impl Fn(io::Error) -> Error {
    move |e| Error::Write { path: path.display().to_string(), why: e.to_string() }
}
