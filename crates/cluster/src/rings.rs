//! Keys of the ring and pages of the roster: what the authority says, and how it reaches everybody.
//!
//! A new ring key travels only sealed to certified nodes that are not removed, from whoever has it to whoever lacks
//! it, and is believed only if the signed roster names its mark. It is sealed with when everybody alive holds it.

use std::time::{Duration, Instant};

use admission::{BoxPublic, NodeId, Page, Purpose, Removal, RingKey, RingMark};

use crate::hash;
use crate::identity::Identity;
use crate::node::{Event, Node};
use crate::wire::{Matter, Sight};

/// A node that does not hold the next key by then is left behind.
const SWITCH_AFTER: Duration = Duration::from_secs(15 * 60);
/// How long the previous key still opens datagrams: a node that was away finds back with it.
const PREVIOUS_FOR: Duration = Duration::from_secs(24 * 3600);
/// After a removal the previous key is the removed node's too: so long at most, and no longer than a live member
/// needs it.
const PREVIOUS_AFTER_REMOVAL: Duration = Duration::from_secs(10 * 60);
const RING_KEY_EVERY: Duration = Duration::from_secs(1);
const PAGES_EVERY: Duration = Duration::from_millis(250);
const PAGES_AT_ONCE: usize = 4;

impl Node {
    pub(crate) fn newest_ring(&self) -> u32 {
        self.ring.next().unwrap_or(self.ring.current()).number()
    }

    pub(crate) fn roster_hash(&self) -> u32 {
        let part = |(number, version): (u8, u64)| hash::mix(u64::from(number) << 56 ^ version);
        let sum = self.roster.versions().map(part).fold(0u64, u64::wrapping_add);
        (sum >> 16) as u32
    }

    /// Whether the roster took back every certificate that is known of this node.
    pub(crate) fn is_barred(&self, node: NodeId) -> bool {
        let Some(serial) = self.roster.removal(node) else { return false };
        let held = self.peers.get(node).and_then(|peer| peer.held.as_ref());
        held.is_none_or(|held| held.record.certificate.claim().serial <= serial)
    }

    pub(crate) fn on_page(&mut self, bytes: &[u8]) {
        let Ok(page) = Page::decode(bytes) else {
            self.counters.pages_refused += 1;
            return;
        };
        let is_news = |removal: &Removal| self.roster.removal(removal.node) < Some(removal.serial);
        let removes = page.removed().iter().any(is_news);
        match self.roster.merge(page, &self.authority) {
            Ok(admission::Merged::Newer) => {}
            Ok(_) => return,
            Err(_) => {
                self.counters.pages_refused += 1;
                return;
            }
        }
        if removes {
            self.removal_at = Some(self.now);
        }
        self.tell(Event::Roster);
        self.enforce_roster();
        // The news goes on at once; who is missed finds out by comparing.
        for peer in self.some_living(3) {
            self.send(peer, &Matter::Page(bytes.to_vec()));
        }
        self.mind_ring();
    }

    /// Removed nodes are dropped, whatever anybody says of them.
    pub(crate) fn enforce_roster(&mut self) {
        if self.roster.voids(&self.certificate) {
            self.tell(Event::Removed(self.own.node));
        }
        let barred = self.peers.iter().map(|peer| peer.id).filter(|id| self.is_barred(id.node));
        let barred: Vec<Identity> = barred.filter(|id| id.node != self.own.node).collect();
        for id in barred {
            let Some(peer) = self.peers.get(id.node) else { continue };
            if peer.is_alive {
                self.apply([foca::Member::new(id, 0, foca::State::Down)], true);
                self.tell(Event::Removed(id.node));
            }
            self.wants.remove(&id.node);
            self.rumours.remove(&id.node);
        }
    }

    pub(crate) fn compare_rosters(&mut self, from: Identity, sight: Sight) {
        if sight.roster == self.roster_hash()
            || self.roster_told.is_some_and(|at| self.now < at + PAGES_EVERY)
        {
            return;
        }
        self.roster_told = Some(self.now);
        self.send_page_versions(from);
    }

    fn send_page_versions(&mut self, to: Identity) {
        let versions = self.roster.versions().collect();
        self.send(to, &Matter::Pages(versions));
    }

    pub(crate) fn on_pages(&mut self, from: Identity, theirs: &[(u8, u64)]) {
        let version = |number: u8| theirs.iter().find(|(n, _)| *n == number).map(|(_, version)| *version);
        let newer =
            self.roster.pages().filter(|page| version(page.number()).is_none_or(|v| v < page.version()));
        let newer: Vec<Vec<u8>> = newer.take(PAGES_AT_ONCE).map(|page| page.encode()).collect();
        for page in newer {
            if self.serve.take(self.now, page.len() as u64) {
                self.send(from, &Matter::Page(page));
            }
        }
        let ours = |number: u8| self.roster.page(number).map_or(0, |page| page.version());
        let lacks = theirs.iter().any(|(number, version)| ours(*number) < *version);
        if lacks && self.roster_told.is_none_or(|at| self.now >= at + PAGES_EVERY) {
            self.roster_told = Some(self.now);
            self.send_page_versions(from);
        }
    }

    /// From the call home, or from the boot server itself.
    pub(crate) fn take_ring_key(&mut self, key: RingKey) {
        if self.ring.add_next(key) {
            self.next_since = Some(self.now);
            // Others see in the record that this node holds it.
            self.publish_soon();
            self.mind_ring();
        }
    }

    fn is_named(&self, mark: RingMark) -> bool {
        self.roster.marks().is_some_and(|(current, next)| current == mark || next == Some(mark))
    }

    /// Sends the newest key to a certified peer that lacks it, under a key that the peer has.
    pub(crate) fn offer_ring_key(&mut self, to: Identity, sight: Sight) {
        if sight.ring >= self.newest_ring() || self.is_barred(to.node) {
            return;
        }
        let newest = self.ring.next().unwrap_or(self.ring.current()).clone();
        let Some(theirs) = self.ring.keys().find(|key| key.number() == sight.ring).cloned() else { return };
        let (now, unix_s) = (self.now, self.unix_s());
        let Some(peer) = self.peers.get_mut(to.node) else { return };
        let Some(held) = peer.held.as_ref().filter(|held| held.record.certificate.is_valid_at(unix_s)) else {
            return;
        };
        if !peer.is_certified() || peer.ring_key_at.is_some_and(|at| now < at + RING_KEY_EVERY) {
            return;
        }
        let Some(public) = held.record.certificate.claim().node_key.box_public() else { return };
        peer.ring_key_at = Some(now);
        if let Some(sealed) = self.seal_ring_key(public, &newest) {
            let bytes = self.seal(&Matter::RingKey(sealed), theirs);
            self.output_datagram(to.addr, bytes);
        }
    }

    fn seal_ring_key(&mut self, to: BoxPublic, key: &RingKey) -> Option<Vec<u8>> {
        let mut once = [0; 32];
        (self.random)(&mut once);
        to.seal(Purpose::RingKey, &self.cluster.0, &*key.encode(), &once).ok()
    }

    pub(crate) fn on_ring_key(&mut self, sealed: &[u8]) {
        let opened = self.key.box_secret().open(Purpose::RingKey, &self.cluster.0, sealed);
        let key = opened.ok().and_then(|bytes| RingKey::decode(&bytes).ok());
        match key {
            Some(key) if self.is_named(key.mark()) => self.take_ring_key(key),
            // The roster that names it may still be on its way; the key comes again.
            _ => self.counters.ring_keys_refused += 1,
        }
    }

    /// Switches when all hold the next key, and forgets the previous one in the end.
    pub(crate) fn mind_ring(&mut self) {
        if let Some(number) = self.ring.next().map(RingKey::number) {
            let certified = |peer: &&crate::peers::Peer| peer.is_certified() && peer.id.node != self.own.node;
            let holds = |peer: &crate::peers::Peer| {
                peer.held.as_ref().is_some_and(|held| held.record.ring >= number) || peer.sight.ring >= number
            };
            let all_hold = self.peers.living().filter(certified).all(holds);
            let is_late = self.next_since.is_some_and(|since| self.now >= since + SWITCH_AFTER);
            let is_current = self.roster.marks().is_some_and(|(current, _)| current.number >= number);
            if (all_hold || is_late || is_current) && self.ring.switch_to(number) {
                self.ring_since = self.now;
                self.next_since = None;
                self.tell(Event::RingSwitched { number });
            }
        } else if self.ring.previous().is_some() && self.is_previous_over() {
            self.ring.drop_previous();
        }
    }

    /// Whether nobody who belongs here may still need the previous key.
    /// A removal that comes before its new key, or after it, or twice, shortens the life of any previous key of that day:
    /// whether this very key was the removed node's need not be known.
    fn is_previous_over(&self) -> bool {
        let has_lasted = |span: Duration, since: Instant| self.now >= since + span;
        let removal = self.removal_at.filter(|at| !has_lasted(PREVIOUS_FOR, *at));
        let Some(removal) = removal else { return has_lasted(PREVIOUS_FOR, self.ring_since) };
        let current = self.ring.current().number();
        let mut others =
            self.peers.living().filter(|peer| peer.is_certified() && peer.id.node != self.own.node);
        // Who is alone cannot know what the others use.
        let has_gone_by = self.peers.n_alive() > 1 && others.all(|peer| peer.sealed_with >= current);
        has_gone_by || has_lasted(PREVIOUS_AFTER_REMOVAL, self.ring_since.max(removal))
    }
}
