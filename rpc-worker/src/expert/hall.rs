//! All experts of this node: what is wished, what is loaded, what could not be.

use super::figures::Speeds;
use super::loader;
use super::serving::Serving;
use crate::ring::keeper::{Keeper, Share};
use crate::ring::told::Parts;
use openai::ApiError;
use serde::Serialize;
use split::assign::slice_file;
use split::expert::{Expert, Purpose};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Whoever was given this node's address alone knows no names; a gateway has chosen already, and never says it.
pub const AUTO: &str = "auto";
/// When to ask again while a model is loaded.
const LOADING_RETRY_MS: u32 = 1000;
/// Models whose speeds are kept; the report takes no more.
const MEASURED_MAX: usize = split::assign::EXPERTS_MAX;

/// An expert that this node is to hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    pub expert: Expert,
    pub persona: String,
    /// The model's file.
    pub model: PathBuf,
    /// Which file of that name; another is loaded anew.
    pub version: String,
    /// The model is cut, and this node is its head.
    pub share: Option<Share>,
}

impl Wish {
    /// The name of the file that is held here.
    fn file(&self) -> String {
        let Some(share) = &self.share else { return self.expert.model.clone() };
        slice_file(&self.expert.model, share.layers.start as u32, share.layers.end as u32)
    }

    /// Whether only the neighbours in its ring differ.
    pub(super) fn is_remade(&self, old: &Wish) -> bool {
        let shares = self.share.as_ref().zip(old.share.as_ref());
        let is_same_slice = shares.is_some_and(|(new, old)| new.is_same_slice(old));
        is_same_slice && (&self.expert, &self.persona, &self.model) == (&old.expert, &old.persona, &old.model)
    }
}

/// All that is to be held; a whole list replaces a whole list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wishes {
    pub generation: u64,
    pub experts: Vec<Wish>,
    /// Stages for heads on other nodes.
    pub stages: Vec<Share>,
}

impl Wishes {
    /// The names of the slices that are wished.
    pub fn slices(&self) -> Vec<&OsStr> {
        let heads = self.experts.iter().filter_map(|wish| wish.share.as_ref());
        heads.chain(&self.stages).filter_map(|share| share.slice.file_name()).collect()
    }
}

/// How every model is held.
#[derive(Debug, Clone)]
pub struct Manner {
    pub n_threads: u32,
    /// Where warm beginnings outlive this process.
    pub warm: Option<PathBuf>,
}

pub(super) enum State {
    Loading,
    Ready(Arc<Serving>),
    Failed(String),
}

pub(super) struct Entry {
    pub wish: Wish,
    pub state: State,
}

#[derive(Default)]
pub(super) struct Inside {
    pub generation: u64,
    pub entries: BTreeMap<String, Entry>,
    /// By the model's file.
    pub measured: BTreeMap<String, Speeds>,
}

/// Who is here. Clones are the same hall.
#[derive(Clone)]
pub struct Hall {
    inside: Arc<Mutex<Inside>>,
    wishes: Sender<Wishes>,
    parts: Parts,
}

/// An expert as `/health` shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shown {
    pub name: String,
    pub service: String,
    /// The file that is here: of a model that is cut, the first slice.
    pub model: String,
    #[serde(rename = "use")]
    pub purpose: Purpose,
    /// `loading`, `ready` or `failed`.
    pub state: &'static str,
    /// Why it failed.
    pub why: Option<String>,
    pub slots: u32,
    pub busy: usize,
    pub waiting: usize,
    pub context: u32,
    pub weight_bytes: u64,
    /// Of weights, caches, and what computing takes.
    pub bytes: u64,
    /// 0 before anything was measured.
    pub prompt_tokens_per_second: f64,
    pub decode_tokens_per_second: f64,
}

impl Hall {
    /// An empty hall, and the thread that fills it.
    pub fn open(manner: Manner, mut keeper: Keeper) -> std::io::Result<Hall> {
        let (wishes, inbox) = channel();
        let hall = Hall { inside: Arc::default(), wishes, parts: keeper.parts() };
        let inside = Arc::clone(&hall.inside);
        std::thread::Builder::new()
            .name("loader".to_owned())
            .spawn(move || loader::fill(&inside, &inbox, &manner, &mut keeper))?;
        Ok(hall)
    }

    /// What is to be held from now on. The newest wishes win.
    pub fn wish(&self, wishes: Wishes) {
        // The loader lives as long as the program.
        let _ = self.wishes.send(wishes);
    }

    /// What this node has of rings, heads among it.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    pub fn generation(&self) -> u64 {
        lock(&self.inside).generation
    }

    /// The expert of this name, or for [`AUTO`] the first that is for this.
    pub fn find_for(&self, name: &str, purpose: Purpose) -> Result<Arc<Serving>, ApiError> {
        let fits = |serving: &Arc<Serving>| serving.purpose() == purpose;
        match self.ready().into_iter().find(fits) {
            Some(serving) if name == AUTO => Ok(serving),
            _ => self.find(name),
        }
    }

    /// The expert of this name, if it can answer.
    pub fn find(&self, name: &str) -> Result<Arc<Serving>, ApiError> {
        match lock(&self.inside).entries.get(name).map(|entry| &entry.state) {
            Some(State::Ready(serving)) => Ok(Arc::clone(serving)),
            Some(State::Loading) => {
                Err(ApiError::overloaded(format!("{name} is still being loaded"), LOADING_RETRY_MS))
            }
            Some(State::Failed(why)) => Err(ApiError::internal(format!("{name} could not be loaded: {why}"))),
            None => Err(ApiError::unknown_model(name)),
        }
    }

    pub fn ready(&self) -> Vec<Arc<Serving>> {
        let ready = |entry: &Entry| match &entry.state {
            State::Ready(serving) => Some(Arc::clone(serving)),
            _ => None,
        };
        lock(&self.inside).entries.values().filter_map(ready).collect()
    }

    pub fn shown(&self) -> Vec<Shown> {
        lock(&self.inside).entries.values().map(shown).collect()
    }

    /// What was measured last with each model, of those that were given up as well: whoever plans would otherwise take
    /// this node for a new one.
    pub fn speeds(&self) -> BTreeMap<String, Speeds> {
        let mut inside = lock(&self.inside);
        let now: Vec<Shown> = inside.entries.values().map(shown).collect();
        for shown in now {
            let (prompt, decode) = (shown.prompt_tokens_per_second, shown.decode_tokens_per_second);
            let is_known = inside.measured.contains_key(&shown.model);
            if prompt + decode > 0.0 && (is_known || inside.measured.len() < MEASURED_MAX) {
                inside.measured.insert(shown.model, Speeds { prompt, decode });
            }
        }
        inside.measured.clone()
    }
}

pub(super) fn lock(inside: &Mutex<Inside>) -> MutexGuard<'_, Inside> {
    inside.lock().unwrap_or_else(PoisonError::into_inner)
}

fn shown(entry: &Entry) -> Shown {
    let expert = &entry.wish.expert;
    let (state, why, serving) = match &entry.state {
        State::Loading => ("loading", None, None),
        State::Ready(serving) => ("ready", None, Some(serving)),
        State::Failed(why) => ("failed", Some(why.clone()), None),
    };
    let speeds = serving.map(|serving| serving.figures.speeds()).unwrap_or_default();
    Shown {
        name: expert.name.clone(),
        service: expert.service(),
        model: entry.wish.file(),
        purpose: expert.purpose,
        state,
        why,
        slots: serving.map_or(0, |serving| serving.n_slots),
        busy: serving.map_or(0, |serving| serving.figures.busy()),
        waiting: serving.map_or(0, |serving| serving.figures.waiting()),
        context: serving.map_or(expert.context, |serving| serving.n_ctx),
        weight_bytes: serving.map_or(0, |serving| serving.weight_bytes),
        bytes: serving.map_or(0, |serving| serving.bytes),
        prompt_tokens_per_second: speeds.prompt,
        decode_tokens_per_second: speeds.decode,
    }
}
