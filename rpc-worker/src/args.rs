//! The command line as data.

use argh::FromArgs;
use std::net::SocketAddr;

/// Lends this node's memory and cores to the language model.
#[derive(FromArgs, Debug)]
#[argh(
    example = "rpc-worker\nrpc-worker --listen 127.0.0.1:18081\ncurl http://127.0.0.1:8081/health",
    note = "GET /health answers with build, uptime and memory as JSON."
)]
pub struct Args {
    /// print the version
    #[argh(switch)]
    pub version: bool,
    /// address to listen on (default 127.0.0.1:8081)
    #[argh(option, default = "SocketAddr::from(([127, 0, 0, 1], 8081))")]
    pub listen: SocketAddr,
}
