//! The door on the overlay: what this node answers to the other nodes, each path with the limits of its own gate.

use crate::answer::keep::record::TELL_PATH;
use crate::brain::sharing::{self, Sharing};
use crate::hear::desk::Desk;
use crate::hear::door as ear;
use crate::memory::peers as memory;
use crate::serve::acting::{self, Acting};
use crate::serve::keeping::{self, Keeping};
use crate::spreading::{Spreading, door as models};
use crate::tools::remote;
use service::door::{self, Allowance, Answer, Ask, Head, Reply};
use std::path::Path;
use std::sync::Arc;

/// Where the overlay's process leaves the address.
const OVERLAY_FILE: &str = "run/duet-overlay/address";

/// Who answers.
#[derive(Clone)]
pub struct Peers {
    /// Hears for a neighbour.
    pub ear: Arc<Desk>,
    /// Keeps a neighbour's timers.
    pub timers: Arc<Keeping>,
    /// Does what a person at another PC allowed, and knows what is known there.
    pub acting: Arc<Acting>,
    /// Compares what was edited.
    pub sharing: Arc<Sharing>,
    /// Hands out models.
    pub spreading: Arc<Spreading>,
    pub tools: Arc<remote::members::Door>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    Timers,
    Acts,
    Memory,
    Edits,
    Models,
    Tools,
    /// And whatever nobody else knows.
    Ear,
}

impl Room {
    fn of(path: &str) -> Room {
        match path {
            acting::PATH => Room::Acts,
            sharing::PATH => Room::Edits,
            remote::PATH => Room::Tools,
            _ if path.starts_with(TELL_PATH) => Room::Timers,
            _ if path.starts_with(memory::PATH) => Room::Memory,
            _ if path.starts_with(models::PATH) => Room::Models,
            _ => Room::Ear,
        }
    }

    fn gate(self, head: &Head<'_>) -> Result<Allowance, Reply> {
        match self {
            Room::Timers => keeping::gate(head),
            Room::Acts => acting::gate(head),
            Room::Memory => memory::gate(head),
            Room::Edits => sharing::gate(head),
            Room::Models => models::gate(head),
            Room::Tools => remote::door::gate(head),
            Room::Ear => ear::gate(head),
        }
    }
}

impl Peers {
    /// Never ends.
    pub async fn serve(&self, root: &Path, port: u16) {
        let open = |listener| {
            let peers = self.clone();
            let gate = |head: &Head<'_>| Room::of(head.path).gate(head);
            door::serve_gated(ear::LIMITS, listener, gate, move |ask| {
                let peers = peers.clone();
                async move { peers.answer(ask).await }
            })
        };
        service::overlay::serve("duet", &root.join(OVERLAY_FILE), port, open).await;
    }

    async fn answer(&self, ask: Ask) -> Reply {
        let answer: Answer = match Room::of(&ask.path) {
            Room::Timers => self.timers.answer(&ask),
            Room::Acts => self.acting.answer(&ask).await,
            Room::Memory => self.acting.memory.peers.answer(&ask).await,
            Room::Edits => self.sharing.answer(&ask),
            Room::Models => return self.spreading.answer(&ask).await,
            Room::Tools => self.tools.answer(&ask).await,
            Room::Ear => ear::answer(self.ear.clone(), ask).await,
        };
        Reply::from(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::keep::record::{MINE_PATH, RUNG_PATH};

    #[test]
    fn each_path_has_its_room() {
        for (path, room) in [
            ("/api/timers", Room::Timers),
            (RUNG_PATH, Room::Timers),
            (MINE_PATH, Room::Timers),
            (acting::PATH, Room::Acts),
            ("/api/memory/peer/compare", Room::Memory),
            (sharing::PATH, Room::Edits),
            (models::CHUNK, Room::Models),
            (models::LOOK, Room::Models),
            (remote::PATH, Room::Tools),
            ("/api/hear", Room::Ear),
            ("/api/acts/more", Room::Ear),
            ("/", Room::Ear),
        ] {
            assert_eq!(Room::of(path), room, "{path}");
        }
    }
}
