//! The same call, here or at another node.
//!
//! A small PC may leave heavy tools to a larger one, and a PC of the owner's may leave all that is not about itself.
//! `rules` says where a call runs, `members` who runs it, `letter` is what goes over the wire, `errand` is the way there, and
//! `door` lets calls of others in. The desk of the asking node asks its person, keeps its time and writes the call down; his
//! yes travels with what was shown to him. The desk of the other checks the call by its own policy and writes it down too,
//! so that no node runs what its owner forbade there.

pub mod door;
mod errand;
mod letter;
pub mod members;
pub mod rules;

use super::desk::Yes;
use super::{Call, Limits, Spec, Tool};
use errand::{Failure, send};
use letter::Letter;
use rules::{Place, Rules};
use std::net::SocketAddr;
use std::sync::Arc;
use tools::Wanted;

/// Where the door is, on the overlay and beside the page.
pub const PATH: &str = "/api/tools/run";
/// The service that is doubted when a node cannot be reached for it.
pub const SERVICE: &str = "tools";
/// Nodes that are tried for one call.
const TRIED_MAX: usize = 3;

/// A node that may run tools for this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    pub name: String,
    pub address: SocketAddr,
    /// For a door that wants one; members on the overlay need none.
    pub key: Option<String>,
}

/// Has the agent at an address run a call for a person, who has said yes where one must. The outer error says why the agent
/// did not take it.
pub async fn run_at(
    address: SocketAddr,
    key: String,
    wanted: &Wanted,
    yes: Option<Yes>,
) -> Result<Result<String, String>, String> {
    let other = Other { name: format!("the agent at {address}"), address, key: Some(key) };
    let letter = Letter::wanted(wanted, yes);
    errand::exchange(&other, &letter, door::TIME_MAX).await.map_err(|failure| match failure {
        Failure::Unreachable(why) => format!("{} cannot be reached: {why}", other.name),
        Failure::Refused(why) => format!("{} refused it: {why}", other.name),
        Failure::Broke(why) => format!("{} broke off, and may have done it: {why}", other.name),
    })
}

/// What is known of other nodes.
pub trait Others: Send + Sync {
    /// The best first.
    fn best(&self) -> Vec<Other>;

    /// It did not answer.
    fn unreachable(&self, other: &Other);
}

/// A tool that runs where the rules say.
pub struct Placed {
    pub here: Arc<dyn Tool>,
    pub rules: Arc<dyn Fn() -> Rules + Send + Sync>,
    pub others: Arc<dyn Others>,
}

impl Tool for Placed {
    fn spec(&self) -> Spec {
        self.here.spec()
    }

    fn will_do(&self, call: &Call) -> Option<String> {
        self.here.will_do(call)
    }

    fn run(&self, call: &Call, limits: &Limits<'_>) -> Result<String, String> {
        let rules = (self.rules)();
        if call.stays || rules.place(&self.here.spec()) == Place::Here {
            return self.here.run(call, limits);
        }
        let others = match &rules.url {
            Some(other) => vec![other.clone()],
            None => self.others.best(),
        };
        let mut last = format!("no other node that runs {} for this one can be reached", call.tool);
        for other in others.iter().take(TRIED_MAX) {
            match send(other, call, limits) {
                Ok(told) => return told.map_err(|why| format!("{}: {why}", other.name)),
                Err(Failure::Refused(why)) => last = format!("{}: {why}", other.name),
                // It may have begun there: nobody else does it a second time.
                Err(Failure::Broke(why)) => {
                    self.others.unreachable(other);
                    return Err(format!("{} broke off, and may have done it: {why}", other.name));
                }
                Err(Failure::Unreachable(why)) => {
                    self.others.unreachable(other);
                    last = format!("{} cannot be reached: {why}", other.name);
                }
            }
        }
        if limits.is_over() || rules.only_there {
            return Err(last);
        }
        // Nothing has begun anywhere.
        self.here.run(call, limits)
    }
}
