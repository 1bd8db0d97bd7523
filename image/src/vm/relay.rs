//! Ways into the virtual network for a person's browser.
//!
//! A socket belongs to the network it was made in, but a named socket (AF_UNIX) belongs to the files.
//! So the outer program listens on 127.0.0.1 and passes what comes over a named socket to the keeper,
//! which connects inside. Only addresses of the virtual wire are reached.

use super::machine::on_the_wire;
use anyhow::{Context, Result, bail, ensure};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Connections at once, per listener.
const RELAYS_MAX: usize = 64;
/// `255.255.255.255:65535` and its line feed.
const TARGET_BYTES_MAX: usize = 22;
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// A connection that says nothing for so long is closed.
const IDLE_MAX: Duration = Duration::from_secs(300);
/// Enough for the head of a browser's request.
const REQUEST_BYTES: usize = 8192;
/// The longest answer that [`get`] takes.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// The keeper's side: takes connections from the named socket until the program ends.
pub fn serve_inside(path: &Path) -> Result<()> {
    let listener =
        UnixListener::bind(path).with_context(|| format!("cannot listen at {}", path.display()))?;
    let busy = Arc::new(AtomicUsize::new(0));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            with_slot(&busy, move || {
                let _ = relay_inside(stream);
            });
        }
    });
    Ok(())
}

fn relay_inside(mut near: UnixStream) -> Result<()> {
    near.set_read_timeout(Some(CONNECT_MAX))?;
    let target = read_target(&mut near)?;
    near.set_read_timeout(Some(IDLE_MAX))?;
    match TcpStream::connect_timeout(&SocketAddr::V4(target), CONNECT_MAX) {
        Ok(far) => join(near, far),
        Err(_) => not_yet(&mut near, "Nothing answers there yet.\n"),
    }
}

fn read_target(near: &mut impl Read) -> Result<SocketAddrV4> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() <= TARGET_BYTES_MAX {
        near.read_exact(&mut byte)?;
        if byte[0] == b'\n' {
            let target: SocketAddrV4 = std::str::from_utf8(&line)?.parse()?;
            ensure!(on_the_wire(*target.ip()), "{target} is not on the virtual wire");
            return Ok(target);
        }
        line.push(byte[0]);
    }
    bail!("the target is too long")
}

/// A connection to an address on the virtual wire.
pub fn connect(relay: &Path, target: SocketAddrV4) -> Result<UnixStream> {
    let mut near = UnixStream::connect(relay).context("the virtual network is gone")?;
    near.set_write_timeout(Some(IDLE_MAX))?;
    near.set_read_timeout(Some(IDLE_MAX))?;
    near.write_all(format!("{target}\n").as_bytes())?;
    Ok(near)
}

/// `GET` of a small answer from inside: its body, when the status is 200.
pub fn get(relay: &Path, target: SocketAddrV4, path: &str) -> Result<String> {
    let (status, body) = ask(relay, target, path, "", None, CONNECT_MAX)?;
    ensure!(status == 200, "{target}{path} answers {status}");
    Ok(body)
}

/// A question to somebody inside: the status, and a small answer. `head` are whole lines; with a body it is posted.
pub fn ask(
    relay: &Path,
    target: SocketAddrV4,
    path: &str,
    head: &str,
    body: Option<&str>,
    limit: Duration,
) -> Result<(u16, String)> {
    let mut near = connect(relay, target)?;
    near.set_read_timeout(Some(limit))?;
    // HTTP/1.0, so that the answer is never sent in chunks.
    let ask = match body {
        None => format!("GET {path} HTTP/1.0\r\nHost: {target}\r\n{head}\r\n"),
        Some(body) => format!(
            "POST {path} HTTP/1.0\r\nHost: {target}\r\n{head}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    };
    near.write_all(ask.as_bytes())?;
    let mut answer = Vec::new();
    near.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    let answer = String::from_utf8(answer).context("the answer is not text")?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer is cut off")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    let status = status.parse().with_context(|| format!("{target}{path} answers {status:?}"))?;
    Ok((status, body.to_owned()))
}

/// Where a page is inside; none while it is not known.
pub type Target = Arc<dyn Fn() -> Option<SocketAddrV4> + Send + Sync>;

/// The outer side: a listener on 127.0.0.1, at the wanted port or, if that is taken, at a free one.
pub fn open_page(relay: PathBuf, port_wanted: u16, target: Target) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port_wanted))
        .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .context("no port is free on 127.0.0.1")?;
    let address = listener.local_addr()?;
    let busy = Arc::new(AtomicUsize::new(0));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (relay, target) = (relay.clone(), target.clone());
            with_slot(&busy, move || {
                let _ = relay_outside(stream, &relay, target());
            });
        }
    });
    Ok(address)
}

fn relay_outside(mut far: TcpStream, relay: &Path, target: Option<SocketAddrV4>) -> Result<()> {
    far.set_read_timeout(Some(IDLE_MAX))?;
    far.set_write_timeout(Some(IDLE_MAX))?;
    match target {
        Some(target) => join(connect(relay, target)?, far),
        None => not_yet(&mut far, "This PC has no address yet.\n"),
    }
}

/// Tells a browser to come again.
fn not_yet(browser: &mut (impl Read + Write), body: &str) -> Result<()> {
    // Closing with a request unread would cut the answer off.
    let _ = browser.read(&mut [0; REQUEST_BYTES])?;
    let length = body.len();
    write!(browser, "HTTP/1.1 503 Not Yet\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")?;
    Ok(())
}

/// Runs in a thread of its own, unless too many do already.
fn with_slot(busy: &Arc<AtomicUsize>, work: impl FnOnce() + Send + 'static) {
    if busy.fetch_add(1, Ordering::AcqRel) >= RELAYS_MAX {
        busy.fetch_sub(1, Ordering::AcqRel);
        return;
    }
    let busy = busy.clone();
    std::thread::spawn(move || {
        work();
        busy.fetch_sub(1, Ordering::AcqRel);
    });
}

/// Carries bytes both ways until both sides are done.
fn join(near: UnixStream, far: TcpStream) -> Result<()> {
    far.set_read_timeout(Some(IDLE_MAX))?;
    far.set_write_timeout(Some(IDLE_MAX))?;
    let (mut near_in, mut far_out) = (near.try_clone()?, far.try_clone()?);
    let outward = std::thread::spawn(move || {
        let _ = std::io::copy(&mut near_in, &mut far_out);
        let _ = far_out.shutdown(Shutdown::Write);
    });
    let (mut near, mut far) = (near, far);
    let _ = std::io::copy(&mut far, &mut near);
    let _ = near.shutdown(Shutdown::Write);
    let _ = outward.join();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, want: &str) {
        let got = match read_target(&mut line.as_bytes()) {
            Ok(target) => target.to_string(),
            Err(error) => error.to_string(),
        };
        assert!(got.contains(want), "{got:?} does not contain {want:?}");
    }

    #[test]
    fn a_target_on_the_wire_is_taken() {
        check("10.77.0.100:8000\n", "10.77.0.100:8000");
    }

    #[test]
    fn a_target_elsewhere_is_refused() {
        check("127.0.0.1:22\n", "not on the virtual wire");
    }

    #[test]
    fn a_target_without_end_is_refused() {
        check(&"1".repeat(1000), "too long");
    }

    #[test]
    fn a_page_without_a_target_says_so() {
        let address = open_page("/nowhere".into(), 0, Arc::new(|| None)).unwrap();
        let mut page = TcpStream::connect(address).unwrap();
        page.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        page.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("no address yet"), "{answer}");
    }
}
