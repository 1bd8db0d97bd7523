//! This node's part in the cluster: what it tells, what it knows of the others, and what happened.
//!
//! The call home (`enrol`) comes first; with its answer the gossip begins on a thread of its own.
//! `facts`, `known`, `overlay` and `story` are pure; this file keeps what pages and programs may ask at any time.

pub mod doubts;
pub mod facts;
pub mod known;
pub mod overlay;
pub mod story;

use crate::io::runtime;
use ::cluster::{Config, Event, PlanMark};
use admission::NodeId;
use gossip::{Gossip, Order, Picture};
use serde::Serialize;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use story::{Happening, Story};
use tokio::sync::broadcast;

/// How far this node has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "phase", rename_all = "lowercase")]
pub enum Phase {
    /// No duet boot server has started this machine, so there is nobody to call.
    #[default]
    Alone,
    /// It calls the boot servers.
    Calling {
        sentence: String,
    },
    /// The owner must compare this code with the boot server's and approve.
    Waiting {
        code: String,
    },
    Member,
    /// The boot server does not want it.
    Refused {
        sentence: String,
    },
}

/// What the page and `/api/status` show.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ClusterStatus {
    #[serde(flatten)]
    pub phase: Phase,
    pub picture: Option<Picture>,
    /// Oldest first.
    pub happenings: Vec<Happening>,
    pub plan: PlanStatus,
}

/// The plan of models that this node follows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PlanStatus {
    /// 0 before the first.
    pub generation: u64,
    #[serde(skip)]
    pub coordinator_id: u64,
    /// The node that made it.
    pub coordinator: String,
    pub is_coordinator: bool,
    /// Plans that this node made; most change nothing, and then nobody is told.
    pub n_made: u64,
    /// What this node is to hold: experts, and layers of those that are cut.
    pub holds: Vec<String>,
    /// Why it is so, where this node made the plan.
    pub reasons: Vec<String>,
}

impl PlanStatus {
    /// As facts tell it.
    pub fn mark(&self) -> Option<PlanMark> {
        let mark = PlanMark { generation: self.generation, coordinator: self.coordinator_id };
        (self.generation > 0).then_some(mark)
    }
}

/// The node's cluster, for whoever asks.
pub struct Cluster {
    start: Instant,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    phase: Phase,
    gossip: Option<Gossip>,
    story: Story,
    plan: PlanStatus,
    draining: bool,
}

/// That this node gives its work away outlives a crash of the agent, and no boot.
const DRAINING_FILE: &str = "draining";
const DRAINING: &str = "draining\n";

impl Default for Cluster {
    fn default() -> Cluster {
        let draining = runtime::read(DRAINING_FILE, DRAINING.len() as u64) == DRAINING;
        Cluster { start: Instant::now(), inner: Mutex::new(Inner { draining, ..Inner::default() }) }
    }
}

impl Cluster {
    pub fn status(&self) -> ClusterStatus {
        let inner = self.lock();
        let picture = inner.gossip.as_ref().map(|gossip| Picture::clone(&gossip.picture()));
        let (phase, plan) = (inner.phase.clone(), inner.plan.clone());
        ClusterStatus { phase, picture, happenings: inner.story.kept(), plan }
    }

    pub fn picture(&self) -> Option<Arc<Picture>> {
        self.lock().gossip.as_ref().map(Gossip::picture)
    }

    pub fn plan_mark(&self) -> Option<PlanMark> {
        self.lock().plan.mark()
    }

    /// The node follows another plan from now on.
    pub fn set_plan(&self, plan: PlanStatus) {
        self.lock().plan = plan;
    }

    /// Whether this node takes no new work and gives away what it holds.
    pub fn is_draining(&self) -> bool {
        self.lock().draining
    }

    pub fn set_draining(&self, draining: bool) -> std::io::Result<()> {
        let text = if draining { DRAINING } else { "" };
        runtime::write(DRAINING_FILE, text.as_bytes(), runtime::For::Agent)?;
        self.lock().draining = draining;
        Ok(())
    }

    pub fn set_phase(&self, phase: Phase) {
        self.lock().phase = phase;
    }

    /// Happenings from now on.
    pub fn listen(&self) -> broadcast::Receiver<Happening> {
        self.lock().story.listen()
    }

    pub fn happened(&self, kind: &'static str, node: Option<String>, sentence: String) {
        let at_s = self.start.elapsed().as_secs();
        self.lock().story.add(at_s, kind, node, sentence);
    }

    /// What happens, for clients.
    pub fn feed(&self) -> Arc<service::feed::Feed> {
        self.lock().story.feed()
    }

    pub fn order(&self, order: Order) {
        if let Some(gossip) = &self.lock().gossip {
            gossip.order(order);
        }
    }

    /// Whoever calls a peer and gets no connection, or loses it, says so here: for this node the service is critical
    /// within milliseconds (`gossip::Member::health`), until the peer speaks anew. Others find out for themselves.
    pub fn unreachable(&self, node: NodeId, service: &str) {
        self.order(Order::Suspect { node, service: service.to_owned() });
    }

    /// The same of whoever has this address on the overlay.
    pub fn unreachable_at(&self, address: IpAddr, service: &str) {
        let picture = self.picture();
        let members = picture.iter().flat_map(|picture| &picture.members);
        members
            .filter(|member| member.overlay.is_some_and(|ip| ip == address))
            .for_each(|member| self.unreachable(member.id, service));
    }

    /// Begins to gossip.
    pub fn join(self: &Arc<Self>, listen: std::net::SocketAddr, config: Config) -> std::io::Result<()> {
        let cluster = self.clone();
        let gossip = Gossip::start(listen, config, Box::new(move |event| cluster.heard(event)))?;
        let mut inner = self.lock();
        inner.phase = Phase::Member;
        inner.gossip = Some(gossip);
        Ok(())
    }

    /// Says goodbye, if there is anybody.
    pub fn leave(&self) {
        // Dropped after the lock is given back: the thread may still have something to tell.
        let gossip = self.lock().gossip.take();
        drop(gossip);
    }

    /// Whether the gossip has ended though nobody asked it to.
    pub fn has_lost_gossip(&self) -> bool {
        self.lock().gossip.as_ref().is_some_and(|gossip| !gossip.is_running())
    }

    fn heard(&self, event: &Event) {
        let picture = self.picture();
        let members = picture.as_ref().map_or(&[][..], |picture| &picture.members);
        if let Some((kind, node, sentence)) = story::tell(event, members) {
            self.happened(kind, node, sentence);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
