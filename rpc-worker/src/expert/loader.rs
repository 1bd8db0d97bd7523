//! The loader: one thread that gives up what is no longer wished, loads what is, one model at a time, and tries again
//! what could not be loaded.

use super::hall::{Entry, Inside, Manner, State, Wish, Wishes, lock};
use super::serving::Serving;
use super::whole::{Plan, Whole};
use crate::backoff::Backoff;
use crate::probe;
use crate::ring::keeper::{Keeper, Share};
use engine::{Context, Settings};
use service::log::{self, Level};
use split::expert::{Expert, Purpose, TEXT_POSITIONS_MAX};
use split::place::WHOLE_ROWS;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// A text for vectors is one batch.
const _: () = assert!(TEXT_POSITIONS_MAX <= engine::N_BATCH_MAX);

/// Until nobody wishes any more.
pub(super) fn fill(inside: &Mutex<Inside>, inbox: &Receiver<Wishes>, manner: &Manner, keeper: &mut Keeper) {
    if let Err(error) = engine::let_others_first() {
        log::say(Level::Warning, &format!("rpc-worker: loading does not let others first: {error}"));
    }
    let mut retries = Retries::new();
    loop {
        let wait = retries.values().map(|retry| retry.at).min();
        let wishes = match wait {
            None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => inbox.recv_timeout(at.saturating_duration_since(Instant::now())),
        };
        match wishes {
            Ok(first) => {
                let wishes = inbox.try_iter().last().unwrap_or(first);
                let Sorted { leaving, coming, remade } = sort(inside, &wishes);
                remade.iter().for_each(|share| keeper.remake(share));
                leaving.iter().for_each(|serving| serving.give_up());
                drop(leaving);
                let is_head = |wish: &&Wish| wish.share.is_some();
                let heads = wishes.experts.iter().filter(is_head).map(|wish| wish.expert.name.as_str());
                keeper.follow(&wishes.stages, &heads.collect::<Vec<_>>());
                retries.retain(|name, _| lock(inside).entries.contains_key(name));
                for wish in coming {
                    retries.remove(&wish.expert.name);
                    hold(inside, wish, manner, keeper, &mut retries);
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                let now = Instant::now();
                let due: Vec<String> = retries
                    .iter()
                    .filter(|(_, retry)| retry.at <= now)
                    .map(|(name, _)| name.clone())
                    .collect();
                let wish = |name| lock(inside).entries.get(name).map(|entry| entry.wish.clone());
                for wish in due.iter().filter_map(wish) {
                    hold(inside, wish, manner, keeper, &mut retries);
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Experts that could not be loaded, and when that is tried again.
type Retries = BTreeMap<String, Retry>;

struct Retry {
    at: Instant,
    backoff: Backoff,
}

/// Loads one expert, or tells why not.
fn hold(inside: &Mutex<Inside>, wish: Wish, manner: &Manner, keeper: &mut Keeper, retries: &mut Retries) {
    let name = wish.expert.name.clone();
    let mut backoff = retries.remove(&name).map(|retry| retry.backoff).unwrap_or_default();
    let loaded = load(&wish, manner, keeper);
    let is_news = loaded.as_ref().map_or_else(|why| backoff.is_news(why), |_| true);
    let (state, level, what) = match loaded {
        Ok(serving) => (State::Ready(Arc::new(serving)), Level::Info, "is served".to_owned()),
        Err(why) => {
            let at = Instant::now() + backoff.next();
            retries.insert(name.clone(), Retry { at, backoff });
            let what = format!("is not served: {why}");
            (State::Failed(why), Level::Warning, what)
        }
    };
    lock(inside).entries.insert(name.clone(), Entry { wish, state });
    if is_news {
        log::say(level, &format!("rpc-worker: {name} {what}"));
    }
}

struct Sorted {
    leaving: Vec<Arc<Serving>>,
    coming: Vec<Wish>,
    /// Heads that stay, in rings that are made anew.
    remade: Vec<Share>,
}

/// Who must go, and who is to come. An expert whose wish did not change stays as it is, also when it failed: it is tried
/// again in its time. So does the head of a ring whose neighbours alone changed, with the answers that it is at.
fn sort(inside: &Mutex<Inside>, wishes: &Wishes) -> Sorted {
    let mut inside = lock(inside);
    inside.generation = wishes.generation;
    let old = std::mem::take(&mut inside.entries);
    let (mut leaving, mut remade) = (Vec::new(), Vec::new());
    for (name, Entry { wish: held, state }) in old {
        let wish = wishes.experts.iter().find(|wish| wish.expert.name == name);
        let stays = wish.filter(|wish| **wish == held || wish.is_remade(&held));
        match (stays, state) {
            (Some(wish), state) => {
                if *wish != held {
                    remade.extend(wish.share.clone());
                }
                inside.entries.insert(name, Entry { wish: wish.clone(), state });
            }
            (None, State::Ready(serving)) => leaving.push(serving),
            (None, _) => {}
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
    Sorted { leaving, coming, remade }
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
    let n_ctx = expert.positions(model.n_ctx_trained() as u64);
    let n_threads = manner.n_threads;
    match expert.purpose {
        Purpose::Chat => {
            let warm = manner.warm.as_ref().map(|folder| warm_file(folder, expert, persona));
            let plan = Plan { n_slots: expert.slots, n_ctx, n_rows: WHOLE_ROWS, n_threads, warm };
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
