//! The front door: accepts connections, reads the request head within limits, and sends files.
//!
//! Files go out by sendfile in pieces, so that many clients share the wire and memory stays flat.
//! Everything that is no file is handed, with the bytes already read, to the pages.
//! It knows nothing of PCs but the address that a file went to.

use super::Shared;
use super::head::{Decision, FileAsk, HEAD_BYTES_MAX, Refusal, decide};
use super::send::send_file;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

/// Connections at once. 1000 PCs booting together wait in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 512;
/// Connections at once from one address: a browser's six, iPXE's two, and room.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 32;
/// A head must be whole this long after its first byte.
pub const HEAD_SECONDS_MAX: u64 = 10;
/// A connection without a request is closed after this time.
pub const IDLE_SECONDS_MAX: u64 = 20;
/// After a refusal, what the client still sends is read for this long, so that it gets to see the answer.
const LINGER_SECONDS_MAX: u64 = 1;
const LINGER_BYTES_MAX: usize = 64 * 1024;
/// Data that nobody acknowledges for this long ends the connection: the client was switched off.
const UNACKNOWLEDGED_SECONDS_MAX: u64 = 30;
/// After an error of accept (no file descriptor left), so long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Unsent bytes in the kernel's buffer of one connection; more would only blur who gets what.
const UNSENT_BYTES_MAX: u32 = 256 * 1024;

/// Who holds how many connections.
#[derive(Debug, Default)]
struct Doors {
    total: usize,
    by_address: BTreeMap<IpAddr, usize>,
}

/// A place at the door; given back when dropped.
struct Place {
    doors: Arc<Mutex<Doors>>,
    address: IpAddr,
}

impl Place {
    fn take(doors: &Arc<Mutex<Doors>>, address: IpAddr) -> Option<Place> {
        let mut held = doors.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = held.by_address.get(&address).copied().unwrap_or(0);
        if held.total >= CONNECTIONS_MAX || mine >= CONNECTIONS_PER_ADDRESS_MAX {
            return None;
        }
        held.total += 1;
        held.by_address.insert(address, mine + 1);
        Some(Place { doors: doors.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        held.total -= 1;
        if let Some(mine) = held.by_address.get_mut(&self.address) {
            *mine -= 1;
            if *mine == 0 {
                held.by_address.remove(&self.address);
            }
        }
    }
}

/// Accepts for ever, at each of the listeners.
pub async fn serve(listeners: Vec<TcpListener>, shared: Arc<Shared>) {
    let doors = Arc::new(Mutex::new(Doors::default()));
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept(listener, doors.clone(), shared.clone()));
    }
    accepting.join_next().await;
}

async fn accept(listener: TcpListener, doors: Arc<Mutex<Doors>>, shared: Arc<Shared>) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(_) => {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(place) = Place::take(&doors, peer.ip()) else {
            let _ = stream.try_write(refusal(Refusal::Busy).as_bytes());
            continue;
        };
        let shared = shared.clone();
        tokio::spawn(async move {
            // The error of one client is that client's affair.
            let _ = connection(stream, peer, &shared).await;
            drop(place);
        });
    }
}

async fn connection(mut stream: TcpStream, peer: SocketAddr, shared: &Arc<Shared>) -> io::Result<()> {
    prepare(&stream)?;
    let mut bytes = Vec::new();
    loop {
        match read_head(&mut stream, &mut bytes).await? {
            None => return Ok(()),
            Some(Decision::More) => return refuse(&mut stream, Refusal::TimedOut).await,
            Some(Decision::Refuse(why)) => return refuse(&mut stream, why).await,
            Some(Decision::Page) => return super::pages::serve(stream, bytes, peer, shared.clone()).await,
            Some(Decision::File(ask) | Decision::Model(ask)) => {
                match ask.release.as_str() {
                    "" => answer_model(&mut stream, &ask, shared).await?,
                    _ => answer_file(&mut stream, peer, &ask, shared).await?,
                }
                if !ask.keep_alive {
                    return stream.shutdown().await;
                }
                bytes.drain(..ask.head_bytes);
            }
        }
    }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    socket.set_tcp_user_timeout(Some(Duration::from_secs(UNACKNOWLEDGED_SECONDS_MAX)))?;
    socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX)?;
    Ok(())
}

/// Reads until the head says what to do. `None` when the client left or stayed silent between requests;
/// `Decision::More` when it began a head and did not finish it in time.
async fn read_head(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<Option<Decision>> {
    let idle_until = Instant::now() + Duration::from_secs(IDLE_SECONDS_MAX);
    let mut head_until = (!bytes.is_empty()).then(|| Instant::now() + Duration::from_secs(HEAD_SECONDS_MAX));
    loop {
        let decision = decide(bytes);
        if decision != Decision::More {
            return Ok(Some(decision));
        }
        bytes.reserve(1024.min(HEAD_BYTES_MAX + 1 - bytes.len().min(HEAD_BYTES_MAX)));
        match timeout_at(head_until.unwrap_or(idle_until), stream.read_buf(bytes)).await {
            Ok(Ok(0)) => return Ok(None),
            Ok(Ok(_)) => {
                head_until.get_or_insert_with(|| Instant::now() + Duration::from_secs(HEAD_SECONDS_MAX));
            }
            Ok(Err(error)) => return Err(error),
            Err(_) => return Ok(head_until.map(|_| Decision::More)),
        }
    }
}

async fn answer_file(
    stream: &mut TcpStream,
    peer: SocketAddr,
    ask: &FileAsk,
    shared: &Arc<Shared>,
) -> io::Result<()> {
    let found = shared.desk().table.find(&ask.release, &ask.file);
    let Some(served) = found else {
        return write(stream, &head_of("404 Not Found", 0, None, ask.keep_alive)).await;
    };
    let Some(range) = begin_file(stream, ask, served.bytes, &served.hash).await? else { return Ok(()) };
    send_file(stream, &served.file, range, |n, place| {
        let now_ms = shared.now_ms();
        shared.desk().sent(peer.ip(), &served, n, place, now_ms);
    })
    .await
}

/// A model, or a part of it.
async fn answer_model(stream: &mut TcpStream, ask: &FileAsk, shared: &Arc<Shared>) -> io::Result<()> {
    let found = shared.desk().models.find(&ask.file);
    let Some(model) = found else {
        return write(stream, &head_of("404 Not Found", 0, None, ask.keep_alive)).await;
    };
    let begun = begin_file(stream, ask, model.told.bytes, &model.told.blake3).await?;
    let Some(range) = begun else { return Ok(()) };
    send_file(stream, &model.file, range, |n, _| model.count(n)).await
}

/// Sends the head of an answer; the bytes that are to follow, if any are.
async fn begin_file(
    stream: &mut TcpStream,
    ask: &FileAsk,
    bytes: u64,
    hash: &str,
) -> io::Result<Option<Range<u64>>> {
    let range = match ask.range.map(|range| range.resolve(bytes)) {
        None => None,
        Some(Some(range)) => Some(range),
        Some(None) => {
            let field = format!("Content-Range: bytes */{bytes}\r\n");
            let head = head_of("416 Range Not Satisfiable", 0, Some(&field), ask.keep_alive);
            return write(stream, &head).await.map(|()| None);
        }
    };
    write(stream, &file_head(bytes, hash, range.as_ref(), ask.keep_alive)).await?;
    Ok((!ask.head_only).then(|| range.unwrap_or(0..bytes)))
}

fn file_head(bytes: u64, hash: &str, range: Option<&Range<u64>>, keep_alive: bool) -> String {
    let about = format!("Accept-Ranges: bytes\r\nETag: \"{hash}\"\r\n");
    match range {
        None => head_of("200 OK", bytes, Some(&about), keep_alive),
        Some(range) => {
            let (first, last) = (range.start, range.end - 1);
            let about = format!("{about}Content-Range: bytes {first}-{last}/{bytes}\r\n");
            head_of("206 Partial Content", range.end - range.start, Some(&about), keep_alive)
        }
    }
}

fn head_of(status: &str, length: u64, fields: Option<&str>, keep_alive: bool) -> String {
    let fields = fields.unwrap_or_default();
    let connection = if keep_alive { "keep-alive" } else { "close" };
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nContent-Type: application/octet-stream\r\n\
         X-Content-Type-Options: nosniff\r\n{fields}Connection: {connection}\r\n\r\n"
    )
}

fn refusal(why: Refusal) -> String {
    let status = why.status();
    let body = format!("{status}\n");
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n{body}"
    )
}

async fn refuse(stream: &mut TcpStream, why: Refusal) -> io::Result<()> {
    write(stream, &refusal(why)).await?;
    stream.shutdown().await?;
    let linger = async {
        let mut waste = [0; 1024];
        let mut n = 0;
        while n < LINGER_BYTES_MAX {
            match stream.read(&mut waste).await {
                Ok(0) | Err(_) => return,
                Ok(more) => n += more,
            }
        }
    };
    // However it ends, the connection ends.
    let _ = timeout(Duration::from_secs(LINGER_SECONDS_MAX), linger).await;
    Ok(())
}

async fn write(stream: &mut TcpStream, text: &str) -> io::Result<()> {
    timeout(Duration::from_secs(HEAD_SECONDS_MAX), stream.write_all(text.as_bytes())).await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_every_place() {
        let doors = Arc::new(Mutex::new(Doors::default()));
        let mut held = Vec::new();
        for n in 0..255u8 {
            let address = IpAddr::from([10, 0, 0, n]);
            let got = (0..CONNECTIONS_MAX).map_while(|_| Place::take(&doors, address)).collect::<Vec<_>>();
            assert!(got.len() <= CONNECTIONS_PER_ADDRESS_MAX);
            held.extend(got);
        }
        assert_eq!(held.len(), CONNECTIONS_MAX);
        held.clear();
        let doors = doors.lock().unwrap();
        assert_eq!((doors.total, doors.by_address.len()), (0, 0));
    }

    #[test]
    fn an_answer_says_how_long_it_is() {
        let answer = refusal(Refusal::Busy);
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
    }
}
