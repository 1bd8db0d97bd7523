//! Which expert lives where, what is cut over several nodes, and why; pure.
//!
//! Whole before cut: stages on equal nodes never make one conversation faster, they only add memory.
//! So the last resort is everywhere before all others, which costs a few megabytes; then every expert gets one home, then a
//! larger fallback goes everywhere, then come more copies,
//! and only what has no home is cut. The same facts give the same plan in any order, in whole numbers,
//! so two nodes that plan agree.
//!
//! A plan in force is mended rather than made anew: a model that moves is loaded again, for seconds in which it is silent.
//! `need` knows memory, `cost` speeds, `cut` the dynamic programme, `table` who sits where, `share` what they have together, `fill` the rules, `tell` the sentences.

mod cost;
mod cut;
mod fill;
mod give;
mod need;
mod share;
mod table;
mod tell;
#[cfg(test)]
pub(crate) mod tests;
pub mod told;

use crate::assign;
use crate::expert::Expert;
use serde::{Deserialize, Serialize};

pub use cost::Role;
pub use give::{Place, give};
pub use need::{
    BEGINNING_MAX, RING_ROWS, Talks, WHOLE_ROWS, beginning_max, stage_beside, whole_beside, whole_weights,
};

/// Left to the agent, to speech, and to the page cache in which a root in memory lives.
pub const RESERVE_BYTES: u64 = 256 << 20;
/// Assumed where nothing was measured: weights that two cores of a Core 2 read in a second.
pub const WEIGHT_BYTES_PER_S: u64 = 2_500_000_000;
/// One hop of a ring at half a round trip of 0.2 ms, and the software on both sides of it.
pub const HOP_NS: u64 = 300_000;
/// A cut model slower than this is refused: its listener would be better served by a small one.
pub const SPLIT_NS_MAX: u64 = 300_000_000;
/// A new plan must be this much faster than the one in force.
pub const SWITCH_PERCENT: u64 = 20;
/// The nodes that one cut looks at, the cheapest for each layer first.
pub const CUT_NODES_MAX: usize = 48;
/// Copies on one node, whole or stages; a node's facts have room for no more models.
pub const NODE_COPIES_MAX: u64 = 8;
const _: () =
    assert!(NODE_COPIES_MAX <= assign::EXPERTS_MAX as u64 && NODE_COPIES_MAX <= assign::STAGES_MAX as u64);
pub const NODES_MAX: usize = 4096;
pub const WANTS_MAX: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

impl std::fmt::Display for NodeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<NodeId, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let id = u64::from_str_radix(&text, 16).ok().filter(|_| text.len() == 16);
        id.map(NodeId).ok_or_else(|| serde::de::Error::custom("a node's id is 16 hex digits"))
    }
}

impl Serialize for NodeId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub id: NodeId,
    pub name: String,
    pub cores: u32,
    /// What models may take, before the reserve: free memory, and what they take already beside files that lie there.
    pub ram_bytes: u64,
    /// 0 where nobody knows.
    pub wire_mbit: u32,
    pub speeds: Vec<Speed>,
    /// The models whose files lie there.
    pub files: Vec<String>,
    /// They lie on a disk, so they take memory only while they are held; else they take it, held or not.
    pub has_disk: bool,
    /// Whether any other model can be fetched.
    pub can_fetch: bool,
    /// The models that can be fetched for certain.
    pub offered: Vec<String>,
}

/// Measured on that node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speed {
    /// The model's file, without `.gguf`.
    pub model: String,
    pub decode_ns: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Model {
    pub file: String,
    pub layer_bytes: Vec<u64>,
    /// The first slice carries the embedding, the last one the head, which is the embedding again where its bytes are 0.
    pub embedding_bytes: u64,
    pub head_bytes: u64,
    /// Of one position in one layer.
    pub kv_bytes: u64,
    /// Numbers that go from stage to stage for one token.
    pub width: u32,
    /// The same within a layer, where it is widest.
    pub inner: u32,
    /// Tokens of its vocabulary.
    pub n_vocab: u32,
    /// Positions it was trained for, more than which it is never held for; 0 where nobody knows.
    pub n_ctx_trained: u32,
    /// Stages begin at multiples of this; 0 where the model is not known to give the same bits when it is cut.
    pub split_step: u32,
}

/// A run of layers on one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub node: NodeId,
    pub first: u32,
    pub last: u32,
    /// Memory that it takes there, beside the models that lie there and the weights that another seat counts.
    pub bytes: u64,
}

/// One copy of an expert: whole on one node, or cut over several in the order of their layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    pub expert: String,
    pub parts: Vec<Part>,
    /// Predicted for one conversation alone, times a thousand.
    pub tokens_per_s_milli: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    pub expert: String,
    pub n_copies: usize,
    pub n_wanted: u32,
    /// Of its home, for one conversation alone, times a thousand; 0 without a home.
    pub tokens_per_s_milli: u64,
    /// The same while the other experts at home on that node speak too.
    pub shared_milli: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Plan {
    /// By expert; the first of an expert is its home.
    pub seats: Vec<Seat>,
    pub outcomes: Vec<Outcome>,
    pub reasons: Vec<String>,
    /// Whether the plan in force still serves.
    pub is_kept: bool,
    /// Comparisons it took, which do not depend on the machine.
    pub n_steps: u64,
}

impl Plan {
    /// Experts that are served, and how fast all homes are together when all speak. What a better plan has more of.
    pub fn score(&self) -> (usize, u64) {
        let served = self.outcomes.iter().filter(|outcome| outcome.n_copies > 0);
        (served.clone().count(), served.map(|outcome| outcome.shared_milli).sum())
    }

    /// The same seats, whatever the sentences about them; which of two copies is called the home moves nothing.
    pub fn is_same_as(&self, other: &Plan) -> bool {
        let seats = |plan: &Plan| {
            let places =
                |seat: &Seat| seat.parts.iter().map(|p| (p.node, p.first, p.last, p.bytes)).collect();
            let mut seats: Vec<(String, Vec<_>)> =
                plan.seats.iter().map(|seat| (seat.expert.clone(), places(seat))).collect();
            seats.sort();
            seats
        };
        seats(self) == seats(other)
    }
}

/// The plan for these nodes. `in_force` is what was planned before, empty at first.
pub fn plan(nodes: &[Node], models: &[Model], experts: &[Expert], in_force: &[Seat]) -> Plan {
    let nodes = &nodes[..nodes.len().min(NODES_MAX)];
    let experts = &experts[..experts.len().min(WANTS_MAX)];
    let mut fresh = table::Table::new(nodes, models, experts);
    fill::anew(&mut fresh);
    if in_force.is_empty() {
        return tell::plan(&fresh, tell::Choice::First, experts);
    }
    let mut mended = table::Table::new(nodes, models, experts);
    let kept = fill::mend(&mut mended, in_force);
    let (old, new) = (mended.score(), fresh.score());
    let is_worth_it = new.0 > old.0 || (new.0 == old.0 && new.1 * 100 > old.1 * (100 + SWITCH_PERCENT));
    mended.n_steps += fresh.n_steps;
    fresh.n_steps = mended.n_steps;
    if is_worth_it {
        return tell::plan(&fresh, tell::Choice::Switched { old, new }, experts);
    }
    tell::plan(&mended, tell::Choice::Kept { is_whole: kept, old, new }, experts)
}
