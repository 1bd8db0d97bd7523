//! Whether models fit a shelf of PCs: asked of the planner itself, so that what is fetched is what gets placed.

use super::{Known, Use};
use crate::expert::{Expert, Purpose};
use crate::place::{self, Node, NodeId};

/// What of a PC's memory no model gets: the system in memory, programs, the models of our own, and what a BIOS keeps.
pub const SYSTEM_MIB: u64 = 384;
/// Of an expert that nobody has described yet.
const CONTEXT: u32 = 2048;

/// PCs of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shelf {
    pub n_nodes: u32,
    pub memory_gib: u32,
}

impl Shelf {
    /// What models may take on one of them.
    pub fn room_mib(self) -> u64 {
        (u64::from(self.memory_gib) * 1024).saturating_sub(SYSTEM_MIB)
    }

    fn nodes(self, ear_mib: u64) -> Vec<Node> {
        let node = |idx: u32| Node {
            id: NodeId(u64::from(idx) + 1),
            name: format!("pc{}", idx + 1),
            cores: 2,
            ram_bytes: self.room_mib().saturating_sub(ear_mib) << 20,
            wire_mbit: 1000,
            speeds: Vec::new(),
            files: Vec::new(),
            has_disk: false,
            can_fetch: true,
            offered: Vec::new(),
        };
        (0..self.n_nodes).map(node).collect()
    }
}

/// Of these models, those that no PC of the shelf can hold, alone or together with others, if all of them are wanted.
///
/// Every PC hears, so the ear counts on each; the planner places the others for the experts that want them.
pub fn without_place<'a>(models: &[&'a Known], experts: &[Expert], shelf: Shelf) -> Vec<&'a Known> {
    let hears = |known: &&&Known| matches!(known.purpose, Use::Speech | Use::VoiceActivity);
    // One of them is the ear; the others only lie on the boot server.
    let ear_mib = models.iter().filter(hears).map(|known| u64::from(known.memory_mib)).max().unwrap_or(0);
    let mut shapes = Vec::new();
    let mut wants = Vec::new();
    for known in models {
        let Some(shape) = &known.shape else { continue };
        shapes.push(shape.model(&known.file));
        let of_it = experts.iter().filter(|expert| expert.model == known.file);
        let before = wants.len();
        wants.extend(of_it.cloned());
        if wants.len() == before {
            wants.extend(expert_of(known, wants.len()));
        }
    }
    let plan = place::plan(&shelf.nodes(ear_mib), &shapes, &wants, &[]);
    let is_placed = |known: &Known| match known.shape {
        None => u64::from(known.memory_mib) + (place::RESERVE_BYTES >> 20) <= shelf.room_mib(),
        Some(_) => wants.iter().any(|expert| {
            let served = |outcome: &place::Outcome| outcome.expert == expert.name && outcome.n_copies > 0;
            expert.model == known.file && plan.outcomes.iter().any(served)
        }),
    };
    models.iter().filter(|known| !is_placed(known)).copied().collect()
}

/// A plain expert for a model that none wants.
fn expert_of(known: &Known, idx: usize) -> Option<Expert> {
    let text = format!(
        "name = \"model-{idx}\"\nmodel = {:?}\nquantisation = {:?}\ncontext = {CONTEXT}\nsplit = true\n",
        known.file, known.quantisation
    );
    let mut expert = Expert::parse(&text).ok()?;
    if known.purpose == Use::Embedding {
        expert.purpose = Purpose::Embeddings;
    }
    Some(expert)
}
