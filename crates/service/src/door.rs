//! An HTTP/1.1 door, which no stranger can jam or kill.
//!
//! Everything is bounded: connections in all and from one address, the head, the time for the head, the body, the life
//! of a connection. Only GET, HEAD and POST enter, and a body only where the program says how long it may be.
//! A program with long bodies or long answers hands in a gate too, which judges a request by its head alone.
//! It deliberately knows no path and no page: the program hands in a function from [`Ask`] to [`Answer`].

mod lifetime;

use crate::events::Events;
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use lifetime::Lifetime;
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections in all; one costs about 20 KiB.
pub const CONNECTIONS_MAX: usize = 64;
/// Connections from one address, so that one slow client leaves room for the others; a browser opens six.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 12;
/// Request line and header fields together; also the least that hyper allows.
pub const HEAD_BYTES_MAX: usize = 8192;
/// Header fields of a request.
pub const HEAD_FIELDS_MAX: usize = 64;
/// From the connection, or from the answer before, to the last byte of the head.
pub const HEAD_TIME_MAX: Duration = Duration::from_secs(5);
/// A connection ends after this time, whatever it does; a slow reader holds its place no longer.
/// Only a gate can give a request longer.
pub const CONNECTION_TIME_MAX: Duration = Duration::from_secs(60);
/// From the head of a request to the last byte of its body.
pub const BODY_TIME_MAX: Duration = Duration::from_secs(30);
/// A body up to this length always has room.
pub const SHORT_BODY_BYTES: usize = 64 * 1024;
/// All longer bodies together, until they are answered.
pub const LONG_BODIES_BYTES_MAX: usize = 16 * 1024 * 1024;
/// After a failed accept, most often for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How many may be inside, and how much they may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub connections: usize,
    pub connections_per_address: usize,
    /// Longest body of a POST; 0 where nothing may be posted. A gate may say otherwise for one request.
    pub body_bytes: usize,
}

/// A request before anything of its body was read.
#[derive(Debug)]
pub struct Head<'a> {
    pub path: &'a str,
    pub is_post: bool,
    pub client: SocketAddr,
    pub fields: &'a HeaderMap,
}

/// What a gate allows one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    pub body_bytes: usize,
    /// Its connection lives at least so long from now.
    pub time: Duration,
}

impl Limits {
    /// What every request may that no gate speaks of.
    pub fn usual(&self) -> Allowance {
        Allowance { body_bytes: self.body_bytes, time: Duration::ZERO }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        let (connections, connections_per_address) = (CONNECTIONS_MAX, CONNECTIONS_PER_ADDRESS_MAX);
        Limits { connections, connections_per_address, body_bytes: 0 }
    }
}

/// What a client asks: a GET, a HEAD that the door shortens by itself, or a POST.
#[derive(Debug, PartialEq, Eq)]
pub struct Ask {
    /// The path without the query.
    pub path: String,
    pub client: SocketAddr,
    /// A browser asks, perhaps on behalf of a page from anywhere: it may look, and change nothing.
    pub is_of_a_browser: bool,
    /// The body of a POST, whole and within its limit; absent for GET and HEAD.
    pub posted: Option<Vec<u8>>,
    /// The last event that a client heard which comes again for more.
    pub heard: Option<u64>,
    /// The header fields.
    pub fields: HeaderMap,
}

/// What the program answers.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub content_type: &'static str,
    pub body: Vec<u8>,
    /// Further header fields, such as a content security policy.
    pub fields: &'static [(&'static str, &'static str)],
}

/// An answer, or events as they come.
pub enum Reply {
    Whole(Answer),
    Events(Events),
    Full(Response),
    Carried(Upgrade),
}

/// From now on the connection speaks another protocol: 101, and then it is the program's, as long as the gate gave it.
pub struct Upgrade {
    pub protocol: &'static str,
    /// What the other protocol wants to be told.
    pub fields: Vec<(&'static str, String)>,
    /// What is done with it.
    pub then: Then,
}

/// Takes a connection until it is done with it.
pub type Then = Box<dyn FnOnce(Carried) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// A connection that has left HTTP behind.
pub type Carried = TokioIo<hyper::upgrade::Upgraded>;

/// An answer with fields that are known only now, whole or as it comes.
pub struct Response {
    pub status: u16,
    pub content_type: &'static str,
    pub fields: Vec<(&'static str, String)>,
    pub body: ResponseBody,
}

pub enum ResponseBody {
    Whole(Vec<u8>),
    Events(Events),
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Reply {
        Reply::Whole(answer)
    }
}

impl Answer {
    /// An answer of plain text.
    pub fn text(status: u16, body: &str) -> Answer {
        Answer { status, content_type: "text/plain; charset=utf-8", body: body.into(), fields: &[] }
    }

    /// An answer of JSON.
    pub fn json(status: u16, body: Vec<u8>) -> Answer {
        Answer { status, content_type: "application/json", body, fields: &[] }
    }
}

/// Serves until the future is dropped; nothing may be posted.
pub async fn serve<F, A>(listener: TcpListener, answer: F)
where
    F: Fn(Ask) -> A + Clone + Send + Sync + 'static,
    A: Future<Output: Into<Reply>> + Send + 'static,
{
    serve_within(Limits::default(), listener, answer).await;
}

/// The same within limits of the program's own.
pub async fn serve_within<F, A>(limits: Limits, listener: TcpListener, answer: F)
where
    F: Fn(Ask) -> A + Clone + Send + Sync + 'static,
    A: Future<Output: Into<Reply>> + Send + 'static,
{
    serve_gated(limits, listener, move |_| Ok(limits.usual()), answer).await;
}

/// The same, with a gate that judges each request by its head: `Err` is the answer to one whose body is not read.
pub async fn serve_gated<G, F, A>(limits: Limits, listener: TcpListener, gate: G, answer: F)
where
    G: Fn(&Head<'_>) -> Result<Allowance, Reply> + Clone + Send + Sync + 'static,
    F: Fn(Ask) -> A + Clone + Send + Sync + 'static,
    A: Future<Output: Into<Reply>> + Send + 'static,
{
    let guests = Guests { limits, inside: Arc::default() };
    let long_bodies = Arc::new(Semaphore::new(LONG_BODIES_BYTES_MAX));
    loop {
        let Ok((stream, client)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // No place: the connection is closed at once, which costs nothing and says enough.
        let Some(place) = guests.admit(client.ip()) else { continue };
        let entry = Entry {
            client,
            gate: gate.clone(),
            long_bodies: long_bodies.clone(),
            lifetime: Lifetime::new(CONNECTION_TIME_MAX),
        };
        let answer = answer.clone();
        tokio::spawn(async move {
            let lifetime = entry.lifetime.clone();
            lifetime.bound(visit(stream, entry, answer)).await;
            drop(place);
        });
    }
}

/// What judges the requests of one connection.
struct Entry<G> {
    client: SocketAddr,
    gate: G,
    long_bodies: Arc<Semaphore>,
    lifetime: Lifetime,
}

/// One connection; an error of it concerns nobody else.
async fn visit<G, F, A>(stream: TcpStream, entry: Entry<G>, answer: F)
where
    G: Fn(&Head<'_>) -> Result<Allowance, Reply>,
    F: Fn(Ask) -> A,
    A: Future<Output: Into<Reply>>,
{
    let _ = stream.set_nodelay(true);
    let (upgraded, streaming) = (Mutex::new(None), Mutex::new(None));
    let (answer, entry, upgrades, streams) = (&answer, &entry, &upgraded, &streaming);
    let respond = hyper::service::service_fn(|mut request| async move {
        let carried = hyper::upgrade::on(&mut request);
        let reply = match admit(request, entry).await {
            Ok((ask, room)) => {
                let reply = answer(ask).await.into();
                // Whoever streams may keep the body to the end: the room is given back with the next request, or with
                // the connection. Else it is given back now.
                let kept = room.filter(|_| !matches!(reply, Reply::Whole(_)));
                *streams.lock().unwrap_or_else(PoisonError::into_inner) = kept;
                reply
            }
            Err(refusal) => refusal,
        };
        let reply = match reply {
            Reply::Carried(Upgrade { protocol, fields, then }) => {
                *upgrades.lock().unwrap_or_else(PoisonError::into_inner) = Some((carried, then));
                switching(protocol, fields)
            }
            reply => respond(reply),
        };
        Ok::<_, Infallible>(reply)
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEAD_FIELDS_MAX)
        .serve_connection(TokioIo::new(stream), respond)
        .with_upgrades()
        .await;
    let upgraded = upgraded.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some((carried, then)) = upgraded
        && let Ok(carried) = carried.await
    {
        then(TokioIo::new(carried)).await;
    }
}

/// The answer after which the connection is another's.
fn switching(
    protocol: &'static str,
    more: Vec<(&'static str, String)>,
) -> hyper::Response<Either<Full<Bytes>, Events>> {
    let mut response = hyper::Response::new(Either::Left(Full::default()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let fields = [("connection", "upgrade"), ("upgrade", protocol)];
    for (name, value) in fields {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    put(&mut response, more);
    response
}

/// What is no value of a field, such as one with a line feed, is left out.
fn put<B>(response: &mut hyper::Response<B>, fields: Vec<(&'static str, String)>) {
    for (name, value) in fields {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
}

async fn admit<G>(
    request: Request<Incoming>,
    entry: &Entry<G>,
) -> Result<(Ask, Option<OwnedSemaphorePermit>), Reply>
where
    G: Fn(&Head<'_>) -> Result<Allowance, Reply>,
{
    let (parts, body) = request.into_parts();
    let (path, fields, client) = (parts.uri.path().to_owned(), parts.headers, entry.client);
    let is_post = parts.method == Method::POST;
    let allowance = (entry.gate)(&Head { path: &path, is_post, client, fields: &fields })?;
    let bytes_max = allowance.body_bytes;
    let posts = is_post && bytes_max > 0;
    if !posts && parts.method != Method::GET && parts.method != Method::HEAD {
        let allow = if bytes_max > 0 { "GET, HEAD, POST" } else { "GET, HEAD" };
        let fields = if bytes_max > 0 { ALLOW_POST } else { ALLOW };
        return Err(Answer { fields, ..Answer::text(405, &format!("only {allow}\n")) }.into());
    }
    if !posts && !body.is_end_stream() {
        return Err(Answer { fields: CLOSE, ..Answer::text(413, "no body, please\n") }.into());
    }
    entry.lifetime.lengthen(allowance.time);
    let is_of_a_browser = is_of_a_browser(&fields);
    if !posts {
        let heard = fields.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
        return Ok((Ask { path, client, is_of_a_browser, posted: None, heard, fields }, None));
    }
    // What is announced too long is refused before it is read; what grows too long is not read on.
    let too_long = || Answer { fields: CLOSE, ..Answer::text(413, &format!("at most {bytes_max} bytes\n")) };
    let hint = body.size_hint();
    if hint.lower() > bytes_max as u64 {
        return Err(too_long().into());
    }
    let bytes = hint.exact().and_then(|exact| usize::try_from(exact).ok()).unwrap_or(bytes_max);
    let room = room(&entry.long_bodies, bytes)?;
    let reading = tokio::time::timeout(BODY_TIME_MAX, Limited::new(body, bytes_max).collect());
    let late = |_| Answer { fields: CLOSE, ..Answer::text(408, "the body came too slowly\n") };
    let body = reading.await.map_err(late)?.map_err(|_| too_long())?;
    let posted = Some(body.to_bytes().into());
    Ok((Ask { path, client, is_of_a_browser, posted, heard: None, fields }, room))
}

/// Room for a long body; a short one needs none.
fn room(long_bodies: &Arc<Semaphore>, bytes: usize) -> Result<Option<OwnedSemaphorePermit>, Answer> {
    if bytes <= SHORT_BODY_BYTES {
        return Ok(None);
    }
    let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
    let full =
        |_| Answer { fields: BUSY, ..Answer::text(503, "too many long requests at once; ask again\n") };
    long_bodies.clone().try_acquire_many_owned(permits).map(Some).map_err(full)
}

const ALLOW: &[(&str, &str)] = &[("allow", "GET, HEAD")];
const ALLOW_POST: &[(&str, &str)] = &[("allow", "GET, HEAD, POST")];
const CLOSE: &[(&str, &str)] = &[("connection", "close")];
const BUSY: &[(&str, &str)] = &[("connection", "close"), ("retry-after", "1")];

/// Whether a browser asks, perhaps on behalf of a page from anywhere.
///
/// Pages cannot take `Origin` and `Sec-Fetch-Site` away, but browsers send neither with an image over plain HTTP;
/// so the name that every browser bears counts too. A host that is a name is one that a stranger's
/// name server can point here; programs of ours call each other by address.
pub fn is_of_a_browser(headers: &HeaderMap) -> bool {
    let named = |value: &HeaderValue| !value.to_str().is_ok_and(is_address);
    let agent = headers.get(header::USER_AGENT).map_or(&b""[..], HeaderValue::as_bytes);
    headers.contains_key(header::ORIGIN)
        || headers.contains_key("sec-fetch-site")
        || agent.starts_with(b"Mozilla/")
        || headers.get_all(header::HOST).iter().any(named)
}

/// `10.0.0.1`, `10.0.0.1:8080`, `localhost`, and of IPv6 `[fd00::1]` and `[fd00::1]:8081`.
fn is_address(host: &str) -> bool {
    let is_six = |host: &str| host.parse::<SocketAddrV6>().is_ok();
    if host.starts_with('[') {
        return is_six(host) || is_six(&format!("{host}:80"));
    }
    let (host, port) = host.rsplit_once(':').unwrap_or((host, "80"));
    (host == "localhost" || host.parse::<Ipv4Addr>().is_ok()) && port.parse::<u16>().is_ok()
}

/// The one place where an answer becomes bytes.
fn respond(reply: Reply) -> hyper::Response<Either<Full<Bytes>, Events>> {
    let (status, content_type, fixed, fields, body) = match reply {
        Reply::Whole(Answer { status, content_type, body, fields }) => {
            (status, content_type, fields, vec![], ResponseBody::Whole(body))
        }
        Reply::Carried(Upgrade { protocol, fields, .. }) => return switching(protocol, fields),
        Reply::Events(events) => (200, "text/event-stream", &[][..], vec![], ResponseBody::Events(events)),
        Reply::Full(Response { status, content_type, fields, body }) => {
            (status, content_type, &[][..], fields, body)
        }
    };
    let mut response = hyper::Response::new(match body {
        ResponseBody::Whole(body) => Either::Left(Full::new(Bytes::from(body))),
        ResponseBody::Events(events) => Either::Right(events),
    });
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let always = [
        ("content-type", content_type),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
    ];
    for &(name, value) in always.iter().chain(fixed) {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    put(&mut response, fields);
    response
}

/// Who is inside, by address.
#[derive(Clone, Default)]
struct Guests {
    limits: Limits,
    inside: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One place inside; given back when dropped.
struct Place(Guests, IpAddr);

impl Guests {
    fn admit(&self, address: IpAddr) -> Option<Place> {
        let Limits { connections, connections_per_address, .. } = self.limits;
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let own = inside.get(&address).copied().unwrap_or(0);
        if own >= connections_per_address || inside.values().sum::<usize>() >= connections {
            return None;
        }
        inside.insert(address, own + 1);
        Some(Place(self.clone(), address))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.0.inside.lock().unwrap_or_else(PoisonError::into_inner);
        match inside.get_mut(&self.1) {
            Some(n) if *n > 1 => *n -= 1,
            _ => drop(inside.remove(&self.1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn fill(guests: &Guests, last: u8, n: usize) -> Vec<Place> {
        (0..n).map_while(|_| guests.admit(address(last))).collect()
    }

    #[test]
    fn one_address_cannot_take_all_places() {
        let guests = Guests::default();
        let greedy = fill(&guests, 1, CONNECTIONS_MAX);
        assert_eq!(greedy.len(), CONNECTIONS_PER_ADDRESS_MAX);
        assert!(guests.admit(address(2)).is_some());
    }

    #[test]
    fn long_bodies_share_a_room_and_short_ones_need_none() {
        let long_bodies = Arc::new(Semaphore::new(LONG_BODIES_BYTES_MAX));
        let kept = room(&long_bodies, LONG_BODIES_BYTES_MAX).expect("room for one");
        assert_eq!(room(&long_bodies, SHORT_BODY_BYTES + 1).expect_err("full").status, 503);
        assert!(room(&long_bodies, SHORT_BODY_BYTES).expect("a short one").is_none());
        drop(kept);
        assert!(room(&long_bodies, SHORT_BODY_BYTES + 1).is_ok());
    }

    #[test]
    fn the_door_closes_when_all_places_are_taken() {
        let guests = Guests::default();
        let crowd: Vec<Place> = (0..=255).flat_map(|last| fill(&guests, last, 1)).collect();
        assert_eq!(crowd.len(), CONNECTIONS_MAX);
    }

    #[test]
    fn a_place_is_free_again_when_its_guest_leaves() {
        let guests = Guests::default();
        drop(fill(&guests, 1, CONNECTIONS_PER_ADDRESS_MAX));
        assert!(guests.inside.lock().unwrap().is_empty());
        assert!(guests.admit(address(1)).is_some());
    }

    fn check_browser(fields: &str, want: bool) {
        let mut headers = HeaderMap::new();
        for (name, value) in fields.lines().filter_map(|line| line.split_once(": ")) {
            let name = header::HeaderName::from_bytes(name.as_bytes()).expect("a name");
            headers.append(name, HeaderValue::from_str(value).expect("a value"));
        }
        assert_eq!(is_of_a_browser(&headers), want, "{fields}");
    }

    #[test]
    fn what_boots_is_no_browser() {
        check_browser("host: 10.77.0.1\nuser-agent: iPXE/1.21.1+", false);
        check_browser("host: 10.77.0.1:8080\nconnection: close", false);
        check_browser("host: localhost:8080", false);
        check_browser("host: [fd01:203::7]:8081", false);
        check_browser("host: [fd01:203::7]", false);
        check_browser("", false);
    }

    #[test]
    fn a_page_of_a_browser_is_told_by_what_it_cannot_leave_out() {
        check_browser("host: 10.77.0.1\norigin: null", true);
        check_browser("host: 10.77.0.1\nsec-fetch-site: cross-site", true);
        check_browser("host: 10.77.0.1\nuser-agent: Mozilla/5.0 (X11)", true);
        check_browser("host: evil.example", true);
        check_browser("host: 10.77.0.1\nhost: evil.example", true);
        check_browser("host: 10.77.0.1.evil.example:80", true);
        check_browser("host: [fd01::7].evil.example", true);
        check_browser("host: [evil.example]:80", true);
    }
}
