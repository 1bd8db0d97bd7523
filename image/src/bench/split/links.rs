//! The cables between the stages: namespaces of the network, each with one end of a cable of 1 Gbit/s, on one bridge.
//!
//! The command runs itself again inside, so that everything ends with it. Where that cannot be, all hosts are loopback.

use super::figures::Link;
use crate::tool;
use anyhow::{Context, Result, bail, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

/// Set for the run inside.
const INSIDE: &str = "DUET_BENCH_NETWORK";
/// A head, two stages, and one that takes the place of another.
const N_HOSTS: usize = 4;
const RATE: &str = "1gbit";
/// What may pass at once: what a driver hands to a card in one piece, twice.
const BURST: &str = "128kb";
const MEASURE_PORT: u16 = 50_040;
const PINGS: u32 = 500;
const BULK_BYTES: usize = 32 << 20;
const PIECE_BYTES: usize = 1 << 16;

pub fn are_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Whether this machine gives us namespaces, and has the tools.
pub fn are_possible() -> bool {
    let has_tools = ["ip", "tc", "nsenter", "unshare"].iter().all(|name| tool::find(name).is_some());
    let try_out = || unshare().arg("true").stdin(Stdio::null()).stderr(Stdio::null()).status();
    has_tools && try_out().is_ok_and(|status| status.success())
}

fn unshare() -> Command {
    let words =
        ["--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
    // Root needs no user namespace, and some machines give it none.
    let words = if rustix::process::geteuid().is_root() { &words[2..] } else { &words[..] };
    let mut command = tool::command("unshare");
    command.args(words);
    command
}

/// Runs this command once more, inside, with the program that is there by now.
pub fn go_inside(program: &Path) -> Result<()> {
    let own = std::env::current_exe().context("finding this program")?;
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let mut command = unshare();
    command.arg(own).args(&words).env(INSIDE, "1");
    if !words.iter().any(|word| word == "--program") {
        command.arg("--program").arg(program);
    }
    let status = command.status().context("starting unshare")?;
    ensure!(
        status.success(),
        "the sentence above is of the run in a network of its own; --loopback does without one"
    );
    Ok(())
}

/// A process that holds a namespace open.
struct Host {
    holder: Child,
}

impl Drop for Host {
    fn drop(&mut self) {
        // If it is gone already there is nothing to end.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Hosts with their addresses. Without namespaces they are addresses of loopback alone.
pub struct Links {
    hosts: Vec<Host>,
    /// Two numbers of loopback's addresses that nobody else has.
    net: [u8; 2],
    has_rate: bool,
}

impl Links {
    pub fn new(on_loopback: bool) -> Result<Links> {
        static RUNS: AtomicU8 = AtomicU8::new(0);
        let pid = std::process::id();
        let net = [(pid % 250) as u8 + 1, RUNS.fetch_add(1, Ordering::Relaxed) + (pid / 250 % 20) as u8 * 10];
        let mut links = Links { hosts: vec![], net, has_rate: false };
        if on_loopback || !are_inside() {
            return Ok(links);
        }
        ip(
            tool::command("ip"),
            &["link set lo up", "link add hub0 type bridge stp_state 0", "link set hub0 up"],
        )?;
        for n in 0..N_HOSTS {
            links.hosts.push(host(n)?);
        }
        links.has_rate = (0..N_HOSTS).all(|idx| links.hold_to_rate(idx).is_ok());
        Ok(links)
    }

    /// Both ends of a cable, because both directions are to be slow.
    fn hold_to_rate(&self, idx: usize) -> Result<()> {
        let words = ["root", "tbf", "rate", RATE, "burst", BURST, "latency", "50ms"];
        let far = self.wrap(idx, &tool::command("tc"));
        for (mut command, device) in [(far, "eth0".to_owned()), (tool::command("tc"), format!("port{idx}"))] {
            command.args(["qdisc", "replace", "dev", &device]).args(words);
            tool::capture(&mut command)?;
        }
        Ok(())
    }

    pub fn address(&self, idx: usize, port: u16) -> SocketAddr {
        let address = match (self.hosts.is_empty(), self.net) {
            (true, [a, b]) => Ipv4Addr::new(127, a, b, idx as u8 + 1),
            (false, _) => host_address(idx),
        };
        SocketAddr::from((address, port))
    }

    /// The same command on a host.
    pub fn wrap(&self, idx: usize, inner: &Command) -> Command {
        let mut command = match self.hosts.get(idx) {
            None => Command::new(inner.get_program()),
            Some(host) => {
                let mut command = tool::command("nsenter");
                command.arg(format!("--net={}", space(host))).arg("--").arg(inner.get_program());
                command
            }
        };
        command.args(inner.get_args());
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }

    /// Does something on a host, such as opening a socket, which then stays there.
    pub fn on<T: Send + 'static>(&self, idx: usize, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        match self.thread(idx, work)?.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Starts a thread that stays on a host until it is done.
    pub fn stay(&self, idx: usize, work: impl FnOnce() + Send + 'static) -> Result<()> {
        drop(self.thread(idx, work)?);
        Ok(())
    }

    fn thread<T: Send + 'static>(
        &self,
        idx: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<Result<T>>> {
        let space = match self.hosts.get(idx) {
            Some(host) => Some(File::open(space(host)).context("opening a host's namespace")?),
            None => None,
        };
        Ok(std::thread::spawn(move || {
            if let Some(space) = space {
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(space.as_fd(), kind).context("entering a host's namespace")?;
            }
            Ok(work())
        }))
    }

    /// What the links between two hosts really do.
    pub fn measure(&self) -> Result<Link> {
        let at = self.address(1, MEASURE_PORT);
        let listener = self.on(1, move || TcpListener::bind(at))?;
        let listener = listener.with_context(|| format!("cannot listen on {at}"))?;
        let answers = self.thread(1, move || answer(&listener))?;
        let (round_trip_us, mbit_per_s) = self.on(0, move || ask(at))?.context("measuring a link")?;
        match answers.join() {
            Ok(done) => done?.context("measuring a link")?,
            Err(_) => bail!("the other end of a link was lost"),
        }
        Ok(Link { how: self.how(), mbit_per_s, round_trip_us })
    }

    fn how(&self) -> String {
        match (self.hosts.is_empty(), self.has_rate) {
            (true, _) => "loopback of one machine; no link was emulated".to_owned(),
            (false, true) => {
                "a network namespace for each process, on one bridge, 1 Gbit/s each way (tc tbf), no delay added"
                    .to_owned()
            }
            (false, false) => {
                "a network namespace for each process, on one bridge, without a rate: tc refused it".to_owned()
            }
        }
    }
}

fn space(host: &Host) -> String {
    format!("/proc/{}/ns/net", host.holder.id())
}

fn host_address(idx: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 78, 0, 11 + idx as u8)
}

fn host(idx: usize) -> Result<Host> {
    let mut command = tool::command("unshare");
    // It says a word once it is inside; before that its namespace is ours.
    command.args(["--net", "sh", "-c", "echo inside; exec sleep infinity"]).stdin(Stdio::null());
    let holder = command.stdout(Stdio::piped()).spawn().context("starting unshare")?;
    let mut host = Host { holder };
    let stdout = host.holder.stdout.as_mut().context("its output is a pipe")?;
    stdout.read_exact(&mut [0; 7]).context("a namespace did not come up")?;
    let pid = host.holder.id();
    let lines = [
        format!("link add port{idx} type veth peer name eth0 netns {pid}"),
        format!("link set port{idx} master hub0 up"),
    ];
    ip(tool::command("ip"), &lines)?;
    let mut far = tool::command("nsenter");
    far.arg(format!("--net={}", space(&host))).arg("--").arg("ip");
    let lines = [
        "link set lo up".to_owned(),
        format!("addr add {}/24 brd + dev eth0", host_address(idx)),
        "link set eth0 up".to_owned(),
    ];
    ip(far, &lines)?;
    Ok(host)
}

/// Runs lines of `ip -batch`.
fn ip(mut command: Command, lines: &[impl AsRef<str>]) -> Result<()> {
    let mut child = command.args(["-batch", "-"]).stdin(Stdio::piped()).spawn().context("starting ip")?;
    let mut stdin = child.stdin.take().context("its input is a pipe")?;
    for line in lines {
        writeln!(stdin, "{}", line.as_ref()).context("telling ip")?;
    }
    drop(stdin);
    ensure!(child.wait().context("waiting for ip")?.success(), "ip refused to make a network");
    Ok(())
}

/// Gives every ping back, then takes all that comes.
fn answer(listener: &TcpListener) -> std::io::Result<()> {
    let (mut stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    let mut ping = [0; 4];
    for _ in 0..PINGS {
        stream.read_exact(&mut ping)?;
        stream.write_all(&ping)?;
    }
    let mut piece = vec![0; PIECE_BYTES];
    for _ in 0..BULK_BYTES / PIECE_BYTES {
        stream.read_exact(&mut piece)?;
    }
    stream.write_all(&ping)
}

/// Microseconds there and back, the median; then megabits in a second.
fn ask(at: SocketAddr) -> std::io::Result<(f64, f64)> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_nodelay(true)?;
    let mut ping = [0; 4];
    let mut times = Vec::new();
    for _ in 0..PINGS {
        let began = Instant::now();
        stream.write_all(&ping)?;
        stream.read_exact(&mut ping)?;
        times.push(began.elapsed().as_secs_f64() * 1e6);
    }
    let piece = vec![0; PIECE_BYTES];
    let began = Instant::now();
    for _ in 0..BULK_BYTES / PIECE_BYTES {
        stream.write_all(&piece)?;
    }
    stream.read_exact(&mut ping)?;
    let mbit = BULK_BYTES as f64 * 8.0 / 1e6 / began.elapsed().as_secs_f64();
    Ok((super::figures::median(times), mbit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_without_namespaces_is_told_as_what_it_is() {
        let link = Links::new(true).unwrap().measure().unwrap();
        assert_eq!(link.how, "loopback of one machine; no link was emulated");
        assert!(link.mbit_per_s > 0.0 && link.round_trip_us > 0.0);
    }

    #[test]
    fn a_command_keeps_its_words_and_surroundings_on_a_host() {
        let mut command = Command::new("rpc-worker");
        command.arg("stage").env("A", "1").env_remove("B");
        let wrapped = Links::new(true).unwrap().wrap(1, &command);
        assert_eq!(format!("{wrapped:?}"), format!("{command:?}"));
    }
}
