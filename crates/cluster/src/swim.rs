//! foca, and what is built around its verdicts.
//!
//! foca's own messages for joining and for the dead are not used: `repair` and `lives` do that. What it gives is the
//! round of probes, suspicion, and the spreading of both. A suspected member is told so directly and several times,
//! and nobody is buried who answered since the suspicion began, nor by a node that hears nobody at all. To be heard is
//! not enough: a node with half a wire talks on without ears, and would take all others for dead.

use std::num::{NonZeroU8, NonZeroUsize};
use std::time::{Duration, Instant};

use admission::NodeId;
use bytes::BufMut;
use foca::{Codec as _, Member, OwnedNotification, PeriodicParams, State, Timer};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::chores::Chore;
use crate::identity::{Codec, Identity, read_member};
use crate::node::{Event, Node};
use crate::peers::Told;
use crate::wire::{Head, MATTER_BYTES_MAX, Matter, RUMOUR_BYTES, Swim};

const PROBE_EVERY: Duration = Duration::from_millis(900);
const PROBE_ANSWER: Duration = Duration::from_millis(350);
const GOSSIP_EVERY: Duration = Duration::from_millis(200);
const GOSSIP_PEERS: usize = 3;
/// How long a suspicion lasts at ten members, and what each tenfold adds.
const SUSPICION: Duration = Duration::from_millis(1500);
const SUSPICION_TENFOLD: Duration = Duration::from_millis(500);
/// How often and how many times a suspected member is asked to answer.
const DOUBT_EVERY: Duration = Duration::from_millis(200);
const DOUBTS: u8 = 6;
/// How many times a node that hears nobody puts its verdicts off.
const PUT_OFF_MAX: u8 = 3;
const REMOVE_DOWN_AFTER: Duration = Duration::from_secs(24 * 3600);
/// What never showed a record is forgotten sooner.
const FORGET_STRANGERS_AFTER: Duration = Duration::from_secs(60);

/// The whole part of the decimal logarithm, in tenths.
fn log10_tenths(n: usize) -> u32 {
    (f64::log10(n.max(1) as f64) * 10.0) as u32
}

/// How many times each update and rumour is sent on: six times the decimal logarithm. With foca's own four, one death
/// in three took a second longer to reach the last of 20.
pub(crate) fn transmissions(n: usize) -> u8 {
    ((log10_tenths(n + 1) * 6 / 10).clamp(4, 40)) as u8
}

fn suspicion(n: usize) -> Duration {
    SUSPICION + SUSPICION_TENFOLD * log10_tenths(n).saturating_sub(10) / 10
}

pub(crate) fn config(n: usize) -> foca::Config {
    foca::Config {
        probe_period: PROBE_EVERY,
        probe_rtt: PROBE_ANSWER,
        num_indirect_probes: NonZeroUsize::new(3).expect("three is not zero"),
        max_transmissions: NonZeroU8::new(transmissions(n)).expect("at least two"),
        suspect_to_down_after: suspicion(n),
        remove_down_after: Some(REMOVE_DOWN_AFTER),
        max_packet_size: NonZeroUsize::new(MATTER_BYTES_MAX).expect("it is far from zero"),
        notify_down_members: false,
        periodic_announce: None,
        periodic_announce_to_down_members: None,
        periodic_gossip: Some(PeriodicParams {
            frequency: GOSSIP_EVERY,
            num_members: NonZeroUsize::new(GOSSIP_PEERS).expect("three is not zero"),
        }),
    }
}

pub(crate) type Swimmer = foca::Foca<Identity, Codec, SmallRng, foca::NoCustomBroadcast>;

pub(crate) fn foca(own: Identity, n: usize, dice: &mut SmallRng) -> Swimmer {
    let dice = SmallRng::seed_from_u64(dice.random());
    Swimmer::with_custom_broadcast(own, config(n), dice, Codec, foca::NoCustomBroadcast)
}

impl Node {
    /// Alone: what foca still wants to spread is what a node without ears believed. It begins anew.
    fn begin_anew(&mut self) {
        self.chores.forget_swim();
        self.foca = foca(self.own, self.peers.n_alive(), &mut self.dice);
        let dead = self.peers.iter().filter(|peer| !peer.is_alive).map(|peer| peer.id);
        let dead: Vec<Identity> = dead.collect();
        let dead = dead.into_iter().map(|id| Member::new(id, 0, State::Down));
        let _ = self.foca.apply_many(dead, false, &mut self.runtime);
        // Their removal is on its way since they died.
        while self.runtime.to_schedule().is_some() {}
    }

    /// Follows the size of the cluster.
    pub(crate) fn tune_swim(&mut self) {
        let wanted = config(self.peers.n_alive());
        self.foca.set_config(wanted).expect("only what may change at run time changes");
    }

    pub(crate) fn run_swim(&mut self, timer: Timer<Identity>) {
        if let Timer::RemoveDown(id) = &timer
            && self.peers.get(id.node).is_some_and(|peer| !peer.is_alive && peer.id == *id)
        {
            self.peers.remove(id.node);
        }
        // Its errors tell of timers that no longer matter.
        let _ = self.foca.handle_timer(timer, &mut self.runtime);
    }

    /// A probe failed, and the suspicion has lasted: dead, unless there is a reason to think otherwise.
    pub(crate) fn verdict(&mut self, timer: Timer<Identity>, since: Instant, after: Duration, put_off: u8) {
        let Timer::ChangeSuspectToDown { member_id, .. } = &timer else { return };
        let node = member_id.node;
        if self.peers.get(node).is_some_and(|peer| peer.answered_since(since)) {
            self.counters.verdicts_spared += 1;
            return;
        }
        let hears_nobody = self.peers.n_alive() > 2 && self.heard <= since;
        if hears_nobody && put_off < PUT_OFF_MAX {
            self.counters.verdicts_put_off += 1;
            let again = Chore::Verdict { timer, since, after, put_off: put_off + 1 };
            self.chores.add(self.now + after, again);
            return;
        }
        self.run_swim(timer);
    }

    pub(crate) fn doubt(&mut self, id: Identity, incarnation: u16, left: u8) {
        let is_same = self.peers.get(id.node).is_some_and(|peer| peer.is_alive && peer.id == id);
        if !is_same || left == 0 {
            return;
        }
        self.send(id, &Matter::Doubt { incarnation });
        self.chores.add(self.now + DOUBT_EVERY, Chore::Doubt { id, incarnation, left: left - 1 });
    }

    pub(crate) fn on_answer(&mut self, from: Identity) {
        if let Some(peer) = self.peers.get_mut(from.node) {
            peer.answered = Some(self.now);
        }
    }

    /// Somebody doubts this node: deny it to him and, through foca, to everybody.
    pub(crate) fn on_doubt(&mut self, from: Identity, incarnation: u16) {
        self.apply([Member::new(self.own, incarnation, State::Suspect)], false);
        self.send(from, &Matter::Here);
    }

    /// Hands updates to foca, and keeps the table in step.
    pub(crate) fn apply(&mut self, updates: impl IntoIterator<Item = Member<Identity>>, spread: bool) {
        for update in updates {
            let id = *update.id();
            if id.node != self.own.node && self.peers.get(id.node).is_none() {
                // foca tells of new members that live, and is silent about new ones that are dead.
                self.peers.insert(id, update.state() != State::Down, self.now);
            }
            // It fails only where our own codec fails, which it does not for a member.
            let _ = self.foca.apply_many(std::iter::once(update), spread, &mut self.runtime);
            self.take_notes();
        }
    }

    pub(crate) fn on_swim(&mut self, head: &Head, swim: Swim) {
        if swim.to != self.own.tag() {
            // Meant for an earlier life of this node: show the new one.
            self.send(head.from, &Matter::Hello { asks: false });
            return;
        }
        let is_ack = matches!(swim.message, foca::Message::Ack(_));
        let header = foca::Header {
            src: head.from,
            src_incarnation: swim.incarnation,
            dst: self.own,
            message: swim.message,
        };
        let mut bytes = Vec::with_capacity(64);
        let room = crate::identity::HEADER_BYTES_MAX;
        Codec.encode_header(&header, (&mut bytes).limit(room)).expect("there is room for a header");
        // foca's errors tell of messages to itself and the like: nothing to do.
        let _ = self.foca.handle_data(&bytes, &mut self.runtime);
        self.take_notes();
        if is_ack {
            self.on_answer(head.from);
        }
        let mut news = Vec::new();
        for update in swim.updates {
            if self.is_news(&update) {
                news.push(update);
            }
        }
        self.apply(news, true);
        for rumour in swim.rumours {
            self.on_rumour(head.from, rumour);
        }
    }

    /// Keeps from foca what is stale, and what must not be believed.
    fn is_news(&mut self, update: &Member<Identity>) -> bool {
        let id = update.id();
        if !self.is_plausible(id.epoch) {
            self.counters.implausible += 1;
            return false;
        }
        if id.node == self.own.node {
            if id.epoch > self.own.epoch || (id.epoch == self.own.epoch && id.addr != self.own.addr) {
                self.go_beyond(id.epoch);
            }
            return *id == self.own;
        }
        if self.is_barred(id.node) {
            return false;
        }
        match self.peers.get(id.node) {
            None => !self.peers.is_full(),
            Some(peer) if peer.id == *id => {
                peer.is_alive && !(update.state() == State::Alive && update.incarnation() == 0)
            }
            Some(peer) => (id.epoch, id.addr) > (peer.id.epoch, peer.id.addr),
        }
    }

    /// Turns foca's wishes into ours until it has none.
    pub(crate) fn flush(&mut self) {
        self.take_notes();
        while let Some((to, bytes)) = self.runtime.to_send() {
            self.send_swim(to, &bytes);
        }
        if std::mem::take(&mut self.is_alone) && self.peers.n_alive() == 1 && !self.is_leaving {
            self.begin_anew();
        }
        while let Some((after, timer)) = self.runtime.to_schedule() {
            self.schedule(after, timer);
        }
    }

    fn schedule(&mut self, after: Duration, timer: Timer<Identity>) {
        let at = self.now + after;
        let is_kept = match timer {
            Timer::ChangeSuspectToDown { member_id, incarnation, .. } => {
                self.counters.suspicions += 1;
                self.chores.add(self.now, Chore::Doubt { id: member_id, incarnation, left: DOUBTS });
                self.chores.add(at, Chore::Verdict { timer, since: self.now, after, put_off: 0 })
            }
            Timer::RemoveDown(id) => {
                let is_stranger = self.peers.get(id.node).is_none_or(|peer| peer.held.is_none());
                let after = if is_stranger { FORGET_STRANGERS_AFTER } else { after };
                self.chores.add(self.now + after, Chore::Swim(timer))
            }
            timer => self.chores.add(at, Chore::Swim(timer)),
        };
        self.counters.chores_dropped += u64::from(!is_kept);
    }

    fn send_swim(&mut self, to: Identity, mut bytes: &[u8]) {
        let all = bytes.len();
        let header = Codec.decode_header(&mut bytes).expect("foca wrote it with this codec");
        let mut updates = Vec::new();
        if let Some((_, rest)) = bytes.split_first_chunk::<2>() {
            let mut reader = crate::bytes::Reader(rest);
            while !reader.0.is_empty() && updates.len() < usize::from(u8::MAX) {
                updates.push(read_member(&mut reader).expect("foca wrote it with this codec"));
            }
        }
        let room = MATTER_BYTES_MAX.saturating_sub(all) / RUMOUR_BYTES;
        let swim = Swim {
            to: to.tag(),
            incarnation: header.src_incarnation,
            message: header.message,
            updates,
            rumours: self.take_rumours(room),
        };
        self.send(to, &Matter::Swim(swim));
    }

    /// Learns what foca decided.
    pub(crate) fn take_notes(&mut self) {
        while let Some(note) = self.runtime.to_notify() {
            let now = self.now;
            match note {
                OwnedNotification::MemberUp(id) => {
                    if self.peers.get(id.node).is_none() {
                        self.peers.insert(id, true, now);
                    }
                    self.peers.change(id.node, |peer| {
                        (peer.id, peer.is_alive, peer.since, peer.known) = (id, true, now, now);
                    });
                    self.on_up(id.node);
                }
                OwnedNotification::MemberDown(id) => {
                    self.peers
                        .change(id.node, |peer| (peer.id, peer.is_alive, peer.since) = (id, false, now));
                    self.on_down(id.node);
                }
                OwnedNotification::Rename(_, id) => {
                    self.peers.change(id.node, |peer| (peer.id, peer.known) = (id, now));
                    self.on_up(id.node);
                }
                OwnedNotification::Rejoin(id) => self.on_new_life(id),
                OwnedNotification::Idle => self.is_alone = true,
                OwnedNotification::Active | OwnedNotification::Defunct => {}
            }
        }
    }

    /// Tells of a member once it is certified: until then it is none for others.
    pub(crate) fn on_up(&mut self, node: NodeId) {
        if node == self.own.node {
            return;
        }
        let Some(peer) = self.peers.get_mut(node) else { return };
        if peer.is_alive && peer.is_certified() {
            let was = std::mem::replace(&mut peer.told, Told::Up);
            match was {
                Told::Nothing => self.tell(Event::Joined(node)),
                Told::Down => self.tell(Event::Back(node)),
                Told::Up => {}
            }
        }
    }

    fn on_down(&mut self, node: NodeId) {
        let Some(peer) = self.peers.get_mut(node) else { return };
        if peer.told == Told::Up {
            peer.told = Told::Down;
            let has_left = peer.held.as_ref().is_some_and(|held| held.record.is_leaving);
            self.tell(if has_left { Event::Left(node) } else { Event::Down(node) });
        }
        self.wants.remove(&node);
    }
}
