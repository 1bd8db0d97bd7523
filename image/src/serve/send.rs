//! Sends a part of a file into a connection, by sendfile and in pieces.
//!
//! After every piece the others get their turn: twenty PCs that fetch together share the wire.
//! A client that takes less than a trickle is dropped; it knows nothing of HTTP.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// One piece; 2 ms of a gigabit wire.
pub const PIECE_BYTES: usize = 256 * 1024;
/// In every so many seconds a client must take at least `WINDOW_BYTES_MIN`.
pub const WINDOW_SECONDS: u64 = 20;
/// 10 kB/s: a tenth of what a 10 Mbit wire with errors still gives.
pub const WINDOW_BYTES_MIN: u64 = 200_000;

/// Sends `range` of `file`. `progress` hears after each piece how many bytes went out and the place reached.
pub async fn send_file(
    stream: &TcpStream,
    file: &File,
    range: Range<u64>,
    mut progress: impl FnMut(u64, u64),
) -> io::Result<()> {
    let window = Duration::from_secs(WINDOW_SECONDS);
    let mut place = range.start;
    let (mut until, mut taken) = (Instant::now() + window, 0);
    while place < range.end {
        let sent = timeout_at(until, send_piece(stream, file, place, range.end)).await??;
        if sent == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter"));
        }
        place += sent;
        taken += sent;
        progress(sent, place);
        if taken >= WINDOW_BYTES_MIN {
            (until, taken) = (Instant::now() + window, 0);
        }
        tokio::task::yield_now().await;
    }
    Ok(())
}

async fn send_piece(stream: &TcpStream, file: &File, place: u64, end: u64) -> io::Result<u64> {
    let n = usize::try_from(end - place).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
    let send = || {
        let mut offset = place;
        Ok(rustix::fs::sendfile(stream, file, Some(&mut offset), n)?)
    };
    stream.async_io(Interest::WRITABLE, send).await.map(|n| n as u64)
}
