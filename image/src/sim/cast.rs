//! Who plays in the simulation: an authority, nodes with keys and certificates, and what they say of themselves.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex};

use admission::{
    AuthoritySecret, Certificate, Claim, Error, KeyRing, NodeId, NodeSecret, OverlayPublic, Page, Removal,
    RingKey, Role, Roster,
};
use cluster::{Facts, Hardware, Keys, Record, Service, Witness};
use release::Mac;

/// The boot server's clock at the start of every story.
pub const UNIX_S: u64 = 1_800_000_000;
const PORT: u16 = 7947;
const YEAR_S: u64 = 365 * 24 * 3600;

/// One PC, through all its boots.
pub struct Actor {
    pub node: NodeId,
    pub addr: SocketAddrV4,
    mac: Mac,
}

/// The authority and everything that it signs.
pub struct Cast {
    authority: AuthoritySecret,
    pub actors: Vec<Actor>,
    serial: u32,
    page_version: u64,
    removed: Vec<Removal>,
    ring: Vec<RingKey>,
    memory: Memory,
}

impl Cast {
    pub fn new(n: usize, seed: u64) -> Cast {
        let actor = |idx: usize| {
            let [a, b, c, d] = (idx as u32 + 1).to_be_bytes();
            let mac = Mac([0x52, 0x54, a, b, c, d]);
            let addr = SocketAddrV4::new(Ipv4Addr::from(0x0a00_0001 + idx as u32), PORT);
            Actor { node: NodeId::of_mac(mac), addr, mac }
        };
        let mut authority_seed = [7; 32];
        authority_seed[..8].copy_from_slice(&seed.to_be_bytes());
        Cast {
            authority: AuthoritySecret::from_seed(&authority_seed),
            actors: (0..n).map(actor).collect(),
            serial: 0,
            page_version: 0,
            removed: Vec::new(),
            ring: vec![RingKey::new(1, [1; 32])],
            memory: Memory::default(),
        }
    }

    /// Lets an actor call home: new keys and a new certificate.
    pub fn admit(&mut self, idx: usize) -> (Certificate, NodeSecret) {
        let (claim, key) = self.claim(idx);
        (Certificate::issue(&self.authority, claim), key)
    }

    /// What an actor has who was never admitted: another authority's word for the same cluster.
    pub fn forge(&mut self, idx: usize) -> (Certificate, NodeSecret) {
        let (claim, key) = self.claim(idx);
        let mut bytes = Certificate::issue(&AuthoritySecret::from_seed(&[66; 32]), claim).encode();
        bytes[1..6].copy_from_slice(&self.authority.cluster().0);
        (Certificate::decode(&bytes).expect("only the cluster was changed"), key)
    }

    fn claim(&mut self, idx: usize) -> (Claim, NodeSecret) {
        self.serial += 1;
        let mut seed = [3; 32];
        seed[..4].copy_from_slice(&self.serial.to_be_bytes());
        let key = NodeSecret::from_seed(&seed);
        let claim = Claim {
            role: Role::Node,
            mac: self.actors[idx].mac,
            serial: self.serial,
            issued_s: UNIX_S - 60,
            expires_s: UNIX_S + YEAR_S,
            node_key: key.public(),
            overlay_key: OverlayPublic([9; 32]),
        };
        (claim, key)
    }

    pub fn authority(&self) -> admission::AuthorityPublic {
        self.authority.public()
    }

    pub fn cluster(&self) -> admission::ClusterId {
        self.authority.cluster()
    }

    pub fn ring(&self) -> KeyRing {
        let newest = self.ring.last().expect("there is a first key").clone();
        let before = self.ring.len().checked_sub(2).map(|idx| self.ring[idx].clone());
        KeyRing::of(before, newest, None).expect("the numbers rise")
    }

    /// The roster as a newcomer gets it.
    pub fn roster(&mut self) -> Roster {
        let mut roster = Roster::default();
        let page = Page::decode(&self.page(false)).expect("it was made here");
        roster.merge(page, &self.authority.public()).expect("it was signed here");
        roster
    }

    /// Removes a PC: the page that says so.
    pub fn remove(&mut self, idx: usize) -> Vec<u8> {
        let node = self.actors[idx].node;
        self.removed.retain(|removal| removal.node != node);
        self.removed.push(Removal { node, serial: self.serial });
        self.page(true)
    }

    /// A new ring key, and the page that names it.
    pub fn rotate(&mut self) -> (RingKey, Vec<u8>) {
        let number = self.ring.len() as u32 + 1;
        let key = RingKey::new(number, [number as u8; 32]);
        let current = self.ring.last().expect("there is a first key").mark();
        self.ring.push(key.clone());
        self.page_version += 1;
        let page = Page::first(&self.authority, self.page_version, current, Some(key.mark()), &self.removed);
        (key, page.expect("it is within its limits").encode())
    }

    fn page(&mut self, is_new: bool) -> Vec<u8> {
        self.page_version += u64::from(is_new || self.page_version == 0);
        let current = self.ring.last().expect("there is a first key").mark();
        let page = Page::first(&self.authority, self.page_version, current, None, &self.removed);
        page.expect("it is within its limits").encode()
    }

    pub fn witness(&self) -> Box<dyn Witness> {
        Box::new(Remembering { keys: Keys::new(self.authority.public()), memory: self.memory.clone() })
    }
}

/// Answers that one node got and all may use: a signature's truth follows from its bytes alone.
type Memory = Arc<Mutex<HashMap<[u8; 32], bool>>>;

struct Remembering {
    keys: Keys,
    memory: Memory,
}

impl Witness for Remembering {
    fn vouch(&mut self, record: &Record) -> Result<(), Error> {
        let hash = *blake3::hash(record.bytes()).as_bytes();
        let mut memory = self.memory.lock().expect("no other thread died with it");
        let is_true = *memory.entry(hash).or_insert_with(|| self.keys.vouch(record).is_ok());
        if is_true { Ok(()) } else { Err(Error::Signature { what: "a record" }) }
    }
}

/// Facts of a usual PC, about 300 bytes; `mark` tells one saying from the next.
pub fn facts(idx: usize, mark: u32) -> Vec<u8> {
    let service = |name: &str, port| Service { name: name.to_owned(), port, slots: 2, ..Service::default() };
    let facts = Facts {
        name: format!("duet-{idx:06}"),
        uptime_s: mark,
        image: "trixie-0123456789ab".to_owned(),
        build: "0.1.0+0123456789ab".to_owned(),
        hardware: Hardware {
            processor: "Intel(R) Core(TM)2 Duo CPU E8400 @ 3.00GHz".to_owned(),
            cores: 2,
            mhz: 3000,
            isa: 0b1111,
            ram_mb: 3900,
            ram_free_mb: 2100,
            wire_mbit: 1000,
            ..Hardware::default()
        },
        services: vec![service("llama-api-main", 8081), service("stages", 50052), service("agent", 8000)],
        models: ["bonsai-1.7b-q1_0", "smollm2-135m-q4_k_m", "tiny.en-q8_0"]
            .map(|name| cluster::Model { name: name.to_owned(), size_mb: 231, is_loaded: true })
            .to_vec(),
        speeds: ["decode/bonsai-1.7b", "prompt/bonsai-1.7b", "memory", "stt/tiny.en"]
            .map(|what| cluster::Speed { what: what.to_owned(), milli: 17_500 })
            .to_vec(),
        overlay_port: 51820,
        room_mb: 2688,
        ..Facts::default()
    };
    facts.encode().expect("they are within their limits")
}
