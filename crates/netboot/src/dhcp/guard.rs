//! The loop guard for an iPXE that cannot do HTTP.
//!
//! Such a ROM must load our first stage, whose iPXE looks just like it if it lacks HTTP too.
//! Told the same file for ever it would go round in a circle, so its sessions take turns:
//! after one that got the first stage comes one that gets the script.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::ask::Ask;
use crate::Mac;

/// PCs whose last session is remembered.
const GUARDED_MAX: usize = 4096;
/// A PC that comes back later than this starts afresh.
const GUARD: Duration = Duration::from_secs(300);

#[derive(Clone, Debug, Default)]
pub(super) struct Guard {
    last: BTreeMap<Mac, Session>,
}

/// iPXE draws a new transaction id for each DHCP session and keeps it when it repeats itself.
#[derive(Clone, Copy, Debug)]
struct Session {
    xid: u32,
    at: Instant,
    got_first_stage: bool,
}

impl Guard {
    /// Whether this session comes after one that got the first stage; remembers what it gets.
    pub(super) fn has_had_first_stage(&mut self, now: Instant, ask: &Ask) -> bool {
        let fresh = |session: &Session| now.saturating_duration_since(session.at) < GUARD;
        let before = self.last.get(&ask.mac).copied().filter(fresh);
        if let Some(same) = before.filter(|session| session.xid == ask.xid) {
            return !same.got_first_stage;
        }
        if self.last.len() >= GUARDED_MAX {
            self.last.retain(|_, session| fresh(session));
        }
        let had = before.is_some_and(|session| session.got_first_stage);
        if self.last.len() < GUARDED_MAX || before.is_some() {
            self.last.insert(ask.mac, Session { xid: ask.xid, at: now, got_first_stage: !had });
        }
        had
    }
}
