//! Asks the one program that may switch this PC off: see `crate::acts`.

use crate::acts::Deed;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Where `duet-acts.socket` listens.
const SOCKET: &str = "run/duet/acts.sock";
const ANSWER_BYTES_MAX: u64 = 1024;
/// A unit that starts anew has half a minute.
const TIME_MAX: Duration = Duration::from_secs(45);
const ABSENT: &str =
    "this machine was not booted by duet, so nothing of it is switched off or started anew from here";

/// Before anything is said or handed over: whether it can be asked at all.
pub fn can_ask(root: &Path) -> Result<(), String> {
    if root.join(SOCKET).exists() { Ok(()) } else { Err(ABSENT.into()) }
}

/// Nothing where it is done or is about to be; the error is a sentence.
pub async fn ask(root: &Path, deed: Deed) -> Result<(), String> {
    let told = tokio::time::timeout(TIME_MAX, exchange(&root.join(SOCKET), deed)).await;
    let told = told.map_err(|_| format!("{}: no answer within {} s", deed.line(), TIME_MAX.as_secs()))?;
    let text = told.map_err(|error| match error.kind() {
        ErrorKind::NotFound => ABSENT.to_owned(),
        _ => format!("{}: {error}", deed.line()),
    })?;
    match text.trim_end() {
        "ok" => Ok(()),
        "" => Err(format!("{}: another is being done; try again soon", deed.line())),
        no => Err(format!("{}: {}", deed.line(), no.strip_prefix("no ").unwrap_or(no))),
    }
}

async fn exchange(socket: &Path, deed: Deed) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all((deed.line() + "\n").as_bytes()).await?;
    let (mut text, mut piece) = (Vec::new(), [0; 256]);
    // It answers with one line, and may go on to work after it.
    while !text.ends_with(b"\n") && (text.len() as u64) < ANSWER_BYTES_MAX {
        match stream.read(&mut piece).await? {
            0 => break,
            n => text.extend_from_slice(&piece[..n]),
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}
