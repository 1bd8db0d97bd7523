//! When what failed is tried again: soon, and then ever more seldom.

use std::time::Duration;

/// After the first failure.
const LEAST: Duration = Duration::from_secs(2);
/// What went wrong may be put right at any time, such as a file that was not there yet.
const MOST: Duration = Duration::from_secs(300);

#[derive(Debug, Default)]
pub struct Backoff {
    n_failed: u32,
    said: String,
}

impl Backoff {
    /// How long to wait after one more failure.
    pub fn next(&mut self) -> Duration {
        let wait = LEAST.saturating_mul(1 << self.n_failed.min(16)).min(MOST);
        self.n_failed += 1;
        wait
    }

    /// Whether this was not said the last time.
    pub fn is_news(&mut self, why: &str) -> bool {
        let is_news = self.said != why;
        why.clone_into(&mut self.said);
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..40).map(|_| backoff.next().as_secs()).collect();
        assert_eq!(waits[..9], [2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert!(waits[9..].iter().all(|wait| *wait == 300));
    }

    #[test]
    fn only_another_reason_is_news() {
        let mut backoff = Backoff::default();
        assert_eq!(["a", "a", "b", "a"].map(|why| backoff.is_news(why)), [true, false, true, true]);
    }
}
