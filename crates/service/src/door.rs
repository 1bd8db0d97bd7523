//! An HTTP/1.1 door for small answers, which no stranger can jam or kill.
//!
//! Everything is bounded: connections in all and from one address, the head, the time for the head, the life of a
//! connection. Only GET and HEAD enter, and no body does.
//! It deliberately knows no path and no page: the program hands in a function from [`Ask`] to [`Answer`].

use http_body_util::Full;
use hyper::body::{Body, Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
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

/// What a client asks: always a GET, or a HEAD that the door shortens by itself.
#[derive(Debug, PartialEq, Eq)]
pub struct Ask {
    /// The path without the query.
    pub path: String,
    pub client: SocketAddr,
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

/// Serves until the future is dropped.
pub async fn serve<F, A>(listener: TcpListener, answer: F)
where
    F: Fn(Ask) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    let guests = Guests::default();
    loop {
        let Ok((stream, client)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // No place: the connection is closed at once, which costs nothing and says enough.
        let Some(place) = guests.admit(client.ip()) else { continue };
        let visit = visit(stream, client, answer.clone());
        tokio::spawn(async move {
            let _ = tokio::time::timeout(CONNECTION_TIME_MAX, visit).await;
            drop(place);
        });
    }
}

/// One connection; an error of it concerns nobody else.
async fn visit<F, A>(stream: TcpStream, client: SocketAddr, answer: F)
where
    F: Fn(Ask) -> A,
    A: Future<Output = Answer>,
{
    let _ = stream.set_nodelay(true);
    let respond = hyper::service::service_fn(|request| {
        let wish = admit(&request, client).map(&answer);
        async { Ok::<_, Infallible>(respond(wish).await) }
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEAD_FIELDS_MAX)
        .serve_connection(TokioIo::new(stream), respond)
        .await;
}

fn admit(request: &Request<Incoming>, client: SocketAddr) -> Result<Ask, Answer> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return Err(Answer { fields: &[("allow", "GET, HEAD")], ..Answer::text(405, "only GET and HEAD\n") });
    }
    if !request.body().is_end_stream() {
        return Err(Answer { fields: &[("connection", "close")], ..Answer::text(413, "no body, please\n") });
    }
    Ok(Ask { path: request.uri().path().to_string(), client })
}

async fn respond<A: Future<Output = Answer>>(wish: Result<A, Answer>) -> Response<Full<Bytes>> {
    let answer = match wish {
        Ok(answer) => answer.await,
        Err(refusal) => refusal,
    };
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = status;
    let always = [
        ("content-type", answer.content_type),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
    ];
    for &(name, value) in always.iter().chain(answer.fields) {
        response.headers_mut().insert(name, hyper::header::HeaderValue::from_static(value));
    }
    response
}

/// Who is inside, by address.
#[derive(Clone, Default)]
struct Guests(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One place inside; given back when dropped.
struct Place(Guests, IpAddr);

impl Guests {
    fn admit(&self, address: IpAddr) -> Option<Place> {
        let mut inside = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = inside.get(&address).copied().unwrap_or(0);
        if own >= CONNECTIONS_PER_ADDRESS_MAX || inside.values().sum::<usize>() >= CONNECTIONS_MAX {
            return None;
        }
        inside.insert(address, own + 1);
        Some(Place(self.clone(), address))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
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
        assert!(guests.0.lock().unwrap().is_empty());
        assert!(guests.admit(address(1)).is_some());
    }
}
