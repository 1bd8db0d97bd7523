//! The client of the bench: one connection for each request, and no library between it and the wire.

use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A request that takes longer is lost.
const TIME_MAX: Duration = Duration::from_secs(120);

/// One way to the model: straight, or through the gateway.
pub struct Side {
    address: SocketAddr,
    key: &'static str,
}

impl Side {
    pub fn new(address: SocketAddr, key: &'static str) -> Side {
        Side { address, key }
    }

    /// How long a whole answer takes.
    pub fn whole(&self) -> Result<Duration> {
        let began = Instant::now();
        let mut answer = String::new();
        self.ask(false, 1)?.read_to_string(&mut answer).context("reading an answer")?;
        ensure!(
            answer.starts_with("HTTP/1.1 200"),
            "the answer was {}",
            answer.lines().next().unwrap_or("none")
        );
        Ok(began.elapsed())
    }

    /// How long each token of a stream was on its way; `start` is what the model counts from.
    pub fn delays(&self, n_tokens: u64, start: Instant) -> Result<Vec<Duration>> {
        let mut delays = vec![];
        self.events(n_tokens, |line| {
            let came = start.elapsed();
            let sent = line.split_once("sent ").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
            delays.extend(sent.map(|sent| came.saturating_sub(Duration::from_nanos(sent))));
        })?;
        ensure!(delays.len() as u64 == n_tokens, "{} tokens came instead of {n_tokens}", delays.len());
        Ok(delays)
    }

    /// A stream to its end.
    pub fn stream(&self, n_tokens: u64) -> Result<()> {
        let mut n = 0;
        self.events(n_tokens, |line| n += u64::from(line.contains("sent ")))?;
        ensure!(n == n_tokens, "{n} tokens came instead of {n_tokens}");
        Ok(())
    }

    fn events(&self, n_tokens: u64, mut heard: impl FnMut(&str)) -> Result<()> {
        let mut reader = BufReader::new(self.ask(true, n_tokens)?);
        let mut line = String::new();
        loop {
            line.clear();
            let n = reader.read_line(&mut line).context("reading a stream")?;
            ensure!(n > 0, "a stream ended in the middle");
            if line.starts_with("data: [DONE]") {
                return Ok(());
            }
            heard(&line);
        }
    }

    fn ask(&self, stream: bool, n_tokens: u64) -> Result<TcpStream> {
        let body = format!(
            "{{\"model\":\"m\",\"messages\":[{{\"role\":\"user\",\"content\":\"hello\"}}],\"max_tokens\":{n_tokens},\"stream\":{stream}}}"
        );
        let Side { address, key } = self;
        let length = body.len();
        let mut socket = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(TIME_MAX))?;
        let text = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        socket.write_all(text.as_bytes()).context("sending a request")?;
        Ok(socket)
    }
}
