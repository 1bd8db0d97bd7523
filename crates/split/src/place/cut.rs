//! The cut of one model over nodes that cannot hold it: least time for a token, by dynamic programme.
//!
//! `best[ends][n]` is the least time in which the nodes seen so far hold `n` layers, and `ends` says whether one of them
//! is the first stage and one the last. A node joins with any number of layers up to its memory in one of three roles,
//! or not at all. Time adds up, so the order of the nodes between the ends does not matter.

use super::cost::{Role, StageCost};
use super::{CUT_NODES_MAX, SPLIT_NS_MAX};

/// A node that could hold a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    pub node_idx: usize,
    /// Layers for which it has memory as first, middle and last stage.
    pub n_layers_max: [u32; 3],
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
    role: Role,
}

const ROLES: [Role; 3] = [Role::First, Role::Middle, Role::Last];
/// Both ends are there.
const DONE: usize = 3;

/// The end that a role is, as a bit.
const fn end(role: Role) -> usize {
    match role {
        Role::First => 1,
        Role::Middle => 0,
        Role::Last => 2,
    }
}

/// The candidates come in an order that does not depend on who tells them: by id. Stages begin at multiples of `step`.
pub fn cut(candidates: &[Candidate], n_layers: u32, step: u32, n_steps: &mut u64) -> Result<Cut, NoCut> {
    let chosen = cheapest(candidates, n_layers);
    let n_all = n_layers as usize;
    let mut best: [Vec<u64>; 4] = std::array::from_fn(|_| vec![u64::MAX; n_all + 1]);
    best[0][0] = 0;
    let mut choices: Vec<[Vec<Choice>; 4]> = Vec::with_capacity(chosen.len());
    for candidate in &chosen {
        let none = Choice { n: 0, role: Role::Middle };
        let mut here: [Vec<Choice>; 4] = std::array::from_fn(|_| vec![none; n_all + 1]);
        let before = best.clone();
        for (role, n) in joins(candidate, n_layers, step) {
            let (bit, ns) = (end(role), candidate.cost.of(n, role));
            for from in (0..4).filter(|from| bit == 0 || from & bit == 0) {
                for n_held in n as usize..=n_all {
                    *n_steps += 1;
                    let sum = before[from][n_held - n as usize].saturating_add(ns);
                    if sum < best[from | bit][n_held] {
                        best[from | bit][n_held] = sum;
                        here[from | bit][n_held] = Choice { n, role };
                    }
                }
            }
        }
        choices.push(here);
    }
    let ns = best[DONE][n_all];
    if ns == u64::MAX {
        let sum = chosen.iter().fold(0u32, |sum, c| sum.saturating_add(c.n_layers_max[1]));
        return Err(NoCut::Room { n_layers: sum.min(n_layers.saturating_sub(1)) });
    }
    if ns > SPLIT_NS_MAX {
        return Err(NoCut::Slow { ns });
    }
    Ok(Cut { stages: trace(&chosen, &choices, n_all), ns })
}

/// Every way in which a node can take part. Only the last stage may end between two steps.
fn joins(candidate: &Candidate, n_layers: u32, step: u32) -> Vec<(Role, u32)> {
    // One node with all layers is no cut.
    let most = |idx: usize| candidate.n_layers_max[idx].min(n_layers.saturating_sub(1));
    let each = ROLES.into_iter().enumerate().flat_map(|(idx, role)| (1..=most(idx)).map(move |n| (role, n)));
    each.filter(|(role, n)| *role == Role::Last || n.is_multiple_of(step.max(1))).collect()
}

/// The nodes that are worth a look: what a layer costs there, with its part of the hop.
fn cheapest(candidates: &[Candidate], n_layers: u32) -> Vec<Candidate> {
    let most = |c: &Candidate| c.n_layers_max.into_iter().max().unwrap_or(0);
    let mut chosen: Vec<Candidate> = candidates.iter().copied().filter(|c| most(c) > 0).collect();
    let per_layer = |c: &Candidate| {
        c.cost.layer_ns.saturating_add(c.cost.hop_ns / u64::from(most(c).min(n_layers).max(1)))
    };
    chosen.sort_by_key(|candidate| (per_layer(candidate), candidate.node_idx));
    chosen.truncate(CUT_NODES_MAX);
    chosen
}

/// Back from the end: who took how many, and as what.
fn trace(chosen: &[Candidate], choices: &[[Vec<Choice>; 4]], n_layers: usize) -> Vec<(usize, u32)> {
    let (mut ends, mut left) = (DONE, n_layers);
    let mut taken = Vec::new();
    for (candidate, here) in chosen.iter().zip(choices).rev() {
        let choice = here[ends][left];
        if choice.n == 0 {
            continue;
        }
        taken.push((choice.role, candidate.node_idx, choice.n));
        left -= choice.n as usize;
        ends &= !end(choice.role);
    }
    taken.sort_unstable();
    taken.into_iter().map(|(_, node_idx, n)| (node_idx, n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::tests::Dice;

    /// Every way to give the layers to the nodes, each with its role.
    fn by_force(rest: &[Candidate], left: u32, all: u32, step: u32, ends: usize, ns: u64) -> u64 {
        let Some((first, rest)) = rest.split_first() else {
            return if left == 0 && ends == DONE { ns } else { u64::MAX };
        };
        let mut least = by_force(rest, left, all, step, ends, ns);
        for (idx, role) in ROLES.into_iter().enumerate() {
            let bit = end(role);
            if ends & bit != 0 {
                continue;
            }
            for n in 1..=left.min(first.n_layers_max[idx]).min(all - 1) {
                if role == Role::Last || n % step == 0 {
                    let ns = ns + first.cost.of(n, role);
                    least = least.min(by_force(rest, left - n, all, step, ends | bit, ns));
                }
            }
        }
        least
    }

    #[test]
    fn the_programme_finds_what_trying_everything_finds() {
        let mut n_found = 0;
        for seed in 1..=300 {
            let mut dice = Dice::new(seed);
            let n_layers = 2 + dice.below(7) as u32;
            let step = 1 + dice.below(3) as u32 / 2;
            let candidates: Vec<Candidate> = (0..1 + dice.below(5) as usize)
                .map(|node_idx| Candidate {
                    node_idx,
                    n_layers_max: [0; 3].map(|_| dice.below(7) as u32),
                    cost: StageCost {
                        layer_ns: 1 + dice.below(9_000_000),
                        head_ns: dice.below(40_000_000),
                        hop_ns: dice.below(20_000_000),
                    },
                })
                .collect();
            let want = by_force(&candidates, n_layers, n_layers, step, 0, 0);
            match cut(&candidates, n_layers, step, &mut 0) {
                Ok(found) => {
                    n_found += 1;
                    assert_eq!(found.ns, want, "seed {seed}");
                    let n = found.stages.len();
                    let mut sum = 0;
                    for (idx, (node_idx, n_held)) in found.stages.iter().enumerate() {
                        let role = Role::of(idx, n);
                        assert!(*n_held <= candidates[*node_idx].n_layers_max[role as usize], "seed {seed}");
                        sum += candidates[*node_idx].cost.of(*n_held, role);
                    }
                    assert_eq!(sum, want, "seed {seed}: the stages are not what was counted");
                    assert_eq!(found.stages.iter().map(|(_, n)| n).sum::<u32>(), n_layers, "seed {seed}");
                }
                Err(NoCut::Slow { ns }) => assert_eq!(ns, want, "seed {seed}"),
                Err(NoCut::Room { .. }) => assert_eq!(want, u64::MAX, "seed {seed}"),
            }
        }
        assert!(n_found > 100, "only {n_found} cuts were found");
    }
}
