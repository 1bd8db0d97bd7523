//! The door of Wyoming with real sockets and hands that answer at once.

use super::codec::{Event, PAYLOAD_BYTES_MAX, Reader};
use super::info::Offer;
use super::serve::{Door, Limits};
use crate::talk::parts::{Answer, AskJob, Hear, HearJob, Sound, Speak, SpeakJob, Who};
use crate::talk::{Shared, echo, force::Force};
use admission::VoiceSettings;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn door_of(shared: Shared, address: Option<SocketAddr>, is_wished: bool) -> Door {
    let force = Force::new(VoiceSettings { wyoming: is_wished, ..VoiceSettings::default() });
    let offer = || {
        let (node, language, voices) = ("kitchen".into(), "en".into(), vec!["en".into(), "de".into()]);
        Offer {
            node,
            language,
            hearing: None,
            languages: vec!["en".into(), "de".into()],
            voice: None,
            voices,
        }
    };
    Door::new(shared, Arc::new(force), address, Box::new(offer))
}

fn door(address: Option<SocketAddr>, is_wished: bool) -> Door {
    door_of(echo::shared(), address, is_wished)
}

async fn free_port() -> SocketAddr {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// A door on a port that was free a moment ago, and what runs it.
async fn opened() -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let address = free_port().await;
    (address, tokio::spawn(Arc::new(door(Some(address), false)).run()))
}

/// The same with other hands and limits.
async fn opened_with(shared: Shared, limits: Limits) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let address = free_port().await;
    let mut door = door_of(shared, Some(address), false);
    door.limits = limits;
    (address, tokio::spawn(Arc::new(door).run()))
}

struct Client {
    stream: TcpStream,
    reader: Reader,
}

impl Client {
    async fn of(address: SocketAddr) -> Client {
        loop {
            if let Ok(stream) = TcpStream::connect(address).await {
                return Client { stream, reader: Reader::default() };
            }
            tokio::task::yield_now().await;
        }
    }

    async fn say(&mut self, kind: &str, data: Value, payload: &[u8]) {
        let event = Event { payload: payload.to_vec(), ..Event::new(kind, data) };
        // A door that has closed is seen when it is read.
        let _ = self.stream.write_all(&event.to_bytes()).await;
    }

    /// `None` where the connection is closed.
    async fn hear(&mut self) -> Option<Event> {
        let mut bytes = [0; 4096];
        loop {
            if let Some(event) = self.reader.poll().unwrap() {
                return Some(event);
            }
            match self.stream.read(&mut bytes).await {
                Ok(n @ 1..) => self.reader.push(&bytes[..n]),
                _ => return None,
            }
        }
    }
}

#[tokio::test]
async fn a_client_is_heard_answered_and_spoken_to() {
    let (address, _running) = opened().await;
    let mut client = Client::of(address).await;
    client.say("describe", json!({}), b"").await;
    assert_eq!(client.hear().await.unwrap().kind, "info");
    let form = json!({"rate": 48000, "width": 2, "channels": 2});
    client.say("audio-start", form.clone(), b"").await;
    client.say("audio-chunk", form, &[0; 4 * 4800]).await;
    client.say("audio-stop", json!({}), b"").await;
    assert_eq!(client.hear().await.unwrap().text("text"), Some("1600 samples"));
    client.say("transcript", json!({"text": "hello"}), b"").await;
    let handled = client.hear().await.unwrap();
    assert_eq!((handled.kind.as_str(), handled.text("text")), ("handled", Some("You said hello.")));
    client.say("synthesize", json!({"text": "Hello there"}), b"").await;
    let mut heard = vec![];
    while heard.last() != Some(&("audio-stop".to_owned(), 0)) {
        let event = client.hear().await.unwrap();
        heard.push((event.kind, event.payload.len()));
    }
    assert_eq!(heard[..2], [("audio-start".to_owned(), 0), ("audio-chunk".to_owned(), 22)]);
}

#[tokio::test]
async fn garbage_is_answered_with_an_error_and_the_end() {
    let (address, _running) = opened().await;
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\0\n", &[b'a'; 20_000]] {
        let mut client = Client::of(address).await;
        let _ = client.stream.write_all(garbage).await;
        assert_eq!(client.hear().await.unwrap().kind, "error");
        assert!(client.hear().await.is_none());
    }
    let mut client = Client::of(address).await;
    client.say("x", json!({}), &vec![0; PAYLOAD_BYTES_MAX + 1]).await;
    assert!(client.hear().await.is_none_or(|event| event.kind == "error"));
}

#[tokio::test]
async fn more_clients_than_there_are_places_find_the_door_closed() {
    let (address, _running) = opened().await;
    let mut inside = vec![];
    for _ in 0..6 {
        let mut client = Client::of(address).await;
        client.say("ping", json!({}), b"").await;
        assert_eq!(client.hear().await.unwrap().kind, "pong");
        inside.push(client);
    }
    let mut late = Client::of(address).await;
    late.say("ping", json!({}), b"").await;
    assert!(late.hear().await.is_none());
    drop(inside.pop());
    // The place is free as soon as the door has seen it.
    loop {
        let mut next = Client::of(address).await;
        next.say("ping", json!({}), b"").await;
        if next.hear().await.is_some() {
            break;
        }
    }
}

#[test]
fn the_door_is_closed_unless_somebody_wishes_it() {
    assert_eq!(door(None, false).wished(), None);
    assert_eq!(door(None, true).wished().map(|address| address.port()), Some(super::serve::PORT));
}

/// No limit of these tests is reached by mistake but the one that is shortened.
const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(1);

fn long() -> Limits {
    Limits { event: LONG, idle: LONG, work: LONG, write: LONG, visit: LONG, ..Limits::default() }
}

/// What the door says last to a client that says this, and waits.
async fn last_word(shared: Shared, limits: Limits, said: &[u8]) -> String {
    let (address, _running) = opened_with(shared, limits).await;
    let mut client = Client::of(address).await;
    client.stream.write_all(said).await.unwrap();
    let error = client.hear().await.unwrap();
    assert_eq!(error.kind, "error");
    assert!(client.hear().await.is_none());
    error.text("text").unwrap().to_owned()
}

/// Hands that take what they are given and never tell an end: kept for ever, or dropped at once.
struct Silent {
    kept: Option<Mutex<Vec<Box<dyn std::any::Any + Send>>>>,
}

impl Silent {
    fn shared(is_kept: bool) -> Shared {
        let silent = Arc::new(Silent { kept: is_kept.then(Mutex::default) });
        Shared { ear: silent.clone(), mouth: silent.clone(), mind: silent }
    }

    fn keep(&self, job: impl std::any::Any + Send) {
        if let Some(kept) = &self.kept {
            kept.lock().unwrap().push(Box::new(job));
        }
    }
}

impl Hear for Silent {
    fn hear(&self, job: HearJob) {
        self.keep(job);
    }
}

impl Speak for Silent {
    fn speak(&self, job: SpeakJob) {
        self.keep(job);
    }
}

impl Answer for Silent {
    fn answer(&self, job: AskJob) {
        self.keep(job);
    }
}

fn recording() -> Vec<u8> {
    let form = json!({"rate": 16000, "width": 2, "channels": 1});
    let chunk = Event { payload: vec![0; 640], ..Event::new("audio-chunk", form.clone()) };
    [Event::new("audio-start", form), chunk, Event::new("audio-stop", json!({}))]
        .iter()
        .flat_map(Event::to_bytes)
        .collect()
}

#[tokio::test]
async fn an_event_that_never_ends_is_given_up_and_the_client_told() {
    let limits = Limits { event: SHORT, ..long() };
    let want = "an event did not come to its end in time";
    assert_eq!(last_word(echo::shared(), limits, b"{\"type\":\"ping\",").await, want);
}

#[tokio::test]
async fn a_client_that_asks_nothing_is_given_up_and_told() {
    let limits = Limits { idle: SHORT, ..long() };
    assert_eq!(last_word(echo::shared(), limits, b"").await, "nothing was asked for too long");
}

#[tokio::test]
async fn a_visit_that_is_too_old_ends_though_somebody_works_for_it() {
    let limits = Limits { visit: SHORT, ..long() };
    let word = last_word(Silent::shared(true), limits, &recording()).await;
    assert_eq!(word, "this visit has lasted long enough");
}

#[tokio::test]
async fn who_waits_for_work_that_comes_to_nothing_is_told() {
    let limits = Limits { work: SHORT, ..long() };
    let word = last_word(Silent::shared(true), limits, &recording()).await;
    assert_eq!(word, "nothing came of it in time");
    // Whoever worked has gone without a word: nobody waits for a limit.
    let left_alone = "nobody does this any more; try again";
    assert_eq!(last_word(Silent::shared(false), long(), &recording()).await, left_alone);
    let text = Event::new("synthesize", json!({"text": "one"})).to_bytes();
    assert_eq!(last_word(Silent::shared(false), long(), &text).await, left_alone);
}

/// Makes more sound at once than anybody may leave waiting.
struct Flood;

impl Speak for Flood {
    fn speak(&self, mut job: SpeakJob) {
        for _ in 0..4096 {
            (job.sink)(Sound::Piece { rate: 16_000, pcm: &[0; 640] });
        }
        (job.sink)(Sound::End);
    }
}

#[tokio::test]
async fn a_client_that_is_too_slow_for_its_sound_is_told_and_given_up() {
    let shared = Shared { mouth: Arc::new(Flood), ..echo::shared() };
    let text = Event::new("synthesize", json!({"text": "one"})).to_bytes();
    assert_eq!(last_word(shared, long(), &text).await, "what was made was not taken in time");
}

/// Says as whose words, in which language and voice it was asked.
struct Telling;

impl Hear for Telling {
    fn hear(&self, job: HearJob) {
        let is_program = matches!(job.who, Who::Program(_));
        let text = format!("program {is_program}, language {:?}", job.language);
        (job.done)(crate::talk::testing::heard(Ok(text)));
    }
}

impl Speak for Telling {
    fn speak(&self, mut job: SpeakJob) {
        let told = format!("voice {:?}", job.voice);
        (job.sink)(Sound::Failed(&told));
    }
}

#[tokio::test]
async fn language_and_voice_reach_ear_and_mouth() {
    let telling = Arc::new(Telling);
    let shared = Shared { ear: telling.clone(), mouth: telling, ..echo::shared() };
    let (address, _running) = opened_with(shared, long()).await;
    let mut client = Client::of(address).await;
    client.say("transcribe", json!({"language": "de"}), b"").await;
    client.stream.write_all(&recording()).await.unwrap();
    let told = client.hear().await.unwrap();
    assert_eq!(told.text("text"), Some("program true, language Some(\"de\")"));
    client.say("synthesize", json!({"text": "eins", "voice": {"name": "de"}}), b"").await;
    assert_eq!(client.hear().await.unwrap().text("text"), Some("voice Some(\"de\")"));
}
