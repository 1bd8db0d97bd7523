//! Brings one signed text to every node: to all at a change, and to each when it joins.
//!
//! It is posted until each live node has said that it has it. A node that started anew has a new certificate, and is
//! told again.

use admission::NodeId;
use gossip::{Member, Picture};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Where a node's agent listens.
pub(super) const AGENT_PORT: u16 = 8000;
/// After a node did not take it.
const RETRY: Duration = Duration::from_secs(5);
/// Nodes that are told at once.
const TELLING_MAX: usize = 16;

/// A node's certificate and the version that it has.
type Has = (u32, u64);

/// Whom to tell, and when again.
#[derive(Default)]
pub(super) struct Told {
    has: BTreeMap<NodeId, Has>,
    not_before: BTreeMap<NodeId, Instant>,
}

impl Told {
    /// Posts this version to whoever does not have it.
    pub(super) async fn tell_all(
        &mut self,
        picture: &Picture,
        path: &'static str,
        version: u64,
        text: String,
    ) {
        let mut telling = JoinSet::new();
        let text: Arc<str> = text.into();
        for (node, address, has) in self.due(picture, version, Instant::now()) {
            let text = text.clone();
            telling.spawn(async move {
                let base = format!("http://{address}:{AGENT_PORT}");
                let reply = service::fetch::post_json(&base, path, &text).await;
                (node, has, reply.is_ok_and(|reply| reply.status == 200))
            });
        }
        while let Some(done) = telling.join_next().await {
            let Ok((node, has, took_it)) = done else { continue };
            self.heard(node, has, took_it, Instant::now());
        }
    }

    /// Live nodes that do not have this version, and may be asked now.
    fn due(&mut self, picture: &Picture, version: u64, now: Instant) -> Vec<(NodeId, Ipv4Addr, Has)> {
        let is_live = |member: &&Member| member.is_alive() && member.role == "node";
        let live: Vec<_> = picture.members.iter().filter(is_live).collect();
        self.has.retain(|node, _| live.iter().any(|member| member.id == *node));
        self.not_before.retain(|_, at| *at > now);
        let due = live.into_iter().filter_map(|member| {
            let has = (member.certificate?.claim().serial, version);
            let is_due = self.has.get(&member.id) != Some(&has) && !self.not_before.contains_key(&member.id);
            is_due.then_some((member.id, *member.address.ip(), has))
        });
        due.take(TELLING_MAX).collect()
    }

    fn heard(&mut self, node: NodeId, has: Has, took_it: bool, now: Instant) {
        if took_it {
            self.has.insert(node, has);
        } else {
            self.not_before.insert(node, now + RETRY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use admission::{AuthoritySecret, Certificate, Claim, NodeSecret, OverlayPublic, Role};
    use release::Mac;
    use std::net::SocketAddrV4;

    fn member(n: u8, serial: u32, standing: &'static str) -> Member {
        let claim = Claim {
            role: Role::Node,
            mac: Mac([n; 6]),
            serial,
            issued_s: 1000,
            expires_s: 2000,
            node_key: NodeSecret::from_seed(&[n; 32]).public(),
            overlay_key: OverlayPublic([5; 32]),
        };
        Member {
            id: NodeId(n.into()),
            is_self: false,
            role: "node",
            name: String::new(),
            address: SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, n), 7947),
            overlay: None,
            standing,
            for_s: 0,
            heard_s: None,
            sees: None,
            facts: None,
            unread: None,
            doubted: vec![],
            certificate: Some(Certificate::issue(&AuthoritySecret::from_seed(&[1; 32]), claim)),
        }
    }

    fn due(told: &mut Told, members: &[Member], version: u64, now: Instant) -> Vec<u64> {
        let picture = Picture {
            own: NodeId(99),
            ring: 1,
            n_alive: 1,
            agreement: 0,
            members: members.to_vec(),
            traffic: Default::default(),
            refused: vec![],
            senders: vec![],
        };
        let due = told.due(&picture, version, now);
        for (node, _, has) in &due {
            told.heard(*node, *has, node.0 != 3, now);
        }
        due.into_iter().map(|(node, ..)| node.0).collect()
    }

    #[test]
    fn each_live_node_is_told_once_a_version_and_once_a_boot() {
        let (mut told, now) = (Told::default(), Instant::now());
        let members = [member(1, 1, "alive"), member(2, 2, "down")];
        assert_eq!(due(&mut told, &members, 7, now), [1]);
        assert!(due(&mut told, &members, 7, now).is_empty());
        assert_eq!(due(&mut told, &members, 8, now), [1]);
        assert_eq!(due(&mut told, &[member(1, 3, "alive"), member(2, 2, "alive")], 8, now), [1, 2]);
    }

    #[test]
    fn a_node_that_did_not_take_it_is_asked_again_after_a_pause() {
        let (mut told, now) = (Told::default(), Instant::now());
        let members = [member(3, 1, "alive")];
        assert_eq!(due(&mut told, &members, 7, now), [3]);
        assert!(due(&mut told, &members, 7, now + RETRY / 2).is_empty());
        assert_eq!(due(&mut told, &members, 7, now + RETRY), [3]);
    }
}
