//! How long a token takes on a node, in whole numbers that cannot overflow.

use super::{HOP_NS, Model, Node, WEIGHT_BYTES_PER_S};

const NS_PER_S: u128 = 1_000_000_000;
/// Where nobody knows the wire.
const WIRE_MBIT: u64 = 1000;
/// Between two stages a number is a 32-bit float.
const NUMBER_BYTES: u64 = 4;

impl Model {
    pub fn n_layers(&self) -> u32 {
        u32::try_from(self.layer_bytes.len()).unwrap_or(u32::MAX)
    }

    /// The head's weights: the embedding again, where there is no matrix of its own.
    pub(super) fn head(&self) -> u64 {
        if self.head_bytes == 0 { self.embedding_bytes } else { self.head_bytes }
    }

    pub(super) fn layers(&self) -> u64 {
        self.layer_bytes.iter().fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }

    /// What is read for one token: of the embedding only a row.
    fn read_per_token(&self) -> u64 {
        self.layers().saturating_add(self.head()).max(1)
    }
}

/// Where a stage stands in its ring. What a slice carries beside its layers follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    First,
    Middle,
    Last,
}

impl Role {
    /// Of a slice with the first layer, the last, both or none.
    pub fn with_ends(ends: (bool, bool)) -> Role {
        match ends {
            (true, _) => Role::First,
            (_, true) => Role::Last,
            _ => Role::Middle,
        }
    }

    /// Of the stage `idx` of `n`.
    pub fn of(idx: usize, n: usize) -> Role {
        match idx {
            0 => Role::First,
            _ if idx + 1 == n => Role::Last,
            _ => Role::Middle,
        }
    }
}

/// How long a token takes on one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    pub ns: u64,
    pub is_measured: bool,
}

/// Weights that two cores read in a second, on the node of the shelf that is fastest by its own measurements.
pub type Best = Option<u128>;

/// What nodes without a measurement are held to. A number from outside would send a model round the shelf, from each node
/// that was measured to one that only promises more.
pub fn best<'a>(nodes: impl IntoIterator<Item = &'a Node>, models: &[Model]) -> Best {
    let rates =
        |node: &Node| rates(node, models).max().map(|rate| rate * 2 / u128::from(node.cores.clamp(1, 2)));
    nodes.into_iter().filter_map(rates).max()
}

/// Weights a second, with each model that was measured there.
fn rates(node: &Node, models: &[Model]) -> impl Iterator<Item = u128> {
    node.speeds.iter().filter(|speed| speed.decode_ns > 0).filter_map(|speed| {
        let known = models.iter().find(|model| stem(&model.file) == speed.model)?;
        Some(u128::from(known.read_per_token()) * NS_PER_S / u128::from(speed.decode_ns))
    })
}

fn stem(file: &str) -> &str {
    file.strip_suffix(".gguf").unwrap_or(file)
}

/// Measured with this model, or else reckoned from the slowest that was measured there, or else from the fastest of the
/// shelf, or else assumed.
pub fn pace(node: &Node, model: &Model, models: &[Model], best: Best) -> Pace {
    let own = node.speeds.iter().find(|speed| speed.model == stem(&model.file) && speed.decode_ns > 0);
    if let Some(speed) = own {
        return Pace { ns: speed.decode_ns, is_measured: true };
    }
    let two_cores = best.unwrap_or(u128::from(WEIGHT_BYTES_PER_S));
    let assumed = two_cores * u128::from(node.cores.clamp(1, 2)) / 2;
    let rate = rates(node, models).min().unwrap_or(assumed).max(1);
    let ns = u128::from(model.read_per_token()) * NS_PER_S / rate;
    Pace { ns: u64::try_from(ns).unwrap_or(u64::MAX).clamp(1, u64::MAX / 1_000_000), is_measured: false }
}

/// What a stage costs on a node: for each layer, for the head if it is the last, and for the hop that follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageCost {
    pub layer_ns: u64,
    pub head_ns: u64,
    pub hop_ns: u64,
}

impl StageCost {
    pub fn new(node: &Node, model: &Model, pace: Pace) -> StageCost {
        let share = |bytes: u64| {
            let ns = u128::from(pace.ns) * u128::from(bytes) / u128::from(model.read_per_token());
            u64::try_from(ns).unwrap_or(u64::MAX)
        };
        let wire_mbit = if node.wire_mbit == 0 { WIRE_MBIT } else { u64::from(node.wire_mbit) };
        let sent_ns = u64::from(model.width) * NUMBER_BYTES * 8 * 1000 / wire_mbit;
        StageCost {
            layer_ns: share(model.layers()) / u64::from(model.n_layers().max(1)),
            head_ns: share(model.head()),
            hop_ns: HOP_NS + sent_ns,
        }
    }

    pub fn of(&self, n_layers: u32, role: Role) -> u64 {
        let head = if role == Role::Last { self.head_ns } else { 0 };
        self.layer_ns.saturating_mul(u64::from(n_layers)).saturating_add(head).saturating_add(self.hop_ns)
    }
}

/// Tokens a second, times a thousand.
pub fn milli(ns: u64) -> u64 {
    1_000_000_000_000 / ns.max(1)
}
