//! Fetches one file over HTTP or HTTPS, from where it stopped.
//!
//! hyper and rustls, with certificates of the Mozilla list that are compiled in; neither cookies nor proxies.
//! Every wait has a limit, and every length is compared before its bytes are taken.
//! It does not know what a model is; it fills a `Part`.

use super::part::Part;
use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};

const REDIRECTS_MAX: usize = 5;
/// Of an answer's head.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// A server that sends less in one `silence` counts as silent.
const DRIP_BYTES: u64 = 16 * 1024;
const AGENT: &str = concat!("duet/", env!("CARGO_PKG_VERSION"));

/// How long a server may take for what.
#[derive(Debug, Clone, Copy)]
pub struct Waits {
    pub connect: Duration,
    pub answer: Duration,
    pub silence: Duration,
}

/// Whether it is worth another try.
#[derive(Debug)]
pub enum Trouble {
    Passing(Error),
    Lasting(Error),
}

use Trouble::{Lasting, Passing};

/// An address, checked once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    is_https: bool,
    host: String,
    port: u16,
    path: String,
}

impl Address {
    pub fn parse(text: &str) -> Result<Address> {
        let uri: Uri = text.parse().with_context(|| format!("{text:?} is no address"))?;
        let is_https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => bail!("{text:?} begins with neither https:// nor http://"),
        };
        let host =
            uri.host().filter(|host| !host.is_empty()).with_context(|| format!("{text:?} has no host"))?;
        ensure!(!uri.authority().is_some_and(|a| a.as_str().contains('@')), "{text:?} names a user");
        let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Address { is_https, host: host.to_ascii_lowercase(), port, path })
    }

    /// Where a redirect leads, if it may: never from an encrypted address to a bare one, and from a bare one only over
    /// encryption to another host, so that nobody on the way sends us to machines of this network.
    fn follow(&self, to: &str) -> Result<Address> {
        if to.starts_with('/') && !to.starts_with("//") {
            let path: Uri = to.parse().with_context(|| format!("{to:?} is no address"))?;
            let path = path.path_and_query().map_or("/", |path| path.as_str()).to_owned();
            return Ok(Address { path, ..self.clone() });
        }
        let next = Address::parse(to)?;
        let is_same = (&next.host, next.port) == (&self.host, self.port);
        ensure!(next.is_https || !self.is_https, "it sends from https:// to http://");
        ensure!(next.is_https || is_same, "it sends to another host, {}, without encryption", next.host);
        Ok(next)
    }

    fn authority(&self) -> String {
        let usual = if self.is_https { 443 } else { 80 };
        if self.port == usual { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }
}

pub struct Web {
    runtime: tokio::runtime::Runtime,
    tls: TlsConnector,
    waits: Waits,
}

impl Web {
    pub fn new(waits: Waits) -> Result<Web> {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .context("setting up encryption")?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("starting a client")?;
        Ok(Web { runtime, tls: Arc::new(tls).into(), waits })
    }

    /// Brings what is missing of the part; tells how much is there.
    pub fn fill(&self, from: &Address, part: &mut Part, told: &dyn Fn(u64)) -> Result<(), Trouble> {
        self.runtime.block_on(async {
            let mut at = from.clone();
            for _ in 0..=REDIRECTS_MAX {
                let answer = self.ask(&at, part).await?;
                if !answer.status().is_redirection() {
                    return self.take(answer, part, told).await;
                }
                let to = text_of(answer.headers(), &header::LOCATION).unwrap_or_default();
                at = at.follow(&to).with_context(|| format!("{} redirects", at.host)).map_err(Lasting)?;
            }
            Err(Lasting(anyhow!("{} redirects more than {REDIRECTS_MAX} times", from.host)))
        })
    }

    async fn ask(&self, at: &Address, part: &Part) -> Result<Response<Incoming>, Trouble> {
        let asking = || format!("asking {}", at.host);
        let limit = self.waits.connect;
        let host = at.host.trim_matches(['[', ']']);
        let stream = timeout(limit, TcpStream::connect((host, at.port))).await;
        let stream =
            stream.map_err(|_| late(at, "no connection", limit))?.with_context(asking).map_err(Passing)?;
        if !at.is_https {
            return self.send(at, part, TokioIo::new(stream)).await;
        }
        let name = ServerName::try_from(host.to_owned()).with_context(asking).map_err(Lasting)?;
        let stream = timeout(limit, self.tls.connect(name, stream)).await;
        let stream = stream.map_err(|_| late(at, "no encryption", limit))?.map_err(|e| untrusted(at, e))?;
        self.send(at, part, TokioIo::new(stream)).await
    }

    async fn send<S>(&self, at: &Address, part: &Part, io: TokioIo<S>) -> Result<Response<Incoming>, Trouble>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let asking = || format!("asking {}", at.host);
        let mut request = Request::get(&at.path)
            .header(header::HOST, at.authority())
            .header(header::USER_AGENT, AGENT)
            .header(header::ACCEPT_ENCODING, "identity");
        if part.bytes > 0 {
            request = request.header(header::RANGE, format!("bytes={}-", part.bytes));
            // A weak one promises only something alike.
            if let Some(etag) = part.etag.as_ref().filter(|etag| etag.starts_with('"')) {
                request = request.header(header::IF_RANGE, etag);
            }
        }
        let request = request.body(Empty::<Bytes>::new()).with_context(asking).map_err(Lasting)?;
        let limit = self.waits.answer;
        let answer = async {
            let mut client = hyper::client::conn::http1::Builder::new();
            let (mut sender, connection) = client.max_buf_size(HEAD_BYTES_MAX).handshake(io).await?;
            // It ends with the answer's body.
            tokio::spawn(connection);
            sender.send_request(request).await
        };
        let answer = timeout(limit, answer).await.map_err(|_| late(at, "no answer", limit))?;
        answer.with_context(asking).map_err(Passing)
    }

    async fn take(
        &self,
        answer: Response<Incoming>,
        part: &mut Part,
        told: &dyn Fn(u64),
    ) -> Result<(), Trouble> {
        begin(&answer, part)?;
        let mut body = answer.into_body();
        let (mut since, mut n_since) = (Instant::now(), 0);
        while part.bytes < part.bytes_whole {
            let silent = || Passing(anyhow!("the server was silent for {} s", self.waits.silence.as_secs()));
            let Some(frame) = timeout(self.waits.silence, body.frame()).await.map_err(|_| silent())? else {
                let (n, of) = (part.bytes, part.bytes_whole);
                return Err(Passing(anyhow!("the server stopped after {n} of {of} bytes")));
            };
            let frame = frame.context("the connection broke").map_err(Passing)?;
            let Some(bytes) = frame.data_ref() else { continue };
            n_since += bytes.len() as u64;
            if bytes.len() as u64 > part.bytes_whole - part.bytes {
                return Err(endless(part));
            }
            part.write(bytes).map_err(Lasting)?;
            told(part.bytes);
            if since.elapsed() >= self.waits.silence {
                if n_since < DRIP_BYTES {
                    return Err(silent());
                }
                (since, n_since) = (Instant::now(), 0);
            }
        }
        // Who announced no length could go on for ever.
        match timeout(self.waits.silence, body.frame()).await {
            Ok(Some(Ok(frame))) if frame.data_ref().is_some_and(|bytes| !bytes.is_empty()) => {
                Err(endless(part))
            }
            _ => Ok(()),
        }
    }
}

/// What came of such a file is not it.
fn endless(part: &mut Part) -> Trouble {
    match part.begin_anew() {
        Ok(()) => Lasting(anyhow!("the server sends more than the {} bytes of the file", part.bytes_whole)),
        Err(error) => Lasting(error),
    }
}

/// Holds the head of an answer to what was asked, before a byte of its body is taken.
fn begin(answer: &Response<Incoming>, part: &mut Part) -> Result<(), Trouble> {
    let headers = answer.headers();
    if text_of(headers, &header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(Lasting(anyhow!("the server packs the file, which was not asked for")));
    }
    let etag = text_of(headers, &header::ETAG);
    match answer.status() {
        StatusCode::OK => {
            // It knows no ranges, or the file is another now.
            part.begin_anew().map_err(Lasting)?;
            let length = text_of(headers, &header::CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
            let (want, wrong) = (part.bytes_whole, length.filter(|length| *length != part.bytes_whole));
            if let Some(length) = wrong {
                let what =
                    "the file there is another one now; look for a newer manifest, or take it from --from";
                return Err(Lasting(anyhow!(
                    "the server has {length} bytes, and {want} are expected: {what}"
                )));
            }
        }
        StatusCode::PARTIAL_CONTENT => {
            let is_other = etag.is_some() && part.etag.is_some() && etag != part.etag;
            let range = text_of(headers, &header::CONTENT_RANGE).and_then(|text| range_of(&text));
            if is_other || range != Some((part.bytes, part.bytes_whole)) {
                part.begin_anew().map_err(Lasting)?;
                return Err(Passing(anyhow!("the file was changed between two tries; beginning anew")));
            }
            part.is_resumed = true;
        }
        StatusCode::RANGE_NOT_SATISFIABLE => {
            part.begin_anew().map_err(Lasting)?;
            return Err(Passing(anyhow!("the server has less than what came before; beginning anew")));
        }
        status => return Err(refusal(status)),
    }
    part.called(etag.or_else(|| part.etag.clone())).map_err(Lasting)
}

fn refusal(status: StatusCode) -> Trouble {
    let told = |what: &str| anyhow!("the server answers {status}{what}");
    match status.as_u16() {
        408 | 425 | 429 | 500..=599 => Passing(told("")),
        401 | 403 => Lasting(told(": it wants a login; fetch the file with a browser, then use --from")),
        404 | 410 => Lasting(told(": the file is not there any more; take it from elsewhere with --from")),
        _ => Lasting(told("")),
    }
}

/// A certificate does not become better by trying again.
fn untrusted(at: &Address, error: std::io::Error) -> Trouble {
    let is_lasting = error.kind() == std::io::ErrorKind::InvalidData;
    let error = Error::new(error);
    if is_lasting {
        return Lasting(error.context(format!("the certificate of {} is not to be trusted", at.host)));
    }
    Passing(error.context(format!("asking {}", at.host)))
}

fn late(at: &Address, what: &str, limit: Duration) -> Trouble {
    Passing(anyhow!("{what} from {} within {} s", at.host, limit.as_secs()))
}

fn text_of(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.trim().to_owned())
}

/// `bytes 7-99/100`: from 7, of 100.
fn range_of(text: &str) -> Option<(u64, u64)> {
    let (span, whole) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (from, to) = span.split_once('-')?;
    let (from, to, whole): (u64, u64, u64) = (from.parse().ok()?, to.parse().ok()?, whole.parse().ok()?);
    (to.checked_add(1) == Some(whole)).then_some((from, whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(from: &str, to: &str, want: &str) {
        let told = Address::parse(from).unwrap().follow(to);
        let told = told.map_or_else(|e| format!("error: {e}"), |at| format!("{}{}", at.authority(), at.path));
        assert_eq!(told, want);
    }

    #[test]
    fn redirects_keep_encryption_and_lead_into_no_network_of_ours() {
        check("https://a.example/x", "https://b.example/y?z=1", "b.example/y?z=1");
        check("https://a.example/x", "/y", "a.example/y");
        check("http://a.example/x", "https://b.example/y", "b.example/y");
        check("http://a.example:81/x", "http://a.example:81/y", "a.example:81/y");
        check("https://a.example/x", "http://a.example/x", "error: it sends from https:// to http://");
        check(
            "http://a.example/x",
            "http://192.168.1.1/reboot",
            "error: it sends to another host, 192.168.1.1, without encryption",
        );
        check("http://a.example/x", "file:///etc/passwd", "error: \"file:///etc/passwd\" is no address");
        check(
            "https://a.example/x",
            "https://me@b.example/",
            "error: \"https://me@b.example/\" names a user",
        );
        check("https://a.example/x", "", "error: \"\" is no address");
    }

    #[test]
    fn a_range_is_the_rest_of_the_file() {
        assert_eq!(range_of("bytes 7-99/100"), Some((7, 100)));
        for odd in
            ["bytes 7-98/100", "bytes 7-99/*", "7-99/100", "bytes 7-18446744073709551615/0", "bytes -/"]
        {
            assert_eq!(range_of(odd), None, "{odd}");
        }
    }
}
