//! Files in the agent's own folders on a tmpfs, which systemd gives it and which go with the power.
//!
//! The first is for all of it, and other programs of the node are shown it. The second is for the key of this PC's ear,
//! and only the diagnosis is shown it. Where there is one folder, it is both.
//! Elsewhere, such as on a developer's PC, there is no such folder and nothing is kept.

use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    Agent,
    Everybody,
}

pub fn path(name: &str) -> Option<PathBuf> {
    Some(folders(&std::env::var_os("RUNTIME_DIRECTORY")?).0?.join(name))
}

/// A path in the folder that only the diagnosis is shown.
pub fn console_path(name: &str) -> Option<PathBuf> {
    Some(folders(&std::env::var_os("RUNTIME_DIRECTORY")?).1?.join(name))
}

/// A path on a disk where systemd gives the agent one, else in the first folder.
pub fn lasting_path(name: &str) -> Option<PathBuf> {
    let state = std::env::var_os("STATE_DIRECTORY").and_then(|named| folders(&named).0);
    state.map(|folder| folder.join(name)).or_else(|| path(name))
}

/// Whether what lies there outlives the power.
pub fn lasts() -> bool {
    std::env::var_os("STATE_DIRECTORY").is_some_and(|named| folders(&named).0.is_some())
}

/// The first folder and the last; systemd names them with colons between.
fn folders(named: &OsStr) -> (Option<PathBuf>, Option<PathBuf>) {
    let mut all = std::env::split_paths(named).filter(|folder| !folder.as_os_str().is_empty());
    let first = all.next();
    (first.clone(), all.last().or(first))
}

/// The text of a file up to a limit; empty where there is none.
pub fn read(name: &str, bytes_max: u64) -> String {
    let mut text = String::new();
    let file = path(name).and_then(|path| File::open(path).ok());
    let whole = file.map(|file| file.take(bytes_max).read_to_string(&mut text));
    if whole.is_some_and(|read| read.is_ok()) { text } else { String::new() }
}

/// Replaces a file; a reader sees the old or the new.
pub fn write(name: &str, bytes: &[u8], readers: For) -> io::Result<()> {
    let Some(path) = path(name) else { return Ok(()) };
    let beside = path.with_extension("new");
    let mode = if readers == For::Agent { 0o600 } else { 0o644 };
    // A file that is left of a crash may have other rights.
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = File::options();
    options.write(true).create_new(true).mode(mode);
    let mut file = options.open(&beside)?;
    // The unit's UMask takes rights away from a new file.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    std::fs::rename(&beside, &path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(named: &str, want: Option<(&str, &str)>) {
        let (first, last) = folders(OsStr::new(named));
        assert_eq!(first.zip(last), want.map(|(first, last)| (first.into(), last.into())), "{named}");
    }

    #[test]
    fn the_key_of_the_ear_has_a_folder_by_itself_where_there_are_two() {
        check("/run/duet-agent:/run/duet-talk", Some(("/run/duet-agent", "/run/duet-talk")));
        check("/run/duet-agent", Some(("/run/duet-agent", "/run/duet-agent")));
        check("", None);
    }
}
