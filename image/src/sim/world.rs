//! A world of virtual time: nodes, a wire that loses, doubles and reorders, and what must never happen.
//!
//! The same seed tells the same story. The nodes are the real ones, with real seals and signatures.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::{Duration, Instant};

use admission::{Certificate, NodeSecret};
use cluster::{Config, DATAGRAM_BYTES_MAX, Event, Input, Node, Output, Version};

use super::cast::{Cast, UNIX_S, facts};

/// Ethernet, IP and UDP around each datagram.
pub const FRAME_BYTES: u64 = 14 + 20 + 8;
/// Longest time that a node which can be reached may be believed dead, once things have settled.
pub const WRONGLY_DEAD_S_MAX: u64 = 30;
/// Of larger worlds not every pair is looked at.
const PAIRS_NODES_MAX: usize = 128;

const MICROS: u64 = 1_000_000;

/// Dice (xorshift64*), for the wire.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % below.max(1)
    }

    pub fn chance(&mut self, share: f64) -> bool {
        share > 0.0 && (self.roll(1 << 40) as f64) < share * (1u64 << 40) as f64
    }
}

/// What the wire does to each datagram.
#[derive(Clone, Copy, Default)]
pub struct Weather {
    pub loss: f64,
    pub doubled: f64,
    /// This share comes up to 50 ms late.
    pub late: f64,
}

struct Slot {
    node: Option<Node>,
    /// Its processor is busy elsewhere until then; its socket fills meanwhile.
    stalled_until: u64,
    wake_at: Option<u64>,
    epoch: u32,
    mark: u32,
    removed: bool,
    /// The newest record that it had of each other.
    newest: BTreeMap<usize, Version>,
}

enum Happening {
    Wake(usize),
    Datagram { from: usize, to: usize, bytes: Vec<u8> },
}

#[derive(Default)]
pub struct Traffic {
    pub bytes: u64,
    pub datagrams: u64,
    pub largest: usize,
}

pub struct World {
    pub cast: Cast,
    pub weather: Weather,
    pub traffic: Traffic,
    /// Live, reachable nodes of which somebody said that they were down.
    pub false_downs: u64,
    pub events: Vec<(u64, usize, Event)>,
    /// Keep all events, not only count them.
    pub keeps_events: bool,
    /// Which way is cut: from, to.
    pub cut: Option<Box<dyn Fn(usize, usize) -> bool>>,
    /// Everything that was sent, for replays; the newest few.
    pub tape: Vec<(usize, usize, Vec<u8>)>,
    pub tapes: bool,
    slots: Vec<Slot>,
    addresses: BTreeMap<std::net::Ipv4Addr, usize>,
    by_node: BTreeMap<admission::NodeId, usize>,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    happenings: std::collections::HashMap<u64, Happening>,
    n: u64,
    origin: Instant,
    pub now: u64,
    dice: Dice,
    seed: u64,
    /// Since when all that is up and not cut off should see each other.
    settled_at: u64,
    wrongly_dead: BTreeMap<(usize, usize), u64>,
}

const TAPE_MAX: usize = 4096;

impl World {
    pub fn new(n: usize, seed: u64, weather: Weather) -> World {
        let cast = Cast::new(n, seed);
        let addresses = cast.actors.iter().enumerate().map(|(idx, actor)| (*actor.addr.ip(), idx)).collect();
        let by_node = cast.actors.iter().enumerate().map(|(idx, actor)| (actor.node, idx)).collect();
        let slot = || Slot {
            node: None,
            stalled_until: 0,
            wake_at: None,
            epoch: 0,
            mark: 0,
            removed: false,
            newest: BTreeMap::new(),
        };
        World {
            cast,
            weather,
            traffic: Traffic::default(),
            false_downs: 0,
            events: Vec::new(),
            keeps_events: false,
            cut: None,
            tape: Vec::new(),
            tapes: false,
            slots: (0..n).map(|_| slot()).collect(),
            addresses,
            by_node,
            queue: BinaryHeap::new(),
            happenings: std::collections::HashMap::new(),
            n: 0,
            origin: Instant::now(),
            now: 0,
            dice: Dice::new(seed ^ 0x5eed),
            seed,
            settled_at: 0,
            wrongly_dead: BTreeMap::new(),
        }
    }

    pub fn n_nodes(&self) -> usize {
        self.slots.len()
    }

    pub fn roll(&mut self, below: u64) -> u64 {
        self.dice.roll(below)
    }

    pub fn seconds(&self) -> f64 {
        self.now as f64 / MICROS as f64
    }

    pub fn instant(&self) -> Instant {
        self.origin + Duration::from_micros(self.now)
    }

    pub fn is_up(&self, idx: usize) -> bool {
        self.slots[idx].node.is_some()
    }

    pub fn up(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.slots.len()).filter(|idx| self.is_up(*idx))
    }

    pub fn node(&self, idx: usize) -> &Node {
        self.slots[idx].node.as_ref().expect("it is up")
    }

    /// Boots a PC: it calls home and joins. Its epoch is the server's time, unless `epoch` says otherwise.
    pub fn boot(&mut self, idx: usize, epoch: Option<u32>) {
        let admitted = self.cast.admit(idx);
        self.boot_with(idx, epoch, admitted);
    }

    /// Boots somebody who has the ring key, and a certificate that the authority never signed.
    pub fn boot_stranger(&mut self, idx: usize) {
        let admitted = self.cast.forge(idx);
        self.boot_with(idx, None, admitted);
    }

    fn boot_with(&mut self, idx: usize, epoch: Option<u32>, admitted: (Certificate, NodeSecret)) {
        let unix_s = UNIX_S + self.now / MICROS;
        let (certificate, key) = admitted;
        let epoch = epoch.unwrap_or(unix_s as u32).max(1);
        let config = Config {
            authority: self.cast.authority(),
            certificate,
            key,
            ring: self.cast.ring(),
            roster: self.cast.roster(),
            addr: self.cast.actors[idx].addr,
            epoch,
            unix_s,
            seeds: vec![self.cast.actors[0].addr, self.cast.actors[1 % self.slots.len()].addr],
            last_known: Vec::new(),
            seed: self.seed.wrapping_mul(7919).wrapping_add(idx as u64) ^ u64::from(epoch) << 20,
        };
        let mut chance = Dice::new(self.dice.roll(u64::MAX));
        let random = Box::new(move |bytes: &mut [u8]| {
            bytes.iter_mut().for_each(|byte| *byte = chance.roll(256) as u8);
        });
        let node = Node::new(self.instant(), config, self.cast.witness(), random);
        let slot = &mut self.slots[idx];
        (slot.node, slot.wake_at, slot.epoch, slot.stalled_until) = (Some(node), None, epoch, 0);
        slot.newest.clear();
        self.unsettle();
        self.say(idx);
    }

    pub fn epoch(&self, idx: usize) -> u32 {
        self.slots[idx].epoch
    }

    /// Lets a node say something new of itself; the mark that shows it.
    pub fn say(&mut self, idx: usize) -> u32 {
        self.slots[idx].mark += 1;
        let mark = self.slots[idx].mark;
        self.give(idx, Input::Publish(facts(idx, mark)));
        mark
    }

    /// Whether everybody who is up has everybody's newest saying.
    pub fn all_know(&self, idx: usize) -> bool {
        let (node, mark) = (self.cast.actors[idx].node, self.slots[idx].mark);
        let body = facts(idx, mark);
        self.up().all(|at| self.node(at).record(node).is_some_and(|record| record.body() == body))
    }

    pub fn kill(&mut self, idx: usize) {
        self.slots[idx].node = None;
        self.slots[idx].wake_at = None;
        self.unsettle();
    }

    pub fn stall(&mut self, idx: usize, seconds: u64) {
        self.slots[idx].stalled_until = self.now + seconds * MICROS;
        self.slots[idx].wake_at = None;
        let wake = self.slots[idx].stalled_until;
        self.wake(idx, wake);
        self.unsettle();
    }

    pub fn mark_removed(&mut self, idx: usize, is_removed: bool) {
        self.slots[idx].removed = is_removed;
        self.unsettle();
    }

    /// Cuts the wire between some, or heals it.
    pub fn cut(&mut self, cut: Option<Box<dyn Fn(usize, usize) -> bool>>) {
        self.cut = cut;
        self.unsettle();
    }

    /// From now on all have time again to find each other.
    pub fn unsettle(&mut self) {
        self.settled_at = self.now;
        self.wrongly_dead.clear();
    }

    pub fn give(&mut self, idx: usize, input: Input<'_>) {
        let now = self.instant();
        let Some(node) = self.slots[idx].node.as_mut() else { return };
        node.handle(now, input);
        self.drain(idx);
    }

    /// Lets a datagram appear at a node as if it came from an address.
    pub fn inject(&mut self, from: usize, to: usize, bytes: Vec<u8>) {
        let at = self.now + 100;
        self.push(at, Happening::Datagram { from, to, bytes });
    }

    fn push(&mut self, at: u64, happening: Happening) {
        self.n += 1;
        self.queue.push(Reverse((at, self.n)));
        self.happenings.insert(self.n, happening);
    }

    fn wake(&mut self, idx: usize, at: u64) {
        if self.slots[idx].wake_at.is_none_or(|before| at < before) {
            self.slots[idx].wake_at = Some(at);
            self.push(at, Happening::Wake(idx));
        }
    }

    fn drain(&mut self, idx: usize) {
        loop {
            let Some(node) = self.slots[idx].node.as_mut() else { return };
            let Some(output) = node.poll() else { break };
            match output {
                Output::Send { to, bytes } => {
                    if let Some(to) = self.addresses.get(to.ip()).copied() {
                        self.carry(idx, to, bytes);
                    }
                }
                Output::Broadcast { bytes } => {
                    for to in 0..self.slots.len() {
                        if to != idx && self.is_up(to) {
                            self.carry(idx, to, bytes.clone());
                        }
                    }
                }
                Output::Event(event) => self.note(idx, event),
            }
        }
        let node = self.slots[idx].node.as_ref().expect("it was there above");
        if let Some(deadline) = node.deadline() {
            let at = deadline.saturating_duration_since(self.origin).as_micros() as u64;
            // A deadline is met a little late, never early.
            let at = (at + 1).max(self.now + 1).max(self.slots[idx].stalled_until);
            self.wake(idx, at);
        }
    }

    fn carry(&mut self, from: usize, to: usize, bytes: Vec<u8>) {
        assert!(bytes.len() <= DATAGRAM_BYTES_MAX, "a datagram of {} bytes", bytes.len());
        self.traffic.bytes += bytes.len() as u64 + FRAME_BYTES;
        self.traffic.datagrams += 1;
        self.traffic.largest = self.traffic.largest.max(bytes.len());
        if self.tapes {
            if self.tape.len() == TAPE_MAX {
                self.tape.swap_remove(0);
            }
            self.tape.push((from, to, bytes.clone()));
        }
        if self.cut.as_ref().is_some_and(|cut| cut(from, to)) {
            return;
        }
        let copies = 1 + u64::from(self.dice.chance(self.weather.doubled));
        for _ in 0..copies {
            if self.dice.chance(self.weather.loss) {
                continue;
            }
            let late = if self.dice.chance(self.weather.late) { self.dice.roll(50_000) } else { 0 };
            let at = self.now + 100 + self.dice.roll(900) + late;
            self.push(at, Happening::Datagram { from, to, bytes: bytes.clone() });
        }
    }

    fn note(&mut self, idx: usize, event: Event) {
        match event {
            Event::Down(node) => {
                let of = self.by_node[&node];
                if self.can_talk(idx, of) && self.slots[of].stalled_until <= self.now {
                    self.false_downs += 1;
                }
            }
            Event::Joined(node) | Event::Back(node) => {
                let of = self.by_node[&node];
                assert!(
                    !self.slots[of].removed || !self.knows_removal(idx, of),
                    "removed node {of} came back at {idx} after {:.1} s (seed {})",
                    self.seconds(),
                    self.seed
                );
            }
            Event::Facts(node) => {
                let of = self.by_node[&node];
                let version = self.node(idx).record(node).map_or((0, 0), |record| record.newness());
                let before = self.slots[idx].newest.insert(of, version).unwrap_or_default();
                assert!(version > before, "facts of {of} went back at {idx} (seed {})", self.seed);
            }
            _ => {}
        }
        if self.keeps_events {
            self.events.push((self.now, idx, event));
        }
    }

    fn knows_removal(&self, idx: usize, of: usize) -> bool {
        self.node(idx).roster().removal(self.cast.actors[of].node).is_some()
    }

    /// Whether two can hear each other, both ways, now.
    pub fn can_talk(&self, a: usize, b: usize) -> bool {
        let is_cut = self.cut.as_ref().is_some_and(|cut| cut(a, b) || cut(b, a));
        self.is_up(a) && self.is_up(b) && !is_cut
    }

    /// Plays on for a while.
    pub fn run(&mut self, seconds: f64) {
        let end = self.now + (seconds * MICROS as f64) as u64;
        self.run_until(end, |_| false);
    }

    /// Plays until something is true, at most so long; how long it took, in seconds.
    pub fn until(&mut self, seconds_max: f64, is_true: impl Fn(&World) -> bool) -> Option<f64> {
        let (start, end) = (self.now, self.now + (seconds_max * MICROS as f64) as u64);
        let found = self.run_until(end, is_true);
        found.then(|| (self.now - start) as f64 / MICROS as f64)
    }

    fn run_until(&mut self, end: u64, is_true: impl Fn(&World) -> bool) -> bool {
        let every = if self.slots.len() > PAIRS_NODES_MAX { MICROS / 4 } else { MICROS / 50 };
        let mut look_at = self.now;
        loop {
            if self.now >= look_at {
                look_at = self.now + every;
                if is_true(self) {
                    return true;
                }
                self.check();
            }
            let next = self.queue.peek().map_or(end, |Reverse((at, _))| *at).min(look_at);
            if next >= end {
                self.now = end;
                return is_true(self);
            }
            self.now = self.now.max(next);
            if let Some(Reverse((at, n))) = self.queue.peek().copied()
                && at <= self.now
            {
                self.queue.pop();
                let happening = self.happenings.remove(&n).expect("it was put there");
                self.happen(happening);
            }
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Wake(idx) => {
                if self.slots[idx].wake_at == Some(self.now) {
                    self.slots[idx].wake_at = None;
                    self.give(idx, Input::Time);
                }
            }
            Happening::Datagram { from, to, bytes } => {
                let until = self.slots[to].stalled_until;
                if until > self.now {
                    self.push(until + 1, Happening::Datagram { from, to, bytes });
                    return;
                }
                let from = self.cast.actors[from].addr;
                self.give(to, Input::Datagram { from, bytes: &bytes });
            }
        }
    }

    /// What must hold at every step.
    fn check(&mut self) {
        if self.slots.len() > PAIRS_NODES_MAX || self.now < self.settled_at {
            return;
        }
        for a in 0..self.slots.len() {
            for b in 0..self.slots.len() {
                if a == b || !self.can_talk(a, b) {
                    continue;
                }
                let sees = self.node(a).is_alive(self.cast.actors[b].node);
                let is_removed = self.slots[b].removed || self.slots[a].removed;
                if is_removed && self.knows_removal(a, b) {
                    assert!(!sees, "{a} sees the removed {b} (seed {})", self.seed);
                }
                if sees || is_removed {
                    self.wrongly_dead.remove(&(a, b));
                    continue;
                }
                let since = *self.wrongly_dead.entry((a, b)).or_insert(self.now);
                assert!(
                    self.now - since <= WRONGLY_DEAD_S_MAX * MICROS,
                    "{a} believes the living {b} dead since {:.1} s (seed {})",
                    (self.now - since) as f64 / MICROS as f64,
                    self.seed
                );
            }
        }
    }

    /// Whether all who are up, and belong here, see exactly each other and know each other's records.
    pub fn is_whole(&self) -> bool {
        self.is_whole_among(|_| true)
    }

    pub fn is_whole_among(&self, is_in: impl Fn(usize) -> bool) -> bool {
        let members = || self.up().filter(|idx| !self.slots[*idx].removed && is_in(*idx));
        let n = members().count();
        let Some(first) = members().next() else { return false };
        let picture = self.node(first).picture();
        members().all(|idx| {
            let node = self.node(idx);
            node.n_alive() == n && node.picture() == picture
        }) && members().all(|idx| self.node(idx).n_known() == n)
    }
}
