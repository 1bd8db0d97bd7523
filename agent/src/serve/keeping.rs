//! The hands of [`crate::answer::keep`]: tells peers this node's timers, and keeps theirs, on the overlay and nowhere else.
//!
//! WireGuard has checked who sends there, so the address says whose timers come, and no key is asked for.

use crate::answer::keep::record::{
    BYTES_MAX, Known, MINE_PATH, Mine, RUNG_PATH, Record, RecordError, Rung, TELL_PATH, Told, read,
};
use crate::answer::keep::{Do, Keep};
use crate::answer::timers::{TimerBook, uptime};
use crate::args::PORT;
use crate::cluster::Cluster;
use crate::io::runtime;
use gossip::Picture;
use serde::Serialize;
use service::door::{Allowance, Answer, Ask, Head, Reply};
use service::log::{Level, say};
use service::upstream;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What it keeps for others, for a crash.
const FILE: &str = "kept-timers.json";
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Between two looks at who lives.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A peer answers from its memory.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);

pub struct Keeping {
    cluster: Arc<Cluster>,
    book: Arc<TimerBook>,
    keep: Mutex<Keep>,
}

/// Nodes that can be reached, without this one.
pub fn live(picture: &Picture) -> BTreeMap<u64, Ipv6Addr> {
    let members = picture.members.iter().filter(|member| !member.is_self && member.is_alive());
    let on_overlay =
        members.filter(|member| member.facts.as_ref().is_some_and(|facts| facts.overlay_port > 0));
    on_overlay.filter_map(|member| Some((member.id.0, member.overlay?))).collect()
}

/// Whose address on the overlay it is, as the certificates say.
pub fn owner(picture: &Picture, address: IpAddr) -> Option<u64> {
    let found = picture.members.iter().find(|member| member.overlay.is_some_and(|own| own == address));
    found.map(|member| member.id.0)
}

pub fn gate(head: &Head<'_>) -> Result<Allowance, Reply> {
    let is_post = match head.path {
        TELL_PATH | RUNG_PATH => true,
        MINE_PATH => false,
        _ => {
            return Err(
                Answer::text(404, "there is /api/timers, /api/timers/rung and /api/timers/mine\n").into()
            );
        }
    };
    if head.is_post != is_post {
        return Err(Answer::text(405, "timers are posted, and got at /api/timers/mine\n").into());
    }
    Ok(Allowance { body_bytes: if is_post { BYTES_MAX } else { 0 }, time: Duration::ZERO })
}

impl Keeping {
    pub fn open(cluster: Arc<Cluster>, book: Arc<TimerBook>) -> Keeping {
        let keep = Mutex::new(Keep::read(&runtime::read(FILE, FILE_BYTES_MAX)));
        Keeping { cluster, book, keep }
    }

    /// Never ends.
    pub async fn run(&self) {
        let mut changed = self.book.follow();
        loop {
            if let Some(picture) = self.cluster.picture() {
                self.look(&picture).await;
            }
            // One that is closed is looked at each second too.
            let _ = tokio::time::timeout(LOOK_EVERY, changed.changed()).await;
        }
    }

    async fn look(&self, picture: &Picture) {
        let live = live(picture);
        let peers = live.keys().copied().collect();
        let todo = self.lock().step(now_ms(), picture.own.0, &peers, &self.book.now());
        for deed in todo {
            let to = |peer: u64| live.get(&peer).map(|address| SocketAddr::from((*address, PORT)));
            match deed {
                Do::Ask(peer) => {
                    if let Some(mine) = get::<Mine>(to(peer), MINE_PATH, None).await {
                        self.lock().asked(now_ms(), peer, mine);
                    }
                }
                Do::Tell(peer, record) => {
                    if let Some(known) = get::<Known>(to(peer), TELL_PATH, body(&record)).await {
                        self.lock().told(peer, &record, known.counter);
                    }
                }
                Do::TellRung(peer, rung) => {
                    if get::<Known>(to(peer), RUNG_PATH, body(&rung)).await.is_some() {
                        self.lock().told_rung(peer, &rung);
                    }
                }
                Do::Restore(mine) => {
                    let n = mine.record.as_ref().map_or(0, |record| record.timers.len());
                    if n > 0 {
                        say(Level::Info, &format!("duet: peers have kept {n} timers of this node"));
                    }
                    self.change_book(|timers| timers.restore(uptime(), &mine));
                }
                Do::Ring { of, kind } => {
                    self.save();
                    let known = picture.members.iter().find(|member| member.id.0 == of);
                    let name = known.map(|member| member.name.clone()).filter(|name| !name.is_empty());
                    let name = name.unwrap_or_else(|| "another node".into());
                    say(Level::Info, &format!("duet: a timer of {name} is over, and it is away"));
                    self.change_book(|timers| timers.ring_for(uptime(), name, kind));
                }
            }
        }
    }

    /// For a peer.
    pub fn answer(&self, ask: &Ask) -> Answer {
        if ask.is_of_a_browser {
            return Answer::text(403, "a page may not tell timers\n");
        }
        let Some(picture) = self.cluster.picture() else {
            return Answer::text(503, "this node is no member yet\n");
        };
        let Some(from) = owner(&picture, ask.client.ip()) else {
            return Answer::text(403, "the sender is no member\n");
        };
        let bytes = ask.posted.as_deref().unwrap_or_default();
        match ask.path.as_str() {
            MINE_PATH => json(&self.lock().mine(now_ms(), from)),
            TELL_PATH => match read::<Record>(bytes) {
                Ok(record) => {
                    let known = self.lock().heard(now_ms(), picture.own.0, from, &record);
                    self.save();
                    let full = || Answer::text(503, "this node keeps the timers of too many\n");
                    known.map_or_else(full, |counter| json(&Known { counter }))
                }
                Err(error) => bad(error),
            },
            _ => match read::<Rung>(bytes) {
                Ok(rung) => {
                    self.lock().heard_rung(from, &rung);
                    self.save();
                    json(&Known::default())
                }
                Err(error) => bad(error),
            },
        }
    }

    fn change_book(&self, change: impl FnOnce(&mut crate::answer::timers::Timers)) {
        if let Err(why) = self.book.change(change) {
            say(Level::Warning, &format!("duet: {why}"));
        }
    }

    /// What cannot be written is still in memory, and at the other keeper.
    fn save(&self) {
        let Ok(text) = self.lock().text() else { return };
        if let Err(error) = runtime::write(FILE, text.as_bytes(), runtime::For::Agent) {
            say(Level::Warning, &format!("duet: peers' timers cannot be kept: {error}"));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Keep> {
        self.keep.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now_ms() -> u64 {
    uptime().as_millis() as u64
}

fn bad(error: RecordError) -> Answer {
    Answer::text(400, &format!("{error}\n"))
}

fn json(told: &impl Serialize) -> Answer {
    match serde_json::to_vec(told) {
        Ok(body) => Answer::json(200, body),
        Err(error) => Answer::text(500, &format!("timers cannot be written: {error}\n")),
    }
}

fn body(told: &impl Serialize) -> Option<Vec<u8>> {
    serde_json::to_vec(told).ok()
}

/// Whatever goes wrong on the way is tried again with the next look.
async fn get<T: Told>(address: Option<SocketAddr>, path: &str, body: Option<Vec<u8>>) -> Option<T> {
    let ask = upstream::Ask { address: address?, path, fields: &[], body: body.map(Into::into) };
    let answer = upstream::ask(ask, ANSWER_TIME_MAX).await.ok().filter(|answer| answer.status == 200)?;
    let bytes = answer.whole(BYTES_MAX, ANSWER_TIME_MAX).await.ok()?;
    read(&bytes).ok()
}
