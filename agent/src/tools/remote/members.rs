//! The nodes of the cluster, as the gossip tells of them: who runs tools for this one, the best first, and who may have some run
//! here.

use super::door::{self, Sender};
use super::{Other, Others, SERVICE};
use crate::cluster::Cluster;
use crate::serve::keeping::owner;
use crate::tools::desk::Desk;
use cluster::{Health, Tier};
use gossip::{Member, Picture};
use service::door::{Answer, Ask};
use std::cmp::Reverse;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

pub struct Members(pub Arc<Cluster>);

impl Others for Members {
    fn best(&self) -> Vec<Other> {
        self.0.picture().map(|picture| best(&picture)).unwrap_or_default()
    }

    fn unreachable(&self, other: &Other) {
        self.0.unreachable_at(other.address.ip(), SERVICE);
    }
}

/// The door on the overlay.
pub struct Door {
    pub cluster: Arc<Cluster>,
    pub desk: Arc<Desk>,
}

impl Door {
    pub async fn answer(&self, ask: &Ask) -> Answer {
        let Some(picture) = self.cluster.picture() else {
            return Answer::text(503, "this node is no member yet\n");
        };
        match sender(&picture, ask.client.ip()) {
            Some(name) => door::answer(self.desk.clone(), ask, &Sender::Node(name)).await,
            None => Answer::text(403, "the sender is no member\n"),
        }
    }
}

/// The name of the member that has this address on the overlay, as its certificate says.
pub fn sender(picture: &Picture, address: IpAddr) -> Option<String> {
    let id = owner(picture, address)?;
    let member = picture.members.iter().find(|member| member.id.0 == id)?;
    Some(if member.name.is_empty() { member.id.to_string() } else { member.name.clone() })
}

/// Nodes that would run a call now: free ones first, then the larger tier, then more cores and memory.
fn best(picture: &Picture) -> Vec<Other> {
    let mut found: Vec<_> =
        picture.members.iter().filter(|member| !member.is_self).filter_map(other).collect();
    found.sort_by_key(|(order, _)| *order);
    found.into_iter().map(|(_, other)| other).collect()
}

type Order = (bool, u16, Reverse<u8>, Reverse<u16>, Reverse<u32>, u64);

fn other(member: &Member) -> Option<(Order, Other)> {
    let facts = member.facts.as_ref()?;
    let told = facts.services.iter().find(|service| service.name == SERVICE)?;
    if member.health(SERVICE) != Some(Health::Passing) {
        return None;
    }
    let tier = match facts.tier {
        Tier::Edge => 0,
        Tier::Mid => 1,
        Tier::Core => 2,
    };
    let hardware = &facts.hardware;
    let order = (
        told.busy >= told.slots,
        told.busy,
        Reverse(tier),
        Reverse(hardware.cores),
        Reverse(hardware.ram_mb),
        member.id.0,
    );
    let address = SocketAddr::from((member.overlay?, told.port));
    Some((order, Other { name: facts.name.clone(), address, key: None }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use admission::NodeId;
    use cluster::{Facts, Service};

    fn member(id: u64, name: &str, tier: Tier, busy: u16, overlay: Option<&str>) -> Member {
        let service = Service { name: SERVICE.into(), port: 8000, health: Health::Passing, busy, slots: 4 };
        let facts = Facts { name: name.into(), tier, services: vec![service], ..Facts::default() };
        Member {
            id: NodeId(id),
            is_self: false,
            role: "node",
            name: name.into(),
            address: "10.0.0.7:7947".parse().unwrap(),
            overlay: overlay.map(|text| text.parse().unwrap()),
            standing: "alive",
            for_s: 0,
            heard_s: None,
            sees: None,
            facts: Some(facts),
            unread: None,
            doubted: vec![],
            certificate: None,
        }
    }

    fn picture(members: Vec<Member>) -> Picture {
        let traffic = gossip::Traffic::default();
        let (refused, senders) = (vec![], vec![]);
        Picture { own: NodeId(9), ring: 1, n_alive: 1, agreement: 0, members, traffic, refused, senders }
    }

    #[test]
    fn free_and_large_nodes_on_the_overlay_come_first() {
        let doubted =
            Member { doubted: vec![SERVICE.into()], ..member(6, "f", Tier::Core, 0, Some("fd01::6")) };
        let own = Member { is_self: true, ..member(7, "g", Tier::Core, 0, Some("fd01::7")) };
        let picture = picture(vec![
            member(1, "a", Tier::Mid, 0, Some("fd01::1")),
            member(2, "b", Tier::Core, 0, Some("fd01::2")),
            member(3, "c", Tier::Core, 4, Some("fd01::3")),
            member(4, "d", Tier::Core, 0, None),
            doubted,
            own,
        ]);
        let names: Vec<String> = best(&picture).into_iter().map(|other| other.name).collect();
        assert_eq!(names, ["b", "a", "c"]);
        assert_eq!(best(&picture)[0].address, "[fd01::2]:8000".parse().unwrap());
    }

    #[test]
    fn an_address_is_a_members_or_a_strangers() {
        let picture = picture(vec![member(1, "attic", Tier::Mid, 0, Some("fd01::1"))]);
        assert_eq!(sender(&picture, "fd01::1".parse().unwrap()).as_deref(), Some("attic"));
        assert_eq!(sender(&picture, "fd01::2".parse().unwrap()), None);
    }
}
