//! Answers whoever came through the door: lists of models, and requests to them; errors as the openai libraries read them.

use super::begin;
use super::job::{Form, Job, Whom};
use super::keys::Keys;
use super::route::{self, Purpose, View};
use super::{Gateway, Guest, PATH, REQUEST_TIME_MAX, relay};
use crate::login;
use crate::session::access;
use admission::{API_KEYS_TEXT_BYTES_MAX, ApiKey, SETTINGS_TEXT_BYTES_MAX};
use openai::{ApiError, BODY_BYTES_MAX, Routing, sse};
use service::door::{Allowance, Answer, Ask, Head, Limits, Reply, Response, ResponseBody};
use service::{events, upstream};
use std::sync::Arc;
use std::time::Duration;

/// A stream's client hears a status within this time; afterwards errors come as an event.
const STATUS_WITHIN: Duration = Duration::from_secs(5);
/// A client's own request id is taken up to this length.
const REQUEST_ID_BYTES_MAX: usize = 64;

impl Gateway {
    /// Whether a request may bring its body: nobody without a key makes this node hold four MiB.
    pub fn admit(&self, head: &Head<'_>, limits: &Limits) -> Result<Allowance, Reply> {
        let short = |body_bytes| Ok(Allowance { body_bytes, time: Duration::ZERO });
        match head.path {
            admission::API_KEYS_PATH => return short(API_KEYS_TEXT_BYTES_MAX),
            admission::SETTINGS_PATH => return short(SETTINGS_TEXT_BYTES_MAX),
            _ => {}
        }
        if !head.path.starts_with(PATH) {
            return Ok(limits.usual());
        }
        let checked = self.keys().check(self.start.elapsed(), shown(head.fields));
        match checked {
            Ok(_) => Ok(Allowance { body_bytes: BODY_BYTES_MAX, time: REQUEST_TIME_MAX }),
            Err(error) => {
                self.meters().answered(named(head.path), error.status);
                let id = request_id(head.fields);
                // The body is not read, so nothing can follow on this connection.
                let mut response = refusal(&error, &id);
                if head.is_post {
                    response.fields.push(("connection", "close".to_owned()));
                }
                Err(Reply::Full(response))
            }
        }
    }

    pub async fn answer(self: &Arc<Self>, ask: Ask) -> Reply {
        let (id, path) = (request_id(&ask.fields), named(&ask.path));
        let mut response = match self.handle(ask, &id).await {
            Ok(response) => response,
            Err(error) => refusal(&error, &id),
        };
        self.meters().answered(path, response.status);
        response.fields.push(("x-request-id", id));
        Reply::Full(response)
    }

    async fn handle(self: &Arc<Self>, ask: Ask, id: &str) -> Result<Response, ApiError> {
        let key = self.keys().enter(self.start.elapsed(), shown(&ask.fields))?;
        let guest = Guest { gateway: self.clone(), key, tokens: 0 };
        let (path, posted) = (ask.path, ask.posted);
        let unknown = || ApiError::unknown_route(if posted.is_some() { "POST" } else { "GET" }, &path);
        if posted.is_none() {
            return match path.strip_prefix("/v1/models") {
                Some("") => self.models(id).await,
                Some(rest) => self.model(rest.trim_start_matches('/'), id).await,
                None => Err(unknown()),
            };
        }
        let (route, purpose) = match path.as_str() {
            "/v1/chat/completions" => ("/v1/chat/completions", Purpose::Text),
            "/v1/completions" => ("/v1/completions", Purpose::Text),
            "/v1/embeddings" => ("/v1/embeddings", Purpose::Embeddings),
            _ => return Err(unknown()),
        };
        let body = posted.unwrap_or_default();
        let routing = Routing::read(&body)?;
        let candidates = route::route(&self.view().await, &routing.model, purpose)?;
        let form = match (purpose, routing.is_stream) {
            (Purpose::Embeddings, _) => Form::Whole,
            (Purpose::Text, true) => Form::Events,
            (Purpose::Text, false) => Form::Folded,
        };
        let whom = Whom { candidates, path: route, id: id.to_owned(), form };
        let job = Job::new(guest, whom, body, routing.with_usage);
        match form {
            Form::Events => stream(job).await,
            Form::Folded => relay::folded(job).await,
            Form::Whole => relay::whole(job).await,
        }
    }

    /// Every expert that somebody serves; an address that the owner set speaks for itself.
    async fn models(&self, id: &str) -> Result<Response, ApiError> {
        let view = self.view().await;
        if let Some(response) = beyond(&view, "/v1/models", id).await {
            return Ok(response);
        }
        let data: Vec<_> = route::models(&view).iter().map(|name| model(name)).collect();
        Ok(json(serde_json::json!({ "object": "list", "data": data })))
    }

    async fn model(&self, name: &str, id: &str) -> Result<Response, ApiError> {
        let view = self.view().await;
        if let Some(response) = beyond(&view, &format!("/v1/models/{name}"), id).await {
            return Ok(response);
        }
        let known = route::models(&view).into_iter().find(|known| *known == name);
        known.map(|name| json(model(name))).ok_or_else(|| ApiError::unknown_model(name))
    }

    /// The name of the key that a request shows, or that its login stands for; the sentence and status for whom has none.
    pub fn key(&self, fields: &upstream::HeaderMap) -> Result<String, (u16, String)> {
        self.who(fields).map(|key| key.name)
    }

    /// The same where it must be a key for the voice.
    pub fn voice_key(&self, fields: &upstream::HeaderMap) -> Result<String, (u16, String)> {
        self.who(fields).and_then(Keys::for_voice).map(|key| key.name)
    }

    fn who(&self, fields: &upstream::HeaderMap) -> Result<ApiKey, (u16, String)> {
        let now = self.start.elapsed();
        let told = |error: ApiError| (error.status, error.message);
        match (shown(fields), login::shown(fields)) {
            (None, Some(token)) => {
                access::origin(fields).map_err(|what| (403, what.to_owned()))?;
                let key = self.logins().find(now, token).map(|(key, _)| key.clone());
                let key = key.ok_or_else(|| (401, "this login is over; show the key again".to_owned()))?;
                self.keys().check_again(now, &key).map_err(told)
            }
            (shown, _) => self.keys().check(now, shown).map_err(told),
        }
    }

    /// Who comes to the page's login: begins one, tells of it, or ends it.
    pub fn log_in(&self, ask: &Ask) -> Reply {
        let refused = |(status, what): (u16, String)| Answer::text(status, &format!("{what}\n")).into();
        if let Err(what) = access::origin(&ask.fields) {
            return refused((403, what.to_owned()));
        }
        let now = self.start.elapsed();
        let token = login::shown(&ask.fields);
        let (told, cookie) = match (ask.path.as_str(), &ask.posted) {
            (login::LOGIN_PATH, Some(body)) => {
                let key = match serde_json::from_slice::<LoginWish>(body) {
                    Ok(wish) => self.keys().check(now, Some(wish.key.trim())),
                    Err(error) => return refused((400, error.to_string())),
                };
                let key = match key {
                    Ok(key) => key,
                    Err(error) => return refused((error.status, error.message)),
                };
                let told = login_told(Some((&key, login::LOGIN_TIME_MAX)));
                (told, Some(self.logins().begin(now, key, crate::serve::enrolling::random())))
            }
            (login::LOGIN_PATH, None) => {
                let logins = self.logins();
                let found = token.and_then(|token| logins.find(now, token));
                let held = found.filter(|(key, _)| self.keys().check_again(now, key).is_ok());
                (login_told(held), None)
            }
            _ => (login_told(None), Some(self.logins().end(token))),
        };
        let fields = cookie.into_iter().map(|cookie| ("set-cookie", cookie)).collect();
        Reply::Full(Response { fields, ..json(told) })
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct LoginWish {
    key: String,
}

fn login_told(held: Option<(&ApiKey, Duration)>) -> serde_json::Value {
    let name = held.map(|(key, _)| key.name.as_str());
    let (voice, left) = held.map_or((false, 0), |(key, left)| (key.voice, left.as_secs()));
    serde_json::json!({ "name": name, "voice": voice, "expires_in_s": left })
}

/// What others say of their models: an address that the owner set, or the last resort of a cluster that serves none.
async fn beyond(view: &View, path: &str, id: &str) -> Option<Response> {
    let last_resort = view.last_resort.iter().filter(|_| view.copies.is_empty());
    for address in view.set.iter().chain(last_resort) {
        if let Some(response) = relay::handed_on(*address, path, id).await {
            return Some(response);
        }
    }
    None
}

/// A stream's answer begins with its first token, or without one after a while.
async fn stream(job: Job) -> Result<Response, ApiError> {
    let (pipe, events) = events::pipe();
    let mut beginning = Box::pin(begin::begin(job));
    match tokio::time::timeout(STATUS_WITHIN, &mut beginning).await {
        Ok(begun) => _ = tokio::spawn(relay::stream(begun?, pipe)),
        Err(_) => _ = tokio::spawn(relay::late(beginning, pipe)),
    }
    let body = ResponseBody::Events(events);
    Ok(Response { status: 200, content_type: sse::CONTENT_TYPE, fields: vec![], body })
}

/// The key that a request shows.
fn shown(fields: &upstream::HeaderMap) -> Option<&str> {
    let value = fields.get("authorization")?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

/// The client's own id where it is plain, else a new one.
fn request_id(fields: &upstream::HeaderMap) -> String {
    let plain = |id: &&str| {
        let known = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_' || b == b'.';
        (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(known)
    };
    let own = fields.get("x-request-id").and_then(|id| id.to_str().ok()).filter(plain);
    own.map_or_else(
        || format!("req-{:016x}", u64::from_ne_bytes(crate::serve::enrolling::random())),
        str::to_owned,
    )
}

/// A path for figures: what strangers make up is one.
fn named(path: &str) -> &'static str {
    const KNOWN: [&str; 4] = ["/v1/models", "/v1/chat/completions", "/v1/completions", "/v1/embeddings"];
    let known = KNOWN.into_iter().find(|known| *known == path);
    known.or_else(|| path.starts_with("/v1/models/").then_some("/v1/models")).unwrap_or("other")
}

fn model(name: &str) -> serde_json::Value {
    serde_json::json!({ "id": name, "object": "model", "created": 0, "owned_by": "duet" })
}

fn json(value: serde_json::Value) -> Response {
    let body = ResponseBody::Whole(value.to_string().into_bytes());
    Response { status: 200, content_type: "application/json", fields: vec![], body }
}

/// An error as the openai libraries read it.
fn refusal(error: &ApiError, id: &str) -> Response {
    let mut fields = vec![];
    if let Some(ms) = error.retry_after_ms {
        fields.push(("retry-after-ms", ms.to_string()));
        fields.push(("retry-after", ms.div_ceil(1000).to_string()));
    }
    if error.status == 401 {
        fields.push(("www-authenticate", "Bearer".to_owned()));
    }
    fields.push(("x-request-id", id.to_owned()));
    let body = ResponseBody::Whole(error.body().into_bytes());
    Response { status: error.status, content_type: "application/json", fields, body }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(name: &'static str, value: &str) -> upstream::HeaderMap {
        let mut fields = upstream::HeaderMap::new();
        fields.insert(name, value.parse().unwrap());
        fields
    }

    #[test]
    fn a_key_is_read_from_its_field_alone() {
        assert_eq!(shown(&fields("authorization", "Bearer duet-1")), Some("duet-1"));
        assert_eq!(shown(&fields("authorization", "bearer  duet-1 ")), Some("duet-1"));
        assert_eq!(shown(&fields("authorization", "Basic duet-1")), None);
        assert_eq!(shown(&fields("x-api-key", "duet-1")), None);
    }

    #[test]
    fn a_clients_id_is_taken_if_it_is_plain() {
        assert_eq!(request_id(&fields("x-request-id", "my-1.2_3")), "my-1.2_3");
        for bad in ["a b", "", &"x".repeat(REQUEST_ID_BYTES_MAX + 1)] {
            let made = request_id(&fields("x-request-id", bad));
            assert!(made.starts_with("req-") && made.len() == 20, "{made}");
        }
    }

    #[test]
    fn made_up_paths_are_counted_as_one() {
        assert_eq!(named("/v1/models/x"), "/v1/models");
        assert_eq!(named("/v1/anything"), "other");
    }
}
