//! Tool servers of others, by the Model Context Protocol.
//!
//! The owner names them in `etc/duet-agent/servers.toml`, and nobody else can; their tools are called `SERVER.TOOL` and
//! wait for a person's yes, unless the owner says otherwise. What a server says is a stranger's word: its descriptions
//! become plain letters (`offer`), its messages have limits (`wire`), and whoever hangs, floods or dies loses its own
//! connection and no more (`link`).
//!
//! The protocol is rmcp's; the transports are ours. Those of rmcp read messages of any length, and the one for HTTP brings
//! reqwest with a TLS of its own. So a server is reached by `http://` alone, as all else in a home here is.
//! A server that is a child shares memory and processes of the agent's unit, and goes first when memory is short.

pub mod config;
mod http;
mod lines;
mod link;
pub mod offer;
mod wire;

pub use link::Server;

use super::{Call, Limits, Spec, Tool};
use offer::Offer;
use std::sync::Arc;

/// A tool of a server.
pub struct OutsideTool {
    pub server: Arc<Server>,
    pub offer: Offer,
}

impl Tool for OutsideTool {
    fn spec(&self) -> Spec {
        self.offer.spec.clone()
    }

    fn run(&self, call: &Call, limits: &Limits<'_>) -> Result<String, String> {
        self.server.call(&self.offer, offer::as_json(&call.arguments), limits)
    }
}
