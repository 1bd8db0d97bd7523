//! The names of clusters and nodes, and the overlay address that follows from both.

use std::fmt;
use std::net::Ipv6Addr;

use release::Mac;

use crate::AuthorityPublic;
use crate::bytes::{hex, unhex_exact};

/// A node for good: the first 64 bits of its MAC's BLAKE3 hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

impl NodeId {
    pub fn of_mac(mac: Mac) -> NodeId {
        NodeId::of_hash(blake3::hash(&mac.0))
    }

    /// The boot server has no card of its own that counts: its name follows from its key.
    pub fn of_server(authority: &AuthorityPublic) -> NodeId {
        let mut hasher = blake3::Hasher::new_derive_key("duet 1 node id of a boot server");
        hasher.update(authority.as_bytes());
        NodeId::of_hash(hasher.finalize())
    }

    fn of_hash(hash: blake3::Hash) -> NodeId {
        let (head, _) = hash.as_bytes().split_first_chunk().expect("a hash has 32 bytes");
        NodeId(u64::from_be_bytes(*head))
    }

    /// Reads 16 small hex digits.
    pub fn parse(text: &str) -> Option<NodeId> {
        unhex_exact(text).map(|bytes| NodeId(u64::from_be_bytes(bytes)))
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A cluster: the first 40 bits of the BLAKE3 hash of its authority's public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub [u8; 5]);

impl ClusterId {
    pub fn of(authority: &AuthorityPublic) -> ClusterId {
        let hash = blake3::hash(authority.as_bytes());
        let (head, _) = hash.as_bytes().split_first_chunk().expect("a hash has 32 bytes");
        ClusterId(*head)
    }

    /// Reads ten small hex digits.
    pub fn parse(text: &str) -> Option<ClusterId> {
        unhex_exact(text).map(ClusterId)
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A node's address on the overlay: a unique local address (RFC 4193) of `fd`, the cluster, subnet 0 and the node.
pub fn overlay_address(cluster: ClusterId, node: NodeId) -> Ipv6Addr {
    let mut bytes = [0u8; 16];
    bytes[0] = 0xfd;
    bytes[1..6].copy_from_slice(&cluster.0);
    bytes[8..].copy_from_slice(&node.0.to_be_bytes());
    Ipv6Addr::from(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlay_address_is_fd_the_cluster_and_the_node() {
        let address = overlay_address(ClusterId([1, 2, 3, 4, 5]), NodeId(0x1122_3344_5566_7788));
        assert_eq!(address.to_string(), "fd01:203:405:0:1122:3344:5566:7788");
    }

    #[test]
    fn a_node_id_follows_from_the_mac_alone() {
        // The first 64 bits of BLAKE3 over the six bytes.
        let mac = Mac([0x52, 0x54, 0, 0x77, 0, 1]);
        let want = &blake3::hash(&mac.0).to_hex()[..16];
        assert_eq!(NodeId::of_mac(mac).to_string(), want);
        assert_eq!(NodeId::parse(want), Some(NodeId::of_mac(mac)));
        assert_eq!(NodeId::parse("12"), None);
    }
}
