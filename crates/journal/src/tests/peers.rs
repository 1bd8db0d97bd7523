//! Nodes in virtual time: messages that are lost, power that fails, halves that are cut apart, and memories that are full.

use super::*;
use crate::book::Book;
use crate::peer::{Exchange, Given, Listing, difference, give};
use crate::reach::{Ended, Reach};
use crate::{Digests, load, save};
use std::collections::{BTreeMap, BTreeSet};

struct Node {
    store: Store<Disk>,
    reach: Reach,
    is_up: bool,
    half: u64,
}

struct World {
    nodes: BTreeMap<u64, Node>,
    now_ms: u64,
    /// Of a hundred messages, each way.
    loss: u64,
    dice: Dice,
}

fn node() -> Node {
    Node { store: open(Disk::default()).0, reach: Reach::default(), is_up: true, half: 0 }
}

impl World {
    fn new(n: u64, loss: u64, seed: u64) -> World {
        World { nodes: (1..=n).map(|id| (id, node())).collect(), now_ms: 0, loss, dice: Dice(seed) }
    }

    fn live(&self, of: u64) -> BTreeSet<u64> {
        let half = self.nodes[&of].half;
        let live = self.nodes.iter().filter(|(id, node)| **id != of && node.is_up && node.half == half);
        live.map(|(id, _)| *id).collect()
    }

    fn is_lost(&mut self) -> bool {
        self.dice.roll(100) < self.loss
    }

    /// One exchange there and back; whether the answer came.
    fn exchange(&mut self, from: u64, to: u64, exchange: &Exchange) -> bool {
        if self.is_lost() {
            return false;
        }
        let told = Exchange::read(&exchange.write()).unwrap();
        let there = self.nodes.get_mut(&to).unwrap();
        if there.store.learn(&told.give).is_err() {
            return false;
        }
        let given = Given::read(&give(there.store.book(), &told.want).write()).unwrap();
        if self.is_lost() {
            return false;
        }
        let _ = self.nodes.get_mut(&from).unwrap().store.learn(&given.0);
        true
    }

    fn compare(&mut self, from: u64, to: u64) -> Ended {
        if self.is_lost() || self.is_lost() {
            return Ended::Failed;
        }
        let sums = Digests::read(&self.nodes[&from].store.book().digests().write()).unwrap();
        let listing = Listing::of(self.nodes[&to].store.book(), &sums);
        let listing = Listing::read(&listing.write()).unwrap();
        if listing.0.is_empty() {
            return Ended::Same;
        }
        let own = self.nodes.get_mut(&from).unwrap();
        let (learn, exchange) = difference(own.store.book(), &listing);
        if own.store.learn(&learn).is_err() {
            return Ended::Failed;
        }
        if !exchange.is_empty() && !self.exchange(from, to, &exchange) {
            return Ended::Failed;
        }
        Ended::More
    }

    fn run(&mut self, ms: u64) {
        let end_ms = self.now_ms + ms;
        while self.now_ms < end_ms {
            self.now_ms += 1000;
            for id in self.nodes.keys().copied().collect::<Vec<_>>() {
                if !self.nodes[&id].is_up {
                    continue;
                }
                let (live, now_ms) = (self.live(id), self.now_ms);
                for peer in self.nodes.get_mut(&id).unwrap().reach.step(now_ms, &live) {
                    let how = self.compare(id, peer);
                    self.nodes.get_mut(&id).unwrap().reach.ended(now_ms, peer, how);
                }
            }
        }
    }

    /// Learns here and tells it at once; how many others have it.
    fn tell(&mut self, at: u64, entry: Entry) -> usize {
        self.nodes.get_mut(&at).unwrap().store.learn(std::slice::from_ref(&entry)).unwrap();
        let exchange = Exchange { want: vec![], give: vec![entry] };
        let peers = self.live(at);
        peers.into_iter().filter(|peer| self.exchange(at, *peer, &exchange)).count()
    }

    fn cut_power(&mut self, id: u64) {
        self.nodes.get_mut(&id).unwrap().is_up = false;
    }

    /// Without a disk.
    fn boot(&mut self, id: u64) {
        self.nodes.insert(id, node());
    }

    fn book(&self, id: u64) -> &Book {
        self.nodes[&id].store.book()
    }

    fn is_same(&self) -> bool {
        let mut up = self.nodes.values().filter(|node| node.is_up).map(|node| node.store.book().digests());
        let first = up.next().unwrap();
        up.all(|digests| digests == first)
    }
}

#[test]
fn a_node_without_a_disk_gets_its_memory_back_from_its_peers() {
    let mut world = World::new(3, 0, 1);
    world.run(2000);
    assert_eq!(world.tell(1, fact(1)), 2);
    for id in 1..=3 {
        world.cut_power(id);
        world.boot(id);
        world.run(3000);
        assert!(world.book(id).fact(&super::id(1)).is_some(), "node {id}");
    }
}

#[test]
fn what_two_peers_acknowledged_outlives_any_two_nodes_and_a_bad_wire() {
    for seed in 1..=200 {
        let mut world = World::new(5, 20, seed);
        world.run(2000);
        let (mut acked, mut forgotten) = (vec![], BTreeSet::new());
        for n in 0..30 {
            let at = 1 + world.dice.roll(5);
            if world.tell(at, fact(n)) >= 2 {
                acked.push(n);
            }
            if n % 5 == 4 && world.dice.roll(2) == 0 {
                let at = 1 + world.dice.roll(5);
                if world.tell(at, forget(n)) >= 2 {
                    forgotten.insert(n);
                }
            }
            // Two lose their power at once, and come back with nothing.
            let first = 1 + world.dice.roll(5);
            let second = 1 + world.dice.roll(5);
            [first, second].into_iter().for_each(|id| world.cut_power(id));
            world.run(world.dice.0 % 5 * 1000);
            [first, second].into_iter().for_each(|id| world.boot(id));
            world.run(60_000);
        }
        world.run(120_000);
        assert!(world.is_same(), "seed {seed}: not all know the same");
        assert!(acked.len() > 10, "seed {seed}: {acked:?}");
        for n in acked.iter().filter(|n| !forgotten.contains(n)) {
            let is_there = world.book(1).fact(&id(*n)).is_some() || world.book(1).is_forgotten(&id(*n));
            assert!(is_there, "seed {seed}: fact {n} was lost");
        }
        for n in &forgotten {
            let mut nodes = world.nodes.values_mut();
            assert!(nodes.all(|node| !node.store.storage().holds(&text(*n))), "seed {seed}: {n} came back");
        }
    }
}

#[test]
fn a_node_that_was_away_forgets_too() {
    let mut world = World::new(3, 0, 3);
    world.run(1000);
    world.tell(1, fact(1));
    world.cut_power(3);
    world.tell(2, forget(1));
    // It comes back with its disk.
    world.nodes.get_mut(&3).unwrap().is_up = true;
    assert!(world.nodes.get_mut(&3).unwrap().store.storage().holds(&text(1)));
    world.run(31_000);
    assert!(world.book(3).is_forgotten(&id(1)));
    assert!(!world.nodes.get_mut(&3).unwrap().store.storage().holds(&text(1)));
}

#[test]
fn halves_that_were_apart_know_all_when_they_meet() {
    let mut world = World::new(4, 10, 4);
    world.run(1000);
    world.tell(1, fact(0));
    world.run(40_000);
    for id in [3, 4] {
        world.nodes.get_mut(&id).unwrap().half = 1;
    }
    // Nodes of both halves write what the others never saw: no history has to be chosen.
    for n in 1..400 {
        world.tell(1 + n % 4, fact(n));
    }
    world.tell(4, forget(0));
    for id in [3, 4] {
        world.nodes.get_mut(&id).unwrap().half = 0;
    }
    world.run(120_000);
    assert!(world.is_same());
    assert_eq!(world.book(1).facts().len(), 399);
    assert!(world.book(2).is_forgotten(&id(0)));
}

#[test]
fn a_node_with_a_full_disk_is_not_counted_and_catches_up() {
    let mut world = World::new(3, 0, 5);
    world.run(1000);
    world.nodes.get_mut(&3).unwrap().store.storage().room = Some(10);
    assert_eq!(world.tell(1, fact(1)), 1);
    world.nodes.get_mut(&3).unwrap().store.storage().room = None;
    world.run(40_000);
    assert!(world.book(3).fact(&id(1)).is_some());
}

#[test]
fn what_rots_away_on_one_node_comes_back_from_the_others() {
    let mut world = World::new(3, 0, 6);
    world.run(1000);
    for n in 0..20 {
        assert_eq!(world.tell(1, fact(n)), 2);
    }
    let mut disk = std::mem::take(world.nodes.get_mut(&1).unwrap().store.storage());
    let name = disk.names()[0].clone();
    disk.file(&name)[100] ^= 4;
    let (store, troubles) = open(disk);
    assert!(!troubles.is_empty() && store.book().facts().len() == 19, "{troubles:?}");
    *world.nodes.get_mut(&1).unwrap() = Node { store, ..node() };
    world.run(2000);
    assert_eq!(world.book(1).facts().len(), 20);
    let disk = std::mem::take(world.nodes.get_mut(&1).unwrap().store.storage());
    assert_eq!(open(disk).0.book().facts().len(), 20);
}

#[test]
fn a_memory_that_is_saved_is_loaded_elsewhere_and_a_changed_file_is_not() {
    let mut store = open(Disk::default()).0;
    store.learn(&(0..50).map(fact).collect::<Vec<_>>()).unwrap();
    let saved = save(store.book().facts()).unwrap();
    let mut other = open(Disk::default()).0;
    other.learn(&[fact(3), forget(7)]).unwrap();
    let loaded = load(&saved).unwrap().0.into_iter().map(Entry::Fact).collect::<Vec<_>>();
    assert_eq!(other.learn(&loaded).unwrap().facts.len(), 48);
    assert_eq!(other.learn(&loaded).unwrap().facts.len(), 0);
    assert_eq!(other.book().fact(&id(9)).unwrap().text, text(9));
    assert!(other.book().is_forgotten(&id(7)) && other.book().fact(&id(7)).is_none());
    for at in 0..saved.len() {
        assert!(load(&saved[..at]).is_err() || at + 1 == saved.len(), "cut at {at}");
        let mut changed = saved.clone().into_bytes();
        changed[at] ^= 1;
        let changed = String::from_utf8(changed).unwrap();
        assert!(load(&changed).is_err() || at + 1 == saved.len(), "changed at {at}");
    }
}
