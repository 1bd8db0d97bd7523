//! Everything that can go wrong with one file, as the end of a plain sentence.
//!
//! A sentence reads "root.squashfs from http://10.0.0.1" and then the trouble.

use std::fmt;
use std::time::Duration;

/// What is wrong with a file.
#[derive(Debug)]
pub enum Trouble {
    /// The server could not be reached, or the connection failed.
    Wire(std::io::Error),
    /// The server sent nothing for so long.
    Silent(Duration),
    /// The whole transfer took longer than this.
    Slow(Duration),
    /// The server's answer has another status than 200 or 206.
    Status(u16),
    /// The server's answer is not one we can read.
    Answer(&'static str),
    /// The server or the disk offers another number of bytes than the manifest states.
    Length { found: u64, want: u64 },
    /// A small file is larger than it may be.
    TooLarge { bytes_max: usize },
    /// The transfer ended too soon.
    Cut { found: u64, want: u64 },
    /// The bytes are not those that were signed.
    Hash,
    /// Manifest or signature is wrong.
    Release(release::Error),
    /// A manifest of another release than the one this PC was told to boot.
    OtherRelease { found: release::ReleaseId, want: release::ReleaseId },
    /// This PC cannot hold the root.
    Memory { free: u64, file: u64, room: u64 },
    /// A file beside the kernel could not be read.
    Read(std::io::Error),
    /// What was fetched could not be written down.
    Keep(std::io::Error),
}

impl Trouble {
    /// Whether the same server may be asked for the rest of the file.
    pub fn is_resumable(&self) -> bool {
        matches!(self, Trouble::Wire(_) | Trouble::Silent(_) | Trouble::Cut { .. })
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Wire(error) => write!(f, "did not come: {}", plain(error)),
            Trouble::Silent(time) => write!(f, "did not come: no bytes for {} seconds", time.as_secs()),
            Trouble::Slow(time) => write!(f, "did not come within {} seconds", time.as_secs()),
            Trouble::Status(404) => write!(f, "did not come: the server does not have it (status 404)"),
            Trouble::Status(status) => write!(f, "did not come: the server answered with status {status}"),
            Trouble::Answer(why) => write!(f, "did not come: the server's answer {why}"),
            Trouble::Length { found, want } => {
                write!(f, "has a wrong length, {found} instead of {want} bytes; not booting it")
            }
            Trouble::TooLarge { bytes_max } => write!(f, "is larger than {bytes_max} bytes; not reading it"),
            Trouble::Cut { found, want } => write!(f, "was cut off after {found} of {want} bytes"),
            Trouble::Hash => write!(f, "has a wrong hash; not booting it"),
            Trouble::Release(release::Error::Signature) => {
                write!(f, "has a wrong signature; not booting this release")
            }
            Trouble::Release(error) => write!(f, "is no good: {error}; not booting this release"),
            Trouble::OtherRelease { found, want } => {
                write!(f, "is for release {found}, and {want} was asked for; not booting it")
            }
            Trouble::Memory { free, file, room } => write_memory(f, *free, *file, *room),
            Trouble::Read(error) => write!(f, "cannot be read: {}", plain(error)),
            Trouble::Keep(error) => write!(f, "cannot be kept in memory: {}", plain(error)),
        }
    }
}

fn write_memory(f: &mut fmt::Formatter<'_>, free: u64, file: u64, room: u64) -> fmt::Result {
    let mb = |bytes: u64| bytes.div_ceil(1 << 20);
    let need = mb(file) + mb(room);
    let (file, room, free) = (mb(file), mb(room), free >> 20);
    write!(f, "needs more memory: {need} MB ({file} to hold it, {room} to run) and {free} MB are free")
}

/// The system's words for an error, without its number.
pub fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    text[..end].to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(trouble: Trouble, want: &str) {
        assert_eq!(trouble.to_string(), want);
    }

    #[test]
    fn a_refused_connection_is_said_in_words() {
        let error = std::io::Error::from_raw_os_error(libc::ECONNREFUSED);
        check(Trouble::Wire(error), "did not come: connection refused");
    }

    #[test]
    fn too_little_memory_is_said_in_numbers_that_add_up() {
        let trouble = Trouble::Memory { free: 50 << 20, file: (40 << 20) + 1, room: 24 << 20 };
        check(trouble, "needs more memory: 65 MB (41 to hold it, 24 to run) and 50 MB are free");
    }

    #[test]
    fn a_wrong_hash_is_never_booted() {
        check(Trouble::Hash, "has a wrong hash; not booting it");
    }
}
