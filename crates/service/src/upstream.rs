//! One HTTP request whose answer is handed on as it comes: from the gateway to the node that holds a model.
//!
//! Each request has a connection of its own: to drop the answer ends it, and so tells the other side to stop.
//! It deliberately follows no redirect, keeps no connection, knows no TLS and no retry.

use crate::door::Carried;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
pub use hyper::header::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// Nodes are on one wire: who does not answer by then is not there.
pub const CONNECT_TIME_MAX: Duration = Duration::from_millis(1500);
/// Head of an answer, and the most that is read at once.
const READ_BYTES_MAX: usize = 16 * 1024;
const FIELDS_MAX: usize = 64;

/// Why there is no answer, or no more of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamError {
    /// No connection.
    Unreachable(std::io::ErrorKind),
    /// No answer began in time, or it stopped in the middle.
    Late,
    /// The connection broke.
    Broken,
    /// The answer is no HTTP.
    Garbled,
    /// Longer than the reader takes.
    Long { bytes_max: usize },
}

impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UpstreamError::Unreachable(kind) => write!(f, "{kind}"),
            UpstreamError::Late => write!(f, "no answer in time"),
            UpstreamError::Broken => write!(f, "the connection broke"),
            UpstreamError::Garbled => write!(f, "the answer is not HTTP"),
            UpstreamError::Long { bytes_max } => write!(f, "the answer is longer than {bytes_max} bytes"),
        }
    }
}

impl std::error::Error for UpstreamError {}

/// What is asked; a body makes it a POST of JSON.
pub struct Ask<'a> {
    pub address: SocketAddr,
    pub path: &'a str,
    pub fields: &'a [(&'static str, &'a str)],
    pub body: Option<Bytes>,
}

/// An answer that has begun.
pub struct Answering {
    pub status: u16,
    pub fields: HeaderMap,
    body: Incoming,
    /// The connection ends with the answer.
    _connection: Connection,
}

struct Connection(AbortHandle);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Asks, and waits until the answer begins.
pub async fn ask(ask: Ask<'_>, begin_max: Duration) -> Result<Answering, UpstreamError> {
    let connecting = timeout(CONNECT_TIME_MAX, TcpStream::connect(ask.address));
    let stream = connecting.await.map_err(|_| UpstreamError::Unreachable(std::io::ErrorKind::TimedOut))?;
    let stream = stream.map_err(|error| UpstreamError::Unreachable(error.kind()))?;
    let _ = stream.set_nodelay(true);
    timeout(begin_max, begin(stream, ask)).await.map_err(|_| UpstreamError::Late)?
}

/// Asks for another protocol on the connection: the connection, or the answer that refuses.
pub async fn upgrade(
    ask: Ask<'_>,
    protocol: &'static str,
    begin_max: Duration,
) -> Result<Result<Carried, Answering>, UpstreamError> {
    let connecting = timeout(CONNECT_TIME_MAX, TcpStream::connect(ask.address));
    let stream = connecting.await.map_err(|_| UpstreamError::Unreachable(std::io::ErrorKind::TimedOut))?;
    let stream = stream.map_err(|error| UpstreamError::Unreachable(error.kind()))?;
    let _ = stream.set_nodelay(true);
    timeout(begin_max, switch(stream, ask, protocol)).await.map_err(|_| UpstreamError::Late)?
}

async fn switch(
    stream: TcpStream,
    ask: Ask<'_>,
    protocol: &'static str,
) -> Result<Result<Carried, Answering>, UpstreamError> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(READ_BYTES_MAX).max_headers(FIELDS_MAX);
    let (mut sender, connection) =
        builder.handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await.map_err(fault)?;
    let running = tokio::spawn(async move {
        // What breaks it is told to whoever reads the answer.
        let _ = connection.with_upgrades().await;
    });
    let connection = Connection(running.abort_handle());
    let mut request = request(&ask)?;
    let fields = [("connection", "upgrade"), ("upgrade", protocol)];
    for (name, value) in fields {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let mut response = sender.send_request(request).await.map_err(fault)?;
    if response.status() == hyper::StatusCode::SWITCHING_PROTOCOLS {
        let carried = hyper::upgrade::on(&mut response).await.map_err(fault)?;
        return Ok(Ok(TokioIo::new(carried)));
    }
    let (parts, body) = response.into_parts();
    Ok(Err(Answering { status: parts.status.as_u16(), fields: parts.headers, body, _connection: connection }))
}

async fn begin(stream: TcpStream, ask: Ask<'_>) -> Result<Answering, UpstreamError> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(READ_BYTES_MAX).max_headers(FIELDS_MAX);
    let (mut sender, connection) =
        builder.handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await.map_err(fault)?;
    let running = tokio::spawn(async move {
        // What breaks it is told to whoever reads the answer.
        let _ = connection.await;
    });
    let connection = Connection(running.abort_handle());
    let (parts, body) = sender.send_request(request(&ask)?).await.map_err(fault)?.into_parts();
    Ok(Answering { status: parts.status.as_u16(), fields: parts.headers, body, _connection: connection })
}

fn request(ask: &Ask<'_>) -> Result<Request<Full<Bytes>>, UpstreamError> {
    let method = if ask.body.is_some() { Method::POST } else { Method::GET };
    let mut request = Request::new(Full::new(ask.body.clone().unwrap_or_default()));
    *request.method_mut() = method;
    *request.uri_mut() = ask.path.parse().map_err(|_| UpstreamError::Garbled)?;
    let host = ask.address.to_string();
    let own = [("host", host.as_str()), ("content-type", "application/json"), ("connection", "close")];
    for (name, value) in own.iter().chain(ask.fields) {
        let value = HeaderValue::from_str(value).map_err(|_| UpstreamError::Garbled)?;
        request.headers_mut().insert(HeaderName::from_static(name), value);
    }
    Ok(request)
}

impl Answering {
    /// The next piece, `None` at the end; an answer that pauses longer than `pause_max` is late.
    pub async fn piece(&mut self, pause_max: Duration) -> Option<Result<Bytes, UpstreamError>> {
        loop {
            match timeout(pause_max, self.body.frame()).await {
                Err(_) => return Some(Err(UpstreamError::Late)),
                Ok(None) => return None,
                Ok(Some(Err(error))) => return Some(Err(fault(error))),
                // Trailers say nothing here.
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => return Some(Ok(data)),
                    Err(_) => continue,
                },
            }
        }
    }

    /// All of it.
    pub async fn whole(mut self, bytes_max: usize, time_max: Duration) -> Result<Vec<u8>, UpstreamError> {
        let reading = async {
            let mut whole = Vec::new();
            while let Some(piece) = self.piece(time_max).await {
                let piece = piece?;
                if whole.len() + piece.len() > bytes_max {
                    return Err(UpstreamError::Long { bytes_max });
                }
                whole.extend_from_slice(&piece);
            }
            Ok(whole)
        };
        timeout(time_max, reading).await.map_err(|_| UpstreamError::Late)?
    }

    /// A field of its head, if it is plain text.
    pub fn field(&self, name: header::HeaderName) -> Option<&str> {
        self.fields.get(name)?.to_str().ok()
    }
}

fn fault(error: hyper::Error) -> UpstreamError {
    if error.is_parse() { UpstreamError::Garbled } else { UpstreamError::Broken }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    const LONG: Duration = Duration::from_secs(60);

    /// A server for one request, which says `answer` and closes; it gives what it was sent.
    async fn server(answer: &'static str) -> (SocketAddr, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let told = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heard = vec![0; 4096];
            let n = stream.read(&mut heard).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&heard[..n]).into_owned()
        });
        (address, told)
    }

    async fn asked(answer: &'static str) -> Result<Answering, UpstreamError> {
        let (address, _told) = server(answer).await;
        ask(Ask { address, path: "/v1/models", fields: &[], body: None }, LONG).await
    }

    #[tokio::test]
    async fn pieces_come_as_they_are_sent_and_their_end_is_told_from_a_break() {
        let mut whole = asked("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        assert_eq!(whole.piece(LONG).await.unwrap().unwrap(), "ok");
        assert!(whole.piece(LONG).await.is_none());
        let mut broken =
            asked("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n").await.unwrap();
        assert_eq!(broken.piece(LONG).await.unwrap().unwrap(), "ok");
        assert_eq!(broken.piece(LONG).await, Some(Err(UpstreamError::Broken)));
    }

    #[tokio::test]
    async fn an_answer_that_is_too_long_or_no_http_is_refused() {
        let long = asked("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nlonglong!").await.unwrap();
        assert_eq!(long.whole(8, LONG).await, Err(UpstreamError::Long { bytes_max: 8 }));
        assert_eq!(asked("SSH-2.0-OpenSSH\r\n\r\n").await.err(), Some(UpstreamError::Garbled));
    }

    #[tokio::test]
    async fn a_request_carries_its_fields_and_its_length() {
        let (address, told) = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let fields = &[("x-request-id", "req-1")];
        let ask = Ask { address, path: "/v1/x", fields, body: Some(Bytes::from_static(b"{}")) };
        let answer = super::ask(ask, LONG).await.unwrap();
        assert_eq!(answer.status, 200);
        let told = told.await.unwrap();
        assert!(told.starts_with("POST /v1/x HTTP/1.1\r\n"), "{told}");
        assert!(told.contains("x-request-id: req-1\r\n") && told.contains("content-length: 2\r\n"), "{told}");
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_is_unreachable() {
        let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let gone = ask(Ask { address, path: "/", fields: &[], body: None }, LONG).await.err();
        assert_eq!(gone, Some(UpstreamError::Unreachable(std::io::ErrorKind::ConnectionRefused)));
    }
}
