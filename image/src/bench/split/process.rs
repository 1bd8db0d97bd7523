//! A process that is measured: when it says what, and how much of the processor it took.

use anyhow::{Context, Result, bail};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Nothing that is waited for takes longer, not even a prompt on an old PC.
const WAIT_MAX: Duration = Duration::from_secs(300);
const LINE_BYTES_MAX: u64 = 4096;
/// Lines that an error shows.
const LAST_LINES: usize = 8;

/// It is killed when it is dropped.
pub struct Process {
    child: Child,
    lines: Receiver<(Instant, String)>,
    last: RefCell<VecDeque<String>>,
}

/// Nanoseconds of the processor that each thread took so far.
pub type Taken = BTreeMap<u32, u64>;

impl Process {
    pub fn start(command: &mut Command) -> Result<Process> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        let errors = child.stderr.take().context("its errors are a pipe")?;
        let (say, lines) = channel();
        std::thread::spawn(move || listen(errors, &say));
        Ok(Process { child, lines, last: RefCell::default() })
    }

    /// The next line with these words, and when it came.
    pub fn wait_for(&self, words: &str) -> Result<(Instant, String)> {
        let until = Instant::now() + WAIT_MAX;
        loop {
            let said = self.lines.recv_timeout(until.saturating_duration_since(Instant::now()));
            let last = || Vec::from(self.last.borrow().clone()).join("\n  ");
            match said {
                Ok((at, line)) if line.contains(words) => return Ok((at, line)),
                Ok((_, line)) => {
                    let mut last = self.last.borrow_mut();
                    last.push_back(line);
                    if last.len() > LAST_LINES {
                        last.pop_front();
                    }
                }
                Err(RecvTimeoutError::Timeout) => bail!("{words:?} was not said in time, only\n  {}", last()),
                Err(RecvTimeoutError::Disconnected) => bail!("it ended without {words:?}:\n  {}", last()),
            }
        }
    }

    /// What it says until it ends.
    pub fn rest(&self) -> Vec<(Instant, String)> {
        self.lines.iter().collect()
    }

    /// Waits for a good end.
    pub fn end(mut self) -> Result<()> {
        let rest = self.rest();
        let status = self.child.wait().context("waiting for a process")?;
        if !status.success() {
            let rest: Vec<String> = rest.into_iter().map(|(_, line)| line).collect();
            bail!("a process ended badly ({status}):\n  {}", rest.join("\n  "));
        }
        Ok(())
    }

    pub fn signal(&self, name: &str) -> Result<()> {
        let id = self.child.id().to_string();
        let done = Command::new("kill").args([&format!("-{name}"), &id]).status().context("starting kill")?;
        anyhow::ensure!(done.success(), "the signal {name} did not reach process {id}");
        Ok(())
    }

    /// What its threads took until now. The scheduler's own count is exact; that of /proc/PID/stat has steps of 10 ms.
    pub fn taken(&self) -> Result<Taken> {
        let folder = format!("/proc/{}/task", self.child.id());
        let mut taken = Taken::new();
        for entry in fs::read_dir(&folder).with_context(|| format!("reading {folder}"))? {
            let path = entry?.path();
            // A thread may end at any moment.
            let Ok(text) = fs::read_to_string(path.join("schedstat")) else { continue };
            let id = path.file_name().and_then(|name| name.to_str()?.parse().ok());
            if let (Some(id), Some(ns)) = (id, first_number(&text)) {
                taken.insert(id, ns);
            }
        }
        anyhow::ensure!(
            !taken.is_empty(),
            "this machine does not tell what a thread took ({folder}/*/schedstat)"
        );
        Ok(taken)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Nanoseconds between two looks. A thread that ended meanwhile only had slept: those that load a model do nothing later.
pub fn between(before: &Taken, after: &Taken) -> u64 {
    after.iter().map(|(id, ns)| ns.saturating_sub(before.get(id).copied().unwrap_or(0))).sum()
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

fn listen(errors: ChildStderr, say: &Sender<(Instant, String)>) {
    let mut errors = BufReader::new(errors);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut errors).take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        // Nobody may want to know any more, but whoever stopped reading would stop the process.
        let _ = say.send((Instant::now(), text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        Process::start(Command::new("sh").args(["-c", script])).unwrap()
    }

    #[test]
    fn what_a_process_said_before_its_end_is_told() {
        let error = shell("echo one >&2; echo two >&2").wait_for("three").unwrap_err().to_string();
        assert_eq!(error, "it ended without \"three\":\n  one\n  two");
    }

    #[test]
    fn lines_are_found_by_their_words() {
        let process = shell("echo one >&2; echo token at 5 ms >&2; echo more >&2");
        assert_eq!(process.wait_for("token").unwrap().1, "token at 5 ms");
        assert_eq!(process.rest().len(), 1);
        process.end().unwrap();
    }

    #[test]
    fn a_thread_that_came_later_counts_whole() {
        let before = Taken::from([(1, 100), (2, 50)]);
        let after = Taken::from([(1, 130), (3, 7)]);
        assert_eq!(between(&before, &after), 37);
    }

    #[test]
    fn a_process_that_works_takes_time() {
        let process =
            shell("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo done >&2; exec sleep 100");
        process.wait_for("done").unwrap();
        let taken: u64 = process.taken().unwrap().values().sum();
        assert!(taken > 0);
    }
}
