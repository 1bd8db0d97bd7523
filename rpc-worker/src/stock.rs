//! Memory and cores for stock llama.cpp clients, by ggml's own RPC, behind `rpcgate`.
//!
//! The protocol has no key and its server dies of what it did not expect. So nothing listens for it: a connection comes
//! as an upgrade of HTTP through the door that is there, from the agent, which knows keys. `child` is a fresh process
//! for each client with ggml's server, in a `sandbox`; `lease` lets one client at a time through the gate and ends both
//! of its connections when either does.
//! Off unless a file says otherwise, which the agent writes where the owner allowed it.

pub mod child;
mod lease;
mod sandbox;

use child::Child;
use engine::kernels::Way;
use serde::Deserialize;
use service::door::{Allowance, Answer, Ask, Reply, Upgrade};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

pub const PATH: &str = "/rpc";
/// What the connection is upgraded to.
const PROTOCOL: &str = "ggml-rpc";
/// The longest that one client may stay.
const LEASE_TIME_MAX: Duration = Duration::from_secs(12 * 3600);
pub const ALLOWANCE: Allowance = Allowance { body_bytes: 0, time: LEASE_TIME_MAX };
/// A client ends a connection and begins the next within this time; who waits longer waits for another client.
const TURN_TIME_MAX: Duration = Duration::from_secs(3);
/// Between two looks at whether it is still allowed.
const LOOK_EACH: Duration = Duration::from_secs(1);
/// Longest file that allows it.
const FILE_BYTES_MAX: u64 = 4096;
/// Least and most memory of a lease.
const MIB_MIN: u32 = 16;
const MIB_MAX: u32 = 1 << 20;

/// What the owner allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Allowed {
    memory_mib: u32,
}

/// One lease at a time. Clones are the same.
#[derive(Clone)]
pub struct Stock {
    file: PathBuf,
    n_threads: u32,
    way: Option<Way>,
    turn: Arc<Semaphore>,
}

impl Stock {
    pub fn new(file: PathBuf, n_threads: u32, way: Option<Way>) -> Stock {
        Stock { file, n_threads, way, turn: Arc::new(Semaphore::new(1)) }
    }

    pub async fn answer(&self, ask: &Ask) -> Reply {
        let told = |status, what: &str| Answer::text(status, &format!("{what}\n")).into();
        let asked = ask.fields.get("upgrade").is_some_and(|protocol| protocol == PROTOCOL);
        if ask.is_of_a_browser || ask.posted.is_some() {
            return told(403, "this is for the agent of a node");
        }
        let Some(allowed) = allowed(&self.file) else {
            return told(404, "this node lends no memory to stock llama.cpp clients");
        };
        if !asked {
            let fields = &[("upgrade", PROTOCOL)];
            return Answer { fields, ..Answer::text(426, "upgrade to ggml-rpc, please\n") }.into();
        }
        let Ok(Ok(turn)) = timeout(TURN_TIME_MAX, self.turn.clone().acquire_owned()).await else {
            return told(503, "another client has this node's memory");
        };
        // On this thread, which lives as long as the process: the child dies with the thread that started it.
        let child = match Child::start(allowed.memory_mib, self.n_threads, self.way) {
            Ok(child) => child,
            Err(error) => return told(500, &format!("no server could be started: {error:#}")),
        };
        let bytes_max = u64::from(allowed.memory_mib) << 20;
        let (file, lent_mib) = (self.file.clone(), allowed.memory_mib);
        let then = move |client| {
            Box::pin(async move {
                lease::serve(client, child, bytes_max, LEASE_TIME_MAX, taken_back(file, lent_mib)).await;
                drop(turn);
            }) as _
        };
        Reply::Carried(Upgrade { protocol: PROTOCOL, fields: vec![], then: Box::new(then) })
    }
}

/// Ends when the file allows less than was lent.
async fn taken_back(file: PathBuf, lent_mib: u32) {
    while allowed(&file).is_some_and(|now| now.memory_mib >= lent_mib) {
        tokio::time::sleep(LOOK_EACH).await;
    }
}

/// What the file says; nothing if there is none, or none that can be understood.
fn allowed(path: &Path) -> Option<Allowed> {
    let mut text = String::new();
    File::open(path).ok()?.take(FILE_BYTES_MAX).read_to_string(&mut text).ok()?;
    let allowed: Allowed = serde_json::from_str(&text).ok()?;
    (MIB_MIN..=MIB_MAX).contains(&allowed.memory_mib).then_some(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_that_says_how_much_allows_anything() {
        let path = std::env::temp_dir().join(format!("duet-stock-{}", std::process::id()));
        let said = |text: &str| {
            std::fs::write(&path, text).unwrap();
            allowed(&path).map(|allowed| allowed.memory_mib)
        };
        assert_eq!(said("{\"memory_mib\":512}"), Some(512));
        for bad in ["", "{}", "{\"memory_mib\":15}", "{\"memory_mib\":1048577}", "{\"memory_mib\":-1}"] {
            assert_eq!(said(bad), None, "{bad}");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(allowed(&path), None);
    }
}
