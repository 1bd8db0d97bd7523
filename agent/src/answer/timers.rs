//! Timers and alarms of a node: set, listed, stopped, rung; kept so that a crash of the agent loses none; pure but for its
//! file. Peers keep them for the day the power fails (`keep`).
//!
//! A timer is due by the node's uptime, so that a clock that is set meanwhile moves none.

use super::keep::record::Mine;
use crate::io::runtime;
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

pub use super::keep::record::{Kind, TIMERS_MAX};

pub const LENGTH_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// One that nobody stops has rung for long enough.
pub const RING_MAX: Duration = Duration::from_secs(600);
const FILE: &str = "timers.json";
const FILE_BYTES_MAX: u64 = 64 << 10;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timer {
    pub id: u64,
    #[serde(flatten)]
    pub kind: Kind,
    /// Milliseconds of uptime.
    pub due_ms: u64,
    /// It was due while this node was away.
    #[serde(default)]
    pub is_late: bool,
    /// The node that it was set at and that is away; none for this one.
    #[serde(default)]
    pub of: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetError {
    Full,
    Long,
}

impl Timer {
    pub fn left(&self, now: Duration) -> Duration {
        Duration::from_millis(self.due_ms).saturating_sub(now)
    }

    pub fn is_due(&self, now: Duration) -> bool {
        self.due_ms <= now.as_millis() as u64
    }
}

/// The timers, by when they are due.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timers {
    n_set: u64,
    timers: Vec<Timer>,
    /// In this boot of the machine the peers have told what they kept.
    #[serde(default)]
    is_restored: bool,
}

impl Timers {
    pub fn set(&mut self, now: Duration, kind: Kind, left: Duration) -> Result<Timer, SetError> {
        if left > LENGTH_MAX {
            return Err(SetError::Long);
        }
        if self.timers.len() >= TIMERS_MAX {
            return Err(SetError::Full);
        }
        self.n_set += 1;
        let due_ms = (now + left).as_millis() as u64;
        let timer = Timer { id: self.n_set, kind, due_ms, is_late: false, of: None };
        self.insert(timer.clone());
        Ok(timer)
    }

    fn insert(&mut self, timer: Timer) {
        let idx = self.timers.partition_point(|other| other.due_ms <= timer.due_ms);
        self.timers.insert(idx, timer);
    }

    /// Rings a timer of a node that is away; where there is no room it is lost.
    pub fn ring_for(&mut self, now: Duration, node: String, kind: Kind) {
        if self.set(now, kind, Duration::ZERO).is_ok()
            && let Some(timer) = self.timers.iter_mut().find(|timer| timer.id == self.n_set)
        {
            timer.of = Some(node);
        }
    }

    /// What peers kept while this node was away. After a crash it knows its own timers, and learns which were rung.
    pub fn restore(&mut self, now: Duration, mine: &Mine) {
        if std::mem::replace(&mut self.is_restored, true) {
            return self.timers.retain(|timer| timer.of.is_some() || !mine.rung.contains(&timer.id));
        }
        let Some(record) = &mine.record else { return };
        // What was set in the meantime comes after what was set before.
        for timer in &mut self.timers {
            timer.id += record.n_set;
        }
        self.n_set += record.n_set;
        let now_ms = now.as_millis() as u64;
        for left in record.timers.iter().filter(|left| !mine.rung.contains(&left.id)) {
            if self.timers.len() < TIMERS_MAX {
                let (id, kind, due_ms) = (left.id, left.kind, now_ms + left.left_ms);
                self.insert(Timer { id, kind, due_ms, is_late: left.left_ms == 0, of: None });
            }
        }
    }

    pub fn n_set(&self) -> u64 {
        self.n_set
    }

    /// Those that ring, else all; says how many there were.
    pub fn stop(&mut self, now: Duration) -> usize {
        let n = self.timers.len();
        let n_ringing = self.timers.iter().filter(|timer| timer.is_due(now)).count();
        if n_ringing > 0 {
            self.timers.retain(|timer| !timer.is_due(now));
            return n_ringing;
        }
        self.timers.clear();
        n
    }

    /// One of them, by its number; says how many there were.
    pub fn cancel(&mut self, id: u64) -> usize {
        let n = self.timers.len();
        self.timers.retain(|timer| timer.id != id);
        n - self.timers.len()
    }

    /// Those that ring stop.
    pub fn hush(&mut self, now: Duration) -> usize {
        let n = self.timers.len();
        self.timers.retain(|timer| !timer.is_due(now));
        n - self.timers.len()
    }

    /// Forgets what has rung for too long.
    pub fn tire(&mut self, now: Duration) -> bool {
        let n = self.timers.len();
        let ring_ms = RING_MAX.as_millis() as u64;
        self.timers.retain(|timer| timer.due_ms + ring_ms > now.as_millis() as u64);
        n != self.timers.len()
    }

    pub fn all(&self) -> &[Timer] {
        &self.timers
    }

    /// The one that is due next, or rings already.
    pub fn next(&self) -> Option<&Timer> {
        self.timers.first()
    }

    fn read(text: &str) -> Option<Timers> {
        let timers: Timers = serde_json::from_str(text).ok()?;
        (timers.timers.len() <= TIMERS_MAX).then_some(timers)
    }
}

/// The node's timers, and whoever waits for them to change.
#[derive(Debug)]
pub struct TimerBook {
    timers: Mutex<Timers>,
    changed: watch::Sender<u64>,
}

impl Default for TimerBook {
    fn default() -> TimerBook {
        TimerBook { timers: Mutex::default(), changed: watch::Sender::new(0) }
    }
}

impl TimerBook {
    /// With what an earlier run of the agent left in this boot.
    pub fn open() -> TimerBook {
        let kept = Timers::read(&runtime::read(FILE, FILE_BYTES_MAX)).unwrap_or_default();
        TimerBook { timers: Mutex::new(kept), ..TimerBook::default() }
    }

    /// Changes the timers. They are kept before anybody is told that they are set.
    pub fn change<T>(&self, change: impl FnOnce(&mut Timers) -> T) -> Result<T, String> {
        let mut timers = self.lock();
        let before = timers.clone();
        let told = change(&mut timers);
        if *timers != before {
            let text = serde_json::to_string(&*timers).map_err(|error| error.to_string())?;
            if let Err(error) = runtime::write(FILE, text.as_bytes(), runtime::For::Agent) {
                *timers = before;
                return Err(format!("the timers cannot be kept: {error}"));
            }
            self.changed.send_modify(|n| *n += 1);
        }
        Ok(told)
    }

    pub fn now(&self) -> Timers {
        self.lock().clone()
    }

    pub fn follow(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Timers> {
        self.timers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long the machine has been up: what timers are due by.
pub fn uptime() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(time.tv_sec.max(0) as u64, time.tv_nsec.clamp(0, 999_999_999) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn set(timers: &mut Timers, now: u64, left: u64) -> Result<Timer, SetError> {
        timers.set(s(now), Kind::Timer { length_s: left }, s(left))
    }

    #[test]
    fn the_next_timer_is_the_one_that_is_due_first() {
        let mut timers = Timers::default();
        for left in [300, 60, 600] {
            set(&mut timers, 10, left).unwrap();
        }
        assert_eq!(
            timers.all().iter().map(|timer| timer.left(s(10)).as_secs()).collect::<Vec<_>>(),
            [60, 300, 600]
        );
        assert_eq!(timers.next().map(|timer| timer.id), Some(2));
    }

    #[test]
    fn stop_means_those_that_ring_and_only_then_all() {
        let mut timers = Timers::default();
        for left in [60, 61, 600] {
            set(&mut timers, 0, left).unwrap();
        }
        assert_eq!(timers.stop(s(70)), 2);
        assert_eq!(timers.stop(s(70)), 1);
        assert_eq!(timers.stop(s(70)), 0);
    }

    #[test]
    fn one_timer_is_cancelled_and_the_others_stay() {
        let mut timers = Timers::default();
        for left in [60, 61] {
            set(&mut timers, 0, left).unwrap();
        }
        assert_eq!((timers.cancel(1), timers.cancel(1)), (1, 0));
        assert_eq!(timers.next().map(|timer| timer.id), Some(2));
    }

    #[test]
    fn there_is_an_end_to_timers_and_to_ringing() {
        let mut timers = Timers::default();
        for _ in 0..TIMERS_MAX {
            set(&mut timers, 0, 5).unwrap();
        }
        assert_eq!(set(&mut timers, 0, 5), Err(SetError::Full));
        assert!(!timers.tire(s(600)) && timers.tire(s(606)));
        assert_eq!(set(&mut timers, 0, 31 * 86_400), Err(SetError::Long));
        assert!(timers.all().is_empty());
    }

    #[test]
    fn timers_survive_their_text() {
        let mut timers = Timers::default();
        set(&mut timers, 3, 60).unwrap();
        timers.set(s(3), Kind::Alarm { hour: 7, minute: 30 }, s(500)).unwrap();
        let text = serde_json::to_string(&timers).unwrap();
        assert_eq!(Timers::read(&text), Some(timers));
        assert_eq!(Timers::read("{\"n_set\":-1}"), None);
    }
}
