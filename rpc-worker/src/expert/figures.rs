//! What an expert tells of itself: how busy it is, how fast it is, what it did. One thread writes, others look.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How much the newest measurement counts beside all before it.
const NEWEST_SHARE: f64 = 0.2;

/// What is counted, from the start on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    Requests,
    Refused,
    Failed,
    Cancelled,
    PromptTokens,
    CachedTokens,
    Tokens,
    /// Requests whose first token came, and the milliseconds until then.
    FirstTokens,
    FirstTokenMs,
}

const COUNTS: usize = 9;

#[derive(Debug, Default)]
pub struct Figures {
    waiting: AtomicUsize,
    busy: AtomicUsize,
    counts: [AtomicU64; COUNTS],
    speeds: Mutex<Speeds>,
}

/// Tokens a second; 0 before the first measurement.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Speeds {
    pub prompt: f64,
    /// Of one stream alone.
    pub decode: f64,
}

/// A place in the queue; given back when dropped.
#[derive(Debug)]
pub struct Ticket(Option<Arc<Figures>>);

impl Ticket {
    /// Its holder waits no more.
    pub fn seated(&mut self) {
        if let Some(figures) = self.0.take() {
            figures.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.seated();
    }
}

impl Figures {
    /// A place in the queue, if it has one.
    pub fn queue(self: &Arc<Self>, n_max: usize) -> Option<Ticket> {
        let more = |n: usize| (n < n_max).then_some(n + 1);
        self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Ticket(Some(Arc::clone(self))))
    }

    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub fn busy(&self) -> usize {
        self.busy.load(Ordering::Relaxed)
    }

    pub fn set_busy(&self, n: usize) {
        self.busy.store(n, Ordering::Relaxed);
    }

    pub fn add(&self, count: Count, n: u64) {
        self.counts[count as usize].fetch_add(n, Ordering::Relaxed);
    }

    pub fn count(&self, count: Count) -> u64 {
        self.counts[count as usize].load(Ordering::Relaxed)
    }

    pub fn speeds(&self) -> Speeds {
        *self.speeds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One step took so long. Only steps of one kind tell a speed: a mixed one has no owner.
    pub fn step(&self, n_prompt: usize, n_decoded: usize, time: Duration) {
        let seconds = time.as_secs_f64();
        if seconds <= 0.0 {
            return;
        }
        let mut speeds = self.speeds.lock().unwrap_or_else(PoisonError::into_inner);
        match (n_prompt, n_decoded) {
            (n, 0) if n > 1 => mix(&mut speeds.prompt, n as f64 / seconds),
            (0, 1) => mix(&mut speeds.decode, 1.0 / seconds),
            _ => {}
        }
    }
}

fn mix(speed: &mut f64, newest: f64) {
    *speed = if *speed == 0.0 { newest } else { *speed + (newest - *speed) * NEWEST_SHARE };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_has_no_place_until_one_is_given_back() {
        let figures = Arc::new(Figures::default());
        let first = figures.queue(1).expect("an empty queue has a place");
        assert!(figures.queue(1).is_none());
        drop(first);
        assert!(figures.queue(1).is_some());
        assert_eq!(figures.waiting(), 0);
    }

    #[test]
    fn only_steps_of_one_kind_tell_a_speed() {
        let figures = Figures::default();
        figures.step(8, 0, Duration::from_secs(2));
        figures.step(8, 1, Duration::from_secs(1));
        figures.step(0, 2, Duration::from_secs(1));
        assert_eq!(figures.speeds(), Speeds { prompt: 4.0, decode: 0.0 });
        figures.step(0, 1, Duration::from_millis(500));
        figures.step(0, 1, Duration::from_millis(100));
        assert!((figures.speeds().decode - 3.6).abs() < 1e-9, "{:?}", figures.speeds());
    }
}
