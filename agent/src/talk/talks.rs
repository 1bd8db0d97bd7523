//! All conversations of this node: the one at the PC itself, and those of remote microphones.

use super::driver::{Own, Shared, Talk};
use super::force::{Force, Over};
use super::meters::Meters;
use super::news::{Board, NEWS_MAX, Told, View};
use super::parts::Event;
use super::post::{Events, Post};
use super::run::{Watch, run};
use super::trace::{Ring, Trace};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{broadcast, watch};
use voice::key::{Input, Source};

/// The PC's own, and eight more.
pub const TALKS_MAX: usize = 9;
/// A conversation that shows no life for so long is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(20);
/// Whoever says start and stop: page, API and console are one.
const TOLD: Source = Source::Told(0);

/// Whose conversation it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The PC's own microphone, key and speaker.
    Here,
    /// A remote microphone's, by its name for people.
    Remote(String),
}

/// There are as many conversations as there may be.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

/// One conversation, from outside.
#[derive(Debug)]
pub struct Line {
    pub id: u64,
    pub whose: Whose,
    over: Over,
    post: Post,
    board: Arc<Board>,
    /// When it last showed life, in milliseconds since the node's start.
    beat_ms: AtomicU64,
}

/// As the API shows it.
#[derive(Clone, Debug, Serialize)]
pub struct TalkStatus {
    pub id: u64,
    pub whose: String,
    #[serde(flatten)]
    pub view: View,
    pub events_lost: u64,
}

pub struct Talks {
    shared: Shared,
    pub force: Arc<Force>,
    start: Instant,
    lines: Mutex<BTreeMap<u64, Arc<Line>>>,
    n_begun: AtomicU64,
    ring: Mutex<Ring>,
    meters: Mutex<Meters>,
    news: broadcast::Sender<Told>,
    /// Why the PC's own conversation is no more.
    died: watch::Sender<Option<String>>,
}

impl Line {
    /// As if the key went down; what is open already stays so.
    pub fn start(&self) -> bool {
        self.post.tell(Event::Key(Input::Down(TOLD)))
    }

    pub fn stop(&self) -> bool {
        self.post.tell(Event::Key(Input::Up(TOLD)))
    }

    pub fn close(&self) -> bool {
        self.post.tell(Event::Close)
    }

    pub fn view(&self) -> View {
        self.board.view()
    }

    /// Whoever has an event for it: devices, a remote's sound.
    pub fn post(&self) -> &Post {
        &self.post
    }

    fn name(&self) -> String {
        match &self.whose {
            Whose::Here => "this PC".into(),
            Whose::Remote(name) => name.clone(),
        }
    }
}

impl Talks {
    pub fn new(shared: Shared, force: Arc<Force>) -> Arc<Talks> {
        Arc::new(Talks {
            shared,
            force,
            start: Instant::now(),
            lines: Mutex::default(),
            n_begun: AtomicU64::new(0),
            ring: Mutex::default(),
            meters: Mutex::default(),
            news: broadcast::Sender::new(NEWS_MAX),
            died: watch::Sender::new(None),
        })
    }

    /// Begins a conversation on a thread of its own. What the letter box already holds is its first events.
    /// `over` is what holds in this one alone.
    pub fn begin(
        self: &Arc<Self>,
        whose: Whose,
        over: Over,
        (post, events): (Post, Events),
        own: Own,
    ) -> Result<Arc<Line>, Full> {
        let mut lines = self.lines();
        if lines.len() >= TALKS_MAX {
            return Err(Full);
        }
        let id = self.n_begun.fetch_add(1, Ordering::Relaxed) + 1;
        let board = Arc::new(Board::new(id, self.news.clone()));
        let line =
            Line { id, whose, over, post: post.clone(), board: board.clone(), beat_ms: AtomicU64::new(0) };
        let line = Arc::new(line);
        let settings = line.over.applied(&self.force.now());
        let talk = Talk::new(id, line.name(), (self.shared.clone(), own), post, board, settings);
        let life = Life { talks: self.clone(), line: line.clone() };
        life.beat();
        let body = move || run(talk, &events, &life);
        // Dropped with `body`, a life that never began takes its line away again.
        lines.insert(id, line.clone());
        drop(lines);
        match std::thread::Builder::new().name(format!("talk-{id}")).spawn(body) {
            Ok(_) => Ok(line),
            Err(_) => Err(Full),
        }
    }

    /// The conversation of this PC itself, once it has begun.
    pub fn here(&self) -> Option<Arc<Line>> {
        self.lines().values().find(|line| line.whose == Whose::Here).cloned()
    }

    pub fn get(&self, id: u64) -> Option<Arc<Line>> {
        self.lines().get(&id).cloned()
    }

    /// News of all conversations as they happen; whoever is too slow finds the state in the views.
    pub fn follow(&self) -> broadcast::Receiver<Told> {
        self.news.subscribe()
    }

    pub fn status(&self) -> Vec<TalkStatus> {
        let status = |line: &Arc<Line>| {
            let (id, whose, events_lost) = (line.id, line.name(), line.post.n_lost());
            TalkStatus { id, whose, view: line.view(), events_lost }
        };
        self.lines().values().map(status).collect()
    }

    /// Who serves all conversations: whoever needs an ear or a mouth alone finds it here.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The last turns, newest first.
    pub fn traces(&self) -> Vec<Trace> {
        self.ring().iter().rev().cloned().collect()
    }

    /// For `/metrics`.
    pub fn metrics(&self) -> String {
        self.meters.lock().unwrap_or_else(PoisonError::into_inner).text()
    }

    /// New settings hold: everybody is told.
    pub fn settings_changed(&self) {
        let settings = self.force.now();
        for line in self.lines().values() {
            line.post.tell(Event::Settings(Box::new(line.over.applied(&settings))));
        }
    }

    /// Resolves with a reason when the PC's own conversation has died or is stuck.
    pub async fn watch(&self) -> String {
        let mut died = self.died.subscribe();
        loop {
            if let Some(reason) = died.borrow_and_update().clone() {
                return reason;
            }
            let stuck = |line: &Arc<Line>| {
                let beat = Duration::from_millis(line.beat_ms.load(Ordering::Relaxed));
                self.start.elapsed().saturating_sub(beat) > STUCK_AFTER
            };
            if self.here().is_some_and(|line| stuck(&line)) {
                return "the conversation of this PC is stuck".into();
            }
            let _ = tokio::time::timeout(STUCK_AFTER / 4, died.changed()).await;
        }
    }

    fn lines(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Line>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A conversation's thread, as its node sees it; whatever ends the thread drops it.
struct Life {
    talks: Arc<Talks>,
    line: Arc<Line>,
}

impl Watch for Life {
    fn now(&self) -> Duration {
        self.talks.start.elapsed()
    }

    fn beat(&self) {
        let now_ms = self.talks.start.elapsed().as_millis() as u64;
        self.line.beat_ms.store(now_ms, Ordering::Relaxed);
    }

    fn trace(&self, trace: Trace) {
        let unix_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        self.talks.meters.lock().unwrap_or_else(PoisonError::into_inner).add(&trace);
        self.talks.ring().add(Trace { unix_s, ..trace });
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.talks.lines().remove(&self.line.id);
        if self.line.whose == Whose::Here {
            let why = if std::thread::panicking() { "has died" } else { "was closed" };
            self.talks.died.send_replace(Some(format!("the conversation of this PC {why}")));
        }
    }
}
