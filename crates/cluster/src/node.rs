//! The node: one event in, wishes out, and when to wake it.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use admission::{AuthorityPublic, Certificate, ClusterId, KeyRing, NodeId, NodeSecret, RingKey, Roster};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::chores::{Chore, Chores};
use crate::envelope;
use crate::identity::Identity;
use crate::peers::Peers;
use crate::records::Want;
use crate::repair::Compare;
use crate::swim;
use crate::view::{Counters, Senders};
use crate::wire::{self, Head, Matter, Sight};
use crate::witness::Witness;

/// Most seeds and last known peers that are remembered.
pub const SEEDS_MAX: usize = 64;
/// Most events that wait to be taken; the oldest give way.
const EVENTS_MAX: usize = 4096;
/// How far ahead of the server's time an epoch may be: each denial of a death moves it by one.
const EPOCH_AHEAD_S: u64 = 24 * 3600;
/// A node that wakes this much too late was stalled.
const STALL: Duration = Duration::from_millis(500);
/// At first, and then each time while there is no company.
pub(crate) const ALONE_EVERY: Duration = Duration::from_secs(1);
const BROADCAST_EVERY: Duration = Duration::from_secs(5);
/// With company a seed that is no member is asked this often: it may lead to the other half of a split.
const LOST_SEED_EVERY: Duration = Duration::from_secs(30);
pub(crate) const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Fills bytes with chance from the operating system. Nonces and once-used keys come from here and nowhere else.
pub type Random = Box<dyn FnMut(&mut [u8]) + Send>;

/// What the call home brought, and what a node is.
pub struct Config {
    pub authority: AuthorityPublic,
    pub certificate: Certificate,
    pub key: NodeSecret,
    pub ring: KeyRing,
    pub roster: Roster,
    pub addr: SocketAddrV4,
    /// Must rise with every boot: seconds since 1970 as the boot server says.
    pub epoch: u32,
    /// The boot server's time at the start, in seconds since 1970.
    pub unix_s: u64,
    pub seeds: Vec<SocketAddrV4>,
    /// Peers of an earlier run, the last resort.
    pub last_known: Vec<SocketAddrV4>,
    /// Of the dice that choose peers. Nothing secret comes from it.
    pub seed: u64,
}

pub enum Input<'a> {
    /// The deadline has come.
    Time,
    Datagram {
        from: SocketAddrV4,
        bytes: &'a [u8],
    },
    /// What this node says of itself from now on: the body that `Facts::encode` gave.
    Publish(Vec<u8>),
    /// A connection to this service failed: it counts as critical here, at once, until its node speaks anew.
    Suspect {
        node: NodeId,
        service: &'a str,
    },
    /// Further addresses to look for company at.
    Seeds(&'a [SocketAddrV4]),
    /// A page of the roster, as the boot server has it.
    Page(&'a [u8]),
    /// A new ring key, as the boot server has it.
    RingKey(RingKey),
    /// Says goodbye. Nothing comes out afterwards but what is needed for it.
    Leave,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    Send {
        to: SocketAddrV4,
        bytes: Vec<u8>,
    },
    /// To everybody on the wire, at the gossip's port.
    Broadcast {
        bytes: Vec<u8>,
    },
    Event(Event),
}

/// What the node's owner may want to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A certified member that was not known before.
    Joined(NodeId),
    /// It was down, and is back.
    Back(NodeId),
    Down(NodeId),
    /// It said goodbye.
    Left(NodeId),
    Removed(NodeId),
    /// Its record is new.
    Facts(NodeId),
    /// Its service is doubted here.
    Doubted(NodeId),
    /// Somebody held this node dead; it denied it with a new epoch.
    Denied {
        epoch: u32,
    },
    /// What came from there was no datagram of this cluster. Told at the 1st, 2nd, 4th, 8th, ...
    BadDatagram {
        from: SocketAddrV4,
        n: u64,
    },
    /// Datagrams come under a key that this node does not have: it should call home.
    KeyUnknown,
    RingSwitched {
        number: u32,
    },
    Roster,
}

pub struct Node {
    pub(crate) now: Instant,
    started: Instant,
    unix_s: u64,
    pub(crate) cluster: ClusterId,
    pub(crate) authority: AuthorityPublic,
    pub(crate) certificate: Certificate,
    pub(crate) key: NodeSecret,
    pub(crate) witness: Box<dyn Witness>,
    pub(crate) random: Random,
    pub(crate) dice: SmallRng,
    pub(crate) own: Identity,
    pub(crate) foca: swim::Swimmer,
    pub(crate) runtime: foca::AccumulatingRuntime<Identity>,
    pub(crate) peers: Peers,
    pub(crate) chores: Chores,
    pub(crate) seeds: Vec<SocketAddrV4>,
    pub(crate) last_known: Vec<SocketAddrV4>,
    pub(crate) ring: KeyRing,
    pub(crate) ring_since: Instant,
    pub(crate) next_since: Option<Instant>,
    pub(crate) roster: Roster,
    pub(crate) roster_told: Option<Instant>,
    /// When a removal was last heard of.
    pub(crate) removal_at: Option<Instant>,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) version: u32,
    pub(crate) published: Option<Instant>,
    pub(crate) is_publishing: bool,
    pub(crate) rumours: BTreeMap<NodeId, u8>,
    pub(crate) is_spreading: bool,
    pub(crate) is_pulling: bool,
    pub(crate) wants: BTreeMap<NodeId, Want>,
    pub(crate) compare: Compare,
    pub(crate) serve: Bucket,
    pub(crate) vouch: Bucket,
    pub(crate) heal_until: Option<Instant>,
    pub(crate) knock_at: Instant,
    pub(crate) heard: Instant,
    pub(crate) bumped: Option<Instant>,
    pub(crate) is_leaving: bool,
    pub(crate) is_alone: bool,
    counter: u32,
    broadcast: Option<Instant>,
    lost_seed: Instant,
    pub(crate) counters: Counters,
    pub(crate) senders: Senders,
    outputs: VecDeque<Output>,
    n_events: usize,
}

/// Tokens that come back with time: a bound on what others can make this node do.
pub(crate) struct Bucket {
    left: u64,
    most: u64,
    per_s: u64,
    at: Instant,
}

impl Bucket {
    pub fn new(now: Instant, most: u64, per_s: u64) -> Bucket {
        Bucket { left: most, most, per_s, at: now }
    }

    pub fn take(&mut self, now: Instant, n: u64) -> bool {
        let ms = now.saturating_duration_since(self.at).as_millis().min(60_000) as u64;
        let back = ms * self.per_s / 1000;
        if back > 0 {
            self.left = (self.left + back).min(self.most);
            self.at = now;
        }
        let is_enough = self.left >= n;
        if is_enough {
            self.left -= n;
        }
        is_enough
    }
}

/// Bytes of lists, records and pages that a node sends in a second because others ask, and at once.
const SERVE_BYTES_PER_S: u64 = 4 << 20;
const SERVE_BYTES_AT_ONCE: u64 = 1 << 20;
/// Records that nobody asked for whose signatures are looked at in a second.
const VOUCHES_PER_S: u64 = 256;

impl Node {
    pub fn new(now: Instant, config: Config, witness: Box<dyn Witness>, random: Random) -> Node {
        let own = Identity { node: config.certificate.node(), epoch: config.epoch, addr: config.addr };
        let mut dice = SmallRng::seed_from_u64(config.seed);
        let foca = swim::foca(own, 1, &mut dice);
        let mut random = random;
        let mut first = [0; 2];
        random(&mut first);
        let mut node = Node {
            now,
            started: now,
            unix_s: config.unix_s,
            cluster: config.certificate.cluster(),
            authority: config.authority,
            certificate: config.certificate,
            key: config.key,
            witness,
            random,
            dice,
            own,
            foca,
            runtime: foca::AccumulatingRuntime::new(),
            peers: Peers::default(),
            chores: Chores::default(),
            seeds: Vec::new(),
            last_known: config.last_known,
            ring: config.ring,
            ring_since: now,
            next_since: None,
            removal_at: None,
            roster: config.roster,
            roster_told: None,
            body: None,
            // Two boots in one second must not call different words by one number.
            version: u32::from(u16::from_be_bytes(first)),
            published: None,
            is_publishing: false,
            rumours: BTreeMap::new(),
            is_spreading: false,
            is_pulling: false,
            wants: BTreeMap::new(),
            compare: Compare::new(now),
            serve: Bucket::new(now, SERVE_BYTES_AT_ONCE, SERVE_BYTES_PER_S),
            vouch: Bucket::new(now, VOUCHES_PER_S, VOUCHES_PER_S),
            heal_until: None,
            knock_at: now,
            heard: now,
            bumped: None,
            is_leaving: false,
            is_alone: false,
            counter: 0,
            broadcast: None,
            lost_seed: now,
            counters: Counters::default(),
            senders: Senders::default(),
            outputs: VecDeque::new(),
            n_events: 0,
        };
        node.last_known.truncate(SEEDS_MAX);
        node.peers.insert(own, true, now);
        node.next_since = node.ring.next().map(|_| now);
        // Nothing tells when they were: they count as just now.
        node.removal_at = node.roster.removals().next().map(|_| now);
        node.add_seeds(&config.seeds);
        node.chores.add(now, Chore::Alone);
        let jitter = Duration::from_millis(node.dice.random_range(0..1000));
        node.chores.add(now + jitter, Chore::Sweep);
        node.chores.add(now + jitter, Chore::Knock);
        node
    }

    /// One event in. Take all outputs afterwards.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.now = now.max(self.now);
        self.mind_stall();
        match input {
            Input::Time => {}
            Input::Datagram { from, bytes } => self.on_datagram(from, bytes),
            Input::Publish(body) => self.publish(body),
            Input::Suspect { node, service } => self.doubt_service(node, service),
            Input::Seeds(seeds) => self.add_seeds(seeds),
            Input::Page(page) => self.on_page(page),
            Input::RingKey(key) => self.take_ring_key(key),
            Input::Leave => self.leave(),
        }
        self.flush();
        while let Some(chore) = self.chores.take_due(self.now) {
            self.run(chore);
            self.flush();
        }
    }

    /// One wish out, until none is left.
    pub fn poll(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if let Some(Output::Event(_)) = output {
            self.n_events -= 1;
        }
        output
    }

    /// When to call again with [`Input::Time`].
    pub fn deadline(&self) -> Option<Instant> {
        self.chores.next_at()
    }

    fn mind_stall(&mut self) {
        let Some(due) = self.chores.next_at() else { return };
        let late = self.now.saturating_duration_since(due);
        if late > STALL {
            self.counters.stalls += 1;
            self.chores.put_off(late);
        }
    }

    fn run(&mut self, chore: Chore) {
        match chore {
            Chore::Swim(timer) => self.run_swim(timer),
            Chore::Verdict { timer, since, after, put_off } => self.verdict(timer, since, after, put_off),
            Chore::Doubt { id, incarnation, left } => self.doubt(id, incarnation, left),
            Chore::Confirm { node, epoch, since, left } => self.confirm(node, epoch, since, left),
            Chore::Depart(id) => self.depart(id),
            Chore::Knock => self.knock(),
            Chore::Alone => self.look_for_company(),
            Chore::Rumours => self.spread_rumours(),
            Chore::Pull => self.pull(),
            Chore::Lists => self.send_lists(),
            Chore::Publish => self.publish_now(),
            Chore::Sweep => self.sweep(),
        }
    }

    fn sweep(&mut self) {
        self.chores.add(self.now + SWEEP_EVERY, Chore::Sweep);
        self.tune_swim();
        self.mind_ring();
        self.count_strangers();
    }

    /// Seconds since 1970 as the boot server's clock says.
    pub(crate) fn unix_s(&self) -> u64 {
        self.unix_s + self.now.saturating_duration_since(self.started).as_secs()
    }

    /// Whether an honest node can have come to this epoch.
    pub(crate) fn is_plausible(&self, epoch: u32) -> bool {
        u64::from(epoch) <= self.unix_s().max(u64::from(self.own.epoch)) + EPOCH_AHEAD_S
    }

    pub(crate) fn sight(&self) -> Sight {
        Sight {
            hash: self.peers.hash(),
            alive: self.peers.n_alive() as u16,
            roster: self.roster_hash(),
            ring: self.newest_ring(),
        }
    }

    pub(crate) fn send(&mut self, to: Identity, matter: &Matter) {
        if !self.is_barred(to.node) {
            self.send_to(to.addr, matter);
        }
    }

    pub(crate) fn send_to(&mut self, to: SocketAddrV4, matter: &Matter) {
        if to == self.own.addr || to.port() == 0 || to.ip().is_unspecified() {
            return;
        }
        let bytes = self.seal(matter, self.ring.current().clone());
        self.output_datagram(to, bytes);
    }

    pub(crate) fn output_datagram(&mut self, to: SocketAddrV4, bytes: Vec<u8>) {
        self.counters.sent += 1;
        self.counters.sent_bytes += bytes.len() as u64;
        self.outputs.push_back(Output::Send { to, bytes });
    }

    pub(crate) fn seal(&mut self, matter: &Matter, key: RingKey) -> Vec<u8> {
        self.counter += 1;
        let head = Head { from: self.own, counter: self.counter, sight: self.sight() };
        let mut nonce = [0; envelope::NONCE_BYTES];
        (self.random)(&mut nonce);
        envelope::seal(&key, self.cluster, nonce, &wire::encode(&head, matter))
    }

    pub(crate) fn tell(&mut self, event: Event) {
        if self.n_events == EVENTS_MAX {
            let oldest = self.outputs.iter().position(|output| matches!(output, Output::Event(_)));
            oldest.and_then(|idx| self.outputs.remove(idx));
            self.n_events -= 1;
        }
        self.n_events += 1;
        self.outputs.push_back(Output::Event(event));
    }

    fn add_seeds(&mut self, seeds: &[SocketAddrV4]) {
        for seed in seeds {
            if self.seeds.len() < SEEDS_MAX && *seed != self.own.addr && !self.seeds.contains(seed) {
                self.seeds.push(*seed);
            }
        }
        if self.peers.n_alive() == 1 && self.published.is_some() {
            self.ask_around();
        }
    }

    /// Before anybody is known: seeds, then last known peers, and the whole wire now and then.
    fn look_for_company(&mut self) {
        self.chores.add(self.now + ALONE_EVERY, Chore::Alone);
        if self.peers.n_alive() == 1 {
            self.ask_around();
            let is_due = self.broadcast.is_none_or(|at| self.now >= at + BROADCAST_EVERY);
            if is_due {
                self.broadcast = Some(self.now);
                let bytes = self.seal(&Matter::Hello { asks: true }, self.ring.current().clone());
                self.outputs.push_back(Output::Broadcast { bytes });
            }
        } else if self.now >= self.lost_seed + LOST_SEED_EVERY {
            self.lost_seed = self.now;
            let is_lost = |seed: &&SocketAddrV4| self.peers.living().all(|peer| peer.id.addr != **seed);
            let lost: Vec<SocketAddrV4> = self.seeds.iter().filter(is_lost).copied().collect();
            if !lost.is_empty() {
                let to = lost[self.dice.random_range(0..lost.len())];
                self.send_to(to, &Matter::Hello { asks: true });
            }
        }
    }

    fn ask_around(&mut self) {
        const ASKED_AT_ONCE: usize = 4;
        let mut places: Vec<SocketAddrV4> = self.seeds.clone();
        while places.len() > ASKED_AT_ONCE {
            places.swap_remove(self.dice.random_range(0..places.len()));
        }
        if !self.last_known.is_empty() {
            places.push(self.last_known[self.dice.random_range(0..self.last_known.len())]);
        }
        for to in places {
            self.send_to(to, &Matter::Hello { asks: true });
            self.offer_record(to);
        }
    }

    /// Live members other than this one, in dice order, at most `n`.
    pub(crate) fn some_living(&mut self, n: usize) -> Vec<Identity> {
        let own = self.own.node;
        let mut chosen: Vec<Identity> = Vec::with_capacity(n);
        let others = self.peers.living().map(|peer| peer.id).filter(|id| id.node != own);
        for (seen, id) in others.enumerate() {
            if chosen.len() < n {
                chosen.push(id);
            } else {
                let at = self.dice.random_range(0..=seen);
                if at < n {
                    chosen[at] = id;
                }
            }
        }
        chosen
    }
}
