//! A server behind an address: each message of ours is a POST, and what comes back is one message or a stream of events.
//!
//! The stream that a server may keep open for its own wishes is not opened: nobody here would follow them.

use super::lines::Reason;
use super::wire::{Allowance, MESSAGE_BYTES_MAX, Received, Sent, WireError};
use rmcp::service::RoleClient;
use rmcp::transport::Transport;
use serde_json::Value;
use service::upstream::{self, Answering, Ask, UpstreamError};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// The link gives up sooner, by the time of each call.
const PAUSE_MAX: Duration = Duration::from_secs(600);
/// Messages that wait to be looked at; the allowance is no more.
const INBOX_MAX: usize = 300;
const SESSION_BYTES_MAX: usize = 256;

#[derive(Default)]
struct Known {
    session: Option<String>,
    version: Option<String>,
}

#[derive(Clone)]
struct Way {
    address: SocketAddr,
    path: Arc<str>,
    known: Arc<Mutex<Known>>,
    inbox: mpsc::Sender<Received>,
    allowance: Allowance,
    reason: Reason,
}

pub struct Http {
    way: Way,
    messages: mpsc::Receiver<Received>,
}

impl Http {
    pub fn new(address: SocketAddr, path: &str, reason: Reason) -> Http {
        let (inbox, messages) = mpsc::channel(INBOX_MAX);
        let (known, allowance) = (Arc::default(), Allowance::default());
        Http { way: Way { address, path: path.into(), known, inbox, allowance, reason }, messages }
    }
}

impl Transport<RoleClient> for Http {
    type Error = WireError;

    fn send(&mut self, item: Sent) -> impl Future<Output = Result<(), WireError>> + Send + 'static {
        self.way.allowance.renew(&item);
        let way = self.way.clone();
        async move {
            let sent = way.post(&item).await;
            if let Err(error) = &sent {
                way.reason.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error.clone());
            }
            sent
        }
    }

    async fn receive(&mut self) -> Option<Received> {
        self.messages.recv().await
    }

    async fn close(&mut self) -> Result<(), WireError> {
        Ok(())
    }
}

impl Way {
    async fn post(&self, item: &Sent) -> Result<(), WireError> {
        let body = serde_json::to_vec(item).map_err(|error| WireError::Broken(error.to_string()))?;
        let (session, version) = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            (known.session.clone(), known.version.clone())
        };
        let mut fields = vec![("accept", "application/json, text/event-stream")];
        fields.extend(session.as_deref().map(|session| ("mcp-session-id", session)));
        fields.extend(version.as_deref().map(|version| ("mcp-protocol-version", version)));
        let ask = Ask { address: self.address, path: &self.path, fields: &fields, body: Some(body.into()) };
        let answer = upstream::ask(ask, PAUSE_MAX).await.map_err(fault)?;
        self.read(answer).await
    }

    async fn read(&self, mut answer: Answering) -> Result<(), WireError> {
        if !(200..300).contains(&answer.status) {
            return Err(WireError::Status(answer.status));
        }
        let session = answer.fields.get("mcp-session-id").and_then(|value| value.to_str().ok());
        if let Some(session) = session.filter(|session| session.len() <= SESSION_BYTES_MAX) {
            self.known.lock().unwrap_or_else(PoisonError::into_inner).session = Some(session.to_owned());
        }
        let kind =
            answer.fields.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        if kind.starts_with("application/json") {
            let whole = answer.whole(MESSAGE_BYTES_MAX, PAUSE_MAX).await.map_err(fault)?;
            // To a notification some say nothing, and call it JSON.
            return if whole.is_empty() { Ok(()) } else { self.take(&whole) };
        }
        if !kind.starts_with("text/event-stream") {
            // 202: it has heard, and says nothing.
            return Ok(());
        }
        let mut events = Events::default();
        while let Some(piece) = answer.piece(PAUSE_MAX).await {
            for message in events.read(&piece.map_err(fault)?)? {
                self.take(&message)?;
            }
        }
        Ok(())
    }

    fn take(&self, message: &[u8]) -> Result<(), WireError> {
        self.allowance.spend()?;
        let value: Value = serde_json::from_slice(message).map_err(|_| WireError::Garbled)?;
        // The answer to the greeting says how the rest is spoken.
        let version = value.pointer("/result/protocolVersion").and_then(Value::as_str);
        if let Some(version) = version.filter(|version| version.len() <= SESSION_BYTES_MAX) {
            self.known
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .version
                .get_or_insert(version.to_owned());
        }
        let message = serde_json::from_value(value).map_err(|_| WireError::Garbled)?;
        self.inbox.try_send(message).map_err(|_| WireError::Flood)
    }
}

fn fault(error: UpstreamError) -> WireError {
    match error {
        UpstreamError::Long { .. } => WireError::Long,
        UpstreamError::Late => WireError::Late,
        UpstreamError::Garbled => WireError::Garbled,
        other => WireError::Broken(other.to_string()),
    }
}

/// The data of events, out of bytes as they come.
#[derive(Default)]
struct Events {
    line: Vec<u8>,
    data: Vec<u8>,
}

impl Events {
    fn read(&mut self, piece: &[u8]) -> Result<Vec<Vec<u8>>, WireError> {
        let mut whole = vec![];
        for byte in piece {
            if *byte != b'\n' {
                self.line.push(*byte);
                if self.line.len() + self.data.len() > MESSAGE_BYTES_MAX {
                    return Err(WireError::Long);
                }
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            if line.is_empty() {
                if !self.data.is_empty() {
                    whole.push(std::mem::take(&mut self.data));
                }
            } else if let Some(data) = line.strip_prefix(b"data:") {
                self.data.extend_from_slice(data.strip_prefix(b" ").unwrap_or(data));
            }
        }
        Ok(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_however_they_are_cut() {
        let text = b": hello\r\nevent: message\r\ndata: {\"a\":\r\ndata: 1}\r\n\r\n\n\nid: 3\ndata:2\n\n";
        for size in [1, 2, 7, text.len()] {
            let mut events = Events::default();
            let whole: Vec<Vec<u8>> =
                text.chunks(size).flat_map(|piece| events.read(piece).unwrap()).collect();
            assert_eq!(whole, [b"{\"a\":1}".to_vec(), b"2".to_vec()], "{size}");
        }
    }

    #[test]
    fn an_event_without_end_is_too_long() {
        let mut events = Events::default();
        let piece = vec![b'a'; MESSAGE_BYTES_MAX];
        assert_eq!(events.read(&piece), Ok(vec![]));
        assert_eq!(events.read(b"a"), Err(WireError::Long));
    }
}
