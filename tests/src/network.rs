//! A small network without cables: each host is a network namespace of its own, and all hang on one bridge.
//!
//! A test calls [`inside`] first: it runs itself again in namespaces that end with it, as root of them alone.
//! Hosts are numbered from 1; host `n` has the address 10.77.0.1`n`, the bridge 10.77.0.1.

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Set for the test that runs inside.
const INSIDE: &str = "DUET_TEST_NETWORK";
/// The bridge where everything begins, and the one to which a cut part is moved.
const BRIDGES: [&str; 2] = ["whole0", "cut0"];
/// Hosts that fit the numbering.
const HOSTS_MAX: usize = 89;

/// Whether this already is the inner run. The outer one runs the named test inside, hands on its verdict, and returns.
pub fn inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let own = std::env::current_exe().expect("the test's own program");
    let words =
        ["--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
    // Root needs no user namespace, and some machines give it none.
    let root = rustix::process::geteuid().is_root();
    let words = if root { &words[2..] } else { &words[..] };
    // Inside, every run has the same few process ids, so it gets a folder that no other run has.
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("duet-net-{}-{run}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let mut command = Command::new("unshare");
    command
        .args(words)
        .arg(own)
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .env("TMPDIR", &folder);
    let status = command.status().expect("unshare of package util-linux starts");
    // What a killed test left goes with it.
    let _ = std::fs::remove_dir_all(&folder);
    assert!(status.success(), "{test} failed in its network, see above");
    false
}

/// A host: a process that holds its namespace open.
pub struct Host {
    holder: Child,
    pub address: Ipv4Addr,
    pub mac: String,
    /// The end of its cable that is in the bridge.
    port: String,
}

impl Host {
    /// A command that runs on this host.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.holder.id())).arg("--").arg(program);
        command
    }

    /// Does something on a thread that is on this host, such as opening a socket, which then stays there.
    pub fn on<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let name = format!("/proc/{}/ns/net", self.holder.id());
        let there = std::thread::spawn(move || {
            let space = std::fs::File::open(&name).expect("the host's namespace");
            move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network)).expect("a way in");
            work()
        });
        there.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // The namespace ends with its holder; if it is gone already there is nothing to end.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// The bridge and its hosts.
pub struct Network {
    pub hosts: Vec<Host>,
}

impl Network {
    pub fn new(n_hosts: usize) -> Network {
        assert!(n_hosts <= HOSTS_MAX, "at most {HOSTS_MAX} hosts");
        let mut lines = vec!["link set lo up".to_owned()];
        for bridge in BRIDGES {
            lines.push(format!("link add {bridge} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"));
            lines.push(format!("link set {bridge} up"));
        }
        lines.push(format!("addr add 10.77.0.1/24 brd + dev {}", BRIDGES[0]));
        ip(Command::new("ip"), &lines);
        Network { hosts: (1..=n_hosts).map(host).collect() }
    }

    /// Cuts these hosts (by index) from the others; they still reach each other, and not the bridge's own address.
    pub fn cut(&self, hosts: &[usize]) {
        self.plug(hosts, BRIDGES[1]);
    }

    /// Puts them back.
    pub fn heal(&self, hosts: &[usize]) {
        self.plug(hosts, BRIDGES[0]);
    }

    fn plug(&self, hosts: &[usize], bridge: &str) {
        let lines = hosts.iter().map(|idx| format!("link set {} master {bridge}", self.hosts[*idx].port));
        ip(Command::new("ip"), &lines.collect::<Vec<_>>());
    }
}

fn host(n: usize) -> Host {
    let mut command = Command::new("unshare");
    // It says a word once it is inside; before that its namespace is ours.
    command.args(["--net", "sh", "-c", "echo inside; exec sleep infinity"]).stdin(Stdio::null());
    let mut holder = command.stdout(Stdio::piped()).spawn().expect("a holder of a namespace");
    let mut said = [0; 7];
    let stdout = holder.stdout.as_mut().expect("its output is a pipe");
    std::io::Read::read_exact(stdout, &mut said).expect("the holder says that it is inside");
    let (port, mac) = (format!("port{n}"), format!("52:54:00:77:00:{n:02x}"));
    let address = Ipv4Addr::new(10, 77, 0, 10 + n as u8);
    let pid = holder.id();
    ip(
        Command::new("ip"),
        &[
            format!("link add {port} type veth peer name eth0 address {mac} netns {pid}"),
            format!("link set {port} master {} up", BRIDGES[0]),
        ],
    );
    let host = Host { holder, address, mac, port };
    let lines = [
        "link set lo up".to_owned(),
        format!("addr add {address}/24 brd + dev eth0"),
        "link set eth0 up".to_owned(),
    ];
    ip(host.command("ip"), &lines);
    host
}

/// Runs lines of `ip -batch`.
fn ip(mut command: Command, lines: &[String]) {
    let mut child =
        command.args(["-batch", "-"]).stdin(Stdio::piped()).spawn().expect("ip of package iproute2");
    let mut stdin = child.stdin.take().expect("its input is a pipe");
    stdin.write_all((lines.join("\n") + "\n").as_bytes()).expect("ip reads its lines");
    drop(stdin);
    assert!(child.wait().expect("ip ends").success(), "ip refused one of {lines:#?}");
}
