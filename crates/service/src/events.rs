//! An answer without an end: events, as browsers read them (the HTML standard, section 9.2, `text/event-stream`).
//!
//! The door ends every connection after its time, this one too; the client comes again and says what it last heard.

use hyper::body::{Body, Bytes, Frame};
use std::convert::Infallible;
use std::fmt::Write;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// Events that wait for a slow reader; the program that sends finds out by a full channel.
pub const EVENTS_MAX: usize = 64;
/// After the end of a connection a browser comes again so soon.
const RETRY_MS: u32 = 1000;

/// Takes events for one client, until it is gone.
pub struct Sender(mpsc::Sender<Bytes>);

/// What the door sends, as it comes.
pub struct Events(mpsc::Receiver<Bytes>);

/// Pieces of a pipe that wait for a slow reader; then its writer waits too.
pub const PIECES_MAX: usize = 4;

/// Takes an answer piece by piece, as it is.
pub struct Pipe(mpsc::Sender<Bytes>);

/// Both ends of an answer whose text somebody else made, such as one that is handed on.
pub fn pipe() -> (Pipe, Events) {
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    (Pipe(sender), Events(receiver))
}

impl Pipe {
    /// Waits for a slow reader. False when the client is gone.
    pub async fn send(&self, piece: Bytes) -> bool {
        self.0.send(piece).await.is_ok()
    }

    /// Resolves when the client is gone.
    pub async fn gone(&self) {
        self.0.closed().await;
    }
}

/// Both ends of a new answer.
pub fn channel() -> (Sender, Events) {
    let (sender, receiver) = mpsc::channel(EVENTS_MAX);
    // The channel is new and empty, so it takes the first word.
    let _ = sender.try_send(Bytes::from(format!("retry: {RETRY_MS}\n\n")));
    (Sender(sender), Events(receiver))
}

/// An event as it goes over the wire.
pub fn written(number: u64, kind: &str, data: &str) -> Bytes {
    let mut text = String::new();
    // Line ends would begin another field.
    let line = |text: &str| text.replace(['\r', '\n'], " ");
    write!(text, "id: {number}\nevent: {}\ndata: {}\n\n", line(kind), line(data))
        .expect("a String takes every text");
    text.into()
}

impl Sender {
    /// False when the client is gone. `data` must be one line.
    pub async fn send(&self, number: u64, kind: &str, data: &str) -> bool {
        self.pass(written(number, kind, data)).await
    }

    /// The same with an event that is written already.
    pub async fn pass(&self, event: Bytes) -> bool {
        self.0.send(event).await.is_ok()
    }

    /// Resolves when the client is gone.
    pub async fn gone(&self) {
        self.0.closed().await;
    }

    /// A word that browsers pass over: a client that is gone is noticed.
    pub async fn breathe(&self) -> bool {
        self.0.send(Bytes::from_static(b": here\n\n")).await.is_ok()
    }
}

impl Events {
    /// The next piece as text, for a reader in the same program.
    pub async fn next(&mut self) -> Option<String> {
        let bytes = self.0.recv().await?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|event| event.map(|bytes| Ok(Frame::data(bytes))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_event_cannot_begin_another() {
        let (sender, mut events) = channel();
        assert!(sender.send(7, "joined", "a\nevent: removed").await);
        events.next().await;
        assert_eq!(events.next().await.unwrap(), "id: 7\nevent: joined\ndata: a event: removed\n\n");
    }

    #[tokio::test]
    async fn a_pipe_holds_few_pieces_and_hands_them_on_as_they_are() {
        let (pipe, mut events) = pipe();
        for _ in 0..PIECES_MAX {
            assert!(pipe.send(Bytes::from_static(b"data: {}\n\n")).await);
        }
        let mut waits = Box::pin(pipe.send(Bytes::from_static(b"last")));
        let waker = std::task::Waker::noop();
        assert!(waits.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
        assert_eq!(events.next().await.unwrap(), "data: {}\n\n");
        assert!(waits.await);
    }

    #[tokio::test]
    async fn a_client_that_is_gone_is_noticed() {
        let (sender, events) = channel();
        drop(events);
        assert!(!sender.breathe().await);
    }
}
