//! A few lines of shell or Python behind bars: no network, nothing to read but `/usr`, one folder to write to.
//!
//! The agent may make no namespace (`RestrictNamespaces=yes`), and that stays so. It asks `duet-sandbox.socket`, which
//! starts `agent sandbox` for each wish as a user of its own, without any right: `inside` runs there, and `cage` says
//! what bubblewrap builds around the code. Whoever hangs up ends what runs.
//!
//! Tried and dropped: `systemd-run` needs D-Bus or root; a unit whose settings alone are the bars needs nothing
//! installed (bubblewrap is 127 kB), but no test could climb at them without a booted PC, and its processes would share
//! one process table. Both together are used: the bars of `cage` are tried at each commit, and the unit adds the limits
//! of all processes together, which only a control group can hold.

mod cage;
pub mod inside;

use super::Limits;
use serde::{Deserialize, Serialize};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Where `duet-sandbox.socket` listens.
pub const SOCKET: &str = "/run/duet/sandbox.sock";
/// The folder that is `/work` inside, the only one that stays.
pub const WORKSPACE: &str = "/run/duet/workspace";
/// Longest code, in bytes.
pub const CODE_BYTES_MAX: usize = 16 << 10;
/// Longest time, in seconds; the unit ends a little later by itself.
pub const SECONDS_MAX: u64 = 60;
/// Longest output; who writes more is stopped.
pub const OUTPUT_BYTES_MAX: usize = 64 << 10;
/// A letter in JSON: each byte may be written as six, beside a few words.
const LETTER_BYTES_MAX: usize = 6 * OUTPUT_BYTES_MAX + 1024;
/// Between two looks at whether anybody still waits.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// What the way and the end of a cage may take beyond the time of the code.
const WAY_MAX: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    Shell,
    Python,
}

/// What is to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    pub language: Language,
    pub code: String,
    pub seconds: u64,
    pub output_max: usize,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// By itself, with this status.
    Status(i32),
    /// Its time was over.
    Time,
    /// It wrote more than it may.
    Output,
    /// It never began; the text says why.
    Refused,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    end: End,
    text: String,
}

/// Runs `code` to its end, and gives what it wrote.
pub fn run(socket: &Path, language: Language, code: &str, limits: &Limits<'_>) -> Result<String, String> {
    if code.len() > CODE_BYTES_MAX {
        return Err(format!("the code is longer than {CODE_BYTES_MAX} bytes"));
    }
    let seconds = limits.left().as_secs().min(SECONDS_MAX);
    if seconds == 0 {
        return Err("there is no time left to run it".into());
    }
    let output_max = limits.output_max.min(OUTPUT_BYTES_MAX);
    let wish = Wish { language, code: code.into(), seconds, output_max };
    let told = ask(socket, &wish, limits)?;
    shown(&told, seconds)
}

fn ask(socket: &Path, wish: &Wish, limits: &Limits<'_>) -> Result<Told, String> {
    let mut stream = UnixStream::connect(socket).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            "this image has no sandbox; build it with `duet build --profile sandbox`".to_owned()
        }
        _ => format!("the sandbox cannot be asked: {error}"),
    })?;
    let broke = |error: std::io::Error| format!("the sandbox broke off: {error}");
    let letter = serde_json::to_string(wish).map_err(|error| error.to_string())? + "\n";
    stream.set_write_timeout(Some(WAY_MAX)).map_err(broke)?;
    stream.set_read_timeout(Some(LOOK_EVERY)).map_err(broke)?;
    stream.write_all(letter.as_bytes()).map_err(broke)?;
    let patience = Instant::now() + Duration::from_secs(wish.seconds) + WAY_MAX;
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        // To hang up is to end it.
        if limits.stop.load(Ordering::Relaxed) {
            return Err("it was stopped".into());
        }
        if Instant::now() >= patience {
            return Err("the sandbox does not answer".into());
        }
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(n) if answer.len() + n > LETTER_BYTES_MAX => return Err("the sandbox says too much".into()),
            Ok(n) => answer.extend_from_slice(&piece[..n]),
            Err(error) if is_pause(error.kind()) => {}
            Err(error) => return Err(broke(error)),
        }
    }
    if answer.is_empty() {
        return Err("the sandbox is busy; one piece of code runs at a time".into());
    }
    serde_json::from_slice(&answer).map_err(|error| format!("the sandbox is not understood: {error}"))
}

fn is_pause(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn shown(told: &Told, seconds: u64) -> Result<String, String> {
    let text = told.text.trim_end();
    let after = if text.is_empty() { String::new() } else { format!("; until then it wrote:\n{text}") };
    match told.end {
        End::Status(0) if text.is_empty() => Ok("(it wrote nothing)".into()),
        End::Status(0) => Ok(text.into()),
        End::Status(status) => Err(format!("it ended with status {status}{after}")),
        End::Time => Err(format!("it was stopped after {seconds} s{after}")),
        End::Output => Err(format!("it was stopped because it wrote too much{after}")),
        End::Refused => Err(text.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(end: End, text: &str, want: Result<&str, &str>) {
        let got = shown(&Told { end, text: text.into() }, 5);
        assert_eq!(got.as_ref().map(String::as_str).map_err(String::as_str), want);
    }

    #[test]
    fn an_end_is_told_in_words() {
        check(End::Status(0), "4\n", Ok("4"));
        check(End::Status(0), "", Ok("(it wrote nothing)"));
        check(
            End::Status(1),
            "no such file\n",
            Err("it ended with status 1; until then it wrote:\nno such file"),
        );
        check(End::Time, "", Err("it was stopped after 5 s"));
        check(End::Refused, "there is no Python", Err("there is no Python"));
    }

    #[test]
    fn an_image_without_a_sandbox_says_which_profile_adds_it() {
        let stop = std::sync::atomic::AtomicBool::new(false);
        let deadline = Instant::now() + Duration::from_secs(60);
        let limits = Limits { deadline, output_max: 1000, stop: &stop };
        let error = run(Path::new("/nowhere/at/all"), Language::Shell, "true", &limits).unwrap_err();
        assert!(error.contains("--profile sandbox"), "{error}");
    }
}
