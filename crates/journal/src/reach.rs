//! When a node compares its book with which peer: at once with one that has come, with one that is still behind, and with
//! all others by and by, because what was told may have been lost on the way.

use std::collections::{BTreeMap, BTreeSet};

/// Between two looks at a peer that knew the same.
pub const EVERY_MS: u64 = 30_000;
/// After a failure; it doubles with each one.
const AGAIN_MS: u64 = 1000;
/// A comparing that says nothing for so long has failed.
const SILENT_MS: u64 = 20_000;

/// How a comparing has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Both know the same.
    Same,
    /// Something was exchanged, and there may be more.
    More,
    Failed,
}

#[derive(Clone, Copy, Debug)]
struct Peer {
    due_ms: u64,
    n_failed: u32,
}

#[derive(Clone, Debug, Default)]
pub struct Reach {
    peers: BTreeMap<u64, Peer>,
}

impl Reach {
    /// The peers to compare with now; `live` are all that can be reached.
    pub fn step(&mut self, now_ms: u64, live: &BTreeSet<u64>) -> Vec<u64> {
        self.peers.retain(|peer, _| live.contains(peer));
        for peer in live {
            self.peers.entry(*peer).or_insert(Peer { due_ms: now_ms, n_failed: 0 });
        }
        let due = self.peers.iter_mut().filter(|(_, peer)| peer.due_ms <= now_ms);
        due.map(|(id, peer)| {
            peer.due_ms = now_ms + SILENT_MS;
            *id
        })
        .collect()
    }

    /// Something new is known here that a peer could not be told.
    pub fn is_behind(&mut self, now_ms: u64, id: u64) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.due_ms = peer.due_ms.min(now_ms);
        }
    }

    pub fn ended(&mut self, now_ms: u64, id: u64, how: Ended) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let wait_ms = match how {
            Ended::Same => EVERY_MS,
            Ended::More => 0,
            Ended::Failed => (AGAIN_MS << peer.n_failed.min(5)).min(EVERY_MS),
        };
        peer.n_failed = if how == Ended::Failed { peer.n_failed + 1 } else { 0 };
        peer.due_ms = now_ms + wait_ms;
    }
}
