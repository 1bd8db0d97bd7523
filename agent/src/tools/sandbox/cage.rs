//! What bubblewrap is told to build, and what each process in it may have.
//!
//! The code gets namespaces of its own for users, processes, mounts, network and messages, and may make no more of
//! them. There is no `/proc`, no `/etc` and no `/run` inside. All of it dies with the first process, so nothing
//! outlives its time by changing its group or ignoring signals.

use super::Language;
use rustix::process::{Resource, Rlimit, setrlimit};
use std::path::{Path, PathBuf};
use std::process::Command;

const BUBBLEWRAP: &str = "/usr/bin/bwrap";
/// Address space of one process.
const MEMORY_BYTES_MAX: u64 = 256 << 20;
/// Processes and threads of the unit's user, with the four of the cage itself.
const PROCESSES_MAX: u64 = 32;
/// One file, and all of `/tmp` together.
const FILE_BYTES_MAX: u64 = 16 << 20;
const OPEN_FILES_MAX: u64 = 64;

/// The program that runs a language, and the word before the code.
fn interpreter(language: Language) -> Option<(&'static Path, &'static str)> {
    let (programs, word): (&[&str], _) = match language {
        Language::Shell => (&["/usr/bin/sh"], "-c"),
        // Debian's micropython is a hundredth of Python; a PC of one's own often has the other.
        Language::Python => (&["/usr/bin/micropython", "/usr/bin/python3"], "-c"),
    };
    programs.iter().map(Path::new).find(|program| program.exists()).map(|program| (program, word))
}

/// The command that runs `code` in its cage, or why there is none.
pub fn command(language: Language, code: &str, workspace: &Path) -> Result<Command, String> {
    let missing =
        |what| Err(format!("{what} is not in this image; build it with `duet build --profile sandbox`"));
    if !Path::new(BUBBLEWRAP).exists() {
        return missing("bubblewrap");
    }
    let Some((program, word)) = interpreter(language) else { return missing("micropython") };
    let mut command = Command::new(BUBBLEWRAP);
    command.args(["--unshare-all", "--unshare-user", "--disable-userns", "--cap-drop", "ALL"]);
    command.args(["--die-with-parent", "--new-session", "--uid", "65534", "--gid", "65534"]);
    command.args(["--clearenv", "--setenv", "PATH", "/usr/bin", "--setenv", "HOME", "/work"]);
    command.args(["--setenv", "LANG", "C.UTF-8", "--ro-bind", "/usr", "/usr"]);
    for name in ["bin", "sbin", "lib", "lib64"] {
        command.arg("--symlink").arg(format!("usr/{name}")).arg(format!("/{name}"));
    }
    command.args(["--dev", "/dev", "--remount-ro", "/dev"]);
    command.arg("--size").arg(FILE_BYTES_MAX.to_string()).args(["--tmpfs", "/tmp"]);
    command.arg("--bind").arg(workspace).args(["/work", "--chdir", "/work"]);
    // The root itself is memory too.
    command.args(["--remount-ro", "/", "--"]);
    command.arg(program).arg(word).arg(code);
    Ok(command)
}

/// Holds this process, and all that it starts, to the limits of a cage. It may have no second thread after this.
pub fn confine(seconds: u64) -> Result<(), String> {
    let limits = [
        (Resource::As, MEMORY_BYTES_MAX),
        (Resource::Nproc, PROCESSES_MAX),
        (Resource::Fsize, FILE_BYTES_MAX),
        (Resource::Nofile, OPEN_FILES_MAX),
        (Resource::Core, 0),
        (Resource::Cpu, seconds + 1),
    ];
    for (resource, most) in limits {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })
            .map_err(|error| format!("the limit {resource:?} cannot be set: {error}"))?;
    }
    Ok(())
}

/// A workspace that is there and is no link.
pub fn workspace(path: &Path) -> Result<PathBuf, String> {
    let about = std::fs::symlink_metadata(path)
        .map_err(|error| format!("there is no workspace {}: {error}", path.display()))?;
    if !about.is_dir() {
        return Err(format!("the workspace {} is no folder", path.display()));
    }
    Ok(path.to_path_buf())
}
