//! Asks the one program that may read sticks whether one of this cluster is in this PC: see `crate::stick`.

use crate::stick::candidates;
use admission::{StickAsk, StickProof};
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Where `duet-stick.socket` listens.
const STICK_SOCKET: &str = "run/duet/stick.sock";
/// A proof in hex digits is shorter.
const PROOF_TEXT_BYTES_MAX: u64 = 1024;
/// A stick that wakes up; one that hangs must not hold up the call home.
const STICK_TIME_MAX: Duration = Duration::from_secs(10);

/// Nothing where no stick is, which costs a look into a folder.
pub async fn prove(root: &Path, ask: &StickAsk) -> Option<StickProof> {
    if candidates(root).is_empty() {
        return None;
    }
    let text = tokio::time::timeout(STICK_TIME_MAX, exchange(&root.join(STICK_SOCKET), ask)).await;
    StickProof::parse(text.ok()?.ok()?.trim_end()).ok()
}

async fn exchange(socket: &Path, ask: &StickAsk) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all((ask.to_hex() + "\n").as_bytes()).await?;
    let mut text = String::new();
    stream.take(PROOF_TEXT_BYTES_MAX).read_to_string(&mut text).await?;
    Ok(text)
}
