//! What is done to a node as a whole: switched off, booted, a program started anew, drained, or spoken at.
//!
//! Here or at another node: the way there is the overlay, where WireGuard has checked who sends, and the address says which
//! member it is. A person has said yes at the node that asks (`tools::acts`); the other asks its own owner's policy once
//! more, where `forbidden` is final, and writes down what it did. `find` and `letter` are pure.

mod find;
pub mod letter;

use crate::acts::{self, Deed};
use crate::args::PORT;
use crate::cluster::Cluster;
use crate::hear;
use crate::io::{self, node::Node};
use crate::memory::Memory;
use crate::serve::keeping::owner;
use crate::serve::voicing::Voice;
use crate::talk::{Mood, parts::Event};
use find::{Found, find};
use letter::{Act, BYTES_MAX, Letter};
use service::door::{Allowance, Answer, Ask, Head, Reply};
use service::log::{Level, say};
use service::upstream::{self, UpstreamError};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tools::Risk;

pub const PATH: &str = "/api/acts";
/// A restart has 45 s, a drain is waited for so long; a little for the way.
pub const TIME_MAX: Duration = Duration::from_secs(55);
const DRAIN_TIME_MAX: Duration = Duration::from_secs(40);
/// A sentence before the power goes.
const SPEAK_TIME_MAX: Duration = Duration::from_secs(8);
/// Until a sentence that was told begins.
const SPEAK_BEGINS: Duration = Duration::from_millis(600);
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The service that is doubted when a node cannot be reached for this.
const SERVICE: &str = "agent";

pub struct Acting {
    pub root: PathBuf,
    pub node: Arc<Node>,
    pub cluster: Arc<Cluster>,
    pub memory: Arc<Memory>,
    pub voice: Arc<Voice>,
    pub ear: Arc<hear::desk::Desk>,
}

pub fn gate(head: &Head<'_>) -> Result<Allowance, Reply> {
    match head.path {
        PATH if head.is_post => Ok(Allowance { body_bytes: BYTES_MAX, time: TIME_MAX }),
        _ => Err(Answer { fields: &[("allow", "POST")], ..Answer::text(405, "acts are posted\n") }.into()),
    }
}

impl Acting {
    /// The name that a person reads before he says yes; an unknown one stays as it was said.
    pub fn place(&self, name: &str) -> String {
        let own = self.node.name();
        match find(self.cluster.picture().as_deref(), &own, name) {
            Ok(Found::Here) => format!("{own}, this PC"),
            Ok(Found::There { name, .. }) => name,
            Err(_) => format!("{:?}", tools::cut(name, 64)),
        }
    }

    /// Here, or at the node of this name.
    pub async fn act(&self, name: &str, act: Act, who: &str) -> Result<String, String> {
        let own = self.node.name();
        match find(self.cluster.picture().as_deref(), &own, name)? {
            Found::Here => self.here(&act).await,
            Found::There { id, name, address } => {
                let letter = Letter { act, who: format!("{own}: {who}") };
                send(SocketAddr::from((address, PORT)), &letter).await.map_err(|failure| match failure {
                    Failure::Unreachable(why) => {
                        self.cluster.unreachable(id, SERVICE);
                        format!("{name} cannot be reached: {why}")
                    }
                    Failure::Refused(why) => format!("{name}: {why}"),
                })
            }
        }
    }

    /// For another node.
    pub async fn answer(&self, ask: &Ask) -> Answer {
        if ask.is_of_a_browser {
            return Answer::text(403, "a page may not act on a node\n");
        }
        let Some(picture) = self.cluster.picture() else {
            return Answer::text(503, "this node is no member yet\n");
        };
        if owner(&picture, ask.client.ip()).is_none() {
            return Answer::text(403, "the sender is no member\n");
        }
        let Letter { act, who } = match Letter::read(ask.posted.as_deref().unwrap_or_default()) {
            Ok(letter) => letter,
            Err(why) => return Answer::text(400, &format!("{why}\n")),
        };
        let desk = &self.voice.setup.desk;
        let risk = desk.specs().into_iter().find(|(spec, _)| spec.name == act.tool()).map(|(_, risk)| risk);
        let done = match risk {
            Some(Risk::Free | Risk::Ask) => self.here(&act).await,
            _ => Err(format!("{} is forbidden on this node", act.tool())),
        };
        let what = act.at(&self.node.name());
        desk.done_for(act.tool(), &what, &who, done.as_ref().err().map(String::as_str)).await;
        match done {
            Ok(told) => Answer::text(200, &told),
            Err(why) => Answer::text(409, &why),
        }
    }

    async fn here(&self, act: &Act) -> Result<String, String> {
        let name = self.node.name();
        match act {
            Act::PowerOff { anyway } => self.end(Deed::PowerOff, *anyway).await,
            Act::Reboot { anyway } => self.end(Deed::Reboot, *anyway).await,
            Act::Restart { unit } => {
                let unit = acts::unit(unit)
                    .ok_or_else(|| format!("one of these can start anew: {}", acts::UNITS.join(", ")))?;
                io::acts::ask(&self.root, Deed::Restart(unit)).await?;
                Ok(format!("{unit} on {name} starts anew"))
            }
            Act::Drain {} => self.drain().await,
            Act::Resume {} => {
                self.set_draining(false)?;
                Ok(format!("{name} takes work again"))
            }
            Act::Say { text } => self.say(text),
        }
    }

    /// What was told here lies elsewhere before the power goes, and whoever is near hears of it.
    async fn end(&self, deed: Deed, anyway: bool) -> Result<String, String> {
        io::acts::can_ask(&self.root)?;
        let handed = self.memory.hand_over().await;
        if handed.would_be_lost() && !anyway {
            return Err(format!(
                "no other node could take what was told here ({} facts), and it would be lost; switch another on, \
                 save it on the page, or ask again with anyway",
                handed.n_facts
            ));
        }
        let farewell = self.voice.mind.farewell(deed == Deed::PowerOff, &handed);
        if self.say(&farewell).is_ok() {
            self.is_said().await;
        }
        io::acts::ask(&self.root, deed).await?;
        self.cluster.happened("act", Some(self.node.name()), farewell.clone());
        Ok(format!("{}: {farewell}", self.node.name()))
    }

    fn say(&self, text: &str) -> Result<String, String> {
        let name = self.node.name();
        let speaker = self.voice.status().sound.speaker;
        if speaker.device.is_none() {
            let why = speaker.reason.unwrap_or_else(|| "none was found".into());
            return Err(format!("{name} has no speaker: {why}"));
        }
        let here = self.voice.talks.here();
        match here.is_some_and(|here| here.post().tell(Event::Announce(text.to_owned()))) {
            true => Ok(format!("{name} says it")),
            false => Err(format!("{name} has no mouth now; try again in a second")),
        }
    }

    /// Until the sentence is over, or nobody can wait longer.
    async fn is_said(&self) {
        let ends = Instant::now() + SPEAK_TIME_MAX;
        tokio::time::sleep(SPEAK_BEGINS).await;
        let speaks = || self.voice.talks.here().is_some_and(|here| here.view().mood == Mood::Speaking);
        while speaks() && Instant::now() < ends {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn drain(&self) -> Result<String, String> {
        let name = self.node.name();
        let others = self.cluster.picture().map_or(0, |picture| crate::serve::keeping::live(&picture).len());
        if others == 0 {
            return Err(format!("{name} is alone, so nobody could take its work"));
        }
        self.set_draining(true)?;
        let ends = Instant::now() + DRAIN_TIME_MAX;
        let mut holds = self.holds().await;
        while !holds.is_empty() && Instant::now() < ends && self.cluster.is_draining() {
            tokio::time::sleep(LOOK_EVERY).await;
            holds = self.holds().await;
        }
        if !self.cluster.is_draining() {
            return Err(format!("{name} was told to work again meanwhile"));
        }
        if !holds.is_empty() {
            return Ok(format!("{name} takes no new work; it still has {}", holds.join(", ")));
        }
        let told = format!("{name} is drained: it holds no model and does no work for others");
        self.cluster.happened("act", Some(name), told.clone());
        Ok(told)
    }

    fn set_draining(&self, draining: bool) -> Result<(), String> {
        self.cluster.set_draining(draining).map_err(|error| format!("it cannot be kept: {error}"))?;
        let name = self.node.name();
        let what = if draining { "takes no new work" } else { "takes work again" };
        say(Level::Info, &format!("duet: this node {what}"));
        // Whoever waits for news tells the others at once.
        self.cluster.happened("act", Some(name.clone()), format!("{name} {what}"));
        Ok(())
    }

    /// What there is still to give away, in words.
    async fn holds(&self) -> Vec<String> {
        let Some(holds) = self.node.holds().await else { return vec![] };
        let experts = holds.experts.iter().map(|held| held.name.clone());
        let stages = holds.stages.iter().map(|held| format!("layers of {}", held.model));
        let hears = self.ear.status().is_busy.then(|| "something to hear".to_owned());
        experts.chain(stages).chain(hears).collect()
    }
}

enum Failure {
    Unreachable(String),
    Refused(String),
}

async fn send(address: SocketAddr, letter: &Letter) -> Result<String, Failure> {
    let body = serde_json::to_vec(letter).map_err(|error| Failure::Refused(error.to_string()))?;
    let ask = upstream::Ask { address, path: PATH, fields: &[], body: Some(body.into()) };
    let answer = upstream::ask(ask, TIME_MAX).await.map_err(|error| match error {
        UpstreamError::Unreachable(_) => Failure::Unreachable(error.to_string()),
        _ => Failure::Refused(format!("{error}, and it may have been done")),
    })?;
    let status = answer.status;
    let told = answer.whole(BYTES_MAX, TIME_MAX).await;
    let told = told.map_err(|error| Failure::Refused(format!("{error}, and it may have been done")))?;
    let text = String::from_utf8_lossy(&told).trim().to_owned();
    match status {
        200 => Ok(text),
        404 => Err(Failure::Refused("its release does not know this; boot it anew".into())),
        _ => Err(Failure::Refused(text)),
    }
}
