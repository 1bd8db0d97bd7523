//! The hands of hearing: starts the desk, tells it what the owner and the cluster say, and finds it others that hear.

use crate::cluster::Cluster;
use crate::gateway::Gateway;
use crate::hear::away::{Neighbour, Neighbours};
use crate::hear::desk::{Desk, Wanted};
use crate::hear::{open, sphinx};
use crate::settings::Settings;
use crate::talk::force::Force;
use admission::VoiceSettings;
use cluster::Health;
use gossip::{Member, Picture};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The service and the speed that facts tell.
pub const SERVICE: &str = "hear";
/// Between two looks at settings and names.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The node's one ear.
pub fn start(at: Places<'_>, settings: &Settings, cluster: Arc<Cluster>) -> std::io::Result<Arc<Desk>> {
    Desk::start(at.wanted(&settings.now().voice), open::opener(), Box::new(Others(cluster))).map(Arc::new)
}

/// Where what hears may lie: the folder of models, and the root with the image's programs.
#[derive(Clone, Copy)]
pub struct Places<'a> {
    pub models: &'a Path,
    pub root: &'a Path,
}

impl Places<'_> {
    fn wanted(&self, voice: &VoiceSettings) -> Wanted {
        Wanted {
            models: self.models.to_owned(),
            model: voice.hearing.clone(),
            language: voice.language.clone(),
            sphinx: Some(self.root.join(sphinx::PROGRAM)),
        }
    }
}

/// Never ends: what holds here of the owner's settings, and the names that people may say.
pub async fn follow(desk: &Desk, at: Places<'_>, force: &Force, cluster: &Cluster, gateway: &Gateway) {
    loop {
        let voice = force.now();
        desk.set(at.wanted(&voice));
        desk.set_detector(voice.detector);
        let picture = cluster.picture();
        let nodes =
            picture.iter().flat_map(|picture| picture.members.iter().map(|member| member.name.clone()));
        desk.set_hot_words(nodes.chain(gateway.names()));
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Ears of the cluster.
struct Others(Arc<Cluster>);

impl Neighbours for Others {
    fn idle(&self) -> Vec<Neighbour> {
        self.0.picture().map(|picture| idle(&picture)).unwrap_or_default()
    }

    fn unreachable(&self, neighbour: &Neighbour) {
        self.0.unreachable_at(neighbour.address.ip(), SERVICE);
    }
}

fn idle(picture: &Picture) -> Vec<Neighbour> {
    picture.members.iter().filter(|member| !member.is_self).filter_map(neighbour).collect()
}

/// A member that hears and has nothing to hear; one without a place on the overlay is not reached.
fn neighbour(member: &Member) -> Option<Neighbour> {
    let facts = member.facts.as_ref()?;
    let told = facts.services.iter().find(|service| service.name == SERVICE)?;
    let speed = facts.speeds.iter().find(|speed| speed.what == SERVICE)?;
    let is_idle = member.health(SERVICE) == Some(Health::Passing) && told.busy == 0 && !facts.draining;
    let address = SocketAddr::from((member.overlay?, told.port));
    is_idle.then(|| Neighbour { name: facts.name.clone(), address, milli: speed.milli })
}

#[cfg(test)]
mod tests {
    use super::*;
    use admission::NodeId;
    use cluster::{Facts, Service, Speed};

    fn check(busy: u16, health: Health, overlay: Option<&str>, doubted: &[&str], want: Option<&str>) {
        let service = Service { name: SERVICE.into(), port: 8000, health, busy, slots: 1 };
        let facts = Facts {
            name: "kitchen".into(),
            services: vec![service],
            speeds: vec![Speed { what: SERVICE.into(), milli: 250 }],
            ..Facts::default()
        };
        let member = Member {
            id: NodeId(7),
            is_self: false,
            role: "node",
            name: "kitchen".into(),
            address: "10.0.0.7:7947".parse().unwrap(),
            overlay: overlay.map(|text| text.parse().unwrap()),
            standing: "alive",
            for_s: 0,
            heard_s: None,
            sees: None,
            facts: Some(facts),
            unread: None,
            doubted: doubted.iter().map(ToString::to_string).collect(),
            certificate: None,
        };
        let got = neighbour(&member).map(|found| format!("{} {} {}", found.name, found.address, found.milli));
        assert_eq!(got.as_deref(), want);
    }

    #[test]
    fn an_idle_ear_on_the_overlay_is_a_neighbour() {
        check(0, Health::Passing, Some("fd01::7"), &[], Some("kitchen [fd01::7]:8000 250"));
    }

    #[test]
    fn who_is_busy_doubted_ill_or_not_on_the_overlay_is_none() {
        check(1, Health::Passing, Some("fd01::7"), &[], None);
        check(0, Health::Warning, Some("fd01::7"), &[], None);
        check(0, Health::Passing, None, &[], None);
        check(0, Health::Passing, Some("fd01::7"), &["hear"], None);
    }
}
