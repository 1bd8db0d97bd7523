//! The boot server's place in the gossip: it sees the cluster as it is, and brings what the owner decided.
//!
//! A removal and a new ring key so begin everywhere at once, and not when a PC next calls.
//! The server has no overlay and offers no service. What it tells is on disk before.

use super::{Enrolment, random_or_say};
use crate::releases::unix_now_s;
use crate::serve::Shared;
use crate::serve::view::Gossip;
use admission::{NodeId, NodeSecret, Roster};
use anyhow::{Context, Result};
use cluster::{Config, Event, Facts};
use gossip::{Member, Order, PORT, Picture};
use release::Mac;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Between two looks at what the gossip says; news of the owner's go at once.
const TURN: Duration = Duration::from_secs(1);

/// The running gossip of the server.
pub(crate) struct Watcher {
    gossip: gossip::Gossip,
    /// The ring key that the nodes switched to.
    switched: Arc<AtomicU32>,
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watcher").finish_non_exhaustive()
    }
}

impl Watcher {
    /// Joins the gossip at the served address; loopback alone is heard where loopback is served.
    pub fn start(enrolment: &Enrolment, address: Ipv4Addr) -> Result<Watcher> {
        let now_s = unix_now_s();
        let key = NodeSecret::from_seed(&random_or_say()?);
        let config = {
            let mut registrar = enrolment.lock();
            let certificate = registrar.own_certificate(now_s, key.public());
            let certificate = certificate.context("the authority has used up its serial numbers")?;
            let mut roster = Roster::default();
            for page in registrar.roster() {
                roster.merge(page, &registrar.authority()).context("the own roster does not verify")?;
            }
            Config {
                authority: registrar.authority(),
                certificate,
                key,
                ring: registrar.key_ring().clone(),
                roster,
                addr: SocketAddrV4::new(address, PORT),
                epoch: u32::try_from(now_s).unwrap_or(u32::MAX),
                unix_s: now_s,
                seeds: registrar.member_addresses(),
                last_known: Vec::new(),
                seed: u64::from_ne_bytes(random_or_say()?),
            }
        };
        // The serial number is on disk before anyone sees it.
        enrolment.save()?;
        let switched = Arc::new(AtomicU32::new(0));
        let heard = switched.clone();
        let on_event = Box::new(move |event: &Event| {
            if let Event::RingSwitched { number } = event {
                heard.store(*number, Ordering::Relaxed);
            }
        });
        let listen = if address.is_loopback() { address } else { Ipv4Addr::UNSPECIFIED };
        let gossip = gossip::Gossip::start(SocketAddr::from((listen, PORT)), config, on_event)
            .with_context(|| format!("cannot listen on UDP port {PORT} for the gossip of the PCs"))?;
        let facts = Facts {
            name: "boot server".to_owned(),
            build: env!("CARGO_PKG_VERSION").to_owned(),
            ..Facts::default()
        };
        gossip.order(Order::Publish(facts.encode().context("the own facts")?));
        Ok(Watcher { gossip, switched })
    }

    pub fn picture(&self) -> Arc<Picture> {
        self.gossip.picture()
    }

    /// PCs that ever met the cluster, and how they stand in it.
    fn seen(&self, enrolment: &Enrolment) -> BTreeMap<Mac, Gossip> {
        let picture = self.gossip.picture();
        let macs: BTreeMap<NodeId, Mac> =
            enrolment.lock().book.nodes.iter().map(|(node, record)| (*node, record.mac)).collect();
        let seen = |member: &Member| {
            let has_overlay = member.facts.as_ref().is_some_and(|facts| facts.overlay_port != 0);
            let overlay = member.overlay.filter(|_| has_overlay);
            Some((*macs.get(&member.id)?, Gossip { standing: member.standing, overlay }))
        };
        picture.members.iter().filter_map(seen).collect()
    }

    fn bring(&self, enrolment: &Enrolment) {
        let (pages, next) = {
            let registrar = enrolment.lock();
            (registrar.roster(), registrar.key_ring().next().cloned())
        };
        pages.iter().for_each(|page| self.gossip.order(Order::Page(page.encode())));
        if let Some(key) = next {
            self.gossip.order(Order::RingKey(key));
        }
    }

    fn note_switch(&self, enrolment: &Enrolment) {
        let mut registrar = enrolment.lock();
        if registrar
            .key_ring()
            .next()
            .is_some_and(|key| key.number() <= self.switched.load(Ordering::Relaxed))
        {
            registrar.switch_ring(unix_now_s());
            enrolment.wanted.notify_one();
        }
    }
}

/// Brings every change that is on disk, and hears when the nodes have switched.
pub(super) async fn serve(enrolment: Arc<Enrolment>, shared: Arc<Shared>, address: Ipv4Addr) {
    let mut saved = enrolment.saved.subscribe();
    match Watcher::start(&enrolment, address) {
        Ok(watcher) => _ = enrolment.watcher.set(watcher),
        Err(error) => {
            let sentence = format!("{error:#}; removals reach the PCs only when they call home");
            shared.desk().note(sentence, shared.now_ms());
            return std::future::pending().await;
        }
    }
    let Some(watcher) = enrolment.watcher.get() else { return };
    loop {
        match tokio::time::timeout(TURN, saved.changed()).await {
            Ok(Ok(())) => watcher.bring(&enrolment),
            Ok(Err(_)) => return,
            Err(_) => {}
        }
        watcher.note_switch(&enrolment);
        shared.desk().see_gossip(watcher.seen(&enrolment));
    }
}
