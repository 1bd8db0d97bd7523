//! One HTTP request with a time-out and a size limit: a report to the boot server, a look at `/health`.
//!
//! It speaks HTTP/1.0, so that no server may answer in chunks, and closes after one answer.
//! It deliberately follows no redirect, keeps no connection and knows no TLS.

use std::fmt;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Head and body of an answer together.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// From the first packet to the last byte.
pub const FETCH_TIME_MAX: Duration = Duration::from_secs(5);

/// What the other side answered.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub enum FetchError {
    /// The address is no `http://HOST[:PORT]`.
    Address,
    /// No connection, or it broke.
    Network(std::io::ErrorKind),
    /// The other side took longer than it may, most often [`FETCH_TIME_MAX`].
    Late,
    /// The answer is longer than [`ANSWER_BYTES_MAX`].
    Long,
    /// What came back is no complete HTTP answer.
    Garbled,
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FetchError::Address => write!(f, "the address is not http://HOST:PORT"),
            FetchError::Network(kind) => write!(f, "{kind}"),
            FetchError::Late => write!(f, "no answer in time"),
            FetchError::Long => write!(f, "the answer is longer than {ANSWER_BYTES_MAX} bytes"),
            FetchError::Garbled => write!(f, "the answer is not complete HTTP"),
        }
    }
}

impl std::error::Error for FetchError {}

/// `GET base/path`.
pub async fn get(base: &str, path: &str) -> Result<Reply, FetchError> {
    request(FETCH_TIME_MAX, base, "GET", path, "").await
}

/// `POST base/path` with a JSON body.
pub async fn post_json(base: &str, path: &str, json: &str) -> Result<Reply, FetchError> {
    request(FETCH_TIME_MAX, base, "POST", path, json).await
}

/// The same for what takes its time.
pub async fn post_json_within(
    time_max: Duration,
    base: &str,
    path: &str,
    json: &str,
) -> Result<Reply, FetchError> {
    request(time_max, base, "POST", path, json).await
}

async fn request(
    time_max: Duration,
    base: &str,
    method: &str,
    path: &str,
    body: &str,
) -> Result<Reply, FetchError> {
    let target = target(base).ok_or(FetchError::Address)?;
    let bytes = request_bytes(&target, method, path, body);
    let answer = tokio::time::timeout(time_max, exchange(&target, &bytes)).await;
    parse(&answer.map_err(|_| FetchError::Late)??).ok_or(FetchError::Garbled)
}

/// `http://10.0.0.1` is `10.0.0.1:80`; anything with a path, a user or another scheme is refused.
fn target(base: &str) -> Option<String> {
    let host = base.strip_prefix("http://")?.trim_end_matches('/');
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    if host.is_empty() || !host.bytes().all(plain) {
        return None;
    }
    let has_port = host.rsplit_once(':').is_some_and(|(_, p)| p.parse::<u16>().is_ok());
    Some(if has_port { host.to_string() } else { format!("{host}:80") })
}

fn request_bytes(target: &str, method: &str, path: &str, body: &str) -> Vec<u8> {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
    let length = if method == "GET" { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    format!("{method} {path} HTTP/1.0\r\nHost: {target}\r\n{kind}{length}Connection: close\r\n\r\n{body}")
        .into()
}

async fn exchange(target: &str, bytes: &[u8]) -> Result<Vec<u8>, FetchError> {
    let broke = |e: std::io::Error| FetchError::Network(e.kind());
    let mut stream = TcpStream::connect(target).await.map_err(broke)?;
    stream.write_all(bytes).await.map_err(broke)?;
    let mut answer = Vec::new();
    let n = stream.take(ANSWER_BYTES_MAX as u64 + 1).read_to_end(&mut answer).await.map_err(broke)?;
    if n > ANSWER_BYTES_MAX { Err(FetchError::Long) } else { Ok(answer) }
}

/// The body must be as long as the head says, if it says so.
fn parse(answer: &[u8]) -> Option<Reply> {
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    let body = &answer[end + 4..];
    for (name, value) in lines.filter_map(|l| l.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") && value.trim().parse() != Ok(body.len()) {
            return None;
        }
    }
    Some(Reply { status: status.parse().ok()?, body: body.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_target(base: &str, want: Option<&str>) {
        assert_eq!(target(base).as_deref(), want);
    }

    #[test]
    fn port_80_is_the_default() {
        check_target("http://10.0.0.1", Some("10.0.0.1:80"));
        check_target("http://10.0.0.1:8480/", Some("10.0.0.1:8480"));
        check_target("http://[fd77::1]:80", Some("[fd77::1]:80"));
    }

    #[test]
    fn an_address_that_could_forge_a_head_is_refused() {
        check_target("http://a\r\nX: y", None);
        check_target("https://10.0.0.1", None);
        check_target("http://user@10.0.0.1", None);
        check_target("http://", None);
    }

    fn check(answer: &str, want: Option<(u16, &str)>) {
        let got = parse(answer.as_bytes()).map(|r| (r.status, String::from_utf8(r.body).unwrap()));
        assert_eq!(got, want.map(|(s, b)| (s, b.to_string())));
    }

    #[test]
    fn an_answer_gives_status_and_body() {
        check("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", Some((200, "ok")));
        check("HTTP/1.0 404 Not Found\r\n\r\n", Some((404, "")));
    }

    #[test]
    fn a_body_of_another_length_than_promised_is_no_answer() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", None);
        check("HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nok", None);
    }

    #[test]
    fn garbage_is_no_answer() {
        check("", None);
        check("SSH-2.0-OpenSSH\r\n\r\n", None);
        check("HTTP/1.1 abc OK\r\n\r\n", None);
        check("HTTP/1.1 200 OK\r\n", None);
    }

    #[test]
    fn a_post_carries_its_length() {
        let want = "POST /x HTTP/1.0\r\nHost: h:80\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\
                    Connection: close\r\n\r\n{}";
        assert_eq!(request_bytes("h:80", "POST", "/x", "{}"), want.as_bytes());
    }
}
