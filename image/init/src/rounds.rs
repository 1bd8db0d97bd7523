//! Whom to ask next and how long to wait: servers in turn, and a longer pause after every round.
//!
//! The pauses are spread by each PC's own number, so that a shelf of them does not ask in step after a power cut.

use std::fs::File;
use std::time::Duration;

use release::{Mac, Manifest, PublicKey, ReleaseId, Server};

use crate::fetch::Limits;
use crate::verify::fetch_release;
use crate::{Trouble, World};

/// After so many rounds the PC restarts, so that it picks up a new address and a new release.
pub const ROUNDS_MAX: u32 = 20;

/// Longest pause between two rounds.
pub const PAUSE_S_MAX: u64 = 30;

/// What to boot, and from whom.
pub struct Order<'a> {
    pub servers: &'a [Server],
    pub release: &'a ReleaseId,
    pub key: &'a PublicKey,
    /// Differs from PC to PC and from boot to boot.
    pub seed: u64,
    pub limits: Limits,
}

/// Fetches the release from the first server that has it whole and right. An error is the last sentence.
pub fn fetch_from_any<W: World>(
    world: &mut W,
    order: &Order<'_>,
    root: &mut File,
) -> Result<(Server, Manifest), String> {
    for round in 1..=ROUNDS_MAX {
        for (idx, &server) in order.servers.iter().enumerate() {
            let got = fetch_release(world, order.limits, server, order.release, order.key, root);
            let (file, trouble) = match got {
                Ok(manifest) => return Ok((server, manifest)),
                Err(named) => named,
            };
            empty(root);
            let problem = match trouble {
                Trouble::Memory { .. } => format!("{file} {trouble}"),
                _ => format!("{file} from {server} {trouble}"),
            };
            match order.servers.get(idx + 1) {
                Some(next) => world.say(&format!("{problem}; trying {next} now")),
                None if round == ROUNDS_MAX => return Err(format!("{problem}; that was try {ROUNDS_MAX}")),
                None => {
                    let pause = pause(order.seed, round);
                    world.say(&format!("{problem}; trying again in {}", seconds(pause)));
                    world.wait(pause);
                }
            }
        }
    }
    Err("the boot line names no boot server".to_string())
}

/// A number of this PC and this boot.
pub fn seed(mac: Option<Mac>, attempt: Option<u32>) -> u64 {
    let mac = mac.map_or([0; 6], |mac| mac.0);
    let mac = mac.iter().fold(0u64, |sum, &byte| sum << 8 | u64::from(byte));
    mac << 16 ^ u64::from(attempt.unwrap_or(0))
}

/// 2, 4, 8, 16, then 30 seconds, of which the upper half is spread by the seed.
fn pause(seed: u64, round: u32) -> Duration {
    let whole_ms = (1000u64 << round.min(10)).min(PAUSE_S_MAX * 1000);
    let spread = mix(seed.wrapping_add(u64::from(round))) % (whole_ms / 2);
    Duration::from_millis(whole_ms - spread)
}

/// The finishing step of splitmix64: neighbouring seeds give unlike numbers.
fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A time as a person says it.
pub fn seconds(time: Duration) -> String {
    match (time.as_millis().div_ceil(1000)) as u64 {
        1 => "1 second".to_string(),
        n => format!("{n} seconds"),
    }
}

/// Gives back the memory of a file that is no good. It lies on a tmpfs, where this cannot fail for want of space.
fn empty(file: &mut File) {
    file.set_len(0).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mac: u8, round: u32, least_s: u64, most_s: u64) {
        let pause = pause(seed(Some(Mac([mac; 6])), Some(1)), round);
        let range = Duration::from_secs(least_s)..=Duration::from_secs(most_s);
        assert!(range.contains(&pause), "round {round}: {pause:?}");
    }

    #[test]
    fn pauses_grow_to_30_seconds_and_no_further() {
        for mac in 0..50 {
            check(mac, 1, 1, 2);
            check(mac, 2, 2, 4);
            check(mac, 5, 15, 30);
            check(mac, 20, 15, 30);
        }
    }

    #[test]
    fn two_pcs_do_not_wait_in_step() {
        let pauses =
            |n: u8| (1..6).map(|round| pause(seed(Some(Mac([n; 6])), Some(1)), round)).collect::<Vec<_>>();
        assert_ne!(pauses(1), pauses(2));
    }

    #[test]
    fn a_time_is_never_said_shorter_than_it_is() {
        assert_eq!(seconds(Duration::from_millis(900)), "1 second");
        assert_eq!(seconds(Duration::from_millis(1001)), "2 seconds");
    }
}
