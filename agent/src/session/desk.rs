//! Which remote microphones talk with this node: each is a conversation of its own, for as long as somebody is there.

use super::access::Handshake;
use super::down::Queue;
use super::limits::Limits;
use super::words::Start;
use crate::hear::detect::Detector;
use crate::talk::force::Over;
use crate::talk::parts::{Microphone, Speaker};
use crate::talk::tongue;
use crate::talk::{Line, Own, Talks, Whose, post};
use crate::wyoming::record::RATES;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use voice::turn::Earcon;

/// Random bytes of a name or a ticket.
const SECRET_BYTES: usize = 16;

/// One remote microphone.
pub struct Session {
    pub id: String,
    /// The name of the API key that began it.
    pub key: String,
    pub rate: u32,
    pub line: Arc<Line>,
    pub began: Instant,
    pub queue: Arc<Lane>,
    hold: Mutex<Hold>,
}

#[derive(Debug)]
struct Hold {
    ticket: Option<String>,
    is_carried: bool,
    /// When it was last carried, or began.
    seen: Instant,
}

impl Hold {
    fn may(&self, in_time: bool, shown: &Handshake, has_key: bool) -> Result<(), Refusal> {
        let by_ticket = shown.ticket.is_some() && shown.ticket == self.ticket && in_time;
        if !by_ticket && !has_key {
            return Err((401, "the ticket is not good, or no longer; start a new session".into()));
        }
        if self.is_carried {
            return Err((409, "this session has its socket already".into()));
        }
        Ok(())
    }
}

/// A socket that has a session. However it goes, also before its first byte, the session is free again.
pub struct Carried {
    pub sessions: Arc<Sessions>,
    pub session: Arc<Session>,
}

impl Drop for Carried {
    fn drop(&mut self) {
        self.sessions.put(&self.session);
    }
}

/// The queue to a remote speaker, between the conversation's thread and the socket's task.
pub struct Lane {
    start: Instant,
    queue: Mutex<Queue>,
    /// There is something for the socket's task to look at.
    pub news: Notify,
}

impl Lane {
    pub fn with<T>(&self, what: impl FnOnce(&mut Queue, Duration) -> T) -> T {
        what(&mut self.queue.lock().unwrap_or_else(PoisonError::into_inner), self.start.elapsed())
    }

    fn change(&self, what: impl FnOnce(&mut Queue, Duration)) {
        self.with(what);
        self.news.notify_one();
    }
}

/// A conversation's speaker and microphone that are somewhere else.
struct Remote(Arc<Lane>);

impl Speaker for Remote {
    fn play(&mut self, turn: u32, clause_idx: u32, rate: u32, pcm: &[i16]) {
        self.0.change(|queue, now| queue.play(now, (turn, clause_idx), rate, pcm));
    }

    fn end(&mut self, turn: u32, clause_idx: u32) {
        self.0.change(|queue, _| queue.end(turn, clause_idx));
    }

    fn hush(&mut self, turn: u32) {
        self.0.change(|queue, _| queue.hush(turn));
    }

    fn earcon(&mut self, earcon: Earcon) {
        self.0.change(|queue, _| queue.earcon(earcon));
    }
}

impl Microphone for Remote {
    fn listen(&mut self, is_wanted: bool) {
        self.0.change(|queue, _| queue.word(super::down::Word::Microphone { is_wanted }));
    }
}

/// What a caller is told that began a session.
#[derive(Debug, Serialize)]
pub struct Begun {
    pub id: String,
    /// Opens the socket once, within some seconds, without the key.
    pub ticket: String,
    pub audio: String,
    pub protocol: &'static str,
    pub rate: u32,
    pub limits: LimitsTold,
}

#[derive(Debug, Serialize)]
pub struct LimitsTold {
    pub message_bytes: usize,
    pub age_s: u64,
    pub alone_s: u64,
    pub ticket_s: u64,
    pub sessions: usize,
}

/// What is told of a session.
#[derive(Debug, Serialize)]
pub struct SessionStatus {
    pub id: String,
    pub age_s: u64,
    pub is_carried: bool,
    pub samples_lost: u64,
    #[serde(flatten)]
    pub view: crate::talk::View,
}

/// Why there is no session: a status and a sentence.
pub type Refusal = (u16, String);

pub struct Sessions {
    talks: Arc<Talks>,
    detect: Box<dyn Fn() -> Box<dyn Detector> + Send + Sync>,
    pub limits: Limits,
    open: Mutex<BTreeMap<String, Arc<Session>>>,
}

impl Sessions {
    pub fn new(talks: Arc<Talks>, detect: Box<dyn Fn() -> Box<dyn Detector> + Send + Sync>) -> Sessions {
        Sessions { talks, detect, limits: Limits::default(), open: Mutex::default() }
    }

    pub fn talks(&self) -> &Arc<Talks> {
        &self.talks
    }

    pub fn start(&self, key: &str, start: Start) -> Result<Begun, Refusal> {
        if !RATES.contains(&start.rate) {
            return Err((400, format!("the rate must be from {} to {}", RATES.start(), RATES.end())));
        }
        self.sweep();
        let (id, ticket) = (secret()?, secret()?);
        let mut open = self.open();
        let own = open.values().filter(|session| session.key == key).count();
        if open.len() >= self.limits.sessions || own >= self.limits.sessions_per_key {
            return Err((503, format!("{} remote microphones talk already; try again later", open.len())));
        }
        if let Some(language) = &start.language {
            self.knows(language).map_err(|why| (400, why))?;
        }
        let over = Over { language: start.language, hands_free: start.hands_free, ..Over::default() };
        over.applied(&self.talks.force.now()).check().map_err(|error| (400, error.to_string()))?;
        let began = Instant::now();
        let queue = Queue::new(start.tells_played);
        let queue = Arc::new(Lane { start: began, queue: Mutex::new(queue), news: Notify::new() });
        let (speaker, microphone) = (Box::new(Remote(queue.clone())), Box::new(Remote(queue.clone())));
        let own = Own { speaker, microphone, detector: (self.detect)() };
        let name = if start.name.is_empty() { format!("remote of {key}") } else { start.name };
        let line = self.talks.begin(Whose::Remote(name), over, post(), own);
        let line = line.map_err(|_| (503, "this node talks with as many as it can".to_owned()))?;
        let hold = Mutex::new(Hold { ticket: Some(ticket.clone()), is_carried: false, seen: began });
        let (key, rate) = (key.to_owned(), start.rate);
        let session = Session { id: id.clone(), key, rate, line, began, queue, hold };
        open.insert(id.clone(), Arc::new(session));
        let limits = LimitsTold {
            message_bytes: super::frame::MESSAGE_BYTES_MAX,
            age_s: self.limits.age.as_secs(),
            alone_s: self.limits.alone.as_secs(),
            ticket_s: self.limits.ticket.as_secs(),
            sessions: self.limits.sessions,
        };
        let audio = format!("{}{id}/audio", super::PATH);
        Ok(Begun { id, ticket, audio, protocol: super::access::PROTOCOL, rate, limits })
    }

    /// Whether this node hears and speaks a language, as far as it knows.
    fn knows(&self, language: &str) -> Result<(), String> {
        let shared = self.talks.shared();
        tongue::check("hears", language, &shared.ear.languages())?;
        tongue::check("speaks", language, &shared.mouth.voices())
    }

    /// True where there was one.
    pub fn end(&self, id: &str) -> bool {
        let session = self.open().remove(id);
        session.is_some_and(|session| {
            session.queue.news.notify_one();
            session.line.close();
            true
        })
    }

    pub fn get(&self, id: &str) -> Option<Arc<Session>> {
        self.open().get(id).cloned()
    }

    pub fn is_open(&self, id: &str) -> bool {
        self.open().contains_key(id)
    }

    pub fn n_open(&self) -> usize {
        self.open().len()
    }

    /// Whether the one socket of a session is free, and for whom shows its ticket or a key.
    pub fn may(&self, id: &str, shown: &Handshake, has_key: bool) -> Result<(), Refusal> {
        let session = self.get(id).ok_or((404, "there is no such session".to_owned()))?;
        let hold = session.hold();
        hold.may(session.began.elapsed() < self.limits.ticket, shown, has_key)
    }

    /// The same, and takes it.
    pub fn take(&self, id: &str, shown: &Handshake, has_key: bool) -> Result<Arc<Session>, Refusal> {
        let session = self.get(id).ok_or((404, "there is no such session".to_owned()))?;
        let mut hold = session.hold();
        hold.may(session.began.elapsed() < self.limits.ticket, shown, has_key)?;
        (hold.ticket, hold.is_carried, hold.seen) = (None, true, Instant::now());
        drop(hold);
        Ok(session)
    }

    /// Its socket is gone; whoever comes back in time finds it.
    pub fn put(&self, session: &Session) {
        let mut hold = session.hold();
        (hold.is_carried, hold.seen) = (false, Instant::now());
        drop(hold);
        // A key that was held by the socket is not held any more.
        session.line.stop();
    }

    /// Ends those that are too old, those that nobody carries, and those whose conversation is over.
    pub fn sweep(&self) {
        let mut open = self.open();
        open.retain(|_, session| {
            let hold = session.hold();
            let is_alone = !hold.is_carried && hold.seen.elapsed() >= self.limits.alone;
            let is_old = session.began.elapsed() >= self.limits.age;
            let keep = !is_alone && !is_old && self.talks.get(session.line.id).is_some();
            drop(hold);
            if !keep {
                session.queue.news.notify_one();
                session.line.close();
            }
            keep
        });
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Session>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    pub fn status(&self) -> SessionStatus {
        SessionStatus {
            id: self.id.clone(),
            age_s: self.began.elapsed().as_secs(),
            is_carried: self.hold().is_carried,
            samples_lost: self.queue.with(|queue, _| queue.n_lost()),
            view: self.line.view(),
        }
    }

    fn hold(&self) -> MutexGuard<'_, Hold> {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hex digits that nobody guesses.
fn secret() -> Result<String, Refusal> {
    let mut bytes = [0; SECRET_BYTES];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    match filled {
        Ok(SECRET_BYTES) => Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        _ => Err((500, "the system gives no chance".into())),
    }
}
