//! The gateway: the OpenAI API for whoever has a key, answered by the nodes that hold the models.
//!
//! `keys` says who may ask, `view` and `route` where a request goes, `event` and `stream` read what passes, `fold` makes one
//! answer of it, `meters` counts: all pure.
//! `answer` is the door's, `begin` tries one copy after the other until a first token came (a `job`), `relay` hands on what
//! follows.
//! `own` asks for this node itself, `vectors` knows which model is its memory's.
//! An answer whose copy is lost goes on elsewhere (`record`, `resume`); also one in a single piece, because copies are
//! always asked for a stream.
//! The gateway deliberately knows no model and no prompt: a request is checked by whoever answers it, and passes unchanged
//! but for its model's name.

mod answer;
mod begin;
mod event;
mod fold;
mod job;
mod kept;
pub mod keys;
pub mod meters;
pub mod own;
pub mod record;
mod relay;
mod resume;
pub mod route;
pub mod stream;
mod vectors;
pub mod view;

use crate::cluster::Cluster;
use crate::io::node::Node;
use crate::login::Logins;
use crate::serve::enrolling::Joined;
use crate::settings::Settings;
use crate::tier::Llm;
use admission::{ApiKey, ApiKeys};
use keys::{Keys, ListError};
use meters::{GatewayStatus, Meters};
use route::{Manner, View};
use service::door::{Answer, Ask};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Everything below this path is the gateway's.
pub const PATH: &str = "/v1/";
pub const METRICS_PATH: &str = "/metrics";
/// A request's connection lives at least so long: old PCs write slowly.
pub const REQUEST_TIME_MAX: Duration = Duration::from_secs(20 * 60);

/// What the owner said of it on the command line.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub worker: Option<SocketAddr>,
    pub set: Option<SocketAddr>,
    pub last_resort: Vec<SocketAddr>,
    pub own_keys: Vec<ApiKey>,
    pub manners: Manners,
}

/// What is known of each expert.
pub type Manners = BTreeMap<String, Manner>;

pub struct Gateway {
    start: Instant,
    node: Arc<Node>,
    cluster: Arc<Cluster>,
    member: Joined,
    settings: Arc<Settings>,
    options: Options,
    manners: Mutex<Manners>,
    keys: Mutex<Keys>,
    logins: Mutex<Logins>,
    meters: Mutex<Meters>,
    /// Requests of this gateway that each copy works on.
    flying: Mutex<BTreeMap<Place, u16>>,
}

/// An address, and the model's name there.
type Place = (SocketAddr, String);

/// A request that was let in; its key's count ends with it.
struct Guest {
    gateway: Arc<Gateway>,
    key: String,
    tokens: u64,
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.gateway.keys().leave(&self.key, self.tokens);
    }
}

impl Gateway {
    pub fn new(
        node: Arc<Node>,
        cluster: Arc<Cluster>,
        member: Joined,
        settings: Arc<Settings>,
        options: Options,
    ) -> Gateway {
        let keys = Mutex::new(Keys::new(options.own_keys.clone()));
        let manners = Mutex::new(options.manners.clone());
        Gateway {
            start: Instant::now(),
            node,
            cluster,
            member,
            settings,
            options,
            manners,
            keys,
            logins: Mutex::default(),
            meters: Mutex::default(),
            flying: Mutex::default(),
        }
    }

    /// Never ends: what an earlier run of the agent was told holds again as soon as the authority is known.
    pub async fn remember(&self) {
        let mut member = self.member.clone();
        loop {
            let authority = member.borrow_and_update().as_ref().map(|kept| kept.member.authority);
            if let (Some(authority), Some(list)) = (authority, kept::read()) {
                // An older or a stranger's list changes nothing.
                let _ = self.keys().take(list, &authority);
            }
            if member.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// What is known now. A node without a cluster knows itself.
    async fn view(&self) -> View {
        let worker = self.options.worker.unwrap_or_else(crate::args::usual_worker);
        let Options { set, mut last_resort, .. } = self.options.clone();
        let manners = self.manners().clone();
        // What was said to this node itself goes before what is said to all.
        let told = self.settings.now();
        let said = self.node.said();
        let mut set = set.or(said.llm_url).or(told.llm_url);
        last_resort.extend(told.llm_last_resort);
        let llm = said.llm.unwrap_or_default();
        if llm == Llm::Local {
            (set, last_resort) = (None, vec![]);
        }
        let mut copies = match self.cluster.picture() {
            Some(picture) => view::copies(&picture, worker),
            None if set.is_some() => vec![],
            None => view::of_facts(&crate::cluster::facts::tell(&self.node.status().await), worker),
        };
        let flying = self.flying().clone();
        for copy in &mut copies {
            // Gossip is late by seconds, and may count ours already: the truth is not less than either.
            let own = flying.get(&(copy.address, copy.expert.clone())).copied().unwrap_or(0);
            copy.busy = copy.busy.max(own);
        }
        match llm {
            Llm::Auto => {}
            Llm::Local => copies.retain(|copy| copy.is_local),
            Llm::Remote => copies.retain(|copy| !copy.is_local),
        }
        if llm != Llm::Local {
            view::put(&mut copies, &told.overrides);
        }
        let nobody = if copies.is_empty() { self.node.place().no_model } else { String::new() };
        View { copies, manners, set, last_resort, nobody }
    }

    /// Nodes that have a model ready for questions.
    pub async fn n_with_model(&self) -> usize {
        let view = self.view().await;
        let is_ready = |copy: &&route::Copy| copy.health == cluster::Health::Passing && !copy.is_doubted;
        let places: std::collections::BTreeSet<SocketAddr> =
            view.copies.iter().filter(is_ready).map(|copy| copy.address).collect();
        places.len() + usize::from(view.set.is_some())
    }

    /// Whether this is an expert of ours, whose name may be counted.
    fn knows(&self, model: &str) -> bool {
        self.manners().contains_key(model)
    }

    /// The experts that are known, by name.
    pub fn names(&self) -> Vec<String> {
        self.manners().keys().cloned().collect()
    }

    /// The experts' files have changed.
    pub fn set_manners(&self, manners: Manners) {
        *self.manners() = manners;
    }

    /// A connection failed: the others should not wait for the gossip to find out.
    fn unreachable(&self, candidate: &route::Candidate) {
        if let Some(node) = candidate.node {
            self.cluster.unreachable(node, &view::service(&candidate.model));
        }
    }

    /// A new list of keys, posted by the boot server.
    pub fn take_keys(&self, ask: &Ask) -> Answer {
        let Some(text) = &ask.posted else {
            return Answer {
                fields: &[("allow", "POST")],
                ..Answer::text(405, "a list of keys is posted\n")
            };
        };
        if ask.is_of_a_browser {
            return Answer::text(403, "a page may not change keys\n");
        }
        let Some(kept) = self.member.borrow().clone() else {
            return Answer::text(503, "this node is no member of a cluster\n");
        };
        let list = match ApiKeys::parse(text) {
            Ok(list) => list,
            Err(error) => return Answer::text(400, &format!("{error}\n")),
        };
        let taken = self.keys().take(list.clone(), &kept.member.authority);
        match taken {
            Ok(false) => Answer::text(200, "this list is here already\n"),
            Ok(true) => match kept::write(&list) {
                Ok(()) => Answer::text(200, "taken\n"),
                // It holds; only a restart of the agent would forget it, and then it is told again by nobody.
                Err(error) => Answer::text(500, &format!("the list cannot be kept: {error}\n")),
            },
            Err(ListError::Old { has }) => Answer::text(409, &format!("version {has} is here\n")),
            Err(ListError::Untrue(error)) => Answer::text(403, &format!("{error}\n")),
        }
    }

    /// What it counted, in the format of Prometheus.
    pub fn metrics(&self) -> String {
        self.meters().text()
    }

    pub fn status(&self) -> GatewayStatus {
        let keys = self.keys().status();
        self.meters().status(keys)
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn logins(&self) -> MutexGuard<'_, Logins> {
        self.logins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn manners(&self) -> MutexGuard<'_, Manners> {
        self.manners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flying(&self) -> MutexGuard<'_, BTreeMap<Place, u16>> {
        self.flying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn meters(&self) -> MutexGuard<'_, Meters> {
        self.meters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
