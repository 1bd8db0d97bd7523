//! Many clients on a bad wire, in simulated time: an hour of it takes less than a second.
//!
//! Every run follows from its seed. A failing run prints it; `SEED=... cargo test -p tests --test sim` plays it again.

#[path = "sim/dhcp.rs"]
mod dhcp;
#[path = "sim/tftp.rs"]
mod tftp;
#[path = "sim/wire.rs"]
mod wire;

use wire::Wire;

/// Plays `story` with many seeds, or with the one in `SEED`.
fn for_seeds(seeds: u64, story: impl Fn(u64)) {
    let one = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in one.map_or(0..seeds, |seed| seed..seed + 1) {
        let _shown = Shown(seed);
        story(seed);
    }
}

/// Says its seed when a run fails.
struct Shown(u64);

impl Drop for Shown {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("this run failed with SEED={}", self.0);
        }
    }
}

#[test]
fn on_a_good_wire_every_file_arrives_and_no_block_is_sent_twice() {
    for_seeds(10, |seed| {
        let end = tftp::play(&mut Wire::good(seed), 20);
        assert_eq!((end.whole, end.gone), (20, 0));
        assert_eq!(end.data_sent, end.data_needed);
    });
}

#[test]
fn doubled_packets_do_not_double_the_traffic() {
    for_seeds(10, |seed| {
        let end = tftp::play(&mut Wire::good(seed).doubling(100), 20);
        assert_eq!((end.whole, end.gone), (20, 0));
        assert_eq!(end.data_sent, end.data_needed, "the sorcerer's apprentice is at work");
    });
}

#[test]
fn files_arrive_whole_over_a_wire_that_loses_doubles_and_reorders() {
    for_seeds(30, |seed| {
        let end = tftp::play(&mut Wire::bad(seed), 20);
        assert_eq!((end.whole, end.gone), (20, 0), "five packets in a hundred lost is no reason to give up");
    });
}

#[test]
fn on_a_hopeless_wire_every_transfer_ends_whole_or_is_given_up_in_time() {
    for_seeds(30, |seed| {
        let wire = &mut Wire::bad(seed).losing(60);
        let end = tftp::play(wire, 20);
        assert_eq!(end.whole + end.gone, 20);
        assert!(end.gone > 0, "this wire is meant to be hopeless");
    });
}

#[test]
fn on_a_good_wire_every_dhcp_client_gets_an_address_at_once() {
    for_seeds(10, |seed| {
        let end = dhcp::play(&mut Wire::good(seed), 40, 60);
        assert_eq!(end.unanswered, 0);
        assert!(end.acks >= 40);
    });
}

#[test]
fn no_address_is_ever_given_to_two_live_clients() {
    for_seeds(30, |seed| {
        let end = dhcp::play(&mut Wire::bad(seed), 40, 60);
        assert!(end.acks > 40, "the clients were alive");
    });
}

#[test]
fn a_range_that_is_too_small_shares_nothing_either() {
    for_seeds(10, |seed| {
        let end = dhcp::play(&mut Wire::bad(seed), 40, 25);
        assert!(end.acks > 25 && end.refused_full > 0, "the range was too small");
    });
}
