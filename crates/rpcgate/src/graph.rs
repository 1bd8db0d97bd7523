//! A graph, read whole: what is computed, in which order, from what.

use crate::buffers::Buffers;
use crate::message::{Reader, TENSOR_BYTES};
use crate::ops;
use crate::refusal::Refusal;
use crate::tensor::Tensor;
use std::collections::{BTreeMap, BTreeSet};

/// Tensors of a graph; one of 30 layers has 1,278.
pub const TENSORS_MAX: u32 = 32_768;
/// Tensors that are computed.
pub const NODES_MAX: u32 = 16_384;
/// How long a chain of sources may be: the server follows it by calling itself, on a stack that is known to bear 60,000.
pub const DEPTH_MAX: u32 = 16_384;

/// The tensors of a graph by their ids, each with the length of its chain of sources.
struct Tensors(BTreeMap<u64, (Tensor, u32)>);

/// Holds a whole GRAPH_COMPUTE to what a graph can be.
pub(crate) fn check(bytes: &[u8], buffers: &Buffers) -> Result<(), Refusal> {
    let cut = || Refusal::Graph { why: "is shorter than it says" };
    let mut reader = Reader(bytes);
    let device = reader.u32().ok_or_else(cut)?;
    if device != 0 {
        return Err(Refusal::Device { device });
    }
    let n_nodes = reader.u32().ok_or_else(cut)?;
    if !(1..=NODES_MAX).contains(&n_nodes) {
        return Err(Refusal::Graph { why: "computes nothing, or more than is let through" });
    }
    let nodes = reader.slice(8 * n_nodes as usize).ok_or_else(cut)?;
    let n_tensors = reader.u32().ok_or_else(cut)?;
    if n_tensors > TENSORS_MAX {
        return Err(Refusal::Graph { why: "has more tensors than are let through" });
    }
    let tensors = reader.slice(TENSOR_BYTES * n_tensors as usize).ok_or_else(cut)?;
    if !reader.0.is_empty() {
        return Err(Refusal::Graph { why: "is longer than it says" });
    }
    let tensors = Tensors::read(tensors, buffers)?;
    let mut seen = BTreeSet::new();
    for id in nodes.chunks_exact(8) {
        let id = id.try_into().map(u64::from_le_bytes).map_err(|_| cut())?;
        let node = tensors.find(id)?;
        // The server would count it twice, the second time beside its table.
        if !seen.insert(id) {
            return Err(Refusal::Graph { why: "computes a tensor twice" });
        }
        let sources = node.src.iter().map(|id| if *id == 0 { Ok(None) } else { tensors.find(*id).map(Some) });
        let sources: Vec<Option<&Tensor>> = sources.collect::<Result<_, _>>()?;
        ops::check(node, &sources, buffers)?;
    }
    Ok(())
}

impl Tensors {
    /// A client writes each tensor behind its sources, so a graph that is read once from the front has no circle.
    fn read(bytes: &[u8], buffers: &Buffers) -> Result<Tensors, Refusal> {
        let mut tensors = Tensors(BTreeMap::new());
        for bytes in bytes.chunks_exact(TENSOR_BYTES) {
            let tensor = Tensor::read(bytes)?;
            if tensor.id == 0 {
                return Err(tensor.wrong("has no id"));
            }
            if tensor.buffer != 0 {
                buffers.check_tensor(&tensor)?;
            } else if tensor.data != 0 {
                return Err(tensor.wrong("has memory of no buffer"));
            }
            let depth = tensors.depth(&tensor)?;
            if let Some((twice, _)) = tensors.0.insert(tensor.id, (tensor, depth)) {
                return Err(twice.wrong("has another's id"));
            }
        }
        Ok(tensors)
    }

    /// One more than the longest chain of its sources.
    fn depth(&self, tensor: &Tensor) -> Result<u32, Refusal> {
        let mut depth = 0;
        // A cast names itself as the place where it goes.
        let place = tensor.src[1];
        let is_cast = tensor.op == ops::CPY && place == tensor.id && tensor.src[0] != tensor.id;
        let src = tensor.src.iter().filter(|id| !(is_cast && **id == place));
        for id in src.chain([&tensor.view_src]).filter(|id| **id != 0) {
            let (_, below) =
                self.0.get(id).ok_or_else(|| tensor.wrong("has a source that does not come before it"))?;
            depth = depth.max(below + 1);
        }
        if depth > DEPTH_MAX {
            return Err(Refusal::Graph { why: "has a chain that is longer than is let through" });
        }
        Ok(depth)
    }

    fn find(&self, id: u64) -> Result<&Tensor, Refusal> {
        let known = self.0.get(&id).map(|(tensor, _)| tensor);
        known.ok_or(Refusal::Graph { why: "computes a tensor that it does not have" })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::tensor::tests::Sent;

    pub(crate) fn graph(nodes: &[u64], tensors: &[Sent]) -> Vec<u8> {
        let mut out = 0u32.to_le_bytes().to_vec();
        out.extend((nodes.len() as u32).to_le_bytes());
        nodes.iter().for_each(|id| out.extend(id.to_le_bytes()));
        out.extend((tensors.len() as u32).to_le_bytes());
        tensors.iter().for_each(|tensor| out.extend(tensor.bytes()));
        out
    }

    fn buffers() -> Buffers {
        let mut buffers = Buffers::new(1 << 20);
        buffers.add(7, 1 << 16);
        buffers.set_base(7, 4096);
        buffers
    }

    fn row(id: u64) -> Sent {
        Sent::new(id, 0, [4, 1, 1, 1]).at(7, 4096)
    }

    const ADD: u32 = 2;

    fn told(bytes: &[u8]) -> String {
        check(bytes, &buffers()).map_or_else(|refusal| refusal.to_string(), |()| "good".to_owned())
    }

    #[track_caller]
    fn check_graph(nodes: &[u64], tensors: &[Sent], want: &str) {
        assert_eq!(told(&graph(nodes, tensors)), want);
    }

    #[test]
    fn a_graph_is_whole_and_in_order() {
        let good = [row(1), row(2), row(3).of(ADD, &[1, 2])];
        check_graph(&[3], &good, "good");
        check_graph(&[0], &good, "a graph computes a tensor that it does not have");
        check_graph(&[4], &good, "a graph computes a tensor that it does not have");
        check_graph(&[3, 3], &good, "a graph computes a tensor twice");
        check_graph(&[], &good, "a graph computes nothing, or more than is let through");
        check_graph(&[1], &[row(1), row(1)], "tensor 'x' has another's id");
        check_graph(&[1], &[row(0)], "tensor 'x' has no id");
        let own = row(1).of(ADD, &[1, 1]);
        check_graph(&[1], &[own], "tensor 'x' has a source that does not come before it");
        let cast = Sent { kind: 1, nb: [2, 8, 8, 8], ..row(2).of(ops::CPY, &[1, 2]) };
        check_graph(&[2], &[row(1), cast], "good");
        let view = Sent { view_src: 9, ..row(1) };
        check_graph(&[1], &[view], "tensor 'x' has a source that does not come before it");
        check_graph(&[1], &[row(1).at(0, 4096)], "tensor 'x' has memory of no buffer");
        check_graph(&[1], &[row(1).at(9, 4096)], "there is no buffer 0x9");
        let bytes = graph(&[3], &good);
        for n in 0..bytes.len() {
            assert_eq!(told(&bytes[..n]), "a graph is shorter than it says", "{n}");
        }
        assert_eq!(told(&[bytes, vec![0]].concat()), "a graph is longer than it says");
    }

    #[test]
    fn a_chain_may_be_long_but_not_endless() {
        let chain = |n: u64| -> Vec<Sent> {
            (1..=n).map(|id| if id == 1 { row(1) } else { row(id).of(ADD, &[id - 1, 1]) }).collect()
        };
        check_graph(&[1], &chain(u64::from(DEPTH_MAX) + 1), "good");
        let long = "a graph has a chain that is longer than is let through";
        check_graph(&[1], &chain(u64::from(DEPTH_MAX) + 2), long);
    }

    #[test]
    fn counts_that_are_no_counts_are_refused_before_memory_is_taken() {
        let mut bytes = graph(&[1], &[row(1)]);
        bytes[4..8].fill(0xff);
        assert_eq!(told(&bytes), "a graph computes nothing, or more than is let through");
        let mut bytes = graph(&[1], &[row(1)]);
        bytes[16..20].fill(0xff);
        assert_eq!(told(&bytes), "a graph has more tensors than are let through");
        bytes[0] = 1;
        assert_eq!(told(&bytes), "there is no device 1");
    }
}
