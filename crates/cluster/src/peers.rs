//! Everyone this node knows of, itself included, and the hash of its picture.
//!
//! foca decides who is alive; this table mirrors its word, and adds what foca does not keep: when somebody was last
//! heard, which datagrams were seen, and which record is held.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Instant;

use admission::NodeId;

use crate::facts::{Facts, FactsError};
use crate::hash;
use crate::identity::Identity;
use crate::record::{Record, Version};
use crate::wire::{Entry, Sight};

/// Most members, dead ones included: the 1024 nodes of the largest cluster, and room for comings and goings.
pub const MEMBERS_MAX: usize = 1024 + 128;

/// What was last told about a member by an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Nothing,
    Up,
    Down,
}

/// A believed record, and its body if it can be read.
pub(crate) struct Held {
    pub record: Record,
    pub facts: Result<Facts, FactsError>,
}

pub(crate) struct Peer {
    pub id: Identity,
    pub is_alive: bool,
    /// Since when it is alive or not.
    pub since: Instant,
    /// Since when it is known in this life.
    pub known: Instant,
    /// When a datagram of this life last came.
    pub heard: Option<Instant>,
    /// When it last answered something that this node sent: it has ears, too.
    pub answered: Option<Instant>,
    pub window: Window,
    pub sight: Sight,
    /// Number of the ring key that its last datagram was sealed with.
    pub sealed_with: u32,
    pub told: Told,
    pub held: Option<Held>,
    /// Services whose connection failed here, each until a newer record; see `Input::Suspect`.
    pub doubted: Vec<String>,
    /// When it was last told that it is outlived, and when it was last sent a ring key.
    pub outlived_at: Option<Instant>,
    pub ring_key_at: Option<Instant>,
    part: u64,
}

impl Peer {
    fn new(id: Identity, is_alive: bool, now: Instant) -> Peer {
        Peer {
            id,
            is_alive,
            since: now,
            known: now,
            heard: None,
            answered: None,
            window: Window::default(),
            sight: Sight::default(),
            sealed_with: 0,
            told: Told::Nothing,
            held: None,
            doubted: Vec::new(),
            outlived_at: None,
            ring_key_at: None,
            part: 0,
        }
    }

    pub fn newness(&self) -> Version {
        self.held.as_ref().map_or((0, 0), |held| held.record.newness())
    }

    /// Whether its own signed word is about this life at this address.
    pub fn is_certified(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.record.who == self.id)
    }

    pub fn entry(&self) -> Entry {
        Entry { id: self.id, record: self.newness() }
    }

    pub fn answered_since(&self, instant: Instant) -> bool {
        self.answered.is_some_and(|answered| answered > instant)
    }

    pub fn heard_since(&self, instant: Instant) -> bool {
        self.heard.is_some_and(|heard| heard > instant)
    }
}

/// The peers by id, with the sum of the live ones' parts of the picture.
#[derive(Default)]
pub(crate) struct Peers {
    all: BTreeMap<NodeId, Peer>,
    sum: u64,
    n_alive: usize,
}

impl Peers {
    pub fn get(&self, node: NodeId) -> Option<&Peer> {
        self.all.get(&node)
    }

    /// For changes that do not touch the picture; else [`Peers::change`].
    pub fn get_mut(&mut self, node: NodeId) -> Option<&mut Peer> {
        self.all.get_mut(&node)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.all.values()
    }

    pub fn living(&self) -> impl Iterator<Item = &Peer> {
        self.all.values().filter(|peer| peer.is_alive)
    }

    pub fn is_full(&self) -> bool {
        self.all.len() >= MEMBERS_MAX
    }

    /// Live ones, this node included.
    pub fn n_alive(&self) -> usize {
        self.n_alive
    }

    pub fn hash(&self) -> u32 {
        fold(self.sum)
    }

    pub fn insert(&mut self, id: Identity, is_alive: bool, now: Instant) {
        self.all.entry(id.node).or_insert_with(|| Peer::new(id, false, now));
        self.change(id.node, |peer| peer.is_alive = is_alive);
    }

    pub fn remove(&mut self, node: NodeId) {
        self.change(node, |peer| peer.is_alive = false);
        self.all.remove(&node);
    }

    /// Changes a peer and the picture with it.
    pub fn change(&mut self, node: NodeId, change: impl FnOnce(&mut Peer)) {
        let Some(peer) = self.all.get_mut(&node) else { return };
        let was_alive = peer.is_alive;
        change(peer);
        let part = if peer.is_alive { hash::part(peer.id.node.0, peer.id.epoch, peer.newness()) } else { 0 };
        self.sum = self.sum.wrapping_sub(peer.part).wrapping_add(part);
        peer.part = part;
        self.n_alive = self.n_alive + usize::from(peer.is_alive) - usize::from(was_alive);
    }

    pub fn range(&self, ids: RangeInclusive<u64>) -> impl Iterator<Item = &Peer> {
        let ids = NodeId(*ids.start())..=NodeId(*ids.end());
        self.all.range(ids).map(|(_, peer)| peer).filter(|peer| peer.is_alive)
    }

    pub fn hash_of(&self, ids: RangeInclusive<u64>) -> u32 {
        fold(self.range(ids).fold(0u64, |sum, peer| sum.wrapping_add(peer.part)))
    }

    /// The picture in ranges of about `size` live members, each with its last id and hash.
    pub fn ranges(&self, size: usize) -> Vec<(u64, u32)> {
        let mut ranges = Vec::new();
        let (mut sum, mut n) = (0u64, 0);
        for peer in self.living() {
            sum = sum.wrapping_add(peer.part);
            n += 1;
            if n == size {
                ranges.push((peer.id.node.0, fold(sum)));
                (sum, n) = (0, 0);
            }
        }
        // The last range reaches to the end of all ids, whether something lies in it or not.
        match ranges.last_mut() {
            Some(last) if n == 0 => last.0 = u64::MAX,
            _ => ranges.push((u64::MAX, fold(sum))),
        }
        ranges
    }
}

fn fold(sum: u64) -> u32 {
    (hash::mix(sum) >> 32) as u32
}

/// Which counters of a sender's life were seen: the last 64, as in IPsec (RFC 4303, section 3.4.3).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Window {
    epoch: u32,
    top: u32,
    seen: u64,
}

impl Window {
    /// Takes a counter once.
    pub fn take(&mut self, epoch: u32, counter: u32) -> bool {
        if epoch > self.epoch {
            *self = Window { epoch, top: counter, seen: 1 };
            return true;
        }
        if epoch < self.epoch {
            return false;
        }
        if counter > self.top {
            let by = counter - self.top;
            self.seen = if by < 64 { self.seen << by | 1 } else { 1 };
            self.top = counter;
            return true;
        }
        let back = self.top - counter;
        let is_new = back < 64 && self.seen >> back & 1 == 0;
        if is_new {
            self.seen |= 1 << back;
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_taken_once_and_in_any_order_within_the_window() {
        let mut window = Window::default();
        assert!(window.take(5, 10) && window.take(5, 12) && window.take(5, 11));
        assert!(!window.take(5, 10) && !window.take(5, 11) && !window.take(5, 12));
        assert!(window.take(5, 100) && window.take(5, 37) && !window.take(5, 36) && !window.take(5, 12));
        assert!(!window.take(4, 200), "an older life is over");
        assert!(window.take(6, 1) && !window.take(6, 1) && !window.take(5, 101));
    }

    #[test]
    fn the_hash_of_a_picture_follows_from_what_is_in_it_and_not_from_the_way_there() {
        let now = Instant::now();
        let addr = std::net::SocketAddrV4::new([10, 0, 0, 1].into(), 7947);
        let id = |node, epoch| Identity { node: NodeId(node), epoch, addr };
        let (mut a, mut b) = (Peers::default(), Peers::default());
        for node in 1..=100 {
            a.insert(id(node, 1), true, now);
            b.insert(id(101 - node, 1), true, now);
        }
        assert_eq!((a.hash(), a.ranges(8)), (b.hash(), b.ranges(8)));
        a.change(NodeId(7), |peer| peer.is_alive = false);
        assert_ne!(a.hash(), b.hash());
        let differ = a.ranges(8).iter().zip(b.ranges(8)).filter(|(x, y)| *x != y).count();
        assert!(differ > 0 && a.n_alive() == 99);
        b.remove(NodeId(7));
        assert_eq!((a.hash(), a.n_alive()), (b.hash(), b.n_alive()));
        let all: Vec<u64> = a.ranges(8).iter().map(|range| range.0).collect();
        assert_eq!(all.last(), Some(&u64::MAX));
        assert_eq!(a.hash_of(0..=u64::MAX), a.hash());
    }
}
