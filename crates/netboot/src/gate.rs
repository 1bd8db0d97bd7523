//! The health gate: which promoted release a PC gets.
//!
//! A PC that fetched a release's root image [`FETCHES_MAX`] times and never reported healthy with it
//! gets the next older promoted release.
//! Nothing is needed on the PC: the server only counts what it sent and what it heard.
//! The gate knows no file and no clock; its state is plain public data for the caller to keep.

use std::collections::BTreeMap;
use std::fmt;

use crate::Mac;

/// More PCs than anyone boots from one server; a stranger inventing addresses costs no more memory than this.
pub const PCS_MAX: usize = 4096;
/// After so many whole fetches without a healthy report a release counts as failed on a PC.
pub const FETCHES_MAX: u32 = 2;
/// Releases remembered per PC; the promoted list is seldom longer than two.
pub const TRIES_MAX: usize = 8;
/// Attempts whose reports are still believed.
pub const OPEN_MAX: usize = 4;

/// All PCs and how they got on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gate {
    /// Line 1 of the promoted list when it was last seen: a change is a new promotion.
    pub newest: Option<String>,
    /// Counts every `begin`; tells which PC was seen last.
    pub turn: u64,
    /// The highest attempt of any PC that was forgotten. New PCs count on from it,
    /// so that a number is never given twice and no old report passes for a new one.
    pub forgotten: u32,
    pub pcs: BTreeMap<Mac, Pc>,
}

/// One PC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pc {
    /// The number of the last attempt.
    pub attempts: u32,
    /// The gate's `turn` when this PC last began.
    pub seen: u64,
    /// What is known of each release, oldest knowledge first.
    pub tries: Vec<Try>,
    /// The last attempts, oldest first.
    pub open: Vec<Attempt>,
}

/// How a PC got on with a release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Try {
    pub release: String,
    /// Attempts that fetched the whole root image and were not healthy.
    pub fetched: u32,
    /// Whether it ever reported healthy.
    pub healthy: bool,
}

/// A boot attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    pub number: u32,
    pub release: String,
    /// Whether this attempt's fetch was counted.
    pub fetched: bool,
}

/// What a PC gets, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub attempt: u32,
    pub release: String,
    pub reason: Reason,
}

/// Why a PC gets this release; `Display` is the sentence for the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    Newest,
    /// It stays away from a newer release that failed.
    FellBack {
        failed: String,
        fetched: u32,
    },
    /// Every promoted release failed, so it gets the newest again.
    AllFailed {
        releases: usize,
    },
}

impl Gate {
    /// Begins a boot attempt of a PC. `promoted` is newest first; nothing promoted is `None`.
    pub fn begin(&mut self, promoted: &[String], mac: Mac) -> Option<Decision> {
        self.notice_promotion(promoted.first()?);
        let (release, reason) = self.choose(promoted, mac)?;
        Some(Decision { attempt: self.open(mac, &release), release, reason })
    }

    /// Begins an attempt with a release that the owner chose: it is only counted.
    pub fn begin_pinned(&mut self, mac: Mac, release: &str) -> u32 {
        self.open(mac, release)
    }

    fn open(&mut self, mac: Mac, release: &str) -> u32 {
        self.turn += 1;
        if !self.pcs.contains_key(&mac) && self.pcs.len() >= PCS_MAX {
            self.evict();
        }
        let new = Pc { attempts: self.forgotten, ..Pc::default() };
        let pc = self.pcs.entry(mac).or_insert(new);
        pc.seen = self.turn;
        pc.attempts = pc.attempts.wrapping_add(1).max(1);
        pc.open.push(Attempt { number: pc.attempts, release: release.to_owned(), fetched: false });
        keep_last(&mut pc.open, OPEN_MAX);
        pc.attempts
    }

    /// Which release the PC would get now; changes nothing.
    pub fn choose(&self, promoted: &[String], mac: Mac) -> Option<(String, Reason)> {
        let newest = promoted.first()?;
        let failed = |release: &String| self.failed(mac, release, newest);
        let release = promoted.iter().find(|release| failed(release).is_none());
        Some(match (release, failed(newest)) {
            (Some(release), None) => (release.clone(), Reason::Newest),
            (Some(release), Some(fetched)) => {
                (release.clone(), Reason::FellBack { failed: newest.clone(), fetched })
            }
            (None, _) => (newest.clone(), Reason::AllFailed { releases: promoted.len() }),
        })
    }

    /// The whole root image of this attempt was sent, by the server or by a report of the PC; counts once.
    /// False if no such attempt is open.
    pub fn fetched(&mut self, mac: Mac, attempt: u32) -> bool {
        let Some(pc) = self.pcs.get_mut(&mac) else { return false };
        let Some(open) = pc.open.iter_mut().find(|open| open.number == attempt) else { return false };
        if open.fetched {
            return true;
        }
        open.fetched = true;
        let release = open.release.clone();
        let known = pc.known(&release);
        known.fetched = known.fetched.saturating_add(1);
        true
    }

    /// The PC reported healthy. False if no such attempt is open.
    pub fn healthy(&mut self, mac: Mac, attempt: u32) -> bool {
        let Some(pc) = self.pcs.get_mut(&mac) else { return false };
        let Some(open) = pc.open.iter().find(|open| open.number == attempt) else { return false };
        let release = open.release.clone();
        let known = pc.known(&release);
        known.healthy = true;
        known.fetched = 0;
        true
    }

    /// The last attempt of a PC.
    pub fn last(&self, mac: Mac) -> Option<&Attempt> {
        self.pcs.get(&mac)?.open.last()
    }

    /// Puts state that was read from outside within the limits.
    pub fn bound(&mut self) {
        while self.pcs.len() > PCS_MAX {
            self.evict();
        }
        for pc in self.pcs.values_mut() {
            keep_last(&mut pc.tries, TRIES_MAX);
            keep_last(&mut pc.open, OPEN_MAX);
            self.turn = self.turn.max(pc.seen);
        }
    }

    /// A new promotion starts fresh, also that of a release that was promoted before.
    fn notice_promotion(&mut self, newest: &String) {
        if self.newest.as_ref() == Some(newest) {
            return;
        }
        self.newest = Some(newest.clone());
        for pc in self.pcs.values_mut() {
            pc.tries.retain(|known| known.release != *newest);
            pc.open.retain(|open| open.release != *newest);
        }
    }

    /// How often the PC fetched a release that it never got healthy with, if often enough.
    fn failed(&self, mac: Mac, release: &str, newest: &str) -> Option<u32> {
        if release == newest && self.newest.as_deref() != Some(newest) {
            return None;
        }
        let known = self.pcs.get(&mac)?.tries.iter().find(|known| known.release == release)?;
        (!known.healthy && known.fetched >= FETCHES_MAX).then_some(known.fetched)
    }

    /// Forgets one PC: of those that never fetched a whole image the one not seen for longest;
    /// then of those that were never healthy the newest, which a flood consists of;
    /// and only among PCs that all were healthy the one not seen for longest.
    fn evict(&mut self) {
        let rank = |pc: &Pc| match () {
            () if pc.tries.is_empty() => (0, pc.seen),
            () if !pc.tries.iter().any(|known| known.healthy) => (1, u64::MAX - pc.seen),
            () => (2, pc.seen),
        };
        let least = self.pcs.iter().min_by_key(|(_, pc)| rank(pc)).map(|(mac, _)| *mac);
        if let Some(pc) = least.and_then(|mac| self.pcs.remove(&mac)) {
            self.forgotten = self.forgotten.max(pc.attempts);
        }
    }
}

impl Pc {
    fn known(&mut self, release: &str) -> &mut Try {
        if let Some(idx) = self.tries.iter().position(|known| known.release == release) {
            return &mut self.tries[idx];
        }
        self.tries.push(Try { release: release.to_owned(), ..Try::default() });
        keep_last(&mut self.tries, TRIES_MAX);
        self.tries.last_mut().expect("one was pushed above")
    }
}

fn keep_last<T>(list: &mut Vec<T>, max: usize) {
    let over = list.len().saturating_sub(max);
    list.drain(..over);
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Newest => f.write_str("newest release"),
            Reason::FellBack { failed, fetched } => {
                write!(f, "fell back: {failed} was fetched {fetched} times and never healthy")
            }
            Reason::AllFailed { releases: 1 } => {
                f.write_str("the only promoted release was never healthy here; trying it again")
            }
            Reason::AllFailed { releases } => {
                write!(f, "none of {releases} promoted releases was healthy here; trying the newest again")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

    fn ids(promoted: &str) -> Vec<String> {
        promoted.split_whitespace().map(str::to_owned).collect()
    }

    /// Plays a story and says what the PC gets at its end.
    /// Words: `boot` begins an attempt, `fetch` and `healthy` report it, anything else is a promoted list.
    fn check(story: &str, want: &str) {
        let (mut gate, mut promoted) = (Gate::default(), Vec::new());
        for step in story.split("; ") {
            let attempt = gate.last(MAC).map_or(0, |open| open.number);
            match step {
                "boot" => drop(gate.begin(&promoted, MAC)),
                "fetch" => drop(gate.fetched(MAC, attempt)),
                "healthy" => drop(gate.healthy(MAC, attempt)),
                list => promoted = ids(list),
            }
        }
        let got = match gate.begin(&promoted, MAC) {
            Some(Decision { attempt, release, reason }) => format!("{attempt} {release}: {reason}"),
            None => "nothing".to_owned(),
        };
        assert_eq!(got, want, "{story}");
    }

    #[test]
    fn nothing_promoted_gives_nothing() {
        check("", "nothing");
    }

    #[test]
    fn the_newest_release_comes_first() {
        check("b a", "1 b: newest release");
    }

    #[test]
    fn boots_that_fetched_nothing_do_not_count() {
        check("b a; boot; boot; boot", "4 b: newest release");
    }

    #[test]
    fn two_fetches_without_health_fall_back() {
        check("b a; boot; fetch; boot", "3 b: newest release");
        check("b a; boot; fetch; boot; fetch", "3 a: fell back: b was fetched 2 times and never healthy");
    }

    #[test]
    fn one_attempt_counts_once() {
        check("b a; boot; fetch; fetch; fetch", "2 b: newest release");
    }

    #[test]
    fn a_release_that_was_once_healthy_is_kept() {
        check("b a; boot; fetch; healthy; boot; fetch; boot; fetch; boot; fetch", "5 b: newest release");
        check("b a; boot; fetch; boot; fetch; healthy; boot; fetch", "4 b: newest release");
    }

    #[test]
    fn the_fall_back_lasts_until_the_next_promotion() {
        let fell = "b a; boot; fetch; boot; fetch; boot; fetch; healthy; boot";
        check(fell, "5 a: fell back: b was fetched 2 times and never healthy");
        check(&format!("{fell}; c b a"), "5 c: newest release");
    }

    #[test]
    fn a_release_promoted_again_starts_fresh() {
        check("b a; boot; fetch; boot; fetch; a; boot; b a", "4 b: newest release");
    }

    #[test]
    fn when_all_fail_the_newest_is_tried_and_it_is_said() {
        check(
            "b a; boot; fetch; boot; fetch; boot; fetch; boot; fetch",
            "5 b: none of 2 promoted releases was healthy here; trying the newest again",
        );
        check(
            "a; boot; fetch; boot; fetch",
            "3 a: the only promoted release was never healthy here; trying it again",
        );
    }

    #[test]
    fn a_pin_goes_on_counting_and_changes_no_promotion() {
        let mut gate = Gate::default();
        assert_eq!(gate.begin(&ids("b a"), MAC).map(|decision| decision.attempt), Some(1));
        assert_eq!(gate.begin_pinned(MAC, "old"), 2);
        let open = Attempt { number: 2, release: "old".to_owned(), fetched: false };
        assert_eq!((gate.last(MAC), gate.newest.as_deref()), (Some(&open), Some("b")));
        assert_eq!(gate.begin(&ids("b a"), MAC).map(|decision| decision.attempt), Some(3));
    }

    #[test]
    fn a_pinned_release_that_fails_is_given_again_and_its_failures_are_known() {
        let mut gate = Gate::default();
        for number in 1..=FETCHES_MAX + 1 {
            assert_eq!(gate.begin_pinned(MAC, "b"), number);
            assert!(gate.fetched(MAC, number));
        }
        let counted = Try { release: "b".to_owned(), fetched: FETCHES_MAX + 1, healthy: false };
        assert_eq!(gate.pcs[&MAC].tries, [counted]);
    }

    #[test]
    fn pins_keep_the_limits() {
        let mut gate = Gate::default();
        for idx in 0..PCS_MAX as u32 + 10 {
            let [a, b, c, d] = idx.to_be_bytes();
            gate.begin_pinned(Mac([6, 6, a, b, c, d]), "a");
        }
        for _ in 0..OPEN_MAX + 1 {
            gate.begin_pinned(MAC, "a");
        }
        assert_eq!((gate.pcs.len(), gate.pcs[&MAC].open.len()), (PCS_MAX, OPEN_MAX));
    }

    #[test]
    fn a_report_of_an_unknown_attempt_is_refused() {
        let mut gate = Gate::default();
        assert!(!gate.fetched(MAC, 1) && !gate.healthy(MAC, 1));
        gate.begin(&ids("a"), MAC);
        assert!(!gate.fetched(MAC, 2) && !gate.healthy(MAC, 0) && gate.healthy(MAC, 1));
    }

    #[test]
    fn strangers_cannot_push_out_a_pc_that_fetched() {
        let mut gate = Gate::default();
        let promoted = ids("a");
        gate.begin(&promoted, MAC);
        gate.fetched(MAC, 1);
        for idx in 0..PCS_MAX as u32 + 10 {
            let [a, b, c, d] = idx.to_be_bytes();
            gate.begin(&promoted, Mac([6, 6, a, b, c, d]));
        }
        assert_eq!(gate.pcs.len(), PCS_MAX);
        assert!(gate.pcs.contains_key(&MAC));
    }

    #[test]
    fn strangers_that_fetch_push_out_each_other() {
        let (mut gate, promoted) = (Gate::default(), ids("a"));
        let healthy = Mac([2, 0, 0, 0, 0, 2]);
        gate.begin(&promoted, healthy);
        gate.healthy(healthy, 1);
        gate.begin(&promoted, MAC);
        gate.fetched(MAC, 1);
        for idx in 0..PCS_MAX as u32 + 10 {
            let [a, b, c, d] = idx.to_be_bytes();
            let stranger = Mac([6, 6, a, b, c, d]);
            let attempt = gate.begin(&promoted, stranger).expect("a release").attempt;
            assert!(gate.fetched(stranger, attempt));
        }
        assert_eq!(gate.pcs.len(), PCS_MAX);
        assert!(gate.pcs.contains_key(&MAC) && gate.pcs.contains_key(&healthy));
    }

    #[test]
    fn a_forgotten_pc_gets_no_number_twice() {
        let (mut gate, promoted) = (Gate::default(), ids("a"));
        gate.begin(&promoted, MAC);
        gate.begin(&promoted, MAC);
        for idx in 0..PCS_MAX as u32 {
            let [a, b, c, d] = idx.to_be_bytes();
            gate.begin_pinned(Mac([6, 6, a, b, c, d]), "a");
        }
        assert!(!gate.pcs.contains_key(&MAC) && gate.pcs.len() == PCS_MAX);
        assert_eq!(gate.begin(&promoted, MAC).map(|decision| decision.attempt), Some(3));
    }

    #[test]
    fn state_read_from_outside_is_cut_to_the_limits() {
        let mut gate = Gate::default();
        let pc = Pc {
            seen: 9,
            tries: vec![Try::default(); 100],
            open: vec![Attempt::default(); 100],
            ..Pc::default()
        };
        gate.pcs.insert(MAC, pc);
        gate.bound();
        assert_eq!(
            (gate.turn, gate.pcs[&MAC].tries.len(), gate.pcs[&MAC].open.len()),
            (9, TRIES_MAX, OPEN_MAX)
        );
    }
}
