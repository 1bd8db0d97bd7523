//! An HTTP/1.1 door for small answers, which no stranger can jam or kill.
//!
//! Everything is bounded: connections in all and from one address, the head, the time for the head, the body, the life
//! of a connection. Only GET, HEAD and POST enter, and a body only where the program says how long it may be.
//! It deliberately knows no path and no page: the program hands in a function from [`Ask`] to [`Answer`].

use crate::events::Events;
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

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
pub const CONNECTION_TIME_MAX: Duration = Duration::from_secs(60);
/// After a failed accept, most often for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How many may be inside, and how much they may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub connections: usize,
    pub connections_per_address: usize,
    /// Longest body of a POST; 0 where nothing may be posted.
    pub body_bytes: usize,
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
    let guests = Guests { limits, inside: Arc::default() };
    loop {
        let Ok((stream, client)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // No place: the connection is closed at once, which costs nothing and says enough.
        let Some(place) = guests.admit(client.ip()) else { continue };
        let visit = visit(stream, client, limits, answer.clone());
        tokio::spawn(async move {
            let _ = tokio::time::timeout(CONNECTION_TIME_MAX, visit).await;
            drop(place);
        });
    }
}

/// One connection; an error of it concerns nobody else.
async fn visit<F, A>(stream: TcpStream, client: SocketAddr, limits: Limits, answer: F)
where
    F: Fn(Ask) -> A,
    A: Future<Output: Into<Reply>>,
{
    let _ = stream.set_nodelay(true);
    let answer = &answer;
    let respond = hyper::service::service_fn(|request| async move {
        let answer = match admit(request, client, limits).await {
            Ok(ask) => answer(ask).await.into(),
            Err(refusal) => Reply::Whole(refusal),
        };
        Ok::<_, Infallible>(respond(answer))
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEAD_FIELDS_MAX)
        .serve_connection(TokioIo::new(stream), respond)
        .await;
}

async fn admit(request: Request<Incoming>, client: SocketAddr, limits: Limits) -> Result<Ask, Answer> {
    let posts = request.method() == Method::POST && limits.body_bytes > 0;
    if !posts && request.method() != Method::GET && request.method() != Method::HEAD {
        let allow = if limits.body_bytes > 0 { "GET, HEAD, POST" } else { "GET, HEAD" };
        let fields = if limits.body_bytes > 0 { ALLOW_POST } else { ALLOW };
        return Err(Answer { fields, ..Answer::text(405, &format!("only {allow}\n")) });
    }
    if !posts && !request.body().is_end_stream() {
        return Err(Answer { fields: CLOSE, ..Answer::text(413, "no body, please\n") });
    }
    let path = request.uri().path().to_string();
    let is_of_a_browser = is_of_a_browser(request.headers());
    if !posts {
        let heard = request.headers().get("last-event-id");
        let heard = heard.and_then(|id| id.to_str().ok()?.parse().ok());
        return Ok(Ask { path, client, is_of_a_browser, posted: None, heard });
    }
    // What is announced too long is refused before it is read; what grows too long is not read on.
    let too_long =
        || Answer { fields: CLOSE, ..Answer::text(413, &format!("at most {} bytes\n", limits.body_bytes)) };
    let body = request.into_body();
    if body.size_hint().lower() > limits.body_bytes as u64 {
        return Err(too_long());
    }
    let body = Limited::new(body, limits.body_bytes).collect().await.map_err(|_| too_long())?;
    Ok(Ask { path, client, is_of_a_browser, posted: Some(body.to_bytes().into()), heard: None })
}

const ALLOW: &[(&str, &str)] = &[("allow", "GET, HEAD")];
const ALLOW_POST: &[(&str, &str)] = &[("allow", "GET, HEAD, POST")];
const CLOSE: &[(&str, &str)] = &[("connection", "close")];

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

/// `10.0.0.1`, `10.0.0.1:8080`, `localhost`.
fn is_address(host: &str) -> bool {
    let (host, port) = host.rsplit_once(':').unwrap_or((host, "80"));
    (host == "localhost" || host.parse::<Ipv4Addr>().is_ok()) && port.parse::<u16>().is_ok()
}

/// The one place where an answer becomes bytes.
fn respond(reply: Reply) -> Response<Either<Full<Bytes>, Events>> {
    let (status, content_type, fields, body) = match reply {
        Reply::Whole(Answer { status, content_type, body, fields }) => {
            (status, content_type, fields, Either::Left(Full::new(Bytes::from(body))))
        }
        Reply::Events(events) => (200, "text/event-stream", &[][..], Either::Right(events)),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let always = [
        ("content-type", content_type),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
    ];
    for &(name, value) in always.iter().chain(fields) {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
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
    }
}
