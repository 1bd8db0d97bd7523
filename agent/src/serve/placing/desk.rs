//! Where the node that plans keeps its letters: each is signed once for a plan, when its node first asks.

use super::letter::{self, Letter};
use crate::cluster::PlanStatus;
use admission::NodeSecret;
use gossip::Picture;
use serde::Serialize;
use service::door::Answer;
use split::lead::Mark;
use split::place::{NodeId, Plan, Seat};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where the plan is shown.
pub const PATH: &str = "/api/plan";

/// Letters for whoever asks; empty while another node plans.
#[derive(Default)]
pub struct Desk(Mutex<Option<Letters>>);

struct Letters {
    mark: Mark,
    build: String,
    plan: Arc<Plan>,
    key: NodeSecret,
    signed: BTreeMap<NodeId, Vec<u8>>,
}

/// What `GET /api/plan` says: which plan this node follows, and the whole of it where this node made it.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    status: PlanStatus,
    plan: Option<&'a Plan>,
}

impl Desk {
    /// The answer to a node that asks for its part of the plan, and to whoever wants to see it.
    pub fn answer(&self, path: &str, status: PlanStatus, picture: Option<&Picture>) -> Answer {
        let Some(id) = path.strip_prefix(PATH).and_then(|rest| rest.strip_prefix('/')) else {
            return self.show(status);
        };
        let id = Some(id).filter(|id| id.len() == 16).map(|id| u64::from_str_radix(id, 16));
        let Some(Ok(id)) = id else { return Answer::text(404, "a node's id has 16 hex digits\n") };
        // Whoever is not here gets no signature: letters would pile up for made-up names.
        let mut members = picture.iter().flat_map(|picture| &picture.members);
        if !members.any(|member| member.id.0 == id && member.certificate.is_some()) {
            return Answer::text(404, "this node knows no such node\n");
        }
        match &mut *self.lock() {
            None => Answer::text(404, "this node does not plan\n"),
            Some(letters) => Answer::json(200, letters.signed_for(NodeId(id)).to_vec()),
        }
    }

    fn show(&self, status: PlanStatus) -> Answer {
        let letters = self.lock();
        let plan = letters.as_ref().map(|letters| &*letters.plan);
        match serde_json::to_vec(&Shown { status, plan }) {
            Ok(body) => Answer::json(200, body),
            Err(error) => Answer::text(500, &format!("the plan cannot be written: {error}\n")),
        }
    }

    /// This plan is in force.
    pub fn publish(&self, mark: Mark, build: String, plan: Arc<Plan>, key: NodeSecret) {
        *self.lock() = Some(Letters { mark, build, plan, key, signed: BTreeMap::new() });
    }

    /// Another node plans.
    pub fn clear(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Letters>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Letters {
    fn signed_for(&mut self, node: NodeId) -> &[u8] {
        let Letters { mark, build, plan, key, signed } = self;
        signed.entry(node).or_insert_with(|| {
            let (coordinator, generation) = (mark.coordinator, mark.generation);
            let (build, seats) = (build.clone(), seats_of(plan, node));
            letter::write(&Letter { node, coordinator, generation, build, seats }, key).into_bytes()
        })
    }
}

/// Every seat that a node has a part in.
pub fn seats_of(plan: &Plan, node: NodeId) -> Vec<Seat> {
    let concerns = |seat: &&Seat| seat.parts.iter().any(|part| part.node == node);
    plan.seats.iter().filter(concerns).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use admission::{AuthoritySecret, Certificate, Claim, OverlayPublic, Role};
    use gossip::Member;
    use release::Mac;
    use split::place::Part;

    fn seat(expert: &str, nodes: &[u64]) -> Seat {
        let part = |(idx, id): (usize, &u64)| Part {
            node: NodeId(*id),
            first: idx as u32 * 4,
            last: idx as u32 * 4 + 4,
            bytes: 1,
        };
        let parts = nodes.iter().enumerate().map(part).collect();
        Seat { expert: expert.into(), parts, tokens_per_s_milli: 1000 }
    }

    fn plan() -> Plan {
        Plan { seats: vec![seat("a", &[1]), seat("b", &[2]), seat("c", &[2, 1])], ..Plan::default() }
    }

    fn picture(ids: &[u64]) -> Picture {
        let claim = Claim {
            role: Role::Node,
            mac: Mac([1; 6]),
            serial: 1,
            issued_s: 1000,
            expires_s: 2000,
            node_key: NodeSecret::from_seed(&[1; 32]).public(),
            overlay_key: OverlayPublic([5; 32]),
        };
        let member = |id: &u64| Member {
            id: admission::NodeId(*id),
            is_self: false,
            role: "node",
            name: String::new(),
            address: "10.0.0.7:7947".parse().unwrap(),
            overlay: None,
            standing: "alive",
            for_s: 0,
            heard_s: None,
            sees: None,
            facts: None,
            unread: None,
            doubted: vec![],
            certificate: Some(Certificate::issue(&AuthoritySecret::from_seed(&[1; 32]), claim)),
        };
        Picture {
            own: admission::NodeId(2),
            ring: 1,
            n_alive: 1,
            agreement: 0,
            members: ids.iter().map(member).collect(),
            traffic: Default::default(),
            refused: vec![],
            senders: vec![],
        }
    }

    #[test]
    fn a_letter_holds_only_what_concerns_its_node() {
        let seats = seats_of(&plan(), NodeId(1));
        assert_eq!(seats.iter().map(|seat| seat.expert.as_str()).collect::<Vec<_>>(), ["a", "c"]);
    }

    #[test]
    fn only_a_coordinator_has_letters_and_only_for_members() {
        let (desk, picture, key) = (Desk::default(), picture(&[1]), NodeSecret::from_seed(&[7; 32]));
        let ask = |path: &str| desk.answer(path, PlanStatus::default(), Some(&picture));
        assert_eq!(ask("/api/plan/0000000000000001").status, 404);
        let mark = Mark { generation: 3, coordinator: NodeId(2) };
        desk.publish(mark, "0.1.0-x".into(), Arc::new(plan()), key.clone());
        let letter = letter::read(&ask("/api/plan/0000000000000001").body, &key.public()).unwrap();
        assert_eq!((letter.node, letter.generation, letter.seats.len()), (NodeId(1), 3, 2));
        for stranger in ["/api/plan/0000000000000009", "/api/plan/me", "/api/plan/00000000000000001"] {
            assert_eq!(ask(stranger).status, 404, "{stranger}");
        }
        assert_eq!(desk.lock().as_ref().unwrap().signed.len(), 1);
        desk.clear();
        assert_eq!(ask("/api/plan/0000000000000001").status, 404);
    }

    #[test]
    fn the_whole_plan_is_shown_where_it_was_made() {
        let desk = Desk::default();
        let show = || {
            serde_json::from_slice::<serde_json::Value>(
                &desk.answer(PATH, PlanStatus { generation: 3, ..PlanStatus::default() }, None).body,
            )
        };
        assert!(show().unwrap()["plan"].is_null());
        let mark = Mark { generation: 3, coordinator: NodeId(2) };
        desk.publish(mark, String::new(), Arc::new(plan()), NodeSecret::from_seed(&[7; 32]));
        let shown = show().unwrap();
        assert_eq!((&shown["generation"], &shown["plan"]["seats"][1]["expert"]), (&3.into(), &"b".into()));
    }
}
