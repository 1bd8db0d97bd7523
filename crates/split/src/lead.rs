//! Who plans for all, and which plan a node follows.
//!
//! The live node with the lowest id plans, once it was there for a while. It counts its plans by generations; everyone
//! tells in its facts which generation of which coordinator it follows. A new coordinator counts on from the highest that
//! anyone tells, so a node can only go forward, whoever plans.
//!
//! Not every node plans for itself from the same facts, though that would spare the letters: facts differ from node to
//! node for seconds, a plan in force depends on what came before, and nodes that are nearly agreed would load and unload
//! past each other. One plans, and the others fetch their own part of it, which fits any cluster into any record.
//!
//! Nodes of another build are not told to this machine: they plan among themselves.

use crate::place::NodeId;
use std::collections::VecDeque;
use std::time::Duration;

/// How long a node must be there before it plans for others.
pub const STABLE: Duration = Duration::from_secs(10);
/// Facts that change are often followed by more.
pub const SETTLE: Duration = Duration::from_secs(2);
/// After a new plan nodes begin to load, and tell less memory before they tell what took it. Until that is over, only
/// the loss of a node counts.
pub const LOAD: Duration = Duration::from_secs(10);
/// After a letter did not come.
pub const RETRY: Duration = Duration::from_secs(2);

/// A plan, by who made it and how many went before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    pub generation: u64,
    pub coordinator: NodeId,
}

/// The coordinator of a plan that a node followed before it began anew: it knows only how many went before.
pub const NOBODY: NodeId = NodeId(0);

/// A live node of this build whose word is certified; the node itself is one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    pub id: NodeId,
    pub alive: Duration,
    /// The plan that it follows.
    pub mark: Option<Mark>,
}

#[derive(Debug)]
pub enum Input<'a> {
    /// What the gossip shows, and a hash of all that a plan is made of.
    Look { peers: &'a [Peer], facts: u64 },
    /// A plan was made from the facts with this hash; `is_new` if it differs from the one before.
    Planned { facts: u64, is_new: bool },
    /// A letter has come, and its signature is true.
    Came { mark: Mark },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Make a plan from the facts with this hash, and say when it is there.
    Plan { facts: u64 },
    /// The plan that was made is in force under this mark: keep letters for all, and follow it.
    Publish { mark: Mark },
    /// Ask the coordinator for this node's letter.
    Fetch { from: NodeId },
    /// Follow the letter that has come.
    Follow { mark: Mark },
}

#[derive(Debug, PartialEq, Eq)]
enum Role {
    /// Nobody plans that this node knows of.
    Waiting,
    Following {
        coordinator: NodeId,
        asked: Option<Duration>,
    },
    Leading {
        /// Of what the last plan was made of; nothing before the first.
        planned: Option<u64>,
        /// Since when the facts are others.
        changed: Option<Duration>,
        is_planning: bool,
        /// Until when the last plan is being followed, and by whom.
        follows: (Duration, Vec<NodeId>),
        /// The highest generation that another coordinator's follower tells, if it is not below ours.
        rival: bool,
    },
}

/// One node's part in it.
#[derive(Debug)]
pub struct Lead {
    own: NodeId,
    mark: Option<Mark>,
    /// The highest generation that was seen anywhere.
    top: u64,
    role: Role,
    wishes: VecDeque<Output>,
}

impl Lead {
    /// `floor` is the generation that this node followed in an earlier life, 0 for none.
    pub fn new(own: NodeId, floor: u64) -> Lead {
        let mark = (floor > 0).then_some(Mark { generation: floor, coordinator: NOBODY });
        Lead { own, mark, top: floor, role: Role::Waiting, wishes: VecDeque::new() }
    }

    /// The plan that this node follows.
    pub fn mark(&self) -> Option<Mark> {
        self.mark
    }

    pub fn is_leading(&self) -> bool {
        matches!(self.role, Role::Leading { .. })
    }

    /// Who plans, as far as this node knows.
    pub fn coordinator(&self) -> Option<NodeId> {
        match self.role {
            Role::Waiting => None,
            Role::Following { coordinator, .. } => Some(coordinator),
            Role::Leading { .. } => Some(self.own),
        }
    }

    pub fn handle(&mut self, now: Duration, input: Input<'_>) {
        match input {
            Input::Look { peers, facts } => self.look(now, peers, facts),
            Input::Planned { facts, is_new } => self.planned(now, facts, is_new),
            Input::Came { mark } => self.came(mark),
        }
    }

    pub fn poll(&mut self) -> Option<Output> {
        self.wishes.pop_front()
    }

    fn look(&mut self, now: Duration, peers: &[Peer], facts: u64) {
        let told = peers.iter().filter_map(|peer| peer.mark);
        self.top = told.clone().map(|mark| mark.generation).fold(self.top, u64::max);
        let stable = peers.iter().filter(|peer| peer.alive >= STABLE);
        match stable.map(|peer| peer.id).min() {
            None => self.role = Role::Waiting,
            Some(id) if id == self.own => {
                let ours = self.mark.map_or(0, |mark| mark.generation);
                let is_rival = |mark: Mark| mark.coordinator != self.own && mark.generation >= ours;
                self.lead(now, peers, facts, told.into_iter().any(is_rival));
            }
            Some(id) => {
                let theirs = peers.iter().find(|peer| peer.id == id).and_then(|peer| peer.mark);
                self.follow(now, id, theirs);
            }
        }
    }

    fn lead(&mut self, now: Duration, peers: &[Peer], facts: u64, is_rival: bool) {
        if !self.is_leading() {
            let follows = (Duration::ZERO, vec![]);
            self.role =
                Role::Leading { planned: None, changed: None, is_planning: false, follows, rival: false };
        }
        let Role::Leading { planned, changed, is_planning, follows, rival } = &mut self.role else { return };
        *rival = is_rival;
        let present: Vec<NodeId> = peers.iter().map(|peer| peer.id).collect();
        if planned.is_some()
            && !is_rival
            && now < follows.0
            && follows.1.iter().all(|id| present.contains(id))
        {
            return;
        }
        if *planned == Some(facts) {
            *changed = None;
        }
        let since = match planned {
            // The first plan waits for nothing: the node was there for a while.
            None => Some(now.saturating_sub(SETTLE)),
            Some(_) if *planned != Some(facts) => Some(*changed.get_or_insert(now)),
            Some(_) if is_rival => Some(now.saturating_sub(SETTLE)),
            Some(_) => None,
        };
        if since.is_some_and(|since| now.saturating_sub(since) >= SETTLE || planned.is_none())
            && !*is_planning
        {
            *is_planning = true;
            follows.1 = present;
            self.wishes.push_back(Output::Plan { facts });
        }
    }

    fn planned(&mut self, now: Duration, facts: u64, is_new: bool) {
        let Role::Leading { planned, changed, is_planning, follows, rival } = &mut self.role else { return };
        let is_first = planned.is_none();
        (*planned, *changed, *is_planning) = (Some(facts), None, false);
        if is_new || is_first || *rival {
            *rival = false;
            follows.0 = now + LOAD;
            self.top += 1;
            let mark = Mark { generation: self.top, coordinator: self.own };
            self.mark = Some(mark);
            self.wishes.push_back(Output::Publish { mark });
        }
    }

    fn follow(&mut self, now: Duration, id: NodeId, theirs: Option<Mark>) {
        let asked = match self.role {
            Role::Following { coordinator, asked } if coordinator == id => asked,
            _ => None,
        };
        self.role = Role::Following { coordinator: id, asked };
        let is_newer = theirs.is_some_and(|mark| mark.coordinator == id && self.is_ahead(mark));
        if is_newer && asked.is_none_or(|asked| now.saturating_sub(asked) >= RETRY) {
            self.role = Role::Following { coordinator: id, asked: Some(now) };
            self.wishes.push_back(Output::Fetch { from: id });
        }
    }

    fn came(&mut self, mark: Mark) {
        let Role::Following { coordinator, asked } = &mut self.role else { return };
        if *coordinator != mark.coordinator {
            return;
        }
        *asked = None;
        if self.is_ahead(mark) {
            self.top = self.top.max(mark.generation);
            self.mark = Some(mark);
            self.wishes.push_back(Output::Follow { mark });
        }
    }

    fn is_ahead(&self, mark: Mark) -> bool {
        self.mark.is_none_or(|ours| mark.generation > ours.generation)
    }
}

#[cfg(test)]
mod tests;
