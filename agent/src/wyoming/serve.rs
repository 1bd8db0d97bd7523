//! The hands of Wyoming: a socket while the owner wishes one, and each client's ear, mouth and mind.
//!
//! A client costs one recording, one clause of sound and one event at most, and there are few of them.

use super::codec::{Event, Reader};
use super::info::{Offer, info};
use super::visit::{Input, Output, Visit};
use crate::talk::Shared;
use crate::talk::force::Force;
use crate::talk::parts::{AskJob, HearJob, Part, Sound, SpeakJob, Stop};
use service::log::{self, Level};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

pub const PORT: u16 = 10_300;
const CONNECTIONS_MAX: usize = 8;
/// Home Assistant opens one for each thing it wants.
const CONNECTIONS_PER_ADDRESS_MAX: usize = 6;
/// From the first byte of an event to its last.
const EVENT_TIME_MAX: Duration = Duration::from_secs(10);
/// Between two events, while nobody works for the client.
const IDLE_MAX: Duration = Duration::from_secs(120);
/// Until something comes of what a client waits for; old PCs are slow.
const WORK_TIME_MAX: Duration = Duration::from_secs(180);
const WRITE_TIME_MAX: Duration = Duration::from_secs(10);
const VISIT_TIME_MAX: Duration = Duration::from_secs(3600);
const READ_BYTES: usize = 16 << 10;
/// Pieces of sound and words that wait for a client; a clause has less.
const NEWS_MAX: usize = 2048;
/// After a failure to listen.
const RETRY: Duration = Duration::from_secs(30);
/// Conversations of these clients are numbered apart from those of microphones.
const TALK_BIT: u64 = 1 << 63;

/// What came of a wish.
enum News {
    Heard(Result<String, String>),
    Piece { rate: u32, pcm: Vec<i16> },
    Said(Result<(), String>),
    Words(String),
    Answered(Result<(), String>),
}

pub struct Door {
    pub shared: Shared,
    pub force: Arc<Force>,
    /// Whatever the settings say, where the command line says it.
    pub listen: Option<SocketAddr>,
    pub offer: Box<dyn Fn() -> Offer + Send + Sync>,
    hash: RandomState,
    inside: Mutex<HashMap<IpAddr, usize>>,
}

/// A place inside; given back when dropped.
struct Place(Arc<Door>, IpAddr);

impl Door {
    pub fn new(
        shared: Shared,
        force: Arc<Force>,
        listen: Option<SocketAddr>,
        offer: Box<dyn Fn() -> Offer + Send + Sync>,
    ) -> Door {
        Door { shared, force, listen, offer, hash: RandomState::new(), inside: Mutex::default() }
    }

    /// Where to listen now, if at all.
    pub fn wished(&self) -> Option<SocketAddr> {
        let usual = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
        self.listen.or_else(|| self.force.now().wyoming.then_some(usual))
    }

    /// Never ends: listens while it is wished.
    pub async fn run(self: Arc<Self>) {
        let mut settings = self.force.follow();
        loop {
            let Some(address) = self.wished() else {
                if settings.changed().await.is_err() {
                    return std::future::pending().await;
                }
                continue;
            };
            match TcpListener::bind(address).await {
                Ok(listener) => {
                    let address = listener.local_addr().unwrap_or(address);
                    log::say(Level::Info, &format!("duet: Wyoming is answered at tcp://{address}"));
                    let mut visits = tokio::task::JoinSet::new();
                    tokio::select! {
                        () = self.clone().accept(listener, &mut visits) => {}
                        () = async { while self.wished().is_some() && settings.changed().await.is_ok() {} } => {}
                    }
                    // The clients inside go with the listener.
                    log::say(Level::Info, "duet: Wyoming is answered no longer");
                }
                Err(error) => {
                    log::say(
                        Level::Warning,
                        &format!("duet: cannot listen for Wyoming on {address}: {error}"),
                    );
                    let _ = timeout(RETRY, settings.changed()).await;
                }
            }
        }
    }

    async fn accept(self: Arc<Self>, listener: TcpListener, visits: &mut tokio::task::JoinSet<()>) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                Some(_) = visits.join_next() => continue,
            };
            let Ok((stream, client)) = accepted else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            // No place: the connection is closed at once.
            let Some(place) = self.admit(client.ip()) else { continue };
            let door = self.clone();
            visits.spawn(async move {
                let _ = timeout(VISIT_TIME_MAX, door.visit(stream, client)).await;
                drop(place);
            });
        }
    }

    fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let own = inside.get(&address).copied().unwrap_or(0);
        if own >= CONNECTIONS_PER_ADDRESS_MAX || inside.values().sum::<usize>() >= CONNECTIONS_MAX {
            return None;
        }
        inside.insert(address, own + 1);
        Some(Place(self.clone(), address))
    }

    async fn visit(&self, stream: TcpStream, client: SocketAddr) {
        let _ = stream.set_nodelay(true);
        let (mut read, mut write) = stream.into_split();
        let (news, mut coming) = mpsc::channel(NEWS_MAX);
        let work = Work { door: self, client, news, stop: Stop::default() };
        let (mut visit, mut reader) = (Visit::new(info(&(self.offer)())), Reader::default());
        let (mut bytes, mut last) = (vec![0; READ_BYTES], Instant::now());
        loop {
            while let Some(output) = visit.poll() {
                let goes_on = match output {
                    Output::Send(event) => send(&mut write, &event).await,
                    Output::Close => false,
                    wish => {
                        if let Some(input) = work.begin(wish) {
                            visit.handle(input);
                        }
                        true
                    }
                };
                if !goes_on {
                    // What was sent last is to arrive.
                    let _ = timeout(WRITE_TIME_MAX, write.shutdown()).await;
                    return;
                }
            }
            let patience = match (reader.is_within(), visit.is_busy()) {
                (true, _) => EVENT_TIME_MAX,
                (false, true) => WORK_TIME_MAX,
                (false, false) => IDLE_MAX,
            };
            tokio::select! {
                n = read.read(&mut bytes) => {
                    let Ok(n @ 1..) = n else { return };
                    // The time of an event counts from its first byte.
                    if !reader.is_within() {
                        last = Instant::now();
                    }
                    reader.push(&bytes[..n]);
                    loop {
                        match reader.poll() {
                            Ok(Some(event)) => {
                                last = Instant::now();
                                visit.handle(Input::Event(event));
                            }
                            Ok(None) => break,
                            Err(error) => {
                                let data = serde_json::json!({"text": error.to_string(), "code": "form"});
                                send(&mut write, &Event::new("error", data)).await;
                                return;
                            }
                        }
                    }
                }
                Some(news) = coming.recv() => {
                    last = Instant::now();
                    match &news {
                        News::Heard(heard) => visit.handle(Input::Heard(heard.as_deref().map_err(|why| &**why))),
                        News::Piece { rate, pcm } => visit.handle(Input::Piece { rate: *rate, pcm }),
                        News::Said(end) => visit.handle(Input::Said(end.as_ref().map(|_| ()).map_err(|why| &**why))),
                        News::Words(words) => visit.handle(Input::Words(words)),
                        News::Answered(end) => {
                            visit.handle(Input::Answered(end.as_ref().map(|_| ()).map_err(|why| &**why)));
                        }
                    }
                }
                () = tokio::time::sleep_until(last + patience) => return,
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.0.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = inside.get_mut(&self.1) {
            *own -= 1;
        }
        inside.retain(|_, own| *own > 0);
    }
}

/// False where the client is gone or takes nothing.
async fn send(write: &mut OwnedWriteHalf, event: &Event) -> bool {
    matches!(timeout(WRITE_TIME_MAX, write.write_all(&event.to_bytes())).await, Ok(Ok(())))
}

/// What is done for one client; all of it stops when the client leaves.
struct Work<'a> {
    door: &'a Door,
    client: SocketAddr,
    news: mpsc::Sender<News>,
    stop: Stop,
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

impl Work<'_> {
    /// Begins it, or says at once what comes of it.
    fn begin(&self, wish: Output) -> Option<Input<'static>> {
        let shared = &self.door.shared;
        match wish {
            Output::Hear(pcm) if pcm.is_empty() => return Some(Input::Heard(Ok(""))),
            Output::Hear(pcm) => {
                let news = self.news.clone();
                let done = Box::new(move |end: crate::talk::parts::HearEnd| {
                    _ = news.try_send(News::Heard(end.text))
                });
                shared.ear.hear(HearJob { pcm, is_guess: false, stop: self.stop.clone(), done });
            }
            Output::Say(clause) => {
                let sayings = crate::speech::sayings::of(&self.door.force.now().language);
                let Some(text) = sayings.say(&clause) else { return Some(Input::Said(Ok(()))) };
                let (news, talk) = (self.news.clone(), self.talk(""));
                // Who takes so little that all room is full is given up by the time that work may take.
                let sink = Box::new(move |sound: Sound<'_>| {
                    _ = news.try_send(match sound {
                        Sound::Piece { rate, pcm } => News::Piece { rate, pcm: pcm.to_vec() },
                        Sound::End => News::Said(Ok(())),
                        Sound::Failed(why) => News::Said(Err(why.to_owned())),
                    });
                });
                shared.mouth.speak(SpeakJob { text, talk, voice: None, stop: self.stop.clone(), sink });
            }
            Output::Ask { text, conversation } => {
                let (news, talk) = (self.news.clone(), self.talk(&conversation));
                let sink = Box::new(move |part: Part| {
                    _ = news.try_send(match part {
                        Part::By(_) => return,
                        Part::Words(words) => News::Words(words),
                        Part::End => News::Answered(Ok(())),
                        Part::Failed(why) => News::Answered(Err(why)),
                    });
                });
                shared.mind.answer(AskJob { text, talk, stop: self.stop.clone(), sink });
            }
            Output::Send(_) | Output::Close => {}
        }
        None
    }

    /// The number of a conversation: the same name from the same PC is the same one.
    fn talk(&self, conversation: &str) -> u64 {
        self.door.hash.hash_one((self.client.ip(), conversation)) | TALK_BIT
    }
}
