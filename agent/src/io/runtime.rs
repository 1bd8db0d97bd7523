//! Files in the agent's own folder on a tmpfs, which systemd gives it and which goes with the power.
//!
//! Elsewhere, such as on a developer's PC, there is no such folder and nothing is kept.

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
    // systemd may name several folders, with colons between them; ours is one.
    let folder = std::env::var_os("RUNTIME_DIRECTORY").filter(|folder| !folder.is_empty())?;
    Some(PathBuf::from(folder).join(name))
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
