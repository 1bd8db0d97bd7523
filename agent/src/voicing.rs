//! The voice of `agent serve`: one mouth and one mind beside the ear, all conversations, and the doors to them.

use crate::answer::model::GatewayModels;
use crate::answer::timers::TimerBook;
use crate::answer::{About, Mind, World, bell};
use crate::cluster::Cluster;
use crate::doors::Doors;
use crate::gateway::Gateway;
use crate::hear;
use crate::io::node::Node;
use crate::settings::Settings;
use crate::speech::mouth::Mouth;
use crate::talk::force::{Force, Over};
use crate::talk::trace::Trace;
use crate::talk::{Shared, Talks};
use admission::VoiceSettings;
use anyhow::Context;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Between two looks at what the owner says.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A clock that shows less stood still: 2026 had not begun when this was written.
const CLOCK_LEAST_S: u64 = 1_767_225_600;
/// The services of nodes that have a model ready.
const MODEL: &str = "llama-api";

/// What it leans on.
pub struct Parts {
    pub node: Arc<Node>,
    pub cluster: Arc<Cluster>,
    pub gateway: Arc<Gateway>,
    pub settings: Arc<Settings>,
    pub ear: Arc<hear::desk::Desk>,
}

pub struct Voice {
    pub talks: Arc<Talks>,
    pub doors: Doors,
    mouth: Arc<Mouth>,
    mind: Arc<Mind>,
    settings: Arc<Settings>,
}

impl Voice {
    /// `wyoming` is where the command line wishes it.
    pub fn start(parts: Parts, wyoming: Option<SocketAddr>) -> anyhow::Result<Voice> {
        let Parts { node, cluster, gateway, settings, ear } = parts;
        let force = Arc::new(Force::new(settings.now().voice));
        let mouth = Arc::new(crate::speech::start(&force.now()).context("no thread that speaks")?);
        let talks = Arc::new(OnceLock::new());
        let around = Around { node: node.clone(), cluster, force: force.clone(), talks: talks.clone() };
        let models = GatewayModels { gateway: gateway.clone(), runtime: tokio::runtime::Handle::current() };
        let mind = Arc::new(Mind::new(Arc::new(around), Arc::new(models), Arc::new(TimerBook::open())));
        let shared = Shared { ear: ear.clone(), mouth: mouth.clone(), mind: mind.clone() };
        let all = Talks::new(shared.clone(), force);
        let _ = talks.set(all.clone());
        let doors = Doors::new(all.clone(), shared, (gateway, node, ear), wyoming);
        Ok(Voice { talks: all, doors, mouth, mind, settings })
    }

    /// Never ends.
    pub async fn run(&self) {
        tokio::join!(self.doors.run(), bell::run(self.talks.clone(), self.mind.clone()), self.follow());
    }

    /// Whoever speaks does it as the owner says now.
    async fn follow(&self) {
        let force = &self.talks.force;
        let mut now = force.now();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            force.set_cluster(self.settings.now().voice);
            let new = force.now();
            if new != now {
                self.mouth.set(&new);
                self.talks.settings_changed();
                now = new;
            }
        }
    }
}

/// The world as the mind sees it.
struct Around {
    node: Arc<Node>,
    cluster: Arc<Cluster>,
    force: Arc<Force>,
    /// Conversations need a mind before they can be.
    talks: Arc<OnceLock<Arc<Talks>>>,
}

impl World for Around {
    fn settings(&self) -> VoiceSettings {
        self.force.now()
    }

    fn set_volume(&self, volume: u8) -> Result<(), String> {
        self.force.tell(Over { volume: Some(volume), ..Over::default() })?;
        if let Some(talks) = self.talks.get() {
            talks.settings_changed();
        }
        Ok(())
    }

    fn is_here(&self, talk: u64) -> bool {
        self.talks.get().and_then(|talks| talks.here()).is_some_and(|line| line.id == talk)
    }

    fn about(&self) -> About {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let unix_s = Some(now).filter(|now| *now >= CLOCK_LEAST_S);
        let about = About { node: self.node.name(), unix_s, n_alive: 1, n_known: 1, ..About::default() };
        let Some(picture) = self.cluster.picture() else { return about };
        let nodes = || picture.members.iter().filter(|member| !member.name.is_empty());
        let has_model = |member: &gossip::Member| {
            let services = member.facts.iter().flat_map(|facts| &facts.services);
            services.into_iter().any(|service| service.name.starts_with(MODEL))
        };
        About {
            n_alive: usize::from(picture.n_alive),
            n_known: nodes().count(),
            away: nodes()
                .filter(|member| member.standing == "down")
                .map(|member| member.name.clone())
                .collect(),
            n_with_model: nodes().filter(|member| has_model(member)).count(),
            ..about
        }
    }

    fn last_trace(&self, talk: u64) -> Option<Trace> {
        self.talks.get()?.traces().into_iter().find(|trace| trace.talk == talk)
    }
}
