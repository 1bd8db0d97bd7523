//! Files of the workspace: read, listed, written and changed, and no path of them leads out.
//!
//! Each part of a path is opened by itself, below the folder and through no link. (`openat2` would do it in one call, but
//! the unit's `RestrictSUIDSGID=` answers it with "not implemented", because it cannot see what it asks.) What git keeps is in a folder beside it
//! (`git`), so nothing here can give git a program to run; a file or folder of that name is refused all the same.

use super::workspace::{Found, Workspace};
use super::{Call, Field, Limits, Spec, Tool};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, mkdirat, openat, renameat, statat, unlinkat};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

const PATH_BYTES_MAX: usize = 255;
/// A file that is read or written as a text.
const FILE_BYTES_MAX: usize = 48 << 10;
/// All files together: they may lie in memory.
const ALL_BYTES_MAX: u64 = 16 << 20;
pub const ENTRIES_MAX: usize = 2000;
const LISTED_MAX: usize = 200;
pub const DEPTH_MAX: usize = 12;
/// A file while it is written.
const NEW: &str = ".duet-new";
const FORBIDDEN: [&str; 2] = [".git", NEW];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Read,
    List,
    Write,
    Edit,
}

pub struct Files {
    pub what: What,
    pub workspace: Workspace,
}

pub const ALL: [What; 4] = [What::Read, What::List, What::Write, What::Edit];

impl Tool for Files {
    fn spec(&self) -> Spec {
        let path = || Field::text("path", "a path in the workspace, such as notes/today.md", PATH_BYTES_MAX);
        match self.what {
            What::Read => {
                Spec::new("file.read", "Reads a text file of the workspace.").field(path()).output(16 << 10)
            }
            What::List => Spec::new("file.list", "Lists a folder of the workspace.")
                .field(path().optional())
                .output(8 << 10),
            What::Write => {
                Spec::new("file.write", "Writes a text file of the workspace, in place of what it held.")
                    .field(path())
                    .field(Field::text("text", "all that it is to hold", FILE_BYTES_MAX))
                    .ask()
            }
            What::Edit => Spec::new("file.edit", "Replaces one passage of a text file of the workspace.")
                .field(path())
                .field(Field::text(
                    "old",
                    "the passage as it is, with enough around it to be there once",
                    FILE_BYTES_MAX,
                ))
                .field(Field::text("new", "what is to stand there", FILE_BYTES_MAX))
                .ask(),
        }
    }

    fn run(&self, call: &Call, _: &Limits<'_>) -> Result<String, String> {
        let found = self.workspace.find()?;
        let (place, folder) = (Place::open(&found)?, &found.folder);
        let text = |name: &str| call.text(name).unwrap_or_default();
        let path = text("path");
        match self.what {
            What::Read => place.read(path),
            What::List => place.list(folder, path),
            What::Write => place.write(folder, path, text("text")),
            What::Edit => {
                let (was, old) = (place.read(path)?, text("old"));
                match was.matches(old).count() {
                    _ if old.is_empty() => Err("`old` is empty".into()),
                    1 => place.write(folder, path, &was.replacen(old, text("new"), 1)),
                    n => Err(format!("that passage is there {n} times; it must be there once")),
                }
            }
        }
    }
}

struct Place {
    opened: OwnedFd,
    is_common: bool,
}

fn told(path: &str) -> impl Fn(Errno) -> String + '_ {
    move |error| match error {
        Errno::XDEV | Errno::LOOP => format!("{path:?} leads out of the workspace, or through a link"),
        Errno::NOENT => format!("there is no {path:?} in the workspace"),
        error => format!("{path:?}: {}", io::Error::from(error)),
    }
}

/// What has this name in a folder, if it is no link.
fn open_part(folder: BorrowedFd<'_>, name: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    if name == ".." {
        return Err(Errno::XDEV);
    }
    let is_link = || {
        statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|about| FileType::from_raw_mode(about.st_mode) == FileType::Symlink)
    };
    let opened = openat(folder, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
    opened.map_err(|error| if error == Errno::NOTDIR && is_link() { Errno::LOOP } else { error })
}

impl Place {
    fn open(found: &Found) -> Result<Place, String> {
        let Found { folder, is_common, .. } = found;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = openat(rustix::fs::CWD, folder, flags, Mode::empty());
        opened
            .map(|opened| Place { opened, is_common: *is_common })
            .map_err(|error| format!("the workspace {}: {}", folder.display(), io::Error::from(error)))
    }

    fn beneath(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        if path.starts_with('/') {
            return Err(Errno::XDEV);
        }
        let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        let Some((last, above)) = parts.split_last() else {
            return open_part(self.opened.as_fd(), ".", flags);
        };
        let mut folder = None;
        for part in above {
            let from = folder.as_ref().map_or(self.opened.as_fd(), AsFd::as_fd);
            folder = Some(open_part(from, part, OFlags::PATH | OFlags::DIRECTORY)?);
        }
        open_part(folder.as_ref().map_or(self.opened.as_fd(), AsFd::as_fd), last, flags)
    }

    fn read(&self, path: &str) -> Result<String, String> {
        check(path)?;
        // A pipe would wait for its other end.
        let file =
            self.beneath(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY).map_err(told(path))?;
        let file = File::from(file);
        let is_file = file.metadata().is_ok_and(|about| about.is_file());
        if !is_file {
            return Err(format!("{path:?} is no file"));
        }
        let mut bytes = vec![];
        file.take(FILE_BYTES_MAX as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| format!("{path:?}: {error}"))?;
        if bytes.len() > FILE_BYTES_MAX {
            return Err(format!("{path:?} has more than {FILE_BYTES_MAX} bytes"));
        }
        String::from_utf8(bytes).map_err(|_| format!("{path:?} is no text"))
    }

    fn list(&self, folder: &Path, path: &str) -> Result<String, String> {
        let path = if path.is_empty() { "." } else { path };
        if path != "." {
            check(path)?;
        }
        // Resolved once by the kernel; the names are then those of what was opened.
        let opened = self.beneath(path, OFlags::RDONLY | OFlags::DIRECTORY).map_err(told(path))?;
        let mut lines = vec![];
        let entries = rustix::fs::Dir::read_from(&opened).map_err(told(path))?;
        for entry in entries.take(ENTRIES_MAX) {
            let entry = entry.map_err(told(path))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if [".", ".."].contains(&name.as_str()) || FORBIDDEN.contains(&name.as_str()) {
                continue;
            }
            let about = rustix::fs::statat(&opened, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(told(path))?;
            lines.push(match rustix::fs::FileType::from_raw_mode(about.st_mode) {
                rustix::fs::FileType::Directory => format!("{name}/"),
                rustix::fs::FileType::RegularFile => format!("{name} {} bytes", about.st_size),
                _ => format!("{name} (neither file nor folder)"),
            });
        }
        lines.sort();
        let n_more = lines.len().saturating_sub(LISTED_MAX);
        lines.truncate(LISTED_MAX);
        if n_more > 0 {
            lines.push(format!("and {n_more} more"));
        }
        let used = used(folder, 0, &mut 0);
        lines.push(format!("{used} of {ALL_BYTES_MAX} bytes are used"));
        Ok(lines.join("\n"))
    }

    /// Another program sees the old file or the new one.
    fn write(&self, folder: &Path, path: &str, text: &str) -> Result<String, String> {
        check(path)?;
        let mut n_entries = 0;
        if used(folder, 0, &mut n_entries) + text.len() as u64 > ALL_BYTES_MAX || n_entries >= ENTRIES_MAX {
            return Err("the workspace is full".into());
        }
        let (parent, name) = path.rsplit_once('/').unwrap_or((".", path));
        let mut above = String::new();
        for part in parent.split('/').filter(|part| *part != ".") {
            let holder = if above.is_empty() { "." } else { above.as_str() };
            let holder = self.beneath(holder, OFlags::PATH | OFlags::DIRECTORY).map_err(told(path))?;
            match mkdirat(&holder, part, Mode::from_raw_mode(0o700)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(told(path)(error)),
            }
            above = if above.is_empty() { part.to_owned() } else { format!("{above}/{part}") };
            if self.is_common {
                // By what was opened: another's program may have put something else under that name.
                let made = self.beneath(&above, OFlags::RDONLY | OFlags::DIRECTORY).map_err(told(path))?;
                open_to_all(made.as_fd(), 0o777);
            }
        }
        let parent = self.beneath(parent, OFlags::PATH | OFlags::DIRECTORY).map_err(told(path))?;
        match rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(about) if !rustix::fs::FileType::from_raw_mode(about.st_mode).is_file() => {
                return Err(format!("{path:?} is there and no file"));
            }
            _ => {}
        }
        let written = replace(parent.as_fd(), name, text.as_bytes(), self.is_common);
        written.map_err(|error| format!("{path:?} cannot be written: {error}"))?;
        Ok(format!("{path} holds {} bytes now", text.len()))
    }
}

/// Whoever runs behind bars is another user. What is not ours is his to open.
fn open_to_all(what: BorrowedFd<'_>, mode: u32) {
    let _ = rustix::fs::fchmod(what, Mode::from_raw_mode(mode));
}

fn replace(parent: BorrowedFd<'_>, name: &str, bytes: &[u8], is_common: bool) -> io::Result<()> {
    match unlinkat(parent, NEW, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(parent, NEW, flags, Mode::from_raw_mode(0o600))?);
    if is_common {
        open_to_all(file.as_fd(), 0o666);
    }
    file.write_all(bytes)?;
    file.sync_all()?;
    renameat(parent, NEW, parent, name)?;
    Ok(())
}

fn check(path: &str) -> Result<(), String> {
    let parts: Vec<&str> = path.split('/').collect();
    let is_plain = |part: &&str| {
        !part.is_empty()
            && ![".", ".."].contains(part)
            && !FORBIDDEN.iter().any(|name| part.eq_ignore_ascii_case(name))
            && !part.chars().any(char::is_control)
    };
    match parts.iter().all(is_plain) && parts.len() <= DEPTH_MAX {
        true => Ok(()),
        false => Err(format!("{path:?} is no path in the workspace: write names with / between them")),
    }
}

/// Bytes of all files; what is deeper or more than may be there counts as full.
fn used(folder: &Path, depth: usize, n_entries: &mut usize) -> u64 {
    if depth > DEPTH_MAX {
        return ALL_BYTES_MAX;
    }
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        *n_entries += 1;
        if *n_entries > ENTRIES_MAX {
            return ALL_BYTES_MAX;
        }
        // Of a link this is the link itself.
        bytes += match entry.metadata() {
            Ok(about) if about.is_dir() => used(&entry.path(), depth + 1, n_entries),
            Ok(about) => about.len(),
            Err(_) => 0,
        };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    struct Room(PathBuf);

    impl Drop for Room {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn found(folder: &Path) -> Found {
        Found { folder: folder.to_owned(), is_common: false, kept: None }
    }

    /// A workspace beside a secret.
    fn room(name: &str) -> Room {
        let room = Room(std::env::temp_dir().join(format!("duet-files-{name}-{}", std::process::id())));
        let _ = std::fs::remove_dir_all(&room.0);
        std::fs::create_dir_all(room.0.join("space")).unwrap();
        std::fs::write(room.0.join("secret"), "secret").unwrap();
        room
    }

    #[test]
    fn what_is_written_can_be_read_and_listed() {
        let room = room("plain");
        let folder = room.0.join("space");
        let place = Place::open(&found(&folder)).unwrap();
        assert_eq!(place.write(&folder, "a/b/c.txt", "hello").unwrap(), "a/b/c.txt holds 5 bytes now");
        place.write(&folder, "a/b/c.txt", "hi").unwrap();
        assert_eq!(place.read("a/b/c.txt").unwrap(), "hi");
        assert!(place.list(&folder, "").unwrap().starts_with("a/\n2 of"));
        assert!(place.list(&folder, "a/b").unwrap().starts_with("c.txt 2 bytes\n"));
        assert!(place.read("a").unwrap_err().contains("is no file"));
        assert!(place.write(&folder, "a/b", "x").unwrap_err().contains("no file"));
        assert!(place.read("none").unwrap_err().contains("there is no"));
    }

    #[test]
    fn no_path_leads_out_of_the_workspace() {
        let room = room("out");
        let folder = room.0.join("space");
        symlink("..", folder.join("up")).unwrap();
        symlink("../secret", folder.join("link")).unwrap();
        symlink(room.0.join("secret"), folder.join("whole")).unwrap();
        let place = Place::open(&found(&folder)).unwrap();
        let whole = room.0.join("secret").display().to_string();
        for path in [
            "../secret",
            "up/secret",
            "link",
            "whole",
            &whole,
            "a/../../secret",
            "./x",
            "",
            "a//b",
            ".git/config",
            "a/.GIT/x",
            "a\nb",
        ] {
            assert!(place.read(path).is_err(), "{path:?} was read");
            assert!(place.write(&folder, path, "x").is_err(), "{path:?} was written");
        }
        assert!(place.list(&folder, "up").is_err() && place.list(&folder, "..").is_err());
        assert_eq!(std::fs::read_to_string(room.0.join("secret")).unwrap(), "secret");
        // What lies where a file is written first is not followed either.
        symlink("../secret", folder.join(NEW)).unwrap();
        place.write(&folder, "x", "y").unwrap();
        assert_eq!(std::fs::read_to_string(room.0.join("secret")).unwrap(), "secret");
    }

    #[test]
    fn in_the_common_folder_another_user_can_read_and_change_what_was_written() {
        let room = room("common");
        let folder = room.0.join("space");
        let place = Place::open(&Found { is_common: true, ..found(&folder) }).unwrap();
        place.write(&folder, "a/b/c.txt", "hello").unwrap();
        let mode = |path: &str| std::fs::metadata(folder.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!([mode("a"), mode("a/b"), mode("a/b/c.txt")], [0o777, 0o777, 0o666]);
    }

    #[test]
    fn a_full_workspace_takes_nothing_more() {
        let room = room("full");
        let folder = room.0.join("space");
        File::create(folder.join("big")).unwrap().set_len(ALL_BYTES_MAX).unwrap();
        let place = Place::open(&found(&folder)).unwrap();
        assert_eq!(place.write(&folder, "x", "y").unwrap_err(), "the workspace is full");
        assert!(place.read("big").unwrap_err().contains("more than"));
    }
}
