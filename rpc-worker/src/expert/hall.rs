//! All experts of this node: what is wished, what is loaded, what could not be.

use super::serving::Serving;
use super::whole::{Plan, Whole};
use crate::probe;
use crate::ring::keeper::{Keeper, Share};
use engine::{Context, Settings};
use openai::ApiError;
use serde::Serialize;
use service::log::{self, Level};
use split::expert::{Expert, Purpose};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Rows of a batch: a piece of a prompt, and a token of each running answer.
const ROWS: u32 = 192;
/// When to ask again while a model is loaded.
const LOADING_RETRY_MS: u32 = 1000;

/// An expert that this node is to hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    pub expert: Expert,
    pub persona: String,
    /// The model's file.
    pub model: PathBuf,
    /// The model is cut, and this node is its head.
    pub share: Option<Share>,
}

/// All that is to be held; a whole list replaces a whole list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wishes {
    pub generation: u64,
    pub experts: Vec<Wish>,
    /// Stages for heads on other nodes.
    pub stages: Vec<Share>,
}

/// How every model is held.
#[derive(Debug, Clone)]
pub struct Manner {
    pub n_threads: u32,
    /// Where warm beginnings outlive this process.
    pub warm: Option<PathBuf>,
}

enum State {
    Loading,
    Ready(Arc<Serving>),
    Failed(String),
}

struct Entry {
    wish: Wish,
    state: State,
}

#[derive(Default)]
struct Inside {
    generation: u64,
    entries: BTreeMap<String, Entry>,
}

/// Who is here. Clones are the same hall.
#[derive(Clone)]
pub struct Hall {
    inside: Arc<Mutex<Inside>>,
    wishes: Sender<Wishes>,
}

/// An expert as `/health` shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shown {
    pub name: String,
    pub service: String,
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
    /// Of weights and caches.
    pub bytes: u64,
    /// 0 before anything was measured.
    pub prompt_tokens_per_second: f64,
    pub decode_tokens_per_second: f64,
}

impl Hall {
    /// An empty hall, and the thread that fills it.
    pub fn open(manner: Manner, mut keeper: Keeper) -> std::io::Result<Hall> {
        let (wishes, inbox) = channel();
        let hall = Hall { inside: Arc::default(), wishes };
        let inside = Arc::clone(&hall.inside);
        std::thread::Builder::new()
            .name("loader".to_owned())
            .spawn(move || fill(&inside, &inbox, &manner, &mut keeper))?;
        Ok(hall)
    }

    /// What is to be held from now on. The newest wishes win.
    pub fn wish(&self, wishes: Wishes) {
        // The loader lives as long as the program.
        let _ = self.wishes.send(wishes);
    }

    pub fn generation(&self) -> u64 {
        lock(&self.inside).generation
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
}

fn lock(inside: &Mutex<Inside>) -> MutexGuard<'_, Inside> {
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
        model: expert.model.clone(),
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

/// The loader: gives up what is no longer wished, then loads what is new, one model at a time.
fn fill(inside: &Mutex<Inside>, inbox: &Receiver<Wishes>, manner: &Manner, keeper: &mut Keeper) {
    if let Err(error) = engine::let_others_first() {
        log::say(Level::Warning, &format!("rpc-worker: loading does not let others first: {error}"));
    }
    while let Ok(mut wishes) = inbox.recv() {
        while let Ok(newer) = inbox.try_recv() {
            wishes = newer;
        }
        let (leaving, coming) = sort(inside, &wishes);
        leaving.iter().for_each(|serving| serving.give_up());
        drop(leaving);
        keeper.follow(&wishes.stages);
        for wish in coming {
            let name = wish.expert.name.clone();
            let (state, level, what) = match load(&wish, manner, keeper) {
                Ok(serving) => (State::Ready(Arc::new(serving)), Level::Info, "is served".to_owned()),
                Err(why) => {
                    let what = format!("is not served: {why}");
                    (State::Failed(why), Level::Warning, what)
                }
            };
            lock(inside).entries.insert(name.clone(), Entry { wish, state });
            log::say(level, &format!("rpc-worker: {name} {what}"));
        }
    }
}

/// Who must go, and who is to come. An expert whose wish did not change stays as it is, also when it failed: the same
/// file would fail again.
fn sort(inside: &Mutex<Inside>, wishes: &Wishes) -> (Vec<Arc<Serving>>, Vec<Wish>) {
    let mut inside = lock(inside);
    inside.generation = wishes.generation;
    let stays = |entry: &Entry| wishes.experts.contains(&entry.wish);
    let old = std::mem::take(&mut inside.entries);
    let mut leaving = Vec::new();
    for (name, entry) in old {
        if stays(&entry) {
            inside.entries.insert(name, entry);
        } else if let State::Ready(serving) = entry.state {
            leaving.push(serving);
        }
    }
    let mut coming = Vec::new();
    for wish in &wishes.experts {
        let name = &wish.expert.name;
        if !inside.entries.contains_key(name) {
            inside.entries.insert(name.clone(), Entry { wish: wish.clone(), state: State::Loading });
            coming.push(wish.clone());
        }
    }
    (leaving, coming)
}

/// A model's file is tried by a child first, so a bad one costs nothing but this expert.
fn load(wish: &Wish, manner: &Manner, keeper: &mut Keeper) -> Result<Serving, String> {
    let sentence = |error: anyhow::Error| format!("{error:#}");
    if let Some(share) = &wish.share {
        let split = keeper.head(share).map_err(sentence)?;
        return Serving::chat(wish.expert.clone(), &wish.persona, split);
    }
    let model = probe::load(&wish.model).map_err(sentence)?;
    let Wish { expert, persona, .. } = wish;
    let n_ctx =
        expert.context.min(u32::try_from(model.n_ctx_trained()).unwrap_or(u32::MAX)).max(CONTEXT_LEAST);
    let n_threads = manner.n_threads;
    match expert.purpose {
        Purpose::Chat => {
            let warm = manner.warm.as_ref().map(|folder| warm_file(folder, expert, persona));
            let plan = Plan { n_slots: expert.slots, n_ctx, n_rows: ROWS, n_threads, warm };
            let whole = Whole::new(model, plan).map_err(|e| e.to_string())?;
            Serving::chat(expert.clone(), persona, whole)
        }
        Purpose::Embeddings => {
            // A text is one batch: its tokens look at each other in both directions.
            let settings =
                Settings { n_ctx, n_batch: n_ctx, n_threads, embeddings: true, ..Settings::default() };
            let context = Context::new(model, settings).map_err(|e| e.to_string())?;
            Serving::embeddings(expert.clone(), context)
        }
    }
}

/// The engine takes no smaller context.
const CONTEXT_LEAST: u32 = 8;

/// Where the warm beginning of this expert lies. Of each expert there is one; that of another persona goes.
fn warm_file(folder: &Path, expert: &Expert, persona: &str) -> PathBuf {
    // FNV-1a: it tells personas apart; whether the matter fits is checked where it is read.
    let hash = persona
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let name = format!("{}@{hash:016x}.state", expert.name);
    let mine = format!("{}@", expert.name);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let other = entry.file_name();
        let is_old = other.to_str().is_some_and(|other| other.starts_with(&mine) && other != name);
        if is_old {
            // What cannot be removed only takes room.
            let _ = fs::remove_file(entry.path());
        }
    }
    folder.join(name)
}
