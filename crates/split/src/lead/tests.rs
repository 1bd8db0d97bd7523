//! A cluster of these machines in virtual time: deaths, returns, splits, late facts; a failure names its seed.

use super::*;
use crate::place::tests::Dice;
use std::collections::BTreeMap;

const SECOND: Duration = Duration::from_secs(1);
/// Facts of others are up to so many seconds old.
const LATE_MAX: usize = 3;

struct Cast {
    lead: Lead,
    is_up: bool,
    up_since: Duration,
    /// Which half of a split it is in.
    half: u64,
    /// Its mark second by second, the newest last: what others may still see.
    told: Vec<Option<Mark>>,
    /// The highest generation that it ever followed.
    highest: u64,
}

struct World {
    now: Duration,
    cast: BTreeMap<u64, Cast>,
    facts: u64,
    /// Who published a generation.
    published: Vec<Mark>,
    seed: u64,
}

impl World {
    fn new(n: u64, seed: u64) -> World {
        let cast = |id: u64| {
            let lead = Lead::new(NodeId(id), 0);
            (id, Cast { lead, is_up: true, up_since: Duration::ZERO, half: 0, told: Vec::new(), highest: 0 })
        };
        World {
            now: Duration::ZERO,
            cast: (1..=n).map(cast).collect(),
            facts: 1,
            published: Vec::new(),
            seed,
        }
    }

    fn peers(&self, own: u64, dice: &mut Dice) -> Vec<Peer> {
        let half = self.cast[&own].half;
        let seen = self.cast.iter().filter(|(_, other)| other.is_up && other.half == half);
        let peer = |(id, other): (&u64, &Cast)| {
            let age = if *id == own { 0 } else { dice.below(LATE_MAX as u64) as usize };
            let mark = other.told.len().checked_sub(1 + age).and_then(|idx| other.told[idx]);
            Peer { id: NodeId(*id), alive: self.now - other.up_since, mark }
        };
        seen.map(peer).collect()
    }

    fn second(&mut self, dice: &mut Dice) {
        self.now += SECOND;
        let ids: Vec<u64> = self.cast.keys().copied().collect();
        for id in ids {
            // A busy node misses its turn now and then.
            if dice.below(10) == 0 || !self.cast[&id].is_up {
                continue;
            }
            let (peers, facts, now) = (self.peers(id, dice), self.facts, self.now);
            self.cast.get_mut(&id).unwrap().lead.handle(now, Input::Look { peers: &peers, facts });
            while let Some(wish) = self.cast.get_mut(&id).unwrap().lead.poll() {
                self.fulfil(id, wish);
            }
        }
        for cast in self.cast.values_mut().filter(|cast| cast.is_up) {
            cast.told.push(cast.lead.mark());
        }
    }

    fn fulfil(&mut self, id: u64, wish: Output) {
        match wish {
            Output::Plan { facts } => {
                let is_new = facts % 2 == 0;
                let cast = self.cast.get_mut(&id).unwrap();
                cast.lead.handle(self.now, Input::Planned { facts, is_new });
            }
            Output::Fetch { from } => {
                let (asker, other) = (&self.cast[&id], &self.cast[&from.0]);
                let letter = other.lead.mark().filter(|mark| mark.coordinator == from);
                if let (true, true, Some(mark)) = (other.is_up, other.half == asker.half, letter) {
                    self.cast.get_mut(&id).unwrap().lead.handle(self.now, Input::Came { mark });
                }
            }
            Output::Publish { mark } => {
                assert!(!self.published.contains(&mark), "seed {}: {mark:?} was published twice", self.seed);
                self.published.push(mark);
                self.holds(id, mark);
            }
            Output::Follow { mark } => self.holds(id, mark),
        }
    }

    fn holds(&mut self, id: u64, mark: Mark) {
        let cast = self.cast.get_mut(&id).unwrap();
        let seed = self.seed;
        assert!(
            mark.generation > cast.highest,
            "seed {seed}: node {id} went back from {} to {mark:?}",
            cast.highest
        );
        cast.highest = mark.generation;
    }

    fn seconds(&mut self, n: u64, dice: &mut Dice) {
        (0..n).for_each(|_| self.second(dice));
    }

    fn set_up(&mut self, id: u64, is_up: bool) {
        let now = self.now;
        let cast = self.cast.get_mut(&id).unwrap();
        // A program that begins anew knows from its file which generation it followed.
        cast.lead = Lead::new(NodeId(id), cast.highest);
        (cast.is_up, cast.up_since, cast.told) = (is_up, now, Vec::new());
    }

    /// Everyone who is up follows the lowest of them.
    fn agreed(&self) -> Mark {
        let up: Vec<(&u64, &Cast)> = self.cast.iter().filter(|(_, cast)| cast.is_up).collect();
        let lowest = NodeId(*up[0].0);
        let marks: Vec<Option<Mark>> = up.iter().map(|(_, cast)| cast.lead.mark()).collect();
        let first = marks[0].expect("somebody plans");
        assert_eq!(first.coordinator, lowest, "seed {}", self.seed);
        assert!(marks.iter().all(|mark| *mark == Some(first)), "seed {}: {marks:?}", self.seed);
        first
    }
}

#[test]
fn when_the_coordinator_dies_another_takes_over_with_a_higher_generation() {
    for seed in 1..=50 {
        let mut dice = Dice::new(seed);
        let mut world = World::new(5, seed);
        world.seconds(30, &mut dice);
        let before = world.agreed();
        world.set_up(1, false);
        world.seconds(30, &mut dice);
        let after = world.agreed();
        assert!(after.generation > before.generation, "seed {seed}: {before:?} {after:?}");
        world.set_up(1, true);
        world.seconds(40, &mut dice);
        assert!(world.agreed().generation > after.generation, "seed {seed}");
    }
}

#[test]
fn two_halves_that_planned_apart_agree_again() {
    for seed in 1..=50 {
        let mut dice = Dice::new(seed);
        let mut world = World::new(6, seed);
        world.seconds(30, &mut dice);
        world.cast.values_mut().enumerate().for_each(|(idx, cast)| cast.half = idx as u64 % 2);
        world.facts = 2 + 2 * dice.below(9);
        world.seconds(30, &mut dice);
        world.cast.values_mut().for_each(|cast| cast.half = 0);
        world.seconds(30, &mut dice);
        world.agreed();
    }
}

#[test]
fn no_node_goes_back_whatever_happens_and_all_agree_in_the_end() {
    for seed in 1..=200 {
        let mut dice = Dice::new(seed);
        let n = 2 + dice.below(8);
        let mut world = World::new(n, seed);
        for _ in 0..30 {
            match dice.below(4) {
                0 => {
                    let id = 1 + dice.below(n);
                    world.set_up(id, !world.cast[&id].is_up);
                }
                1 => world.facts = dice.below(1000),
                2 => world.cast.values_mut().for_each(|cast| cast.half = dice.below(2)),
                _ => world.cast.values_mut().for_each(|cast| cast.half = 0),
            }
            let seconds = dice.below(15);
            world.seconds(seconds, &mut dice);
        }
        world.cast.values_mut().for_each(|cast| cast.half = 0);
        if world.cast.values().all(|cast| !cast.is_up) {
            world.set_up(1, true);
        }
        world.seconds(60, &mut dice);
        world.agreed();
    }
}

#[test]
fn facts_that_change_again_and_again_are_planned_for_but_not_at_once() {
    let mut lead = Lead::new(NodeId(1), 0);
    let peers = [Peer { id: NodeId(1), alive: STABLE, mark: None }];
    let mut plans = 0;
    for second in 0..60 {
        let now = SECOND * second;
        lead.handle(now, Input::Look { peers: &peers, facts: u64::from(second) });
        while let Some(wish) = lead.poll() {
            if let Output::Plan { facts } = wish {
                plans += 1;
                lead.handle(now, Input::Planned { facts, is_new: false });
            }
        }
    }
    assert!((15..=31).contains(&plans), "{plans} plans in a minute");
    assert_eq!(lead.mark().map(|mark| mark.generation), Some(1), "a plan that is no other is no news");
}

#[test]
fn while_a_new_plan_is_loaded_only_the_loss_of_a_node_changes_it() {
    let mut lead = Lead::new(NodeId(1), 0);
    let peer = |id: u64| Peer { id: NodeId(id), alive: STABLE, mark: None };
    let both = [peer(1), peer(2)];
    let mut look = |now: u64, peers: &[Peer], facts: u64| {
        let now = Duration::from_secs(now);
        lead.handle(now, Input::Look { peers, facts });
        let mut has_planned = false;
        while let Some(wish) = lead.poll() {
            if let Output::Plan { facts } = wish {
                lead.handle(now, Input::Planned { facts, is_new: true });
                has_planned = true;
            }
        }
        has_planned
    };
    assert!(look(10, &both, 1));
    assert!(!look(12, &both, 2) && !look(15, &[peer(1), peer(2), peer(3)], 2));
    // One of them dies: that cannot wait.
    assert!(!look(16, &both[..1], 3) && look(18, &both[..1], 3));
    // What is still other when all is loaded counts.
    assert!(!look(20, &both[..1], 4) && !look(27, &both[..1], 4));
    assert!(!look(28, &both[..1], 4) && look(30, &both[..1], 4));
}
