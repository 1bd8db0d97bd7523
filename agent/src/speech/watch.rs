//! Sees that the engine lives, as it begins and as it speaks, and tells those who wait where it does not.
//!
//! A thread that hangs in an engine cannot be ended. So nobody waits for it: the clause that hangs and all behind it
//! fail, new ones are refused, and when the engine comes back after all it speaks again.

use super::job::Listener;
use super::mouth::{Desk, State, Work};
use crate::talk::parts::Sound;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub const HANGS: &str = "the speech engine hangs; the next clauses are refused until it goes on";
pub const DOES_NOT_BEGIN: &str =
    "the speech engine hangs as it begins; clauses are refused until it has begun";

/// The sentence for work that was given up.
pub fn hangs(work: &Work) -> &'static str {
    if work.listener.is_some() { HANGS } else { DOES_NOT_BEGIN }
}

/// When to look again.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    Now,
    In(Duration),
    WhenTold,
}

pub fn run(desk: &Desk) {
    let mut state = desk.lock();
    while !state.is_closed {
        let refused = std::mem::take(&mut state.refused);
        if !refused.is_empty() {
            drop(state);
            refused.into_iter().for_each(|(listener, why)| listener.last(Sound::Failed(&why)));
            state = desk.lock();
            continue;
        }
        state = match look(&state, Instant::now(), desk.patience) {
            Look::Now => give_up(desk, state),
            Look::In(time) => {
                desk.for_watcher.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0
            }
            Look::WhenTold => desk.for_watcher.wait(state).unwrap_or_else(PoisonError::into_inner),
        };
    }
}

fn look(state: &State, now: Instant, patience: Duration) -> Look {
    let Some(work) = state.work.as_ref().filter(|work| !work.is_given_up) else { return Look::WhenTold };
    let rest = patience.saturating_sub(now.saturating_duration_since(work.since));
    if rest.is_zero() { Look::Now } else { Look::In(rest) }
}

pub(super) fn give_up<'a>(desk: &'a Desk, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
    let Some(work) = &mut state.work else { return state };
    if work.listener.as_ref().is_some_and(Listener::is_busy) {
        // The listener takes its time: the engine is not to blame.
        work.since = Instant::now();
        return state;
    }
    work.is_given_up = true;
    let why = hangs(work);
    let mut left_alone: Vec<Listener> = work.listener.iter().cloned().collect();
    while let Some(job) = state.queue.pop() {
        left_alone.push(job.listener);
    }
    state.facts.n_failed += left_alone.len() as u64;
    state.facts.trouble = Some(why.into());
    drop(state);
    eprintln!("agent: {why}");
    left_alone.iter().for_each(|listener| listener.last(Sound::Failed(why)));
    desk.lock()
}
