//! Requests about memory: `GET /api/memory`, `POST /api/memory` and its `search` and `forget`, and `/api/state/save` and
//! `load`.
//!
//! All of it needs a key for the voice, also to look, and a browser must speak for the page that this node served: what persons told is
//! nobody's business. A question is posted, because what stands in an address stands in histories and logs.

use super::Memory;
use crate::session::access;
use journal::{Fact, FactId, SAVED_BYTES_MAX};
use serde::Deserialize;
use serde_json::{Value, json};
use service::door::{Allowance, Answer, Ask, Head, Reply};
use std::time::Duration;

pub const PATH: &str = "/api/memory";
pub const SEARCH_PATH: &str = "/api/memory/search";
pub const FORGET_PATH: &str = "/api/memory/forget";
pub const SAVE_PATH: &str = "/api/state/save";
pub const LOAD_PATH: &str = "/api/state/load";
const BYTES_MAX: usize = 8 * 1024;
/// The newest facts that are listed.
const LISTED_MAX: usize = 200;
/// A file of facts is long, and an old disk slow.
const LOAD_TIME_MAX: Duration = Duration::from_secs(120);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    text: String,
    #[serde(default = "usual_n")]
    n: usize,
}

fn usual_n() -> usize {
    10
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Id {
    id: String,
}

type Refusal = (u16, String);

pub fn is_for(path: &str) -> bool {
    [PATH, SEARCH_PATH, FORGET_PATH, SAVE_PATH, LOAD_PATH].contains(&path)
}

/// Judges a request by its head: who may not, hears why.
pub fn admit(memory: &Memory, head: &Head<'_>) -> Result<Allowance, Reply> {
    access::origin(head.fields).map_err(|what| Reply::from(refusal((403, what.to_owned()))))?;
    memory.gateway.voice_key(head.fields).map_err(|told| Reply::from(refusal(told)))?;
    Ok(match head.path {
        LOAD_PATH => Allowance { body_bytes: SAVED_BYTES_MAX, time: LOAD_TIME_MAX },
        _ => Allowance { body_bytes: BYTES_MAX, time: Duration::ZERO },
    })
}

/// Answers whom [`admit`] let in.
pub async fn answer(memory: &Memory, ask: &Ask) -> Reply {
    handle(memory, ask).await.unwrap_or_else(refusal).into()
}

async fn handle(memory: &Memory, ask: &Ask) -> Result<Answer, Refusal> {
    memory.gateway.voice_key(&ask.fields)?;
    let no_memory = |why: String| (503, why);
    match (ask.path.as_str(), &ask.posted) {
        (PATH, None) => {
            let facts = memory.list(LISTED_MAX).await.map_err(no_memory)?;
            let facts: Vec<Value> = facts.iter().map(shown).collect();
            told(json!({ "facts": facts, "status": memory.status() }))
        }
        (PATH, Some(body)) => {
            let Text { text, .. } = read(body)?;
            let kept = memory.remember(&text).await.map_err(|why| (507, why))?;
            let (n_told, n_live) = (kept.spread.n_told, kept.spread.n_live);
            told(json!({ "id": kept.id.to_string(), "nodes": n_told + 1, "of": n_live + 1 }))
        }
        (SEARCH_PATH, Some(body)) => {
            let Text { text, n } = read(body)?;
            let found = memory.recall(&text, n).await.map_err(no_memory)?;
            let facts = found.iter().map(|found| {
                let mut fact = shown(&found.fact);
                fact["score"] = json!(found.score);
                fact["by_meaning"] = json!(found.is_near);
                fact
            });
            let facts: Vec<Value> = facts.collect();
            told(json!({ "facts": facts, "ms": memory.status().search_ms }))
        }
        (FORGET_PATH, Some(body)) => {
            let Id { id } = read(body)?;
            let id = FactId::parse(&id).ok_or((400, "an id is 32 small hex digits".to_owned()))?;
            let forgotten = memory.forget(id).await.map_err(|why| (507, why))?;
            let (fact, spread) = forgotten.ok_or((404, "there is no such fact".to_owned()))?;
            let (n_told, n_live) = (spread.n_told, spread.n_live);
            told(json!({ "id": fact.id.to_string(), "nodes": n_told + 1, "of": n_live + 1 }))
        }
        (SAVE_PATH, None) => {
            let body = memory.save().await.map_err(no_memory)?.into_bytes();
            let fields = &[("content-disposition", "attachment; filename=\"duet-memory.jsonl\"")];
            Ok(Answer { status: 200, content_type: "application/jsonl; charset=utf-8", body, fields })
        }
        (LOAD_PATH, Some(body)) => {
            let text = str::from_utf8(body).map_err(|_| (400, "the file is no text".to_owned()))?;
            let loaded = journal::load(text).map_err(|error| (400, error.to_string()))?;
            let n = memory.load(loaded).await.map_err(|why| (507, why))?;
            told(json!({ "new": n, "facts": memory.status().n_facts }))
        }
        _ => Err((405, "facts are got and posted, searched, forgotten, saved and loaded".into())),
    }
}

fn shown(fact: &Fact) -> Value {
    json!({
        "id": fact.id.to_string(),
        "text": fact.text,
        "told_s": fact.told_s,
        "node": format!("{:016x}", fact.node),
    })
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| (400, error.to_string()))
}

fn told(value: Value) -> Result<Answer, Refusal> {
    Ok(Answer::json(200, value.to_string().into_bytes()))
}

/// The body of who is refused is not read, so nothing can follow on this connection.
fn refusal((status, what): Refusal) -> Answer {
    Answer { fields: &[("connection", "close")], ..Answer::text(status, &format!("{what}\n")) }
}
