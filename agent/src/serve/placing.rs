//! Which models this node holds: looks at the gossip, plans for all where this node is to, else fetches its letter from who
//! does, and writes for rpc-worker what to hold.
//!
//! Who plans is known by `split::lead`, the plan is made by `split::place`: both pure, like `letter` and `told` beside this
//! file, and `stay`, which keeps what moves until it has moved. `desk` keeps the letters for the others, `shelf` reads the
//! files, `wish` writes what rpc-worker watches.
//! A letter is signed by the coordinator's node key, so it may come over the wire before there is an overlay, and no
//! stranger can write one. The keys of rings are names, not secrets: stages speak over the overlay, which says who speaks.

pub mod desk;
mod letter;
mod shelf;
mod stay;
mod told;
mod wish;

use crate::cluster::{Cluster, PlanStatus, doubts};
use crate::io::kept::Kept;
use crate::offered::Changes;
use crate::serve::enrolling::Joined;
use crate::spreading::{Planned, Spreading};
use ::cluster::Health;
use admission::CatalogueFile;
use anyhow::{Context, ensure};
use desk::{Desk, PATH, seats_of};
use gossip::{Member, Picture};
use letter::Letter;
use service::log::{Level, say};
use shelf::{Folders, Shelf};
use split::assign::{Assignment, STAGE_PORT, slice_file};
use split::expert::SERVICE;
use split::lead::{Input, Lead, Mark, Output};
use split::place::{self, Model, NodeId, Place, Plan, Seat};
use split::shape::Shape;
use stay::{Look, Seated, Staying};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Files are looked at when something tells of a change, and now and then because a folder may not be there to be watched.
const SHELF_EVERY: Duration = Duration::from_secs(60);
/// Reasons that the page and the API show.
const REASONS_MAX: usize = 64;

/// Where the files lie, and a word whenever one of them may have changed.
pub struct Files {
    pub experts: PathBuf,
    pub models: PathBuf,
    pub changes: Changes,
}

/// Never ends. Outside of a cluster there is nobody to plan with, and it only waits.
pub async fn run(
    cluster: Arc<Cluster>,
    joined: Joined,
    desk: Arc<Desk>,
    files: Files,
    spreading: Arc<Spreading>,
) {
    let Files { experts, models, mut changes } = files;
    let mut planner = Planner {
        start: Instant::now(),
        cluster,
        desk,
        spreading,
        lead: None,
        shelf: Arc::default(),
        n_shelves: 0,
        folders: Folders { experts, models },
        plan: None,
        n_made: 0,
        letter: None,
        followed: None,
        written: None,
        staying: Staying::default(),
    };
    // What is there now was never read.
    changes.mark_changed();
    let mut looked = Instant::now();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if changes.has_changed().unwrap_or(false) || looked.elapsed() >= SHELF_EVERY {
            changes.mark_unchanged();
            looked = Instant::now();
            planner.read_shelf().await;
        }
        let kept = joined.borrow().clone();
        if let (Some(picture), Some(kept)) = (planner.cluster.picture(), kept) {
            planner.look(&picture, &kept).await;
        }
    }
}

struct Planner {
    start: Instant,
    cluster: Arc<Cluster>,
    desk: Arc<Desk>,
    spreading: Arc<Spreading>,
    lead: Option<Lead>,
    shelf: Arc<Shelf>,
    /// How often the files were others.
    n_shelves: u64,
    folders: Folders,
    /// While this node plans.
    plan: Option<Arc<Plan>>,
    n_made: u64,
    /// The last that came.
    letter: Option<Letter>,
    followed: Option<Followed>,
    /// What rpc-worker was told last.
    written: Option<Assignment>,
    staying: Staying,
}

/// The plan that this node follows, as far as it concerns this node.
struct Followed {
    mark: Mark,
    build: String,
    seats: Vec<Seat>,
    reasons: Vec<String>,
}

impl Planner {
    async fn look(&mut self, picture: &Picture, kept: &Kept) {
        let own = NodeId(picture.own.0);
        let mut lead = match self.lead.take() {
            Some(lead) => lead,
            None => {
                let generation = wish::floor();
                // rpc-worker follows it still, and the others must count on from it.
                self.cluster.set_plan(PlanStatus { generation, ..PlanStatus::default() });
                Lead::new(own, generation)
            }
        };
        // What can be fetched makes other plans, like what lies here.
        let seen = told::look(picture, self.n_shelves.wrapping_add(self.spreading.offered().0));
        lead.handle(self.start.elapsed(), Input::Look { peers: &seen.peers, facts: seen.facts });
        while let Some(wish) = lead.poll() {
            match wish {
                Output::Plan { facts } => {
                    let is_new = self.make(&seen).await;
                    lead.handle(self.start.elapsed(), Input::Planned { facts, is_new });
                }
                Output::Publish { mark } => self.publish(&seen.build, kept, mark),
                Output::Fetch { from } => {
                    if let Some(mark) = self.fetch(picture, &seen.build, from, own).await {
                        lead.handle(self.start.elapsed(), Input::Came { mark });
                    }
                }
                Output::Follow { mark } => {
                    if let Some(Letter { build, seats, .. }) = self.letter.take() {
                        self.followed = Some(Followed { mark, build, seats, reasons: Vec::new() });
                    }
                }
            }
        }
        if !lead.is_leading() {
            self.plan = None;
            self.desk.clear();
        }
        self.lead = Some(lead);
        self.give(picture, own);
    }

    /// Makes a plan from what was seen, and says whether it differs from the one before.
    async fn make(&mut self, seen: &told::Seen) -> bool {
        let (shelf, tolds) = (self.shelf.clone(), seen.told.clone());
        let offered = self.spreading.offered().1;
        let in_force = self.plan.as_ref().map(|plan| plan.seats.clone());
        let made = tokio::task::spawn_blocking(move || {
            let experts = &shelf.experts;
            let lies = |told: &&CatalogueFile| shelf.models.iter().any(|model| model.file == told.file);
            let shaped = offered.iter().filter(|told| !lies(told)).filter_map(shaped);
            let shaped: Vec<Model> = shelf.models.iter().cloned().chain(shaped).collect();
            let mut models = place::told::known(&shaped, &tolds);
            for told in &offered {
                if !models.iter().any(|model| model.file == told.file) {
                    models.push(place::told::by_size(told.file.clone(), told.bytes));
                }
            }
            let offered: Vec<String> = offered.into_iter().map(|told| told.file).collect();
            let nodes = tolds.iter().map(|told| told.node(experts, false));
            let nodes: Vec<_> = nodes.map(|node| place::Node { offered: offered.clone(), ..node }).collect();
            let in_force = in_force.unwrap_or_else(|| place::told::in_force(&tolds, &models, experts));
            place::plan(&nodes, &models, experts, &in_force)
        });
        let Ok(plan) = made.await else { return false };
        self.n_made += 1;
        let is_new = self.plan.as_ref().is_none_or(|old| !old.is_same_as(&plan));
        self.plan = Some(Arc::new(plan));
        is_new
    }

    async fn read_shelf(&mut self) {
        let (folders, old) = (self.folders.clone(), self.shelf.clone());
        if let Ok(Some(shelf)) = tokio::task::spawn_blocking(move || Shelf::read(&folders, &old)).await {
            for sentence in &shelf.wrong {
                say(Level::Warning, &format!("duet: {sentence}"));
            }
            self.shelf = Arc::new(shelf);
            self.n_shelves += 1;
        }
    }

    fn publish(&mut self, build: &str, kept: &Kept, mark: Mark) {
        let Some(plan) = self.plan.clone() else { return };
        self.desk.publish(mark, build.to_owned(), plan.clone(), kept.member.node_key.clone());
        let reasons = plan.reasons.iter().take(REASONS_MAX).cloned().collect();
        let seats = seats_of(&plan, mark.coordinator);
        self.followed = Some(Followed { mark, build: build.to_owned(), seats, reasons });
    }

    async fn fetch(&mut self, picture: &Picture, build: &str, from: NodeId, own: NodeId) -> Option<Mark> {
        match fetch(picture, build, from, own).await {
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

    /// The models of this node's part of the plan, as files.
    fn planned(&self, seats: &[Seat], own: NodeId) -> Vec<Planned> {
        let planned = seats.iter().filter_map(|seat| {
            let part = seat.parts.iter().find(|part| part.node == own)?;
            let file = self.shelf.given(&seat.expert)?.expert.model;
            let is_cut = seat.parts.len() > 1;
            let layers = u64::from(part.first)..u64::from(part.last);
            let slice = is_cut.then(|| (layers, slice_file(&file, part.first, part.last)));
            Some(Planned { file, slice })
        });
        planned.collect()
    }

    /// Whether this node can begin with its part of a seat; others' parts are their affair.
    fn is_here(&self, seat: &Seat, own: NodeId) -> bool {
        let folder = &self.folders.models;
        self.planned(std::slice::from_ref(seat), own).iter().all(|planned| {
            let slice = planned.slice.as_ref().is_some_and(|(_, file)| folder.join(file).is_file());
            slice || folder.join(&planned.file).is_file()
        })
    }

    /// Tells rpc-worker what to hold, and the cluster which plan that is. An expert's file that changed, or a neighbour
    /// whose address is known now, changes it without a new plan.
    fn give(&mut self, picture: &Picture, own: NodeId) {
        let Some(Followed { mark, build, seats, reasons }) = &self.followed else { return };
        self.spreading.plan(self.planned(seats, own));
        // What does not lie here yet is told as soon as it has come: rpc-worker tries a file that lacks ever more seldom.
        let here: Vec<Seat> = seats.iter().filter(|seat| self.is_here(seat, own)).cloned().collect();
        let plan = Plan { seats: here, ..Plan::default() };
        let address = |id: NodeId| {
            let member = picture.members.iter().find(|member| member.id.0 == id.0)?;
            Some(SocketAddr::from((member.overlay?, STAGE_PORT)))
        };
        let place = Place {
            generation: mark.generation,
            build,
            given: &|name| self.shelf.given(name),
            address: &address,
            key: &wish::ring,
        };
        let mut assignment = place::give(&plan, own, &place);
        let room_bytes = room_bytes(picture);
        let planned: Vec<Seated> = seats.iter().filter_map(|seat| seated(seat, own)).collect();
        let look = Look {
            now: self.start.elapsed(),
            planned: &planned,
            room_bytes,
            before: self.written.as_ref().map_or(&[], |written| &written.experts),
            given: place.given,
            is_served_elsewhere: &|name| is_served_elsewhere(picture, name),
        };
        let staying = self.staying.add(&mut assignment, &look);
        if self.written.as_ref() != Some(&assignment) {
            match wish::write(&assignment) {
                Ok(()) => self.written = Some(assignment),
                Err(error) => {
                    say(Level::Warning, &format!("duet: rpc-worker is not told what to hold: {error:#}"));
                }
            }
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
            n_made: self.n_made,
            holds: seats
                .iter()
                .map(held)
                .chain(staying.iter().map(|name| format!("{name} (until another serves it)")))
                .collect(),
            reasons: reasons.clone(),
        });
    }
}

/// A model whose shape the catalogue tells.
fn shaped(told: &CatalogueFile) -> Option<Model> {
    Some(Shape::parse(told.shape.as_ref()?)?.model(&told.file))
}

fn seated(seat: &Seat, own: NodeId) -> Option<Seated<'_>> {
    let part = seat.parts.iter().find(|part| part.node == own)?;
    Some(Seated { expert: &seat.expert, bytes: part.bytes, is_whole: seat.parts.len() == 1 })
}

/// What models may take on this node, as it tells all; nothing where it is to have no work.
fn room_bytes(picture: &Picture) -> u64 {
    let own = picture.members.iter().find(|member| member.is_self);
    let facts = own.and_then(|own| own.facts.as_ref()).filter(|facts| !facts.draining);
    facts.map_or(0, |facts| u64::from(facts.room_mb) << 20)
}

fn is_served_elsewhere(picture: &Picture, expert: &str) -> bool {
    let is_reached = |member: &&Member| !member.doubted.iter().any(|service| service == doubts::SERVICE);
    let others = picture.members.iter().filter(|member| !member.is_self && member.is_alive());
    let facts = others.filter(is_reached).filter_map(|member| member.facts.as_ref());
    let mut services = facts.flat_map(|facts| &facts.services);
    services.any(|service| {
        service.name.strip_prefix(SERVICE) == Some(expert) && service.health == Health::Passing
    })
}

async fn fetch(picture: &Picture, build: &str, from: NodeId, own: NodeId) -> anyhow::Result<Letter> {
    let member = picture.members.iter().find(|member| member.id.0 == from.0).context("it is gone")?;
    let certificate = member.certificate.context("it has no certificate")?;
    let services = member.facts.iter().flat_map(|facts| &facts.services);
    let port = services.clone().find(|service| service.name == "agent").map(|service| service.port);
    let base = format!("http://{}:{}", member.address.ip(), port.unwrap_or(crate::args::PORT));
    let reply = service::fetch::get(&base, &format!("{PATH}/{own}")).await?;
    ensure!(reply.status == 200, "it answered {}", reply.status);
    let letter = letter::read(&reply.body, &certificate.claim().node_key)?;
    ensure!(letter.node == own && letter.coordinator == from, "the letter is not from it to this node");
    ensure!(letter.build == build, "the letter is for build {}", letter.build);
    Ok(letter)
}
