//! Real sockets on loopback: nodes meet, part, and keep strangers out.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use admission::{
    AuthoritySecret, Certificate, Claim, ClusterId, KeyRing, NodeSecret, OverlayPublic, Page, RingKey, Role,
    Roster,
};
use cluster::{Config, Event, Facts, Health, Service};
use gossip::{Gossip, Order, PORT, Picture};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A test that waits longer than this hangs.
const WAIT_MAX: Duration = Duration::from_secs(60);

fn authority(n: u8) -> AuthoritySecret {
    AuthoritySecret::from_seed(&[n; 32])
}

fn ring(n: u8) -> RingKey {
    RingKey::new(1, [n; 32])
}

/// Every test process has hosts of its own: all of 127/8 is loopback.
fn address(test: u8, n: u8) -> SocketAddrV4 {
    let pid = std::process::id();
    SocketAddrV4::new(Ipv4Addr::new(127, (pid >> 6) as u8 | 1, (pid << 2) as u8 | test, n), PORT)
}

fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A node that is certified by `by` and seals with `ring`.
fn config(test: u8, n: u8, by: &AuthoritySecret, ring: RingKey) -> Config {
    let key = NodeSecret::from_seed(&[n; 32]);
    let unix_s = unix_s();
    let claim = Claim {
        role: Role::Node,
        mac: format!("52:54:00:77:00:{n:02x}").parse().unwrap(),
        serial: n.into(),
        issued_s: unix_s - 60,
        expires_s: unix_s + 3600,
        node_key: key.public(),
        overlay_key: OverlayPublic([n; 32]),
    };
    let mut roster = Roster::default();
    roster.merge(Page::first(by, 1, ring.mark(), None, &[]).unwrap(), &by.public()).unwrap();
    Config {
        authority: by.public(),
        certificate: Certificate::issue(by, claim),
        key,
        ring: KeyRing::new(ring),
        roster,
        addr: address(test, n),
        epoch: unix_s as u32,
        unix_s,
        seeds: vec![address(test, 1)],
        last_known: Vec::new(),
        seed: n.into(),
    }
}

/// A certificate of the second authority that names the first one's cluster.
fn forged(certificate: &Certificate) -> Certificate {
    let mut bytes = certificate.encode();
    let cluster = |n| ClusterId::of(&authority(n).public()).0;
    let at = bytes.windows(5).position(|part| part == cluster(2)).unwrap();
    bytes[at..at + 5].copy_from_slice(&cluster(1));
    Certificate::decode(&bytes).unwrap()
}

/// A host with one service, which answers `busy` callers.
fn facts(busy: u16) -> Vec<u8> {
    let service = Service { name: "chat".into(), port: 8081, health: Health::Passing, busy, slots: 4 };
    Facts { name: "host".into(), services: vec![service], ..Facts::default() }.encode().unwrap()
}

struct Host {
    gossip: Gossip,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Host {
    fn start(config: Config) -> Host {
        let events = Arc::new(Mutex::new(Vec::new()));
        let heard = events.clone();
        let listen = config.addr.into();
        let on_event = Box::new(move |event: &Event| heard.lock().unwrap().push(*event));
        let gossip = Gossip::start(listen, config, on_event).unwrap();
        gossip.order(Order::Publish(facts(0)));
        Host { gossip, events }
    }

    #[track_caller]
    fn wait(&self, what: &str, is_so: impl Fn(&Picture) -> bool) {
        let start = Instant::now();
        while !is_so(&self.gossip.picture()) {
            assert!(start.elapsed() < WAIT_MAX, "{what}: {:#?}", self.gossip.picture());
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}

impl Host {
    #[track_caller]
    fn wait_event(&self, what: &str, is_it: impl Fn(&Event) -> bool) {
        let start = Instant::now();
        while !self.events.lock().unwrap().iter().any(&is_it) {
            assert!(start.elapsed() < WAIT_MAX, "{what}: {:?}", self.events.lock().unwrap());
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}

fn n_known(picture: &Picture) -> usize {
    picture.members.iter().filter(|member| member.is_alive() && member.facts.is_some()).count()
}

#[test]
fn three_nodes_meet_and_hear_a_goodbye() {
    let hosts: Vec<Host> = (1..=3).map(|n| Host::start(config(0, n, &authority(1), ring(1)))).collect();
    hosts.iter().for_each(|host| host.wait("all three know each other", |picture| n_known(picture) == 3));
    let [first, second, third] = hosts.try_into().unwrap_or_else(|_| unreachable!());
    drop(third);
    for host in [&first, &second] {
        host.wait("a goodbye was heard", |picture| picture.members.iter().any(|m| m.standing == "left"));
        // The news of the end, from another node, may overtake the goodbye itself; what stays is the goodbye.
        host.wait_event("the goodbye is told", |event| matches!(event, Event::Left(_)));
    }
}

#[test]
fn garbage_and_another_cluster_are_counted_and_change_nothing() {
    let host = Host::start(config(1, 1, &authority(1), ring(1)));
    let stranger = Host::start(config(1, 2, &authority(2), ring(2)));
    let socket = UdpSocket::bind((*address(1, 3).ip(), 0)).unwrap();
    for n in 0..200u32 {
        let bytes: Vec<u8> = (0..n * 8).map(|at| (at * 31 + n) as u8).collect();
        socket.send_to(&bytes, address(1, 1)).unwrap();
    }
    host.wait("both strangers are told", |picture| picture.senders.len() == 2);
    assert_eq!((host.gossip.picture().n_alive, stranger.gossip.picture().n_alive), (1, 1));
}

#[test]
fn a_stolen_ring_key_without_a_certificate_makes_no_member() {
    let host = Host::start(config(2, 1, &authority(1), ring(1)));
    // It has the ring key, and a certificate of its own making.
    let mut config = config(2, 2, &authority(2), ring(1));
    config.certificate = forged(&config.certificate);
    config.authority = authority(1).public();
    let thief = Host::start(config);
    let refused = |picture: &Picture| picture.refused.iter().any(|(why, _)| why.starts_with("records"));
    host.wait("its record is refused", refused);
    let picture = host.gossip.picture();
    assert!(picture.members.iter().all(|member| member.is_self || !member.is_alive()), "{picture:#?}");
    assert!(picture.members.iter().all(|member| member.is_self || member.certificate.is_none()));
    drop(thief);
}

#[test]
fn a_failed_call_makes_a_service_critical_for_the_caller_until_its_node_speaks_anew() {
    let hosts: Vec<Host> = (1..=3).map(|n| Host::start(config(3, n, &authority(1), ring(1)))).collect();
    hosts.iter().for_each(|host| host.wait("all three know each other", |picture| n_known(picture) == 3));
    let [first, second, third] = hosts.try_into().unwrap_or_else(|_| unreachable!());
    let node = third.gossip.picture().own;
    let health = move |picture: &Picture| {
        let member = picture.members.iter().find(|member| member.id == node).unwrap();
        (member.health("chat"), member.health("no such service"))
    };
    first.gossip.order(Order::Suspect { node, service: "chat".into() });
    first.wait("the caller doubts it", |picture| health(picture) == (Some(Health::Critical), None));
    first.wait_event("the doubt is told", |event| *event == Event::Doubted(node));
    assert_eq!(health(&second.gossip.picture()).0, Some(Health::Passing), "another caller may reach it");
    third.gossip.order(Order::Publish(facts(1)));
    first.wait("a new word of its node counts", |picture| health(picture).0 == Some(Health::Passing));
    drop(third);
    first.wait("a node that is gone serves nobody", |picture| health(picture).0 == Some(Health::Critical));
}
