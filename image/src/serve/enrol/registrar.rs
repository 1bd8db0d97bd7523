//! Takes PCs into the cluster: every call and every word of the owner, and what follows from them.
//!
//! Pure: it knows no clock, no dice, no file, no socket. Times are seconds since 1970, nonces are handed in. Whatever
//! it promises a PC is in the book before it is said: the hands write the book first ([`Registrar::version`]).

use super::book::{Book, Failure, Issued, Job, MEMBERS_MAX, Record, Standing, Void};
use super::policy::{Verdict, judge};
use super::ring::Ring;
use crate::serve::settings::Policy;
use admission::{
    Admission, Answer, Ask, AuthorityPublic, AuthoritySecret, BoxPublic, CallId, Certificate, Challenge,
    Claim, Code, KeyRing, NodeId, NodePublic, Nonce, Open, Order, Page, Pass, Proof, RingKey, Role,
    SEEDS_MAX, StickPublic, Wish,
};
use release::{HostName, Mac};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

/// A certificate's life. A node asks for a new one after two thirds of it, so a boot server may be away for ten days.
pub const CERTIFICATE_LIFE_S: u64 = 30 * 24 * 3600;
/// A certificate begins so much earlier, for clocks that differ.
const CERTIFICATE_EARLY_S: u64 = 3600;
/// Calls that are being made, at most one of each PC.
pub const CALLS_MAX: usize = 2048;
/// A call that was not heard of for so long is over.
pub const CALL_IDLE_S_MAX: u64 = 900;
/// How soon a waiting and a refused PC ask again.
const WAITING_AGAIN_S: u16 = 3;
const REFUSED_AGAIN_S: u16 = 60;
/// A person stands before the PC with a stick.
const STICK_AGAIN_S: u16 = 5;
const STICK_VOID: &str = "the stick in this PC was made void; write it anew with `duet nodes usb-key`";

/// What the wire tells of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Witness {
    pub address: Option<Ipv4Addr>,
    /// The neighbour table does not contradict it.
    pub is_itself: bool,
    /// It is in a boot that this server began, or this server boots nobody.
    pub boots_here: bool,
}

/// Why a call is not heard at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Another PC's card is behind this address.
    Stranger,
    /// No boot of ours.
    NoBoot,
    /// No such call: it is over, or the server was started again. The PC calls anew.
    NoCall,
    /// It does not belong to that call.
    Forged,
    /// Too many calls or PCs.
    Full,
}

impl Refusal {
    pub const fn sentence(self) -> &'static str {
        match self {
            Refusal::Stranger => "another PC's card is behind this address",
            Refusal::NoBoot => "this PC is in no boot that this server began; boot it from this server",
            Refusal::NoCall => "this call is over; call again",
            Refusal::Forged => "this does not open that call",
            Refusal::Full => "too many PCs call at once; call again later",
        }
    }
}

#[derive(Debug)]
struct Call {
    ask: Ask,
    nonce: Nonce,
    seen_s: u64,
    state: CallState,
}

#[derive(Debug)]
enum CallState {
    Challenged,
    Waiting { code: Code, approved: bool },
    Admitted(Box<Admission>),
}

/// A change that the owner asked for and that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct No(pub String);

#[derive(Debug)]
pub struct Registrar {
    authority: AuthoritySecret,
    proof: Proof,
    pub ring: Ring,
    pub book: Book,
    pub policy: Policy,
    calls: BTreeMap<CallId, Call>,
    version: u64,
}

impl Registrar {
    pub fn new(authority: AuthoritySecret, proof: Proof, ring: Ring, book: Book) -> Registrar {
        let (policy, calls) = (Policy::default(), BTreeMap::new());
        Registrar { authority, proof, ring, book, policy, calls, version: 1 }
    }

    /// The PC of a call that is being made.
    pub fn mac_of(&self, call: &CallId) -> Option<Mac> {
        self.calls.get(call).map(|call| call.ask.mac)
    }

    /// For sealing an answer outside of the lock.
    pub fn authority_secret(&self) -> &AuthoritySecret {
        &self.authority
    }

    /// Grows with every change that must be on disk before it is told.
    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn authority(&self) -> AuthorityPublic {
        self.authority.public()
    }

    /// The first message of a call.
    pub fn ask(
        &mut self,
        now_s: u64,
        ask: Ask,
        witness: Witness,
        nonce: Nonce,
    ) -> Result<Challenge, Refusal> {
        let (call, node, mac) = (ask.id(), ask.node(), ask.mac);
        let refusal = match witness {
            Witness { is_itself: false, .. } => Some(Refusal::Stranger),
            Witness { boots_here: false, .. } => Some(Refusal::NoBoot),
            _ => None,
        };
        if let Some(refusal) = refusal {
            self.book.fail(mac, refusal.sentence(), now_s);
            return Err(refusal);
        }
        if let Some(known) = self.calls.get_mut(&call) {
            known.seen_s = now_s;
            return Ok(Challenge::new(&self.authority, self.proof, call, known.nonce));
        }
        self.calls.retain(|_, old| old.ask.mac != mac && now_s.saturating_sub(old.seen_s) <= CALL_IDLE_S_MAX);
        if self.calls.len() >= CALLS_MAX || !self.book.nodes.contains_key(&node) && !self.book.make_room() {
            return Err(Refusal::Full);
        }
        let record = self.book.nodes.entry(node).or_insert_with(|| stranger(mac));
        record.hardware = ask.hardware.clone();
        record.release = ask.release.to_string();
        record.address = witness.address;
        record.called_unix_s = now_s;
        record.job = Job::Called;
        self.calls.insert(call, Call { ask, nonce, seen_s: now_s, state: CallState::Challenged });
        Ok(Challenge::new(&self.authority, self.proof, call, nonce))
    }

    /// The second message, and each question after it. The answer goes to the caller's box key, which comes second.
    pub fn open(
        &mut self,
        now_s: u64,
        open: &Open,
        is_itself: bool,
        name: &HostName,
    ) -> Result<(Answer, BoxPublic), Refusal> {
        let call = self.calls.get_mut(&open.call).ok_or(Refusal::NoCall)?;
        open.verify(&call.ask, &call.nonce).map_err(|_| Refusal::Forged)?;
        let (mac, node, to) = (call.ask.mac, call.ask.node(), call.ask.box_key);
        if !is_itself {
            self.book.fail(mac, Refusal::Stranger.sentence(), now_s);
            return Err(Refusal::Stranger);
        }
        call.seen_s = now_s;
        let approved = match &call.state {
            CallState::Challenged => false,
            CallState::Waiting { approved, .. } => *approved,
            // The answer may have been lost: the same again, with the time of now.
            CallState::Admitted(admission) => {
                let admission = Admission { unix_s: now_s, ..(**admission).clone() };
                return Ok((Answer::Admitted(Box::new(admission)), to));
            }
        };
        let standing = self.book.nodes.get(&node).map_or(Standing::Stranger, |record| record.standing);
        let window_is_open = now_s < self.book.window_until_s;
        let stick = match (self.policy, &open.stick) {
            (Policy::Usb, Some(stick)) if stick.pass.issued_s < self.book.sticks_from_s => {
                Err(STICK_VOID.to_owned())
            }
            (Policy::Usb, Some(stick)) => stick
                .verify(&self.authority.public(), now_s, &open.call, &open.nonce, &call.nonce)
                .map_err(|error| format!("the stick in this PC does not help: {error}"))
                .map(|()| true),
            _ => Ok(false),
        };
        let by_owner = approved || stick == Ok(true);
        let answer = match judge(self.policy, standing, by_owner, window_is_open) {
            Verdict::Admit => self.admit(now_s, &open.call, node, by_owner, name),
            Verdict::AskOwner => {
                let code = Code::of(&open.call, &self.authority.public(), &call.nonce, &open.nonce);
                call.state = CallState::Waiting { code, approved };
                self.set_job(node, Job::Waiting { code });
                Answer::Waiting { again_s: WAITING_AGAIN_S }
            }
            Verdict::Refuse(reason) => {
                self.refuse(now_s, node, mac, stick.as_ref().err().map_or(reason, String::as_str))
            }
        };
        Ok((answer, to))
    }

    fn refuse(&mut self, now_s: u64, node: NodeId, mac: Mac, reason: &str) -> Answer {
        self.book.fail(mac, reason, now_s);
        self.set_job(node, Job::Failed { sentence: reason.to_owned(), unix_s: now_s });
        let again_s = if self.policy == Policy::Usb { STICK_AGAIN_S } else { REFUSED_AGAIN_S };
        Answer::Refused { reason: reason.to_owned(), again_s }
    }

    fn admit(&mut self, now_s: u64, id: &CallId, node: NodeId, approved: bool, name: &HostName) -> Answer {
        let Some(call) = self.calls.get(id) else {
            return Answer::Refused { reason: Refusal::NoCall.sentence().to_owned(), again_s: 1 };
        };
        let (mac, node_key, overlay_key) = (call.ask.mac, call.ask.node_key, call.ask.overlay_key);
        let record = self.book.nodes.entry(node).or_insert_with(|| stranger(mac));
        let is_member = matches!(record.standing, Standing::Member { .. });
        let was_approved = record.standing == Standing::Member { approved: true };
        let before = record.issued.map_or(0, |issued| issued.epoch);
        if !is_member && self.book.n_members() >= MEMBERS_MAX {
            return self.refuse(now_s, node, mac, "the cluster has as many members as it can hold");
        }
        let Some(serial) = self.book.serial.checked_add(1) else {
            return self.refuse(now_s, node, mac, "the authority has used up its serial numbers");
        };
        let claim = Claim {
            role: Role::Node,
            mac,
            serial,
            issued_s: now_s.saturating_sub(CERTIFICATE_EARLY_S),
            expires_s: now_s.saturating_add(CERTIFICATE_LIFE_S),
            node_key,
            overlay_key,
        };
        let certificate = Certificate::issue(&self.authority, claim);
        // Time itself where the server's clock is right, and more than last time where it is not.
        let epoch = u32::try_from(now_s).unwrap_or(u32::MAX).max(before.saturating_add(1));
        self.book.serial = serial;
        if let Some(record) = self.book.nodes.get_mut(&node) {
            record.standing = Standing::Member { approved: approved || was_approved };
            record.issued = Some(Issued { certificate, epoch });
            record.job = Job::Admitted { unix_s: now_s };
        }
        let admission = Admission {
            certificate,
            ring: self.ring.keys().clone(),
            roster: self.roster(),
            seeds: self.seeds(Some(node)),
            unix_s: now_s,
            epoch,
            name: name.clone(),
        };
        if let Some(call) = self.calls.get_mut(id) {
            call.state = CallState::Admitted(Box::new(admission.clone()));
        }
        self.version += 1;
        Answer::Admitted(Box::new(admission))
    }

    /// The signed pages as they are now.
    pub fn roster(&self) -> Vec<Page> {
        let (current, next) = self.ring.marks();
        let page = |(idx, page): (usize, &super::book::PageRecord)| {
            let (removed, version) = (page.removals(), page.version);
            let made = match u8::try_from(idx).ok()? {
                0 => Page::first(&self.authority, version, current, next, &removed),
                number => Page::further(&self.authority, number, version, &removed),
            };
            made.ok()
        };
        self.book.pages.iter().enumerate().filter_map(page).collect()
    }

    /// Other members, those who came last first.
    fn seeds(&self, but: Option<NodeId>) -> Vec<SocketAddrV4> {
        let is_member = |record: &&Record| matches!(record.standing, Standing::Member { .. });
        let others = self.book.nodes.iter().filter(|(node, _)| Some(**node) != but).map(|(_, record)| record);
        let mut others: Vec<&Record> = others.filter(is_member).collect();
        others.sort_by_key(|record| std::cmp::Reverse(record.called_unix_s));
        let seed = |record: &Record| Some(SocketAddrV4::new(record.address?, gossip::PORT));
        others.into_iter().filter_map(seed).take(SEEDS_MAX).collect()
    }

    /// Where members were last heard, for the server's own start.
    pub fn member_addresses(&self) -> Vec<SocketAddrV4> {
        self.seeds(None)
    }

    fn set_job(&mut self, node: NodeId, job: Job) {
        if let Some(record) = self.book.nodes.get_mut(&node) {
            record.job = job;
        }
    }

    /// The PC whose screen shows this code, if exactly one does.
    pub fn by_code(&self, code: Code) -> Option<NodeId> {
        let shows = |record: &Record| matches!(record.job, Job::Waiting { code: theirs } if theirs == code);
        let mut found = self.book.nodes.iter().filter(|(_, record)| shows(record)).map(|(node, _)| *node);
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }

    /// The owner takes a waiting PC in: the call with this code, and no other that may have taken its place.
    pub fn approve(&mut self, node: NodeId, code: Code) -> Result<(), No> {
        for call in self.calls.values_mut().filter(|call| call.ask.node() == node) {
            if let CallState::Waiting { code: theirs, approved } = &mut call.state
                && *theirs == code
            {
                *approved = true;
                return Ok(());
            }
        }
        Err(No("no PC shows this code now; look again with `duet nodes list`".to_owned()))
    }

    /// The owner takes a PC out: its certificates are void, and a new ring key is on its way to all others.
    pub fn remove(&mut self, now_s: u64, node: NodeId, key: [u8; 32]) -> Result<(), No> {
        let Some(record) = self.book.nodes.get_mut(&node) else {
            return Err(No("there is no such PC".to_owned()));
        };
        let issued = record.issued;
        if let Some(issued) = issued {
            let claim = issued.certificate.claim();
            let void = Void { serial: claim.serial, until_s: claim.expires_s };
            if self.book.void(node, void, now_s).is_none() {
                return Err(No(
                    "the roster is full; it has room again when old certificates expire".to_owned()
                ));
            }
        }
        if let Some(record) = self.book.nodes.get_mut(&node) {
            record.standing = Standing::Removed { unix_s: now_s };
            record.job = Job::Quiet;
        }
        self.calls.retain(|_, call| call.ask.node() != node);
        self.ring.void(now_s, key);
        self.touch_marks();
        Ok(())
    }

    /// Puts the next ring key on its way.
    pub fn rotate(&mut self, now_s: u64, key: [u8; 32]) -> Result<u32, No> {
        if self.ring.keys().next().is_some() {
            return Err(No("a new key is on its way already".to_owned()));
        }
        let number = self.ring.begin(now_s, key);
        self.touch_marks();
        Ok(number)
    }

    /// All live nodes have the next key: it becomes the current one.
    pub fn switch_ring(&mut self, now_s: u64) {
        if self.ring.switch(now_s) {
            self.touch_marks();
        }
    }

    /// What time alone brings: an overdue switch, an old key that goes.
    pub fn tick(&mut self, now_s: u64) {
        if self.ring.tick(now_s) {
            self.touch_marks();
        }
    }

    fn touch_marks(&mut self) {
        if let Some(page) = self.book.pages.first_mut() {
            page.version += 1;
        }
        self.version += 1;
    }

    pub fn open_window(&mut self, now_s: u64, minutes: u16) -> u64 {
        self.book.window_until_s = now_s.saturating_add(u64::from(minutes) * 60);
        self.version += 1;
        self.book.window_until_s
    }

    /// The authority's word for the key of a stick.
    pub fn stick_pass(&self, now_s: u64, days: u16, key: StickPublic) -> Result<Pass, No> {
        // Sticks of the second in which all before were made void must not look like those.
        let issued_s = now_s.max(self.book.sticks_from_s);
        Pass::issue(&self.authority, issued_s, days, key)
            .map_err(|_| No(format!("a stick lives 1 to {} days", admission::STICK_DAYS_MAX)))
    }

    /// Every stick that was written until now admits nobody any more.
    pub fn void_sticks(&mut self, now_s: u64) {
        self.book.sticks_from_s = self.book.sticks_from_s.max(now_s.saturating_add(1));
        self.version += 1;
    }

    /// An order to a member: where it goes, whose answer counts, and the order itself.
    pub fn order(
        &self,
        now_s: u64,
        node: NodeId,
        wish: Wish,
        nonce: [u8; 16],
        reply_to: BoxPublic,
    ) -> Result<(Ipv4Addr, NodePublic, Order), No> {
        let record = self.book.nodes.get(&node).ok_or(No("there is no such PC".to_owned()))?;
        let member = matches!(record.standing, Standing::Member { .. });
        let (Some(issued), Some(address), true) = (record.issued, record.address, member) else {
            return Err(No("this PC is no member of the cluster".to_owned()));
        };
        let order = Order::new(&self.authority, node, wish, now_s, nonce, reply_to);
        Ok((address, issued.certificate.claim().node_key, order))
    }

    /// A certificate for the boot server itself, which watches the gossip.
    pub fn own_certificate(&mut self, now_s: u64, node_key: NodePublic) -> Option<Certificate> {
        let serial = self.book.serial.checked_add(1)?;
        self.book.serial = serial;
        self.version += 1;
        let claim = Claim {
            role: Role::Server,
            mac: Mac([0; 6]),
            serial,
            issued_s: now_s.saturating_sub(CERTIFICATE_EARLY_S),
            expires_s: now_s.saturating_add(CERTIFICATE_LIFE_S),
            node_key,
            overlay_key: admission::OverlayPublic([0; 32]),
        };
        Some(Certificate::issue(&self.authority, claim))
    }

    pub fn key_ring(&self) -> &KeyRing {
        self.ring.keys()
    }

    pub fn proof(&self) -> Proof {
        self.proof
    }

    pub fn failures(&self) -> impl DoubleEndedIterator<Item = &Failure> {
        self.book.failures.iter()
    }
}

fn stranger(mac: Mac) -> Record {
    Record {
        mac,
        hardware: admission::Hardware::default(),
        release: String::new(),
        address: None,
        standing: Standing::Stranger,
        job: Job::Quiet,
        issued: None,
        called_unix_s: 0,
    }
}

/// A fresh key for the ring of a new cluster.
pub fn first_key(random: [u8; 32]) -> RingKey {
    RingKey::new(1, random)
}

#[cfg(test)]
mod tests;
