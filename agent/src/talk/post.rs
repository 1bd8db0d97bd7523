//! Where everybody tells a conversation what happened.

use super::parts::Event;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Two of the longest clauses in pieces of 40 ms are half of it; a conversation that lets so many wait is stuck.
pub const EVENTS_MAX: usize = 2048;

/// Never waits: whoever tells something also works for others.
#[derive(Clone, Debug)]
pub struct Post {
    sender: SyncSender<Event>,
    n_lost: Arc<AtomicU64>,
}

/// Both ends of a new conversation's letter box.
pub fn post() -> (Post, Receiver<Event>) {
    let (sender, events) = sync_channel(EVENTS_MAX);
    (Post { sender, n_lost: Arc::default() }, events)
}

impl Post {
    /// False where it was lost: the conversation is over, or stuck.
    pub fn tell(&self, event: Event) -> bool {
        let is_told = self.sender.try_send(event).is_ok();
        if !is_told {
            self.n_lost.fetch_add(1, Ordering::Relaxed);
        }
        is_told
    }

    /// For devices, which count their own losses.
    pub fn sender(&self) -> &SyncSender<Event> {
        &self.sender
    }

    pub fn n_lost(&self) -> u64 {
        self.n_lost.load(Ordering::Relaxed)
    }
}
