//! From the plan of all to the assignment of one node.

use super::{NodeId, Plan, Seat};
use crate::assign::{Assignment, Given, Stage, slice_file};
use std::net::SocketAddr;

/// What the plan does not know and an assignment needs.
pub struct Place<'a> {
    pub generation: u64,
    pub build: &'a str,
    pub given: &'a dyn Fn(&str) -> Option<Given>,
    /// Where the stages of a node listen.
    pub address: &'a dyn Fn(NodeId) -> Option<SocketAddr>,
    /// The key of a ring.
    pub key: &'a dyn Fn(&Seat) -> String,
}

/// A stage whose neighbours have no address yet is left out: it could speak to nobody.
pub fn give(plan: &Plan, node: NodeId, place: &Place) -> Assignment {
    let mut assignment =
        Assignment { generation: place.generation, build: place.build.to_owned(), ..Assignment::default() };
    for seat in &plan.seats {
        let Some(idx) = seat.parts.iter().position(|part| part.node == node) else { continue };
        let Some(given) = (place.given)(&seat.expert) else { continue };
        if seat.parts.len() == 1 {
            assignment.experts.push(given);
        } else {
            assignment.stages.extend(stage(seat, idx, given, place));
        }
    }
    assignment
}

fn stage(seat: &Seat, idx: usize, given: Given, place: &Place) -> Option<Stage> {
    let (part, n) = (seat.parts[idx], seat.parts.len());
    let beside = |step: usize| (place.address)(seat.parts[(idx + step) % n].node);
    Some(Stage {
        first: part.first,
        last: part.last,
        of: seat.parts.last()?.last,
        stage_idx: u32::try_from(idx).ok()?,
        n_stages: u32::try_from(n).ok()?,
        slice: slice_file(&given.expert.model, part.first, part.last),
        previous: beside(n - 1)?,
        next: beside(1)?,
        key: (place.key)(seat),
        given,
    })
}
