//! The wire: packets between numbered ends, late, lost or doubled as the dice say.

use std::collections::BTreeMap;
use std::time::Duration;

/// One end of the wire. The server is 0.
pub type End = u32;

/// A packet on its way.
pub struct Packet {
    pub from: End,
    pub to: End,
    pub bytes: Vec<u8>,
}

/// What the wire does, and its dice.
pub struct Wire {
    loss_percent: u64,
    double_percent: u64,
    delay_ms_max: u64,
    dice: u64,
    sent: u64,
    /// By time of arrival, then by order of sending.
    under_way: BTreeMap<(Duration, u64), Packet>,
}

impl Wire {
    /// One millisecond, nothing lost.
    pub fn good(seed: u64) -> Wire {
        Wire {
            loss_percent: 0,
            double_percent: 0,
            delay_ms_max: 1,
            // Neighbouring seeds must not tell neighbouring stories.
            dice: seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            sent: 0,
            under_way: BTreeMap::new(),
        }
    }

    /// Five in a hundred lost, ten doubled, and late enough to overtake each other.
    pub fn bad(seed: u64) -> Wire {
        Wire { loss_percent: 5, double_percent: 10, delay_ms_max: 40, ..Wire::good(seed) }
    }

    pub fn losing(self, loss_percent: u64) -> Wire {
        Wire { loss_percent, ..self }
    }

    pub fn doubling(self, double_percent: u64) -> Wire {
        Wire { double_percent, ..self }
    }

    /// A number below `below` (xorshift64*).
    pub fn roll(&mut self, below: u64) -> u64 {
        self.dice ^= self.dice >> 12;
        self.dice ^= self.dice << 25;
        self.dice ^= self.dice >> 27;
        (self.dice.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below
    }

    pub fn send(&mut self, now: Duration, from: End, to: End, bytes: Vec<u8>) {
        let copies = if self.roll(100) < self.double_percent { 2 } else { 1 };
        for _ in 0..copies {
            if self.roll(100) < self.loss_percent {
                continue;
            }
            let arrives = now + Duration::from_millis(1 + self.roll(self.delay_ms_max));
            self.sent += 1;
            self.under_way.insert((arrives, self.sent), Packet { from, to, bytes: bytes.clone() });
        }
    }

    /// When the next packet arrives.
    pub fn next(&self) -> Option<Duration> {
        self.under_way.keys().next().map(|(arrives, _)| *arrives)
    }

    /// A packet that has arrived.
    pub fn receive(&mut self, now: Duration) -> Option<Packet> {
        let key = *self.under_way.keys().next().filter(|(arrives, _)| *arrives <= now)?;
        self.under_way.remove(&key)
    }
}
