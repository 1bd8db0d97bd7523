//! Brings what was edited here to the other nodes, and what was edited there to this one: on the overlay among nodes, and
//! signed by the authority from the boot server, which keeps it through a power cut.
//!
//! WireGuard has checked who sends on the overlay; so the sender's address says that it is a member, and no key is asked
//! for.

use super::Brain;
use crate::args::PORT;
use crate::cluster::Cluster;
use crate::serve::enrolling::Joined;
use crate::serve::keeping::{live, owner};
use admission::{SignedEdit, TALK_BYTES_MAX, Talk};
use journal::{Ended, Reach};
use serde::Serialize;
use service::door::{Allowance, Answer, Ask, Head, Reply};
use service::upstream;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// On the overlay alone.
pub const PATH: &str = "/api/edits/peer";
/// Between two looks at who lives.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A peer answers from its memory.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(4);
/// Peers that are compared with at a time.
const AT_ONCE: usize = 4;

pub struct Sharing {
    cluster: Arc<Cluster>,
    brain: Arc<Brain>,
    member: Joined,
}

pub fn gate(head: &Head<'_>) -> Result<Allowance, Reply> {
    match head.is_post {
        true => Ok(Allowance { body_bytes: TALK_BYTES_MAX, time: Duration::ZERO }),
        false => Err(Answer::text(405, "what was edited is posted\n").into()),
    }
}

impl Sharing {
    pub fn new(cluster: Arc<Cluster>, brain: Arc<Brain>, member: Joined) -> Sharing {
        Sharing { cluster, brain, member }
    }

    /// A hash of all that was edited, as the gossip tells it.
    pub fn digest(&self) -> u64 {
        self.brain.library.edits().digest()
    }

    /// Never ends: compares with each peer when it has come, when something was edited here, and now and then.
    pub async fn run(&self) {
        let (began, mut reach, mut news) = (Instant::now(), Reach::default(), self.brain.library.news());
        let now_ms = || began.elapsed().as_millis() as u64;
        loop {
            let live = self.cluster.picture().map(|picture| live(&picture)).unwrap_or_default();
            for some in reach.step(now_ms(), &live.keys().copied().collect()).chunks(AT_ONCE) {
                let mut all = JoinSet::new();
                for (peer, address) in some.iter().filter_map(|peer| Some((*peer, *live.get(peer)?))) {
                    let brain = self.brain.clone();
                    all.spawn(async move { (peer, compare(&brain, address).await) });
                }
                while let Some(Ok((peer, how))) = all.join_next().await {
                    reach.ended(now_ms(), peer, how);
                }
            }
            if let Ok(Ok(())) = tokio::time::timeout(LOOK_EVERY, news.changed()).await {
                live.keys().for_each(|peer| reach.is_behind(now_ms(), *peer));
            }
        }
    }

    /// For a peer.
    pub fn answer(&self, ask: &Ask) -> Answer {
        if ask.is_of_a_browser {
            return Answer::text(403, "a page may not speak for a node\n");
        }
        let Some(picture) = self.cluster.picture() else {
            return Answer::text(503, "this node is no member yet\n");
        };
        if owner(&picture, ask.client.ip()).is_none() {
            return Answer::text(403, "the sender is no member\n");
        }
        match serde_json::from_slice::<Talk>(ask.posted.as_deref().unwrap_or_default()) {
            Ok(talk) => {
                self.brain.library.learn(talk.give);
                let told = self.brain.library.edits().talk(&talk.marks);
                json(&told)
            }
            Err(error) => Answer::text(400, &format!("{error}\n")),
        }
    }

    /// An edit that the boot server has kept.
    pub fn take(&self, ask: &Ask) -> Answer {
        if ask.is_of_a_browser {
            return Answer::text(403, "a page edits at /api/personas and /api/workflows\n");
        }
        let Some(kept) = self.member.borrow().clone() else {
            return Answer::text(503, "this node is no member of a cluster\n");
        };
        let signed = match SignedEdit::parse(ask.posted.as_deref().unwrap_or_default()) {
            Ok(signed) => signed,
            Err(error) => return Answer::text(400, &format!("{error}\n")),
        };
        match signed.verify(&kept.member.authority) {
            Ok(edit) => {
                let is_news = self.brain.library.learn(vec![edit]);
                Answer::text(200, if is_news { "taken\n" } else { "this edit is here already\n" })
            }
            Err(error) => Answer::text(403, &format!("{error}\n")),
        }
    }

    /// A part of the book for the boot server.
    pub fn part(&self, from: u16) -> String {
        let part = self.brain.library.edits().part(from);
        serde_json::to_string(&part).unwrap_or_default()
    }
}

async fn compare(brain: &Brain, address: Ipv6Addr) -> Ended {
    differ(brain, address).await.unwrap_or(Ended::Failed)
}

/// Asks what the other has, takes what is newer, and gives what it lacks.
async fn differ(brain: &Brain, address: Ipv6Addr) -> Option<Ended> {
    let library = &brain.library;
    let ask = library.edits().ask();
    let theirs = post(address, &ask).await?;
    let is_news = library.learn(theirs.give);
    let give = library.edits().talk(&theirs.marks);
    if give.give.is_empty() {
        return Some(if is_news { Ended::More } else { Ended::Same });
    }
    let again = post(address, &give).await?;
    library.learn(again.give);
    Some(Ended::More)
}

/// Whatever goes wrong on the way is tried again with the next look.
async fn post(address: Ipv6Addr, talk: &Talk) -> Option<Talk> {
    let body = serde_json::to_vec(talk).ok()?;
    let address = SocketAddr::from((address, PORT));
    let ask = upstream::Ask { address, path: PATH, fields: &[], body: Some(body.into()) };
    let answer = upstream::ask(ask, ANSWER_TIME_MAX).await.ok().filter(|answer| answer.status == 200)?;
    let bytes = answer.whole(TALK_BYTES_MAX, ANSWER_TIME_MAX).await.ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn json(told: &impl Serialize) -> Answer {
    match serde_json::to_vec(told) {
        Ok(body) => Answer::json(200, body),
        Err(error) => Answer::text(500, &format!("what was edited cannot be written: {error}\n")),
    }
}
