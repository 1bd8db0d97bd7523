//! Three nodes in virtual time: power that fails, messages that are lost, and who rings.

use super::*;
use std::time::Duration;

/// Dice (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below
    }
}

struct Node {
    keep: Keep,
    timers: Timers,
    /// When it was switched on.
    since_s: u64,
    is_up: bool,
}

struct World {
    nodes: BTreeMap<u64, Node>,
    now_s: u64,
    /// Of a hundred messages, each way.
    loss: u64,
    dice: Dice,
    /// Who rang, for whom, which length.
    rings: Vec<(u64, u64, u64)>,
}

const GRACE_S: u64 = GRACE_MS / 1000;

fn node(since_s: u64) -> Node {
    Node { keep: Keep::default(), timers: Timers::default(), since_s, is_up: true }
}

impl World {
    fn new(ids: &[u64], loss: u64, seed: u64) -> World {
        let nodes = ids.iter().map(|id| (*id, node(0))).collect();
        let mut world = World { nodes, now_s: 0, loss, dice: Dice(seed), rings: vec![] };
        world.run(GRACE_S + 20);
        world
    }

    fn uptime(&self, id: u64) -> Duration {
        Duration::from_secs(self.now_s - self.nodes[&id].since_s)
    }

    fn now_ms(&self, id: u64) -> u64 {
        self.uptime(id).as_millis() as u64
    }

    fn set(&mut self, id: u64, length_s: u64) {
        let (now, length) = (self.uptime(id), Duration::from_secs(length_s));
        let node = self.nodes.get_mut(&id).unwrap();
        node.timers.set(now, Kind::Timer { length_s }, length).unwrap();
    }

    fn cut_power(&mut self, id: u64) {
        self.nodes.get_mut(&id).unwrap().is_up = false;
    }

    fn boot(&mut self, id: u64) {
        self.nodes.insert(id, node(self.now_s));
    }

    /// Whether a message and its answer arrive.
    fn arrives(&mut self) -> (bool, bool) {
        let there = self.dice.roll(100) >= self.loss;
        (there, there && self.dice.roll(100) >= self.loss)
    }

    fn run(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now_s += 1;
            for id in self.nodes.keys().copied().collect::<Vec<_>>() {
                if self.nodes[&id].is_up {
                    self.step(id);
                }
            }
        }
    }

    fn step(&mut self, id: u64) {
        let live = self.nodes.iter().filter(|(peer, node)| **peer != id && node.is_up);
        let live: BTreeSet<u64> = live.map(|(peer, _)| *peer).collect();
        let now = self.uptime(id);
        let node = self.nodes.get_mut(&id).unwrap();
        let due: Vec<Timer> = node.timers.all().iter().filter(|timer| timer.is_due(now)).cloned().collect();
        node.timers.hush(now);
        for timer in due.iter().filter(|timer| timer.of.is_none()) {
            self.rings.push((id, id, length(timer.kind)));
        }
        let node = self.nodes.get_mut(&id).unwrap();
        let todo = node.keep.step(now.as_millis() as u64, id, &live, &node.timers);
        for deed in todo {
            self.act(id, deed);
        }
    }

    fn act(&mut self, id: u64, deed: Do) {
        let (there, back) = self.arrives();
        let own = |world: &mut World, act: &mut dyn FnMut(&mut Keep)| {
            act(&mut world.nodes.get_mut(&id).unwrap().keep);
        };
        match deed {
            Do::Restore(mine) => {
                let now = self.uptime(id);
                self.nodes.get_mut(&id).unwrap().timers.restore(now, &mine);
            }
            Do::Ring { of, kind } => self.rings.push((id, of, length(kind))),
            Do::Ask(peer) if back => {
                let now_ms = self.now_ms(id);
                let mine = self.nodes[&peer].keep.mine(self.now_ms(peer), id);
                own(self, &mut |keep| keep.asked(now_ms, peer, mine.clone()));
            }
            Do::Tell(peer, record) if there => {
                record::Told::check(&record).unwrap();
                let now_ms = self.now_ms(peer);
                let keep = &mut self.nodes.get_mut(&peer).unwrap().keep;
                let known = keep.heard(now_ms, peer, id, &record).unwrap();
                if back {
                    own(self, &mut |keep| keep.told(peer, &record, known));
                }
            }
            Do::TellRung(peer, rung) if there => {
                self.nodes.get_mut(&peer).unwrap().keep.heard_rung(id, &rung);
                if back {
                    own(self, &mut |keep| keep.told_rung(peer, &rung));
                }
            }
            _ => {}
        }
    }

    fn left(&self, id: u64) -> Vec<u64> {
        let now = self.uptime(id);
        self.nodes[&id].timers.all().iter().map(|timer| timer.left(now).as_secs()).collect()
    }
}

fn length(kind: Kind) -> u64 {
    let Kind::Timer { length_s } = kind else { unreachable!("all are timers here") };
    length_s
}

#[test]
fn a_timer_comes_back_after_the_power_with_the_time_that_is_left() {
    let mut world = World::new(&[1, 2, 3], 0, 1);
    world.set(1, 600);
    world.run(5);
    world.cut_power(1);
    world.run(60);
    world.boot(1);
    world.run(10);
    // A second is the step of this world.
    let left = world.left(1);
    assert!(left.len() == 1 && (524..=526).contains(&left[0]), "{left:?}");
    world.run(600);
    assert_eq!(world.rings, [(1, 1, 600)]);
}

#[test]
fn what_was_due_while_the_power_was_away_is_rung_once() {
    let mut world = World::new(&[1, 2, 3], 0, 1);
    world.set(3, 60);
    world.run(5);
    world.cut_power(3);
    world.run(60 + GRACE_S);
    // By the lower keeper that lives, and not again by anybody.
    assert_eq!(world.rings, [(1, 3, 60)]);
    world.boot(3);
    world.run(60);
    assert_eq!(world.rings.len(), 1);
    // The other way around: it is back before anybody else rings.
    world.set(3, 60);
    world.run(5);
    world.cut_power(3);
    world.run(57);
    world.boot(3);
    world.run(4);
    assert!(world.nodes[&3].timers.all().iter().all(|timer| timer.is_late), "{:?}", world.nodes[&3].timers);
    world.run(60);
    assert_eq!(world.rings, [(1, 3, 60), (3, 3, 60)]);
}

#[test]
fn a_keeper_that_dies_is_replaced_and_one_that_was_replaced_forgets() {
    let mut world = World::new(&[1, 2, 3, 4], 0, 1);
    world.set(1, 300);
    world.run(3);
    world.cut_power(2);
    world.run(3);
    let keeps = |world: &World, id: u64| world.nodes[&id].keep.kept.contains_key(&1);
    assert!(keeps(&world, 3) && keeps(&world, 4));
    world.boot(2);
    world.run(3);
    assert!(keeps(&world, 2) && keeps(&world, 3) && !keeps(&world, 4));
    world.cut_power(1);
    world.cut_power(2);
    world.run(400);
    assert_eq!(world.rings, [(3, 1, 300)]);
}

#[test]
fn what_is_stopped_does_not_come_back() {
    let mut world = World::new(&[1, 2, 3], 0, 1);
    world.set(1, 300);
    world.run(3);
    let now = world.uptime(1);
    world.nodes.get_mut(&1).unwrap().timers.stop(now);
    world.run(3);
    world.cut_power(1);
    world.run(10);
    world.boot(1);
    world.run(400);
    assert_eq!(world.rings, []);
}

#[test]
fn what_is_set_before_the_peers_are_asked_comes_to_what_they_kept() {
    let mut world = World::new(&[1, 2, 3], 0, 1);
    world.set(1, 300);
    world.run(3);
    world.cut_power(1);
    world.run(3);
    world.boot(1);
    world.set(1, 60);
    world.run(10);
    assert_eq!(world.left(1).len(), 2);
    world.run(400);
    assert_eq!(world.rings, [(1, 1, 60), (1, 1, 300)]);
}

/// Any node's power fails at any time, one at a time, and three of ten messages are lost each way.
#[test]
fn each_timer_rings_once_whatever_is_lost() {
    for seed in 1..40 {
        let mut world = World::new(&[10, 20, 30, 40], 30, seed);
        let mut want = vec![];
        for round in 1..8 {
            let id = 10 * (1 + world.dice.roll(4));
            let length_s = 100 * round + world.dice.roll(100);
            world.set(id, length_s);
            want.push((id, length_s));
            // Until its peers surely know.
            world.run(30);
            let away = 10 * (1 + world.dice.roll(4));
            // Power that fails in the second of a ring has it rung again: once more is better than never.
            let mut n_quiet = 0;
            while n_quiet < 15 {
                let n_rings = world.rings.len();
                world.run(1);
                n_quiet = if world.rings.len() == n_rings { n_quiet + 1 } else { 0 };
            }
            world.cut_power(away);
            let seconds = 40 + world.dice.roll(400);
            world.run(seconds);
            world.boot(away);
            world.run(60);
        }
        world.run(1200);
        let mut rung: Vec<(u64, u64)> =
            world.rings.iter().map(|(_, of, length_s)| (*of, *length_s)).collect();
        rung.sort_unstable();
        want.sort_unstable();
        assert_eq!(rung, want, "seed {seed}");
    }
}

#[test]
fn what_is_kept_survives_a_crash_and_is_bounded() {
    let mut keep = Keep::default();
    let timers = vec![Left { id: 1, kind: Kind::Timer { length_s: 60 }, left_ms: 60_000 }];
    let record = Record { counter: 1, n_set: 1, keepers: vec![7, 9], timers };
    for from in 0..KEPT_MAX as u64 {
        assert_eq!(keep.heard(0, 7, 100 + from, &record), Some(1));
    }
    assert_eq!(keep.heard(0, 7, 99, &record), None);
    let again = Keep::read(&keep.text().unwrap());
    assert_eq!(again.kept, keep.kept);
    // One with nothing open makes room.
    keep.heard_rung(9, &Rung { of: 100, ids: vec![1] });
    assert_eq!(keep.heard(0, 7, 99, &record), Some(1));
    assert_eq!(keep.mine(0, 100), Mine::default());
}

#[test]
fn nobody_but_a_keeper_says_what_was_rung() {
    let mut keep = Keep::default();
    let timers = vec![Left { id: 1, kind: Kind::Timer { length_s: 60 }, left_ms: 60_000 }];
    keep.heard(0, 7, 1, &Record { counter: 1, n_set: 1, keepers: vec![7, 9], timers });
    keep.heard_rung(8, &Rung { of: 1, ids: vec![1] });
    assert_eq!(keep.mine(0, 1).rung, [0; 0]);
    keep.heard_rung(9, &Rung { of: 1, ids: vec![1, 2] });
    assert_eq!(keep.mine(0, 1).rung, [1]);
}
