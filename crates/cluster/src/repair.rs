//! Comparing pictures: how a node finds what no rumour told it, in both directions.
//!
//! Every datagram carries a hash of its sender's picture, so nodes that agree exchange nothing more. Where the hashes
//! differ for a while, hashes of ranges are compared, then the lists of those ranges that differ; what a list shows is
//! taken (members never heard of), answered (members that are dead here) or fetched (newer records).
//! The first comparison of a newcomer is the same with an empty picture: the lists then are the bulk of the cluster.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use foca::Member;

use crate::chores::Chore;
use crate::identity::Identity;
use crate::node::Node;
use crate::wire::{ENTRIES_MAX, Entry, HEAD_BYTES, Matter, RANGES_MAX, Sight};

/// Pictures that differ for a shorter time are being mended by rumours.
const SETTLE: Duration = Duration::from_millis(600);
/// While comparisons find something, and when they do not.
const COMPARE_EVERY: Duration = Duration::from_secs(1);
const COMPARE_EVERY_IDLE: Duration = Duration::from_secs(5);
const RANGE_MEMBERS_MIN: usize = 8;
/// So that the lists of a range fit one datagram on both sides, even if some members differ.
const RANGE_MEMBERS_MAX: usize = ENTRIES_MAX * 4 / 5;
const LISTS_EVERY: Duration = Duration::from_millis(20);
const LISTS_AT_ONCE: usize = 4;

/// How far the comparison with others is.
pub(crate) struct Compare {
    differs_since: Option<Instant>,
    next_at: Instant,
    every: Duration,
    /// Ranges that differ from this peer's, still to be listed.
    todo: VecDeque<(RangeInclusive<u64>, Identity)>,
}

impl Compare {
    pub fn new(now: Instant) -> Compare {
        Compare { differs_since: None, next_at: now, every: COMPARE_EVERY, todo: VecDeque::new() }
    }

    fn found_something(&mut self) {
        self.every = COMPARE_EVERY;
    }
}

impl Node {
    /// Whether a peer's picture is ours; if not, for a while, begins to find out where.
    pub(crate) fn compare_sights(&mut self, from: Identity, sight: Sight) {
        self.compare_rosters(from, sight);
        self.offer_ring_key(from, sight);
        if sight.hash == self.peers.hash() {
            self.compare.differs_since = None;
            self.compare.every = COMPARE_EVERY;
            return;
        }
        let since = *self.compare.differs_since.get_or_insert(self.now);
        if self.now < since + SETTLE || self.now < self.compare.next_at {
            return;
        }
        self.compare.next_at = self.now + self.compare.every;
        self.compare.every = (self.compare.every * 2).min(COMPARE_EVERY_IDLE);
        self.counters.compared += 1;
        self.send_ranges(from);
    }

    fn send_ranges(&mut self, to: Identity) {
        let even = self.peers.n_alive().div_ceil(RANGES_MAX - 8);
        let size = even.clamp(RANGE_MEMBERS_MIN, RANGE_MEMBERS_MAX);
        let mut ranges = self.peers.ranges(size);
        if ranges.len() > RANGES_MAX {
            ranges.truncate(RANGES_MAX);
        }
        self.send(to, &Matter::Ranges(ranges));
    }

    pub(crate) fn on_hello(&mut self, from: Identity, asks: bool) {
        if asks && self.serve.take(self.now, 400) {
            self.send_ranges(from);
        }
    }

    pub(crate) fn on_ranges(&mut self, from: Identity, ranges: &[(u64, u32)]) {
        let mut first = 0u64;
        let mut differing = VecDeque::new();
        for (last, hash) in ranges {
            if *last < first {
                self.counters.malformed += 1;
                return;
            }
            if self.peers.hash_of(first..=*last) != *hash {
                differing.push_back((first..=*last, from));
            }
            let Some(next) = last.checked_add(1) else { break };
            first = next;
        }
        let is_idle = self.compare.todo.is_empty();
        self.compare.todo = differing;
        if is_idle && !self.compare.todo.is_empty() {
            self.send_lists();
        }
    }

    /// Some of the lists that are due; the others a little later.
    pub(crate) fn send_lists(&mut self) {
        for _ in 0..LISTS_AT_ONCE {
            let Some((range, to)) = self.compare.todo.pop_front() else { return };
            let mine: Vec<Entry> = self.peers.range(range.clone()).map(|peer| peer.entry()).collect();
            self.send_list(to, range, true, &mine);
        }
        self.chores.add(self.now + LISTS_EVERY, Chore::Lists);
    }

    /// In as many datagrams as it takes, each a list of its own smaller range.
    fn send_list(&mut self, to: Identity, range: RangeInclusive<u64>, asks: bool, entries: &[Entry]) {
        let mut first = *range.start();
        let mut chunks = entries.chunks(ENTRIES_MAX).peekable();
        loop {
            let chunk = chunks.next().unwrap_or_default();
            let is_last = chunks.peek().is_none();
            let end = chunk.last().filter(|_| !is_last).map(|entry| entry.id.node.0);
            let last = end.unwrap_or(*range.end());
            let bytes = HEAD_BYTES + chunk.len() * crate::wire::ENTRY_BYTES;
            if self.serve.take(self.now, bytes as u64) {
                self.send(to, &Matter::List { first, last, asks, entries: chunk.to_vec() });
            }
            let Some(next) = last.checked_add(1).filter(|_| !is_last) else { return };
            first = next;
        }
    }

    pub(crate) fn on_list(
        &mut self,
        from: Identity,
        range: RangeInclusive<u64>,
        asks: bool,
        entries: &[Entry],
    ) {
        self.take_entries(from, entries);
        let dead = self.listed_dead(entries);
        if !dead.is_empty() {
            self.compare.found_something();
            self.send(from, &Matter::Downs(dead));
        }
        if asks {
            let lacks = |mine: &Entry| {
                let theirs = entries.binary_search_by_key(&mine.id.node, |entry| entry.id.node);
                let theirs = theirs.ok().map(|idx| &entries[idx]);
                theirs.is_none_or(|e| e.id.epoch < mine.id.epoch || e.record < mine.record)
            };
            let mine = self.peers.range(range.clone()).map(|peer| peer.entry());
            let lacking: Vec<Entry> = mine.filter(lacks).collect();
            if !lacking.is_empty() {
                self.compare.found_something();
                self.send_list(from, range, false, &lacking);
            }
        }
    }

    fn take_entries(&mut self, from: Identity, entries: &[Entry]) {
        for Entry { id, record } in entries {
            if !self.is_plausible(id.epoch) || !self.is_plausible(record.0) {
                self.counters.implausible += 1;
                continue;
            }
            if id.node == self.own.node {
                if id.epoch > self.own.epoch || (id.epoch == self.own.epoch && id.addr != self.own.addr) {
                    self.go_beyond(id.epoch);
                }
                self.outdo_record(*record);
                continue;
            }
            if self.is_barred(id.node) {
                // Perhaps it was taken back in: only a record with a newer certificate can say so.
                self.want(id.node, *record, from);
                continue;
            }
            let is_news = match self.peers.get(id.node) {
                None => !self.peers.is_full(),
                Some(peer) => (id.epoch, id.addr) > (peer.id.epoch, peer.id.addr),
            };
            if is_news {
                self.compare.found_something();
                self.counters.holes_mended += 1;
                self.apply([Member::alive(*id)], false);
            }
            self.want(id.node, *record, from);
        }
    }
}
