//! A wire between two network namespaces, with the real `duet serve` on one end.
//!
//! Each namespace lives as long as a `cat` that reads from us, so that nothing is left however a test ends.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);
pub const CLIENT_MAC: &str = "52:54:00:99:00:02";
pub const NEW: &str = "trixie-0123456789ab";
pub const OLD: &str = "trixie-00000000000a";
/// Everything that must happen happens within this time, on a busy machine too.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Lab {
    pub out: PathBuf,
    server_side: Child,
    client_side: Child,
    server: Option<Child>,
    log: PathBuf,
}

impl Lab {
    /// Makes wire, releases and first stages. `None`, with a plain line, where that is not allowed.
    pub fn new(name: &str) -> Option<Lab> {
        if !rustix::process::geteuid().is_root() {
            tests::skip(name, "network namespaces need root");
            return None;
        }
        let out = std::env::temp_dir().join(format!("duet-loopback-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&out).expect("a folder");
        let log = out.join("serve.log");
        let lab = Lab { log, out, server_side: namespace(), client_side: namespace(), server: None };
        let (server, client) = (lab.server_side.id().to_string(), lab.client_side.id().to_string());
        let make =
            format!("link add s0 netns {server} type veth peer name c0 address {CLIENT_MAC} netns {client}");
        run(Command::new("ip").args(make.split(' ')));
        lab.ip(true, &format!("address add {SERVER}/24 dev s0"));
        lab.ip(false, &format!("address add {CLIENT}/24 dev c0"));
        for (on_server, device) in [(true, "lo"), (true, "s0"), (false, "lo"), (false, "c0")] {
            lab.ip(on_server, &format!("link set {device} up"));
        }
        lab.add_release(OLD, &[b'o'; 100_000]);
        lab.add_release(NEW, &noise(300_000));
        tests::release::keep_key(&lab.out);
        std::fs::create_dir_all(lab.out.join("ipxe")).expect("a folder");
        for (name, n) in [("undionly.kpxe", 70_123), ("ipxe.efi", 1_048_576)] {
            std::fs::write(lab.out.join("ipxe").join(name), noise(n)).expect("a first stage");
        }
        Some(lab)
    }

    /// A second wire between the two, that is not served: 10.98.0.1 and 10.98.0.2.
    pub fn second_wire(&self) {
        let (server, client) = (self.server_side.id(), self.client_side.id());
        let make = format!("link add s1 netns {server} type veth peer name c1 netns {client}");
        run(Command::new("ip").args(make.split(' ')));
        for (on_server, device, address) in [(true, "s1", "10.98.0.1"), (false, "c1", "10.98.0.2")] {
            self.ip(on_server, &format!("address add {address}/24 dev {device}"));
            self.ip(on_server, &format!("link set {device} up"));
        }
    }

    /// Adds a signed release and promotes it.
    pub fn add_release(&self, id: &str, root: &[u8]) {
        tests::release::add(&self.out, id, root);
    }

    pub fn ip(&self, on_server: bool, words: &str) {
        run(self.inside(on_server, "ip").args(words.split(' ')));
    }

    /// A program at one end of the wire.
    pub fn inside(&self, on_server: bool, program: &str) -> Command {
        let side = if on_server { &self.server_side } else { &self.client_side };
        let mut command = Command::new("nsenter");
        command.args(["--target", &side.id().to_string(), "--net", program]);
        command
    }

    /// `duet serve` with these further words, at one end of the wire.
    pub fn duet(&self, on_server: bool, words: &str) -> Command {
        let mut command = self.inside(on_server, env!("CARGO_BIN_EXE_duet-under-test"));
        let interface = if on_server { "s0" } else { "c0" };
        command.args(["serve", "--json", "--interface", interface, "--out"]).arg(&self.out);
        command.args(words.split_whitespace());
        command
    }

    /// Starts the server and waits until it serves.
    pub fn start(&mut self, words: &str) {
        let log = File::create(&self.log).expect("a log");
        let errors = log.try_clone().expect("a log");
        let child = self.duet(true, words).stdout(log).stderr(errors).stdin(Stdio::null()).spawn();
        self.server = Some(child.expect("the server"));
        self.wait_log("\"event\":\"serving\"");
    }

    /// Stops the server as Ctrl-C does; it must end well.
    pub fn stop(&mut self) {
        let mut child = self.server.take().expect("a running server");
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("a signal");
        assert!(child.wait().expect("an end").success(), "{}", self.log());
    }

    pub fn server_pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(self.server.as_ref().expect("a running server"))
    }

    /// Ends the server in the middle of whatever it does.
    pub fn kill(&mut self) {
        let mut child = self.server.take().expect("a running server");
        child.kill().expect("a signal");
        child.wait().expect("an end");
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn wait_log(&self, text: &str) {
        wait(|| self.log().contains(text).then_some(()), || format!("no {text} in:\n{}", self.log()));
    }

    /// Memory that the server really occupies.
    pub fn server_kib(&self) -> u64 {
        let pid = self.server.as_ref().expect("a running server").id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Runs `act` on a thread of its own that is in the client's namespace.
    pub fn at_client<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let place = File::open(format!("/proc/{}/ns/net", self.client_side.id())).expect("a namespace");
        let enter = || {
            let kind = Some(rustix::thread::LinkNameSpaceType::Network);
            rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(&place), kind)
                .expect("root enters");
            act()
        };
        std::thread::scope(|scope| scope.spawn(enter).join().expect("the thread ends well"))
    }

    pub fn connect(&self) -> TcpStream {
        self.at_client(|| {
            let stream = TcpStream::connect((SERVER, 80)).expect("a connection");
            stream.set_read_timeout(Some(PATIENCE)).expect("a patience");
            stream
        })
    }

    /// Sends these bytes and reads until the server closes.
    pub fn exchange(&self, request: &[u8]) -> Answer {
        let mut stream = self.connect();
        // The server may have said no before it read everything.
        let _ = stream.write_all(request);
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        Answer::read(&bytes)
    }

    pub fn get(&self, path: &str, fields: &str) -> Answer {
        self.exchange(
            format!("GET {path} HTTP/1.1\r\nHost: 10.99.0.1\r\nConnection: close\r\n{fields}\r\n").as_bytes(),
        )
    }

    pub fn pcs(&self) -> serde_json::Value {
        serde_json::from_slice(&self.get("/api/pcs", "").body).expect("JSON")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let children = self.server.iter_mut().chain([&mut self.server_side, &mut self.client_side]);
        for child in children {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.out);
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// Status 0 when there was none.
    fn read(bytes: &[u8]) -> Answer {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
        Answer { status, head, body: bytes[end..].to_vec() }
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// One at a time: the children of two tests must not inherit each other's pipes.
static MAKING: Mutex<()> = Mutex::new(());

fn namespace() -> Child {
    let _one = MAKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut command = Command::new("unshare");
    let child = command.args(["--net", "cat"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
    let child = child.expect("unshare of util-linux");
    let ours = std::fs::read_link("/proc/self/ns/net").expect("a namespace");
    let path = format!("/proc/{}/ns/net", child.id());
    wait(|| (std::fs::read_link(&path).ok()? != ours).then_some(()), || "no namespace".to_owned());
    child
}

/// Asks until there is an answer.
pub fn wait<T>(mut ask: impl FnMut() -> Option<T>, sentence: impl Fn() -> String) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < until, "{}", sentence());
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn run(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = [&output.stdout[..], &output.stderr].concat();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said));
    output
}

/// Bytes that no compression and no luck reproduces, the same in each run.
pub fn noise(n: usize) -> Vec<u8> {
    let mut bytes = vec![0; n];
    blake3::Hasher::new().update(&n.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

pub fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
