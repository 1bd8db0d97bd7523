//! A boot server and five agents on a wire: the real programs, each host in a network namespace of its own.
//!
//! What a shelf lives through: PCs that join, die, come back without memory, are cut off, are taken out.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use admission::NodeId;
use serde_json::Value;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tests::network::{Network, inside};
use tests::node::{Root, WAIT_MAX, units};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const RELEASE: &str = "trixie-0123456789ab";

struct Shelf {
    network: Network,
    out: PathBuf,
    server: Child,
    nodes: Vec<Node>,
}

struct Node {
    id: String,
    mac: String,
    root: Root,
    /// What survives a crash and not a boot.
    memory: PathBuf,
    agent: Option<Child>,
}

impl Shelf {
    /// `name` is the test's own.
    fn new(name: &str, n: usize) -> Shelf {
        let out = std::env::temp_dir().join(format!("duet-{name}-{}", std::process::id()));
        tests::release::keep_key(&out);
        tests::release::add(&out, RELEASE, b"root");
        let network = Network::new(n);
        let log = File::create(out.join("serve.log")).unwrap();
        let mut serve = Command::new(env!("CARGO_BIN_EXE_duet-under-test"));
        serve.args(["serve", "--json", "--dhcp", "off", "--ra", "off", "--interface", "whole0", "--out"]);
        serve.arg(&out).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let server = serve.spawn().unwrap();
        let nodes = network.hosts.iter().enumerate().map(|(idx, host)| {
            let boot = boot_toml(&host.mac, host.address);
            let root = Root::new(&format!("{name}-{idx}"), &boot, units());
            root.put("run/duet/multi-user", "9340 45690000000");
            root.put_overlay_key(idx as u8 + 1);
            let id = NodeId::of_mac(host.mac.parse().unwrap()).to_string();
            Node { id, mac: host.mac.clone(), memory: out.join(format!("memory-{idx}")), root, agent: None }
        });
        let mut shelf = Shelf { nodes: nodes.collect(), network, out, server };
        (0..n).for_each(|idx| shelf.start(idx));
        shelf
    }

    fn start(&mut self, idx: usize) {
        let node = &mut self.nodes[idx];
        std::fs::create_dir_all(&node.memory).unwrap();
        let mut agent = self.network.hosts[idx].command(env!("CARGO_BIN_EXE_agent-under-test"));
        agent.args(["serve", "--root"]).arg(node.root.path()).env("RUNTIME_DIRECTORY", &node.memory);
        let log = File::options().create(true).append(true).open(self.out.join(format!("agent-{idx}.log")));
        let log = log.unwrap();
        agent.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        node.agent = Some(agent.spawn().unwrap());
    }

    /// As `kill -9` or a plug that is pulled.
    fn kill(&mut self, idx: usize) {
        let mut agent = self.nodes[idx].agent.take().unwrap();
        agent.kill().unwrap();
        agent.wait().unwrap();
    }

    /// As root of the host.
    fn shell(&self, idx: usize, script: &str) {
        let done = self.network.hosts[idx].command("sh").args(["-ec", script]).output().unwrap();
        assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// Gives a host whose agent does not run another address, as a router may after a night.
    fn move_to(&self, idx: usize, address: Ipv4Addr) {
        let node = &self.nodes[idx];
        self.shell(
            idx,
            &format!("ip addr flush dev eth0 scope global; ip addr add {address}/24 brd + dev eth0"),
        );
        node.root.put("run/duet/boot.toml", &boot_toml(&node.mac, address));
    }

    /// The agent writes its list of others when it has met them for a while, so there may be none.
    fn forget_others(&self, idx: usize) {
        let _ = std::fs::remove_file(self.nodes[idx].memory.join("last-known"));
    }

    /// The cluster as a node shows it, asked on the node itself.
    fn cluster(&self, idx: usize) -> Value {
        let text = self.network.hosts[idx].on(|| get("/api/status"));
        let status: Value = serde_json::from_str(&text).unwrap_or_default();
        status["cluster"].clone()
    }

    /// How node `at` sees node `of`; empty if it does not know it.
    fn standing(&self, at: usize, of: usize) -> String {
        let cluster = self.cluster(at);
        let members = cluster["picture"]["members"].as_array().cloned().unwrap_or_default();
        let found = members.iter().find(|member| member["id"] == self.nodes[of].id.as_str());
        found.and_then(|member| member["standing"].as_str()).unwrap_or_default().to_owned()
    }

    fn n_alive(&self, idx: usize) -> u64 {
        let cluster = self.cluster(idx);
        let members = cluster["picture"]["members"].as_array().cloned().unwrap_or_default();
        let is_whole = |member: &&Value| member["standing"] == "alive" && !member["facts"].is_null();
        members.iter().filter(is_whole).count() as u64
    }

    /// All these nodes see `n` alive with their facts: the boot server counts too.
    fn wait_alive(&self, what: &str, nodes: &[usize], n: u64) {
        nodes.iter().for_each(|idx| self.wait(what, || self.n_alive(*idx) == n));
    }

    #[track_caller]
    fn wait(&self, what: &str, is_so: impl Fn() -> bool) {
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
    fn tell(&self) {
        for name in std::fs::read_dir(&self.out).unwrap().flatten().map(|entry| entry.path()) {
            if name.extension().is_some_and(|end| end == "log") {
                println!("--- {}\n{}", name.display(), std::fs::read_to_string(&name).unwrap_or_default());
            }
        }
        (0..self.nodes.len()).for_each(|idx| println!("--- node {idx}\n{:#}", self.cluster(idx)));
    }

    /// `duet nodes` with these words.
    fn duet_nodes(&self, words: &[&str]) -> String {
        let mut duet = Command::new(env!("CARGO_BIN_EXE_duet-under-test"));
        let done = duet.arg("nodes").arg("--out").arg(&self.out).args(words).output().unwrap();
        let said = String::from_utf8_lossy(&[&done.stdout[..], &done.stderr].concat()).into_owned();
        assert!(done.status.success(), "duet nodes {words:?}: {said}");
        said
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        let agents = self.nodes.iter_mut().filter_map(|node| node.agent.as_mut());
        for child in agents.chain([&mut self.server]) {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.out);
    }
}

fn boot_toml(mac: &str, address: Ipv4Addr) -> String {
    format!(
        "release = \"{RELEASE}\"\nmode = \"net\"\nattempt = 1\nmac = \"{mac}\"\ninterface = \"eth0\"\n\
         address = \"{address}\"\nnetmask = \"255.255.255.0\"\nservers = [\"http://{SERVER}\"]\n\
         release_key = \"{}\"\n",
        tests::release::key().public().to_text().trim_end()
    )
}

/// Asks the agent of the host that this thread is on; an empty answer if there is none.
fn get(path: &str) -> String {
    let agent = SocketAddr::from((Ipv4Addr::LOCALHOST, 8000));
    let Ok(mut stream) = TcpStream::connect_timeout(&agent, Duration::from_secs(2)) else {
        return String::new();
    };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let _ = write!(stream, "GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}

/// Reads an answer without an end from its beginning until it says this.
fn get_head(path: &str, until: &str) -> String {
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

#[test]
fn a_pc_that_dies_is_missed_and_one_that_comes_back_is_known() {
    if !inside("a_pc_that_dies_is_missed_and_one_that_comes_back_is_known") {
        return;
    }
    let mut shelf = Shelf::new("shelf-dies", 5);
    shelf.wait_alive("five PCs and the server meet", &[0, 1, 2, 3, 4], 6);
    // A crash: the membership is still in RAM.
    shelf.kill(2);
    [0, 1, 3, 4].iter().for_each(|idx| shelf.wait("a death is seen", || shelf.standing(*idx, 2) == "down"));
    shelf.start(2);
    shelf.wait_alive("after a crash it is back", &[0, 1, 2, 3, 4], 6);
    // A boot: new keys, and no memory of any time.
    shelf.kill(4);
    std::fs::remove_dir_all(&shelf.nodes[4].memory).unwrap();
    shelf.wait("a death is seen", || shelf.standing(0, 4) == "down");
    shelf.start(4);
    shelf.wait_alive("after a boot it is back", &[0, 1, 2, 3, 4], 6);
    let list = shelf.duet_nodes(&["list"]);
    assert_eq!(list.matches("alive").count(), 5, "{list}");
}

#[test]
fn halves_that_were_cut_apart_find_each_other_again() {
    if !inside("halves_that_were_cut_apart_find_each_other_again") {
        return;
    }
    let shelf = Shelf::new("shelf-cut", 5);
    shelf.wait_alive("five PCs and the server meet", &[0, 1, 2, 3, 4], 6);
    shelf.network.cut(&[3, 4]);
    shelf.wait_alive("the larger half knows itself", &[0, 1, 2], 4);
    shelf.wait_alive("the smaller half knows itself", &[3, 4], 2);
    shelf.network.heal(&[3, 4]);
    shelf.wait_alive("all are one again", &[0, 1, 2, 3, 4], 6);
}

#[test]
fn the_owners_words_reach_every_pc() {
    if !inside("the_owners_words_reach_every_pc") {
        return;
    }
    let shelf = Shelf::new("shelf-owner", 5);
    shelf.wait_alive("five PCs and the server meet", &[0, 1, 2, 3, 4], 6);
    // A stranger without a key is heard by nobody, and counted.
    let noise = shelf.network.hosts[0].on(|| UdpSocket::bind("0.0.0.0:0").unwrap());
    for n in 0..50u8 {
        noise.send_to(&vec![n; usize::from(n) * 20], (shelf.network.hosts[1].address, 7947)).unwrap();
    }
    let is_counted =
        || shelf.cluster(1)["picture"]["senders"].as_array().is_some_and(|senders| !senders.is_empty());
    shelf.wait("noise is counted", is_counted);

    shelf.duet_nodes(&["rotate-key"]);
    for idx in 0..5 {
        shelf.wait("a new key is in use", || shelf.cluster(idx)["picture"]["ring"] == 2);
    }
    shelf.wait_alive("and all still hear each other", &[0, 1, 2, 3, 4], 6);

    let report = shelf.duet_nodes(&["run-diag", &shelf.nodes[3].mac]);
    assert!(report.contains("Core(TM)2 Duo") && report.contains("/proc/meminfo"), "{report}");

    shelf.duet_nodes(&["remove", &shelf.nodes[2].mac]);
    for idx in [0, 1, 3, 4] {
        shelf.wait("a removed PC is out", || shelf.standing(idx, 2) == "removed");
    }
    shelf.wait_alive("the others go on", &[0, 1, 3, 4], 5);
    let story = shelf.network.hosts[0].on(|| get_head("/api/events", "was removed by the owner"));
    assert!(story.contains("text/event-stream") && story.contains("event: removed"), "{story}");
    // And under the key that it never got.
    for idx in [0, 1, 3, 4] {
        shelf.wait("a key without the removed PC", || shelf.cluster(idx)["picture"]["ring"] == 3);
    }
}

/// No boot server, and seeds that name addresses of yesterday: every way to find the others works alone.
#[test]
fn a_shelf_whose_boot_server_is_gone_finds_itself_again() {
    if !inside("a_shelf_whose_boot_server_is_gone_finds_itself_again") {
        return;
    }
    let mut shelf = Shelf::new("shelf-lost", 2);
    shelf.wait_alive("two PCs and the server meet", &[0, 1], 3);
    for idx in [0, 1] {
        shelf.kill(idx);
        shelf.move_to(idx, Ipv4Addr::new(10, 77, 0, 111 + idx as u8));
        shelf.start(idx);
    }
    shelf.wait_alive("they meet at new addresses", &[0, 1], 3);
    let known = |shelf: &Shelf, idx: usize| {
        std::fs::read_to_string(shelf.nodes[idx].memory.join("last-known")).unwrap_or_default()
    };
    for (idx, other) in [(0, "10.77.0.112:7947"), (1, "10.77.0.111:7947")] {
        shelf.wait("the other's address is kept", || known(&shelf, idx).contains(other));
    }
    shelf.server.kill().unwrap();
    shelf.server.wait().unwrap();

    const NO_BROADCAST: &str = "ip route del table local broadcast 10.77.0.255 dev eth0";
    const BROADCAST: &str = "ip route add table local broadcast 10.77.0.255 dev eth0";
    const NO_GROUP: &str = "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6";
    const GROUP: &str = "echo 0 >/proc/sys/net/ipv6/conf/all/disable_ipv6";
    let ways = [
        ("the last known peers", [NO_BROADCAST, NO_GROUP], true),
        ("the group of IPv6", ["true", GROUP], false),
        ("the broadcast", [BROADCAST, NO_GROUP], false),
    ];
    for (way, scripts, keeps_known) in ways {
        for idx in [0, 1] {
            shelf.kill(idx);
            scripts.iter().for_each(|script| shelf.shell(idx, script));
            if !keeps_known {
                shelf.forget_others(idx);
            }
        }
        (0..2).for_each(|idx| shelf.start(idx));
        shelf.wait_alive(way, &[0, 1], 2);
    }
    // Without any of the three they stay apart, so it was these that helped.
    for idx in [0, 1] {
        shelf.kill(idx);
        shelf.shell(idx, NO_BROADCAST);
        shelf.forget_others(idx);
    }
    (0..2).for_each(|idx| shelf.start(idx));
    shelf.wait("both run", || (0..2).all(|idx| shelf.n_alive(idx) == 1));
    // Six looks for company, one a second; nothing is there that could wake anybody sooner.
    let sent = |shelf: &Shelf| shelf.cluster(0)["picture"]["traffic"]["sent"].as_u64().unwrap_or(0);
    shelf.wait("it looks for the other in vain", || sent(&shelf) >= 12);
    assert_eq!([shelf.n_alive(0), shelf.n_alive(1)], [1, 1]);
}
