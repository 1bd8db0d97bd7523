//! Brings the owner's API keys to the nodes: to all at a change, and to each when it joins.
//!
//! The file is the owner's (`duet keys`); here it is signed and posted until each live node has said that it has it.
//! A node that started anew has a new certificate, and is told again.

use super::{Enrolment, Watcher};
use crate::keys;
use crate::serve::Shared;
use admission::{API_KEYS_PATH, ApiKeyFile, ApiKeys, NodeId};
use gossip::{Member, Picture};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Where a node's agent listens.
const AGENT_PORT: u16 = 8000;
/// Between two looks at the file and at who is there.
const TURN: Duration = Duration::from_secs(1);
/// After a node did not take the list.
const RETRY: Duration = Duration::from_secs(5);
/// Nodes that are told at once.
const TELLING_MAX: usize = 16;

/// A node's certificate and the version that it has.
type Has = (u32, u64);

/// Whom to tell, and when again.
#[derive(Default)]
struct Told {
    has: BTreeMap<NodeId, Has>,
    not_before: BTreeMap<NodeId, Instant>,
}

impl Told {
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

/// Never ends.
pub(super) async fn serve(enrolment: Arc<Enrolment>, shared: Arc<Shared>) {
    let (mut told, mut list): (Told, Option<(ApiKeyFile, ApiKeys)>) = Default::default();
    loop {
        tokio::time::sleep(TURN).await;
        match keys::read(&enrolment.out) {
            Ok(Some(file)) if list.as_ref().is_none_or(|(old, _)| *old != file) => {
                let signed = ApiKeys::new(enrolment.lock().authority_secret(), &file);
                list = signed.ok().map(|signed| (file, signed));
            }
            // A file that is gone changes nothing: only `duet keys remove` takes a key away.
            Ok(_) => {}
            Err(error) => {
                let sentence = format!("{error:#}; the nodes keep the API keys that they have");
                shared.desk().note(sentence, shared.now_ms());
            }
        }
        let Some(picture) = enrolment.watcher.get().map(Watcher::picture) else { continue };
        let Some((_, list)) = &list else { continue };
        tell_all(&mut told, list, &picture).await;
    }
}

async fn tell_all(told: &mut Told, list: &ApiKeys, picture: &Picture) {
    let mut telling = JoinSet::new();
    let text: Arc<str> = list.to_json().into();
    for (node, address, has) in told.due(picture, list.version(), Instant::now()) {
        let text = text.clone();
        telling.spawn(async move {
            let base = format!("http://{address}:{AGENT_PORT}");
            let reply = service::fetch::post_json(&base, API_KEYS_PATH, &text).await;
            (node, has, reply.is_ok_and(|reply| reply.status == 200))
        });
    }
    while let Some(done) = telling.join_next().await {
        let Ok((node, has, took_it)) = done else { continue };
        told.heard(node, has, took_it, Instant::now());
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
