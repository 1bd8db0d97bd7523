//! Runs the programs of others: their words go to a log, the latest line to the progress display,
//! and a failure is told with its last lines.

use crate::progress::Step;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How many of a failed tool's last lines the error shows.
const LAST_LINES: usize = 12;
const LINE_BYTES_MAX: u64 = 4096;
/// No tool of a build works longer; a mirror that drips would otherwise hold it for ever.
const RUN_MAX: Duration = Duration::from_secs(2 * 3600);
/// What of a tool's words is kept.
const LOG_BYTES_MAX: u64 = 64 << 20;
/// What `capture` reads of a tool's answer at most.
const CAPTURE_BYTES_MAX: u64 = 64 << 20;

/// Runs a tool to its end; what it prints goes to `log`.
pub fn run(command: &mut Command, log: &Path, step: &Step) -> Result<()> {
    run_with(command, None, log, step)
}

/// The same, with the tool's standard output written to a file of ours.
pub fn run_into(command: &mut Command, output: File, log: &Path, step: &Step) -> Result<()> {
    run_with(command, Some(output), log, step)
}

fn run_with(command: &mut Command, output: Option<File>, log: &Path, step: &Step) -> Result<()> {
    let name = name(command);
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let mut file = File::create(log).with_context(|| format!("writing {}", log.display()))?;
    writeln!(file, "$ {command:?}").with_context(|| format!("writing {}", log.display()))?;
    let (reader, writer) = std::io::pipe().context("making a pipe")?;
    let errors = writer.try_clone().context("making a pipe")?;
    let output = output.map_or_else(|| Stdio::from(writer), Stdio::from);
    command.stdin(Stdio::null()).stdout(output).stderr(errors);
    let mut child = command.spawn().with_context(|| format!("starting {name}"))?;
    // The command holds the writing ends; the pipe ends when child and command are gone.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let watchdog = Watchdog::over(&child);
    let last = follow(reader, &mut file, step);
    let late = watchdog.end();
    let status = child.wait().with_context(|| format!("waiting for {name}"))?;
    if late {
        bail!("{name} was stopped after {} minutes; the log is {}", RUN_MAX.as_secs() / 60, log.display());
    }
    if !status.success() {
        let last: Vec<String> = last.into();
        bail!("{name} failed ({status}):\n  {}\nthe whole log is {}", last.join("\n  "), log.display());
    }
    Ok(())
}

/// Ends a tool that has worked for too long.
struct Watchdog {
    done: Sender<()>,
    thread: JoinHandle<bool>,
}

impl Watchdog {
    fn over(child: &Child) -> Watchdog {
        let (done, rest) = channel();
        let process = Pid::from_child(child);
        let thread = std::thread::spawn(move || {
            let late = rest.recv_timeout(RUN_MAX) == Err(RecvTimeoutError::Timeout);
            if late {
                // It may have ended by itself just now.
                let _ = kill_process(process, Signal::KILL);
            }
            late
        });
        Watchdog { done, thread }
    }

    /// Whether the tool had to be stopped.
    fn end(self) -> bool {
        let _ = self.done.send(());
        self.thread.join().unwrap_or(false)
    }
}

fn follow(reader: impl Read, log: &mut File, step: &Step) -> VecDeque<String> {
    let mut reader = BufReader::new(reader);
    let mut last = VecDeque::new();
    let mut written = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return last,
            Ok(_) => {}
        }
        // A full disk shows in the tool's own work; the log is not worth failing for.
        written += line.len() as u64;
        if written <= LOG_BYTES_MAX {
            let _ = log.write_all(&line);
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_string();
        if !text.trim().is_empty() {
            step.note(&text);
            last.push_back(text);
        }
        if last.len() > LAST_LINES {
            last.pop_front();
        }
    }
}

/// Runs a quick tool and gives what it printed.
pub fn capture(command: &mut Command) -> Result<String> {
    let name = name(command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("starting {name}"))?;
    let errors = child.stderr.take();
    let errors = std::thread::spawn(move || read_some(errors));
    let answer = read_some(child.stdout.take());
    let errors = errors.join().unwrap_or_default();
    let status = child.wait().with_context(|| format!("waiting for {name}"))?;
    if !status.success() {
        bail!("{name} failed ({status}): {}", String::from_utf8_lossy(&errors).trim());
    }
    String::from_utf8(answer).with_context(|| format!("{name} answered in something that is not UTF-8"))
}

fn read_some(pipe: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // A broken pipe shows in the exit status.
        let _ = pipe.take(CAPTURE_BYTES_MAX).read_to_end(&mut bytes);
    }
    bytes
}

fn name(command: &Command) -> String {
    Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Where a program is found, as a shell would find it; sbin is looked at for ordinary users too.
pub fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/sbin", "/usr/bin"].map(std::path::PathBuf::from);
    std::env::split_paths(&path).chain(more).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// A command for a program that may live in sbin.
pub fn command(program: &str) -> Command {
    Command::new(find(program).unwrap_or_else(|| program.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Progress;

    fn check(script: &str, want: &str) {
        let log = std::env::temp_dir().join(format!("duet-tool-{}-{}.log", std::process::id(), script.len()));
        let step = Progress::new(1).step("trying a tool", None);
        let mut command = command("sh");
        let result = run(command.arg("-c").arg(script), &log, &step);
        let kept = fs::read_to_string(&log).unwrap();
        fs::remove_file(&log).unwrap();
        let told = result.map_or_else(|error| format!("{error:#}"), |()| kept);
        assert!(told.contains(want), "{want:?} is not in {told}");
    }

    #[test]
    fn a_failure_is_told_with_its_last_lines() {
        check(
            "echo one; echo the reason >&2; exit 3",
            "exit status: 3):\n  one\n  the reason\nthe whole log is",
        );
    }

    #[test]
    fn what_a_tool_says_is_kept_in_its_log() {
        check("echo all is well", "all is well\n");
    }

    #[test]
    fn a_tool_that_is_not_there_is_named() {
        let error = capture(&mut command("no-such-tool-of-duet")).unwrap_err();
        assert!(format!("{error:#}").contains("starting no-such-tool-of-duet"));
    }
}
