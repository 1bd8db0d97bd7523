//! What is to be done later, in order of time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use admission::NodeId;

use crate::identity::Identity;

/// Most chores that wait. foca's own few periodic ones always find room.
const WAITING_MAX: usize = 16 * 1024;

#[derive(Clone, Debug)]
pub(crate) enum Chore {
    /// One of foca's timers.
    Swim(foca::Timer<Identity>),
    /// Somebody is suspected since then: is he dead?
    Verdict { timer: foca::Timer<Identity>, since: Instant, after: Duration, put_off: u8 },
    /// Tells a suspected member to answer.
    Doubt { id: Identity, incarnation: u16, left: u8 },
    /// Asks a member whom somebody holds dead to deny it; believes it if he stays silent.
    Confirm { node: NodeId, epoch: u32, since: Instant, left: u8 },
    /// Counts a member out that said goodbye in this life.
    Depart(Identity),
    /// Asks a dead member whether it is back.
    Knock,
    /// Looks for company.
    Alone,
    /// Spreads rumours of newer records.
    Rumours,
    /// Fetches records.
    Pull,
    /// Asks for the next ranges that differ.
    Lists,
    /// Signs and spreads a new record of this node.
    Publish,
    /// Looks after everything that only grows old.
    Sweep,
}

impl Chore {
    /// foca wants its timers of one instant in this order.
    fn rank(&self) -> u8 {
        match self {
            Chore::Swim(foca::Timer::SendIndirectProbe { .. }) => 0,
            Chore::Swim(_) => 1,
            _ => 2,
        }
    }

    fn may_be_dropped(&self) -> bool {
        matches!(self, Chore::Verdict { .. } | Chore::Doubt { .. } | Chore::Confirm { .. })
            || matches!(self, Chore::Swim(foca::Timer::RemoveDown(_)))
    }
}

#[derive(Default)]
pub(crate) struct Chores {
    waiting: BTreeMap<(Instant, u8, u64), Chore>,
    n: u64,
}

impl Chores {
    /// False if there is no room for it.
    pub fn add(&mut self, at: Instant, chore: Chore) -> bool {
        if self.waiting.len() >= WAITING_MAX && chore.may_be_dropped() {
            return false;
        }
        self.n += 1;
        self.waiting.insert((at, chore.rank(), self.n), chore);
        true
    }

    pub fn next_at(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|((at, ..), _)| *at)
    }

    pub fn take_due(&mut self, now: Instant) -> Option<Chore> {
        let due = self.waiting.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(due.remove())
    }

    /// Puts everything off: time that was not lived does not count.
    pub fn put_off(&mut self, by: Duration) {
        let waiting = std::mem::take(&mut self.waiting);
        let later = |((at, rank, n), chore): ((Instant, u8, u64), Chore)| {
            let chore = match chore {
                Chore::Verdict { timer, since, after, put_off } => {
                    Chore::Verdict { timer, since: since + by, after, put_off }
                }
                other => other,
            };
            ((at + by, rank, n), chore)
        };
        self.waiting = waiting.into_iter().map(later).collect();
    }

    /// Forgets all that a foca of before wanted, but for how long the dead are remembered.
    pub fn forget_swim(&mut self) {
        let is_kept = |chore: &Chore| match chore {
            Chore::Swim(timer) => matches!(timer, foca::Timer::RemoveDown(_)),
            Chore::Verdict { .. } => false,
            _ => true,
        };
        self.waiting.retain(|_, chore| is_kept(chore));
    }

    pub fn clear(&mut self) {
        self.waiting.clear();
    }
}
