//! Power cuts at any step, a full disk, and syncs that fail: what was acknowledged is there, what was forgotten is not.

use super::disk::Kept;
use super::*;
use std::collections::BTreeSet;

const SEEDS: u64 = 200;
const CUTS_PER_SEED: u64 = 12;

/// What was acknowledged, behind so many steps of the disk.
#[derive(Clone, Copy, Debug)]
enum Ack {
    Known(u64),
    Forgotten(u64),
}

/// Some minutes of a home on one disk.
struct Life {
    store: Store<Disk>,
    acks: Vec<(usize, Ack)>,
    /// Begun, so perhaps done.
    begun: Vec<(usize, Ack)>,
    known: Vec<u64>,
    n: u64,
}

impl Life {
    fn new(disk: Disk, first: u64) -> Life {
        Life { store: open(disk).0, acks: vec![], begun: vec![], known: vec![], n: first }
    }

    fn live(&mut self, n_deeds: u64, dice: &mut Dice) {
        for _ in 0..n_deeds {
            let deeds: Vec<Ack> = if dice.roll(4) == 0 && !self.known.is_empty() {
                let idx = dice.roll(self.known.len() as u64) as usize;
                vec![Ack::Forgotten(self.known.swap_remove(idx))]
            } else {
                // Several at once are one commit.
                let n = 1 + dice.roll(5);
                let from = self.n;
                self.n += n;
                (from..self.n).map(Ack::Known).collect()
            };
            let began = self.store.storage().n_ops();
            self.begun.extend(deeds.iter().map(|deed| (began, *deed)));
            let entries: Vec<Entry> = deeds
                .iter()
                .map(|deed| match deed {
                    Ack::Known(n) => fact(*n),
                    Ack::Forgotten(n) => forget(*n),
                })
                .collect();
            if self.store.learn(&entries).is_ok() {
                let done = self.store.storage().n_ops();
                self.acks.extend(deeds.iter().map(|deed| (done, *deed)));
                self.known.extend(deeds.iter().filter_map(|deed| match deed {
                    Ack::Known(n) => Some(*n),
                    Ack::Forgotten(_) => None,
                }));
            }
        }
    }

    /// Holds a disk of the time behind so many steps to what was acknowledged by then; says how much that was.
    fn hold(&self, n_ops: usize, mut disk: Disk, what: &str) -> (Disk, usize) {
        let (store, _) = open(disk.clone());
        let by_then = |list: &[(usize, Ack)]| -> Vec<Ack> {
            list.iter().filter(|(at, _)| *at <= n_ops).map(|(_, ack)| *ack).collect()
        };
        let acks = by_then(&self.acks);
        let begun_forgetting: BTreeSet<u64> = by_then(&self.begun)
            .into_iter()
            .filter_map(|ack| if let Ack::Forgotten(n) = ack { Some(n) } else { None })
            .collect();
        for ack in &acks {
            match ack {
                Ack::Known(n) if begun_forgetting.contains(n) => {}
                Ack::Known(n) => {
                    let found = store.book().fact(&id(*n)).map(|fact| fact.text.clone());
                    assert_eq!(found, Some(text(*n)), "{what}: fact {n} was lost");
                }
                Ack::Forgotten(n) => {
                    assert!(store.book().is_forgotten(&id(*n)), "{what}: {n} is not forgotten");
                    assert!(!disk.holds(&text(*n)), "{what}: {n} is still on the disk");
                }
            }
        }
        let mut store = store;
        disk = std::mem::take(store.storage());
        for n in begun_forgetting.iter().filter(|n| store.book().is_forgotten(&id(**n))) {
            assert!(!disk.holds(&text(*n)), "{what}: {n} is still there after a start");
        }
        // The second start finds nothing to mend, or the first has not mended.
        assert_eq!(open(disk.clone()).1, [], "{what}");
        (disk, acks.len())
    }
}

#[test]
fn no_power_cut_loses_what_was_acknowledged_nor_keeps_what_was_forgotten() {
    let (mut n_cuts, mut n_acks) = (0, 0);
    for seed in 1..=SEEDS {
        let mut dice = Dice(seed * 0x9e37_79b9);
        let mut life = Life::new(Disk::default(), 0);
        life.live(30, &mut dice);
        let disk = life.store.storage().clone();
        for cut in 0..CUTS_PER_SEED {
            let kept = [Kept::Nothing, Kept::Everything, Kept::Some, Kept::Some][cut as usize % 4];
            let n_ops = dice.roll(disk.n_ops() as u64 + 1) as usize;
            let what = format!("seed {seed}, cut {cut} behind step {n_ops}, {kept:?} kept");
            let (after, n) = life.hold(n_ops, disk.cut(n_ops, kept, &mut dice), &what);
            (n_cuts, n_acks) = (n_cuts + 1, n_acks + n);
            // And life goes on, until the next cut.
            let mut next = Life::new(after, 10_000);
            next.live(8, &mut dice);
            let disk = next.store.storage().clone();
            let n_ops = dice.roll(disk.n_ops() as u64 + 1) as usize;
            let what = format!("{what}, then behind step {n_ops}");
            next.hold(n_ops, disk.cut(n_ops, Kept::Some, &mut dice), &what);
        }
    }
    println!("{n_cuts} power cuts, {n_acks} acknowledgements held");
    assert!(n_acks > n_cuts * 10, "the cuts came too early to say anything");
}

#[test]
fn a_power_cut_behind_any_step_of_one_life_is_survived() {
    let mut dice = Dice(77);
    let mut life = Life::new(Disk::default(), 0);
    life.live(40, &mut dice);
    let disk = life.store.storage().clone();
    for n_ops in 0..=disk.n_ops() {
        for kept in [Kept::Nothing, Kept::Everything, Kept::Some] {
            let what = format!("seed 77, behind step {n_ops}, {kept:?} kept");
            life.hold(n_ops, disk.cut(n_ops, kept, &mut dice), &what);
        }
    }
}

#[test]
fn a_full_disk_refuses_and_loses_nothing_and_takes_again_when_there_is_room() {
    for seed in 1..=SEEDS {
        let mut dice = Dice(seed);
        let mut life = Life::new(Disk::default(), 0);
        life.live(10, &mut dice);
        life.store.storage().room = Some(dice.roll(400) as usize);
        life.live(10, &mut dice);
        let refused = life.store.learn(&[fact(5000)]).err().or_else(|| {
            life.store.storage().room = Some(0);
            life.store.learn(&[fact(5001)]).err()
        });
        assert!(refused.is_some_and(|error| error.to_string().contains("no space left")), "seed {seed}");
        let disk = life.store.storage().clone();
        let n_ops = disk.n_ops();
        for kept in [Kept::Nothing, Kept::Everything, Kept::Some] {
            life.hold(n_ops, disk.cut(n_ops, kept, &mut dice), &format!("seed {seed}, full, {kept:?} kept"));
        }
        life.store.storage().room = None;
        life.live(10, &mut dice);
        assert!(life.store.learn(&[fact(6000)]).is_ok(), "seed {seed}");
        let disk = life.store.storage().clone();
        let n_ops = disk.n_ops();
        life.hold(n_ops, disk.cut(n_ops, Kept::Nothing, &mut dice), &format!("seed {seed}, room again"));
    }
}

#[test]
fn a_sync_that_fails_acknowledges_nothing_and_trusts_no_page_of_its_file() {
    for seed in 1..=SEEDS {
        let mut dice = Dice(seed);
        let mut life = Life::new(Disk::default(), 0);
        life.live(6, &mut dice);
        life.store.storage().syncs_left = Some(dice.roll(4) as usize);
        life.live(12, &mut dice);
        let disk = life.store.storage().clone();
        let n_ops = disk.n_ops();
        for kept in [Kept::Nothing, Kept::Everything, Kept::Some] {
            life.hold(n_ops, disk.cut(n_ops, kept, &mut dice), &format!("seed {seed}, {kept:?} kept"));
        }
    }
}

#[test]
fn many_entries_of_one_commit_cost_one_sync() {
    let mut store = open(Disk::default()).0;
    store.learn(&[fact(0)]).unwrap();
    let before = store.storage().n_ops();
    store.storage().syncs_left = Some(1);
    store.learn(&(1..5).map(fact).collect::<Vec<_>>()).unwrap();
    assert!(store.storage().n_ops() > before);
    assert_eq!(store.storage().syncs_left, Some(0), "one sync, no more and no less");
}
