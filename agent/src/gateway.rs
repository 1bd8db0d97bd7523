//! The gateway: the OpenAI API for whoever has a key, answered by the nodes that hold the models.
//!
//! `keys` says who may ask, `view` and `route` where a request goes, `stream` reads what passes, `meters` counts: all pure.
//! This file answers, `relay` tries one copy after the other until a first token came, and hands on what follows.
//! A stream whose copy is lost goes on elsewhere (`record`, `resume`).
//! The gateway deliberately knows no model and no prompt: a request is checked by whoever answers it, and passes unchanged
//! but for its model's name.

mod begin;
mod kept;
pub mod keys;
pub mod meters;
pub mod record;
mod relay;
mod resume;
pub mod route;
pub mod stream;
pub mod view;

use crate::cluster::Cluster;
use crate::enrolling::Joined;
use crate::io::node::Node;
use crate::settings::Settings;
use admission::{API_KEYS_TEXT_BYTES_MAX, ApiKey, ApiKeys, SETTINGS_TEXT_BYTES_MAX};
use begin::{Job, Whom};
use keys::{Keys, ListError};
use meters::{GatewayStatus, Meters};
use openai::{ApiError, BODY_BYTES_MAX, Routing, sse};
use route::{Manner, Purpose, View};
use service::door::{Allowance, Answer, Ask, Head, Limits, Reply, Response, ResponseBody};
use service::{events, upstream};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Everything below this path is the gateway's.
pub const PATH: &str = "/v1/";
pub const METRICS_PATH: &str = "/metrics";
/// A request's connection lives at least so long: old PCs write slowly.
pub const REQUEST_TIME_MAX: Duration = Duration::from_secs(20 * 60);
/// A stream's client hears a status within this time; afterwards errors come as an event.
const STATUS_WITHIN: Duration = Duration::from_secs(5);
/// A client's own request id is taken up to this length.
const REQUEST_ID_BYTES_MAX: usize = 64;

/// What the owner said of it on the command line.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub worker: Option<SocketAddr>,
    pub set: Option<SocketAddr>,
    pub last_resort: Vec<SocketAddr>,
    pub own_keys: Vec<ApiKey>,
    pub manners: BTreeMap<String, Manner>,
}

pub struct Gateway {
    start: Instant,
    node: Arc<Node>,
    cluster: Arc<Cluster>,
    member: Joined,
    settings: Arc<Settings>,
    options: Options,
    keys: Mutex<Keys>,
    meters: Mutex<Meters>,
    /// Requests of this gateway that each copy works on.
    flying: Mutex<BTreeMap<Place, u16>>,
}

/// An address, and the model's name there.
type Place = (SocketAddr, String);

/// A request that was let in; its key's count ends with it.
struct Guest {
    gateway: Arc<Gateway>,
    key: String,
    tokens: u64,
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.gateway.keys().leave(&self.key, self.tokens);
    }
}

impl Gateway {
    pub fn new(
        node: Arc<Node>,
        cluster: Arc<Cluster>,
        member: Joined,
        settings: Arc<Settings>,
        options: Options,
    ) -> Gateway {
        let keys = Mutex::new(Keys::new(options.own_keys.clone()));
        Gateway {
            start: Instant::now(),
            node,
            cluster,
            member,
            settings,
            options,
            keys,
            meters: Mutex::default(),
            flying: Mutex::default(),
        }
    }

    /// Never ends: what an earlier run of the agent was told holds again as soon as the authority is known.
    pub async fn remember(&self) {
        let mut member = self.member.clone();
        loop {
            let authority = member.borrow_and_update().as_ref().map(|kept| kept.member.authority);
            if let (Some(authority), Some(list)) = (authority, kept::read()) {
                // An older or a stranger's list changes nothing.
                let _ = self.keys().take(list, &authority);
            }
            if member.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

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
        let is_stream = routing.is_stream && purpose == Purpose::Text;
        let whom = Whom { candidates, path: route, id: id.to_owned(), is_stream };
        let job = Job::new(guest, whom, body, routing.with_usage);
        if is_stream { stream(job).await } else { relay::whole(job).await }
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

    /// The name of the key that a request shows; the sentence and status for whom has none.
    pub fn key(&self, fields: &upstream::HeaderMap) -> Result<String, (u16, String)> {
        let checked = self.keys().check(self.start.elapsed(), shown(fields));
        checked.map(|key| key.name).map_err(|error| (error.status, error.message))
    }

    /// What is known now. A node without a cluster knows itself.
    async fn view(&self) -> View {
        let worker = self.options.worker.unwrap_or_else(crate::args::usual_worker);
        let Options { manners, set, mut last_resort, .. } = self.options.clone();
        // What was said to this node itself goes before what is said to all.
        let told = self.settings.now();
        let set = set.or(told.llm_url);
        last_resort.extend(told.llm_last_resort);
        let mut copies = match self.cluster.picture() {
            Some(picture) => view::copies(&picture, worker),
            None if set.is_some() => vec![],
            None => view::of_facts(&crate::cluster::facts::tell(&self.node.status().await), worker),
        };
        let flying = self.flying().clone();
        for copy in &mut copies {
            // Gossip is late by seconds, and may count ours already: the truth is not less than either.
            let own = flying.get(&(copy.address, copy.expert.clone())).copied().unwrap_or(0);
            copy.busy = copy.busy.max(own);
        }
        View { copies, manners, set, last_resort }
    }

    /// Whether this is an expert of ours, whose name may be counted.
    fn knows(&self, model: &str) -> bool {
        self.options.manners.contains_key(model)
    }

    /// A connection failed: the others should not wait for the gossip to find out.
    fn unreachable(&self, candidate: &route::Candidate) {
        if let Some(node) = candidate.node {
            self.cluster.unreachable(node, &view::service(&candidate.model));
        }
    }

    /// A new list of keys, posted by the boot server.
    pub fn take_keys(&self, ask: &Ask) -> Answer {
        let Some(text) = &ask.posted else {
            return Answer {
                fields: &[("allow", "POST")],
                ..Answer::text(405, "a list of keys is posted\n")
            };
        };
        if ask.is_of_a_browser {
            return Answer::text(403, "a page may not change keys\n");
        }
        let Some(kept) = self.member.borrow().clone() else {
            return Answer::text(503, "this node is no member of a cluster\n");
        };
        let list = match ApiKeys::parse(text) {
            Ok(list) => list,
            Err(error) => return Answer::text(400, &format!("{error}\n")),
        };
        let taken = self.keys().take(list.clone(), &kept.member.authority);
        match taken {
            Ok(false) => Answer::text(200, "this list is here already\n"),
            Ok(true) => match kept::write(&list) {
                Ok(()) => Answer::text(200, "taken\n"),
                // It holds; only a restart of the agent would forget it, and then it is told again by nobody.
                Err(error) => Answer::text(500, &format!("the list cannot be kept: {error}\n")),
            },
            Err(ListError::Old { has }) => Answer::text(409, &format!("version {has} is here\n")),
            Err(ListError::Untrue(error)) => Answer::text(403, &format!("{error}\n")),
        }
    }

    pub fn metrics(&self) -> Answer {
        let body = self.meters().text().into_bytes();
        Answer { status: 200, content_type: "text/plain; version=0.0.4; charset=utf-8", body, fields: &[] }
    }

    pub fn status(&self) -> GatewayStatus {
        let keys = self.keys().status();
        self.meters().status(keys)
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flying(&self) -> MutexGuard<'_, BTreeMap<Place, u16>> {
        self.flying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn meters(&self) -> MutexGuard<'_, Meters> {
        self.meters.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
    own.map_or_else(|| format!("req-{:016x}", u64::from_ne_bytes(crate::enrolling::random())), str::to_owned)
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
