//! What the overlay's process is to set up, from what the gossip knows; pure.
//!
//! Only nodes whose certificate holds come in. A node that is down stays for a while: if it is only the gossip that
//! lost it, its connections go on. A removed node is out with the next picture.

use gossip::{Member, Picture};
use serde::Serialize;
use std::net::{Ipv6Addr, SocketAddrV4};

/// The wish's name in the agent's own folder, where the overlay's process looks for it.
pub const WISH_FILE: &str = "overlay.json";
/// How long a lost node stays a peer.
const LOST_S_MAX: u64 = 600;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wish {
    pub address: Ipv6Addr,
    pub peers: Vec<Peer>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Peer {
    pub key: String,
    pub address: Ipv6Addr,
    pub endpoint: SocketAddrV4,
}

/// Nothing while the node itself has no place on the overlay.
pub fn wish(picture: &Picture, unix_s: u64) -> Option<Wish> {
    let own = picture.members.iter().find(|member| member.is_self)?;
    let others = picture.members.iter().filter(|member| !member.is_self);
    let mut peers: Vec<Peer> = others.filter_map(|member| peer(member, unix_s)).collect();
    peers.sort_by_key(|peer| peer.address);
    Some(Wish { address: own.overlay?, peers })
}

fn peer(member: &Member, unix_s: u64) -> Option<Peer> {
    let is_lately_lost = member.is_down() && member.for_s <= LOST_S_MAX;
    let certificate = member.certificate.filter(|certificate| certificate.is_valid_at(unix_s))?;
    let port = member.facts.as_ref().map(|facts| facts.overlay_port).filter(|port| *port != 0)?;
    if !member.is_alive() && !is_lately_lost {
        return None;
    }
    let key = certificate.claim().overlay_key.to_hex();
    Some(Peer { key, address: member.overlay?, endpoint: SocketAddrV4::new(*member.address.ip(), port) })
}
