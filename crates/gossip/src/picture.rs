//! What a node knows, taken out of it at one moment: for pages, programs and the overlay.

use admission::{Certificate, ClusterId, NodeId, Role, overlay_address};
use cluster::{Counters, Facts, Health, MemberView, Node, Sight, Standing};
use serde::{Serialize, Serializer};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::time::Instant;

/// Bad senders that are told; the page shows the loudest.
const SENDERS_MAX: usize = 16;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Picture {
    #[serde(serialize_with = "as_text")]
    pub own: NodeId,
    /// Number of the ring key in use.
    pub ring: u32,
    pub n_alive: u16,
    /// Nodes that agree on who is alive have the same.
    pub agreement: u32,
    pub members: Vec<Member>,
    pub traffic: Traffic,
    /// Everything that was not accepted, by reason.
    pub refused: Vec<(&'static str, u64)>,
    pub senders: Vec<BadSender>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Member {
    #[serde(serialize_with = "as_text")]
    pub id: NodeId,
    pub is_self: bool,
    pub role: &'static str,
    /// The name it gives itself; empty until its record is here.
    pub name: String,
    pub address: SocketAddrV4,
    pub overlay: Option<Ipv6Addr>,
    pub standing: &'static str,
    /// How long it has been so.
    pub for_s: u64,
    /// How long ago a datagram of it came here.
    pub heard_s: Option<u64>,
    /// How many nodes it sees alive, as it last told, and its own mark of agreement.
    pub sees: Option<(u16, u32)>,
    pub facts: Option<Facts>,
    /// Why there are no facts, where a record came.
    pub unread: Option<String>,
    /// Services that failed for this node since the record was made.
    pub doubted: Vec<String>,
    #[serde(skip)]
    pub certificate: Option<Certificate>,
}

impl Member {
    pub fn is_alive(&self) -> bool {
        self.standing == name_of(Standing::Member)
    }

    pub fn is_down(&self) -> bool {
        self.standing == name_of(Standing::Down)
    }

    /// What a service is worth here: critical while its calls fail or its node is away, whatever the node says.
    /// None if the node tells no such service.
    pub fn health(&self, service: &str) -> Option<Health> {
        let told = self.facts.as_ref()?.services.iter().find(|known| known.name == service)?.health;
        let is_doubted = !self.is_alive() || self.doubted.iter().any(|known| known == service);
        Some(if is_doubted { Health::Critical } else { told })
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    pub sent: u64,
    pub sent_bytes: u64,
    pub received: u64,
    pub received_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BadSender {
    pub address: Ipv4Addr,
    pub n: u64,
    pub last_s: u64,
}

pub(crate) fn take(node: &Node, cluster: ClusterId, now: Instant) -> Picture {
    let view = node.view();
    let own = view.own.node;
    let mut senders: Vec<BadSender> = view.senders.iter().map(|sender| bad_sender(sender, now)).collect();
    senders.sort_by_key(|sender| std::cmp::Reverse(sender.n));
    senders.truncate(SENDERS_MAX);
    let c = view.counters;
    Picture {
        own,
        ring: view.ring,
        n_alive: view.sight.alive,
        agreement: view.sight.hash,
        members: view.members.iter().map(|seen| member(seen, own, cluster)).collect(),
        traffic: Traffic {
            sent: c.sent,
            sent_bytes: c.sent_bytes,
            received: c.received,
            received_bytes: c.received_bytes,
        },
        refused: refused(c),
        senders,
    }
}

fn member(seen: &MemberView, own: NodeId, cluster: ClusterId) -> Member {
    let certificate = seen.record.map(|record| record.certificate);
    let is_server = certificate.is_some_and(|certificate| certificate.claim().role == Role::Server);
    Member {
        id: seen.id.node,
        is_self: seen.id.node == own,
        role: if is_server { "server" } else { "node" },
        name: seen.facts.map(|facts| facts.name.clone()).unwrap_or_default(),
        address: seen.id.addr,
        overlay: (certificate.is_some() && !is_server).then(|| overlay_address(cluster, seen.id.node)),
        standing: name_of(seen.standing),
        for_s: seen.for_ms / 1000,
        heard_s: seen.heard_ms.map(|ms| ms / 1000),
        sees: seen.sight.map(|Sight { alive, hash, .. }| (alive, hash)),
        facts: seen.facts.cloned(),
        unread: seen.unread.map(|why| why.to_string()),
        doubted: seen.doubted.to_vec(),
        certificate,
    }
}

fn name_of(standing: Standing) -> &'static str {
    match standing {
        Standing::Member => "alive",
        Standing::Arriving => "arriving",
        Standing::Uncertified => "uncertified",
        Standing::Down => "down",
        Standing::Left => "left",
        Standing::Removed => "removed",
    }
}

fn refused(c: &Counters) -> Vec<(&'static str, u64)> {
    let all = [
        ("sealed with no key of ours", c.unsealed),
        ("of an unknown ring key", c.unknown_key),
        ("malformed", c.malformed),
        ("replayed", c.replayed),
        ("of an impossible life", c.implausible),
        ("from removed nodes", c.barred),
        ("from more nodes than the table holds", c.crowded),
        ("records without a true signature", c.records_refused),
        ("roster pages without a true signature", c.pages_refused),
        ("ring keys without proof", c.ring_keys_refused),
    ];
    all.into_iter().filter(|(_, n)| *n > 0).collect()
}

fn bad_sender(sender: &cluster::Sender, now: Instant) -> BadSender {
    let last_s = now.saturating_duration_since(sender.last).as_secs();
    BadSender { address: sender.addr, n: sender.n, last_s }
}

fn as_text<S: Serializer>(id: &NodeId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}
