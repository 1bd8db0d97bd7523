//! A boot server and some agents on a wire: the real programs, each host in a network namespace of its own.
//!
//! A test calls [`crate::network::inside`] first. `models` adds an rpc-worker to each host.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

mod models;

pub use models::{Reply, Stream};

use crate::network::Network;
use crate::node::{Root, WAIT_MAX, units};
use admission::NodeId;
use serde_json::Value;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const RELEASE: &str = "trixie-0123456789ab";

/// What is started; only an integration test knows where it was built.
#[derive(Clone, Copy)]
pub struct Programs {
    pub agent: &'static str,
    pub duet: &'static str,
}

pub struct Shelf {
    programs: Programs,
    pub network: Network,
    pub out: PathBuf,
    pub server: Child,
    pub nodes: Vec<Node>,
}

pub struct Node {
    pub id: String,
    pub mac: String,
    pub root: Root,
    /// What survives a crash and not a boot.
    pub memory: PathBuf,
    /// Further words for `agent serve`.
    pub words: Vec<String>,
    agent: Option<Child>,
    worker: Option<Child>,
}

impl Shelf {
    /// `name` is the test's own.
    pub fn new(programs: Programs, name: &str, n: usize) -> Shelf {
        let mut shelf = Shelf::unplugged(programs, name, n);
        (0..n).for_each(|idx| shelf.start(idx));
        shelf
    }

    /// The server runs, and no PC yet.
    pub fn unplugged(programs: Programs, name: &str, n: usize) -> Shelf {
        let out = std::env::temp_dir().join(format!("duet-{name}-{}", std::process::id()));
        crate::release::keep_key(&out);
        crate::release::add(&out, RELEASE, b"root");
        let network = Network::new(n);
        let log = File::create(out.join("serve.log")).unwrap();
        let mut serve = Command::new(programs.duet);
        serve.args(["serve", "--json", "--dhcp", "off", "--ra", "off", "--interface", "whole0", "--out"]);
        serve.arg(&out).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let server = serve.spawn().unwrap();
        let nodes = network.hosts.iter().enumerate().map(|(idx, host)| {
            let boot = boot_toml(&host.mac, host.address);
            let root = Root::new(&format!("{name}-{idx}"), &boot, units());
            root.put("run/duet/multi-user", "9340 45690000000");
            root.put_overlay_key(idx as u8 + 1);
            let id = NodeId::of_mac(host.mac.parse().unwrap()).to_string();
            let (mac, memory) = (host.mac.clone(), out.join(format!("memory-{idx}")));
            Node { id, mac, memory, root, words: vec![], agent: None, worker: None }
        });
        Shelf { nodes: nodes.collect(), programs, network, out, server }
    }

    pub fn start(&mut self, idx: usize) {
        let node = &mut self.nodes[idx];
        std::fs::create_dir_all(&node.memory).unwrap();
        let mut agent = self.network.hosts[idx].command(self.programs.agent);
        agent.args(["serve", "--root"]).arg(node.root.path()).args(&node.words);
        agent.env("RUNTIME_DIRECTORY", &node.memory);
        logged(&mut agent, &self.out.join(format!("agent-{idx}.log")));
        node.agent = Some(agent.spawn().unwrap());
    }

    /// As `kill -9` or a plug that is pulled.
    pub fn kill(&mut self, idx: usize) {
        let mut agent = self.nodes[idx].agent.take().unwrap();
        agent.kill().unwrap();
        agent.wait().unwrap();
    }

    /// As root of the host.
    pub fn shell(&self, idx: usize, script: &str) {
        let done = self.network.hosts[idx].command("sh").args(["-ec", script]).output().unwrap();
        assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// Gives a host whose agent does not run another address, as a router may after a night.
    pub fn move_to(&self, idx: usize, address: Ipv4Addr) {
        let node = &self.nodes[idx];
        self.shell(
            idx,
            &format!("ip addr flush dev eth0 scope global; ip addr add {address}/24 brd + dev eth0"),
        );
        node.root.put("run/duet/boot.toml", &boot_toml(&node.mac, address));
    }

    /// The agent writes its list of others when it has met them for a while, so there may be none.
    pub fn forget_others(&self, idx: usize) {
        let _ = std::fs::remove_file(self.nodes[idx].memory.join("last-known"));
    }

    /// The cluster as a node shows it, asked on the node itself.
    pub fn cluster(&self, idx: usize) -> Value {
        let text = self.network.hosts[idx].on(|| get("/api/status"));
        let status: Value = serde_json::from_str(&text).unwrap_or_default();
        status["cluster"].clone()
    }

    /// How node `at` sees node `of`; empty if it does not know it.
    pub fn standing(&self, at: usize, of: usize) -> String {
        let cluster = self.cluster(at);
        let members = cluster["picture"]["members"].as_array().cloned().unwrap_or_default();
        let found = members.iter().find(|member| member["id"] == self.nodes[of].id.as_str());
        found.and_then(|member| member["standing"].as_str()).unwrap_or_default().to_owned()
    }

    pub fn n_alive(&self, idx: usize) -> u64 {
        let cluster = self.cluster(idx);
        let members = cluster["picture"]["members"].as_array().cloned().unwrap_or_default();
        let is_whole = |member: &&Value| member["standing"] == "alive" && !member["facts"].is_null();
        members.iter().filter(is_whole).count() as u64
    }

    /// All these nodes see `n` alive with their facts: the boot server counts too.
    pub fn wait_alive(&self, what: &str, nodes: &[usize], n: u64) {
        nodes.iter().for_each(|idx| self.wait(what, || self.n_alive(*idx) == n));
    }

    #[track_caller]
    pub fn wait(&self, what: &str, is_so: impl Fn() -> bool) {
        let start = Instant::now();
        while !is_so() {
            if start.elapsed() > WAIT_MAX {
                self.tell();
                panic!("{what}: not within {} s", WAIT_MAX.as_secs());
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        println!("{what}: after {:.1} s", start.elapsed().as_secs_f64());
    }

    /// Everything that helps to understand a failure.
    pub fn tell(&self) {
        for name in std::fs::read_dir(&self.out).unwrap().flatten().map(|entry| entry.path()) {
            if name.extension().is_some_and(|end| end == "log") {
                println!("--- {}\n{}", name.display(), std::fs::read_to_string(&name).unwrap_or_default());
            }
        }
        (0..self.nodes.len()).for_each(|idx| println!("--- node {idx}\n{:#}", self.cluster(idx)));
    }

    /// `duet nodes` with these words.
    pub fn duet_nodes(&self, words: &[&str]) -> String {
        let mut duet = Command::new(self.programs.duet);
        let done = duet.arg("nodes").arg("--out").arg(&self.out).args(words).output().unwrap();
        let said = String::from_utf8_lossy(&[&done.stdout[..], &done.stderr].concat()).into_owned();
        assert!(done.status.success(), "duet nodes {words:?}: {said}");
        said
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        let children = self.nodes.iter_mut().flat_map(|node| [node.agent.as_mut(), node.worker.as_mut()]);
        for child in children.flatten().chain([&mut self.server]) {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.out);
    }
}

/// Its words go to the end of this file.
fn logged(command: &mut Command, log: &Path) {
    let log = File::options().create(true).append(true).open(log).unwrap();
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
}

fn boot_toml(mac: &str, address: Ipv4Addr) -> String {
    format!(
        "release = \"{RELEASE}\"\nmode = \"net\"\nattempt = 1\nmac = \"{mac}\"\ninterface = \"eth0\"\n\
         address = \"{address}\"\nnetmask = \"255.255.255.0\"\nservers = [\"http://{SERVER}\"]\n\
         release_key = \"{}\"\n",
        crate::release::key().public().to_text().trim_end()
    )
}

/// Asks the agent of the host that this thread is on; an empty answer if there is none.
pub fn get(path: &str) -> String {
    get_at(8000, path)
}

/// The same with whoever listens there.
fn get_at(port: u16, path: &str) -> String {
    get_from(Ipv4Addr::LOCALHOST, port, path)
}

/// The same with another host.
pub fn get_from(host: Ipv4Addr, port: u16, path: &str) -> String {
    let there = SocketAddr::from((host, port));
    let Ok(mut stream) = TcpStream::connect_timeout(&there, Duration::from_secs(2)) else {
        return String::new();
    };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let _ = write!(stream, "GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}

/// Reads an answer without an end from its beginning until it says this.
pub fn get_head(path: &str, until: &str) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, 8000)).unwrap();
    stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: node\r\nLast-Event-ID: 0\r\n\r\n").unwrap();
    let (mut text, mut piece) = (String::new(), [0; 4096]);
    while !text.contains(until) {
        let n = stream.read(&mut piece).unwrap();
        assert!(n > 0, "it ended: {text}");
        text += &String::from_utf8_lossy(&piece[..n]);
    }
    text
}
