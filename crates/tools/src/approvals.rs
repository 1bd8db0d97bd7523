//! Calls that wait for a person: what exactly will run, who wants it, and how long it may be answered.
//!
//! A call is answered once, or expires, or is withdrawn by whoever no longer waits; each end is told once by [`Approvals::poll`].

use crate::call::{Asker, Call};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

pub const EXPIRY: Duration = Duration::from_secs(60);
pub const PENDING_MAX: usize = 16;
/// What a person is to read before it runs; longer calls are not asked for, because nobody would see what they do.
pub const WILL_RUN_BYTES_MAX: usize = 8 << 10;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    pub id: u64,
    pub tool: String,
    pub will_run: String,
    pub asker: Asker,
    pub expires: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// By whom.
    Yes(String),
    No(String),
    Expired,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    Full,
    Long,
    /// It was answered, has expired, or never was.
    Unknown,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Full => write!(f, "{PENDING_MAX} calls wait for a person already"),
            Refused::Long => {
                write!(
                    f,
                    "a person must see all of it, so it may have {WILL_RUN_BYTES_MAX} bytes and no more"
                )
            }
            Refused::Unknown => f.write_str("no such call waits; it was answered or has expired"),
        }
    }
}

impl std::error::Error for Refused {}

/// Times are those of one clock that never goes back.
#[derive(Debug)]
pub struct Approvals {
    pending: BTreeMap<u64, Pending>,
    ended: VecDeque<(u64, Verdict)>,
    next: u64,
}

impl Approvals {
    /// Ids count from `first`: one that another run of the program gave must not be answered by mistake.
    pub fn new(first: u64) -> Approvals {
        Approvals { pending: BTreeMap::new(), ended: VecDeque::new(), next: first }
    }

    /// A call begins to wait.
    pub fn ask(&mut self, now: Duration, call: &Call) -> Result<Pending, Refused> {
        self.ask_in_words(now, call, call.will_run())
    }

    /// The same for a tool that says itself, in one plain line, exactly what will run.
    pub fn ask_in_words(&mut self, now: Duration, call: &Call, will_run: String) -> Result<Pending, Refused> {
        self.tick(now);
        if self.pending.len() >= PENDING_MAX {
            return Err(Refused::Full);
        }
        if will_run.len() > WILL_RUN_BYTES_MAX {
            return Err(Refused::Long);
        }
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        let (tool, asker) = (call.tool.clone(), call.asker.clone());
        let pending = Pending { id, tool, will_run, asker, expires: now.saturating_add(EXPIRY) };
        self.pending.insert(id, pending.clone());
        Ok(pending)
    }

    /// A person's word; it counts once.
    pub fn answer(&mut self, now: Duration, id: u64, is_yes: bool, by: &str) -> Result<(), Refused> {
        self.tick(now);
        self.pending.remove(&id).ok_or(Refused::Unknown)?;
        let verdict = if is_yes { Verdict::Yes } else { Verdict::No };
        self.ended.push_back((id, verdict(by.to_owned())));
        Ok(())
    }

    /// Whoever wanted it has gone.
    pub fn withdraw(&mut self, id: u64) {
        self.pending.remove(&id);
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Duration) {
        let late: Vec<u64> = self
            .pending
            .values()
            .filter(|pending| pending.expires <= now)
            .map(|pending| pending.id)
            .collect();
        for id in late {
            self.pending.remove(&id);
            self.ended.push_back((id, Verdict::Expired));
        }
    }

    /// What ended, in order.
    pub fn poll(&mut self) -> Option<(u64, Verdict)> {
        self.ended.pop_front()
    }

    /// When to tell it that time has passed.
    pub fn deadline(&self) -> Option<Duration> {
        self.pending.values().map(|pending| pending.expires).min()
    }

    pub fn pending(&self) -> impl Iterator<Item = &Pending> {
        self.pending.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Argument;
    use crate::call::Origin;

    fn call(text: &str, talk: u64) -> Call {
        let asker = Asker { origin: Origin::Model, who: "a test".into(), talk: Some(talk) };
        let arguments = [("text".to_owned(), Argument::Text(text.into()))].into();
        Call { tool: "say".into(), arguments, asker, yes: None, stays: false }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_call_is_answered_once() {
        let mut approvals = Approvals::new(100);
        let asked = approvals.ask(at(1), &call("a", 7)).unwrap();
        assert_eq!((asked.id, asked.will_run.as_str()), (100, r#"say {"text":"a"}"#));
        assert_eq!(approvals.answer(at(2), 99, true, "page"), Err(Refused::Unknown));
        assert_eq!(approvals.answer(at(2), 100, true, "page"), Ok(()));
        assert_eq!(approvals.answer(at(2), 100, false, "page"), Err(Refused::Unknown));
        assert_eq!(approvals.poll(), Some((100, Verdict::Yes("page".into()))));
        assert_eq!((approvals.poll(), approvals.deadline()), (None, None));
    }

    #[test]
    fn a_call_that_nobody_answers_expires_and_a_late_yes_is_nothing() {
        let mut approvals = Approvals::new(0);
        approvals.ask(at(0), &call("a", 7)).unwrap();
        approvals.ask(at(5), &call("b", 8)).unwrap();
        assert_eq!(approvals.deadline(), Some(EXPIRY));
        assert_eq!(approvals.answer(EXPIRY, 0, true, "voice"), Err(Refused::Unknown));
        assert_eq!(approvals.poll(), Some((0, Verdict::Expired)));
        assert_eq!((approvals.poll(), approvals.pending().count()), (None, 1));
        approvals.withdraw(1);
        assert_eq!((approvals.poll(), approvals.pending().count()), (None, 0));
    }

    #[test]
    fn a_crowd_is_refused_and_so_is_what_no_person_can_read() {
        let mut approvals = Approvals::new(0);
        for _ in 0..PENDING_MAX {
            approvals.ask(at(0), &call("a", 7)).unwrap();
        }
        assert_eq!(approvals.ask(at(1), &call("a", 7)), Err(Refused::Full));
        assert!(approvals.ask(EXPIRY, &call("a", 7)).is_ok());
        assert_eq!(approvals.ask(EXPIRY, &call(&"a".repeat(WILL_RUN_BYTES_MAX), 7)), Err(Refused::Long));
    }
}
