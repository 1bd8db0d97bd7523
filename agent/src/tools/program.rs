//! Runs a program of the image for a tool: no shell, an empty environment, no input, and an end in time.
//!
//! One that is absent is told with the profile that brings it.

use super::Limits;
use std::io::{ErrorKind, Read};
use std::process::{Command, Stdio};
use std::time::Duration;

/// How soon a stop is seen.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Of what it says to standard error.
const TROUBLE_BYTES_MAX: u64 = 2000;

pub struct Program<'a> {
    pub path: &'a str,
    /// Of `duet build --profile`.
    pub profile: &'a str,
    pub bytes_max: usize,
}

/// What it said, and whether it ended well.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    pub is_good: bool,
    pub output: Vec<u8>,
    pub trouble: String,
}

impl Program<'_> {
    /// To be given arguments, and [`Program::run`] then.
    pub fn command(&self) -> Command {
        let mut command = Command::new(self.path);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8");
        command
    }

    pub fn run(&self, mut command: Command, limits: &Limits<'_>) -> Result<Said, String> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| match error.kind() {
            ErrorKind::NotFound => format!(
                "this node has no {}; an image that was built with --profile {} has it",
                self.path, self.profile
            ),
            _ => format!("{} does not start: {error}", self.path),
        })?;
        let read = |from: Option<Box<dyn Read + Send>>, bytes_max: u64| {
            std::thread::spawn(move || {
                let mut bytes = vec![];
                // What was read before a pipe broke is what there is.
                let _ = from.map(|from| from.take(bytes_max).read_to_end(&mut bytes));
                bytes
            })
        };
        let output = read(child.stdout.take().map(|from| Box::new(from) as _), self.bytes_max as u64 + 1);
        let trouble = read(child.stderr.take().map(|from| Box::new(from) as _), TROUBLE_BYTES_MAX);
        let ended = loop {
            match child.try_wait() {
                Ok(Some(status)) => break Ok(status.success()),
                Ok(None) if limits.is_over() => break Err(format!("{} took too long", self.path)),
                Ok(None) => std::thread::sleep(LOOK_EVERY),
                Err(error) => break Err(error.to_string()),
            }
        };
        let _ = child.kill();
        let _ = child.wait();
        let bytes = |thread: std::thread::JoinHandle<Vec<u8>>| thread.join().unwrap_or_default();
        let (output, trouble) = (bytes(output), bytes(trouble));
        let trouble = String::from_utf8_lossy(&trouble).trim().to_owned();
        Ok(Said { is_good: ended?, output, trouble })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::time::Instant;

    fn run(path: &str, arguments: &[&str], seconds: u64) -> Result<Said, String> {
        let program = Program { path, profile: "some", bytes_max: 10 };
        let mut command = program.command();
        command.args(arguments);
        let stop = AtomicBool::new(false);
        let deadline = Instant::now() + Duration::from_secs(seconds);
        let limits = Limits { deadline, output_max: 100, stop: &stop };
        program.run(command, &limits)
    }

    #[test]
    fn a_program_is_heard_and_an_absent_one_is_told_with_its_profile() {
        let said = run("/bin/echo", &["hello"], 60).unwrap();
        assert_eq!(said, Said { is_good: true, output: b"hello\n".into(), trouble: String::new() });
        assert!(!run("/bin/false", &[], 60).unwrap().is_good);
        let why = run("/usr/bin/no-such-program", &[], 60).unwrap_err();
        assert_eq!(
            why,
            "this node has no /usr/bin/no-such-program; an image that was built with --profile some has it"
        );
    }

    #[test]
    fn a_program_that_says_too_much_or_never_ends_is_ended() {
        // It says more than is taken, and ends of the closed pipe.
        assert_eq!(run("/usr/bin/yes", &[], 60).unwrap().output.len(), 11);
        assert!(run("/bin/sleep", &["1000"], 0).unwrap_err().contains("took too long"));
    }
}
