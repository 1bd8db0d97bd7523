//! The doors to this node's voice, as `agent serve` opens them: sessions and the PC's own key over HTTP, Wyoming, and a
//! socket for programs of this PC.

use crate::gateway::Gateway;
use crate::hear;
use crate::hear::desk::Readiness;
use crate::io::node::Node;
use crate::session::{self, Sessions};
use crate::sound::lent::Lent;
use crate::talk::{Shared, Talks};
use crate::wyoming::info::Offer;
use crate::wyoming::{self, mdns, mdns::cards::Card};
use service::door::{Allowance, Ask, Head, Reply};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

pub struct Doors {
    http: session::Door,
    wyoming: Arc<wyoming::serve::Door>,
    node: Arc<Node>,
    lent: Lent,
}

impl Doors {
    /// `wyoming` is where the command line wishes it, whatever the settings say.
    pub fn new(
        talks: Arc<Talks>,
        shared: Shared,
        (gateway, node, ear): (Arc<Gateway>, Arc<Node>, Arc<hear::desk::Desk>),
        wyoming: Option<SocketAddr>,
        lent: Lent,
    ) -> Doors {
        let force = talks.force.clone();
        let of = (force.clone(), node.clone(), shared.mouth.clone());
        let offer = move || {
            let (settings, hearing) = (of.0.now(), ear.status());
            let hears = !matches!(hearing.readiness, Readiness::Absent | Readiness::Failed);
            Offer {
                node: Some(of.1.name()).filter(|name| !name.is_empty()).unwrap_or_else(|| "duet".into()),
                hearing: hears.then_some(hearing.model),
                languages: hearing.languages,
                voices: of.2.voices(),
                // Speech that fails says so when it is asked for.
                voice: Some(settings.voice.unwrap_or_else(|| settings.language.clone())),
                language: settings.language,
            }
        };
        let wyoming = wyoming::serve::Door::new(shared, force, wyoming, Box::new(offer));
        let sessions = Sessions::new(talks, Box::new(hear::detect::earshot));
        let http = session::Door::new(gateway, Arc::new(sessions));
        Doors { http, wyoming: Arc::new(wyoming), node, lent }
    }

    /// Whether a path is one of ours.
    pub fn is_for(path: &str) -> bool {
        session::Door::is_for(path)
    }

    pub fn admit(&self, head: &Head<'_>) -> Result<Allowance, Reply> {
        self.http.admit(head)
    }

    pub fn answer(&self, ask: &Ask) -> Reply {
        self.http.answer(ask)
    }

    /// Never ends.
    pub async fn run(&self) {
        // Where the command line names an address, that one is announced.
        let named = self.wyoming.listen.map(|listen| listen.ip()).filter(|ip| !ip.is_unspecified());
        // One that no card has may be asked for by this machine alone.
        let alone = |address| Card { index: 0, address, prefix_bits: 32, n_changes: 0 };
        let cards = || match named {
            Some(IpAddr::V4(ip)) => vec![self.node.card_of(ip).unwrap_or_else(|| alone(ip))],
            _ => self.node.cards(),
        };
        tokio::join!(
            self.http.run(),
            self.wyoming.clone().run(),
            mdns::run(self.wyoming.clone(), cards),
            session::local::run(self.http.sessions.talks().clone(), self.lent.clone()),
        );
    }
}
