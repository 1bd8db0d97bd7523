//! Datagrams from outside, and the lives of their senders: who is old, who is dead here, who has to deny it.
//!
//! An epoch is one life. A node that hears of its own death, or of a life of its own that it does not remember (a
//! dead clock), goes beyond it. Whoever holds a sender dead, or in a later life, tells him; the dead are asked now and
//! then. So two halves of a split cluster meet again, and each node denies its death itself.

use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use admission::{NodeId, RingKey};
use foca::{Member, State};
use rand::RngExt;

use crate::chores::Chore;
use crate::envelope::{self, Sealed};
use crate::identity::Identity;
use crate::node::{Event, Node};
use crate::record::Version;
use crate::wire::{self, DOWNS_MAX, Head, Matter};

const OUTLIVED_EVERY: Duration = Duration::from_millis(200);
/// A node takes at most one new life in this time, whatever it is told.
const NEW_LIFE_EVERY: Duration = Duration::from_millis(100);
const CONFIRM_EVERY: Duration = Duration::from_millis(300);
const CONFIRMS: u8 = 3;
const KNOCK_EVERY: Duration = Duration::from_secs(5);
/// While a split heals.
const HEAL_KNOCK_EVERY: Duration = Duration::from_millis(200);
const HEAL_KNOCKS: usize = 3;
const HEAL_FOR: Duration = Duration::from_secs(4);

impl Node {
    pub(crate) fn on_datagram(&mut self, from: SocketAddrV4, bytes: &[u8]) {
        if self.is_leaving {
            return;
        }
        self.counters.received += 1;
        self.counters.received_bytes += bytes.len() as u64;
        let text = match envelope::open(&self.ring, self.cluster, bytes) {
            Ok(text) => text,
            Err(why) => return self.on_bad(from, why),
        };
        let Ok((head, matter)) = wire::decode(&text) else {
            self.counters.malformed += 1;
            return self.count_bad(from);
        };
        let key = envelope::named_key(&self.ring, bytes).map_or(0, RingKey::number);
        self.on_message(from, key, head, matter);
    }

    fn on_bad(&mut self, from: SocketAddrV4, why: Sealed) {
        match why {
            Sealed::Key => {
                self.counters.unknown_key += 1;
                // A node among its peers has no reason to doubt its own ring.
                if self.peers.n_alive() == 1 && self.counters.unknown_key.is_power_of_two() {
                    self.tell(Event::KeyUnknown);
                }
            }
            Sealed::Form | Sealed::Tag => self.counters.unsealed += 1,
        }
        self.count_bad(from);
    }

    pub(crate) fn count_bad(&mut self, from: SocketAddrV4) {
        let n = self.senders.count(*from.ip(), self.now);
        if n.is_power_of_two() {
            self.tell(Event::BadDatagram { from, n });
        }
    }

    /// `key` is the number of the ring key that it was sealed with.
    fn on_message(&mut self, from: SocketAddrV4, key: u32, head: Head, matter: Matter) {
        let id = head.from;
        if id.node == self.own.node {
            // Our own, sent back; or another with our name, whose life we go beyond when others tell us.
            self.counters.echoes += 1;
            return;
        }
        if !self.is_plausible(id.epoch) {
            self.counters.implausible += 1;
            return self.count_bad(from);
        }
        if self.is_barred(id.node) {
            self.counters.barred += 1;
            // A PC that the owner took back in shows it by a newer certificate.
            if let Matter::Records(records) = matter {
                self.on_offered(id, &records);
            }
            return;
        }
        if !self.meet(id, head.counter) {
            if let Matter::Outlived { epoch, is_down, record } = matter {
                self.on_outlived(epoch, is_down, record);
            }
            return;
        }
        self.heard = self.now;
        if let Some(peer) = self.peers.get_mut(id.node) {
            peer.heard = Some(self.now);
            peer.sight = head.sight;
            peer.sealed_with = key;
        }
        self.dispatch(&head, matter);
        self.flush();
        self.compare_sights(id, head.sight);
    }

    /// Whether this sender is alive here, in this life, and this datagram new.
    fn meet(&mut self, id: Identity, counter: u32) -> bool {
        match self.peers.get(id.node) {
            None if self.peers.is_full() => {
                self.counters.crowded += 1;
                return false;
            }
            None => {}
            Some(peer)
                if (id.epoch, id.addr) < (peer.id.epoch, peer.id.addr) || !peer.is_alive && id == peer.id =>
            {
                let (epoch, is_down) = (peer.id.epoch, !peer.is_alive);
                let record = peer.newness();
                self.tell_outlived(id, epoch, is_down, record);
                return false;
            }
            Some(_) => {}
        }
        if self.peers.get(id.node).is_none_or(|peer| peer.id != id) {
            self.apply([Member::alive(id)], true);
        }
        let Some(peer) = self.peers.get_mut(id.node) else { return false };
        let is_new = peer.window.take(id.epoch, counter);
        if !is_new {
            self.counters.replayed += 1;
        }
        is_new
    }

    fn dispatch(&mut self, head: &Head, matter: Matter) {
        let from = head.from;
        match matter {
            Matter::Hello { asks } => self.on_hello(from, asks),
            Matter::Swim(swim) => self.on_swim(head, swim),
            Matter::Rumours(rumours) => rumours.into_iter().for_each(|rumour| self.on_rumour(from, rumour)),
            Matter::Ranges(ranges) => self.on_ranges(from, &ranges),
            Matter::List { first, last, asks, entries } => self.on_list(from, first..=last, asks, &entries),
            Matter::Downs(downs) => self.on_downs(&downs),
            Matter::Outlived { epoch, is_down, record } => self.on_outlived(epoch, is_down, record),
            Matter::Doubt { incarnation } => self.on_doubt(from, incarnation),
            Matter::Here => self.on_answer(from),
            Matter::Pull(nodes) => self.on_pull(from, &nodes),
            Matter::Records(records) => self.on_records(from, &records),
            Matter::Page(page) => self.on_page(&page),
            Matter::Pages(pages) => self.on_pages(from, &pages),
            Matter::RingKey(sealed) => self.on_ring_key(&sealed),
        }
    }

    fn tell_outlived(&mut self, id: Identity, epoch: u32, is_down: bool, record: Version) {
        let Some(peer) = self.peers.get_mut(id.node) else { return };
        if peer.outlived_at.is_none_or(|at| self.now >= at + OUTLIVED_EVERY) {
            peer.outlived_at = Some(self.now);
            self.send(id, &Matter::Outlived { epoch, is_down, record });
        }
        if is_down {
            // Somebody whom we hold dead speaks: perhaps a split heals, and others are back too.
            let is_healing = self.heal_until.is_some_and(|until| self.now < until);
            self.heal_until = Some(self.now + HEAL_FOR);
            if !is_healing {
                self.knock_at = self.now;
                self.chores.add(self.now, Chore::Knock);
            }
        }
    }

    /// Somebody knows more of this node's lives than it does itself.
    pub(crate) fn on_outlived(&mut self, epoch: u32, is_down: bool, record: Version) {
        if !self.is_plausible(epoch) || !self.is_plausible(record.0) {
            self.counters.implausible += 1;
            return;
        }
        if epoch > self.own.epoch || epoch == self.own.epoch && is_down {
            self.go_beyond(epoch);
        }
        self.outdo_record(record);
    }

    /// Begins a new life after this epoch.
    pub(crate) fn go_beyond(&mut self, epoch: u32) {
        let is_soon = self.bumped.is_some_and(|at| self.now < at + NEW_LIFE_EVERY);
        if is_soon || self.is_leaving || epoch < self.own.epoch {
            return;
        }
        let id = Identity { epoch: epoch.saturating_add(1), ..self.own };
        // It fails only for the same identity, and this one is newer.
        let _ = self.foca.change_identity(id, &mut self.runtime);
        self.on_new_life(id);
    }

    pub(crate) fn on_new_life(&mut self, id: Identity) {
        self.own = id;
        self.bumped = Some(self.now);
        self.counters.denials += 1;
        let now = self.now;
        self.peers.change(id.node, |peer| (peer.id, peer.since, peer.known) = (id, now, now));
        // foca is back among its members only when it is asked to look at them.
        let _ = self.foca.apply_many(std::iter::empty(), false, &mut self.runtime);
        self.publish_later();
        self.tell(Event::Denied { epoch: id.epoch });
    }

    /// "You list these alive, I hold them dead": nobody is believed dead for that without being asked.
    pub(crate) fn on_downs(&mut self, downs: &[(NodeId, u32)]) {
        for (node, epoch) in downs {
            if *node == self.own.node {
                if *epoch >= self.own.epoch && self.is_plausible(*epoch) {
                    self.go_beyond(*epoch);
                }
            } else if self.peers.get(*node).is_some_and(|peer| peer.is_alive && peer.id.epoch <= *epoch) {
                self.confirm(*node, *epoch, self.now, CONFIRMS);
            }
        }
    }

    pub(crate) fn confirm(&mut self, node: NodeId, epoch: u32, since: Instant, left: u8) {
        let Some(peer) = self.peers.get_mut(node) else { return };
        if !peer.is_alive || peer.id.epoch > epoch || peer.heard_since(since) {
            return;
        }
        let (id, record) = (peer.id, peer.newness());
        if left == 0 {
            self.apply([Member::new(id, 0, State::Down)], true);
            return;
        }
        // One at a time for each member.
        let is_asked = peer.outlived_at.is_some_and(|at| self.now < at + CONFIRM_EVERY);
        if left == CONFIRMS && is_asked {
            return;
        }
        peer.outlived_at = Some(self.now);
        self.send(id, &Matter::Outlived { epoch, is_down: true, record });
        self.chores.add(self.now + CONFIRM_EVERY, Chore::Confirm { node, epoch, since, left: left - 1 });
    }

    /// The dead who may be alive on the other side of a split.
    pub(crate) fn knock(&mut self) {
        if self.now < self.knock_at {
            return;
        }
        let is_healing = self.heal_until.is_some_and(|until| self.now < until);
        let (every, n) = if is_healing { (HEAL_KNOCK_EVERY, HEAL_KNOCKS) } else { (KNOCK_EVERY, 1) };
        self.knock_at = self.now + every;
        self.chores.add(self.knock_at, Chore::Knock);
        let dead = self.peers.iter().filter(|peer| !peer.is_alive && peer.held.is_some());
        let mut dead: Vec<Identity> = dead.map(|peer| peer.id).collect();
        for _ in 0..n.min(dead.len()) {
            let id = dead.swap_remove(self.dice.random_range(0..dead.len()));
            self.send(id, &Matter::Hello { asks: false });
        }
    }

    pub(crate) fn leave(&mut self) {
        if self.is_leaving {
            return;
        }
        // A signed word, not foca's: everybody counts it out by himself, and nobody takes it for a death.
        self.say_goodbye();
        self.is_leaving = true;
        self.chores.clear();
    }

    pub(crate) fn listed_dead(&self, entries: &[wire::Entry]) -> Vec<(NodeId, u32)> {
        let dead = |entry: &&wire::Entry| {
            let peer = self.peers.get(entry.id.node);
            peer.is_some_and(|peer| !peer.is_alive && peer.id.epoch >= entry.id.epoch)
        };
        entries.iter().filter(dead).map(|e| (e.id.node, e.id.epoch)).take(DOWNS_MAX).collect()
    }
}
