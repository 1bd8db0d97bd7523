//! Asks systemd how the units are, without any right to give it orders.
//!
//! `duet-units.socket` starts `systemctl show` as root for each connection and sends what it prints; the agent may
//! only listen. There is no D-Bus daemon on a node, and systemd's own socket would let root do everything.

use crate::facts::units::{self, Units};
use std::path::Path;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

/// Where `duet-units.socket` listens.
pub const UNITS_SOCKET: &str = "run/duet/units.sock";
/// Longest answer; a node's is about 2 KiB.
pub const UNITS_BYTES_MAX: u64 = 64 * 1024;
/// Where `duet-journal.socket` listens.
pub const JOURNAL_SOCKET: &str = "run/duet/journal.sock";
/// Longest journal: 1000 lines, each as long as an honest one may be.
pub const JOURNAL_BYTES_MAX: u64 = 512 * 1024;
/// Two small processes on a slow and busy PC.
pub const UNITS_TIME_MAX: Duration = Duration::from_secs(10);

/// What systemd says, or [`Units::default`] where it cannot be asked.
pub async fn units(socket: &Path) -> Units {
    match tokio::time::timeout(UNITS_TIME_MAX, listen(socket, UNITS_BYTES_MAX)).await {
        Ok(Ok(text)) => units::parse(&String::from_utf8_lossy(&text)),
        _ => Units::default(),
    }
}

/// The end of the journal, or nothing where it cannot be had.
pub async fn journal(socket: &Path) -> String {
    match tokio::time::timeout(UNITS_TIME_MAX, listen(socket, JOURNAL_BYTES_MAX)).await {
        Ok(Ok(text)) => String::from_utf8_lossy(&text).into_owned(),
        _ => String::new(),
    }
}

async fn listen(socket: &Path, bytes_max: u64) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    UnixStream::connect(socket).await?.take(bytes_max).read_to_end(&mut text).await?;
    Ok(text)
}
