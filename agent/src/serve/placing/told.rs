//! What the gossip's picture says to a planner: the live nodes of this build, the plans they follow, and what they have; pure.

use crate::cluster::doubts;
use gossip::{Member, Picture};
use split::lead::{Mark, Peer};
use split::place::{NodeId, told::Told};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

pub struct Seen {
    /// What all of them run; empty while this node's rpc-worker has told nothing, and then nobody is seen.
    pub build: String,
    pub peers: Vec<Peer>,
    pub told: Vec<Told>,
    /// Hash of all that a plan is made of, so that a change of it shows; it is compared within this process only.
    pub facts: u64,
}

/// Stages of another build may not agree bit by bit, so each build plans for itself. `n_shelves` counts the changes of
/// this node's own files.
pub fn look(picture: &Picture, n_shelves: u64) -> Seen {
    let own = picture.members.iter().find(|member| member.is_self);
    let build = own.and_then(|own| own.facts.as_ref()).map(|facts| facts.build.clone()).unwrap_or_default();
    let is_one_of_us = |member: &&Member| {
        let facts = member.facts.as_ref().filter(|facts| !build.is_empty() && facts.build == build);
        member.is_alive() && member.role == "node" && facts.is_some() && member.certificate.is_some()
    };
    let members: Vec<&Member> = picture.members.iter().filter(is_one_of_us).collect();
    // Whose rpc-worker could not be reached from here gets nothing, until it speaks anew; nor does who is to have no work.
    let is_reached = |member: &&&Member| !member.doubted.iter().any(|service| service == doubts::SERVICE);
    let is_working = |member: &&&Member| !member.facts.as_ref().is_some_and(|facts| facts.draining);
    let given = members.iter().filter(is_reached).filter(is_working);
    let mut told: Vec<Told> = given.filter_map(|member| of(member)).collect();
    told.sort_by_key(|told| told.id);
    let mut hasher = DefaultHasher::new();
    (&told, n_shelves).hash(&mut hasher);
    let peers = members.iter().map(|member| peer(member)).collect();
    Seen { build, peers, told, facts: hasher.finish() }
}

fn peer(member: &Member) -> Peer {
    let mark = member.facts.as_ref().and_then(|facts| facts.plan);
    let mark = mark.map(|plan| Mark { generation: plan.generation, coordinator: NodeId(plan.coordinator) });
    Peer { id: NodeId(member.id.0), alive: Duration::from_secs(member.for_s), mark }
}

fn of(member: &Member) -> Option<Told> {
    let facts = member.facts.as_ref()?;
    Some(Told {
        id: member.id.0,
        name: member.name.clone(),
        cores: facts.hardware.cores.into(),
        room_mib: facts.room_mb.into(),
        wire_mbit: facts.hardware.wire_mbit.into(),
        speeds: facts.speeds.iter().map(|speed| (speed.what.clone(), speed.milli.into())).collect(),
        models: facts.models.iter().map(|m| (m.name.clone(), m.size_mb.into(), m.is_loaded)).collect(),
        has_disk: facts.hardware.disk_mb > 0,
        services: facts.services.iter().map(|service| service.name.clone()).collect(),
    })
}
