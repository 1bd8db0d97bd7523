//! Sessions with real conversations, hands that answer at once, and both ends of a wire in one process.

use super::access::Handshake;
use super::carry::carry;
use super::desk::{Begun, Carried, Sessions};
use super::frame::tests::masked;
use super::limits::Limits;
use super::words::Start;
use crate::talk::force::Force;
use crate::talk::parts::{Hear, HearJob};
use crate::talk::{Shared, Talks, echo};
use admission::VoiceSettings;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

fn sessions_of(shared: Shared, limits: Limits) -> Arc<Sessions> {
    let force = Force::new(VoiceSettings { guess: false, ..VoiceSettings::default() });
    let talks = Talks::new(shared, Arc::new(force));
    let mut sessions = Sessions::new(talks, Box::new(|| Box::new(crate::talk::testing::Loud)));
    sessions.limits = limits;
    Arc::new(sessions)
}

fn sessions() -> Arc<Sessions> {
    sessions_of(echo::shared(), Limits::default())
}

fn with_ticket(ticket: &str) -> Handshake {
    Handshake { accept: String::new(), ticket: Some(ticket.to_owned()), offers_protocol: true }
}

/// The client's end of a socket.
struct Client {
    wire: DuplexStream,
    bytes: Vec<u8>,
}

/// What comes down.
#[derive(Debug, PartialEq)]
enum Came {
    Text(Value),
    Sound(usize),
    Close(u16),
}

impl Client {
    /// Begins a session and takes its socket with the ticket.
    fn of(sessions: &Arc<Sessions>, start: Start) -> (Begun, Client) {
        let begun = sessions.start("phone", start).unwrap();
        let session = sessions.take(&begun.id, &with_ticket(&begun.ticket), false).unwrap();
        let (wire, inside) = duplex(1 << 16);
        tokio::spawn(carry(Carried { sessions: sessions.clone(), session }, inside));
        (begun, Client { wire, bytes: vec![] })
    }

    async fn text(&mut self, text: &str) {
        self.wire.write_all(&masked(0x81, text.as_bytes())).await.unwrap();
    }

    async fn sound(&mut self, n: usize, level: i16) {
        let bytes: Vec<u8> = std::iter::repeat_n(level.to_le_bytes(), n).flatten().collect();
        self.wire.write_all(&masked(0x82, &bytes)).await.unwrap();
    }

    async fn came(&mut self) -> Came {
        let mut piece = [0; 4096];
        loop {
            if let [first, second, rest @ ..] = self.bytes.as_slice() {
                let (n_head, n_body) = match (second, rest) {
                    (126, [a, b, ..]) => (4, usize::from(u16::from_be_bytes([*a, *b]))),
                    (126, _) => (4, usize::MAX / 2),
                    (short, _) => (2, usize::from(*short)),
                };
                if self.bytes.len() >= n_head + n_body {
                    let (code, body) = (first & 15, self.bytes[n_head..n_head + n_body].to_vec());
                    self.bytes.drain(..n_head + n_body);
                    match code {
                        1 => return Came::Text(serde_json::from_slice(&body).unwrap()),
                        2 => return Came::Sound(body.len()),
                        8 => return Came::Close(u16::from_be_bytes([body[0], body[1]])),
                        _ => continue,
                    }
                }
            }
            let n = self.wire.read(&mut piece).await.unwrap();
            assert!(n > 0, "the socket ended without a word");
            self.bytes.extend(&piece[..n]);
        }
    }

    /// Passes over what comes until a word of this kind.
    async fn word(&mut self, kind: &str) -> Value {
        loop {
            if let Came::Text(word) = self.came().await
                && word["kind"] == kind
            {
                return word;
            }
        }
    }
}

#[tokio::test]
async fn a_remote_microphone_is_heard_and_answered_with_sound() {
    let sessions = sessions();
    let (begun, mut client) = Client::of(&sessions, Start { rate: 48_000, ..Start::default() });
    assert_eq!(client.word("view").await["mood"], "idle");
    client.text(r#"{"kind":"start"}"#).await;
    assert_eq!(client.word("microphone").await["is_wanted"], true);
    for _ in 0..50 {
        client.sound(960, 8000).await;
    }
    client.text(r#"{"kind":"stop"}"#).await;
    // Words about sound and news of the conversation come on two ways, each in its order.
    let (mut words, mut n_bytes) = (vec![], 0);
    while words.last().is_none_or(|word: &Value| word["kind"] != "done") {
        match client.came().await {
            Came::Text(word) => words.push(word),
            Came::Sound(n) => n_bytes += n,
            Came::Close(status) => panic!("closed with {status}"),
        }
    }
    let word = |kind: &str| words.iter().find(|word| word["kind"] == kind).unwrap_or(&Value::Null);
    assert!(word("heard")["text"].as_str().unwrap().ends_with(" samples"), "{words:?}");
    assert_eq!((word("clause")["rate"].clone(), n_bytes > 0), (1000.into(), true));
    assert_eq!(word("done")["outcome"], "answered");
    let status = sessions.get(&begun.id).unwrap().status();
    assert!(status.view.answer.starts_with("You said ") && status.samples_lost == 0);
    client.text(r#"{"kind":"end"}"#).await;
    while !matches!(client.came().await, Came::Close(1000)) {}
}

#[tokio::test]
async fn what_breaks_the_protocol_closes_the_socket_with_its_status() {
    let sessions = sessions();
    for (bytes, status) in [
        (b"\x81\x05Hello".to_vec(), 1002),
        (masked(0x81, b"{\"kind\":\"reboot\"}"), 1008),
        (masked(0x82, b"odd"), 1007),
        (masked(0x81, &[0xff]), 1007),
        (vec![0x82, 0xff, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0], 1009),
    ] {
        let (begun, mut client) = Client::of(&sessions, Start::default());
        client.wire.write_all(&bytes).await.unwrap();
        loop {
            if let Came::Close(got) = client.came().await {
                assert_eq!(got, status);
                break;
            }
        }
        assert!(sessions.end(&begun.id));
    }
}

#[tokio::test]
async fn a_ticket_opens_one_socket_once() {
    let sessions = sessions();
    let begun = sessions.start("phone", Start::default()).unwrap();
    let take =
        |shown: &Handshake, has_key| sessions.take(&begun.id, shown, has_key).map(|_| ()).map_err(|(s, _)| s);
    assert_eq!(take(&with_ticket("guessed"), false), Err(401));
    assert_eq!(take(&with_ticket(&begun.ticket), false), Ok(()));
    assert_eq!(take(&with_ticket(&begun.ticket), false), Err(401));
    assert_eq!(take(&with_ticket(&begun.ticket), true), Err(409));
    sessions.put(&sessions.get(&begun.id).unwrap());
    assert_eq!(take(&with_ticket(&begun.ticket), false), Err(401));
    assert_eq!(take(&with_ticket(""), true), Ok(()));
    assert_eq!(sessions.may("0", &with_ticket(""), true).map_err(|(status, _)| status), Err(404));
}

#[tokio::test]
async fn a_socket_that_goes_before_its_first_byte_keeps_no_session() {
    let sessions = sessions();
    let begun = sessions.start("phone", Start::default()).unwrap();
    let session = sessions.take(&begun.id, &with_ticket(&begun.ticket), false).unwrap();
    assert_eq!(sessions.may(&begun.id, &with_ticket(""), true).map_err(|(status, _)| status), Err(409));
    drop(Carried { sessions: sessions.clone(), session });
    assert_eq!(sessions.may(&begun.id, &with_ticket(""), true), Ok(()));
}

#[tokio::test]
async fn sessions_are_few_and_each_key_has_its_share() {
    let sessions = sessions();
    let limits = sessions.limits;
    let start = |key: &str| sessions.start(key, Start::default()).map_err(|(status, _)| status);
    let first = start("a").unwrap();
    (1..limits.sessions_per_key).for_each(|_| _ = start("a").unwrap());
    assert_eq!(start("a").err(), Some(503));
    (limits.sessions_per_key..limits.sessions).for_each(|_| _ = start("b").unwrap());
    assert_eq!(start("c").err(), Some(503));
    assert!(sessions.end(&first.id) && !sessions.end(&first.id));
    assert_eq!(sessions.n_open(), limits.sessions - 1);
    let odd = Start { rate: 4_000, ..Start::default() };
    assert_eq!(sessions.start("c", odd).map(|_| ()).map_err(|(status, _)| status), Err(400));
}

#[tokio::test]
async fn a_session_whose_conversation_is_over_is_swept_away() {
    let sessions = sessions();
    let (begun, mut client) = Client::of(&sessions, Start::default());
    sessions.get(&begun.id).unwrap().line.close();
    while !matches!(client.came().await, Came::Close(1000)) {}
    while sessions.n_open() > 0 {
        sessions.sweep();
        tokio::task::yield_now().await;
    }
}

/// No limit of these tests is reached by mistake but the one that is shortened.
const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(1);

fn long() -> Limits {
    let (age, alone, ticket) = (LONG, LONG, LONG);
    Limits { age, alone, ticket, ping_after: LONG, silence: LONG, write: LONG, ..Limits::default() }
}

async fn closed(client: &mut Client) -> u16 {
    loop {
        if let Came::Close(status) = client.came().await {
            return status;
        }
    }
}

#[tokio::test]
async fn a_session_that_is_too_old_ends_however_busy_it_is() {
    let sessions = sessions_of(echo::shared(), Limits { age: SHORT, ..long() });
    let (begun, mut client) = Client::of(&sessions, Start::default());
    client.text(r#"{"kind":"start"}"#).await;
    while sessions.is_open(&begun.id) {
        sessions.sweep();
        tokio::task::yield_now().await;
    }
    assert_eq!(closed(&mut client).await, 1000);
}

#[tokio::test]
async fn a_session_without_its_socket_ends_and_one_that_is_carried_does_not() {
    let sessions = sessions_of(echo::shared(), Limits { alone: SHORT, ..long() });
    let (carried, _client) = Client::of(&sessions, Start::default());
    let alone = sessions.start("phone", Start::default()).unwrap();
    while sessions.is_open(&alone.id) {
        sessions.sweep();
        tokio::task::yield_now().await;
    }
    assert!(sessions.is_open(&carried.id));
}

#[tokio::test]
async fn a_ticket_that_comes_too_late_opens_nothing() {
    let sessions = sessions_of(echo::shared(), Limits { ticket: Duration::ZERO, ..long() });
    let begun = sessions.start("phone", Start::default()).unwrap();
    let take = |shown: &Handshake, has_key| sessions.take(&begun.id, shown, has_key).map_err(|(s, _)| s);
    assert_eq!(take(&with_ticket(&begun.ticket), false).err(), Some(401));
    assert!(take(&with_ticket(""), true).is_ok());
}

#[tokio::test]
async fn a_client_that_is_silent_is_asked_and_then_given_up() {
    let asked = sessions_of(echo::shared(), Limits { ping_after: SHORT, ..long() });
    let (_begun, mut client) = Client::of(&asked, Start::default());
    let mut byte = [0];
    // The view comes first; then the bare head of a ping.
    while byte != [0x89] {
        client.wire.read_exact(&mut byte).await.unwrap();
    }
    let given_up = sessions_of(echo::shared(), Limits { ping_after: SHORT, silence: SHORT, ..long() });
    let (_begun, mut client) = Client::of(&given_up, Start::default());
    assert_eq!(closed(&mut client).await, 1001);
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_given_up_and_its_key_let_go() {
    let sessions = sessions_of(echo::shared(), Limits { write: SHORT, ..long() });
    let begun = sessions.start("phone", Start::default()).unwrap();
    let session = sessions.take(&begun.id, &with_ticket(&begun.ticket), false).unwrap();
    // Its wire holds less than the first word.
    let (_wire, inside) = duplex(8);
    carry(Carried { sessions: sessions.clone(), session: session.clone() }, inside).await;
    assert!(!session.status().is_carried);
}

/// Hears English alone.
struct English;

impl Hear for English {
    fn hear(&self, _: HearJob) {}

    fn languages(&self) -> Vec<String> {
        vec!["en".into()]
    }
}

#[tokio::test]
async fn a_language_that_the_node_lacks_is_refused_with_those_that_it_has() {
    let sessions = sessions_of(Shared { ear: Arc::new(English), ..echo::shared() }, long());
    let start = |language: &str| {
        let language = Some(language.to_owned());
        sessions.start("phone", Start { language, ..Start::default() }).map(|_| ())
    };
    assert_eq!(start("de"), Err((400, "this node hears en, and not de".into())));
    assert_eq!(start("en-US"), Ok(()));
}

#[tokio::test]
async fn a_clause_ends_when_the_page_says_that_it_was_played() {
    let sessions = sessions_of(echo::shared(), long());
    let (_begun, mut client) = Client::of(&sessions, Start { tells_played: true, ..Start::default() });
    client.text(r#"{"kind":"start"}"#).await;
    client.word("microphone").await;
    for _ in 0..50 {
        client.sound(320, 8000).await;
    }
    client.text(r#"{"kind":"stop"}"#).await;
    let end = client.word("clause-end").await;
    let played = serde_json::json!({"kind": "played", "turn": end["turn"], "clause": end["clause"]});
    client.text(&played.to_string()).await;
    assert_eq!(client.word("done").await["outcome"], "answered");
}
