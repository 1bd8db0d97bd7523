//! Who keeps a node's timers for the day its power fails, and who rings them when it stays away; pure.
//!
//! A node tells all its timers to two live peers, the next ones by number in a ring, at each change. One that has begun
//! anew asks all live peers first, and takes what the highest counter says. A timer that comes due while its node is
//! away is rung by the lower one of its keepers that live, which tells the other.
//! Two halves of a cluster that are cut apart both ring: nobody can tell that from a node that is away.

pub mod record;
#[cfg(test)]
mod tests;

use super::timers::{Timer, Timers};
use record::{Kind, Left, Mine, Record, Rung};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Nodes that keep a record.
const KEEPERS: usize = 2;
/// Nodes whose timers are kept.
pub const KEPT_MAX: usize = 64;
/// So long after a timer is due its node may still come back and ring it itself.
pub const GRACE_MS: u64 = 10_000;
/// Peers that are found so long after the first one are asked too.
const SETTLE_MS: u64 = 3000;
/// A peer that does not answer is asked so often.
const ASKS_MAX: u32 = 10;

/// What is to be done; its end comes back by the function that is named as it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Do {
    /// `GET /api/timers/mine`.
    Ask(u64),
    Tell(u64, Record),
    TellRung(u64, Rung),
    /// Goes to [`Timers::restore`].
    Restore(Mine),
    /// A timer of a node that is away is over.
    Ring {
        of: u64,
        kind: Kind,
    },
}

/// A peer's timers, by this node's uptime.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    counter: u64,
    n_set: u64,
    keepers: Vec<u64>,
    timers: Vec<Timer>,
    rung: BTreeSet<u64>,
    /// Other keepers, and how many of `rung` they know.
    #[serde(skip)]
    rung_told: BTreeMap<u64, usize>,
}

impl Kept {
    fn has_open(&self) -> bool {
        self.timers.iter().any(|timer| !self.rung.contains(&timer.id))
    }
}

/// Asking after a start.
#[derive(Clone, Debug, Default)]
struct Asking {
    first_ms: Option<u64>,
    asks: BTreeMap<u64, u32>,
    /// When they came, and what they say.
    answers: BTreeMap<u64, (u64, Mine)>,
}

#[derive(Clone, Debug, Default)]
pub struct Keep {
    /// Its own timers, as they were told last.
    shown: Vec<Timer>,
    n_set: u64,
    counter: u64,
    keepers: Vec<u64>,
    /// Peers that have a record of ours, and its counter.
    told: BTreeMap<u64, u64>,
    asking: Asking,
    has_asked: bool,
    kept: BTreeMap<u64, Kept>,
    /// Since when this node sees others, or knows that it is alone.
    member_ms: Option<u64>,
}

impl Keep {
    /// With what it kept before, in the same boot.
    pub fn read(text: &str) -> Keep {
        let kept: BTreeMap<u64, Kept> = serde_json::from_str(text).unwrap_or_default();
        let is_bounded = kept.len() <= KEPT_MAX;
        Keep { kept: if is_bounded { kept } else { BTreeMap::new() }, ..Keep::default() }
    }

    /// What [`Keep::read`] reads; none of it is this node's own.
    pub fn text(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(&self.kept)
    }

    /// At each change and each second. `live` are peers that can be reached now, without this node.
    pub fn step(&mut self, now_ms: u64, own: u64, live: &BTreeSet<u64>, timers: &Timers) -> Vec<Do> {
        let mut todo = vec![];
        if self.has_asked {
            self.tell(now_ms, own, live, timers, &mut todo);
        } else {
            self.ask(now_ms, live, &mut todo);
        }
        self.ring(now_ms, own, live, &mut todo);
        todo
    }

    fn ask(&mut self, now_ms: u64, live: &BTreeSet<u64>, todo: &mut Vec<Do>) {
        if live.is_empty() {
            return;
        }
        let since_ms = *self.asking.first_ms.get_or_insert(now_ms);
        let n_asks = |peer: &u64| self.asking.asks.get(peer).copied().unwrap_or_default();
        let silent = live.iter().filter(|peer| !self.asking.answers.contains_key(peer));
        let open: Vec<u64> = silent.filter(|peer| n_asks(peer) < ASKS_MAX).copied().collect();
        if open.is_empty() && now_ms >= since_ms + SETTLE_MS {
            return self.restore(now_ms, todo);
        }
        for peer in open {
            *self.asking.asks.entry(peer).or_default() += 1;
            todo.push(Do::Ask(peer));
        }
    }

    fn restore(&mut self, now_ms: u64, todo: &mut Vec<Do>) {
        self.has_asked = true;
        let answers = std::mem::take(&mut self.asking).answers;
        let mut rung = BTreeSet::new();
        let mut best = None::<Record>;
        for (peer, (came_ms, mine)) in answers {
            rung.extend(mine.rung);
            let Some(mut record) = mine.record else { continue };
            for timer in &mut record.timers {
                timer.left_ms = timer.left_ms.saturating_sub(now_ms.saturating_sub(came_ms));
            }
            // Whoever is no keeper any more is told so.
            self.told.insert(peer, record.counter);
            if best.as_ref().is_none_or(|best| record.counter > best.counter) {
                best = Some(record);
            }
        }
        self.counter = best.as_ref().map_or(0, |best| best.counter);
        todo.push(Do::Restore(Mine { record: best, rung: rung.into_iter().collect() }));
    }

    fn tell(&mut self, now_ms: u64, own: u64, live: &BTreeSet<u64>, timers: &Timers, todo: &mut Vec<Do>) {
        let shown: Vec<Timer> = timers.all().iter().filter(|timer| timer.of.is_none()).cloned().collect();
        if shown.is_empty() && self.told.is_empty() {
            return;
        }
        let after = live.range(own.saturating_add(1)..).chain(live.range(..own));
        let keepers: Vec<u64> = after.take(KEEPERS).copied().collect();
        if shown != self.shown || keepers != self.keepers {
            self.counter += 1;
            (self.shown, self.keepers, self.n_set) = (shown, keepers, timers.n_set());
        }
        let is_behind = |peer: &&u64| live.contains(peer) && self.told.get(peer) != Some(&self.counter);
        let former = self.told.keys().filter(|peer| !self.keepers.contains(peer));
        for peer in self.keepers.iter().chain(former).filter(is_behind) {
            let timers = self.shown.iter().map(|timer| left(timer, now_ms)).collect();
            let keepers = self.keepers.clone();
            let record = Record { counter: self.counter, n_set: self.n_set, keepers, timers };
            todo.push(Do::Tell(*peer, record));
        }
    }

    fn ring(&mut self, now_ms: u64, own: u64, live: &BTreeSet<u64>, todo: &mut Vec<Do>) {
        let member_ms = *self.member_ms.get_or_insert(now_ms);
        // Who has only just begun sees nobody yet.
        let may_ring = now_ms >= member_ms + GRACE_MS;
        for (of, kept) in &mut self.kept {
            let lives = |peer: &u64| *peer == own || live.contains(peer);
            let is_first = kept.keepers.iter().filter(|peer| lives(peer)).min() == Some(&own);
            if may_ring && is_first && !live.contains(of) {
                let over = kept.timers.iter().filter(|timer| timer.due_ms + GRACE_MS <= now_ms);
                for timer in over.filter(|timer| kept.rung.insert(timer.id)) {
                    todo.push(Do::Ring { of: *of, kind: timer.kind });
                }
            }
            let others = kept.keepers.iter().filter(|peer| live.contains(peer));
            let known = |peer: &&u64| kept.rung_told.get(peer).copied().unwrap_or_default();
            for peer in others.filter(|peer| known(peer) < kept.rung.len()) {
                let ids = kept.rung.iter().copied().collect();
                todo.push(Do::TellRung(*peer, Rung { of: *of, ids }));
            }
        }
    }

    /// An answer to [`Do::Ask`].
    pub fn asked(&mut self, now_ms: u64, peer: u64, mine: Mine) {
        if !self.has_asked {
            self.asking.answers.insert(peer, (now_ms, mine));
        }
    }

    /// The end of a [`Do::Tell`]: what was told, and the counter that the peer knows now.
    pub fn told(&mut self, peer: u64, record: &Record, known: u64) {
        if known > record.counter {
            // It kept something of an earlier life that nobody told when this node asked.
            self.counter = self.counter.max(known) + 1;
        } else if record.keepers.contains(&peer) {
            self.told.insert(peer, record.counter);
        } else if record.counter == self.counter {
            self.told.remove(&peer);
        }
    }

    /// The end of a [`Do::TellRung`].
    pub fn told_rung(&mut self, peer: u64, rung: &Rung) {
        if let Some(kept) = self.kept.get_mut(&rung.of) {
            kept.rung_told.insert(peer, rung.ids.len());
        }
    }

    /// `from` tells its timers. The counter that holds now; none where there is no room.
    pub fn heard(&mut self, now_ms: u64, own: u64, from: u64, record: &Record) -> Option<u64> {
        let old = self.kept.get(&from);
        if let Some(old) = old.filter(|old| old.counter > record.counter) {
            return Some(old.counter);
        }
        if !record.keepers.contains(&own) {
            self.kept.remove(&from);
            return Some(record.counter);
        }
        if old.is_none() && self.kept.len() >= KEPT_MAX {
            let spare = self.kept.iter().find(|(_, kept)| !kept.has_open()).map(|(of, _)| *of)?;
            self.kept.remove(&spare);
        }
        let mut rung = self.kept.remove(&from).map(|old| old.rung).unwrap_or_default();
        rung.retain(|id| record.timers.iter().any(|timer| timer.id == *id));
        let timers = record.timers.iter().map(|left| timer(left, now_ms)).collect();
        let Record { counter, n_set, ref keepers, .. } = *record;
        let (keepers, rung_told) = (keepers.clone(), BTreeMap::new());
        self.kept.insert(from, Kept { counter, n_set, keepers, timers, rung, rung_told });
        Some(counter)
    }

    /// Another keeper has rung.
    pub fn heard_rung(&mut self, from: u64, rung: &Rung) {
        let Some(kept) = self.kept.get_mut(&rung.of).filter(|kept| kept.keepers.contains(&from)) else {
            return;
        };
        let ids = rung.ids.iter().filter(|id| kept.timers.iter().any(|timer| timer.id == **id));
        kept.rung.extend(ids);
        if kept.rung.iter().all(|id| rung.ids.contains(id)) {
            kept.rung_told.insert(from, kept.rung.len());
        }
    }

    /// What `of` gets when it asks.
    pub fn mine(&self, now_ms: u64, of: u64) -> Mine {
        let Some(kept) = self.kept.get(&of) else { return Mine::default() };
        let timers = kept.timers.iter().map(|timer| left(timer, now_ms)).collect();
        let Kept { counter, n_set, ref keepers, .. } = *kept;
        let record = Record { counter, n_set, keepers: keepers.clone(), timers };
        Mine { record: Some(record), rung: kept.rung.iter().copied().collect() }
    }
}

fn left(timer: &Timer, now_ms: u64) -> Left {
    Left { id: timer.id, kind: timer.kind, left_ms: timer.due_ms.saturating_sub(now_ms) }
}

fn timer(left: &Left, now_ms: u64) -> Timer {
    Timer { id: left.id, kind: left.kind, due_ms: now_ms + left.left_ms, is_late: false, of: None }
}
