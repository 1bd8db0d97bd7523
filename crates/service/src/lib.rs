//! What both node programs need to be a service of a small PC.
//!
//! A door for HTTP that no stranger can jam (`door`), a client for one request (`fetch`) and for an answer that is
//! handed on as it comes (`upstream`), bytes between two connections (`carry`), readiness and watchdog towards systemd
//! (`notify`), whether a folder is on a disk (`folder`), log lines with a level (`log`), events that many read (`feed`), notices of changed files (`watch`), a second door on
//! the overlay (`overlay`), and a quiet end when nobody reads the output (`unread`).
//! It exists because agent and rpc-worker are separate programs with the same manners.
//! It deliberately knows no page, no fact and no model.

#![forbid(unsafe_code)]

pub mod carry;
pub mod door;
pub mod events;
pub mod feed;
pub mod fetch;
pub mod folder;
pub mod log;
pub mod notify;
pub mod overlay;
pub mod unread;
pub mod upstream;
pub mod watch;

/// Resolves when the program is asked to stop: SIGTERM from systemd, or Ctrl-C.
pub async fn asked_to_stop() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
