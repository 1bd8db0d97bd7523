//! The command line as data.

use argh::FromArgs;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The voice of a node: status page, API, boot reports.
#[derive(FromArgs, Debug)]
#[argh(
    example = "agent serve\nagent status\nagent status --json",
    note = "The page is at http://ADDRESS:8000/, the same as JSON at /api/status."
)]
pub struct Args {
    /// print the version
    #[argh(switch)]
    pub version: bool,
    #[argh(subcommand)]
    pub command: Option<Command>,
}

#[derive(FromArgs, Debug)]
#[argh(subcommand)]
pub enum Command {
    Serve(Serve),
    Status(StatusArgs),
    Console(Console),
    Reached(Reached),
}

/// Serve the status page and report this boot to the boot servers.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "serve", example = "agent serve --listen 127.0.0.1:8000")]
pub struct Serve {
    /// address of the page (default 0.0.0.0:8000)
    #[argh(option, default = "SocketAddr::from(([0, 0, 0, 0], PORT))")]
    pub listen: SocketAddr,
    /// address of rpc-worker (default 127.0.0.1:8081)
    #[argh(option, default = "usual_worker()")]
    pub worker: SocketAddr,
    /// read the machine's files below this folder (default /)
    #[argh(option, default = "usual_root()")]
    pub root: PathBuf,
}

/// Print the status of this node.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "status", example = "agent status --json")]
pub struct StatusArgs {
    /// one JSON object, as /api/status
    #[argh(switch)]
    pub json: bool,
    /// address of rpc-worker (default 127.0.0.1:8081)
    #[argh(option, default = "usual_worker()")]
    pub worker: SocketAddr,
    /// read the machine's files below this folder (default /)
    #[argh(option, default = "usual_root()")]
    pub root: PathBuf,
}

/// Print the status on a serial line, again whenever Enter is pressed.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "console", example = "agent console </dev/ttyS0 >/dev/ttyS0")]
pub struct Console {}

/// Note that multi-user is reached; duet-reached.service runs this once per boot.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "reached", example = "agent reached")]
pub struct Reached {
    /// write below this folder (default /)
    #[argh(option, default = "usual_root()")]
    pub root: PathBuf,
}

/// Where the page is.
pub const PORT: u16 = 8000;

pub fn usual_worker() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8081))
}

pub fn usual_root() -> PathBuf {
    PathBuf::from("/")
}
