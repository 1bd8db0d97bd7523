//! Which nodes rpc-worker could not reach as neighbours in a ring; pure. It knows addresses only, and the gossip nodes.

use admission::NodeId;
use gossip::Member;
use split::report::Doubt;
use std::net::IpAddr;

/// The service that is doubted.
pub const SERVICE: &str = "rpc-worker";

pub fn nodes(members: &[Member], doubts: &[Doubt]) -> Vec<NodeId> {
    let is_doubted = |member: &&Member| {
        let address = member.overlay.map(IpAddr::V6).filter(|_| !member.is_self);
        address.is_some_and(|address| doubts.iter().any(|doubt| doubt.address.ip() == address))
    };
    members.iter().filter(is_doubted).map(|member| member.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64, is_self: bool, overlay: Option<&str>) -> Member {
        Member {
            id: NodeId(id),
            is_self,
            role: "node",
            name: String::new(),
            address: "10.0.0.7:7947".parse().unwrap(),
            overlay: overlay.map(|text| text.parse().unwrap()),
            standing: "alive",
            for_s: 0,
            heard_s: None,
            sees: None,
            facts: None,
            unread: None,
            doubted: vec![],
            certificate: None,
        }
    }

    fn check(doubted: &[&str], want: &[u64]) {
        let members = [
            member(1, true, Some("fd01::1")),
            member(2, false, Some("fd01::2")),
            member(3, false, Some("fd01::3")),
            member(4, false, None),
        ];
        let doubt = |address: &&str| Doubt { name: "large".into(), address: address.parse().unwrap() };
        let doubts: Vec<Doubt> = doubted.iter().map(doubt).collect();
        assert_eq!(nodes(&members, &doubts), want.iter().map(|id| NodeId(*id)).collect::<Vec<_>>());
    }

    #[test]
    fn a_neighbour_that_cannot_be_reached_is_known_by_its_overlay_address() {
        check(&["[fd01::3]:50052"], &[3]);
        check(&["[fd01::3]:50052", "[fd01::2]:50052"], &[2, 3]);
    }

    #[test]
    fn nobody_doubts_himself_or_a_stranger() {
        check(&["[fd01::1]:50052", "[fd01::9]:50052", "10.0.0.7:50052"], &[]);
        check(&[], &[]);
    }
}
