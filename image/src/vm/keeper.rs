//! The inner process of a virtual shelf: the first process of its own network.
//!
//! It lays the wire, runs programs there (boot server, PCs, perhaps a house router), takes orders on
//! its standard input and says on its standard output what ended.
//! It ends with its input, and the kernel then ends everything else in there: nothing is left behind,
//! however the outer program ended. It does not know what the programs are for.

use super::{relay, wire};
use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

/// A plan for 20 PCs is about 30 KiB.
const PLAN_BYTES_MAX: u64 = 1024 * 1024;
const ORDERS_MAX: usize = 64;
/// How often ended programs are looked for.
const TICK: Duration = Duration::from_millis(100);

/// All that the keeper is told at the start.
#[derive(Debug, Serialize, Deserialize)]
pub struct Plan {
    /// A folder of the outer program for sockets; removed at the end.
    pub sockets: PathBuf,
    /// Lines for `ip -batch`.
    pub wire: Vec<String>,
    pub programs: Vec<Program>,
}

/// A program that can be started and stopped.
#[derive(Debug, Serialize, Deserialize)]
pub struct Program {
    pub name: String,
    pub command: Vec<String>,
    /// Takes standard output and standard error.
    pub log: PathBuf,
    /// Runs in a further network of its own, on a cable to the bridge.
    pub apart: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    Start(String),
    Stop(String),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    Ready,
    Started(String),
    Ended { name: String, how: String },
    Failed(String),
}

/// The path of the relay's socket.
pub fn relay_socket(sockets: &Path) -> PathBuf {
    sockets.join("relay")
}

/// The whole life of the keeper.
pub fn run() -> Result<()> {
    let mut input = BufReader::new(std::io::stdin());
    let plan: Plan = read_line(&mut input, PLAN_BYTES_MAX)?.context("the keeper was given no plan")?;
    let sockets = plan.sockets.clone();
    let (sender, orders) = sync_channel(ORDERS_MAX);
    std::thread::spawn(move || {
        while let Ok(Some(order)) = read_line::<Order>(&mut input, PLAN_BYTES_MAX) {
            if sender.send(order).is_err() {
                break;
            }
        }
    });
    let end = prepare(&plan).and_then(|()| obey(&plan, &orders));
    if let Err(error) = &end {
        say(&Event::Failed(format!("{error:#}")))?;
    }
    let _ = std::fs::remove_dir_all(sockets);
    end
}

fn read_line<T: serde::de::DeserializeOwned>(input: &mut impl BufRead, max: u64) -> Result<Option<T>> {
    let mut line = Vec::new();
    input.take(max).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    ensure!(line.ends_with(b"\n"), "a line is too long or cut off");
    Ok(Some(serde_json::from_slice(&line)?))
}

fn say(event: &Event) -> Result<()> {
    let mut line = serde_json::to_string(event)?;
    line.push('\n');
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.flush().map_err(Into::into)
}

fn prepare(plan: &Plan) -> Result<()> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .context("/dev/net/tun cannot be opened, so there are no virtual network cables (modprobe tun; as a user also: chmod 666 /dev/net/tun)")?;
    ip(&plan.wire)?;
    relay::serve_inside(&relay_socket(&plan.sockets))?;
    say(&Event::Ready)
}

fn ip(lines: &[String]) -> Result<()> {
    let mut child = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("ip of package iproute2 does not start")?;
    let mut input = child.stdin.take().context("ip takes no input")?;
    input.write_all((lines.join("\n") + "\n").as_bytes())?;
    drop(input);
    let done = child.wait_with_output()?;
    if !done.status.success() {
        bail!("the virtual wire cannot be laid: {}", String::from_utf8_lossy(&done.stderr).trim());
    }
    Ok(())
}

struct Running<'a> {
    program: &'a Program,
    child: Child,
}

fn obey(plan: &Plan, orders: &Receiver<Order>) -> Result<()> {
    let mut running: Vec<Running> = Vec::new();
    loop {
        match orders.recv_timeout(TICK) {
            Ok(Order::Start(name)) => start(plan, &name, &mut running)?,
            Ok(Order::Stop(name)) => {
                for one in running.iter_mut().filter(|one| one.program.name == name) {
                    let _ = one.child.kill();
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        tell_ended(&mut running)?;
    }
}

fn tell_ended(running: &mut Vec<Running>) -> Result<()> {
    let mut ended = Vec::new();
    running.retain_mut(|one| match one.child.try_wait() {
        Ok(None) => true,
        Ok(Some(status)) => {
            ended.push(Event::Ended { name: one.program.name.clone(), how: status.to_string() });
            false
        }
        Err(error) => {
            ended.push(Event::Ended { name: one.program.name.clone(), how: error.to_string() });
            false
        }
    });
    ended.iter().try_for_each(say)
}

fn start<'a>(plan: &'a Plan, name: &str, running: &mut Vec<Running<'a>>) -> Result<()> {
    let program = plan.programs.iter().find(|program| program.name == name);
    let program = program.ok_or_else(|| anyhow!("no program is called {name}"))?;
    ensure!(running.iter().all(|one| one.program.name != name), "{name} runs already");
    let child = if program.apart { start_apart(program)? } else { spawn(program)? };
    running.push(Running { program, child });
    say(&Event::Started(name.to_owned()))
}

fn log_of(program: &Program) -> Result<File> {
    let log = OpenOptions::new().create(true).append(true).open(&program.log);
    log.with_context(|| format!("{} cannot be written", program.log.display()))
}

fn spawn(program: &Program) -> Result<Child> {
    let (first, rest) = program.command.split_first().context("a program has no words")?;
    let log = log_of(program)?;
    Command::new(first)
        .args(rest)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("{first} does not start"))
}

/// Says when it is in its own network, waits for the cable, and becomes the program.
const APART: &str =
    r#"echo apart; read -r cable; printf '%s\n' "$1" | ip -batch - && shift && exec "$@" >&2"#;

fn start_apart(program: &Program) -> Result<Child> {
    let mut child = Command::new("unshare")
        .args(["--net", "sh", "-c", APART, "sh", &wire::lay_router().join("\n")])
        .args(&program.command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log_of(program)?)
        .spawn()
        .context("unshare of package util-linux does not start")?;
    let mut word = [0; 6];
    child
        .stdout
        .take()
        .context("no output")?
        .read_exact(&mut word)
        .context("no network for the house router")?;
    let (port, link, pid) = (wire::ROUTER_PORT, wire::ROUTER_LINK, child.id());
    ip(&[
        format!("link add {port} type veth peer name {link} netns {pid}"),
        format!("link set {port} master {} up", wire::BRIDGE),
    ])?;
    child.stdin.take().context("no input")?.write_all(b"go\n")?;
    Ok(child)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_is_refused() {
        let long = format!("\"{}\"\n", "x".repeat(100));
        assert!(read_line::<String>(&mut long.as_bytes(), 50).is_err());
        assert_eq!(read_line::<String>(&mut "\"x\"\n".as_bytes(), 50).unwrap().unwrap(), "x");
        assert!(read_line::<String>(&mut "".as_bytes(), 50).unwrap().is_none());
    }

    #[test]
    fn orders_are_read_as_they_are_written() {
        let line = serde_json::to_string(&Order::Start("pc1".into())).unwrap();
        assert_eq!(line, r#"{"start":"pc1"}"#);
    }
}
