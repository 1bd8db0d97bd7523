//! The machine that fetches one file: told what others have and what came, it says whom to ask for which chunk.
//!
//! The boot server is to send each chunk about once, however many nodes begin at the same time. So each chunk that nobody
//! has yet is fetched from the server by one node only, which all of them know without a word: of those that want the
//! chunk, the one whose hash with it is the greatest. The others wait until they hear that it has the chunk.
//! A node that gets on with nothing for [`STALE`] is passed over, so none can hold the others up for long.
//! Of what others have, the rarest comes first. Bytes are checked by the hands; who sends wrong ones is never asked again.

mod sides;
#[cfg(test)]
mod tests;

use crate::bits::Bits;
use sides::{Side, mix};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Chunks that are on their way at a time.
pub const FLIGHTS_MAX: usize = 8;
/// The same from one peer, and from the boot server.
pub const PEER_FLIGHTS_MAX: usize = 2;
pub const SERVER_FLIGHTS_MAX: usize = 2;
/// From the beginning until the boot server is asked: what peers tell comes first.
pub const SETTLE: Duration = Duration::from_millis(700);
/// A chunk that has not come by then is asked for anew: at 10 Mbit/s eight of them take 27 s.
pub const FLIGHT_TIME_MAX: Duration = Duration::from_secs(40);
/// When nothing else is left, what is on its way so long is asked of a second source.
pub const SLOW_AFTER: Duration = Duration::from_secs(8);
/// A peer that has sent all it may at a time is asked again after this.
pub const BUSY_PAUSE: Duration = Duration::from_millis(150);
/// After failures, from the first to the longest.
const FAILED_PAUSE: Duration = Duration::from_millis(250);
const FAILED_PAUSE_MAX: Duration = Duration::from_secs(30);
/// A peer that failed so often in a row counts for nobody who has the chunk.
const FAILED_MAX: u32 = 3;
/// A peer that got no chunk for so long is not waited for.
pub const STALE: Duration = Duration::from_secs(30);
/// Peers that are listened to.
const PEERS_MAX: usize = 1024;

/// Whom a chunk is asked of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    Server,
    Peer(u64),
}

/// This node's own id; the peers know it by the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnId(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It sends as much as it may, and said so.
    Busy,
    /// No connection, no answer in time, or no chunk in it.
    Broken,
}

pub enum Input<'a> {
    /// A deadline has come.
    Tick,
    /// What a peer tells, in place of what it told before.
    Told {
        peer: u64,
        has: &'a Bits,
        wants: &'a Bits,
    },
    /// The peer is not there any more.
    Gone {
        peer: u64,
    },
    /// A chunk came and was checked; a good one is kept already.
    Came {
        from: Source,
        chunk: u32,
        is_good: bool,
    },
    Failed {
        from: Source,
        chunk: u32,
        how: Failure,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    Ask {
        from: Source,
        chunk: u32,
    },
    /// It sent a wrong chunk: a peer is not asked again, the server after a pause.
    Dropped {
        from: Source,
        chunk: u32,
    },
    /// All that is needed is here; said once.
    Done,
}

/// What one source has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    pub source: Source,
    pub n_chunks: u32,
    pub is_dropped: bool,
}

struct Flight {
    source: Source,
    since: Duration,
}

pub struct Fetch {
    own: OwnId,
    seed: u64,
    needed: Bits,
    have: Bits,
    sides: BTreeMap<Source, Side>,
    flights: BTreeMap<u32, Vec<Flight>>,
    wishes: VecDeque<Output>,
    settled: Duration,
    now: Duration,
    is_told_done: bool,
}

impl Fetch {
    /// `needed` of the file's chunks, of which `have` are here. `seed` decides where two ways are as good.
    pub fn new(now: Duration, own: OwnId, seed: u64, needed: Bits, have: Bits) -> Fetch {
        let server = Side::new(now, Bits::all(needed.n()));
        let mut fetch = Fetch {
            own,
            seed,
            needed,
            have,
            sides: BTreeMap::from([(Source::Server, server)]),
            flights: BTreeMap::new(),
            wishes: VecDeque::new(),
            settled: now + SETTLE,
            now,
            is_told_done: false,
        };
        fetch.step();
        fetch
    }

    pub fn handle(&mut self, now: Duration, input: Input<'_>) {
        self.now = self.now.max(now);
        match input {
            Input::Tick => {}
            Input::Told { peer, has, wants } => self.told(peer, has, wants),
            Input::Gone { peer } => self.gone(Source::Peer(peer)),
            Input::Came { from, chunk, is_good } => self.came(from, chunk, is_good),
            Input::Failed { from, chunk, how } => {
                // One that was given up in the meantime has been counted.
                if self.land(from, chunk) {
                    let (now, seed) = (self.now, self.seed ^ u64::from(chunk));
                    self.side(from, |side| side.failed(now, how, seed));
                }
            }
        }
        self.step();
    }

    pub fn poll(&mut self) -> Option<Output> {
        self.wishes.pop_front()
    }

    pub fn deadline(&self) -> Option<Duration> {
        if self.is_done() {
            return None;
        }
        let flights = self.flights.values().flatten();
        let flights = flights.flat_map(|flight| [flight.since + SLOW_AFTER, flight.since + FLIGHT_TIME_MAX]);
        let sides = self.sides.values().flat_map(|side| [side.until, side.grew + STALE]);
        flights.chain(sides).chain([self.settled]).filter(|time| *time > self.now).min()
    }

    pub fn is_done(&self) -> bool {
        self.needed.is_within(&self.have)
    }

    pub fn have(&self) -> &Bits {
        &self.have
    }

    /// What is still to come.
    pub fn missing(&self) -> Bits {
        self.needed.without(&self.have)
    }

    pub fn n_needed(&self) -> u32 {
        self.needed.count()
    }

    /// Who has sent something, or was dropped.
    pub fn shares(&self) -> impl Iterator<Item = Share> + '_ {
        let told = self.sides.iter().filter(|(_, side)| side.n_sent > 0 || side.has_lied);
        told.map(|(source, side)| Share { source: *source, n_chunks: side.n_sent, is_dropped: side.has_lied })
    }

    fn told(&mut self, peer: u64, has: &Bits, wants: &Bits) {
        let n = self.needed.n();
        let is_known = self.sides.contains_key(&Source::Peer(peer));
        if has.n() != n || wants.n() != n || peer == self.own.0 || (!is_known && self.sides.len() > PEERS_MAX)
        {
            return;
        }
        let now = self.now;
        let side = self.sides.entry(Source::Peer(peer)).or_insert_with(|| Side::new(now, Bits::none(n)));
        side.told(now, has, wants);
    }

    fn gone(&mut self, source: Source) {
        if let Some(side) = self.sides.get_mut(&source) {
            side.has = Bits::none(self.needed.n());
            side.wants = Bits::none(self.needed.n());
            side.n_flights = 0;
        }
        self.flights.retain(|_, flights| {
            flights.retain(|flight| flight.source != source);
            !flights.is_empty()
        });
    }

    fn came(&mut self, from: Source, chunk: u32, is_good: bool) {
        let was_asked = self.land(from, chunk);
        let now = self.now;
        if !is_good {
            if was_asked {
                self.side(from, |side| side.lied(now, from));
                self.wishes.push_back(Output::Dropped { from, chunk });
                if from != Source::Server {
                    self.gone(from);
                }
            }
            return;
        }
        self.have.set(chunk);
        self.side(from, |side| {
            side.n_failed = 0;
            side.n_sent += 1;
        });
        // Whoever else was asked for it is not waited for.
        for flight in self.flights.remove(&chunk).unwrap_or_default() {
            self.side(flight.source, |side| side.n_flights = side.n_flights.saturating_sub(1));
        }
    }

    /// Takes a chunk out of the air; says whether it was there.
    fn land(&mut self, from: Source, chunk: u32) -> bool {
        let Some(flights) = self.flights.get_mut(&chunk) else { return false };
        let before = flights.len();
        flights.retain(|flight| flight.source != from);
        let is_landed = flights.len() < before;
        if flights.is_empty() {
            self.flights.remove(&chunk);
        }
        if is_landed {
            self.side(from, |side| side.n_flights = side.n_flights.saturating_sub(1));
        }
        is_landed
    }

    fn side(&mut self, source: Source, change: impl FnOnce(&mut Side)) {
        if let Some(side) = self.sides.get_mut(&source) {
            change(side);
        }
    }

    fn step(&mut self) {
        self.expire();
        if self.is_done() {
            if !self.is_told_done {
                self.is_told_done = true;
                self.wishes.push_back(Output::Done);
            }
            return;
        }
        let free: Vec<u32> =
            self.missing().iter().filter(|chunk| !self.flights.contains_key(chunk)).collect();
        self.ask_server(&free);
        self.ask_peers(&free);
        self.ask_again();
    }

    fn expire(&mut self) {
        let late = |flight: &&Flight| flight.since + FLIGHT_TIME_MAX <= self.now;
        let flights =
            self.flights.iter().flat_map(|(chunk, flights)| flights.iter().map(move |f| (*chunk, f)));
        let late: Vec<(u32, Source)> = flights
            .filter(|(_, flight)| late(flight))
            .map(|(chunk, flight)| (chunk, flight.source))
            .collect();
        for (chunk, source) in late {
            self.land(source, chunk);
            let (now, seed) = (self.now, self.seed);
            self.side(source, |side| side.failed(now, Failure::Broken, seed));
        }
    }

    fn n_flights(&self) -> usize {
        self.flights.values().map(Vec::len).sum()
    }

    fn ask(&mut self, source: Source, chunk: u32) {
        let since = self.now;
        self.flights.entry(chunk).or_default().push(Flight { source, since });
        self.side(source, |side| side.n_flights += 1);
        self.wishes.push_back(Output::Ask { from: source, chunk });
    }

    /// What is this node's own to bring into the cluster, each node from another place on.
    fn ask_server(&mut self, free: &[u32]) {
        if self.now < self.settled || self.n_flights() >= FLIGHTS_MAX || !self.is_open(Source::Server) {
            return;
        }
        let is_mine = |chunk: &u32| self.n_holders(*chunk) == 0 && self.brings(*chunk);
        let mut mine: Vec<u32> = free.iter().copied().filter(is_mine).collect();
        mine.sort_by_key(|chunk| mix(self.seed, u64::from(*chunk)));
        for chunk in mine {
            if self.n_flights() >= FLIGHTS_MAX || !self.is_open(Source::Server) {
                return;
            }
            self.ask(Source::Server, chunk);
        }
    }

    /// Whether this node is the one that asks the server for a chunk.
    fn brings(&self, chunk: u32) -> bool {
        let rank = |id: u64| (mix(id, u64::from(chunk)), id);
        let own = rank(self.own.0);
        self.sides.iter().all(|(source, side)| match source {
            Source::Peer(id) => !side.is_bringing(self.now, chunk) || rank(*id) < own,
            Source::Server => true,
        })
    }

    /// Rarest first; of equals as the seed says.
    fn ask_peers(&mut self, free: &[u32]) {
        // Most of the time all are at work, and nothing is to be looked for.
        let open: Vec<&Bits> =
            self.peers().filter(|(source, _)| self.is_open(**source)).map(|(_, side)| &side.has).collect();
        if open.is_empty() || self.n_flights() >= FLIGHTS_MAX {
            return;
        }
        let mut held: Vec<(usize, u64, u32)> = free
            .iter()
            .filter(|chunk| open.iter().any(|has| has.has(**chunk)))
            .filter(|chunk| !self.flights.contains_key(chunk))
            .map(|chunk| (self.n_holders(*chunk), mix(self.seed, u64::from(*chunk)), *chunk))
            .filter(|(n, ..)| *n > 0)
            .collect();
        held.sort_unstable();
        for (.., chunk) in held {
            if self.n_flights() >= FLIGHTS_MAX {
                return;
            }
            if let Some(source) = self.open_holder(chunk, None) {
                self.ask(source, chunk);
            }
        }
    }

    /// At the end, a second source for what is slow: a peer, else the server.
    fn ask_again(&mut self) {
        if self.missing().iter().any(|chunk| !self.flights.contains_key(&chunk)) {
            return;
        }
        let is_slow = |flights: &[Flight]| matches!(flights, [one] if one.since + SLOW_AFTER <= self.now);
        let slow = self.flights.iter().filter(|(_, flights)| is_slow(flights));
        let slow: Vec<(u32, Source)> = slow.map(|(chunk, flights)| (*chunk, flights[0].source)).collect();
        for (chunk, asked) in slow {
            if self.n_flights() >= FLIGHTS_MAX {
                return;
            }
            let server = (asked != Source::Server && self.is_open(Source::Server)).then_some(Source::Server);
            if let Some(source) = self.open_holder(chunk, Some(asked)).or(server) {
                self.ask(source, chunk);
            }
        }
    }

    /// Peers that have a chunk and are not known to fail.
    fn n_holders(&self, chunk: u32) -> usize {
        self.peers().filter(|(_, side)| side.has.has(chunk) && side.n_failed < FAILED_MAX).count()
    }

    /// The peer with the least on its way.
    fn open_holder(&self, chunk: u32, but: Option<Source>) -> Option<Source> {
        let open = self.peers().filter(|(source, side)| side.has.has(chunk) && self.is_open(**source));
        let open = open.filter(|(source, _)| Some(**source) != but);
        let by = |source: &Source| match source {
            Source::Peer(id) => mix(self.seed ^ *id, u64::from(chunk)),
            Source::Server => 0,
        };
        open.min_by_key(|(source, side)| (side.n_flights, by(source))).map(|(source, _)| *source)
    }

    fn peers(&self) -> impl Iterator<Item = (&Source, &Side)> {
        self.sides.iter().filter(|(source, side)| **source != Source::Server && !side.has_lied)
    }

    fn is_open(&self, source: Source) -> bool {
        let most = if source == Source::Server { SERVER_FLIGHTS_MAX } else { PEER_FLIGHTS_MAX };
        let Some(side) = self.sides.get(&source) else { return false };
        side.is_open(self.now) && side.n_flights < most
    }
}
