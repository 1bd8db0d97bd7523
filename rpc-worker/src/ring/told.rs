//! What this node's parts of rings tell of themselves: for `/health`, and so for the agent.

use super::keeper::Share;
use serde::Serialize;
use split::assign::slice_file;
use split::report::{Doubt, HeldStage, HeldState};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A part as `/health` shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shown {
    pub name: String,
    /// The whole model's file, and that of the layers that are here.
    pub model: String,
    pub slice: String,
    pub first: u64,
    pub last: u64,
    pub of: u64,
    pub stage_idx: u16,
    pub n_stages: u16,
    /// `loading`, `ready` or `failed`.
    pub state: HeldState,
    /// Why it failed.
    pub why: Option<String>,
    /// Whether both neighbours are there; for a head, whether the whole ring is closed.
    pub is_connected: bool,
    /// What was said last of a ring that is not.
    pub ring: Option<String>,
    pub next: SocketAddr,
    /// Whether it could not be reached when it was tried last.
    pub next_is_doubted: bool,
    /// Of weights, caches, and what computing takes.
    pub bytes: u64,
}

/// One part. Clones are the same.
#[derive(Clone)]
pub struct Part(Arc<Mutex<Shown>>);

impl Part {
    pub fn new(share: &Share) -> Part {
        let (ring, layers) = (&share.ring, &share.layers);
        let (first, last) = (layers.start as u32, layers.end as u32);
        let model = share.model.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        Part(Arc::new(Mutex::new(Shown {
            name: share.name.clone(),
            slice: slice_file(model, first, last),
            model: model.to_owned(),
            first: layers.start,
            last: layers.end,
            of: share.of,
            stage_idx: ring.stage_idx,
            n_stages: ring.n_stages,
            state: HeldState::Loading,
            why: None,
            is_connected: false,
            ring: None,
            next: ring.next,
            next_is_doubted: false,
            bytes: 0,
        })))
    }

    pub fn shown(&self) -> Shown {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn loaded(&self, bytes: u64) {
        let mut shown = self.lock();
        (shown.state, shown.why, shown.bytes) = (HeldState::Ready, None, bytes);
    }

    pub fn failed(&self, why: &str) {
        let mut shown = self.lock();
        (shown.state, shown.why) = (HeldState::Failed, Some(why.to_owned()));
    }

    /// It has another place, or other neighbours.
    pub fn moved(&self, stage_idx: u16, n_stages: u16, next: SocketAddr) {
        let mut shown = self.lock();
        (shown.stage_idx, shown.n_stages, shown.next) = (stage_idx, n_stages, next);
        shown.next_is_doubted = false;
    }

    pub fn connected(&self) {
        let mut shown = self.lock();
        (shown.is_connected, shown.ring, shown.next_is_doubted) = (true, None, false);
    }

    pub fn lost(&self, why: &str) {
        let mut shown = self.lock();
        (shown.is_connected, shown.ring) = (false, Some(why.to_owned()));
    }

    /// The next stage was tried, and does not answer.
    pub fn doubts_next(&self) {
        self.lock().next_is_doubted = true;
    }

    pub fn reached_next(&self) {
        self.lock().next_is_doubted = false;
    }
}

/// All parts of this node, by their experts. Clones are the same.
#[derive(Clone, Default)]
pub struct Parts(Arc<Mutex<BTreeMap<String, Part>>>);

impl Parts {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Part>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A part that begins, in place of an older one of that expert.
    pub fn begin(&self, share: &Share) -> Part {
        let part = Part::new(share);
        self.lock().insert(share.name.clone(), part.clone());
        part
    }

    pub fn find(&self, name: &str) -> Option<Part> {
        self.lock().get(name).cloned()
    }

    pub fn keep(&self, is_wished: impl Fn(&str) -> bool) {
        self.lock().retain(|name, _| is_wished(name));
    }

    pub fn shown(&self) -> Vec<Shown> {
        self.lock().values().map(Part::shown).collect()
    }
}

impl Shown {
    /// The same in the words of the agent's facts; `sentence` cuts what is too long.
    pub fn held(&self, sentence: impl Fn(&str) -> String) -> HeldStage {
        let short = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        HeldStage {
            name: self.name.clone(),
            model: self.model.clone(),
            first: short(self.first),
            last: short(self.last),
            of: short(self.of),
            state: self.state,
            sentence: sentence(self.why.as_deref().unwrap_or_default()),
            bytes: self.bytes,
        }
    }

    pub fn doubt(&self) -> Option<Doubt> {
        self.next_is_doubted.then(|| Doubt { name: self.name.clone(), address: self.next })
    }
}
