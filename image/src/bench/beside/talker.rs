//! Keeps a model writing: one stream after the other, until it is told to stop.

use super::Written;
use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A worker that says nothing for so long is lost.
const SILENCE_MAX: Duration = Duration::from_secs(120);
/// How long its speed alone is taken.
const WHILE: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Of one stream, within the context of an expert without a file.
const TOKENS: u32 = 1500;

pub struct Talker {
    address: SocketAddr,
    n_tokens: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Result<()>>,
}

/// A moment, and the tokens until then.
pub struct Mark(Instant, u64);

impl Talker {
    /// Gives back once the first token came.
    pub fn start(address: SocketAddr) -> Result<Talker> {
        let (n_tokens, is_over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (n, over) = (n_tokens.clone(), is_over.clone());
        let thread = std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                listen(address, &n, &over)?;
            }
            Ok(())
        });
        let talker = Talker { address, n_tokens, is_over, thread };
        while talker.n_tokens.load(Ordering::Relaxed) == 0 {
            ensure!(!talker.thread.is_finished(), "the model does not write: {:?}", talker.thread.join());
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(talker)
    }

    pub fn mark(&self) -> Mark {
        Mark(Instant::now(), self.n_tokens.load(Ordering::Relaxed))
    }

    pub fn since(&self, Mark(since, n_before): Mark) -> Written {
        let n_tokens = self.n_tokens.load(Ordering::Relaxed) - n_before;
        Written { n_tokens, seconds: since.elapsed().as_secs_f64() }
    }

    /// With nothing beside it.
    pub fn of_a_while(&self) -> Result<Written> {
        let mark = self.mark();
        std::thread::sleep(WHILE);
        ensure!(!self.thread.is_finished(), "the model stopped writing");
        Ok(self.since(mark))
    }

    /// Gives back when the worker has nothing to do any more.
    pub fn stop(self) -> Result<()> {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().expect("reading does not panic")?;
        let started = Instant::now();
        while !is_idle(self.address)? {
            ensure!(started.elapsed() < SILENCE_MAX, "rpc-worker writes on for nobody");
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }
}

fn connect(address: SocketAddr, request: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).context("connecting to rpc-worker")?;
    stream.set_read_timeout(Some(SILENCE_MAX)).context("setting a time-out")?;
    stream.write_all(request.as_bytes()).context("asking rpc-worker")?;
    Ok(stream)
}

/// One stream to its end, or until it is over.
fn listen(address: SocketAddr, n_tokens: &AtomicU64, is_over: &AtomicBool) -> Result<()> {
    let body = format!(
        "{{\"model\":\"local\",\"messages\":[{{\"role\":\"user\",\"content\":\"Go on.\"}}],\"stream\":true,\"max_tokens\":{TOKENS}}}"
    );
    let length = body.len();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let mut lines = BufReader::new(connect(address, &request)?);
    let mut line = String::new();
    while !is_over.load(Ordering::Relaxed) {
        line.clear();
        if lines.read_line(&mut line).context("reading a stream")? == 0 {
            break;
        }
        ensure!(!line.starts_with("HTTP/1.1 ") || line.contains(" 200"), "rpc-worker answered {line}");
        n_tokens.fetch_add(u64::from(line.starts_with("data: {")), Ordering::Relaxed);
    }
    Ok(())
}

fn is_idle(address: SocketAddr) -> Result<bool> {
    let mut text = String::new();
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    connect(address, &request)?.read_to_string(&mut text).context("reading rpc-worker's figures")?;
    let busy = text.lines().find(|line| line.starts_with("duet_expert_busy{"));
    Ok(busy.context("rpc-worker has no figures")?.ends_with(" 0"))
}
