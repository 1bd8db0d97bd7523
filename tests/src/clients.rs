//! Programs of others that are installed once, below `clients` of the build's folder, in the versions that `tests/clients`
//! names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// A file of `tests/clients`.
pub fn source(file: &str) -> PathBuf {
    crate::repository().join("tests/clients").join(file)
}

/// Runs a step of an installation; the error says why there is none.
pub fn step(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output();
    let output =
        output.map_err(|error| format!("{} does not start: {error}", command.get_program().display()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{} failed: {}", command.get_program().display(), said.lines().last().unwrap_or_default()))
}

/// A folder that is made once for each version of `lock`.
pub fn installed(
    name: &str,
    lock: &str,
    install: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<PathBuf, String> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = crate::out().join("clients").join(name);
    let (wanted, stamp) =
        (fs::read_to_string(source(lock)).expect("every client has its versions"), folder.join("installed"));
    if fs::read_to_string(&stamp).is_ok_and(|has| has == wanted) {
        return Ok(folder);
    }
    // What a failed installation left is no beginning.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    install(&folder)?;
    fs::write(&stamp, wanted).map_err(|error| error.to_string())?;
    Ok(folder)
}

/// A script of Python with the packages that `lock` names, in a folder called `name`.
pub fn python(name: &str, lock: &str, script: &str) -> Result<Command, String> {
    let folder = installed(name, lock, |folder| {
        step(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        let mut pip = Command::new(folder.join("bin/pip"));
        step(pip.args(["install", "--quiet", "--no-input", "--requirement"]).arg(source(lock)))
    })?;
    let mut command = Command::new(folder.join("bin/python"));
    command.arg(source(&format!("{script}.py")));
    Ok(command)
}

/// The folder with all that `tests/clients/package-lock.json` names.
pub fn npm() -> Result<PathBuf, String> {
    installed("node", "package-lock.json", |folder| {
        for file in ["package.json", "package-lock.json"] {
            fs::copy(source(file), folder.join(file)).map_err(|error| error.to_string())?;
        }
        step(Command::new("npm").args(["ci", "--silent", "--no-audit", "--no-fund"]).current_dir(folder))
    })
}

/// The browser, under whatever name it is here.
pub fn chromium() -> Option<&'static str> {
    ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| {
        Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    })
}
