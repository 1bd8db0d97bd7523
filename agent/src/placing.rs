//! Which models this node holds: looks at the gossip, plans for all where this node is to, else fetches its letter from who
//! does, and writes for rpc-worker what to hold.
//!
//! Who plans is known by `split::lead`, the plan is made by `split::place`: both pure, like `letter` and `told` beside this
//! file. A letter is signed by the coordinator's node key, so it may come over the wire before there is an overlay, and no
//! stranger can write one. The keys of rings are names, not secrets: stages speak over the overlay, which says who speaks.

mod letter;
mod shelf;
mod told;

use crate::cluster::{Cluster, PlanStatus};
use crate::enrolling::Joined;
use crate::io::{kept::Kept, runtime};
use admission::NodeSecret;
use anyhow::{Context, ensure};
use gossip::Picture;
use letter::Letter;
use service::door::Answer;
use service::log::{Level, say};
use shelf::{Folders, Shelf};
use split::assign::{self, Assignment, STAGE_PORT};
use split::lead::{Input, Lead, Mark, Output};
use split::place::{self, NodeId, Place, Plan, Seat};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Where a node asks for its letter; its id follows.
pub const PATH: &str = "/api/plan/";
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Stages of another build may not agree bit by bit, so each build plans for itself.
const BUILD: &str = env!("CARGO_PKG_VERSION");
/// Reasons that the page and the API show.
const REASONS_MAX: usize = 64;

/// Letters for whoever asks; empty while another node plans.
#[derive(Default)]
pub struct Placing(Mutex<Option<Letters>>);

struct Letters {
    mark: Mark,
    plan: Arc<Plan>,
    key: NodeSecret,
}

impl Placing {
    /// The answer to a node that asks for its part of the plan.
    pub fn answer(&self, path: &str) -> Answer {
        let id = path.strip_prefix(PATH).filter(|id| id.len() == 16).map(|id| u64::from_str_radix(id, 16));
        let Some(Ok(id)) = id else { return Answer::text(404, "a node's id has 16 hex digits\n") };
        match &*self.lock() {
            None => Answer::text(404, "this node does not plan\n"),
            Some(Letters { mark, plan, key }) => {
                let letter = letter_for(NodeId(id), *mark, plan);
                Answer::json(200, letter::write(&letter, key).into_bytes())
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Letters>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn letter_for(node: NodeId, mark: Mark, plan: &Plan) -> Letter {
    let concerns = |seat: &&Seat| seat.parts.iter().any(|part| part.node == node);
    Letter {
        node,
        coordinator: mark.coordinator,
        generation: mark.generation,
        build: BUILD.to_owned(),
        seats: plan.seats.iter().filter(concerns).cloned().collect(),
    }
}

/// Never ends. Outside of a cluster there is nobody to plan with, and it only waits.
pub async fn run(
    cluster: Arc<Cluster>,
    joined: Joined,
    placing: Arc<Placing>,
    experts: PathBuf,
    models: PathBuf,
) {
    let mut planner = Planner {
        start: Instant::now(),
        cluster,
        placing,
        lead: None,
        shelf: Arc::default(),
        folders: Folders { experts, models },
        plan: None,
        letter: None,
    };
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let kept = joined.borrow().clone();
        if let (Some(picture), Some(kept)) = (planner.cluster.picture(), kept) {
            planner.look(&picture, &kept).await;
        }
    }
}

struct Planner {
    start: Instant,
    cluster: Arc<Cluster>,
    placing: Arc<Placing>,
    lead: Option<Lead>,
    shelf: Arc<Shelf>,
    folders: Folders,
    /// While this node plans.
    plan: Option<Arc<Plan>>,
    /// The last that came.
    letter: Option<Letter>,
}

impl Planner {
    async fn look(&mut self, picture: &Picture, kept: &Kept) {
        let own = NodeId(picture.own.0);
        let mut lead = match self.lead.take() {
            Some(lead) => lead,
            None => {
                let generation = floor();
                // rpc-worker follows it still, and the others must count on from it.
                self.cluster.set_plan(PlanStatus { generation, ..PlanStatus::default() });
                Lead::new(own, generation)
            }
        };
        let seen = told::look(picture, BUILD);
        lead.handle(self.start.elapsed(), Input::Look { peers: &seen.peers, facts: seen.facts });
        while let Some(wish) = lead.poll() {
            match wish {
                Output::Plan { facts } => {
                    let is_new = self.make(&seen).await;
                    lead.handle(self.start.elapsed(), Input::Planned { facts, is_new });
                }
                Output::Publish { mark } => self.publish(picture, kept, mark).await,
                Output::Fetch { from } => {
                    if let Some(mark) = self.fetch(picture, from, own).await {
                        lead.handle(self.start.elapsed(), Input::Came { mark });
                    }
                }
                Output::Follow { mark } => {
                    if let Some(letter) = self.letter.take() {
                        self.follow(picture, mark, letter.seats, Vec::new()).await;
                    }
                }
            }
        }
        if !lead.is_leading() {
            self.plan = None;
            *self.placing.lock() = None;
        }
        self.lead = Some(lead);
    }

    /// Makes a plan from what was seen, and says whether it differs from the one before.
    async fn make(&mut self, seen: &told::Seen) -> bool {
        let shelf = self.read_shelf().await;
        let tolds = seen.told.clone();
        let in_force = self.plan.as_ref().map(|plan| plan.seats.clone());
        let made = tokio::task::spawn_blocking(move || {
            let nodes: Vec<_> =
                tolds.iter().map(|told| told.node(&shelf.models, &shelf.experts, false)).collect();
            let in_force =
                in_force.unwrap_or_else(|| place::told::in_force(&tolds, &shelf.models, &shelf.experts));
            place::plan(&nodes, &shelf.models, &shelf.experts, &in_force)
        });
        let Ok(plan) = made.await else { return false };
        let is_new = self.plan.as_ref().is_none_or(|old| !old.is_same_as(&plan));
        self.plan = Some(Arc::new(plan));
        is_new
    }

    async fn read_shelf(&mut self) -> Arc<Shelf> {
        let (folders, old) = (self.folders.clone(), self.shelf.clone());
        if let Ok(Some(shelf)) = tokio::task::spawn_blocking(move || Shelf::read(&folders, &old)).await {
            for sentence in &shelf.wrong {
                say(Level::Warning, &format!("duet: {sentence}"));
            }
            self.shelf = Arc::new(shelf);
        }
        self.shelf.clone()
    }

    async fn publish(&mut self, picture: &Picture, kept: &Kept, mark: Mark) {
        let Some(plan) = self.plan.clone() else { return };
        let key = kept.member.node_key.clone();
        *self.placing.lock() = Some(Letters { mark, plan: plan.clone(), key });
        let letter = letter_for(mark.coordinator, mark, &plan);
        let reasons = plan.reasons.iter().take(REASONS_MAX).cloned().collect();
        self.follow(picture, mark, letter.seats, reasons).await;
    }

    async fn fetch(&mut self, picture: &Picture, from: NodeId, own: NodeId) -> Option<Mark> {
        match fetch(picture, from, own).await {
            Ok(letter) => {
                let mark = Mark { generation: letter.generation, coordinator: letter.coordinator };
                self.letter = Some(letter);
                Some(mark)
            }
            Err(error) => {
                say(Level::Info, &format!("duet: no letter from node {from}, which plans: {error:#}"));
                None
            }
        }
    }

    /// Writes what this node is to hold, and tells of it.
    async fn follow(&mut self, picture: &Picture, mark: Mark, seats: Vec<Seat>, reasons: Vec<String>) {
        let shelf = self.read_shelf().await;
        let own = NodeId(picture.own.0);
        let plan = Plan { seats, ..Plan::default() };
        let address = |id: NodeId| {
            let member = picture.members.iter().find(|member| member.id.0 == id.0)?;
            Some(SocketAddr::from((member.overlay?, STAGE_PORT)))
        };
        let place = Place {
            generation: mark.generation,
            build: BUILD,
            given: &|name| shelf.given(name),
            address: &address,
            key: &|expert| ring(mark, expert),
        };
        let assignment = place::give(&plan, own, &place);
        if let Err(error) = write(&assignment) {
            say(Level::Warning, &format!("duet: rpc-worker is not told what to hold: {error:#}"));
        }
        let name = picture.members.iter().find(|member| member.id.0 == mark.coordinator.0);
        let held = |seat: &Seat| match seat.parts.iter().find(|part| part.node == own) {
            Some(part) if seat.parts.len() > 1 => format!("{} {}..{}", seat.expert, part.first, part.last),
            _ => seat.expert.clone(),
        };
        self.cluster.set_plan(PlanStatus {
            generation: mark.generation,
            coordinator_id: mark.coordinator.0,
            coordinator: name.map(|member| member.name.clone()).unwrap_or_default(),
            is_coordinator: mark.coordinator == own,
            holds: plan.seats.iter().map(held).collect(),
            reasons,
        });
    }
}

async fn fetch(picture: &Picture, from: NodeId, own: NodeId) -> anyhow::Result<Letter> {
    let member = picture.members.iter().find(|member| member.id.0 == from.0).context("it is gone")?;
    let certificate = member.certificate.context("it has no certificate")?;
    let services = member.facts.iter().flat_map(|facts| &facts.services);
    let port = services.clone().find(|service| service.name == "agent").map(|service| service.port);
    let base = format!("http://{}:{}", member.address.ip(), port.unwrap_or(crate::args::PORT));
    let reply = service::fetch::get(&base, &format!("{PATH}{own}")).await?;
    ensure!(reply.status == 200, "it answered {}", reply.status);
    let letter = letter::read(&reply.body, &certificate.claim().node_key)?;
    ensure!(letter.node == own && letter.coordinator == from, "the letter is not from it to this node");
    ensure!(letter.build == BUILD, "the letter is for build {}", letter.build);
    Ok(letter)
}

/// The name of a ring: no two plans and no two experts share one.
fn ring(mark: Mark, expert: &str) -> String {
    let hash = |what: &dyn Fn(&mut DefaultHasher)| {
        let mut hasher = DefaultHasher::new();
        what(&mut hasher);
        hasher.finish()
    };
    let plan = hash(&|hasher| (mark.generation, mark.coordinator.0).hash(hasher));
    format!("{plan:016x}{:016x}", hash(&|hasher| expert.hash(hasher)))
}

fn write(assignment: &Assignment) -> anyhow::Result<()> {
    assignment.check()?;
    let text = serde_json::to_string(assignment).context("cannot write the assignment as JSON")?;
    runtime::write(assign::FILE, text.as_bytes(), runtime::For::Everybody).context("cannot write a file")
}

/// The generation that an earlier run of this program wrote.
fn floor() -> u64 {
    let read = || {
        let text = crate::io::read::bytes(&runtime::path(assign::FILE)?, assign::FILE_BYTES_MAX as u64);
        serde_json::from_slice::<Assignment>(&text).ok()
    };
    read().map_or(0, |assignment| assignment.generation)
}

#[cfg(test)]
mod tests {
    use super::*;
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

    #[test]
    fn a_letter_holds_only_what_concerns_its_node() {
        let plan =
            Plan { seats: vec![seat("a", &[1]), seat("b", &[2]), seat("c", &[2, 1])], ..Plan::default() };
        let mark = Mark { generation: 3, coordinator: NodeId(2) };
        let letter = letter_for(NodeId(1), mark, &plan);
        let experts: Vec<_> = letter.seats.iter().map(|seat| seat.expert.as_str()).collect();
        assert_eq!(experts, ["a", "c"]);
    }

    #[test]
    fn only_a_coordinator_has_letters_and_only_for_ids() {
        let placing = Placing::default();
        assert_eq!(placing.answer("/api/plan/00000000000000001").status, 404);
        assert_eq!(placing.answer("/api/plan/0000000000000001").status, 404);
        let mark = Mark { generation: 3, coordinator: NodeId(2) };
        let key = NodeSecret::from_seed(&[7; 32]);
        *placing.lock() = Some(Letters { mark, plan: Arc::default(), key: key.clone() });
        let answer = placing.answer("/api/plan/0000000000000001");
        let letter = letter::read(&answer.body, &key.public()).unwrap();
        assert_eq!((letter.node, letter.generation), (NodeId(1), 3));
        assert_eq!(placing.answer("/api/plan/me").status, 404);
    }

    #[test]
    fn every_ring_has_a_name_of_its_own() {
        let mark = |generation| Mark { generation, coordinator: NodeId(1) };
        let names = [ring(mark(1), "a"), ring(mark(1), "b"), ring(mark(2), "a")];
        assert!(names.iter().all(|name| name.len() == assign::KEY_DIGITS));
        assert!(names[0] != names[1] && names[0] != names[2]);
    }
}
