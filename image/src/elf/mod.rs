//! What the image's own programs and libraries say about themselves.
//!
//! Three questions are asked of every ELF file of an unpacked root tree:
//! which libraries nothing reaches ([`closure`]), whether the code runs on a
//! Core 2 ([`floor`]), and whether a program finds the symbol versions that it
//! was linked against ([`glibc`]).
//! Each answer is a pure function over bytes; [`tree`] is the only part that
//! reads a folder, and it never follows a link out of the root.
//! Nothing here deletes a file or knows how an image is built.

pub mod closure;
pub mod features;
mod file;
pub mod floor;
mod frames;
mod functions;
pub mod glibc;
pub mod list;
mod needs;
mod scan;
pub mod tree;

use std::fmt;

/// A file that was left out, with the reason as a sentence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Skipped {
    pub path: String,
    pub why: String,
}

/// A needed library that the root does not hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Missing {
    pub library: String,
    pub needed_by: String,
}

/// Why a root tree is refused.
#[derive(Debug)]
pub enum ElfError {
    /// A file or folder could not be read.
    Read { path: String, error: std::io::Error },
    /// More files than any image of ours has: the path is probably wrong.
    TooManyFiles { max: usize },
    /// Programs need libraries that are not there: install or keep them.
    Missing(Vec<Missing>),
    /// A list entry matches nothing any more: remove it.
    Stale { list: &'static str, line: usize, entry: String },
    /// A file is not a well-formed ELF file for x86-64.
    Malformed { path: String, why: String },
    /// A program needs a newer library than the image has.
    TooNew { program: String, version: String, library: String, has: String },
}

impl fmt::Display for ElfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, error } => write!(f, "cannot read {path}: {error}"),
            Self::TooManyFiles { max } => write!(f, "more than {max} files: is this really an image's root?"),
            Self::Missing(all) => write_missing(f, all),
            Self::Stale { list, line, entry } => {
                write!(f, "{list} line {line}: {entry} matches nothing in the image, remove the line")
            }
            Self::Malformed { path, why } => write!(f, "{path}: {why}"),
            Self::TooNew { program, version, library, has } => write!(
                f,
                "{program} needs {version} of {library}, the image has {has}: \
                 build it on the image's Debian release or an older one"
            ),
        }
    }
}

/// One line per library, the first few users named.
fn write_missing(f: &mut fmt::Formatter<'_>, all: &[Missing]) -> fmt::Result {
    const USERS_SHOWN_MAX: usize = 4;
    let mut users = std::collections::BTreeMap::<&str, Vec<&str>>::new();
    for missing in all {
        users.entry(&missing.library).or_default().push(&missing.needed_by);
    }
    for (n, (library, by)) in users.iter().enumerate() {
        let lead = if n > 0 { "; " } else { "" };
        let shown = by.len().min(USERS_SHOWN_MAX);
        write!(f, "{lead}{library} is missing, needed by {}", by[..shown].join(", "))?;
        if by.len() > shown {
            write!(f, " and {} more", by.len() - shown)?;
        }
    }
    Ok(())
}

impl std::error::Error for ElfError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { error, .. } => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod testing;
