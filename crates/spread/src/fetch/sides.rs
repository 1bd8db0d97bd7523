//! What is known of one source: what it has, how it behaved, and when it is asked again.

use super::{BUSY_PAUSE, FAILED_PAUSE, FAILED_PAUSE_MAX, Failure, STALE, Source};
use crate::bits::Bits;
use std::time::Duration;

pub struct Side {
    pub has: Bits,
    pub wants: Bits,
    /// When it last had more than before.
    pub grew: Duration,
    /// Not asked before.
    pub until: Duration,
    pub n_flights: usize,
    /// In a row.
    pub n_failed: u32,
    pub n_sent: u32,
    pub has_lied: bool,
}

impl Side {
    pub fn new(now: Duration, has: Bits) -> Side {
        let wants = Bits::none(has.n());
        Side { has, wants, grew: now, until: now, n_flights: 0, n_failed: 0, n_sent: 0, has_lied: false }
    }

    pub fn told(&mut self, now: Duration, has: &Bits, wants: &Bits) {
        if !has.is_within(&self.has) || self.wants.count() == 0 {
            self.grew = now;
        }
        self.has = has.clone();
        self.wants = wants.clone();
    }

    pub fn failed(&mut self, now: Duration, how: Failure, seed: u64) {
        match how {
            // So that those who were refused together do not come back together.
            Failure::Busy => {
                self.until = now + BUSY_PAUSE + BUSY_PAUSE.mul_f64((mix(seed, 1) % 64) as f64 / 64.0)
            }
            Failure::Broken => {
                let pause = FAILED_PAUSE * 2u32.saturating_pow(self.n_failed.min(16));
                self.n_failed = self.n_failed.saturating_add(1);
                self.until = now + pause.min(FAILED_PAUSE_MAX);
            }
        }
    }

    /// The server is the owner's: its disk may be ill, and be mended.
    pub fn lied(&mut self, now: Duration, who: Source) {
        self.has_lied = who != Source::Server;
        self.until = now + FAILED_PAUSE_MAX;
    }

    pub fn is_open(&self, now: Duration) -> bool {
        !self.has_lied && self.until <= now
    }

    /// Whether it may be waited for to bring a chunk.
    pub fn is_bringing(&self, now: Duration, chunk: u32) -> bool {
        !self.has_lied && self.wants.has(chunk) && now < self.grew + STALE
    }
}

/// A hash of two numbers (the last steps of SplitMix64).
pub fn mix(a: u64, b: u64) -> u64 {
    let mut z = a.wrapping_add(b.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
