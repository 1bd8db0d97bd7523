//! The cluster's real nodes in virtual time: the figures they are held to, and bad days.
//!
//! Times here are the simulation's own, so they are the same on every machine. A failing story prints its seed;
//! `duet sim trials --only NAME --seed S --seeds 1` plays it again.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use image::sim::args::ClusterArgs;
use image::sim::story::{self, Figures};
use image::sim::trials;

fn tell(nodes: usize, loss: f64, seed: u64) -> Figures {
    println!("{nodes} nodes, loss {loss}, seed {seed}");
    let args = ClusterArgs { nodes, loss, seed, minutes: 1.0, deaths: 3, json: false };
    story::tell(&args, &mut |_| {}).unwrap()
}

fn play(only: &str, seeds: u64) {
    trials::play(only, 0..seeds, &mut |line| println!("{line}")).unwrap();
}

#[test]
fn twenty_nodes_find_each_other_miss_the_dead_and_stay_quiet_within_their_figures() {
    for seed in 1..=4 {
        let figures = tell(20, 0.0, seed);
        assert!(figures.converge_s <= 0.5, "{figures:?}");
        assert!(figures.dead_seen_by_all_s <= 8.0, "{figures:?}");
        assert!(figures.bytes_per_second_per_node <= 300.0, "{figures:?}");
        assert!(figures.partition_healed_s <= 5.0, "{figures:?}");
        assert_eq!(figures.false_downs, 0, "{figures:?}");
    }
}

#[test]
fn five_nodes_on_a_wire_that_loses_a_tenth_bury_nobody_alive() {
    for seed in 1..=4 {
        let figures = tell(5, 0.1, seed);
        assert_eq!(figures.false_downs, 0, "{figures:?}");
        assert!(figures.dead_seen_by_all_s <= 10.0, "{figures:?}");
    }
}

#[test]
fn a_hundred_nodes_agree_on_deaths_and_on_a_healed_split() {
    let figures = tell(100, 0.01, 1);
    // Without the bulk of the first comparison it takes 2.4 s, without any comparison 5.6 s.
    assert!(figures.converge_s <= 1.5, "{figures:?}");
    // Repaired in one direction only, a death took a hundred seconds here, and a split as long.
    assert!(figures.dead_seen_by_all_s <= 10.0, "{figures:?}");
    assert!(figures.split_settled_s.is_some_and(|settled| settled <= 30.0), "{figures:?}");
    assert!(figures.partition_healed_s <= 10.0, "{figures:?}");
    assert!(figures.largest_datagram_bytes <= 1400, "{figures:?}");
}

#[test]
fn the_same_seed_tells_the_same_story() {
    assert_eq!(format!("{:?}", tell(12, 0.05, 9)), format!("{:?}", tell(12, 0.05, 9)));
}

#[test]
fn whom_no_rumour_told_of_is_found_by_comparing() {
    play("holes", 3);
}

#[test]
fn a_death_that_only_some_heard_of_reaches_all_and_the_living_are_asked_first() {
    play("half a death", 3);
}

#[test]
fn a_node_with_an_old_clock_goes_beyond_its_former_lives() {
    play("old clock", 3);
}

#[test]
fn rough_weather_makes_nobody_look_dead() {
    play("bad weather", 2);
}

#[test]
fn splits_heal_without_a_false_death() {
    play("half and half", 2);
    play("flapping", 2);
}

#[test]
fn a_node_with_half_a_wire_takes_nobody_down() {
    play("one way", 3);
}

#[test]
fn half_of_all_may_restart_at_once() {
    play("half restart", 2);
}

#[test]
fn a_busy_processor_is_missed_and_does_not_accuse_others() {
    play("stalled", 2);
}

#[test]
fn a_new_ring_key_reaches_all_over_a_lossy_wire() {
    play("rotation", 2);
}

#[test]
fn a_removed_node_is_dropped_everywhere_and_returns_only_with_a_newer_certificate() {
    play("removed", 2);
    play("taken back in", 2);
}

#[test]
fn a_stranger_with_the_ring_key_is_no_member() {
    play("stranger", 2);
}

#[test]
fn replayed_and_forged_datagrams_change_nothing() {
    play("replays", 1);
    play("forged", 2);
}

#[test]
fn a_goodbye_is_no_death() {
    play("goodbye", 3);
}

#[test]
fn a_failed_connection_makes_a_service_critical_at_once() {
    play("failed connection", 1);
}
