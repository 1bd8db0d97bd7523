//! A wire with a boot server and some nodes, each with the real machine of `crates/spread`, and no bytes: time is simulated.
//!
//! Each host has a cable that carries so many bytes a second each way, shared evenly by what goes through it; a transfer
//! goes as fast as the slower of its two ends lets it. Nodes look at each other at the real times and with the real limits.

use spread::{
    Bits, CHUNK_BYTES, FLIGHT_TIME_MAX, Failure, Fetch, Input, LOOK_EVERY, Output, OwnId, Source, UPLOADS_MAX,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// Before a transfer begins: a connection, a question, a look at the disk.
const BEGIN: Duration = Duration::from_millis(2);
/// Until gossip says that a node is dead.
const DEATH_SEEN: Duration = Duration::from_secs(4);
/// A world that has not ended by then never will.
const TIME_MAX: Duration = Duration::from_secs(3600);
const BITS_PER_BYTE: u64 = 8;
/// Of what a cable carries, what is left for the file: frames of 1500 bytes with the headers of Ethernet, IP, WireGuard and TCP.
const SHARE_PERCENT: u64 = 91;

/// What happens in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Course {
    pub n_nodes: usize,
    pub file_bytes: u64,
    /// Of each cable, each way.
    pub mbit_per_s: u64,
    pub seed: u64,
    /// This node says that it has all, and sends wrong chunks.
    pub liar: Option<usize>,
    /// This node loses its power at this time.
    pub dies: Option<(usize, Duration)>,
    /// The boot server goes as soon as it has sent each chunk once.
    pub server_leaves: bool,
    /// Of a hundred transfers so many break before they end.
    pub broken_percent: u64,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// When each node had all; nothing for who never had.
    pub done: Vec<Option<Duration>>,
    pub server_bytes: u64,
    /// Pairs of who was dropped, and by whom.
    pub dropped: Vec<(usize, usize)>,
    pub n_events: u64,
}

impl Outcome {
    /// When the last of those that are to have it had all.
    pub fn last(&self, but: Option<usize>) -> Option<Duration> {
        let wanted = self.done.iter().enumerate().filter(|(idx, _)| Some(*idx) != but);
        wanted.map(|(_, done)| *done).collect::<Option<Vec<_>>>()?.into_iter().max()
    }
}

struct Node {
    fetch: Fetch,
    look: Duration,
    is_alive: bool,
    done: Option<Duration>,
}

struct Flow {
    from: Source,
    to: usize,
    chunk: u32,
    begins: Duration,
    bytes_left: f64,
    /// It ends with nothing when this is left.
    breaks_at: f64,
}

struct World {
    course: Course,
    now: Duration,
    nodes: Vec<Node>,
    flows: Vec<Flow>,
    dice: u64,
    sent_once: Bits,
    is_server_there: bool,
    death_told: bool,
    outcome: Outcome,
}

/// Lets it happen until all who can have the file have it.
pub fn run(course: &Course) -> Outcome {
    let mut world = World::new(course);
    while world.turn() {}
    world.outcome.done = world.nodes.iter().map(|node| node.done).collect();
    world.outcome
}

impl World {
    fn new(course: &Course) -> World {
        let n_chunks = course.file_bytes.div_ceil(CHUNK_BYTES) as u32;
        let node = |idx: usize| Node {
            fetch: Fetch::new(
                Duration::ZERO,
                OwnId(idx as u64),
                course.seed.wrapping_add(idx as u64),
                Bits::all(n_chunks),
                Bits::none(n_chunks),
            ),
            // They come up one after the other.
            look: LOOK_EVERY * idx as u32 / course.n_nodes as u32,
            is_alive: true,
            done: None,
        };
        World {
            now: Duration::ZERO,
            nodes: (0..course.n_nodes).map(node).collect(),
            flows: Vec::new(),
            dice: course.seed | 1,
            sent_once: Bits::none(n_chunks),
            is_server_there: true,
            death_told: false,
            outcome: Outcome { done: vec![], server_bytes: 0, dropped: vec![], n_events: 0 },
            course: course.clone(),
        }
    }

    /// Goes to the next thing that happens; says whether there is one.
    fn turn(&mut self) -> bool {
        let open = |(idx, node): (usize, &Node)| {
            node.is_alive && node.done.is_none() && Some(idx) != self.course.liar
        };
        if !self.nodes.iter().enumerate().any(open) || self.now > TIME_MAX {
            return false;
        }
        let rates = self.rates();
        let next = self.next(&rates);
        let seconds = (next - self.now).as_secs_f64();
        for (flow, rate) in self.flows.iter_mut().zip(&rates) {
            flow.bytes_left -= rate * seconds;
        }
        self.now = next;
        self.outcome.n_events += 1;
        self.die();
        self.land();
        for idx in 0..self.nodes.len() {
            self.look(idx);
            self.wake(idx);
        }
        true
    }

    fn next(&self, rates: &[f64]) -> Duration {
        let flows = self.flows.iter().zip(rates).map(|(flow, rate)| match flow.begins > self.now {
            true => flow.begins,
            false if *rate > 0.0 => {
                let seconds = (flow.bytes_left - flow.breaks_at).max(0.0) / rate;
                self.now + Duration::from_secs_f64(seconds) + Duration::from_nanos(1)
            }
            false => TIME_MAX + LOOK_EVERY,
        });
        let active = || self.nodes.iter().filter(|node| node.is_alive && node.done.is_none());
        let looks = active().map(|node| node.look);
        let deadlines = active().filter_map(|node| node.fetch.deadline());
        let death = self.course.dies.iter().flat_map(|(_, at)| [*at, *at + DEATH_SEEN]);
        let times = flows.chain(looks).chain(deadlines).chain(death);
        times.filter(|time| *time > self.now).min().unwrap_or(TIME_MAX + LOOK_EVERY)
    }

    /// Bytes a second that each transfer gets now.
    fn rates(&self) -> Vec<f64> {
        let cable = self.course.mbit_per_s * 1_000_000 / BITS_PER_BYTE * SHARE_PERCENT / 100;
        let (mut up, mut down) = (BTreeMap::<Source, u64>::new(), vec![0u64; self.nodes.len()]);
        for flow in self.flows.iter().filter(|flow| flow.begins <= self.now) {
            *up.entry(flow.from).or_default() += 1;
            down[flow.to] += 1;
        }
        let rate = |flow: &Flow| {
            let runs = flow.begins <= self.now && self.is_there(flow.from) && self.nodes[flow.to].is_alive;
            let n = up.get(&flow.from).copied().unwrap_or(1).max(down[flow.to]).max(1);
            if runs { cable as f64 / n as f64 } else { 0.0 }
        };
        self.flows.iter().map(rate).collect()
    }

    fn is_there(&self, source: Source) -> bool {
        match source {
            Source::Server => self.is_server_there,
            Source::Peer(id) => self.nodes[id as usize].is_alive,
        }
    }

    fn die(&mut self) {
        let Some((idx, at)) = self.course.dies else { return };
        if self.now >= at && self.nodes[idx].is_alive {
            self.nodes[idx].is_alive = false;
            self.flows.retain(|flow| flow.to != idx);
        }
        if self.now >= at + DEATH_SEEN && !self.death_told {
            self.death_told = true;
            self.flows.retain(|flow| flow.from != Source::Peer(idx as u64));
            let now = self.now;
            self.nodes.iter_mut().for_each(|node| node.fetch.handle(now, Input::Gone { peer: idx as u64 }));
        }
    }

    /// What has arrived, or has broken.
    fn land(&mut self) {
        let now = self.now;
        let is_over = |flow: &Flow| flow.begins <= now && flow.bytes_left <= flow.breaks_at;
        let over: Vec<Flow> = self.flows.extract_if(.., |flow| is_over(flow)).collect();
        for Flow { from, to, chunk, breaks_at, .. } in over {
            let is_good = Source::Peer(self.course.liar.map_or(u64::MAX, |idx| idx as u64)) != from;
            let input = if breaks_at > 0.0 {
                Input::Failed { from, chunk, how: Failure::Broken }
            } else {
                Input::Came { from, chunk, is_good }
            };
            if from == Source::Server {
                self.outcome.server_bytes += CHUNK_BYTES - breaks_at as u64;
                if breaks_at == 0.0 {
                    self.sent_once.set(chunk);
                }
            }
            self.nodes[to].fetch.handle(now, input);
        }
        if self.course.server_leaves && self.sent_once.count() == self.sent_once.n() {
            self.is_server_there = false;
        }
    }

    /// A node asks all others what they have.
    fn look(&mut self, idx: usize) {
        if self.nodes[idx].look > self.now || !self.nodes[idx].is_alive || self.nodes[idx].done.is_some() {
            return;
        }
        self.nodes[idx].look = self.now + LOOK_EVERY;
        let now = self.now;
        for peer in (0..self.nodes.len()).filter(|peer| *peer != idx) {
            if !self.nodes[peer].is_alive {
                continue;
            }
            let (has, wants) = match self.course.liar == Some(peer) {
                true => (Bits::all(self.sent_once.n()), Bits::none(self.sent_once.n())),
                false => (self.nodes[peer].fetch.have().clone(), self.nodes[peer].fetch.missing()),
            };
            self.nodes[idx].fetch.handle(now, Input::Told { peer: peer as u64, has: &has, wants: &wants });
        }
    }

    fn wake(&mut self, idx: usize) {
        if !self.nodes[idx].is_alive || Some(idx) == self.course.liar {
            return;
        }
        if self.nodes[idx].fetch.deadline().is_some_and(|at| at <= self.now) {
            self.nodes[idx].fetch.handle(self.now, Input::Tick);
        }
        while let Some(output) = self.nodes[idx].fetch.poll() {
            match output {
                Output::Ask { from, chunk } => self.begin(from, idx, chunk),
                Output::Dropped { from: Source::Peer(peer), .. } => {
                    self.outcome.dropped.push((peer as usize, idx));
                }
                Output::Dropped { .. } => {}
                Output::Done => self.nodes[idx].done = Some(self.now),
            }
        }
    }

    fn begin(&mut self, from: Source, to: usize, chunk: u32) {
        let n_sent = self.flows.iter().filter(|flow| flow.from == from).count();
        if from != Source::Server && n_sent >= UPLOADS_MAX {
            self.nodes[to].fetch.handle(self.now, Input::Failed { from, chunk, how: Failure::Busy });
            return;
        }
        if from == Source::Server && !self.is_server_there {
            self.nodes[to].fetch.handle(self.now, Input::Failed { from, chunk, how: Failure::Broken });
            return;
        }
        let breaks = self.roll(100) < self.course.broken_percent;
        let breaks_at = if breaks { CHUNK_BYTES as f64 / 2.0 } else { 0.0 };
        let begins = self.now + BEGIN;
        self.flows.push(Flow { from, to, chunk, begins, bytes_left: CHUNK_BYTES as f64, breaks_at });
    }

    /// Xorshift64*: the same story every time.
    fn roll(&mut self, below: u64) -> u64 {
        self.dice ^= self.dice >> 12;
        self.dice ^= self.dice << 25;
        self.dice ^= self.dice >> 27;
        (self.dice.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below
    }
}

const _: () = assert!(FLIGHT_TIME_MAX.as_secs() < TIME_MAX.as_secs());
