//! `POST /api/message`: text in, the answer out as it comes, by the same workflow as a turn by voice.
//!
//! A conversation is a name of the client's, and each key has its own: what was said before is told to the model, and
//! nobody with another key hears of it.

use super::TURN;
use crate::answer::{Mind, TEXT_TALKS};
use crate::gateway::{Gateway, REQUEST_TIME_MAX};
use crate::session::access;
use crate::talk::parts::{AskJob, Part, Stop};
use serde::Deserialize;
use serde_json::json;
use service::door::{Allowance, Answer, Ask, Head, Reply};
use service::events::{self, Sender};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

pub const PATH: &str = "/api/message";
const BODY_BYTES_MAX: usize = 32 << 10;
const TEXT_BYTES_MAX: usize = 16 << 10;
const CONVERSATION_BYTES_MAX: usize = 64;
/// Answers that are written at once.
const AT_ONCE_MAX: usize = 8;
/// Parts that wait for a slow reader; then the run is stopped.
const PARTS_MAX: usize = 4096;
/// A client that hears nothing for so long is told that there is nothing.
const BREATH: Duration = Duration::from_secs(5);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    text: String,
    /// What was said before under this name counts.
    #[serde(default)]
    conversation: String,
    workflow: Option<String>,
}

type Refusal = (u16, String);

pub struct Door {
    gateway: Arc<Gateway>,
    mind: Arc<Mind>,
    n_now: Arc<AtomicUsize>,
}

/// An answer that is being written.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Door {
    pub fn new(gateway: Arc<Gateway>, mind: Arc<Mind>) -> Door {
        Door { gateway, mind, n_now: Arc::default() }
    }

    /// Judges a request by its head.
    pub fn admit(&self, head: &Head<'_>) -> Result<Allowance, Reply> {
        access::origin(head.fields).map_err(|what| refusal((403, what.to_owned())))?;
        self.gateway.key(head.fields).map_err(refusal)?;
        Ok(Allowance { body_bytes: BODY_BYTES_MAX, time: REQUEST_TIME_MAX })
    }

    pub fn answer(&self, ask: &Ask) -> Reply {
        self.handle(ask).unwrap_or_else(refusal)
    }

    fn handle(&self, ask: &Ask) -> Result<Reply, Refusal> {
        let key = self.gateway.key(&ask.fields)?;
        let body = ask.posted.as_ref().ok_or((405, "a message is posted".to_owned()))?;
        let Message { text, conversation, workflow } = read(body)?;
        let workflow = workflow.unwrap_or_else(|| TURN.to_owned());
        if self.mind.brain.library.workflow(&workflow).is_none() {
            return Err((404, format!("there is no workflow {workflow:?}; GET /api/workflows lists them")));
        }
        let free = |n: usize| (n < AT_ONCE_MAX).then_some(n + 1);
        let taken = self.n_now.fetch_update(Ordering::AcqRel, Ordering::Acquire, free);
        taken.map_err(|n| (503, format!("{n} messages are being answered; try again soon")))?;
        let place = Place(self.n_now.clone());
        let (parts, waiting) = mpsc::channel(PARTS_MAX);
        let stop = Stop::default();
        let slow = stop.clone();
        let sink = Box::new(move |part| {
            if parts.try_send(part).is_err() {
                slow.stop();
            }
        });
        let (sender, events) = events::channel();
        tokio::spawn(tell(sender, waiting, stop.clone(), place));
        let talk = talk(&key, &conversation);
        let is_of_home = self.gateway.voice_key(&ask.fields).is_ok();
        self.mind.answer_by(&workflow, AskJob { text, talk, stop, sink }, is_of_home);
        Ok(Reply::Events(events))
    }
}

fn read(body: &[u8]) -> Result<Message, Refusal> {
    let message: Message = serde_json::from_slice(body).map_err(|error| (400, error.to_string()))?;
    let bad = |what: &str| Err((400, what.to_owned()));
    if message.text.trim().is_empty() {
        return bad("`text` is empty");
    }
    if message.text.len() > TEXT_BYTES_MAX {
        return bad("`text` has more than 16384 bytes");
    }
    if message.conversation.len() > CONVERSATION_BYTES_MAX {
        return bad("`conversation` has more than 64 bytes");
    }
    Ok(message)
}

/// The number of a conversation; the length keeps `a` + `bc` from being `ab` + `c`.
fn talk(key: &str, conversation: &str) -> u64 {
    let hash = blake3::hash(format!("{} {key}{conversation}", key.len()).as_bytes());
    let first = hash.as_bytes().first_chunk().copied().unwrap_or_default();
    u64::from_le_bytes(first) | TEXT_TALKS
}

/// Hands on what comes; ends with the answer, or when the client is gone, which stops the run.
async fn tell(sender: Sender, mut parts: mpsc::Receiver<Part>, stop: Stop, _place: Place) {
    let mut number = 0;
    loop {
        let part = tokio::select! {
            part = tokio::time::timeout(BREATH, parts.recv()) => part,
            () = sender.gone() => return stop.stop(),
        };
        let part = match part {
            Ok(Some(part)) => part,
            Ok(None) => return,
            Err(_) if sender.breathe().await => continue,
            Err(_) => return stop.stop(),
        };
        number += 1;
        let (kind, data, is_last) = match part {
            Part::By(by) => ("by", json!({ "by": by }), false),
            Part::Words(words) => ("words", json!({ "words": words }), false),
            Part::Steps(steps) => ("steps", json!({ "steps": steps }), false),
            Part::End => ("done", json!({}), true),
            Part::Failed(why) => ("failed", json!({ "why": why }), true),
        };
        if !sender.send(number, kind, &data.to_string()).await || is_last {
            return stop.stop();
        }
    }
}

/// The body of who is refused is not read, so nothing can follow on this connection.
fn refusal((status, what): Refusal) -> Reply {
    Answer { fields: &[("connection", "close")], ..Answer::text(status, &format!("{what}\n")) }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_keeps_its_limits() {
        let refused = |body: &str| read(body.as_bytes()).err().map(|(status, _)| status);
        assert_eq!(refused(r#"{"text":"hi","conversation":"a","workflow":"tiered"}"#), None);
        for bad in ["", "[]", r#"{"text":" "}"#, r#"{"text":"hi","more":1}"#] {
            assert_eq!(refused(bad), Some(400), "{bad}");
        }
        assert_eq!(refused(&format!(r#"{{"text":"{}"}}"#, "a".repeat(TEXT_BYTES_MAX + 1))), Some(400));
        assert_eq!(refused(&format!(r#"{{"text":"a","conversation":"{}"}}"#, "a".repeat(65))), Some(400));
    }

    #[test]
    fn each_key_has_conversations_of_its_own() {
        assert_eq!(talk("a", "b"), talk("a", "b"));
        assert_ne!(talk("a", "bc"), talk("ab", "c"));
        assert!(talk("", "") >= TEXT_TALKS);
    }
}
