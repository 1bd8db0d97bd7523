//! A program that is started for one call: what it writes, up to a limit, until it ends or must.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Between two looks at whether anybody still waits.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// After the end of a program its children may write so long.
const AFTER_MAX: Duration = Duration::from_secs(3);

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself; a signal counts as 128 and its number.
    Status(i32),
    Time,
    /// It wrote more than it may.
    Output,
    /// Nobody waits any more.
    Left,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    pub end: End,
    /// What it wrote to both of its outputs.
    pub text: Vec<u8>,
}

/// Starts a program in a group of its own and ends it, with its group, when its time is over, its output too long, or
/// nobody waits any more (`has_left`).
pub fn run(
    mut command: Command,
    text_max: usize,
    deadline: Instant,
    has_left: &dyn Fn() -> bool,
) -> std::io::Result<Ended> {
    let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
    let second = theirs.try_clone()?;
    command.stdin(Stdio::null()).stdout(theirs).stderr(second).process_group(0);
    let child = command.spawn()?;
    // It holds the writing ends of the pipe.
    drop(command);
    let pid = Pid::from_child(&child);
    let mut running = Running { child, pid, output: Some(ours), text: vec![], text_max };
    let ended = running.follow(deadline, has_left);
    // Whatever went wrong, nothing of it stays.
    running.kill();
    let status = running.child.wait()?;
    let status =
        status.code().or_else(|| Some(128 + std::os::unix::process::ExitStatusExt::signal(&status)?));
    let mut end = ended?.unwrap_or(End::Status(status.unwrap_or(-1)));
    running.read_the_rest()?;
    if matches!(end, End::Status(_)) && running.text.len() > text_max {
        end = End::Output;
    }
    running.text.truncate(text_max);
    Ok(Ended { end, text: running.text })
}

struct Running {
    child: Child,
    pid: Pid,
    /// None once all who could write are gone.
    output: Option<OwnedFd>,
    text: Vec<u8>,
    text_max: usize,
}

impl Running {
    /// Nothing where it ended by itself.
    fn follow(&mut self, deadline: Instant, has_left: &dyn Fn() -> bool) -> std::io::Result<Option<End>> {
        let pidfd = pidfd_open(self.pid, PidfdFlags::empty())?;
        loop {
            if has_left() {
                return Ok(Some(End::Left));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Some(End::Time));
            }
            let (has_written, has_ended) = self.wait(Some(&pidfd), left.min(LOOK_EVERY))?;
            if has_written {
                self.read()?;
            }
            if self.text.len() > self.text_max {
                return Ok(Some(End::Output));
            }
            if has_ended && !has_written {
                return Ok(None);
            }
        }
    }

    /// Who was killed writes no more; the pipe tells when all are gone.
    fn read_the_rest(&mut self) -> std::io::Result<()> {
        let by = Instant::now() + AFTER_MAX;
        while self.output.is_some() && Instant::now() < by {
            if self.wait(None, LOOK_EVERY)?.0 {
                self.read()?;
            }
        }
        Ok(())
    }

    fn kill(&self) {
        // It was not waited for yet, so the number is still its own.
        let _ = kill_process(self.pid, Signal::KILL);
        let _ = kill_process_group(self.pid, Signal::KILL);
    }

    /// Whether there is something to read, and whether it has ended.
    fn wait(&self, pidfd: Option<&OwnedFd>, time: Duration) -> rustix::io::Result<(bool, bool)> {
        let fds = [self.output.as_ref(), pidfd];
        let mut watched: Vec<PollFd<'_>> =
            fds.iter().flatten().map(|fd| PollFd::new(*fd, PollFlags::IN)).collect();
        let time = Timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: time.subsec_nanos().into() };
        match poll(&mut watched, Some(&time)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        let mut happened = watched.iter().map(|one| !one.revents().is_empty());
        let has_written = self.output.is_some() && happened.next().unwrap_or(false);
        Ok((has_written, happened.next().unwrap_or(false)))
    }

    /// One piece; beyond the limit it is read and dropped.
    fn read(&mut self) -> rustix::io::Result<()> {
        let mut piece = [0; 4096];
        let Some(output) = &self.output else { return Ok(()) };
        match rustix::io::read(output, &mut piece) {
            Ok(0) => self.output = None,
            Ok(n) if self.text.len() <= self.text_max => self.text.extend_from_slice(&piece[..n]),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: &str, seconds: u64, want: End, text: &str) {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", code]);
        let ended = run(command, 8, Instant::now() + Duration::from_secs(seconds), &|| false).unwrap();
        assert_eq!((ended.end, String::from_utf8(ended.text).unwrap().as_str()), (want, text));
    }

    #[test]
    fn a_program_ends_by_itself_or_by_its_limits() {
        check("echo one; echo two >&2; exit 3", 60, End::Status(3), "one\ntwo\n");
        check("yes", 60, End::Output, "y\ny\ny\ny\n");
        check("trap '' TERM; echo a; sleep 300", 1, End::Time, "a\n");
        check("kill -9 $$", 60, End::Status(137), "");
        check("exec >&- 2>&-; sleep 300", 1, End::Time, "");
    }

    #[test]
    fn a_child_in_the_background_ends_with_it() {
        check("sleep 300 & echo a", 60, End::Status(0), "a\n");
    }

    #[test]
    fn who_leaves_ends_it() {
        let mut command = Command::new("/bin/sleep");
        command.arg("300");
        let ended = run(command, 8, Instant::now() + Duration::from_secs(60), &|| true).unwrap();
        assert_eq!(ended.end, End::Left);
    }
}
