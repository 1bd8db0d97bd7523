//! A node hears itself: while its speaker sounds, and a little longer, what its own microphone hears is nobody's speech.
//!
//! Only hands-free does that matter: whoever holds a key has silenced the answer by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What a room and the cards' own buffers add.
const TAIL: Duration = Duration::from_millis(200);

/// Known to the threads of both sides.
#[derive(Debug, Clone)]
pub struct Echo {
    began: Instant,
    /// Milliseconds from then.
    until_ms: Arc<AtomicU64>,
    is_half_duplex: Arc<AtomicBool>,
}

impl Echo {
    pub fn new(now: Instant) -> Echo {
        Echo { began: now, until_ms: Arc::default(), is_half_duplex: Arc::default() }
    }

    /// Whether what is heard while sound leaves is to be silence.
    pub fn set_half_duplex(&self, is_half_duplex: bool) {
        self.is_half_duplex.store(is_half_duplex, Ordering::Relaxed);
    }

    /// So much sound has yet to leave.
    pub fn sounds(&self, now: Instant, ahead: Duration) {
        self.until_ms.store(self.ms(now + ahead + TAIL), Ordering::Relaxed);
    }

    /// Whether what is heard now is the node's own.
    pub fn is_own(&self, now: Instant) -> bool {
        self.is_half_duplex.load(Ordering::Relaxed) && self.ms(now) < self.until_ms.load(Ordering::Relaxed)
    }

    fn ms(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hands_free_and_only_until_the_room_is_quiet_again_is_sound_its_own() {
        let began = Instant::now();
        let echo = Echo::new(began);
        echo.sounds(began, Duration::from_millis(50));
        assert!(!echo.is_own(began));
        echo.set_half_duplex(true);
        assert!(echo.is_own(began) && echo.is_own(began + Duration::from_millis(249)));
        assert!(!echo.is_own(began + Duration::from_millis(250)));
    }
}
