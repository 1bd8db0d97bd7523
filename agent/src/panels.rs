//! What the panels of the page ask beyond the status: timers, the level of the sound, the log, what is edited,
//! and words that this PC is to say.
//!
//! Timers may be seen by whoever may see the page. All else needs a key for the voice or a login with one, and a browser
//! must speak for the page that this node served.

use crate::answer::timers::{Timer, uptime};
use crate::brain::library::EditError;
use crate::brain::shown::{PERSONAS_PATH, WORKFLOWS_PATH};
use crate::gateway::Gateway;
use crate::io::node::Node;
use crate::logbook::{BANNER_LETTERS_MAX, LogBook};
use crate::serve::voicing::Voice;
use crate::session::access;
use crate::talk::parts::Event;
use admission::{EDIT_BYTES_MAX, EditKind};
use serde::Deserialize;
use serde_json::{Value, json};
use service::door::{Allowance, Answer, Ask, Head, Reply};
use service::feed;
use std::sync::Arc;
use std::time::Duration;

pub const TIMERS_PATH: &str = "/api/timers";
const CANCEL_PATH: &str = "/api/timers/cancel";
const LEVEL_PATH: &str = "/api/level";
const LOG_PATH: &str = "/api/log";
const JOURNAL_PATH: &str = "/api/log/journal";
const SAY_PATH: &str = "/api/say";
/// Followed by the name of one.
const EDIT_PATHS: [(&str, EditKind); 2] =
    [("/api/personas/", EditKind::Persona), ("/api/workflows/", EditKind::Workflow)];
/// Room for JSON's way of writing a text.
const EDITED_BYTES_MAX: usize = 4 * EDIT_BYTES_MAX;
const BODY_BYTES_MAX: usize = 4096;
const SAID_BYTES_MAX: usize = 1000;
/// Lines of the journal on the page.
const JOURNAL_LINES: u16 = 300;

pub struct Panels {
    pub gateway: Arc<Gateway>,
    pub node: Arc<Node>,
    pub voice: Arc<Voice>,
    pub log: LogBook,
}

type Refusal = (u16, String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Banner {
    banner: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Id {
    id: u64,
}

pub fn is_for(path: &str) -> bool {
    [TIMERS_PATH, CANCEL_PATH, LEVEL_PATH, LOG_PATH, JOURNAL_PATH, SAY_PATH].contains(&path)
        || edited(path).is_some()
}

/// What a path edits.
fn edited(path: &str) -> Option<(EditKind, &str)> {
    EDIT_PATHS.into_iter().find_map(|(start, kind)| Some((kind, path.strip_prefix(start)?)))
}

impl Panels {
    /// Judges a request by its head: who may not, hears why.
    pub fn admit(&self, head: &Head<'_>) -> Result<Allowance, Reply> {
        let told = |refused| Reply::from(refusal(refused));
        if head.is_post || head.path != TIMERS_PATH {
            access::origin(head.fields).map_err(|what| told((403, what.to_owned())))?;
            self.gateway.voice_key(head.fields).map_err(told)?;
        }
        let body_bytes = if edited(head.path).is_some() { EDITED_BYTES_MAX } else { BODY_BYTES_MAX };
        let time = if head.path == LOG_PATH { feed::GATE_TIME } else { Duration::ZERO };
        Ok(Allowance { body_bytes, time })
    }

    /// Answers whom [`Panels::admit`] let in.
    pub async fn answer(&self, ask: &Ask) -> Reply {
        self.handle(ask).await.unwrap_or_else(|refused| refusal(refused).into())
    }

    async fn handle(&self, ask: &Ask) -> Result<Reply, Refusal> {
        match (ask.path.as_str(), &ask.posted) {
            (TIMERS_PATH, _) => told(json!({ "timers": self.timers() })),
            (CANCEL_PATH, Some(body)) => {
                let Id { id } = read(body)?;
                let n = self.voice.timers().change(|timers| timers.cancel(id)).map_err(|why| (507, why))?;
                if n == 0 { Err((404, "there is no such timer".into())) } else { told(json!({ "id": id })) }
            }
            (LEVEL_PATH, None) => {
                let status = self.voice.status();
                let (microphone, speaker) = (status.sound.microphone.peak_db, status.sound.speaker.peak_db);
                told(json!({ "mood": status.mood, "microphone_db": microphone, "speaker_db": speaker }))
            }
            (LOG_PATH, None) => {
                let events = self.log.follow(ask.heard).ok_or((503, "too many follow the log".to_owned()))?;
                Ok(Reply::Events(events))
            }
            (LOG_PATH, Some(body)) => {
                let Banner { banner } = read(body)?;
                if banner.trim().is_empty() || banner.chars().count() > BANNER_LETTERS_MAX {
                    return Err((400, format!("a banner has 1 to {BANNER_LETTERS_MAX} letters")));
                }
                self.log.banner(&banner);
                told(json!({ "banner": banner }))
            }
            (JOURNAL_PATH, None) => Ok(Answer::text(200, &self.node.journal(JOURNAL_LINES).await).into()),
            (SAY_PATH, Some(body)) => self.say(read(body)?),
            (path, Some(body)) => self.edit(path, read(body)?),
            _ => Err((405, "this is posted".into())),
        }
    }

    fn timers(&self) -> Vec<Value> {
        let now = uptime();
        let one = |timer: &Timer| {
            let mut shown = json!(timer.kind);
            shown["id"] = json!(timer.id);
            shown["left_s"] = json!(timer.left(now).as_secs());
            shown["of"] = json!(timer.of);
            shown
        };
        self.voice.timers().now().all().iter().map(one).collect()
    }

    /// Passed over while somebody talks to this PC.
    fn say(&self, Text { text }: Text) -> Result<Reply, Refusal> {
        if text.trim().is_empty() || text.len() > SAID_BYTES_MAX {
            return Err((400, format!("`text` has 1 to {SAID_BYTES_MAX} bytes")));
        }
        let here = self.voice.talks.here();
        let here = here.ok_or((503, "this PC has no ear and no mouth of its own now".to_owned()))?;
        told(json!({ "told": here.post().tell(Event::Announce(text)) }))
    }

    fn edit(&self, path: &str, Text { text }: Text) -> Result<Reply, Refusal> {
        let (kind, name) = edited(path).ok_or((405, "this is got".to_owned()))?;
        if !brain::is_name(name) {
            return Err((400, "a name has small letters, digits, - and _, and begins with a letter".into()));
        }
        let library = &self.voice.mind.brain.library;
        library.edit(kind, name, &text, self.voice.unix_s()).map_err(|error| match error {
            EditError::Mistakes(what) => (422, what),
            EditError::Unknown => (
                404,
                format!(
                    "there is no {name}; GET {PERSONAS_PATH} and GET {WORKFLOWS_PATH} list what there is"
                ),
            ),
            EditError::Full => (507, "there are as many of these as there may be".into()),
            EditError::Limit(what) | EditError::Disk(what) => (507, what),
        })?;
        told(json!({ "name": name, "text": library.text(kind, name) }))
    }
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| (400, error.to_string()))
}

fn told(value: Value) -> Result<Reply, Refusal> {
    Ok(Answer::json(200, value.to_string().into_bytes()).into())
}

/// The body of who is refused is not read, so nothing can follow on this connection.
fn refusal((status, what): Refusal) -> Answer {
    Answer { fields: &[("connection", "close")], ..Answer::text(status, &format!("{what}\n")) }
}
