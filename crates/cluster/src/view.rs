//! What can be seen from outside: members, facts, who sees whom, counters, bad senders.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use admission::NodeId;

use crate::facts::{Facts, FactsError};
use crate::identity::Identity;
use crate::node::Node;
use crate::peers::Told;
use crate::record::Record;
use crate::records::STRANGER_AFTER;
use crate::wire::Sight;

/// Most senders of bad datagrams that are told apart.
const SENDERS_MAX: usize = 256;

/// What a member counts for here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Alive, and its certified word is here.
    Member,
    /// Alive, and its record is on its way.
    Arriving,
    /// Alive, but nothing certified came of it: no member.
    Uncertified,
    Down,
    Left,
    Removed,
}

#[derive(Debug, Clone)]
pub struct MemberView<'a> {
    pub id: Identity,
    pub standing: Standing,
    /// How long it has been so.
    pub for_ms: u64,
    /// How long ago a datagram of it came here.
    pub heard_ms: Option<u64>,
    /// How it sees the cluster, as it last told this node; its own for this node.
    pub sight: Option<Sight>,
    pub record: Option<&'a Record>,
    pub facts: Option<&'a Facts>,
    /// Why there are no facts, where a record is.
    pub unread: Option<FactsError>,
    /// Services that failed for this node since the record was made.
    pub doubted: &'a [String],
}

#[derive(Debug)]
pub struct View<'a> {
    pub own: Identity,
    pub sight: Sight,
    pub ring: u32,
    pub members: Vec<MemberView<'a>>,
    pub counters: &'a Counters,
    pub senders: Vec<Sender>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    pub sent: u64,
    pub sent_bytes: u64,
    pub received: u64,
    pub received_bytes: u64,
    /// Datagrams that no key of the ring opened.
    pub unsealed: u64,
    pub unknown_key: u64,
    pub malformed: u64,
    pub replayed: u64,
    /// Epochs that no honest node can have.
    pub implausible: u64,
    /// From removed nodes.
    pub barred: u64,
    /// From new nodes that found the table full.
    pub crowded: u64,
    pub echoes: u64,
    pub records_refused: u64,
    pub bodies_refused: u64,
    pub facts_unread: u64,
    pub pages_refused: u64,
    pub ring_keys_refused: u64,
    /// Members alive without a certified record.
    pub strangers: u64,
    pub suspicions: u64,
    /// Suspected members that were heard in time.
    pub verdicts_spared: u64,
    pub verdicts_put_off: u64,
    /// New lives that this node took because others held it dead.
    pub denials: u64,
    pub compared: u64,
    pub holes_mended: u64,
    /// Requests beyond what this node gives in a second.
    pub unserved: u64,
    pub stalls: u64,
    pub chores_dropped: u64,
}

/// Bad datagrams from one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender {
    pub addr: Ipv4Addr,
    pub n: u64,
    pub last: Instant,
}

/// Bad senders; of too many the one that was silent longest is forgotten.
#[derive(Default)]
pub(crate) struct Senders(BTreeMap<Ipv4Addr, (u64, Instant)>);

impl Senders {
    pub fn count(&mut self, addr: Ipv4Addr, now: Instant) -> u64 {
        if self.0.len() >= SENDERS_MAX && !self.0.contains_key(&addr) {
            let oldest = self.0.iter().min_by_key(|(_, (_, last))| *last).map(|(addr, _)| *addr);
            oldest.and_then(|addr| self.0.remove(&addr));
        }
        let (n, last) = self.0.entry(addr).or_insert((0, now));
        *n += 1;
        *last = now;
        *n
    }
}

impl Node {
    pub fn identity(&self) -> Identity {
        self.own
    }

    /// Live members here, this node included.
    pub fn n_alive(&self) -> usize {
        self.peers.n_alive()
    }

    /// Hash of the picture: nodes that agree have the same.
    pub fn picture(&self) -> u32 {
        self.peers.hash()
    }

    /// Live members whose record is here, this node included.
    pub fn n_known(&self) -> usize {
        self.peers.living().filter(|peer| peer.held.is_some()).count()
    }

    pub fn is_alive(&self, node: NodeId) -> bool {
        self.peers.get(node).is_some_and(|peer| peer.is_alive)
    }

    /// The newest believed record of a node.
    pub fn record(&self, node: NodeId) -> Option<&Record> {
        self.peers.get(node)?.held.as_ref().map(|held| &held.record)
    }

    pub fn standing(&self, node: NodeId) -> Option<Standing> {
        let peer = self.peers.get(node)?;
        if self.is_barred(node) {
            return Some(Standing::Removed);
        }
        let is_leaving = peer.held.as_ref().is_some_and(|held| held.record.is_leaving);
        let is_late = self.now >= peer.known + STRANGER_AFTER;
        // One that was a member, and denied its death, signs its new life soon.
        let is_renewing = peer.told == Told::Up && !is_late;
        Some(match (peer.is_alive, peer.is_certified() || is_renewing) {
            (true, true) => Standing::Member,
            (true, false) if is_late => Standing::Uncertified,
            (true, false) => Standing::Arriving,
            (false, _) if is_leaving => Standing::Left,
            (false, _) => Standing::Down,
        })
    }

    pub fn ring_number(&self) -> u32 {
        self.ring.current().number()
    }

    /// Whether the ring key before the current one still opens datagrams.
    pub fn hears_previous(&self) -> bool {
        self.ring.previous().is_some()
    }

    pub fn roster(&self) -> &admission::Roster {
        &self.roster
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The addresses of live certified members, for the next start.
    pub fn known_addresses(&self) -> Vec<std::net::SocketAddrV4> {
        let others = self.peers.living().filter(|peer| peer.id.node != self.own.node && peer.is_certified());
        others.map(|peer| peer.id.addr).take(crate::node::SEEDS_MAX).collect()
    }

    pub fn view(&self) -> View<'_> {
        let ms = |span: Duration| span.as_millis() as u64;
        let own = self.own.node;
        let members = self.peers.iter().map(|peer| MemberView {
            id: peer.id,
            standing: self.standing(peer.id.node).expect("it is in the table"),
            for_ms: ms(self.now.saturating_duration_since(peer.since)),
            heard_ms: peer.heard.map(|at| ms(self.now.saturating_duration_since(at))),
            sight: if peer.id.node == own { Some(self.sight()) } else { peer.heard.map(|_| peer.sight) },
            record: peer.held.as_ref().map(|held| &held.record),
            facts: peer.held.as_ref().and_then(|held| held.facts.as_ref().ok()),
            unread: peer.held.as_ref().and_then(|held| held.facts.as_ref().err().copied()),
            doubted: &peer.doubted,
        });
        let senders =
            self.senders.0.iter().map(|(addr, (n, last))| Sender { addr: *addr, n: *n, last: *last });
        View {
            own: self.own,
            sight: self.sight(),
            ring: self.ring_number(),
            members: members.collect(),
            counters: &self.counters,
            senders: senders.collect(),
        }
    }
}
