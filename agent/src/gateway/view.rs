//! The copies of all experts, from what the gossip and this node itself tell; pure.

use super::route::Copy;
use admission::Overrides;
use cluster::{Facts, Health};
use gossip::{Member, Picture};
use std::net::SocketAddr;

/// What the service of an expert is called; the expert's name follows.
const SERVICE: &str = split::expert::SERVICE;

/// All copies that live nodes tell of; those of this node are reached at `worker`.
pub fn copies(picture: &Picture, worker: SocketAddr) -> Vec<Copy> {
    let live = picture.members.iter().filter(|member| member.is_alive() && member.role == "node");
    let all = live.map(|member| {
        let draining = member.facts.as_ref().is_some_and(|facts| facts.draining);
        (draining, of_member(member, worker))
    });
    without_draining(all.collect())
}

/// Who gives its work away gets no more of it, as long as somebody else has the same expert ready.
fn without_draining(all: Vec<(bool, Vec<Copy>)>) -> Vec<Copy> {
    let is_ready = |copy: &&Copy| copy.health == Health::Passing && !copy.is_doubted;
    let working = all.iter().filter(|(draining, _)| !draining).flat_map(|(_, copies)| copies);
    let ready: Vec<String> = working.filter(is_ready).map(|copy| copy.expert.clone()).collect();
    let kept = |draining: bool, copy: &Copy| !draining || !ready.contains(&copy.expert);
    all.into_iter()
        .flat_map(|(draining, copies)| copies.into_iter().map(move |copy| (draining, copy)))
        .filter(|(draining, copy)| kept(*draining, copy))
        .map(|(_, copy)| copy)
        .collect()
}

fn of_member(member: &Member, worker: SocketAddr) -> Vec<Copy> {
    let Some(facts) = &member.facts else { return vec![] };
    let mut copies = of_facts(facts, worker);
    let port = |copy: &Copy| {
        facts.services.iter().find(|told| told.name == service(&copy.expert)).map(|told| told.port)
    };
    for copy in &mut copies {
        copy.node = Some(member.id);
        copy.is_doubted = member.doubted.contains(&service(&copy.expert));
        copy.is_local = member.is_self;
        // Models are served on the overlay only; one without a place there is not reached.
        if let (false, Some(overlay), Some(port)) = (member.is_self, member.overlay, port(copy)) {
            copy.address = SocketAddr::from((overlay, port));
        }
    }
    copies.retain(|copy| copy.is_local || member.overlay.is_some());
    copies
}

/// The copies that a node tells, as if it were this one.
pub fn of_facts(facts: &Facts, worker: SocketAddr) -> Vec<Copy> {
    let copy = |told: &cluster::Service| {
        let expert = told.name.strip_prefix(SERVICE)?.to_owned();
        let milli = facts.speeds.iter().find(|speed| speed.what == format!("decode/{expert}"));
        Some(Copy {
            node: None,
            place: facts.name.clone(),
            address: worker,
            is_local: true,
            health: told.health,
            is_doubted: false,
            busy: told.busy,
            slots: told.slots,
            milli: milli.map_or(0, |speed| speed.milli),
            expert,
        })
    };
    facts.services.iter().filter_map(copy).collect()
}

/// Experts for which the owner set an address: it alone is asked for them.
pub fn put(copies: &mut Vec<Copy>, overrides: &Overrides) {
    for (name, address) in overrides {
        let Some(expert) = name.strip_prefix(SERVICE) else { continue };
        copies.retain(|copy| copy.expert != expert);
        copies.push(Copy {
            expert: expert.to_owned(),
            node: None,
            place: format!("the owner's address {address}"),
            address: *address,
            is_local: false,
            health: cluster::Health::Passing,
            is_doubted: false,
            busy: 0,
            slots: u16::MAX,
            milli: 0,
        });
    }
}

/// The name of an expert's service, as facts tell it.
pub fn service(expert: &str) -> String {
    format!("{SERVICE}{expert}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use admission::NodeId;
    use cluster::{Service, Speed};

    fn facts() -> Facts {
        let service =
            |name: &str, port| Service { name: name.into(), port, busy: 1, slots: 4, ..Service::default() };
        Facts {
            name: "kitchen".into(),
            services: vec![service("agent", 8000), service("llama-api-calm", 8081)],
            speeds: vec![Speed { what: "decode/calm".into(), milli: 7000 }],
            ..Facts::default()
        }
    }

    fn member(is_self: bool, overlay: Option<&str>) -> Member {
        Member {
            id: NodeId(7),
            is_self,
            role: "node",
            name: "kitchen".into(),
            address: "10.0.0.7:7947".parse().unwrap(),
            overlay: overlay.map(|text| text.parse().unwrap()),
            standing: "alive",
            for_s: 0,
            heard_s: None,
            sees: None,
            facts: Some(facts()),
            unread: None,
            doubted: vec!["llama-api-calm".into()],
            certificate: None,
        }
    }

    fn check(member: Member, want: &str) {
        let copies = of_member(&member, SocketAddr::from(([127, 0, 0, 1], 8081)));
        let told = |copy: &Copy| {
            let Copy { expert, address, busy, slots, milli, is_doubted, is_local, .. } = copy;
            format!("{expert} {address} {busy}/{slots} {milli} {is_doubted} {is_local}")
        };
        assert_eq!(copies.iter().map(told).collect::<Vec<_>>().join(" "), want);
    }

    #[test]
    fn another_nodes_expert_is_reached_on_the_overlay_and_ones_own_on_loopback() {
        check(member(false, Some("fd01::7")), "calm [fd01::7]:8081 1/4 7000 true false");
        check(member(true, Some("fd01::7")), "calm 127.0.0.1:8081 1/4 7000 true true");
    }

    #[test]
    fn who_is_draining_is_asked_only_for_what_nobody_else_has_ready() {
        let copies = |name: &str, health| {
            let mut facts = Facts { name: name.into(), ..facts() };
            facts.services[1].health = health;
            of_facts(&facts, SocketAddr::from(([127, 0, 0, 1], 8081)))
        };
        let check = |other, want: &[&str]| {
            let all = vec![(true, copies("kitchen", Health::Passing)), (false, copies("cellar", other))];
            let places: Vec<String> = without_draining(all).into_iter().map(|copy| copy.place).collect();
            assert_eq!(places, want);
        };
        check(Health::Passing, &["cellar"]);
        check(Health::Warning, &["kitchen", "cellar"]);
    }

    #[test]
    fn the_owners_address_takes_the_place_of_all_copies_of_its_expert() {
        let mut copies = of_facts(&facts(), SocketAddr::from(([127, 0, 0, 1], 8081)));
        let address = SocketAddr::from(([10, 0, 0, 9], 80));
        let all = [("llama-api-calm", address), ("llama-api-code", address), ("tools", address)];
        put(&mut copies, &all.map(|(name, address)| (name.to_owned(), address)).into());
        let told: Vec<_> = copies.iter().map(|copy| (copy.expert.as_str(), copy.address)).collect();
        assert_eq!(told, [("calm", address), ("code", address)]);
    }

    #[test]
    fn a_node_without_a_place_on_the_overlay_serves_nobody_else() {
        check(member(false, None), "");
    }
}
