//! The door of Wyoming with real sockets and hands that answer at once.

use super::codec::{Event, PAYLOAD_BYTES_MAX, Reader};
use super::info::Offer;
use super::serve::Door;
use crate::talk::echo;
use crate::talk::force::Force;
use admission::VoiceSettings;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn door(address: Option<SocketAddr>, is_wished: bool) -> Arc<Door> {
    let force = Force::new(VoiceSettings { wyoming: is_wished, ..VoiceSettings::default() });
    let offer = || Offer { node: "kitchen".into(), language: "en".into(), hearing: None, voice: None };
    Arc::new(Door::new(echo::shared(), Arc::new(force), address, Box::new(offer)))
}

/// A door on a port that was free a moment ago, and what runs it.
async fn opened() -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let address = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let running = tokio::spawn(door(Some(address), false).run());
    (address, running)
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
