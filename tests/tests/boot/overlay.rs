//! The overlay and the packet filter in booted PCs: what the wire sees of a node, and how two nodes meet.

use super::node::{Node, QUICK, SLOW, duet, get, quoted};
use super::{BOOT_MAX, Place, turn};
use image::vm::machine::{Dhcp, Pc};
use image::vm::shelf::Shelf;
use image::vm::stages::Stage;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// What DESIGN's table of ports lets into a node.
const TCP_OPEN: [u16; 1] = [8000];
const UDP_LET_IN: [u16; 2] = [7947, 51820];

#[test]
fn three_pcs_join_by_the_owners_stick_meet_on_the_overlay_and_offer_the_wire_nothing_else() {
    let (test, _turn) = ("overlay", turn());
    let Some(place) = Place::new(test) else { return };
    place.admits();
    let stick = place.folder.join("stick");
    let pc = Pc { stick: Some(stick.clone()), ..Pc::default() };
    let Some(mut shelf) = place.shelf(test, Dhcp::Own, vec![pc.clone(), pc.clone(), pc]) else { return };
    let settings = place.folder.join("server/state/duet.toml");
    let wishes = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, wishes + "\n[cluster]\npolicy = \"usb\"\n").unwrap();
    duet(&place, "nodes", &["usb-key", stick.to_str().unwrap()]);
    for pc_idx in 0..3 {
        shelf.power_on(pc_idx).unwrap();
    }
    for pc_idx in 0..3 {
        shelf.wait_for(pc_idx, Stage::Healthy, BOOT_MAX).unwrap();
    }
    let nodes = [0, 1, 2].map(|pc_idx| Node::of(&shelf, pc_idx));
    for node in &nodes {
        node.until("test $(grep -o endpoint /run/duet-overlay/state.json | wc -l) = 2");
        let overlay = node.overlay();
        assert_eq!((&overlay["state"], &overlay["sentence"]), (&"up".into(), &"the overlay is up".into()));
    }
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        let health = nodes[from].until(&ask(&nodes[to]));
        assert!(health.contains("200 OK") && health.contains("uptime"), "{health}");
    }
    only_what_is_offered_answers(&shelf);

    // Who crashes costs nobody anything: the kernel has kept key and peers.
    nodes[0].run("systemctl kill --signal=KILL duet-overlay.service");
    nodes[0].until("systemctl is-active duet-overlay.service && test -e /run/duet-overlay/address");
    assert_eq!(nodes[0].run("cat /run/duet-overlay/public.key").trim(), nodes[0].key());
    nodes[1].until(&ask(&nodes[0]));
    let failed = shelf.command(0, "systemctl --failed --no-legend --plain", QUICK).unwrap();
    assert_eq!((failed.status, failed.output.as_str()), (0, ""));

    // The owner takes one out: it gets no answer any more, and the others have no such peer.
    nodes[2].until(&ask(&nodes[0]));
    let asking =
        format!("while {}; do date +%s%3N > /run/answered; done > /dev/null; touch /run/cut", ask(&nodes[0]));
    nodes[2].run(&format!("setsid bash -c {} &", quoted(&asking)));
    nodes[2].until("test -e /run/answered");
    let mac = nodes[2].run("cat /sys/class/net/eth0/address");
    let before: u64 = nodes[2].run("date +%s%3N").trim().parse().unwrap();
    duet(&place, "nodes", &["remove", mac.trim()]);
    nodes[2].until("test -e /run/cut");
    let last: u64 = nodes[2].run("cat /run/answered").trim().parse().unwrap();
    eprintln!(
        "the removed one had its last answer {} ms after the owner's word began",
        last.saturating_sub(before)
    );
    for node in &nodes[..2] {
        node.until("test $(grep -o endpoint /run/duet-overlay/state.json | wc -l) = 1");
    }
    let refused = shelf.command(2, &ask(&nodes[0]), SLOW).unwrap();
    assert_ne!(refused.status, 0, "a removed node still gets answers: {}", refused.output);
    nodes[1].until(&ask(&nodes[0]));

    // One is switched off: the other sees it go, and is healthy alone.
    shelf.pull_plug(1).unwrap();
    let page = get("127.0.0.1", 8000, "/api/status");
    Node::of(&shelf, 0).until(&format!("{page} | grep -q '\"standing\":\"down\"'"));
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
    get(to.address(), 8081, "/health")
}
