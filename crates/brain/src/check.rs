//! Judges the graph of a workflow: what each run can rely on before there is one.
//!
//! Every node can be reached; whoever goes round comes by a loop node, and goes into its body a limited number of times, so
//! every run ends; every slot is written on every way before it is read, and holds what its reader wants.

use crate::mistake::{At, Pad};
use crate::read::Places;
use crate::workflow::{Kind, Node, To, Type, Who, Workflow};
use std::collections::{BTreeMap, BTreeSet};

/// Of a list, what a branch can tell apart.
const LIST_CASES: [&str; 2] = ["empty", "filled"];

pub fn check(workflow: &Workflow, places: &Places, pad: &mut Pad) {
    let graph = Graph { workflow, places };
    graph.reached(pad);
    graph.rounds(pad);
    graph.slots(pad);
    for (idx, node) in workflow.nodes.iter().enumerate() {
        graph.types(idx, node, pad);
    }
}

struct Graph<'a> {
    workflow: &'a Workflow,
    places: &'a Places,
}

impl Graph<'_> {
    fn nodes(&self) -> &[Node] {
        &self.workflow.nodes
    }

    fn place(&self, idx: usize, slot: &str) -> At {
        self.places.get(&(idx, slot.to_owned())).copied().unwrap_or(self.nodes()[idx].at)
    }

    fn reached(&self, pad: &mut Pad) {
        let (mut seen, mut waiting) = (BTreeSet::new(), vec![0]);
        while let Some(idx) = waiting.pop() {
            if seen.insert(idx) {
                waiting.extend(self.nodes()[idx].ways().into_iter().filter_map(|way| match way.to {
                    To::Node(idx) => Some(idx),
                    To::End => None,
                }));
            }
        }
        for (_, node) in self.nodes().iter().enumerate().filter(|(idx, _)| !seen.contains(idx)) {
            pad.note(
                node.at,
                format!("no way leads to the node {}; lead one there or take it away", node.name),
            );
        }
    }

    /// Without the ways into bodies of loops nothing may go round.
    fn rounds(&self, pad: &mut Pad) {
        #[derive(Clone, Copy, PartialEq)]
        enum Mark {
            New,
            Open,
            Done,
        }
        let mut marks = vec![Mark::New; self.nodes().len()];
        for start in 0..marks.len() {
            if marks[start] != Mark::New {
                continue;
            }
            // A node, and how many of its ways were taken.
            let mut path = vec![(start, 0)];
            marks[start] = Mark::Open;
            while let Some((idx, n_taken)) = path.last_mut() {
                let idx = *idx;
                let ways = self.nodes()[idx].ways();
                let Some(way) = ways.get(*n_taken) else {
                    marks[idx] = Mark::Done;
                    path.pop();
                    continue;
                };
                *n_taken += 1;
                let To::Node(to) = way.to else { continue };
                match marks[to] {
                    _ if way.is_body => {}
                    Mark::Done => {}
                    Mark::New => {
                        marks[to] = Mark::Open;
                        path.push((to, 0));
                    }
                    Mark::Open => {
                        let round = path.iter().map(|(idx, _)| *idx).skip_while(|idx| *idx != to).chain([to]);
                        let names: Vec<&str> = round.map(|idx| self.nodes()[idx].name.as_str()).collect();
                        let what = format!(
                            "{} goes round without end; put a node with `do: loop` and `most` on the way, and the rest into its `body`",
                            names.join(" -> ")
                        );
                        pad.note(self.nodes()[idx].at, what);
                    }
                }
            }
        }
    }

    /// What is written on every way to a node; nothing is known of one that was not reached.
    fn slots(&self, pad: &mut Pad) {
        let inputs: BTreeSet<&str> = self.workflow.inputs.keys().map(String::as_str).collect();
        let mut before: BTreeMap<usize, BTreeSet<&str>> = BTreeMap::from([(0, inputs)]);
        let mut waiting = vec![0];
        while let Some(idx) = waiting.pop() {
            let node = &self.nodes()[idx];
            for way in node.ways() {
                let To::Node(to) = way.to else { continue };
                let mut after = before[&idx].clone();
                after.extend(node.into.as_deref().filter(|_| way.writes));
                let known = before.get(&to);
                let both = known
                    .map_or_else(|| after.clone(), |known| known.intersection(&after).copied().collect());
                if known != Some(&both) {
                    before.insert(to, both);
                    waiting.push(to);
                }
            }
        }
        for (idx, before) in &before {
            for slot in self.nodes()[*idx].reads() {
                if self.workflow.slots.contains_key(slot) {
                    if !before.contains(slot) {
                        let what = format!(
                            "`{slot}` may not have been written when the way comes here; write it on every way before"
                        );
                        pad.note(self.place(*idx, slot), what);
                    }
                    continue;
                }
                let there: Vec<&str> = self.workflow.slots.keys().map(String::as_str).collect();
                pad.note(
                    self.place(*idx, slot),
                    format!("nothing writes `{slot}`; there are: {}", there.join(", ")),
                );
            }
        }
    }

    fn types(&self, idx: usize, node: &Node, pad: &mut Pad) {
        let slot = |name: &str| self.workflow.slots.get(name);
        let mut wants = |name: &str, what: &str, is_good: &dyn Fn(&Type) -> bool| {
            if let Some(found) = slot(name).filter(|found| !is_good(found)) {
                let what = format!("`{name}` is a {}; {what}", found.name());
                pad.note(self.place(idx, name), what);
            }
        };
        let (mut talks, mut whos): (Vec<&str>, Vec<&str>) = (vec![], vec![]);
        match &node.kind {
            Kind::Ask { who, asking, .. } => {
                talks.extend(asking.talk.as_deref());
                whos.extend(slot_of(who));
            }
            Kind::Vote { asking, .. } => talks.extend(asking.talk.as_deref()),
            Kind::Summarise { who, .. } => whos.extend(slot_of(who)),
            _ => {}
        }
        for name in &talks {
            wants(name, "`talk` wants what was said before", &|found| *found == Type::Talk);
        }
        for name in &whos {
            wants(name, "an expert is what a route writes, or its name without braces", &|found| {
                *found == Type::Expert
            });
        }
        let is_free = matches!(node.kind, Kind::Summarise { .. } | Kind::Branch { .. });
        for name in node.reads().into_iter().filter(|name| !is_free && !talks.contains(name)) {
            wants(name, "a text cannot hold it, so summarise it first or give it as `talk`", &|found| {
                *found != Type::Talk
            });
        }
        let Kind::Branch { on, cases, otherwise } = &node.kind else { return };
        let Some(found) = slot(on) else { return };
        let at = self.place(idx, on);
        let possible: Option<Vec<&str>> = match found {
            Type::Choice(words) => Some(words.iter().map(String::as_str).collect()),
            Type::List | Type::Talk => Some(LIST_CASES.to_vec()),
            Type::Text | Type::Expert => None,
        };
        let named: Vec<&str> = cases.iter().map(|(word, _)| word.as_str()).collect();
        match possible {
            None if otherwise.is_none() => {
                pad.note(
                    at,
                    format!("`{on}` can hold any {}, so the branch needs `otherwise`", found.name()),
                );
            }
            None => {}
            Some(possible) => {
                for word in named.iter().filter(|word| !possible.contains(word)) {
                    pad.note(at, format!("`{on}` is never {word:?}; it is one of: {}", possible.join(", ")));
                }
                let open: Vec<&str> = possible.into_iter().filter(|word| !named.contains(word)).collect();
                if !open.is_empty() && otherwise.is_none() {
                    pad.note(
                        at,
                        format!("the branch says nothing of {}; name it or say `otherwise`", open.join(", ")),
                    );
                }
            }
        }
    }
}

fn slot_of(who: &Who) -> Option<&str> {
    match who {
        Who::Slot(slot) => Some(slot),
        Who::Name(_) => None,
    }
}
