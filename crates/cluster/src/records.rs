//! Records: publishing one's own, hearing of newer ones, fetching them, and believing them.
//!
//! A rumour is 16 bytes and spreads like an epidemic; the record itself is fetched once by everyone who lacks it.
//! Spreading whole records would send each of them as often as a rumour.

use std::time::{Duration, Instant};

use admission::NodeId;
use foca::{Member, State};

use rand::RngExt;

use crate::chores::Chore;
use crate::facts::{Facts, Health, SERVICES_MAX, TEXT_BYTES_MAX};
use crate::identity::Identity;
use crate::node::{Event, Node};
use crate::peers::{Held, MEMBERS_MAX};
use crate::record::{BODY_BYTES_MAX, Record, Version};
use crate::swim::transmissions;
use crate::wire::{MATTER_BYTES_MAX, Matter, PULLS_MAX, RUMOURS_MAX, Rumour};

/// A node signs a new record at most this often.
const PUBLISH_EVERY: Duration = Duration::from_millis(500);
const RENEW_SPAN_MS_PER_MEMBER: u64 = 4;
/// So long a goodbye spreads before the one who said it counts as gone.
const DEPART_AFTER: Duration = Duration::from_millis(700);
const SPREAD_EVERY: Duration = Duration::from_millis(200);
const SPREAD_PEERS: usize = 3;
const PULL_EVERY: Duration = Duration::from_millis(50);
/// How long an answer may take before another is asked.
const PULL_AGAIN: Duration = Duration::from_millis(400);
const PULL_PEERS: usize = 4;
const PULL_TRIES: u8 = 12;
const GOODBYE_PEERS: usize = 12;
/// Without a certified record for this long a member is a stranger.
pub(crate) const STRANGER_AFTER: Duration = Duration::from_secs(10);

/// A record that is known to be, and not here yet.
pub(crate) struct Want {
    version: Version,
    from: Identity,
    asked: Option<Instant>,
    tries: u8,
}

impl Node {
    /// What this node says of itself from now on.
    pub(crate) fn publish(&mut self, body: Vec<u8>) {
        if self.is_leaving || body.len() > BODY_BYTES_MAX {
            self.counters.bodies_refused += 1;
            return;
        }
        if self.body.as_ref() != Some(&body) {
            self.body = Some(body);
            self.publish_soon();
        }
    }

    pub(crate) fn publish_soon(&mut self) {
        if !self.is_publishing {
            self.is_publishing = true;
            let at = self.published.map_or(self.now, |at| (at + PUBLISH_EVERY).max(self.now));
            self.chores.add(at, Chore::Publish);
        }
    }

    /// After a denial the old record speaks of a life that is over. When a split heals, all have to sign anew: in
    /// turns, so that the wire is not full of records while members are still being found.
    pub(crate) fn publish_later(&mut self) {
        if !self.is_publishing && self.published.is_some() {
            self.is_publishing = true;
            let span = RENEW_SPAN_MS_PER_MEMBER * self.peers.n_alive().max(2) as u64;
            let at = self.now + Duration::from_millis(self.dice.random_range(0..span));
            self.chores.add(at, Chore::Publish);
        }
    }

    pub(crate) fn publish_now(&mut self) {
        self.is_publishing = false;
        let is_first = self.published.is_none();
        self.sign_own(false);
        self.rumour(self.own.node);
        if is_first && self.peers.n_alive() > 1 {
            for peer in self.some_living(1) {
                self.offer_record(peer.addr);
            }
        }
    }

    fn sign_own(&mut self, is_leaving: bool) {
        let Some(body) = &self.body else { return };
        self.published = Some(self.now);
        self.version += 1;
        let signer = (&self.certificate, &self.key);
        let record = Record::sign(self.own, self.version, self.newest_ring(), is_leaving, body, signer);
        let held = Held { facts: Facts::decode(record.body()), record };
        self.peers.change(self.own.node, |peer| peer.held = Some(held));
    }

    /// Others hold a record of this node that is newer than its own: its next one goes beyond.
    pub(crate) fn outdo_record(&mut self, theirs: Version) {
        let ours = self.peers.get(self.own.node).map_or((0, 0), |peer| peer.newness());
        if theirs <= ours || self.body.is_none() {
            return;
        }
        if theirs.0 > self.own.epoch {
            self.go_beyond(theirs.0);
        }
        if theirs.0 == self.own.epoch {
            self.version = self.version.max(theirs.1);
        }
        self.publish_soon();
    }

    /// Shows the own record unasked, to somebody who may not know this node.
    pub(crate) fn offer_record(&mut self, to: std::net::SocketAddrV4) {
        let own = self.peers.get(self.own.node).and_then(|peer| peer.held.as_ref());
        if let Some(held) = own {
            let record = held.record.bytes().to_vec();
            self.send_to(to, &Matter::Records(vec![record]));
        }
    }

    pub(crate) fn say_goodbye(&mut self) {
        self.sign_own(true);
        for peer in self.some_living(GOODBYE_PEERS) {
            self.offer_record(peer.addr);
        }
    }

    /// There is news of this node: tells it on.
    pub(crate) fn rumour(&mut self, node: NodeId) {
        self.rumours.insert(node, transmissions(self.peers.n_alive()));
        if !self.is_spreading {
            self.is_spreading = true;
            self.chores.add(self.now + SPREAD_EVERY / 10, Chore::Rumours);
        }
    }

    pub(crate) fn spread_rumours(&mut self) {
        for to in self.some_living(SPREAD_PEERS) {
            let rumours = self.take_rumours(RUMOURS_MAX);
            if rumours.is_empty() {
                break;
            }
            self.send(to, &Matter::Rumours(rumours));
        }
        self.is_spreading = !self.rumours.is_empty() && self.peers.n_alive() > 1;
        if self.is_spreading {
            self.chores.add(self.now + SPREAD_EVERY, Chore::Rumours);
        } else {
            self.rumours.clear();
        }
    }

    /// At most `room` rumours, those first that were told least.
    pub(crate) fn take_rumours(&mut self, room: usize) -> Vec<Rumour> {
        if room == 0 || self.rumours.is_empty() {
            return Vec::new();
        }
        let mut nodes: Vec<(u8, NodeId)> = self.rumours.iter().map(|(node, left)| (*left, *node)).collect();
        if nodes.len() > room {
            nodes.select_nth_unstable_by(room, |a, b| b.cmp(a));
            nodes.truncate(room);
        }
        let mut taken = Vec::with_capacity(nodes.len());
        for (left, node) in nodes {
            if left > 1 {
                self.rumours.insert(node, left - 1);
            } else {
                self.rumours.remove(&node);
            }
            if let Some(peer) = self.peers.get(node) {
                taken.push(Rumour { node, record: peer.newness() });
            }
        }
        taken
    }

    pub(crate) fn on_rumour(&mut self, from: Identity, rumour: Rumour) {
        if !self.is_plausible(rumour.record.0) {
            self.counters.implausible += 1;
        } else if rumour.node == self.own.node {
            self.outdo_record(rumour.record);
        } else {
            self.want(rumour.node, rumour.record, from);
        }
    }

    pub(crate) fn want(&mut self, node: NodeId, version: Version, from: Identity) {
        let held = self.peers.get(node).map_or((0, 0), |peer| peer.newness());
        let wanted = self.wants.get(&node).map_or((0, 0), |want| want.version);
        let has_room = self.wants.len() < MEMBERS_MAX;
        if version <= held || version <= wanted || !has_room {
            return;
        }
        self.wants.insert(node, Want { version, from, asked: None, tries: 0 });
        if !self.is_pulling {
            self.is_pulling = true;
            self.chores.add(self.now + PULL_EVERY / 5, Chore::Pull);
        }
    }

    /// Asks for what is wanted: few nodes at once, and others when the first do not answer.
    pub(crate) fn pull(&mut self) {
        let now = self.now;
        let others = self.some_living(PULL_PEERS);
        let mut asks: Vec<(Identity, Vec<NodeId>)> = Vec::new();
        let mut given_up = Vec::new();
        for (node, want) in &mut self.wants {
            if want.asked.is_some_and(|at| now < at + PULL_AGAIN) {
                continue;
            }
            if want.tries >= PULL_TRIES {
                given_up.push(*node);
                continue;
            }
            let to = match (want.tries, others.get(usize::from(want.tries) % PULL_PEERS)) {
                (0, _) | (_, None) => want.from,
                (_, Some(other)) => *other,
            };
            let idx = match asks.iter().position(|(asked, _)| *asked == to) {
                Some(idx) => idx,
                None if asks.len() < PULL_PEERS => {
                    asks.push((to, Vec::new()));
                    asks.len() - 1
                }
                None => continue,
            };
            if asks[idx].1.len() < PULLS_MAX {
                asks[idx].1.push(*node);
                want.asked = Some(now);
                want.tries += 1;
            }
        }
        for node in given_up {
            self.wants.remove(&node);
        }
        for (to, nodes) in asks {
            self.send(to, &Matter::Pull(nodes));
        }
        self.is_pulling = !self.wants.is_empty();
        if self.is_pulling {
            self.chores.add(now + PULL_EVERY, Chore::Pull);
        }
    }

    pub(crate) fn on_pull(&mut self, from: Identity, nodes: &[NodeId]) {
        let mut records: Vec<Vec<u8>> = Vec::new();
        let mut size = 0;
        for node in nodes {
            let Some(held) = self.peers.get(*node).and_then(|peer| peer.held.as_ref()) else { continue };
            let record = held.record.bytes();
            if !self.serve.take(self.now, record.len() as u64) {
                self.counters.unserved += 1;
                break;
            }
            if size + record.len() + 2 > MATTER_BYTES_MAX {
                let full = std::mem::take(&mut records);
                self.send(from, &Matter::Records(full));
                size = 0;
            }
            let Some(held) = self.peers.get(*node).and_then(|peer| peer.held.as_ref()) else { continue };
            records.push(held.record.bytes().to_vec());
            size += held.record.bytes().len() + 2;
        }
        if !records.is_empty() {
            self.send(from, &Matter::Records(records));
        }
    }

    pub(crate) fn on_records(&mut self, from: Identity, records: &[Vec<u8>]) {
        for bytes in records {
            let Ok(record) = Record::decode(bytes) else {
                self.counters.records_refused += 1;
                continue;
            };
            let is_wanted = self.wants.contains_key(&record.node());
            let is_offered = record.node() == from.node && self.vouch.take(self.now, 1);
            if is_wanted || is_offered {
                self.take_record(record);
            }
        }
    }

    /// From a node that was removed: only its own newer certificate helps it.
    pub(crate) fn on_offered(&mut self, from: Identity, records: &[Vec<u8>]) {
        let own = records.iter().filter_map(|bytes| Record::decode(bytes).ok());
        let own = own.filter(|record| record.node() == from.node && !self.roster.voids(&record.certificate));
        let own: Vec<Record> = own.take(1).collect();
        for record in own {
            if self.vouch.take(self.now, 1) {
                if self.peers.get(from.node).is_none() && !self.peers.is_full() {
                    self.peers.insert(from, false, self.now);
                    self.apply([Member::new(from, 0, State::Down)], false);
                }
                self.take_record(record);
            }
        }
    }

    fn take_record(&mut self, record: Record) {
        let node = record.node();
        let Some(peer) = self.peers.get(node) else { return };
        if record.newness() <= peer.newness() || node == self.own.node {
            return;
        }
        let is_fresh = self.is_plausible(record.who.epoch) && record.certificate.is_valid_at(self.unix_s());
        if !is_fresh || self.roster.voids(&record.certificate) || self.witness.vouch(&record).is_err() {
            self.counters.records_refused += 1;
            self.wants.remove(&node);
            return;
        }
        let (newness, is_leaving, who) = (record.newness(), record.is_leaving, record.who);
        let held = Held { facts: Facts::decode(record.body()), record };
        self.counters.facts_unread += u64::from(held.facts.is_err());
        self.peers.change(node, |peer| {
            peer.held = Some(held);
            peer.doubted.clear();
        });
        if self.wants.get(&node).is_some_and(|want| want.version <= newness) {
            self.wants.remove(&node);
        }
        self.rumour(node);
        self.tell(Event::Facts(node));
        self.on_up(node);
        let is_this_life =
            self.peers.get(node).is_some_and(|peer| peer.is_alive && peer.id.epoch <= who.epoch);
        if is_leaving && is_this_life {
            self.chores.add(self.now + DEPART_AFTER, Chore::Depart(who));
        }
    }

    pub(crate) fn depart(&mut self, who: Identity) {
        if self.peers.get(who.node).is_some_and(|peer| peer.is_alive && peer.id.epoch <= who.epoch) {
            self.apply([Member::new(who, 0, State::Down)], false);
        }
    }

    /// Counts those of whom no certified word came in time.
    pub(crate) fn count_strangers(&mut self) {
        let (own, now) = (self.own.node, self.now);
        let others = self.peers.living().filter(|peer| peer.id.node != own);
        let strangers = others.filter(|peer| !peer.is_certified() && now >= peer.known + STRANGER_AFTER);
        self.counters.strangers = strangers.count() as u64;
    }

    /// A connection failed: its service is critical here until the node speaks anew.
    pub(crate) fn doubt_service(&mut self, node: NodeId, service: &str) {
        if service.len() > TEXT_BYTES_MAX {
            return;
        }
        let Some(peer) = self.peers.get_mut(node) else { return };
        let is_known = peer.doubted.iter().any(|known| known == service);
        if is_known || peer.doubted.len() >= SERVICES_MAX {
            return;
        }
        peer.doubted.push(service.to_owned());
        self.tell(Event::Doubted(node));
    }

    /// The health of a service as this node sees it.
    pub fn health(&self, node: NodeId, service: &str) -> Option<Health> {
        let peer = self.peers.get(node)?;
        let facts = peer.held.as_ref()?.facts.as_ref().ok()?;
        let told = facts.services.iter().find(|known| known.name == service)?.health;
        let is_doubted = !peer.is_alive || peer.doubted.iter().any(|known| known == service);
        Some(if is_doubted { Health::Critical } else { told })
    }
}
