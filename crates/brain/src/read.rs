//! Makes a workflow of a file: every field of every node, then the names between them, then the graph.

mod node;

use crate::check;
use crate::fields::{Fields, is_name};
use crate::mistake::{At, Mistakes, Pad};
use crate::workflow::{Kind, Known, Node, Type, Workflow};
use crate::yaml::{self, Value};
use node::Reader;
use std::collections::BTreeMap;
use std::time::Duration;

const NODES_MAX: usize = 64;
const SLOTS_MAX: usize = 64;
/// Of one run.
const SECONDS_MAX: u32 = 1800;
const TOKENS_MAX: u32 = 20_000;
/// Of one step, where it says nothing.
const STEP_SECONDS: u32 = 60;
const STEP_TOKENS: u32 = 300;

pub fn read(file: &str, text: &str, known: &Known) -> Result<Workflow, Mistakes> {
    let mut pad = Pad::default();
    let whole = match yaml::read(text) {
        Ok(whole) => whole,
        Err(mistake) => {
            pad.note(mistake.at, mistake.what);
            return pad.done(file, None);
        }
    };
    let workflow = whole_file(&whole, known, &mut pad);
    let workflow = workflow.map(|(workflow, places)| {
        // What is not well read cannot be judged as a graph.
        if pad.is_empty() {
            check::check(&workflow, &places, &mut pad);
        }
        workflow
    });
    pad.done(file, workflow)
}

/// Where each name of a slot was read, by node and slot.
pub type Places = BTreeMap<(usize, String), At>;

fn whole_file(whole: &yaml::Node, known: &Known, pad: &mut Pad) -> Option<(Workflow, Places)> {
    let fields = Fields::of(whole, "a workflow", pad)?;
    let name = fields.need_word("workflow", pad).filter(|name| is_name(name, pad));
    let about = fields.need_word("about", pad);
    let inputs = inputs(&fields, pad);
    let time = fields.number("seconds", 1..=SECONDS_MAX, pad).unwrap_or(STEP_SECONDS);
    let tokens = fields.number("tokens", 1..=TOKENS_MAX, pad).unwrap_or(4 * STEP_TOKENS);
    let nodes = fields.need("nodes", pad);
    fields.rest(pad);
    let nodes = nodes?;
    let Value::Map(all) = &nodes.value else {
        pad.note(nodes.at, "`nodes` must be a map of names and nodes");
        return None;
    };
    if all.is_empty() || all.len() > NODES_MAX {
        pad.note(nodes.at, format!("a workflow has 1 to {NODES_MAX} nodes"));
        return None;
    }
    let names: BTreeMap<&str, usize> =
        all.iter().enumerate().map(|(idx, (key, _))| (key.name.as_str(), idx)).collect();
    let mut reader = Reader { known, names, n_nodes: all.len(), places: Places::new(), pad };
    let read: Vec<Option<Node>> =
        all.iter().enumerate().map(|(idx, (key, node))| reader.node(idx, key, node)).collect();
    let places = reader.places;
    let nodes: Vec<Node> = read.into_iter().collect::<Option<_>>()?;
    let slots = slots(&inputs, &nodes, &places, pad);
    let workflow = Workflow {
        name: name?.text,
        about: about?.text.trim().to_owned(),
        inputs,
        slots,
        time: Duration::from_secs(time.into()),
        tokens,
        nodes,
    };
    Some((workflow, places))
}

fn inputs(fields: &Fields<'_>, pad: &mut Pad) -> BTreeMap<String, Type> {
    let mut inputs = BTreeMap::new();
    for (name, slot) in fields.pairs("inputs", SLOTS_MAX, pad) {
        let found = match slot.text.as_str() {
            "text" => Type::Text,
            "list" => Type::List,
            "talk" => Type::Talk,
            _ => {
                pad.note(slot.at, "an input is a text, a list or a talk (what was said before)");
                continue;
            }
        };
        if is_name(&name, pad) {
            inputs.insert(name.text, found);
        }
    }
    inputs
}

/// All slots with their types: inputs, and what nodes write.
fn slots(
    inputs: &BTreeMap<String, Type>,
    nodes: &[Node],
    places: &Places,
    pad: &mut Pad,
) -> BTreeMap<String, Type> {
    let mut slots = inputs.clone();
    for (idx, node) in nodes.iter().enumerate() {
        let (Some(into), Some(slot)) = (&node.into, written(&node.kind)) else { continue };
        let at = places.get(&(idx, into.clone())).copied().unwrap_or(node.at);
        match slots.get(into) {
            Some(old) if *old != slot => {
                let (old, new) = (old.name(), slot.name());
                let what = if old == new {
                    format!("`{into}` holds other choices elsewhere; take another name")
                } else {
                    format!("`{into}` holds a {old} elsewhere, and a {new} here; take another name")
                };
                pad.note(at, what);
            }
            _ => _ = slots.insert(into.clone(), slot),
        }
    }
    if slots.len() > SLOTS_MAX {
        pad.note(At::START, format!("a workflow has at most {SLOTS_MAX} slots"));
    }
    slots
}

/// What a node's slot holds afterwards.
fn written(kind: &Kind) -> Option<Type> {
    Some(match kind {
        Kind::Intent { .. }
        | Kind::Summarise { .. }
        | Kind::Tool { .. }
        | Kind::Call { .. }
        | Kind::Person { .. }
        | Kind::Write { .. } => Type::Text,
        Kind::Recall { .. } => Type::List,
        Kind::Route { .. } => Type::Expert,
        Kind::Ask { asking, .. } | Kind::Vote { asking, .. } => asking.form.slot(),
        Kind::Branch { .. } | Kind::Loop { .. } | Kind::Answer { .. } => return None,
    })
}
