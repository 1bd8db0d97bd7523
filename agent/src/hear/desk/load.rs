//! How fast this node hears, as it was measured, and how long a wish would take here; pure but for the clock's word.

use super::queue::Queue;
use crate::hear::RATE;
use std::time::Instant;

/// The encoder hears a second of silence behind each recording, so the cost follows this length.
const MARGIN_S: f64 = 1.0;
/// What the newest recording counts for.
const NEW_SHARE: f64 = 0.3;

/// The length that work follows, in seconds.
pub fn heard_s(n_samples: usize) -> f64 {
    n_samples as f64 / f64::from(RATE) + MARGIN_S
}

/// Work for a recording at a told speed, in seconds.
pub fn work_s(milli: u32, n_samples: usize) -> f64 {
    f64::from(milli) / 1000.0 * heard_s(n_samples)
}

#[derive(Debug, Default)]
pub struct Load {
    /// Seconds of work for a second of sound.
    speed: Option<f64>,
    /// What is being heard, and since when.
    now: Option<(usize, Instant)>,
}

impl Load {
    pub fn begin(&mut self, n_samples: usize, now: Instant) {
        self.now = Some((n_samples, now));
    }

    pub fn end(&mut self) {
        self.now = None;
    }

    pub fn is_busy(&self) -> bool {
        self.now.is_some()
    }

    pub fn add(&mut self, n_samples: usize, worked_s: f64) {
        let new = worked_s / heard_s(n_samples);
        if new.is_finite() && new > 0.0 {
            self.speed = Some(self.speed.map_or(new, |old| old + NEW_SHARE * (new - old)));
        }
    }

    /// Another model is another speed.
    pub fn forget(&mut self) {
        self.speed = None;
    }

    /// As facts tell it; 0 before anything was heard.
    pub fn milli(&self) -> u32 {
        self.speed.map_or(0, |speed| (speed * 1000.0).ceil().min(f64::from(u32::MAX)) as u32)
    }

    /// Until a recording would be heard that comes now.
    pub fn until_heard_s(&self, n_samples: usize, queue: &Queue) -> f64 {
        let Some(speed) = self.speed else { return 0.0 };
        let running =
            self.now.map_or(0.0, |(n, since)| (speed * heard_s(n) - since.elapsed().as_secs_f64()).max(0.0));
        running + queue.lengths().chain([n_samples]).map(|n| speed * heard_s(n)).sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_speed_follows_what_was_measured() {
        let mut load = Load::default();
        assert_eq!(load.milli(), 0);
        load.add(RATE as usize, 1.0);
        assert_eq!(load.milli(), 500);
        (0..40).for_each(|_| load.add(RATE as usize, 2.0));
        assert_eq!(load.milli(), 1000);
        load.add(0, f64::NAN);
        assert_eq!(load.milli(), 1000);
        assert_eq!(work_s(1000, 3 * RATE as usize), 4.0);
    }
}
