//! What this home remembers: facts that persons told any of its nodes, found again by meaning or by words.
//!
//! The truth is `crates/journal` in a folder of the agent's (`files`); `desk` is the thread that owns it, `index` (sled)
//! and `search` find (`words`, `postings`, `vectors`), `peers` makes all nodes know the same, `door` answers requests
//! `command` asks them, and `mind` answers a voice. `bench` and `recall` measure.
//! Nothing is promised before two other nodes keep it; where there are fewer, whoever asks is told how many.

mod bench;
pub mod command;
mod desk;
pub mod door;
pub mod files;
pub mod index;
pub mod mind;
pub mod peers;
pub mod postings;
pub mod recall;
pub mod search;
#[cfg(test)]
mod tests;
pub mod vectors;
pub mod words;

use crate::cluster::Cluster;
use crate::gateway::Gateway;
use desk::{Desk, Question, Wish};
use journal::{Entry, Fact, FactId, Loaded, TEXT_BYTES_MAX};
use peers::{PROMISED, Peers, Spread};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use desk::{FoundFact, MemoryStatus};

/// 2026-01-01: a clock that says less was never set.
const CLOCK_LEAST_S: u64 = 1_767_225_600;
/// A question waits so long for its vector; then it is answered by words.
const VECTOR_TIME_MAX: Duration = Duration::from_secs(2);
/// After a failure the model is left alone.
const VECTOR_PAUSE: Duration = Duration::from_secs(60);
/// Texts of one request to the model.
const TEXTS_AT_ONCE: usize = 16;
/// Between two looks for facts without a vector.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Facts that are told of a question.
pub const FOUND_MAX: usize = 50;

pub struct Memory {
    desk: Desk,
    pub peers: Peers,
    gateway: Arc<Gateway>,
    cluster: Arc<Cluster>,
    model_failed: Mutex<Option<Instant>>,
}

/// What became of a fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub id: FactId,
    pub spread: Spread,
}

/// What other nodes have of it all before the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandedOver {
    pub n_facts: usize,
    /// Nodes that have all of them.
    pub n_others: usize,
    /// They lie on a disk here too.
    pub lasts: bool,
}

impl HandedOver {
    pub fn would_be_lost(&self) -> bool {
        self.n_facts > 0 && self.n_others == 0 && !self.lasts
    }
}

impl Memory {
    pub fn start(
        folder: Option<PathBuf>,
        cluster: Arc<Cluster>,
        gateway: Arc<Gateway>,
    ) -> std::io::Result<Memory> {
        let desk = Desk::start(folder)?;
        let peers = Peers::new(cluster.clone(), desk.clone());
        Ok(Memory { desk, peers, gateway, cluster, model_failed: Mutex::default() })
    }

    /// Where memory lies if nobody says otherwise: on a disk where systemd gives one, else in RAM.
    pub fn usual_folder() -> Option<PathBuf> {
        crate::io::runtime::lasting_path("memory")
    }

    pub fn status(&self) -> MemoryStatus {
        self.desk.status()
    }

    /// Never ends.
    pub async fn run(&self) {
        tokio::join!(self.peers.run(), self.learn_meanings());
    }

    /// Remembers a text; one that is known already is told to the others once more.
    pub async fn remember(&self, text: &str) -> Result<Kept, String> {
        let text = plain(text);
        let same = self.desk.ask(|told| Wish::Same(text.clone(), told)).await?;
        let entry = match same {
            Some(id) => self.desk.ask(|told| Wish::Get(id, told)).await?,
            None => None,
        };
        let entry = match entry {
            Some(entry) => entry,
            None => {
                let node = self.cluster.picture().map_or(0, |picture| picture.own.0);
                let (id, salt) =
                    (FactId(crate::serve::enrolling::random()), crate::serve::enrolling::random());
                let fact = Fact { id, salt, told_s: now_s(), node, text };
                fact.check().map_err(|error| error.to_string())?;
                let entry = Entry::Fact(fact);
                self.desk.ask(|told| Wish::Learn(vec![entry.clone()], told)).await?;
                entry
            }
        };
        let id = entry.id();
        Ok(Kept { id, spread: self.peers.spread(vec![entry], PROMISED).await })
    }

    /// The facts that a question is about, best first.
    pub async fn recall(&self, text: &str, n: usize) -> Result<Vec<FoundFact>, String> {
        let vector = self.vector(text).await;
        let question = Question { text: text.to_owned(), vector, n: n.min(FOUND_MAX) };
        self.desk.ask(|told| Wish::Search(question, told)).await
    }

    /// The newest facts.
    pub async fn list(&self, n: usize) -> Result<Vec<Fact>, String> {
        self.desk.ask(|told| Wish::List(n, told)).await
    }

    /// Forgets a fact everywhere; nodes that are away do so when they come back. None where there is no such fact.
    pub async fn forget(&self, id: FactId) -> Result<Option<(Fact, Spread)>, String> {
        let Some(Entry::Fact(fact)) = self.desk.ask(|told| Wish::Get(id, told)).await? else {
            return Ok(None);
        };
        let entry = Entry::Forget(id);
        self.desk.ask(|told| Wish::Learn(vec![entry.clone()], told)).await?;
        Ok(Some((fact, self.peers.spread(vec![entry], usize::MAX).await)))
    }

    /// Before the power goes: gives all facts to every node that lives, as far as they lack some.
    pub async fn hand_over(&self) -> HandedOver {
        let n_facts = self.status().n_facts;
        let n_others = if n_facts == 0 { 0 } else { self.peers.hand_over().await };
        HandedOver { n_facts, n_others, lasts: crate::io::runtime::lasts() }
    }

    /// Whether what was spread so far has reached all nodes that are known.
    pub fn is_everywhere(&self, spread: Spread) -> bool {
        let picture = self.cluster.picture();
        let members = picture.iter().flat_map(|picture| &picture.members);
        let n_others = members.filter(|member| member.role == "node" && !member.is_self).count();
        spread.n_told >= n_others
    }

    /// All facts as one file.
    pub async fn save(&self) -> Result<String, String> {
        self.desk.ask(Wish::Save).await
    }

    /// Adds the facts of such a file, which was read; says how many were new.
    pub async fn load(&self, loaded: Loaded) -> Result<usize, String> {
        let salted = |fact: Fact| Entry::Fact(Fact { salt: crate::serve::enrolling::random(), ..fact });
        let entries: Vec<Entry> = loaded.0.into_iter().map(salted).collect();
        let n_new = self.desk.ask(|told| Wish::Learn(entries, told)).await?;
        // There may be many: the others take what they lack as they compare sums.
        self.peers.compare_soon();
        Ok(n_new)
    }

    async fn vector(&self, text: &str) -> Option<(String, Vec<f32>)> {
        let status = self.status();
        if status.n_vectors == 0 || self.model_rests() {
            return None;
        }
        let texts = [text.to_owned()];
        let model = self.gateway.model_for_vectors().await?;
        let asking = self.gateway.vectors_for_this_node(&model, &texts);
        match tokio::time::timeout(VECTOR_TIME_MAX, asking).await {
            Ok(Ok(mut vectors)) => vectors.pop().map(|vector| (model, vector)),
            _ => {
                self.model_failed();
                None
            }
        }
    }

    /// Never ends: has a model make vectors of the facts that have none, where the cluster has a model for that.
    async fn learn_meanings(&self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            while !self.model_rests() && self.learn_some().await {}
        }
    }

    /// Says whether there may be more.
    async fn learn_some(&self) -> bool {
        let Some(model) = self.gateway.model_for_vectors().await else { return false };
        let lacking = self.desk.ask(|told| Wish::Lacking(model.clone(), TEXTS_AT_ONCE, told)).await;
        let lacking = lacking.unwrap_or_default();
        if lacking.is_empty() {
            return false;
        }
        let (ids, texts): (Vec<FactId>, Vec<String>) = lacking.into_iter().unzip();
        let Ok(vectors) = self.gateway.vectors_for_this_node(&model, &texts).await else {
            self.model_failed();
            return false;
        };
        let vectors = ids.into_iter().zip(vectors).collect();
        self.desk.ask(|told| Wish::Vectors(model, vectors, told)).await.is_ok()
    }

    fn model_rests(&self) -> bool {
        let failed = self.model_failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.is_some_and(|at| at.elapsed() < VECTOR_PAUSE)
    }

    fn model_failed(&self) {
        *self.model_failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

/// A text on one line, without marks at its end, and not longer than a fact may be.
fn plain(text: &str) -> String {
    let words: Vec<&str> = text.split(|char: char| char.is_whitespace() || char.is_control()).collect();
    let line = words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    crate::talk::news::cut(&line, TEXT_BYTES_MAX).trim().to_owned()
}

fn now_s() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    if now < CLOCK_LEAST_S { 0 } else { now }
}
