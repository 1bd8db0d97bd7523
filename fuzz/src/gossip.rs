//! What strangers, and holders of a stolen ring key, can send to a node of the cluster.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use admission::{
    AuthoritySecret, Certificate, Claim, ClusterId, Error, KeyRing, NodeId, NodeSecret, OverlayPublic, Page,
    RingKey, Role, Roster,
};
use cluster::envelope::{self, NONCE_BYTES};
use cluster::{
    BODY_BYTES_MAX, Config, DATAGRAM_BYTES_MAX, Facts, Input, MEMBERS_MAX, Node, OVERHEAD_BYTES, Output,
    RECORD_BYTES_MAX, Record, Standing, Witness,
};
use release::Mac;

const UNIX_S: u64 = 1_800_000_000;
const EPOCH: u32 = UNIX_S as u32;
/// Answers to one datagram: lists and records in bulk are bounded by what was asked.
const ANSWERS_MAX: usize = 96;

fn ring() -> KeyRing {
    KeyRing::new(RingKey::new(1, [1; 32]))
}

/// A datagram as it comes: any bytes, and the same bytes as a text that is sealed and bent.
pub fn gossip_envelope(bytes: &[u8]) {
    let cluster = ClusterId([1, 2, 3, 4, 5]);
    assert!(envelope::open(&ring(), cluster, bytes).is_err(), "something opened that was never sealed");
    let Some((at, text)) = bytes.split_first() else { return };
    if text.len() > DATAGRAM_BYTES_MAX - OVERHEAD_BYTES {
        return;
    }
    let mut sealed = envelope::seal(ring().current(), cluster, [*at; NONCE_BYTES], text);
    assert_eq!(envelope::open(&ring(), cluster, &sealed).as_deref(), Ok(text));
    let idx = usize::from(*at) * 7 % sealed.len();
    sealed[idx] ^= 1 << (at & 7);
    assert!(envelope::open(&ring(), cluster, &sealed).is_err(), "a bent datagram opened");
}

/// A body of facts, or a whole record.
pub fn gossip_facts(bytes: &[u8]) {
    if let Ok(facts) = Facts::decode(bytes) {
        let body = facts.encode().expect("what was read can be written");
        assert!(body.len() <= BODY_BYTES_MAX);
        assert_eq!(Facts::decode(&body), Ok(facts));
    }
    if let Ok(record) = Record::decode(bytes) {
        assert!(record.bytes() == bytes && bytes.len() <= RECORD_BYTES_MAX);
        assert!(record.body().len() <= BODY_BYTES_MAX && record.certificate.node() == record.node());
        let _ = Facts::decode(record.body());
    }
}

fn node_of(idx: u8) -> (Mac, NodeId, SocketAddrV4) {
    let mac = Mac([0x52, 0x54, 0, 0, 0, idx]);
    (mac, NodeId::of_mac(mac), SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, idx), 7947))
}

/// Believes the one record that was signed, as the real witness would, without the cost.
struct Known;

impl Witness for Known {
    fn vouch(&mut self, record: &Record) -> Result<(), Error> {
        let is_known = record.bytes() == signed_record();
        if is_known { Ok(()) } else { Err(Error::Signature { what: "a record" }) }
    }
}

fn config(idx: u8) -> Config {
    static CONFIGS: OnceLock<Vec<(Certificate, NodeSecret)>> = OnceLock::new();
    static ROSTER: OnceLock<Roster> = OnceLock::new();
    let authority = AuthoritySecret::from_seed(&[7; 32]);
    let made = CONFIGS.get_or_init(|| {
        let claim = |idx: u8, key: &NodeSecret| Claim {
            role: Role::Node,
            mac: node_of(idx).0,
            serial: 1,
            issued_s: UNIX_S - 60,
            expires_s: UNIX_S + 1_000_000,
            node_key: key.public(),
            overlay_key: OverlayPublic([9; 32]),
        };
        let make = |idx: u8| {
            let key = NodeSecret::from_seed(&[idx; 32]);
            (Certificate::issue(&authority, claim(idx, &key)), key)
        };
        (0..3).map(make).collect()
    });
    let roster = ROSTER.get_or_init(|| {
        let removed = [admission::Removal { node: node_of(5).1, serial: 9 }];
        let page = Page::first(&authority, 3, ring().current().mark(), None, &removed);
        let mut roster = Roster::default();
        roster.merge(page.expect("it is short"), &authority.public()).expect("it is signed");
        roster
    });
    let (certificate, key) = made[usize::from(idx)].clone();
    Config {
        authority: authority.public(),
        certificate,
        key,
        ring: ring(),
        roster: roster.clone(),
        addr: node_of(idx).2,
        epoch: EPOCH,
        unix_s: UNIX_S,
        seeds: Vec::new(),
        last_known: Vec::new(),
        seed: 1,
    }
}

fn node(now: Instant, idx: u8) -> Node {
    let mut node = Node::new(now, config(idx), Box::new(Known), Box::new(|bytes| bytes.fill(4)));
    let facts = Facts { name: "kitchen".to_owned(), ..Facts::default() };
    node.handle(now, Input::Publish(facts.encode().expect("it is short")));
    node
}

fn signed_record() -> &'static [u8] {
    static RECORD: OnceLock<Vec<u8>> = OnceLock::new();
    RECORD.get_or_init(|| {
        let now = Instant::now();
        let node = node(now, 2);
        node.record(node_of(2).1).expect("it has published").bytes().to_vec()
    })
}

/// The matter of a message in the frame of a sender, sealed with the true key.
fn datagram(sender: u8, epoch: u32, counter: u32, matter: &[u8]) -> Vec<u8> {
    let (_, id, addr) = node_of(sender);
    let mut text = Vec::with_capacity(64 + matter.len());
    text.extend(id.0.to_be_bytes());
    text.extend(epoch.to_be_bytes());
    text.extend(addr.ip().octets());
    text.extend(addr.port().to_be_bytes());
    text.extend(counter.to_be_bytes());
    // How the sender sees the cluster: other than the node does.
    text.extend([0xee, 1, 2, 3, 0, 2, 9, 9, 9, 9, 0, 0, 0, 1]);
    text.extend(matter);
    text.truncate(DATAGRAM_BYTES_MAX - OVERHEAD_BYTES);
    envelope::seal(ring().current(), config(1).certificate.cluster(), [sender; NONCE_BYTES], &text)
}

/// Messages from somebody who has the ring key: each a byte of sender and time, two of length, then its matter.
pub fn gossip_node(bytes: &[u8]) {
    let mut now = Instant::now();
    let mut target = node(now, 1);
    let (mut counter, mut epoch_before) = (0, 0);
    let friend = [&[10u8][..], &(signed_record().len() as u16).to_be_bytes(), signed_record()].concat();
    let mut rest = bytes;
    let mut next: Option<(u8, &[u8])> = Some((2, &friend));
    while let Some((how, matter)) = next {
        counter += 1;
        let epoch = EPOCH + u32::from(how >> 3 & 3);
        let sealed = datagram(how & 7, epoch, counter, matter);
        let from = node_of(how & 7).2;
        target.handle(now, Input::Datagram { from, bytes: &sealed });
        drain(&mut target);
        let pause = [0, 20, 300, 5000][usize::from(how >> 5 & 3)];
        now += Duration::from_millis(pause);
        // Wakes on time, so that chores run, but not for ever.
        for _ in 0..64 {
            let Some(due) = target.deadline().filter(|due| *due <= now) else { break };
            target.handle(due, Input::Time);
            drain(&mut target);
        }
        let view = target.view();
        assert!(view.members.len() <= MEMBERS_MAX && view.own.epoch >= epoch_before);
        epoch_before = view.own.epoch;
        let friends = [node_of(1).1, node_of(2).1];
        let is_member = |member: &&cluster::MemberView<'_>| member.standing == Standing::Member;
        assert!(view.members.iter().filter(is_member).all(|member| friends.contains(&member.id.node)));
        assert!(target.deadline().is_some(), "the node fell asleep for ever");
        next = match rest {
            [how, high, low, after @ ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]) % 1400).min(after.len());
                let (matter, after) = after.split_at(length);
                rest = after;
                Some((*how, matter))
            }
            _ => None,
        };
    }
}

fn drain(target: &mut Node) {
    let mut sent = 0;
    while let Some(output) = target.poll() {
        if let Output::Send { to, bytes } = output {
            sent += 1;
            assert!(bytes.len() <= DATAGRAM_BYTES_MAX && to.port() != 0);
        }
    }
    assert!(sent <= ANSWERS_MAX, "one event made {sent} datagrams");
}
