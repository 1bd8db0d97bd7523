//! Who sits where while a plan is made: memory left on each node, and the seats of each expert.

use super::cost::{self, Pace, Role, StageCost};
use super::cut::{self, Candidate, NoCut};
use super::{Model, NODE_COPIES_MAX, Node, RESERVE_BYTES, SPLIT_NS_MAX, Talks, need};
use crate::expert::Expert;
use std::cmp::Reverse;

/// An expert whose model is known.
pub struct Want<'a> {
    pub expert: &'a Expert,
    pub model: &'a Model,
    /// Of one whole copy.
    pub weights: u64,
    pub beside: u64,
    /// On each node.
    pub paces: Vec<Pace>,
    /// Whether the model's file is there or can come.
    pub has_file: Vec<bool>,
    /// Whether it is there in memory, which it takes already.
    pub lies: Vec<bool>,
}

impl Want<'_> {
    pub fn bytes(&self) -> u64 {
        self.weights.saturating_add(self.beside)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chair {
    pub node_idx: usize,
    pub first: u32,
    pub last: u32,
    /// 0 where they lie there anyway, or where another seat of the same layers counts them.
    pub weights: u64,
    pub beside: u64,
}

impl Chair {
    pub fn bytes(&self) -> u64 {
        self.weights.saturating_add(self.beside)
    }

    pub fn layers(&self) -> (u32, u32) {
        (self.first, self.last)
    }
}

/// One copy, whole or cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    pub chairs: Vec<Chair>,
    pub ns: u64,
    pub is_kept: bool,
}

impl Copy {
    pub fn is_whole(&self) -> bool {
        self.chairs.len() == 1
    }
}

/// What may change while places are tried.
#[derive(Clone)]
pub struct Seating {
    /// Memory on each node.
    pub used: Vec<u64>,
    /// Homes on each node, whole or stage: those that speak at the same time at worst.
    pub n_homes: Vec<u64>,
    /// All copies on each node.
    pub n_copies: Vec<u64>,
    /// By want; the first copy is the home.
    pub copies: Vec<Vec<Copy>>,
}

pub struct Table<'a> {
    /// By id.
    pub nodes: Vec<&'a Node>,
    /// The least first, so that a large one does not cost two small ones their place.
    pub wants: Vec<Want<'a>>,
    pub now: Seating,
    /// Why a want could not be cut, once that was tried.
    pub uncut: Vec<Option<NoCut>>,
    pub n_steps: u64,
}

impl<'a> Table<'a> {
    pub fn new(nodes: &'a [Node], models: &'a [Model], experts: &'a [Expert]) -> Table<'a> {
        let mut nodes: Vec<&Node> = nodes.iter().collect();
        nodes.sort_by_key(|node| node.id);
        nodes.dedup_by_key(|node| node.id);
        let best = cost::best(nodes.iter().copied(), models);
        let mut wants: Vec<Want> = Vec::new();
        for expert in experts {
            let Some(model) = models.iter().find(|m| m.file == expert.model && m.n_layers() > 0) else {
                continue;
            };
            if wants.iter().any(|want| want.expert.name == expert.name) {
                continue;
            }
            let lies = |node: &&Node| node.files.contains(&model.file);
            let comes = |node: &&Node| node.can_fetch || node.offered.contains(&model.file);
            wants.push(Want {
                expert,
                model,
                weights: need::whole_weights(model),
                beside: need::whole_beside(model, Talks::of(expert)),
                paces: nodes.iter().map(|node| cost::pace(node, model, models, best)).collect(),
                has_file: nodes.iter().map(|node| comes(node) || lies(node)).collect(),
                lies: nodes.iter().map(|node| lies(node) && !node.has_disk).collect(),
            });
        }
        wants.sort_by(|a, b| (a.bytes(), &a.expert.name).cmp(&(b.bytes(), &b.expert.name)));
        let now = Seating {
            used: vec![0; nodes.len()],
            n_homes: vec![0; nodes.len()],
            n_copies: vec![0; nodes.len()],
            copies: vec![Vec::new(); wants.len()],
        };
        let uncut = vec![None; wants.len()];
        Table { nodes, wants, now, uncut, n_steps: (experts.len() * models.len()) as u64 }
    }

    /// Whether a node may hold a whole copy, memory aside.
    pub fn suits(&self, want_idx: usize, node_idx: usize) -> bool {
        let want = &self.wants[want_idx];
        want.has_file[node_idx] && self.is_fast_enough(want_idx, want.paces[node_idx].ns)
    }

    pub fn is_fast_enough(&self, want_idx: usize, ns: u64) -> bool {
        let least = self.wants[want_idx].expert.least_tokens_per_second.unwrap_or(0.0);
        cost::milli(ns) as f64 >= f64::from(least) * 1000.0
    }

    pub fn fits(&self, want_idx: usize, node_idx: usize) -> bool {
        self.fits_in(want_idx, node_idx, self.left(node_idx))
    }

    /// As `fits`, for what was there before: it may go into half of the reserve, so that no small wave of a node's
    /// memory throws a model out.
    pub fn still_fits(&self, want_idx: usize, node_idx: usize) -> bool {
        self.fits_in(want_idx, node_idx, self.left_to_kept(node_idx))
    }

    fn fits_in(&self, want_idx: usize, node_idx: usize, left: u64) -> bool {
        let is_new = !self.sits(want_idx, node_idx) && self.has_chair(node_idx);
        is_new && left >= self.whole_chair(want_idx, node_idx).bytes() && self.suits(want_idx, node_idx)
    }

    /// What a whole copy takes on a node.
    pub fn whole_chair(&self, want_idx: usize, node_idx: usize) -> Chair {
        let want = &self.wants[want_idx];
        let weights = if want.lies[node_idx] { 0 } else { want.weights };
        let chair = Chair { node_idx, first: 0, last: want.model.n_layers(), weights, beside: want.beside };
        self.shared(want_idx, chair)
    }

    /// Memory that a new model may take.
    pub fn left(&self, node_idx: usize) -> u64 {
        let room = self.nodes[node_idx].ram_bytes.saturating_sub(RESERVE_BYTES);
        room.saturating_sub(self.now.used[node_idx])
    }

    fn left_to_kept(&self, node_idx: usize) -> u64 {
        let room = self.nodes[node_idx].ram_bytes.saturating_sub(RESERVE_BYTES / 2);
        room.saturating_sub(self.now.used[node_idx])
    }

    fn has_chair(&self, node_idx: usize) -> bool {
        self.now.n_copies[node_idx] < NODE_COPIES_MAX
    }

    pub fn sits(&self, want_idx: usize, node_idx: usize) -> bool {
        self.now.copies[want_idx].iter().flat_map(|copy| &copy.chairs).any(|chair| chair.node_idx == node_idx)
    }

    /// The node with room where a token comes soonest, if all that `busy` counts there speak too.
    pub fn best(&mut self, want_idx: usize, busy: fn(&Seating) -> &[u64]) -> Option<usize> {
        self.n_steps += self.nodes.len() as u64;
        let fitting = (0..self.nodes.len()).filter(|node_idx| self.fits(want_idx, *node_idx));
        fitting.min_by_key(|node_idx| {
            let n = busy(&self.now)[*node_idx] + 1;
            let ns = self.wants[want_idx].paces[*node_idx].ns.saturating_mul(n);
            (ns, Reverse(self.left(*node_idx)), *node_idx)
        })
    }

    pub fn seat_whole(&mut self, want_idx: usize, node_idx: usize, is_kept: bool) {
        let (chair, ns) = (self.whole_chair(want_idx, node_idx), self.wants[want_idx].paces[node_idx].ns);
        self.seat(want_idx, Copy { chairs: vec![chair], ns, is_kept });
    }

    pub fn seat(&mut self, want_idx: usize, copy: Copy) {
        let is_home = self.now.copies[want_idx].is_empty() && self.speaks_beside(want_idx);
        for chair in &copy.chairs {
            self.now.used[chair.node_idx] += chair.bytes();
            // A plan over memory must not leave this file.
            assert!(
                self.now.used[chair.node_idx] <= self.nodes[chair.node_idx].ram_bytes,
                "room was asked for"
            );
            self.now.n_copies[chair.node_idx] += 1;
            self.now.n_homes[chair.node_idx] += u64::from(is_home);
        }
        self.now.copies[want_idx].push(copy);
    }

    /// Takes one copy away; the next one becomes the home.
    pub fn unseat(&mut self, want_idx: usize, copy_idx: usize) {
        let copy = self.now.copies[want_idx].remove(copy_idx);
        let is_home = copy_idx == 0 && self.speaks_beside(want_idx);
        for chair in &copy.chairs {
            let left = self.hand_on(want_idx, chair);
            self.now.used[chair.node_idx] -= chair.bytes() - left;
            self.now.n_copies[chair.node_idx] -= 1;
            self.now.n_homes[chair.node_idx] -= u64::from(is_home);
        }
        if is_home {
            for chair in self.now.copies[want_idx].first().into_iter().flat_map(|copy| &copy.chairs) {
                self.now.n_homes[chair.node_idx] += 1;
            }
        }
    }

    /// A copy of an expert takes the place of its home.
    pub fn make_home(&mut self, want_idx: usize, copy_idx: usize) {
        let copies = &mut self.now.copies[want_idx];
        for chair in &copies[0].chairs {
            self.now.n_homes[chair.node_idx] -= 1;
        }
        copies.swap(0, copy_idx);
        for chair in &copies[0].chairs {
            self.now.n_homes[chair.node_idx] += 1;
        }
    }

    /// How long a token of the home takes while all homes beside it speak.
    pub fn shared_ns(&self, want_idx: usize) -> Option<u64> {
        let home = self.now.copies[want_idx].first()?;
        let n = home.chairs.iter().map(|chair| self.now.n_homes[chair.node_idx]).max()?;
        Some(home.ns.saturating_mul(n.max(1)))
    }

    /// Not so the last resort: it is asked where nobody else speaks.
    pub fn speaks_beside(&self, want_idx: usize) -> bool {
        !self.wants[want_idx].expert.is_last_resort()
    }

    pub fn score(&self) -> (usize, u64) {
        let speakers = (0..self.wants.len()).filter(|want_idx| self.speaks_beside(*want_idx));
        let shared = speakers.filter_map(|want_idx| self.shared_ns(want_idx));
        (shared.clone().count(), shared.map(cost::milli).sum())
    }

    pub fn stage_cost(&self, want_idx: usize, node_idx: usize) -> StageCost {
        let want = &self.wants[want_idx];
        StageCost::new(self.nodes[node_idx], want.model, want.paces[node_idx])
    }

    /// The best cut over what memory is left, seated as home if it is good enough.
    pub fn seat_cut(&mut self, want_idx: usize) {
        let want = &self.wants[want_idx];
        let (model, expert) = (want.model, want.expert);
        let has_file = |node_idx: &usize| self.wants[want_idx].has_file[*node_idx];
        let candidates: Vec<Candidate> = (0..self.nodes.len())
            .filter(|node_idx| has_file(node_idx) && self.has_chair(*node_idx))
            .map(|node_idx| Candidate {
                node_idx,
                n_layers_max: [Role::First, Role::Middle, Role::Last]
                    .map(|role| need::layers_that_fit(model, Talks::of(expert), self.left(node_idx), role)),
                cost: self.stage_cost(want_idx, node_idx),
            })
            .collect();
        self.n_steps += candidates.len() as u64;
        let found = cut::cut(&candidates, model.n_layers(), model.split_step, &mut self.n_steps);
        let found = found.and_then(|cut| {
            if self.is_fast_enough(want_idx, cut.ns) { Ok(cut) } else { Err(NoCut::Slow { ns: cut.ns }) }
        });
        match found {
            Ok(cut) => {
                let chairs = self.chairs(want_idx, &cut.stages);
                self.seat(want_idx, Copy { chairs, ns: cut.ns, is_kept: false });
            }
            Err(why) => self.uncut[want_idx] = Some(why),
        }
    }

    /// A cut that is there: in force, or that of another expert with the same model.
    pub fn seat_same_cut(&mut self, want_idx: usize, stages: &[(usize, u32)], is_kept: bool) {
        let want = &self.wants[want_idx];
        let chairs = self.chairs(want_idx, stages);
        let is_new =
            |chair: &Chair| chairs.iter().filter(|other| other.node_idx == chair.node_idx).count() == 1;
        let can_hold = |chair: &Chair| {
            let node_idx = chair.node_idx;
            let left = if is_kept { self.left_to_kept(node_idx) } else { self.left(node_idx) };
            left >= chair.bytes() && self.has_chair(node_idx) && want.has_file[node_idx] && is_new(chair)
        };
        let covers = chairs.last().is_some_and(|chair| chair.last == want.model.n_layers())
            && chairs
                .iter()
                .all(|chair| chair.first < chair.last && chair.first % want.model.split_step.max(1) == 0);
        if !covers || chairs.len() < 2 || !chairs.iter().all(can_hold) {
            return;
        }
        let n = chairs.len();
        let each = chairs.iter().enumerate().map(|(idx, chair)| {
            self.stage_cost(want_idx, chair.node_idx).of(chair.last - chair.first, Role::of(idx, n))
        });
        let ns = each.fold(0u64, u64::saturating_add);
        if ns <= SPLIT_NS_MAX && self.is_fast_enough(want_idx, ns) {
            self.seat(want_idx, Copy { chairs, ns, is_kept });
        }
    }

    /// A slice is a file of its own, also where the whole lies.
    fn chairs(&self, want_idx: usize, stages: &[(usize, u32)]) -> Vec<Chair> {
        let (model, expert) = (self.wants[want_idx].model, self.wants[want_idx].expert);
        let mut first = 0u32;
        let chair = |(idx, (node_idx, n)): (usize, &(usize, u32))| {
            let (last, role) = (first.saturating_add(*n), Role::of(idx, stages.len()));
            let (weights, beside) = (
                need::stage_weights(model, *n, role),
                need::stage_beside(model, Talks::of(expert), *n, role),
            );
            let chair = Chair { node_idx: *node_idx, first, last, weights, beside };
            first = last;
            self.shared(want_idx, chair)
        };
        stages.iter().enumerate().map(chair).collect()
    }
}
