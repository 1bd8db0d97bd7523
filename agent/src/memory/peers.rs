//! Tells the other nodes what is known here, and learns what they know, on the overlay and nowhere else.
//!
//! WireGuard has checked who sends there; so the sender's address says that it is a member, and no key is asked for.

use super::desk::{Desk, Wish};
use crate::args::PORT;
use crate::cluster::Cluster;
use crate::serve::keeping::{live, owner};
use journal::{BODY_BYTES_MAX, Digests, Ended, Entry, Exchange, Given, Listing, Reach};
use service::door::{Allowance, Answer, Ask, Head, Reply};
use service::upstream;
use std::collections::BTreeMap;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;

pub const PATH: &str = "/api/memory/peer/";
const COMPARE_PATH: &str = "/api/memory/peer/compare";
const EXCHANGE_PATH: &str = "/api/memory/peer/exchange";
/// Between two looks at who lives.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A peer syncs its journal before it answers, and old disks take their time.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(4);
/// Whoever told a fact waits so long to hear where it lies.
const SPREAD_TIME_MAX: Duration = Duration::from_secs(5);
/// Before the power goes: many facts go over in several steps.
const HAND_OVER_TRIES: usize = 8;
const HAND_OVER_TIME_MAX: Duration = Duration::from_secs(12);
/// Peers that are compared with at a time.
const AT_ONCE: usize = 4;
/// Peers that must have it before it is promised.
pub const PROMISED: usize = 2;

pub struct Peers {
    cluster: Arc<Cluster>,
    desk: Desk,
    reach: Mutex<Reach>,
    began: std::time::Instant,
}

/// How far an entry has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// Other nodes that keep it.
    pub n_told: usize,
    /// Other nodes that live.
    pub n_live: usize,
}

pub fn gate(head: &Head<'_>) -> Result<Allowance, Reply> {
    match (head.path, head.is_post) {
        (COMPARE_PATH | EXCHANGE_PATH, true) => {
            Ok(Allowance { body_bytes: BODY_BYTES_MAX, time: Duration::ZERO })
        }
        (COMPARE_PATH | EXCHANGE_PATH, false) => Err(Answer::text(405, "what is known is posted\n").into()),
        _ => Err(Answer::text(404, "there is compare and exchange\n").into()),
    }
}

impl Peers {
    pub fn new(cluster: Arc<Cluster>, desk: Desk) -> Peers {
        Peers { cluster, desk, reach: Mutex::default(), began: std::time::Instant::now() }
    }

    fn live(&self) -> BTreeMap<u64, Ipv6Addr> {
        self.cluster.picture().map(|picture| live(&picture)).unwrap_or_default()
    }

    /// Never ends: compares with each peer when its time has come.
    pub async fn run(&self) {
        loop {
            let live = self.live();
            let due = self.reach().step(self.now_ms(), &live.keys().copied().collect());
            for some in due.chunks(AT_ONCE) {
                let mut all = JoinSet::new();
                for (peer, address) in some.iter().filter_map(|peer| Some((*peer, *live.get(peer)?))) {
                    let desk = self.desk.clone();
                    all.spawn(async move { (peer, compare(&desk, address).await) });
                }
                while let Some(Ok((peer, how))) = all.join_next().await {
                    self.reach().ended(self.now_ms(), peer, how);
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Tells entries to all that live; comes back when enough have them, nobody is left to wait for, or it takes too long.
    pub async fn spread(&self, entries: Vec<Entry>, enough: usize) -> Spread {
        let live = self.live();
        let body = Exchange { want: vec![], give: entries }.write();
        let mut all = JoinSet::new();
        for (peer, address) in live.iter().map(|(peer, address)| (*peer, *address)) {
            let body = body.clone();
            all.spawn(async move { (peer, post(address, EXCHANGE_PATH, body).await.is_some()) });
        }
        let n_live = live.len();
        let mut n_told = 0;
        let ends = tokio::time::Instant::now() + SPREAD_TIME_MAX;
        while let Ok(Some(told)) = tokio::time::timeout_at(ends, all.join_next()).await {
            match told {
                Ok((_, true)) => n_told += 1,
                Ok((peer, false)) => self.reach().is_behind(self.now_ms(), peer),
                Err(_) => {}
            }
            if n_told >= enough {
                break;
            }
        }
        // The others go on to be told.
        all.detach_all();
        Spread { n_told, n_live }
    }

    /// Compares with all that live until they know the same; how many do.
    pub async fn hand_over(&self) -> usize {
        let mut all = JoinSet::new();
        for address in self.live().into_values() {
            let desk = self.desk.clone();
            all.spawn(async move {
                for _ in 0..HAND_OVER_TRIES {
                    match compare(&desk, address).await {
                        Ended::Same => return true,
                        Ended::More | Ended::Failed => {}
                    }
                }
                false
            });
        }
        let mut n_same = 0;
        let ends = tokio::time::Instant::now() + HAND_OVER_TIME_MAX;
        while let Ok(Some(is_same)) = tokio::time::timeout_at(ends, all.join_next()).await {
            n_same += usize::from(is_same.unwrap_or(false));
        }
        n_same
    }

    /// There is much that is new: all are compared with at the next look.
    pub fn compare_soon(&self) {
        let now_ms = self.now_ms();
        let mut reach = self.reach();
        self.live().keys().for_each(|peer| reach.is_behind(now_ms, *peer));
    }

    /// For a peer.
    pub async fn answer(&self, ask: &Ask) -> Answer {
        if ask.is_of_a_browser {
            return Answer::text(403, "a page may not speak for a node\n");
        }
        let Some(picture) = self.cluster.picture() else {
            return Answer::text(503, "this node is no member yet\n");
        };
        if owner(&picture, ask.client.ip()).is_none() {
            return Answer::text(403, "the sender is no member\n");
        }
        let bytes = ask.posted.as_deref().unwrap_or_default();
        let told = match ask.path.as_str() {
            COMPARE_PATH => match Digests::read(bytes) {
                Ok(sums) => self
                    .desk
                    .ask(|told| Wish::Compare(Box::new(sums), told))
                    .await
                    .map(|listing| listing.write()),
                Err(error) => return Answer::text(400, &format!("{error}\n")),
            },
            _ => match Exchange::read(bytes) {
                Ok(exchange) => {
                    self.desk.ask(|told| Wish::Exchange(exchange, told)).await.map(|given| given.write())
                }
                Err(error) => return Answer::text(400, &format!("{error}\n")),
            },
        };
        match told {
            Ok(body) => Answer { content_type: "application/octet-stream", ..Answer::json(200, body) },
            Err(why) => Answer::text(507, &format!("{why}\n")),
        }
    }

    fn reach(&self) -> MutexGuard<'_, Reach> {
        self.reach.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }
}

async fn compare(desk: &Desk, address: Ipv6Addr) -> Ended {
    match differ(desk, address).await {
        Some(how) => how,
        None => Ended::Failed,
    }
}

async fn differ(desk: &Desk, address: Ipv6Addr) -> Option<Ended> {
    let sums = desk.ask(Wish::Sums).await.ok()?;
    let listing = Listing::read(&post(address, COMPARE_PATH, sums.write()).await?).ok()?;
    if listing.0.is_empty() {
        return Some(Ended::Same);
    }
    let exchange = desk.ask(|told| Wish::Differ(listing, told)).await.ok()?;
    if !exchange.is_empty() {
        let given = Given::read(&post(address, EXCHANGE_PATH, exchange.write()).await?).ok()?;
        desk.ask(|told| Wish::Learn(given.0, told)).await.ok()?;
    }
    Some(Ended::More)
}

/// Whatever goes wrong on the way is tried again with the next look.
async fn post(address: Ipv6Addr, path: &str, body: Vec<u8>) -> Option<Vec<u8>> {
    let address = SocketAddr::from((address, PORT));
    let ask = upstream::Ask { address, path, fields: &[], body: Some(body.into()) };
    let answer = upstream::ask(ask, ANSWER_TIME_MAX).await.ok().filter(|answer| answer.status == 200)?;
    answer.whole(BODY_BYTES_MAX, ANSWER_TIME_MAX).await.ok()
}
