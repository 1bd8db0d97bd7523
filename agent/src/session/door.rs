//! Answers requests for the voice: sessions of remote microphones, and the PC's own key, words and settings.
//!
//! All of it needs a key for the voice, also to look: what is said in a room is nobody's business.

use super::access::{self, Handshake};
use super::carry::carry;
use super::desk::{Carried, Refusal, Sessions};
use super::words::{End, Start, WORDS_BYTES_MAX};
use crate::gateway::Gateway;
use crate::talk::force::{Over, TOLD_BYTES_MAX};
use crate::talk::{Line, News, Told};
use serde_json::json;
use service::door::{Allowance, Answer, Ask, Head, Reply, Upgrade};
use service::events::{self, Events, Sender};
use service::feed::GATE_TIME;
use service::upstream::HeaderMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;

/// Everything below this path is a session's.
pub const PATH: &str = "/api/session/";
/// The PC's own conversation.
const TALK: &str = "/api/talk";
const FOLLOW: &str = "/api/talk/events";
const VOICE: &str = "/api/voice";
/// An answer that follows the conversation ends after this time.
const FOLLOW_TIME_MAX: Duration = Duration::from_secs(300);
/// Old sessions are looked for so often.
const SWEEP: Duration = Duration::from_secs(5);
/// A client that hears nothing for so long is told that there is nothing.
const BREATH: Duration = Duration::from_secs(15);

pub struct Door {
    gateway: Arc<Gateway>,
    pub sessions: Arc<Sessions>,
}

impl Door {
    pub fn new(gateway: Arc<Gateway>, sessions: Arc<Sessions>) -> Door {
        Door { gateway, sessions }
    }

    /// Whether this is the door for a path.
    pub fn is_for(path: &str) -> bool {
        path == VOICE || path == TALK || path.starts_with(PATH) || path.starts_with("/api/talk/")
    }

    /// Never ends: what nobody uses is closed.
    pub async fn run(&self) {
        loop {
            tokio::time::sleep(SWEEP).await;
            self.sessions.sweep();
        }
    }

    /// Judges a request by its head: who may not, hears why.
    pub fn admit(&self, head: &Head<'_>) -> Result<Allowance, Reply> {
        let told = |(status, what): Refusal| Reply::from(refusal(status, &what));
        access::origin(head.fields).map_err(|what| told((403, what.to_owned())))?;
        if let Some(id) = audio(head.path) {
            let shown = access::handshake(head.fields).map_err(|what| told((426, what.to_owned())))?;
            self.sessions.may(id, &shown, self.key(head.fields).is_ok()).map_err(told)?;
            return Ok(Allowance { body_bytes: 0, time: self.sessions.limits.age });
        }
        self.key(head.fields).map_err(told)?;
        let time = if head.path == FOLLOW { GATE_TIME } else { Duration::ZERO };
        Ok(Allowance { body_bytes: WORDS_BYTES_MAX.max(TOLD_BYTES_MAX), time })
    }

    /// Answers whom [`Door::admit`] let in.
    pub fn answer(&self, ask: &Ask) -> Reply {
        let answered = match self.handle(ask) {
            Ok(reply) => return reply,
            Err(refused) => refused,
        };
        refusal(answered.0, &answered.1).into()
    }

    fn handle(&self, ask: &Ask) -> Result<Reply, Refusal> {
        let told =
            |status, value: serde_json::Value| Ok(Answer::json(status, value.to_string().into()).into());
        let what = |what: String| (400, what);
        if let Some(id) = audio(&ask.path) {
            return self.upgrade(id, &ask.fields);
        }
        let key = self.key(&ask.fields)?;
        match (ask.path.as_str(), &ask.posted) {
            ("/api/session/start", Some(body)) => {
                let begun = self.sessions.start(&key, Start::parse(body).map_err(what)?)?;
                told(201, json!(begun))
            }
            ("/api/session/end", Some(body)) => {
                let End { id } = End::parse(body).map_err(what)?;
                if self.sessions.end(&id) { told(200, json!({"id": id})) } else { Err(unknown()) }
            }
            ("/api/talk/start", Some(_)) => told(200, json!({"told": self.here()?.start()})),
            ("/api/talk/stop", Some(_)) => told(200, json!({"told": self.here()?.stop()})),
            (VOICE, Some(body)) => {
                let over: Over = serde_json::from_slice(body).map_err(|error| what(error.to_string()))?;
                let talks = self.sessions.talks();
                let now = talks.force.tell(over).map_err(what)?;
                talks.settings_changed();
                told(200, json!(now))
            }
            (VOICE, None) => told(200, json!(self.sessions.talks().force.now())),
            (TALK, None) => told(200, json!({"talks": self.sessions.talks().status()})),
            (FOLLOW, None) => Ok(Reply::Events(self.follow(self.here()?))),
            (path, None) => {
                let session = path.strip_prefix(PATH).and_then(|id| self.sessions.get(id));
                told(200, json!(session.ok_or_else(unknown)?.status()))
            }
            _ => Err((404, "start, end, or look at a session; start or stop to talk".into())),
        }
    }

    fn upgrade(&self, id: &str, fields: &HeaderMap) -> Result<Reply, Refusal> {
        let shown = access::handshake(fields).map_err(|what| (426, what.to_owned()))?;
        let Handshake { accept, offers_protocol, .. } = shown.clone();
        let session = self.sessions.take(id, &shown, self.key(fields).is_ok())?;
        let mut fields = vec![("sec-websocket-accept", accept)];
        if offers_protocol {
            fields.push(("sec-websocket-protocol", access::PROTOCOL.to_owned()));
        }
        // Whoever hangs up in the middle of this is seen by nobody but it.
        let carried = Carried { sessions: self.sessions.clone(), session };
        let then = move |stream| Box::pin(carry(carried, stream)) as _;
        Ok(Reply::Carried(Upgrade { protocol: "websocket", fields, then: Box::new(then) }))
    }

    fn key(&self, fields: &HeaderMap) -> Result<String, Refusal> {
        self.gateway.voice_key(fields)
    }

    fn here(&self) -> Result<Arc<Line>, Refusal> {
        self.sessions
            .talks()
            .here()
            .ok_or_else(|| (503, "this PC has no ear and no mouth of its own now".into()))
    }

    /// What happens in the PC's own conversation, as it happens.
    fn follow(&self, line: Arc<Line>) -> Events {
        let (sender, events) = events::channel();
        let news = self.sessions.talks().follow();
        // It ends whole, and before its connection does; the client comes again.
        tokio::spawn(tokio::time::timeout(FOLLOW_TIME_MAX, tell(line, news, sender)));
        events
    }
}

/// Ends when the client is gone.
async fn tell(
    line: Arc<Line>,
    mut news: tokio::sync::broadcast::Receiver<Told>,
    sender: Sender,
) -> Option<()> {
    let mut number = 0;
    let mut view = Some(line.view());
    loop {
        number += 1;
        if let Some(view) = view.take() {
            let data = serde_json::to_string(&view).ok()?;
            sender.send(number, "view", &data).await.then_some(())?;
        }
        let told = tokio::select! {
            told = tokio::time::timeout(BREATH, news.recv()) => told,
            () = sender.gone() => return None,
        };
        match told {
            Ok(Ok(told)) if told.talk != line.id => {}
            Ok(Ok(Told { news: News::Closed, .. }) | Err(RecvError::Closed)) => return None,
            Ok(Ok(told)) => {
                let data = serde_json::to_string(&told).ok()?;
                sender.send(number, "news", &data).await.then_some(())?;
            }
            // What was missed is in what holds now.
            Ok(Err(RecvError::Lagged(_))) => view = Some(line.view()),
            Err(_) => sender.breathe().await.then_some(())?,
        }
    }
}

/// `/api/session/ID/audio`.
fn audio(path: &str) -> Option<&str> {
    path.strip_prefix(PATH)?.strip_suffix("/audio")
}

fn unknown() -> Refusal {
    (404, "there is no such session".into())
}

fn refusal(status: u16, what: &str) -> Answer {
    Answer { fields: CLOSE, ..Answer::text(status, &format!("{what}\n")) }
}

/// The body of who is refused is not read, so nothing can follow on this connection.
const CLOSE: &[(&str, &str)] = &[("connection", "close")];
