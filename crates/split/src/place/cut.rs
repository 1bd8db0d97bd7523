//! The cut of one model over nodes that cannot hold it: least time for a token, by dynamic programme.
//!
//! `best[head][n]` is the least time in which the nodes seen so far hold `n` layers, and whether one of them has the head.
//! A node joins with any number of layers up to its memory, with or without the head, or not at all.
//! Time adds up, so the order of the nodes does not matter, but for the last, which has the head.

use super::cost::StageCost;
use super::{CUT_NODES_MAX, SPLIT_NS_MAX};

/// A node that could hold a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    pub node_idx: usize,
    /// Layers for which it has memory.
    pub n_layers_max: u32,
    pub cost: StageCost,
}

/// The stages in the order of their layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    pub stages: Vec<(usize, u32)>,
    pub ns: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoCut {
    /// All nodes together hold this many layers.
    Room { n_layers: u32 },
    /// The best cut takes so long.
    Slow { ns: u64 },
}

#[derive(Clone, Copy)]
struct Choice {
    n: u32,
    has_head: bool,
}

/// The candidates come in an order that does not depend on who tells them: by id.
pub fn cut(candidates: &[Candidate], n_layers: u32, n_steps: &mut u64) -> Result<Cut, NoCut> {
    let chosen = cheapest(candidates, n_layers);
    let n_all = n_layers as usize;
    // One node with all layers is no cut.
    let most = |candidate: &Candidate| candidate.n_layers_max.min(n_layers.saturating_sub(1));
    let mut best = [vec![u64::MAX; n_all + 1], vec![u64::MAX; n_all + 1]];
    best[0][0] = 0;
    let mut choices: Vec<[Vec<Choice>; 2]> = Vec::with_capacity(chosen.len());
    for candidate in &chosen {
        let none = Choice { n: 0, has_head: false };
        let mut here = [vec![none; n_all + 1], vec![none; n_all + 1]];
        let before = best.clone();
        for n_held in 1..=n_all {
            for n in 1..=(most(candidate) as usize).min(n_held) {
                *n_steps += 1;
                let n = n as u32;
                for (head, from, has_head) in [(0, 0, false), (1, 1, false), (1, 0, true)] {
                    let ns = before[from][n_held - n as usize].saturating_add(candidate.cost.of(n, has_head));
                    if ns < best[head][n_held] {
                        best[head][n_held] = ns;
                        here[head][n_held] = Choice { n, has_head };
                    }
                }
            }
        }
        choices.push(here);
    }
    let ns = best[1][n_all];
    if ns == u64::MAX {
        let sum = chosen.iter().fold(0u32, |sum, candidate| sum.saturating_add(most(candidate)));
        return Err(NoCut::Room { n_layers: sum });
    }
    if ns > SPLIT_NS_MAX {
        return Err(NoCut::Slow { ns });
    }
    Ok(Cut { stages: trace(&chosen, &choices, n_all), ns })
}

/// The nodes that are worth a look: what a layer costs there, with its part of the hop.
fn cheapest(candidates: &[Candidate], n_layers: u32) -> Vec<Candidate> {
    let mut chosen: Vec<Candidate> = candidates.iter().copied().filter(|c| c.n_layers_max > 0).collect();
    let per_layer = |c: &Candidate| {
        c.cost.layer_ns.saturating_add(c.cost.hop_ns / u64::from(c.n_layers_max.min(n_layers).max(1)))
    };
    chosen.sort_by_key(|candidate| (per_layer(candidate), candidate.node_idx));
    chosen.truncate(CUT_NODES_MAX);
    chosen
}

/// Back from the end: who took how many. The one with the head goes last, the others by their layers.
fn trace(chosen: &[Candidate], choices: &[[Vec<Choice>; 2]], n_layers: usize) -> Vec<(usize, u32)> {
    let (mut head, mut left) = (1, n_layers);
    let mut taken = Vec::new();
    for (candidate, here) in chosen.iter().zip(choices).rev() {
        let choice = here[head][left];
        if choice.n == 0 {
            continue;
        }
        taken.push((choice.has_head, std::cmp::Reverse(choice.n), candidate.node_idx));
        left -= choice.n as usize;
        if choice.has_head {
            head = 0;
        }
    }
    taken.sort_unstable();
    taken.into_iter().map(|(_, n, node_idx)| (node_idx, n.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::tests::Dice;

    /// Every way to give the layers to the nodes.
    fn by_force(candidates: &[Candidate], left: u32, all: u32, has_head: bool, ns: u64) -> u64 {
        let Some((first, rest)) = candidates.split_first() else {
            return if left == 0 && has_head { ns } else { u64::MAX };
        };
        let mut least = by_force(rest, left, all, has_head, ns);
        for n in 1..=left.min(first.n_layers_max).min(all - 1) {
            least = least.min(by_force(rest, left - n, all, has_head, ns + first.cost.of(n, false)));
            if !has_head {
                least = least.min(by_force(rest, left - n, all, true, ns + first.cost.of(n, true)));
            }
        }
        least
    }

    #[test]
    fn the_programme_finds_what_trying_everything_finds() {
        for seed in 1..=300 {
            let mut dice = Dice::new(seed);
            let n_layers = 2 + dice.below(7) as u32;
            let candidates: Vec<Candidate> = (0..1 + dice.below(5) as usize)
                .map(|node_idx| Candidate {
                    node_idx,
                    n_layers_max: dice.below(7) as u32,
                    cost: StageCost {
                        layer_ns: 1 + dice.below(9_000_000),
                        head_ns: dice.below(40_000_000),
                        hop_ns: dice.below(20_000_000),
                    },
                })
                .collect();
            let want = by_force(&candidates, n_layers, n_layers, false, 0);
            match cut(&candidates, n_layers, &mut 0) {
                Ok(found) => {
                    assert_eq!(found.ns, want, "seed {seed}");
                    let last = found.stages.len() - 1;
                    let stages = found.stages.iter().enumerate();
                    let sum: u64 =
                        stages.map(|(i, (node, n))| candidates[*node].cost.of(*n, i == last)).sum();
                    assert_eq!(sum, want, "seed {seed}: the stages are not what was counted");
                    assert_eq!(found.stages.iter().map(|(_, n)| n).sum::<u32>(), n_layers, "seed {seed}");
                }
                Err(NoCut::Slow { ns }) => assert_eq!(ns, want, "seed {seed}"),
                Err(NoCut::Room { .. }) => assert_eq!(want, u64::MAX, "seed {seed}"),
            }
        }
    }
}
