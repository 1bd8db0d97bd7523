//! Everything on the HTTP side that is no file: scripts, reports, the API and the page, through hyper.
//!
//! It turns requests into calls of the desk and its answers into responses, and knows no more.

use super::desk::Asker;
use super::models::TREE;
use super::{Shared, page, view, wire};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use netboot::{Mac, script};
use service::door::is_of_a_browser;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// One request and its answer take no longer than this.
pub const PAGE_SECONDS_MAX: u64 = 15;

/// What is offered, and how much of it went out.
const MODELS_PATH: &str = "/api/models";

type Answer = Response<Full<Bytes>>;

/// Answers one request whose first bytes were read already, then closes.
///
/// Closing keeps the files out of hyper: a client that wants a file next comes through the front door again.
pub async fn serve(
    stream: TcpStream,
    bytes: Vec<u8>,
    peer: SocketAddr,
    shared: Arc<Shared>,
) -> io::Result<()> {
    let service = hyper::service::service_fn(move |request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(answer(request, peer, &shared).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(Replay { bytes, stream }), service);
    match timeout(Duration::from_secs(PAGE_SECONDS_MAX), connection).await {
        Ok(ended) => ended.map_err(io::Error::other),
        Err(late) => Err(late.into()),
    }
}

async fn answer(request: Request<Incoming>, peer: SocketAddr, shared: &Shared) -> Answer {
    let path = request.uri().path().to_owned();
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let changes = path == release::REPORT_PATH || boot_mac(&path).is_some();
    if changes && is_of_a_browser(request.headers()) {
        return plain(StatusCode::FORBIDDEN, "only a PC that boots may ask this\n".to_owned());
    }
    match (path.as_str(), reads) {
        ("/", true) => page_answer(shared),
        ("/boot.ipxe", true) => plain(StatusCode::OK, script::chain(shared.desk().server)),
        ("/api/pcs", true) => api_answer(shared),
        (MODELS_PATH, true) => models(shared),
        (admission::CATALOGUE_PATH, true) => catalogue(shared),
        (release::REPORT_PATH, false) if request.method() == Method::POST => {
            report(request, peer, shared).await
        }
        (
            "/" | "/boot.ipxe" | "/api/pcs" | MODELS_PATH | admission::CATALOGUE_PATH | release::REPORT_PATH,
            _,
        ) => plain(StatusCode::METHOD_NOT_ALLOWED, "this address is not used like that\n".to_owned()),
        (path, true) => match boot_mac(path) {
            // Only a real request begins an attempt; HEAD asks about it.
            Some(mac) if request.method() == Method::GET => boot(mac, peer, shared),
            Some(_) => plain(StatusCode::OK, String::new()),
            None => tree(path, shared).unwrap_or_else(|| first_stage(path, shared)),
        },
        _ => not_found(),
    }
}

fn models(shared: &Shared) -> Answer {
    let models = shared.desk().models.clone();
    let told = models.iter().map(|model| {
        let sent = model.sent.load(Ordering::Relaxed);
        serde_json::json!({ "file": model.told.file, "bytes": model.told.bytes, "sent_bytes": sent })
    });
    let told: Vec<serde_json::Value> = told.collect();
    let refused = &models.refused;
    with_type(
        StatusCode::OK,
        "application/json",
        serde_json::json!({ "models": told, "refused": refused }).to_string(),
    )
}

fn catalogue(shared: &Shared) -> Answer {
    let catalogue = shared.desk().models.catalogue.clone();
    match catalogue {
        Some(text) => with_type(StatusCode::OK, "application/json", text.to_string()),
        None => plain(StatusCode::NOT_FOUND, "no model was read yet\n".to_owned()),
    }
}

/// `/models/HASH.tree`: what each chunk of a model is held to.
fn tree(path: &str, shared: &Shared) -> Option<Answer> {
    let hash = path.strip_prefix("/models/")?.strip_suffix(TREE)?;
    let model = shared.desk().models.find(hash)?;
    let mut answer = Response::new(Full::new(Bytes::from(model.tree.to_bytes())));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    Some(answer)
}

/// `/ipxe/NAME`, for UEFI that boots over HTTP.
fn first_stage(path: &str, shared: &Shared) -> Answer {
    let Some(bytes) = path.strip_prefix("/ipxe/").and_then(|name| shared.stages.get(name)) else {
        return not_found();
    };
    let mut answer = Response::new(Full::new(Bytes::from_owner(bytes.clone())));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/efi"));
    answer
}

fn not_found() -> Answer {
    plain(StatusCode::NOT_FOUND, "there is nothing at this address\n".to_owned())
}

/// The MAC in `/boot/52-54-00-77-00-01.ipxe`.
pub fn boot_mac(path: &str) -> Option<Mac> {
    let mac: Mac = path.strip_prefix("/boot/")?.strip_suffix(".ipxe")?.parse().ok()?;
    mac.is_card().then_some(mac)
}

fn boot(mac: Mac, peer: SocketAddr, shared: &Shared) -> Answer {
    let now_ms = shared.now_ms();
    let asker = asker(peer, shared);
    match shared.desk().script(mac, asker, now_ms) {
        Ok(script) => plain(StatusCode::OK, script),
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

pub(super) fn asker(peer: SocketAddr, shared: &Shared) -> Asker {
    let interface = shared.desk().interface.clone();
    Asker { address: peer.ip(), card: wire::neighbour(peer.ip(), &interface) }
}

async fn report(request: Request<Incoming>, peer: SocketAddr, shared: &Shared) -> Answer {
    let body = Limited::new(request.into_body(), release::REPORT_BYTES_MAX);
    let Ok(body) = body.collect().await else {
        return plain(StatusCode::PAYLOAD_TOO_LARGE, "a report has at most 4096 bytes\n".to_owned());
    };
    let now_ms = shared.now_ms();
    let asker = asker(peer, shared);
    match shared.desk().report(&body.to_bytes(), asker, now_ms) {
        Ok(()) => plain(StatusCode::NO_CONTENT, String::new()),
        Err(super::desk::ReportError::Unreadable) => {
            plain(StatusCode::BAD_REQUEST, "this is not a boot report\n".to_owned())
        }
        Err(super::desk::ReportError::Stale) => {
            plain(StatusCode::CONFLICT, "this PC is not in that attempt\n".to_owned())
        }
        Err(super::desk::ReportError::Stranger) => {
            plain(StatusCode::FORBIDDEN, "this is another PC's attempt\n".to_owned())
        }
    }
}

fn api_answer(shared: &Shared) -> Answer {
    let now_ms = shared.now_ms();
    let snapshot = view::snapshot(&shared.desk(), now_ms);
    let json = serde_json::to_string(&snapshot).expect("a snapshot has only plain values");
    with_type(StatusCode::OK, "application/json", json)
}

fn page_answer(shared: &Shared) -> Answer {
    let now_ms = shared.now_ms();
    let snapshot = view::snapshot(&shared.desk(), now_ms);
    let mut answer = with_type(StatusCode::OK, "text/html; charset=utf-8", page::html(&snapshot));
    if let Ok(policy) = HeaderValue::from_str(&page::content_policy()) {
        answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    answer.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    answer
}

fn plain(status: StatusCode, text: String) -> Answer {
    with_type(status, "text/plain; charset=utf-8", text)
}

fn with_type(status: StatusCode, kind: &'static str, text: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// A connection that is read from its first byte again.
struct Replay {
    bytes: Vec<u8>,
    stream: TcpStream,
}

impl AsyncRead for Replay {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.bytes.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let n = self.bytes.len().min(buf.remaining());
        buf.put_slice(&self.bytes[..n]);
        self.bytes.drain(..n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Replay {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, want: Option<&str>) {
        assert_eq!(boot_mac(path).map(|mac| mac.to_string()).as_deref(), want, "{path}");
    }

    #[test]
    fn a_script_is_named_by_a_card() {
        check("/boot/52-54-00-77-00-01.ipxe", Some("52:54:00:77:00:01"));
        check("/boot/52-54-00-77-00-01", None);
        check("/boot/ff-ff-ff-ff-ff-ff.ipxe", None);
        check("/boot/../boot.ipxe", None);
        check("/boot/.ipxe", None);
    }
}
