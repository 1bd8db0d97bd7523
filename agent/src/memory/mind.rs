//! The home's memory, as a mind asks for it.

use super::{FoundFact, Memory, plain};
use crate::answer::facts::{FactTold, FactWish, Facts, Then};
use journal::FactId;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// Facts that a question by voice may be about.
const FOUND_MAX: usize = 5;
/// What part of a question's words the fact must have that is told, where no model says that they mean the same.
const COVER_MIN: f64 = 0.34;
/// The same for one that is forgotten.
const FORGET_COVER_MIN: f64 = 0.6;
/// Whoever says 'forget that' later has something else in mind.
const LAST_TIME_MAX: Duration = Duration::from_secs(300);
/// Conversations whose last fact is known.
const TALKS_MAX: usize = 16;
/// Longer than peers are waited for; a person has given up by then.
const TIME_MAX: Duration = Duration::from_secs(15);

#[derive(Clone)]
pub struct HomeFacts {
    memory: Arc<Memory>,
    runtime: Handle,
    /// The fact that each conversation spoke of last.
    last: Arc<Mutex<BTreeMap<u64, (FactId, Instant)>>>,
}

impl Facts for HomeFacts {
    fn ask(&self, talk: u64, wish: FactWish, then: Then) {
        let facts = self.clone();
        self.runtime.spawn(async move {
            let told = tokio::time::timeout(TIME_MAX, facts.answer(talk, wish)).await;
            let told = told.unwrap_or_else(|_| Err("memory takes too long".into()));
            then(told.unwrap_or_else(FactTold::Failed));
        });
    }
}

impl HomeFacts {
    pub fn new(memory: Arc<Memory>, runtime: Handle) -> HomeFacts {
        HomeFacts { memory, runtime, last: Arc::default() }
    }

    async fn answer(&self, talk: u64, wish: FactWish) -> Result<FactTold, String> {
        let memory = &self.memory;
        match wish {
            // As in 'remember that', and what was said before is not known here.
            FactWish::Remember(text) if !text.contains(char::is_whitespace) => {
                Err("say in one sentence what I am to remember".into())
            }
            FactWish::Remember(text) => {
                let kept = memory.remember(&text).await?;
                self.spoke_of(talk, kept.id);
                Ok(FactTold::Kept { n_others: kept.spread.n_told })
            }
            FactWish::Recall(text) => {
                let found = near(memory.recall(&text, FOUND_MAX).await?);
                if let Some(best) = found.first() {
                    self.spoke_of(talk, best.fact.id);
                }
                Ok(FactTold::Found(texts(found)))
            }
            FactWish::Look { text, most } => {
                Ok(FactTold::Found(texts(near(memory.recall(&text, most).await?))))
            }
            FactWish::ForgetLast => {
                let last = self.last().remove(&talk);
                match last.filter(|(_, at)| at.elapsed() < LAST_TIME_MAX) {
                    Some((id, _)) => self.forget(id).await,
                    None => Ok(FactTold::Found(vec![])),
                }
            }
            FactWish::ForgetAbout(text) => {
                let mut meant = meant(memory.recall(&text, FOUND_MAX).await?);
                match meant.pop() {
                    None => Ok(FactTold::Found(vec![])),
                    Some(only) if meant.is_empty() => self.forget(only.fact.id).await,
                    Some(last) => {
                        meant.push(last);
                        Ok(FactTold::Several(texts(meant)))
                    }
                }
            }
        }
    }

    async fn forget(&self, id: FactId) -> Result<FactTold, String> {
        Ok(match self.memory.forget(id).await? {
            Some((fact, spread)) => {
                let is_everywhere = self.memory.is_everywhere(spread);
                FactTold::Forgotten { fact: fact.text, is_everywhere }
            }
            None => FactTold::Found(vec![]),
        })
    }

    fn spoke_of(&self, talk: u64, id: FactId) {
        let mut last = self.last();
        if !last.contains_key(&talk) && last.len() >= TALKS_MAX {
            let oldest = last.iter().min_by_key(|(_, (_, at))| *at).map(|(talk, _)| *talk);
            oldest.and_then(|oldest| last.remove(&oldest));
        }
        last.insert(talk, (id, Instant::now()));
    }

    fn last(&self) -> MutexGuard<'_, BTreeMap<u64, (FactId, Instant)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Those that belong to the question.
fn near(found: Vec<FoundFact>) -> Vec<FoundFact> {
    found.into_iter().filter(|found| found.is_near || found.cover >= COVER_MIN).collect()
}

/// Those that have most of the words: one alone is meant.
fn meant(found: Vec<FoundFact>) -> Vec<FoundFact> {
    let most = found.iter().map(|found| found.cover).fold(FORGET_COVER_MIN, f64::max);
    found.into_iter().filter(|found| found.cover.total_cmp(&most) != Ordering::Less).collect()
}

/// A line each: a fact that came from elsewhere may have more.
fn texts(found: Vec<FoundFact>) -> Vec<String> {
    found.into_iter().map(|found| plain(&found.fact.text)).collect()
}
