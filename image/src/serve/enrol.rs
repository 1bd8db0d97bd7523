//! Admission: the door on 7948/tcp where PCs call home, and the owner's socket beside it.
//!
//! These are the hands: they read calls, ask the wire who calls, write the book before anything is promised, and seal
//! the answers. What is decided, the [`registrar`] decides.

mod api_keys;
mod asking;
pub mod book;
pub mod control;
mod edits;
mod keys;
mod limits;
mod models;
mod node_settings;
mod policy;
pub mod registrar;
mod rename;
pub mod ring;
mod telling;
pub mod view;
mod watcher;

use super::pages::asker;
use super::{Shared, settings::Settings};
use crate::disk::{write_secret, write_whole};
use crate::releases::unix_now_s;
use admission::{Answer, Ask, ENROL_PATH, OPEN_PATH, Open};
use anyhow::{Context, Result};
use limits::Limits;
use registrar::{Refusal, Registrar, Witness};
use release::Mac;
use rustix::rand::{GetRandomFlags, getrandom};
use service::door;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use watcher::Watcher;

/// Connections at the door; a call is short, and 1000 PCs that came up together knock again.
const CONNECTIONS_MAX: usize = 256;
const CONNECTIONS_PER_ADDRESS_MAX: usize = 8;
/// A promise that is not on disk by then is not made.
const SAVING_MAX: Duration = Duration::from_secs(10);
/// The ring is looked after so often, and a disk that was full is tried again.
const TURN: Duration = Duration::from_secs(1);

/// What the hands of admission share.
#[derive(Debug)]
pub(crate) struct Enrolment {
    out: PathBuf,
    registrar: Mutex<Registrar>,
    limits: Mutex<Limits>,
    /// There is something to write.
    wanted: Notify,
    /// The registrar's version that is on disk.
    saved: watch::Sender<u64>,
    /// The server's own place in the gossip, once it has one.
    watcher: OnceLock<Watcher>,
    /// What nodes said of their models.
    heard: Mutex<asking::Heard>,
}

/// Everything that is opened before the server serves.
pub(crate) struct Opened {
    enrolment: Arc<Enrolment>,
    listeners: Vec<TcpListener>,
    control: UnixListener,
}

/// Reads keys and book, and opens the owner's socket. `Err` inside: PCs are booted, but none is taken in.
pub(crate) fn open(out: &Path, listeners: Vec<TcpListener>) -> Result<Result<Opened, String>> {
    let now_s = unix_now_s();
    let registrar = match keys::read_everything(out, now_s)? {
        Ok(registrar) => registrar,
        Err(sentence) => return Ok(Err(sentence)),
    };
    let control = control::open(out)?;
    let enrolment = Enrolment {
        out: out.to_owned(),
        registrar: Mutex::new(registrar),
        limits: Mutex::new(Limits::new(0)),
        wanted: Notify::new(),
        saved: watch::Sender::new(0),
        watcher: OnceLock::new(),
        heard: Mutex::default(),
    };
    // What a new cluster begins with is on disk before the first PC hears of it.
    enrolment.save()?;
    Ok(Ok(Opened { enrolment: Arc::new(enrolment), listeners, control }))
}

impl Opened {
    /// Starts all hands.
    pub(crate) fn serve(
        self,
        shared: &Arc<Shared>,
        address: Ipv4Addr,
        hands: &mut JoinSet<()>,
    ) -> Arc<Enrolment> {
        let limits = door::Limits {
            connections: CONNECTIONS_MAX,
            connections_per_address: CONNECTIONS_PER_ADDRESS_MAX,
            body_bytes: admission::CALL_BYTES_MAX,
        };
        for listener in self.listeners {
            let (enrolment, shared) = (self.enrolment.clone(), shared.clone());
            hands.spawn(door::serve_within(limits, listener, move |ask| {
                let (enrolment, shared) = (enrolment.clone(), shared.clone());
                async move { answer(&enrolment, &shared, ask).await }
            }));
        }
        hands.spawn(keep(self.enrolment.clone(), shared.clone()));
        hands.spawn(watcher::serve(self.enrolment.clone(), shared.clone(), address));
        hands.spawn(api_keys::serve(self.enrolment.clone(), shared.clone()));
        hands.spawn(node_settings::serve(self.enrolment.clone(), shared.clone()));
        hands.spawn(models::serve(self.enrolment.clone(), shared.clone()));
        hands.spawn(edits::serve(self.enrolment.clone(), shared.clone()));
        hands.spawn(control::serve(self.control, self.enrolment.clone(), shared.clone()));
        self.enrolment
    }
}

impl Enrolment {
    fn lock(&self) -> MutexGuard<'_, Registrar> {
        self.registrar.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The registrar, for a short while, with the policy that is in force.
    pub(crate) fn registrar(&self, settings: &Settings) -> MutexGuard<'_, Registrar> {
        let mut registrar = self.lock();
        registrar.policy = settings.policy();
        registrar
    }

    /// Writes what is not on disk yet: keys first, because the book names them.
    pub(crate) fn save(&self) -> Result<()> {
        let (version, ring, book) = {
            let registrar = self.lock();
            if registrar.version() <= *self.saved.borrow() {
                return Ok(());
            }
            (registrar.version(), registrar.ring.to_text(), book::render(&registrar.book))
        };
        write_secret(&keys::ring_path(&self.out), ring.as_bytes())?;
        write_whole(&keys::book_path(&self.out), book.as_bytes())?;
        self.saved.send_replace(version);
        Ok(())
    }

    fn may_call(&self, address: IpAddr, now_ms: u64) -> bool {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner).admit(address, now_ms)
    }

    /// Returns true when this version is on disk; many callers share one write.
    async fn kept(&self, version: u64) -> bool {
        self.wanted.notify_one();
        let mut saved = self.saved.subscribe();
        let kept = saved.wait_for(|saved| *saved >= version);
        tokio::time::timeout(SAVING_MAX, kept).await.is_ok_and(|kept| kept.is_ok())
    }
}

/// Writes whenever something changed, and looks after the ring.
async fn keep(enrolment: Arc<Enrolment>, shared: Arc<Shared>) {
    loop {
        let _ = tokio::time::timeout(TURN, enrolment.wanted.notified()).await;
        enrolment.lock().tick(unix_now_s());
        let writing = enrolment.clone();
        match tokio::task::spawn_blocking(move || writing.save()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                shared
                    .desk()
                    .note(format!("{error:#}; no PC is taken in until this is mended"), shared.now_ms());
                tokio::time::sleep(TURN).await;
            }
            Err(_) => return,
        }
    }
}

async fn answer(enrolment: &Enrolment, shared: &Shared, ask: door::Ask) -> door::Answer {
    match (ask.path.as_str(), &ask.posted) {
        (ENROL_PATH | OPEN_PATH, Some(_)) if ask.is_of_a_browser => refused(403, "only a PC may call"),
        (ENROL_PATH | OPEN_PATH, Some(body)) => {
            match (enrolment.may_call(ask.client.ip(), shared.now_ms()), ask.path.as_str()) {
                (false, _) => refused(429, "too many calls; call again later"),
                (true, ENROL_PATH) => first(enrolment, shared, ask.client, body),
                (true, _) => second(enrolment, shared, ask.client, body).await,
            }
        }
        (ENROL_PATH | OPEN_PATH, None) => refused(405, "a PC posts its call here"),
        (view::NODES_PATH, None) => json(&view::nodes(enrolment, shared)),
        (path, None) => match path.strip_prefix(view::NODE_PATH).and_then(admission::NodeId::parse) {
            Some(node) => match view::node(enrolment, shared, node) {
                Some(view) => json(&view),
                None => refused(404, "there is no such node"),
            },
            None => refused(404, "there is nothing at this address"),
        },
        _ => refused(404, "there is nothing at this address"),
    }
}

fn first(enrolment: &Enrolment, shared: &Shared, client: SocketAddr, body: &[u8]) -> door::Answer {
    let ask = match Ask::parse(body) {
        Ok(ask) => ask,
        Err(error) => return refused(400, &error.to_string()),
    };
    let Some(nonce) = random() else { return refused(503, "no random numbers") };
    let witness = witness(shared, &ask, client);
    let settings = shared.desk().settings.clone();
    let (mac, asked) = (ask.mac, enrolment.registrar(&settings).ask(unix_now_s(), ask, witness, nonce));
    match asked {
        Ok(challenge) => door::Answer::json(200, challenge.to_json().into_bytes()),
        Err(refusal) => {
            note_refusal(shared, mac, refusal);
            refusal_answer(refusal)
        }
    }
}

async fn second(enrolment: &Enrolment, shared: &Shared, client: SocketAddr, body: &[u8]) -> door::Answer {
    let open = match Open::parse(body) {
        Ok(open) => open,
        Err(error) => return refused(400, &error.to_string()),
    };
    let Some(random) = random() else { return refused(503, "no random numbers") };
    let settings = shared.desk().settings.clone();
    let Some(mac) = enrolment.registrar(&settings).mac_of(&open.call) else {
        return refusal_answer(Refusal::NoCall);
    };
    let (name, is_itself) = (settings.name_of(&mac), is_itself(shared, mac, client));
    let (answered, version, authority) = {
        let mut registrar = enrolment.registrar(&settings);
        let answered = registrar.open(unix_now_s(), &open, is_itself, &name);
        (answered, registrar.version(), registrar.authority_secret().clone())
    };
    let (answer, to) = match answered {
        Ok(answered) => answered,
        Err(refusal) => return refusal_answer(refusal),
    };
    note_answer(shared, mac, &answer);
    // The promise is on disk before it is made.
    if matches!(answer, Answer::Admitted(_)) && !enrolment.kept(version).await {
        return refused(503, "the admission cannot be written to disk; call again");
    }
    match answer.seal(&authority, &open.call, &to, &random) {
        Ok(text) => door::Answer::json(200, text.into_bytes()),
        Err(_) => refusal_answer(Refusal::Forged),
    }
}

fn witness(shared: &Shared, ask: &Ask, client: SocketAddr) -> Witness {
    let is_itself = is_itself(shared, ask.mac, client);
    let desk = shared.desk();
    let attempt = desk.gate.last(ask.mac);
    let ours = attempt.is_some_and(|a| a.number == ask.attempt && a.release == ask.release.as_str());
    let address = match client.ip() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    };
    Witness { address, is_itself, boots_here: ours || desk.boots_nobody() }
}

fn is_itself(shared: &Shared, mac: Mac, client: SocketAddr) -> bool {
    let (asker, now_ms) = (asker(client, shared), shared.now_ms());
    shared.desk().is_itself(mac, asker, now_ms)
}

fn note_refusal(shared: &Shared, mac: Mac, refusal: Refusal) {
    let now_ms = shared.now_ms();
    let mut desk = shared.desk();
    let name = desk.settings.name_of(&mac);
    desk.note(format!("{name} ({mac}) called and was not heard: {}", refusal.sentence()), now_ms);
}

fn note_answer(shared: &Shared, mac: Mac, answer: &Answer) {
    let now_ms = shared.now_ms();
    let mut desk = shared.desk();
    let name = desk.settings.name_of(&mac);
    match answer {
        Answer::Waiting { .. } => {
            desk.note(format!("{name} ({mac}) wants to join: `duet nodes approve {name}`"), now_ms);
        }
        Answer::Refused { reason, .. } => desk.note(format!("{name} ({mac}) was refused: {reason}"), now_ms),
        Answer::Admitted(_) => {}
    }
}

fn refusal_answer(refusal: Refusal) -> door::Answer {
    let status = match refusal {
        Refusal::Stranger => 403,
        Refusal::NoBoot | Refusal::NoCall => 409,
        Refusal::Forged => 400,
        Refusal::Full => 503,
    };
    refused(status, refusal.sentence())
}

fn refused(status: u16, sentence: &str) -> door::Answer {
    door::Answer::json(status, serde_json::json!({ "refused": sentence }).to_string().into_bytes())
}

fn json(value: &impl serde::Serialize) -> door::Answer {
    match serde_json::to_vec(value) {
        Ok(body) => door::Answer::json(200, body),
        Err(error) => refused(500, &error.to_string()),
    }
}

/// Fresh bytes of the kernel.
fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let n = getrandom(&mut bytes, GetRandomFlags::empty()).ok()?;
    (n == N).then_some(bytes)
}

/// The same with a sentence.
fn random_or_say<const N: usize>() -> Result<[u8; N]> {
    random().context("the kernel gives no random numbers")
}
