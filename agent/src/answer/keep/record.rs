//! What nodes tell each other of timers: `POST /api/timers`, `POST /api/timers/rung`, `GET /api/timers/mine`; pure.
//!
//! No clock is shared: a timer is told with the time that is left, so a late datagram makes it late by its way.
//! It names nothing of this program, so that the fuzz targets can include it as a file.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;

pub const TELL_PATH: &str = "/api/timers";
pub const RUNG_PATH: &str = "/api/timers/rung";
pub const MINE_PATH: &str = "/api/timers/mine";
/// The longest body, and the longest answer.
pub const BYTES_MAX: usize = 16 * 1024;
/// Timers of one node.
pub const TIMERS_MAX: usize = 32;
/// Nodes that keep a record, and one that is to forget it.
pub const KEEPERS_MAX: usize = 4;
/// 30 days.
pub const LEFT_MS_MAX: u64 = 30 * 24 * 3600 * 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Kind {
    Timer { length_s: u64 },
    Alarm { hour: u8, minute: u8 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    pub id: u64,
    #[serde(flatten)]
    pub kind: Kind,
    /// 0 once it is due.
    pub left_ms: u64,
}

/// All timers of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The higher one is newer.
    pub counter: u64,
    /// Timers that the node ever set: no number is given twice.
    pub n_set: u64,
    /// Nodes that keep it; whoever else gets it is to forget what it keeps.
    pub keepers: Vec<u64>,
    pub timers: Vec<Left>,
}

/// Timers of a node that another has rung, because that node was away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rung {
    pub of: u64,
    pub ids: Vec<u64>,
}

/// Who has told a record learns the newest counter that is known of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    pub counter: u64,
}

/// What a peer keeps for the node that asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mine {
    pub record: Option<Record>,
    /// Some of them it has rung.
    pub rung: Vec<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordError {
    Long,
    Garbled,
    /// More than a node can have.
    Many,
    Time,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            RecordError::Long => write!(f, "longer than {BYTES_MAX} bytes"),
            RecordError::Garbled => f.write_str("not what a node tells of its timers"),
            RecordError::Many => {
                write!(f, "more than {TIMERS_MAX} timers or {KEEPERS_MAX} keepers, or one twice")
            }
            RecordError::Time => f.write_str("no such time"),
        }
    }
}

impl std::error::Error for RecordError {}

/// What is read of a body, and holds its limits.
pub trait Told: DeserializeOwned + Serialize {
    fn check(&self) -> Result<(), RecordError>;
}

pub fn read<T: Told>(body: &[u8]) -> Result<T, RecordError> {
    if body.len() > BYTES_MAX {
        return Err(RecordError::Long);
    }
    let told: T = serde_json::from_slice(body).map_err(|_| RecordError::Garbled)?;
    told.check().map(|()| told)
}

/// Numbers that are few, and each is there once.
fn few(ids: impl Iterator<Item = u64>, max: usize) -> Result<(), RecordError> {
    let mut ids: Vec<u64> = ids.take(max + 1).collect();
    let n = ids.len();
    ids.sort_unstable();
    ids.dedup();
    if n > max || ids.len() < n { Err(RecordError::Many) } else { Ok(()) }
}

impl Told for Record {
    fn check(&self) -> Result<(), RecordError> {
        few(self.keepers.iter().copied(), KEEPERS_MAX)?;
        few(self.timers.iter().map(|timer| timer.id), TIMERS_MAX)?;
        let is_time = |timer: &Left| {
            let is_kind = match timer.kind {
                Kind::Timer { length_s } => length_s <= LEFT_MS_MAX / 1000,
                Kind::Alarm { hour, minute } => hour < 24 && minute < 60,
            };
            is_kind && timer.left_ms <= LEFT_MS_MAX && timer.id <= self.n_set
        };
        // A counter near its end would leave no room for a newer one.
        let is_counter = self.counter <= u64::MAX / 2 && self.n_set <= u64::MAX / 2;
        if is_counter && self.timers.iter().all(is_time) { Ok(()) } else { Err(RecordError::Time) }
    }
}

impl Told for Rung {
    fn check(&self) -> Result<(), RecordError> {
        few(self.ids.iter().copied(), TIMERS_MAX)
    }
}

impl Told for Known {
    fn check(&self) -> Result<(), RecordError> {
        if self.counter <= u64::MAX / 2 { Ok(()) } else { Err(RecordError::Time) }
    }
}

impl Told for Mine {
    fn check(&self) -> Result<(), RecordError> {
        few(self.rung.iter().copied(), TIMERS_MAX)?;
        self.record.as_ref().map_or(Ok(()), Record::check)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let kinds = [Kind::Timer { length_s: 300 }, Kind::Alarm { hour: 7, minute: 30 }];
        let timers = kinds.iter().enumerate();
        let timers = timers.map(|(idx, kind)| Left { id: idx as u64 + 1, kind: *kind, left_ms: 1000 });
        Record { counter: 7, n_set: 2, keepers: vec![1, 2], timers: timers.collect() }
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Record), want: Result<(), RecordError>) {
        let mut record = record();
        change(&mut record);
        let body = serde_json::to_vec(&record).unwrap();
        assert_eq!(read::<Record>(&body), want.map(|()| record));
    }

    #[test]
    fn a_record_comes_back_and_keeps_its_limits() {
        check(|_| {}, Ok(()));
        check(|record| record.timers[1].id = 1, Err(RecordError::Many));
        check(|record| record.timers[1].id = 3, Err(RecordError::Time));
        check(|record| record.keepers = (0..=KEEPERS_MAX as u64).collect(), Err(RecordError::Many));
        check(|record| record.timers[0].left_ms = LEFT_MS_MAX + 1, Err(RecordError::Time));
        check(|record| record.timers[0].kind = Kind::Alarm { hour: 24, minute: 0 }, Err(RecordError::Time));
        check(|record| record.counter = u64::MAX, Err(RecordError::Time));
        assert_eq!(read::<Record>(b"[]"), Err(RecordError::Garbled));
        assert_eq!(read::<Mine>(&vec![b' '; BYTES_MAX + 1]), Err(RecordError::Long));
    }
}
