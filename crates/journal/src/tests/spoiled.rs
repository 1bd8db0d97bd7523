//! A disk that rots, and files of strangers: what can be read stays, what cannot is told and set aside.

use super::*;
use crate::record::Record;
use crate::segment::{HEAD_BYTES, Part, scan};
use std::collections::BTreeSet;

const N: u64 = 24;

fn full() -> Disk {
    let mut store = open(Disk::default()).0;
    for n in 0..N {
        store.learn(&[fact(n)]).unwrap();
    }
    store.storage().clone()
}

fn known(store: &Store<Disk>) -> BTreeSet<u64> {
    (0..N).filter(|n| store.book().fact(&id(*n)).is_some_and(|fact| fact.text == text(*n))).collect()
}

fn lost(troubles: &[Trouble]) -> u64 {
    troubles.iter().map(|trouble| if let Trouble::Lost { n, .. } = trouble { *n } else { 0 }).sum()
}

#[test]
fn a_spoiled_byte_costs_one_entry_at_most_and_is_told() {
    let disk = full();
    let names = disk.names();
    assert!(names.len() > 2, "the middle of a journal is to be spoiled");
    let last = names.last().unwrap();
    let mut n_lost = 0;
    for name in &names {
        for at in 0..disk.clone().file(name).len() {
            let mut disk = disk.clone();
            disk.file(name)[at] ^= 0x41;
            let what = format!("{name}, byte {at}");
            let (mut store, troubles) = open(disk);
            let n_known = known(&store).len() as u64;
            assert!(n_known + 1 >= N, "{what}: {troubles:?}");
            assert!(!troubles.is_empty(), "{what}: nothing was told");
            let is_torn = troubles.iter().any(|trouble| matches!(trouble, Trouble::Torn { .. }));
            assert!(!is_torn || name == last, "{what}: {troubles:?}");
            assert!(n_known == N || is_torn || lost(&troubles) == 1, "{what}: {troubles:?}");
            n_lost += N - n_known;
            // It is mended: another start finds nothing, and what is learned anew is kept.
            let disk = std::mem::take(store.storage());
            let (mut store, troubles) = open(disk);
            assert_eq!(troubles, [], "{what}");
            store.learn(&(0..N).map(fact).collect::<Vec<_>>()).unwrap();
            let disk = std::mem::take(store.storage());
            assert_eq!(known(&open(disk).0).len() as u64, N, "{what}");
        }
    }
    assert!(n_lost > 0, "no byte was worth anything");
}

#[test]
fn a_segment_that_is_gone_or_empty_is_told_and_the_others_stay() {
    let disk = full();
    let names = disk.names();
    for (idx, name) in names.iter().enumerate() {
        let in_it = {
            let mut disk = disk.clone();
            let bytes = disk.file(name).clone();
            scan(&bytes).parts.iter().filter(|part| matches!(part, Part::Record(_))).count() as u64
        };
        for is_gone in [true, false] {
            let mut disk = disk.clone();
            if is_gone {
                crate::Storage::remove(&mut disk, name).unwrap();
            } else {
                disk.file(name).fill(0);
            }
            let (mut store, troubles) = open(disk);
            assert_eq!(known(&store).len() as u64, N - in_it, "{name}: {troubles:?}");
            let is_last = idx + 1 == names.len();
            assert_eq!(lost(&troubles), if is_last { 0 } else { in_it }, "{name}: {troubles:?}");
            assert_eq!(troubles.is_empty(), is_last && is_gone, "{name}: {troubles:?}");
            let disk = std::mem::take(store.storage());
            assert_eq!(open(disk).1, [], "{name}");
        }
    }
}

#[test]
fn a_record_of_another_past_is_told_and_kept() {
    let mut disk = full();
    let name = disk.names()[1].clone();
    let bytes = disk.file(&name).clone();
    let mut changed = bytes[..HEAD_BYTES].to_vec();
    for (idx, part) in scan(&bytes).parts.into_iter().enumerate() {
        let Part::Record(record) = part else { unreachable!("nothing is spoiled") };
        let other = fact(900).write();
        let kind = if idx == 1 { crate::Kind::Entry(&other) } else { record.kind };
        Record { kind, ..record }.write(&mut changed);
    }
    *disk.file(&name) = changed;
    let (mut store, troubles) = open(disk);
    assert!(matches!(troubles[..], [Trouble::Chain { .. }]), "{troubles:?}");
    assert!(store.book().fact(&id(900)).is_some());
    let disk = std::mem::take(store.storage());
    assert_eq!(open(disk).1, []);
}

#[test]
fn what_cannot_be_read_is_set_aside_until_something_is_forgotten() {
    let mut disk = full();
    let name = disk.names()[0].clone();
    disk.file(&name)[HEAD_BYTES + 60] ^= 1;
    let (mut store, _) = open(disk);
    let is_aside =
        |store: &mut Store<Disk>| store.storage().names().iter().any(|name| name.ends_with(".bad"));
    assert!(is_aside(&mut store));
    store.learn(&[forget(5)]).unwrap();
    assert!(!is_aside(&mut store));
}

#[test]
fn erased_entries_leave_one_gap_and_a_whole_chain() {
    let mut store = open(full()).0;
    let bytes = store.journal().n_bytes();
    for n in 0..N {
        store.learn(&[forget(n)]).unwrap();
        assert!(!store.storage().holds(&text(n)), "{n}");
    }
    assert!(store.journal().n_bytes() < bytes, "{} bytes of {bytes}", store.journal().n_bytes());
    let head = store.journal().head();
    let (store, troubles) = open(std::mem::take(store.storage()));
    assert_eq!((store.journal().head(), troubles), (head, vec![]));
    assert_eq!((store.book().facts().len(), store.book().n_forgotten()), (0, N as usize));
}

#[test]
fn random_bytes_for_a_segment_hurt_nobody() {
    for seed in 1..=2000 {
        let mut dice = Dice(seed);
        let mut disk = full();
        let names = disk.names();
        let name = names[dice.roll(names.len() as u64) as usize].clone();
        let length = dice.roll(disk.file(&name).len() as u64) as usize;
        let at = dice.roll(disk.file(&name).len() as u64 - length as u64) as usize;
        for byte in &mut disk.file(&name)[at..at + length] {
            *byte = dice.roll(256) as u8;
        }
        let (mut store, _) = open(disk);
        let n = known(&store).len();
        let disk = std::mem::take(store.storage());
        let (store, troubles) = open(disk);
        assert_eq!((known(&store).len(), troubles), (n, vec![]), "seed {seed}");
    }
}
