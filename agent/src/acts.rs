//! `agent acts`: the one program by which the agent may switch this PC off or start something of it anew.
//!
//! `duet-acts.socket` starts it as root for each wish. It reads one line, which must be one of a few that stand here, from
//! the agent's own process and nobody else, and has systemd do it. It has no network, writes nothing and takes no other word.
//! Who may wish it, a person or not, is the agent's matter: see `tools::acts`.

use anyhow::{Context, ensure};
use rustix::net::sockopt::Timeout;
use std::io::{BufRead, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// What may be started anew: programs of ours, and nothing that the node needs to be reached.
pub const UNITS: [&str; 3] = ["rpc-worker.service", "agent.service", "duet-overlay.service"];
/// Who may ask.
const ASKER: &str = "agent.service";
/// Longest wish, with its line feed.
const WISH_BYTES_MAX: u64 = 64;
/// The agent has its wish ready when it connects.
const WISH_TIME_MAX: Duration = Duration::from_secs(5);
/// What ends the agent itself waits so long, so that its answer is on its way and its sentence spoken.
pub const PAUSE: Duration = Duration::from_secs(3);
/// How systemd is shown in an answer.
const TROUBLE_BYTES_MAX: usize = 200;
const SYSTEMCTL: &str = "usr/bin/systemctl";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    PowerOff,
    Reboot,
    /// One of [`UNITS`].
    Restart(&'static str),
}

impl Deed {
    /// As it goes over the socket.
    pub fn line(self) -> String {
        match self {
            Deed::PowerOff => "power off".into(),
            Deed::Reboot => "power reboot".into(),
            Deed::Restart(unit) => format!("restart {unit}"),
        }
    }

    fn parse(line: &str) -> Option<Deed> {
        let all = [Deed::PowerOff, Deed::Reboot].into_iter().chain(UNITS.map(Deed::Restart));
        all.into_iter().find(|deed| deed.line() == line)
    }

    fn arguments(self) -> Vec<&'static str> {
        let target = |target| vec!["--no-block", "--job-mode=replace-irreversibly", "start", target];
        match self {
            Deed::PowerOff => target("poweroff.target"),
            Deed::Reboot => target("reboot.target"),
            Deed::Restart(ASKER) => vec!["--no-block", "restart", ASKER],
            Deed::Restart(unit) => vec!["restart", unit],
        }
    }

    /// Whoever asked is gone afterwards.
    fn ends_the_asker(self) -> bool {
        !matches!(self, Deed::Restart(unit) if unit != ASKER)
    }
}

/// The unit that a person means: `rpc-worker` is as good as its whole name.
pub fn unit(name: &str) -> Option<&'static str> {
    UNITS.into_iter().find(|unit| *unit == name || unit.strip_suffix(".service") == Some(name))
}

/// Answers with `ok` or with `no` and the reason.
pub fn run(root: &Path) -> anyhow::Result<()> {
    let input = std::io::stdin();
    let asker = rustix::net::sockopt::socket_peercred(input.as_fd());
    let asker = asker.context("standard input is no socket; duet-acts.socket starts this program")?.pid;
    // There is one connection at a time, and nobody shall hold it.
    rustix::net::sockopt::set_socket_timeout(input.as_fd(), Timeout::Recv, Some(WISH_TIME_MAX))?;
    let mut wish = String::new();
    input.lock().take(WISH_BYTES_MAX).read_line(&mut wish).context("no wish came")?;
    let deed = match judge(&wish, asker.as_raw_nonzero().get(), main_process(root)?) {
        Ok(deed) => deed,
        Err(why) => return answer(&format!("no {why}")),
    };
    if deed.ends_the_asker() {
        answer("ok")?;
        std::thread::sleep(PAUSE);
        let done = systemctl(root, &deed.arguments())?;
        ensure!(done.status.success(), "{}: {}", deed.line(), trouble(&done));
        return Ok(());
    }
    let done = systemctl(root, &deed.arguments())?;
    answer(&if done.status.success() { "ok".into() } else { format!("no {}", trouble(&done)) })
}

fn judge(wish: &str, asker: i32, agent: Option<i32>) -> Result<Deed, String> {
    // A tool of the agent's, or the diagnosis, has its group too, and no word here.
    if agent != Some(asker) {
        return Err("only the agent itself may ask".into());
    }
    let known =
        || "this can be asked: power off, power reboot, restart and one of ".to_owned() + &UNITS.join(", ");
    wish.strip_suffix('\n').and_then(Deed::parse).ok_or_else(known)
}

/// The agent's first process, as systemd knows it.
fn main_process(root: &Path) -> anyhow::Result<Option<i32>> {
    let told = systemctl(root, &["show", "--property=MainPID", "--value", ASKER])?;
    let id = String::from_utf8_lossy(&told.stdout).trim().parse().ok();
    Ok(id.filter(|id| *id > 0))
}

fn systemctl(root: &Path, arguments: &[&str]) -> anyhow::Result<Output> {
    let mut command = Command::new(root.join(SYSTEMCTL));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command.output().context("systemctl does not start")
}

fn trouble(done: &Output) -> String {
    let said = String::from_utf8_lossy(&done.stderr);
    let line: String = said.trim().chars().filter(|letter| !letter.is_control()).collect();
    if line.is_empty() { done.status.to_string() } else { tools::cut(&line, TROUBLE_BYTES_MAX).to_owned() }
}

fn answer(text: &str) -> anyhow::Result<()> {
    let mut output = std::io::stdout();
    writeln!(output, "{text}").and_then(|()| output.flush()).context("nobody hears the answer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(wish: &str, want: Option<Deed>) {
        assert_eq!(judge(wish, 7, Some(7)).ok(), want, "{wish:?}");
    }

    #[test]
    fn a_wish_is_one_of_a_few_lines_and_nothing_beside_them() {
        check("power off\n", Some(Deed::PowerOff));
        check("power reboot\n", Some(Deed::Reboot));
        check("restart rpc-worker.service\n", Some(Deed::Restart("rpc-worker.service")));
        for wish in ["", "power off", "power off \n", "power\n", "POWER OFF\n", "restart sshd.service\n"] {
            check(wish, None);
        }
        check("restart rpc-worker.service --root=/x\n", None);
        check("restart ../agent.service\n", None);
        check("power off\npower reboot\n", None);
    }

    #[test]
    fn nobody_but_the_agent_is_heard() {
        for agent in [None, Some(8)] {
            assert!(judge("power off\n", 7, agent).is_err_and(|why| why.contains("only the agent")));
        }
    }

    #[test]
    fn a_unit_may_be_named_as_a_person_does() {
        assert_eq!(unit("rpc-worker"), Some("rpc-worker.service"));
        assert_eq!(unit("agent.service"), Some("agent.service"));
        assert_eq!(unit("systemd-udevd"), None);
    }
}
