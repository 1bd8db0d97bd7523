//! A boot server and five agents on a wire: the real programs, each host in a network namespace of its own.
//!
//! What a shelf lives through: PCs that join, die, come back without memory, are cut off, are taken out.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;
use tests::network::inside;
use tests::shelf::{Programs, Shelf, get_head};

const PROGRAMS: Programs =
    Programs { agent: env!("CARGO_BIN_EXE_agent-under-test"), duet: env!("CARGO_BIN_EXE_duet-under-test") };

#[test]
fn a_pc_that_dies_is_missed_and_one_that_comes_back_is_known() {
    if !inside("a_pc_that_dies_is_missed_and_one_that_comes_back_is_known") {
        return;
    }
    let mut shelf = Shelf::new(PROGRAMS, "shelf-dies", 5);
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
    let shelf = Shelf::new(PROGRAMS, "shelf-cut", 5);
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
    let shelf = Shelf::new(PROGRAMS, "shelf-owner", 5);
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
    let mut shelf = Shelf::new(PROGRAMS, "shelf-lost", 2);
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

/// No WireGuard here: the addresses of the overlay are plain ones of the bridge.
#[test]
fn a_timer_outlives_the_power_of_its_node() {
    if !inside("a_timer_outlives_the_power_of_its_node") {
        return;
    }
    let mut shelf = Shelf::new(PROGRAMS, "shelf-timers", 3);
    shelf.wait_alive("three PCs and the server meet", &[0, 1, 2], 4);
    (0..3).for_each(|idx| shelf.join_overlay(idx));
    let text = |shelf: &Shelf, idx: usize, file: &str| {
        std::fs::read_to_string(shelf.nodes[idx].memory.join(file)).unwrap_or_default()
    };
    let is_kept =
        |shelf: &Shelf, what: &str| (1..3).all(|idx| text(shelf, idx, "kept-timers.json").contains(what));
    // Of 1801 s, and of 77 s that were over long ago.
    let day_ms = 24 * 3600 * 1000;
    shelf.kill(0);
    let set = |length_s: u64, due_ms: u64| {
        format!(
            r#"{{"n_set":1,"timers":[{{"id":1,"kind":"timer","length_s":{length_s},"due_ms":{due_ms}}}]}}"#
        )
    };
    std::fs::write(shelf.nodes[0].memory.join("timers.json"), set(1801, uptime_ms() + day_ms)).unwrap();
    shelf.start(0);
    shelf.wait("two peers keep it", || is_kept(&shelf, r#""length_s":1801"#));
    shelf.kill(0);
    std::fs::remove_dir_all(&shelf.nodes[0].memory).unwrap();
    shelf.start(0);
    shelf.wait("it is back", || text(&shelf, 0, "timers.json").contains(r#""length_s":1801"#));
    let due = text(&shelf, 0, "timers.json");
    let due: u64 = due.split(r#""due_ms":"#).nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
    let left_ms = due - uptime_ms();
    assert!((day_ms / 2..=day_ms + 60_000).contains(&left_ms), "{left_ms} ms are left");

    // One that is over while its node is away is rung by one peer. It comes to the other, so it is the second.
    shelf.kill(0);
    std::fs::write(shelf.nodes[0].memory.join("timers.json"), set(77, uptime_ms())).unwrap();
    shelf.start(0);
    shelf.wait("two peers keep it", || is_kept(&shelf, r#""length_s":77"#));
    shelf.kill(0);
    let rings = |shelf: &Shelf, idx: usize| text(shelf, idx, "timers.json").contains(r#""length_s":77"#);
    shelf.wait("a peer rings", || rings(&shelf, 1) || rings(&shelf, 2));
    // The other one knows, and stays silent.
    shelf.wait("the other knows", || is_kept(&shelf, r#""rung":[2]"#));
    assert_eq!((1..3).filter(|idx| rings(&shelf, *idx)).count(), 1);
    std::fs::remove_dir_all(&shelf.nodes[0].memory).unwrap();
    shelf.start(0);
    shelf.wait("its node asks", || text(&shelf, 0, "timers.json").contains("is_restored\":true"));
    assert!(!rings(&shelf, 0), "it rings twice");
}

/// As the agent counts it.
fn uptime_ms() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32).as_millis() as u64
}
