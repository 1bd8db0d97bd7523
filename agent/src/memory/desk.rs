//! The thread that owns journal and index: whoever wants something of memory sends a wish and waits for the answer.
//!
//! What waits together is made durable together. The index follows behind the answer; without one the book is read.
//! sled takes memory and seven threads, so there is no index until it is worth them.

use super::files::Files;
use super::index::{Found, Index};
use super::search::{self, Hit};
use super::vectors::quantize;
use journal::{Digests, Entry, Exchange, Fact, FactId, Given, Limits, Listing, Store, difference, give};
use serde::Serialize;
use service::log::{Level, say};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Wishes that wait.
const WAITING_MAX: usize = 256;
/// Of a journal, most often in RAM.
const JOURNAL_BYTES_MAX: u64 = 32 << 20;
/// A folder that cannot be opened is tried again.
const AGAIN: Duration = Duration::from_secs(10);
/// Candidates of each way to search.
const HITS_MAX: usize = 50;
/// So few facts are soon read for a question; more have an index, and so have all that a model made vectors of.
pub const FACTS_WITHOUT_INDEX: usize = 200;

/// An answer, or a sentence why there is none.
pub type Told<T> = oneshot::Sender<Result<T, String>>;

/// A question; the vector is of the model that is named.
pub struct Question {
    pub text: String,
    pub vector: Option<(String, Vec<f32>)>,
    pub n: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub struct FoundFact {
    pub fact: Fact,
    pub score: f64,
    pub cover: f64,
    pub is_near: bool,
}

pub enum Wish {
    /// How many were new.
    Learn(Vec<Entry>, Told<usize>),
    /// The id of a fact with exactly this text.
    Same(String, Told<Option<FactId>>),
    Get(FactId, Told<Option<Entry>>),
    Search(Question, Told<Vec<FoundFact>>),
    /// The newest.
    List(usize, Told<Vec<Fact>>),
    Save(Told<String>),
    Sums(Told<Digests>),
    Compare(Box<Digests>, Told<Listing>),
    Differ(Listing, Told<Exchange>),
    Exchange(Exchange, Told<Given>),
    /// Facts without a vector of this model.
    Lacking(String, usize, Told<Vec<(FactId, String)>>),
    Vectors(String, Vec<(FactId, Vec<f32>)>, Told<()>),
}

/// For the page and `/api/status`; nothing of what was told.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MemoryStatus {
    pub n_facts: usize,
    pub n_forgotten: usize,
    pub journal_bytes: u64,
    /// Why there is no memory now, in a sentence.
    pub trouble: Option<String>,
    /// What was mended at the start.
    pub mended: Vec<String>,
    /// How the index was found, or why there is none.
    pub index: String,
    /// Facts that can be found by meaning, and the model that makes it so.
    pub n_vectors: usize,
    pub model: Option<String>,
    /// How long the last search took here.
    pub search_ms: Option<f64>,
}

#[derive(Clone)]
pub struct Desk {
    wishes: SyncSender<Wish>,
    status: Arc<Mutex<MemoryStatus>>,
}

impl Desk {
    /// Without a folder every wish is answered with that.
    pub fn start(folder: Option<PathBuf>) -> std::io::Result<Desk> {
        let (wishes, waiting) = sync_channel(WAITING_MAX);
        let status = Arc::new(Mutex::new(MemoryStatus::default()));
        let shared = status.clone();
        std::thread::Builder::new().name("memory".into()).spawn(move || {
            Keeper { folder, kept: None, why: String::new(), status: shared }.run(&waiting);
        })?;
        Ok(Desk { wishes, status })
    }

    pub async fn ask<T>(&self, wish: impl FnOnce(Told<T>) -> Wish) -> Result<T, String> {
        let (told, answer) = oneshot::channel();
        self.wishes.try_send(wish(told)).map_err(|error| match error {
            TrySendError::Full(_) => "memory has too much to do".to_owned(),
            TrySendError::Disconnected(_) => "memory has ended".to_owned(),
        })?;
        answer.await.map_err(|_| "memory has stumbled; try again".to_owned())?
    }

    pub fn status(&self) -> MemoryStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Kept {
    store: Store<Files>,
    index: Option<Index>,
    index_folder: PathBuf,
    /// Nothing of an index is there, not even its folder, because nobody has missed it.
    is_without: bool,
    /// How the index was found, or why there is none.
    how: String,
}

struct Keeper {
    folder: Option<PathBuf>,
    kept: Option<Kept>,
    /// Why nothing is kept.
    why: String,
    status: Arc<Mutex<MemoryStatus>>,
}

impl Keeper {
    fn run(mut self, waiting: &Receiver<Wish>) {
        let mut tried = Instant::now();
        self.open();
        while let Ok(first) = waiting.recv() {
            if !self.is_whole() && tried.elapsed() >= AGAIN {
                tried = Instant::now();
                self.open();
            }
            let wishes = std::iter::once(first).chain(std::iter::from_fn(|| waiting.try_recv().ok()));
            let wishes: Vec<Wish> = wishes.take(WAITING_MAX).collect();
            match &mut self.kept {
                Some(kept) => {
                    let answer = || kept.answer(wishes, &self.status);
                    // sled panics where its files say what they cannot.
                    if catch_unwind(AssertUnwindSafe(answer)).is_err() {
                        self.stumbled();
                    }
                }
                None => wishes.into_iter().for_each(|wish| wish.refuse(&self.why)),
            }
            self.tell();
        }
    }

    /// Journal and index are read anew, and whoever waited hears that.
    fn stumbled(&mut self) {
        let Some(kept) = self.kept.take() else { return };
        if !kept.is_without
            && let Err(error) = super::index::doubt(&kept.index_folder)
        {
            say(Level::Warning, &format!("duet: the index of memory cannot be marked: {error}"));
        }
        drop(kept);
        self.open();
    }

    fn is_whole(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.index.is_some() || kept.is_without)
    }

    /// All, or the index alone where that is missing.
    fn open(&mut self) {
        if let Some(kept) = &mut self.kept {
            kept.open_index();
            return self.tell();
        }
        match self.folder.as_deref().map(Kept::open) {
            Some(Ok((kept, mended))) => {
                for trouble in &mended {
                    say(Level::Warning, &format!("duet: memory: {trouble}"));
                }
                let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
                (status.mended, status.trouble) = (mended, None);
                drop(status);
                self.kept = Some(kept);
            }
            Some(Err(why)) => {
                if self.why != why {
                    say(Level::Warning, &format!("duet: there is no memory: {why}"));
                }
                self.why = why;
            }
            None => self.why = "this agent has no folder for a memory".into(),
        }
        self.tell();
    }

    fn tell(&self) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        match &self.kept {
            Some(kept) => {
                let book = kept.store.book();
                (status.n_facts, status.n_forgotten) = (book.facts().len(), book.n_forgotten());
                status.journal_bytes = kept.store.journal().n_bytes();
                status.index.clone_from(&kept.how);
                status.n_vectors = kept.index.as_ref().map_or(0, |index| index.near().len());
                let model = kept.index.as_ref().map(|index| index.model().to_owned());
                status.model = model.filter(|model| !model.is_empty());
            }
            None => status.trouble = Some(self.why.clone()),
        }
    }
}

impl Kept {
    fn open(folder: &Path) -> Result<(Kept, Vec<String>), String> {
        let files = Files::open(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let limits = Limits { journal_bytes: JOURNAL_BYTES_MAX, ..Limits::default() };
        let store = Store::open(files, limits).map_err(|error| error.to_string())?;
        let mended = store.troubles().iter().map(ToString::to_string).collect();
        let index_folder = folder.join("index");
        let is_without = !index_folder.exists() && store.book().facts().len() <= FACTS_WITHOUT_INDEX;
        let how = "not needed yet".to_owned();
        let mut kept = Kept { store, index: None, index_folder, is_without, how };
        if !is_without {
            kept.open_index();
        }
        Ok((kept, mended))
    }

    fn open_index(&mut self) {
        // sled locks its files until it is dropped.
        self.index = None;
        self.is_without = false;
        self.how = match Index::open(&self.index_folder, self.store.book(), self.store.journal().head()) {
            Ok((index, found)) => {
                self.index = Some(index);
                match found {
                    Found::Whole => "whole".into(),
                    Found::Older(n) => format!("older, {n} facts were brought in"),
                    Found::Rebuilt(why) => format!("made anew: {why}"),
                }
            }
            Err(error) => {
                say(Level::Warning, &format!("duet: memory is searched without an index: {error}"));
                format!("none: {error}")
            }
        };
    }

    fn answer(&mut self, wishes: Vec<Wish>, status: &Mutex<MemoryStatus>) {
        let before = self.store.journal().head();
        // All that is to be learned goes into one commit, before anything else of the same moment is answered.
        let together: Vec<Entry> = wishes.iter().flat_map(Wish::entries).cloned().collect();
        let known: Vec<Fact> = together.iter().filter_map(|entry| self.forgotten(entry)).collect();
        let is_news = |entry: &&Entry| self.store.book().is_news(entry);
        let news: Vec<usize> =
            wishes.iter().map(|wish| wish.entries().iter().filter(is_news).count()).collect();
        let is_learned = together.is_empty() || self.store.learn(&together).is_ok();
        for (wish, n_new) in wishes.into_iter().zip(news) {
            self.answer_one(wish, is_learned.then_some(n_new), status);
        }
        if self.store.journal().head() != before {
            self.follow(&together, &known);
        }
    }

    /// The fact that an entry makes forgotten.
    fn forgotten(&self, entry: &Entry) -> Option<Fact> {
        match entry {
            Entry::Forget(id) => self.store.book().fact(id).cloned(),
            Entry::Fact(_) => None,
        }
    }

    /// `n_new` says that its entries are in the journal already, and how many were new; else they are tried alone.
    fn learn(&mut self, entries: &[Entry], n_new: Option<usize>) -> Result<usize, String> {
        match n_new {
            Some(n) => Ok(n),
            None => {
                let learned = self.store.learn(entries).map_err(|error| error.to_string())?;
                Ok(learned.facts.len() + learned.forgotten.len())
            }
        }
    }

    fn answer_one(&mut self, wish: Wish, n_new: Option<usize>, status: &Mutex<MemoryStatus>) {
        let book = self.store.book();
        match wish {
            Wish::Learn(entries, told) => _ = told.send(self.learn(&entries, n_new)),
            Wish::Exchange(exchange, told) => {
                let learned = self.learn(&exchange.give, n_new);
                _ = told.send(learned.map(|_| give(self.store.book(), &exchange.want)));
            }
            Wish::Same(text, told) => {
                let same = book.facts().find(|fact| fact.text == text).map(|fact| fact.id);
                _ = told.send(Ok(same));
            }
            Wish::Get(id, told) => _ = told.send(Ok(book.entry(&id))),
            Wish::Search(question, told) => {
                let began = Instant::now();
                let found = self.search(&question);
                let ms = began.elapsed().as_secs_f64() * 1000.0;
                status.lock().unwrap_or_else(PoisonError::into_inner).search_ms = Some(ms);
                _ = told.send(Ok(found));
            }
            Wish::List(n, told) => {
                let mut facts: Vec<&Fact> = book.facts().collect();
                facts.sort_by_key(|fact| std::cmp::Reverse((fact.told_s, fact.id)));
                _ = told.send(Ok(facts.into_iter().take(n).cloned().collect()));
            }
            Wish::Save(told) => {
                _ = told.send(journal::save(book.facts()).map_err(|error| error.to_string()));
            }
            Wish::Sums(told) => _ = told.send(Ok(book.digests().clone())),
            Wish::Compare(sums, told) => _ = told.send(Ok(Listing::of(book, &sums))),
            Wish::Differ(listing, told) => {
                let (learn, exchange) = difference(book, &listing);
                let known: Vec<Fact> = learn.iter().filter_map(|entry| self.forgotten(entry)).collect();
                let learned = self.store.learn(&learn).map_err(|error| error.to_string());
                if learned.is_ok() && !learn.is_empty() {
                    self.follow(&learn, &known);
                }
                _ = told.send(learned.map(|_| exchange));
            }
            Wish::Lacking(model, n, told) => {
                if self.is_without && book.facts().len() > 0 {
                    self.open_index();
                }
                let book = self.store.book();
                let index = self.index.as_ref();
                let is_same = index.is_some_and(|index| index.model() == model);
                let lacks = |fact: &&Fact| !is_same || index.is_some_and(|index| !index.near().has(&fact.id));
                let facts = book.facts().filter(lacks).take(n).filter(|_| index.is_some());
                _ = told.send(Ok(facts.map(|fact| (fact.id, fact.text.clone())).collect()));
            }
            Wish::Vectors(model, vectors, told) => {
                self.put_vectors(&model, &vectors);
                _ = told.send(Ok(()));
            }
        }
    }

    fn search(&self, question: &Question) -> Vec<FoundFact> {
        let book = self.store.book();
        let words = search::by_words(book, self.index.as_ref(), &question.text, HITS_MAX);
        let near = question.vector.as_ref().zip(self.index.as_ref()).and_then(|((model, vector), index)| {
            let vector = quantize(vector).filter(|_| index.model() == model)?;
            Some(index.near().nearest(&vector, HITS_MAX))
        });
        let hits: Vec<Hit> = match near {
            Some(near) => search::by_both(words, &near, question.n),
            None => words.into_iter().take(question.n).collect(),
        };
        let found = hits.into_iter().filter_map(|Hit { id, score, cover, is_near }| {
            Some(FoundFact { fact: book.fact(&id)?.clone(), score, cover, is_near })
        });
        found.collect()
    }

    /// Brings the index to what was learned. sled writes a log, in which what is removed stays for a while: after something
    /// was forgotten the index is written anew.
    fn follow(&mut self, entries: &[Entry], forgotten: &[Fact]) {
        if self.is_without {
            if self.store.book().facts().len() > FACTS_WITHOUT_INDEX {
                self.open_index();
            }
            return;
        }
        if !forgotten.is_empty() {
            return self.renew();
        }
        let (book, head) = (self.store.book(), self.store.journal().head());
        let Some(index) = &mut self.index else { return };
        let followed = entries.iter().try_for_each(|entry| match book.fact(&entry.id()) {
            Some(fact) => index.put_fact(&fact.id, &fact.text),
            None => Ok(()),
        });
        if let Err(error) = followed.and_then(|()| index.settle(head)) {
            say(Level::Warning, &format!("duet: the index of memory failed: {error}"));
            self.renew();
        }
    }

    /// A new index in the place of the old one, with the vectors that are known.
    fn renew(&mut self) {
        let vectors = self.index.take().map(Index::into_vectors).unwrap_or_default();
        let (book, head) = (self.store.book(), self.store.journal().head());
        match Index::renew(&self.index_folder, book, head, vectors) {
            Ok(index) => self.index = Some(index),
            Err(error) => {
                say(Level::Warning, &format!("duet: memory is searched without an index: {error}"));
                self.how = format!("none: {error}");
            }
        }
    }

    fn put_vectors(&mut self, model: &str, vectors: &[(FactId, Vec<f32>)]) {
        let head = self.store.journal().head();
        let Some(index) = &mut self.index else { return };
        let put = index.set_model(model).and_then(|()| {
            vectors.iter().try_for_each(|(id, vector)| match quantize(vector) {
                Some(vector) => index.put_vector(*id, &vector),
                None => Ok(()),
            })
        });
        if let Err(error) = put.and_then(|()| index.settle(head)) {
            say(Level::Warning, &format!("duet: vectors of memory cannot be kept: {error}"));
        }
    }
}

impl Wish {
    fn entries(&self) -> &[Entry] {
        match self {
            Wish::Learn(entries, _) => entries,
            Wish::Exchange(exchange, _) => &exchange.give,
            _ => &[],
        }
    }

    fn refuse(self, why: &str) {
        fn no<T>(told: Told<T>, why: &str) {
            let _ = told.send(Err(why.to_owned()));
        }
        match self {
            Wish::Learn(_, told) => no(told, why),
            Wish::Same(_, told) => no(told, why),
            Wish::Get(_, told) => no(told, why),
            Wish::Search(_, told) => no(told, why),
            Wish::List(_, told) => no(told, why),
            Wish::Save(told) => no(told, why),
            Wish::Sums(told) => no(told, why),
            Wish::Compare(_, told) => no(told, why),
            Wish::Differ(_, told) => no(told, why),
            Wish::Exchange(_, told) => no(told, why),
            Wish::Lacking(_, _, told) => no(told, why),
            Wish::Vectors(_, _, told) => no(told, why),
        }
    }
}
