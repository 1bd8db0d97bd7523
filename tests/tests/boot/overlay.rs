//! The overlay and the packet filter in booted PCs: what the wire sees of a node, and how two nodes meet.

use super::{BOOT_MAX, Place, turn};
use image::vm::machine::{Dhcp, Pc};
use image::vm::shelf::Shelf;
use image::vm::stages::Stage;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

const QUICK: Duration = Duration::from_secs(30);
const SLOW: Duration = Duration::from_secs(120);

/// What DESIGN's table of ports lets into a node.
const TCP_OPEN: [u16; 1] = [8000];
const UDP_LET_IN: [u16; 2] = [7947, 51820];

#[test]
fn the_wire_finds_only_the_page_and_two_nodes_meet_on_the_overlay_until_one_is_removed() {
    let (test, _turn) = ("overlay", turn());
    let Some(place) = Place::new(test) else { return };
    let Some(mut shelf) = place.shelf(test, Dhcp::Own, vec![Pc::default(), Pc::default()]) else { return };
    for pc_idx in 0..2 {
        shelf.power_on(pc_idx).unwrap();
    }
    for pc_idx in 0..2 {
        shelf.wait_for(pc_idx, Stage::Healthy, BOOT_MAX).unwrap();
    }

    only_what_is_offered_answers(&shelf);

    let nodes = [Node::of(&shelf, 0), Node::of(&shelf, 1)];
    assert_ne!(nodes[0].key, nodes[1].key);
    assert_eq!(nodes[0].overlay()["state"], "waiting");
    nodes[0].wish(&[&nodes[1]]);
    nodes[1].wish(&[&nodes[0]]);
    for node in &nodes {
        let shown = node.until("test -e /run/duet-overlay/address && cat /run/duet-overlay/address");
        assert_eq!(shown.trim(), node.overlay_address());
    }
    for (from, to) in [(0, 1), (1, 0)] {
        let health = nodes[from].until(&ask(&nodes[to]));
        assert!(health.contains("200 OK") && health.contains("uptime"), "{health}");
    }
    let overlay = nodes[0].overlay();
    assert_eq!((&overlay["state"], &overlay["sentence"]), (&"up".into(), &"the overlay is up".into()));

    // Who crashes costs nobody anything: the kernel has kept key and peers.
    nodes[0].run("systemctl kill --signal=KILL duet-overlay.service");
    nodes[0].until("systemctl is-active duet-overlay.service && test -e /run/duet-overlay/address");
    assert_eq!(nodes[0].run("cat /run/duet-overlay/public.key").trim(), nodes[0].key);
    nodes[1].until(&ask(&nodes[0]));

    nodes[0].wish(&[]);
    nodes[0].until("! grep -q endpoint /run/duet-overlay/state.json");
    let refused = shelf.command(1, &ask(&nodes[0]), SLOW).unwrap();
    assert_ne!(refused.status, 0, "a removed node still gets answers: {}", refused.output);
    let failed = shelf.command(0, "systemctl --failed --no-legend --plain", QUICK).unwrap();
    assert_eq!((failed.status, failed.output.as_str()), (0, ""));
}

fn only_what_is_offered_answers(shelf: &Shelf) {
    let tcp = scan(shelf, "tcp", 1, u16::MAX);
    assert_eq!(ports(&tcp["open"]), TCP_OPEN, "{tcp}");
    assert_eq!(ports(&tcp["refused"]), [0; 0], "the filter let a question to a closed port in: {tcp}");
    for (first, last) in [(1, 1024), (7900, 8100), (51800, 51900)] {
        let udp = scan(shelf, "udp", first, last);
        let answered = [ports(&udp["open"]), ports(&udp["refused"])].concat();
        assert!(answered.iter().all(|port| UDP_LET_IN.contains(port)), "{udp}");
    }
    // Without the filter the same questions do get answers, so the silence is its work.
    assert_eq!(shelf.command(0, "nft flush ruleset", QUICK).unwrap().status, 0);
    for kind in ["tcp", "udp"] {
        let open = scan(shelf, kind, 1, 200);
        assert!(!ports(&open["refused"]).is_empty(), "{kind}: {open}");
    }
    assert_eq!(shelf.command(0, "nft -f /etc/nftables.conf", QUICK).unwrap().status, 0);
}

/// Asks the first PC from the boot server's place on the wire.
fn scan(shelf: &Shelf, kind: &str, first: u16, last: u16) -> Value {
    let address = shelf.view(0).address.unwrap().to_string();
    let mut command = shelf.on_the_wire(Path::new(env!("CARGO_BIN_EXE_port-scan")));
    let done = command.args([&address, kind, &first.to_string(), &last.to_string()]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

fn ports(list: &Value) -> Vec<u16> {
    serde_json::from_value(list.clone()).unwrap()
}

/// A question to rpc-worker of another node, over the overlay.
fn ask(to: &Node) -> String {
    let address = to.overlay_address();
    format!(
        "timeout 5 bash -c 'exec 3<>/dev/tcp/{address}/8081 && printf \"GET /health HTTP/1.0\\r\\n\\r\\n\" >&3 && cat <&3 && echo'"
    )
}

/// One booted PC and its key.
struct Node<'a> {
    shelf: &'a Shelf,
    pc_idx: usize,
    key: String,
}

impl Node<'_> {
    fn of(shelf: &Shelf, pc_idx: usize) -> Node<'_> {
        let mut node = Node { shelf, pc_idx, key: String::new() };
        node.key = node.until("cat /run/duet-overlay/public.key").trim().to_owned();
        let digits = node.key.len() == 64 && node.key.bytes().all(|c| c.is_ascii_hexdigit());
        assert!(digits, "{:?} is no public key", node.key);
        node
    }

    fn overlay_address(&self) -> String {
        format!("fd01:203:405::{}", self.pc_idx + 1)
    }

    /// What the agent will write once it knows who is certified.
    fn wish(&self, peers: &[&Node]) {
        let peer = |node: &&Node| {
            let (key, address) = (&node.key, node.overlay_address());
            let endpoint = self.shelf.view(node.pc_idx).address.unwrap();
            format!(r#"{{"key":"{key}","address":"{address}","endpoint":"{endpoint}:51820"}}"#)
        };
        let peers: Vec<String> = peers.iter().map(peer).collect();
        let text = format!(r#"{{"address":"{}","peers":[{}]}}"#, self.overlay_address(), peers.join(","));
        self.run(&format!(
            "mkdir -p /run/duet-agent && echo '{text}' >/run/duet-agent/new && mv /run/duet-agent/new /run/duet-agent/overlay.json"
        ));
    }

    fn overlay(&self) -> Value {
        serde_json::from_str(&self.run("cat /run/duet-overlay/state.json")).unwrap()
    }

    fn run(&self, command: &str) -> String {
        let answer = self.shelf.command(self.pc_idx, command, SLOW).unwrap();
        assert_eq!(answer.status, 0, "{command}: {}", answer.output);
        answer.output
    }

    /// The output of a command once it ends well.
    fn until(&self, command: &str) -> String {
        let tries = format!("for i in $(seq 30); do {{ {command}; }} && break; sleep 1; done");
        self.run(&tries)
    }
}
