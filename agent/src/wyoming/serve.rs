//! The open door of Wyoming: a socket while the owner wishes one, and places for a few clients.
//!
//! A client costs one recording, one clause of sound and one event at most.

use super::carry::carry;
use super::info::Offer;
use crate::talk::Shared;
use crate::talk::force::Force;
use service::log::{self, Level};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::timeout;

pub const PORT: u16 = 10_300;
/// After a failure to listen.
const RETRY: Duration = Duration::from_secs(30);

/// What clients may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub connections: usize,
    /// Home Assistant opens one for each thing it wants.
    pub connections_per_address: usize,
    /// From the first byte of an event to its last.
    pub event: Duration,
    /// Between two events, while nobody works for the client.
    pub idle: Duration,
    /// Until something comes of what a client waits for; old PCs are slow.
    pub work: Duration,
    /// For the client to take what it is sent.
    pub write: Duration,
    pub visit: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 8,
            connections_per_address: 6,
            event: Duration::from_secs(10),
            idle: Duration::from_secs(120),
            work: Duration::from_secs(180),
            write: Duration::from_secs(10),
            visit: Duration::from_secs(3600),
        }
    }
}

pub struct Door {
    pub shared: Shared,
    pub force: Arc<Force>,
    /// Whatever the settings say, where the command line says it.
    pub listen: Option<SocketAddr>,
    pub offer: Box<dyn Fn() -> Offer + Send + Sync>,
    pub limits: Limits,
    hash: RandomState,
    inside: Mutex<HashMap<IpAddr, usize>>,
}

/// A place inside; given back when dropped.
struct Place(Arc<Door>, IpAddr);

impl Door {
    pub fn new(
        shared: Shared,
        force: Arc<Force>,
        listen: Option<SocketAddr>,
        offer: Box<dyn Fn() -> Offer + Send + Sync>,
    ) -> Door {
        let (limits, hash, inside) = (Limits::default(), RandomState::new(), Mutex::default());
        Door { shared, force, listen, offer, limits, hash, inside }
    }

    /// Where to listen now, if at all.
    pub fn wished(&self) -> Option<SocketAddr> {
        let usual = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
        self.listen.or_else(|| self.force.now().wyoming.then_some(usual))
    }

    /// Never ends: listens while it is wished.
    pub async fn run(self: Arc<Self>) {
        let mut settings = self.force.follow();
        loop {
            let Some(address) = self.wished() else {
                if settings.changed().await.is_err() {
                    return std::future::pending().await;
                }
                continue;
            };
            match TcpListener::bind(address).await {
                Ok(listener) => {
                    let address = listener.local_addr().unwrap_or(address);
                    log::say(Level::Info, &format!("duet: Wyoming is answered at tcp://{address}"));
                    let mut visits = tokio::task::JoinSet::new();
                    tokio::select! {
                        () = self.clone().accept(listener, &mut visits) => {}
                        () = async { while self.wished().is_some() && settings.changed().await.is_ok() {} } => {}
                    }
                    // The clients inside go with the listener.
                    log::say(Level::Info, "duet: Wyoming is answered no longer");
                }
                Err(error) => {
                    log::say(
                        Level::Warning,
                        &format!("duet: cannot listen for Wyoming on {address}: {error}"),
                    );
                    let _ = timeout(RETRY, settings.changed()).await;
                }
            }
        }
    }

    async fn accept(self: Arc<Self>, listener: TcpListener, visits: &mut tokio::task::JoinSet<()>) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                Some(_) = visits.join_next() => continue,
            };
            let Ok((stream, client)) = accepted else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            // No place: the connection is closed at once.
            let Some(place) = self.admit(client.ip()) else { continue };
            let door = self.clone();
            visits.spawn(async move {
                carry(&door, stream, client).await;
                drop(place);
            });
        }
    }

    fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let own = inside.get(&address).copied().unwrap_or(0);
        if own >= self.limits.connections_per_address
            || inside.values().sum::<usize>() >= self.limits.connections
        {
            return None;
        }
        inside.insert(address, own + 1);
        Some(Place(self.clone(), address))
    }

    /// A number for anything, the same for the same thing while this program runs, and no stranger can guess it.
    pub(super) fn hash_of(&self, thing: impl std::hash::Hash) -> u64 {
        self.hash.hash_one(thing)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.0.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = inside.get_mut(&self.1) {
            *own -= 1;
        }
        inside.retain(|_, own| *own > 0);
    }
}
