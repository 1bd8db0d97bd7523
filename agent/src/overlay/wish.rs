//! What the agent wishes: this node's address in the overlay and its peers, read strictly from `overlay.json`.
//!
//! A file that is no such JSON is refused as a whole. A peer that cannot be is left out alone: what one node says of
//! itself must not keep the removal of another from the kernel.

use super::key::Key;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Longest `overlay.json`: the most peers, at less than 200 bytes each, with room.
pub const WISH_BYTES_MAX: usize = 512 * 1024;
/// Peers of one node; the largest cluster on paper has 1000 nodes.
pub const PEERS_MAX: usize = 1024;
/// The bits of an overlay address that all nodes of a cluster share.
pub const PREFIX_BITS: u8 = 64;

/// Nothing is wished while there is no file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    pub address: Option<Ipv6Addr>,
    pub peers: BTreeMap<Key, Peer>,
    /// Peers that were left out, and why the first of them was.
    pub left_out: Option<LeftOut>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub address: Ipv6Addr,
    pub endpoint: SocketAddr,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    pub n_peers: usize,
    pub first: String,
}

/// Why a whole file is refused.
#[derive(Debug, PartialEq, Eq)]
pub enum WishError {
    /// More bytes than [`WISH_BYTES_MAX`].
    Long,
    /// Not the JSON that the agent writes.
    Shape(String),
    /// The node's own address is not one of an overlay.
    Address(Ipv6Addr),
    /// More peers than [`PEERS_MAX`].
    Peers(usize),
}

impl fmt::Display for WishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WishError::Long => write!(f, "overlay.json is longer than {WISH_BYTES_MAX} bytes"),
            WishError::Shape(what) => write!(f, "overlay.json is not understood: {what}"),
            WishError::Address(address) => {
                write!(f, "overlay.json gives {address}, which is no overlay address")
            }
            WishError::Peers(n) => write!(f, "overlay.json names {n} peers, more than {PEERS_MAX}"),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    address: Ipv6Addr,
    peers: Vec<FilePeer>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePeer {
    key: String,
    address: Ipv6Addr,
    endpoint: SocketAddr,
}

impl Wish {
    /// `own` is the node's own key: no node is its own peer.
    pub fn parse(bytes: &[u8], own: Key) -> Result<Wish, WishError> {
        if bytes.len() > WISH_BYTES_MAX {
            return Err(WishError::Long);
        }
        let file: File = serde_json::from_slice(bytes).map_err(|e| WishError::Shape(e.to_string()))?;
        if !is_overlay(file.address) {
            return Err(WishError::Address(file.address));
        }
        if file.peers.len() > PEERS_MAX {
            return Err(WishError::Peers(file.peers.len()));
        }
        let mut wish = Wish { address: Some(file.address), ..Wish::default() };
        let mut taken = BTreeSet::from([file.address]);
        for peer in &file.peers {
            match checked(peer, file.address, own) {
                Ok(key) if wish.peers.contains_key(&key) => wish.leave_out(peer, "its key is named twice"),
                Ok(_) if !taken.insert(peer.address) => wish.leave_out(peer, "its address is another's"),
                Ok(key) => {
                    wish.peers.insert(key, Peer { address: peer.address, endpoint: peer.endpoint });
                }
                Err(why) => wish.leave_out(peer, why),
            }
        }
        Ok(wish)
    }

    fn leave_out(&mut self, peer: &FilePeer, why: &str) {
        match &mut self.left_out {
            Some(left_out) => left_out.n_peers += 1,
            None => self.left_out = Some(LeftOut { n_peers: 1, first: format!("{}: {why}", peer.address) }),
        }
    }
}

fn checked(peer: &FilePeer, address: Ipv6Addr, own: Key) -> Result<Key, &'static str> {
    let key = Key::parse(&peer.key).ok_or("its key is not 64 hex digits")?;
    if key == own {
        return Err("it is this node itself");
    }
    if prefix(peer.address) != prefix(address) {
        return Err("it belongs to another overlay");
    }
    let to = peer.endpoint;
    let nowhere = to.port() == 0 || to.ip().is_unspecified() || to.ip().is_multicast();
    if nowhere || matches!(to.ip(), IpAddr::V4(ip) if ip.is_broadcast()) {
        return Err("its endpoint is nobody's");
    }
    Ok(key)
}

/// Whether an address is locally made (RFC 4193 section 3.1) and somebody's.
fn is_overlay(address: Ipv6Addr) -> bool {
    address.octets()[0] == 0xfd && address.octets()[8..] != [0; 8]
}

fn prefix(address: Ipv6Addr) -> u64 {
    address.to_bits().wrapping_shr(64) as u64
}

#[cfg(test)]
pub mod testing {
    use super::*;

    /// A key for tests, by number.
    pub fn key(n: u8) -> Key {
        Key([n; super::super::key::KEY_BYTES])
    }

    pub fn address(n: u16) -> Ipv6Addr {
        Ipv6Addr::new(0xfd01, 0x203, 0x405, 0, 0, 0, 0, n)
    }

    pub fn peer(n: u8) -> Peer {
        Peer { address: address(n.into()), endpoint: SocketAddr::from(([10, 0, 0, n], 51820)) }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{address, key, peer};
    use super::*;

    fn peer_text(n: u8) -> String {
        let Peer { address, endpoint } = peer(n);
        format!(r#"{{"key":"{}","address":"{address}","endpoint":"{endpoint}"}}"#, key(n))
    }

    fn file(peers: &[String]) -> String {
        format!(r#"{{"address":"{}","peers":[{}]}}"#, address(1), peers.join(","))
    }

    /// `want` is the peers that stay, or why the file is refused.
    fn check(text: &str, want: &str) {
        let got = match Wish::parse(text.as_bytes(), key(1)) {
            Ok(wish) => {
                let peers: Vec<String> = wish.peers.values().map(|peer| peer.address.to_string()).collect();
                let left_out = wish.left_out.map(|l| format!(" without {} ({})", l.n_peers, l.first));
                peers.join(" ") + &left_out.unwrap_or_default()
            }
            Err(error) => format!("error: {error}"),
        };
        assert!(got.starts_with(want), "{got:?} does not begin with {want:?}");
    }

    #[test]
    fn peers_are_read() {
        check(&file(&[]), "");
        check(&file(&[peer_text(2), peer_text(3)]), "fd01:203:405::2 fd01:203:405::3");
    }

    #[test]
    fn what_is_not_the_agents_json_is_refused_as_a_whole() {
        check("", "error: overlay.json is not understood");
        check("[]", "error: overlay.json is not understood");
        check(&file(&[]).replace("peers", "pears"), "error: overlay.json is not understood");
        check(&file(&[]).replace('}', r#","more":1}"#), "error: overlay.json is not understood");
        check(&(file(&[]) + "x"), "error: overlay.json is not understood");
        check(&" ".repeat(WISH_BYTES_MAX + 1), "error: overlay.json is longer than");
    }

    #[test]
    fn an_own_address_outside_of_overlays_is_refused() {
        check(&file(&[]).replace("fd01", "2001"), "error: overlay.json gives 2001:203:405::1, which is no");
        check(&file(&[]).replace("::1", "::"), "error: overlay.json gives fd01:203:405::, which is no");
    }

    #[test]
    fn more_peers_than_the_limit_are_refused() {
        check(&file(&vec![peer_text(2); PEERS_MAX + 1]), "error: overlay.json names 1025 peers");
    }

    #[test]
    fn a_peer_that_cannot_be_is_left_out_alone() {
        let bad = |from: &str, to: &str, why: &str| {
            let text = file(&[peer_text(2).replace(from, to), peer_text(3)]);
            check(&text, &format!("fd01:203:405::3 without 1 ({why}"));
        };
        bad("0202", "zz02", "fd01:203:405::2: its key is not 64 hex digits");
        bad("fd01", "fd02", "fd02:203:405::2: it belongs to another overlay");
        bad("10.0.0.2", "0.0.0.0", "fd01:203:405::2: its endpoint is nobody's");
        bad("10.0.0.2", "255.255.255.255", "fd01:203:405::2: its endpoint is nobody's");
        bad("51820", "0", "fd01:203:405::2: its endpoint is nobody's");
        bad("::2", "::1", "fd01:203:405::1: its address is another's");
    }

    #[test]
    fn a_node_is_not_its_own_peer_and_nobody_is_there_twice() {
        check(&file(&[peer_text(1)]), " without 1 (fd01:203:405::1: it is this node itself)");
        check(&file(&[peer_text(2), peer_text(2)]), "fd01:203:405::2 without 1");
    }
}
