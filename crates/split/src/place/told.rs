//! From what nodes tell of themselves to what a plan is made of: memory, speeds, files, and the plan in force.

use super::{Model, Node, NodeId, Part, Seat, Speed};
use crate::assign::slice_named;
use crate::expert::{Expert, SERVICE};
use std::collections::BTreeMap;

/// What stands before an expert's name, or a model's, where its decode speed is told.
pub const DECODE: &str = "decode/";
/// The same for the prompt.
pub const PROMPT: &str = "prompt/";
const MIB: u64 = 1 << 20;
/// Of a model whose shape nobody knows, the attention cache of so many positions is taken to be as large as its weights:
/// more than that of the models that are known, so that it has room.
const CACHE_LIKE_WEIGHTS: u64 = 4096;
/// And it is taken to be as wide, and to know as many tokens, as the largest of those.
const WIDTH_UNKNOWN: u32 = 4096;
const INNER_UNKNOWN: u32 = 12_288;
const VOCABULARY_UNKNOWN: u32 = 152_000;

/// A node as its facts tell it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Told {
    pub id: u64,
    pub name: String,
    pub cores: u32,
    /// What models may take: memory that is free, and what they take already beside files that lie there.
    pub room_mib: u64,
    pub wire_mbit: u32,
    /// What was measured, tokens a second times a thousand: `decode/` and the expert, or its model without `.gguf`.
    pub speeds: Vec<(String, u64)>,
    /// Models that lie there, without `.gguf`, the MiB of their files, and whether they are loaded.
    pub models: Vec<(String, u64, bool)>,
    /// They lie on a disk.
    pub has_disk: bool,
    /// `llama-api-` and the expert, for each expert served.
    pub services: Vec<String>,
}

impl Told {
    /// `anywhere` supposes that every model can be fetched; otherwise only what lies there counts.
    ///
    /// What models take now is free to the plan, which decides anew who takes it.
    pub fn node(&self, experts: &[Expert], anywhere: bool) -> Node {
        let speed = |(what, milli): &(String, u64)| {
            let name = what.strip_prefix(DECODE)?;
            let model =
                experts.iter().find(|expert| expert.name == name).map_or(name, |expert| &expert.model);
            let model = model.strip_suffix(".gguf").unwrap_or(model).to_owned();
            Some(Speed { model, decode_ns: 1_000_000_000_000u64.checked_div(*milli)? })
        };
        let names = self.models.iter().map(|(stem, ..)| format!("{stem}.gguf"));
        Node {
            id: NodeId(self.id),
            name: if self.name.is_empty() { NodeId(self.id).to_string() } else { self.name.clone() },
            cores: self.cores,
            ram_bytes: self.room_mib.saturating_mul(MIB),
            wire_mbit: self.wire_mbit,
            speeds: self.speeds.iter().filter_map(speed).collect(),
            files: names.collect(),
            has_disk: self.has_disk,
            can_fetch: anywhere,
            offered: Vec::new(),
        }
    }

    fn serves(&self, expert: &Expert) -> bool {
        self.services.iter().any(|name| name.strip_prefix(SERVICE) == Some(expert.name.as_str()))
    }
}

/// The models that are known, and those that only others have: of these nothing is known but a size, so they are held
/// whole or not at all. Files whose name says that they are slices are no models.
pub fn known(models: &[Model], told: &[Told]) -> Vec<Model> {
    let mut known = models.to_vec();
    for (stem, mib, _) in told.iter().flat_map(|told| &told.models) {
        let file = format!("{stem}.gguf");
        if slice_named(&file).is_some() || known.iter().any(|model| model.file == file) {
            continue;
        }
        known.push(by_size(file, mib.saturating_mul(MIB)));
    }
    known
}

/// A model of which only its length is known: it is held whole or not at all.
pub fn by_size(file: String, bytes: u64) -> Model {
    Model {
        file,
        layer_bytes: vec![bytes],
        kv_bytes: bytes / CACHE_LIKE_WEIGHTS,
        width: WIDTH_UNKNOWN,
        inner: INNER_UNKNOWN,
        n_vocab: VOCABULARY_UNKNOWN,
        ..Model::default()
    }
}

/// The seats that these nodes hold now, as a plan in force: what a new coordinator finds.
/// The fastest copy of an expert comes first, so it is taken for the home.
pub fn in_force(told: &[Told], models: &[Model], experts: &[Expert]) -> Vec<Seat> {
    let mut seats = Vec::new();
    for expert in experts {
        let Some(model) = models.iter().find(|model| model.file == expert.model) else { continue };
        let stem = model.file.strip_suffix(".gguf").unwrap_or(&model.file);
        let serves =
            |told: &&Told| told.serves(expert) && told.models.iter().any(|(name, _, is)| *is && name == stem);
        let mut whole: Vec<(u64, Seat)> = told
            .iter()
            .filter(serves)
            .map(|told| {
                let ns = super::cost::pace(&told.node(experts, true), model, models, None).ns;
                let part = Part { node: NodeId(told.id), first: 0, last: model.n_layers(), bytes: 0 };
                (ns, Seat { expert: expert.name.clone(), parts: vec![part], tokens_per_s_milli: 0 })
            })
            .collect();
        whole.sort_by_key(|(ns, seat)| (*ns, seat.parts[0].node));
        seats.extend(whole.into_iter().map(|(_, seat)| seat));
        seats.extend(ring(told, expert, stem, model.n_layers()));
    }
    seats
}

/// The stages of one model that are loaded somewhere, if they are one whole ring whose head serves this expert.
fn ring(told: &[Told], expert: &Expert, stem: &str, n_layers: u32) -> Option<Seat> {
    let mut parts: BTreeMap<u32, Part> = BTreeMap::new();
    for node in told {
        for (name, _, is_loaded) in &node.models {
            let Some((first, last)) = layers(name, stem) else { continue };
            // The others do not tell whose stages theirs are.
            if *is_loaded && (first > 0 || node.serves(expert)) {
                parts.entry(first).or_insert(Part { node: NodeId(node.id), first, last, bytes: 0 });
            }
        }
    }
    let mut next = 0;
    for part in parts.values() {
        if part.first != next || part.last <= part.first {
            return None;
        }
        next = part.last;
    }
    let parts: Vec<Part> = parts.into_values().collect();
    (next == n_layers && parts.len() > 1).then(|| Seat {
        expert: expert.name.clone(),
        parts,
        tokens_per_s_milli: 0,
    })
}

/// The layers that the name of a slice of this model tells.
fn layers(name: &str, stem: &str) -> Option<(u32, u32)> {
    let (model, first, last) = slice_named(&format!("{name}.gguf"))?;
    (model.strip_suffix(".gguf") == Some(stem)).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(id: u64) -> Told {
        Told { id, name: format!("n{id}"), cores: 2, room_mib: 1000, ..Told::default() }
    }

    fn world() -> (Vec<Model>, Vec<Expert>) {
        let text = "name = \"large\"\nmodel = \"m.gguf\"\nquantisation = \"Q1_0\"\ncontext = 512\n";
        let model =
            Model { file: "m.gguf".into(), layer_bytes: vec![MIB; 8], split_step: 1, ..Model::default() };
        (vec![model], vec![Expert::parse(text).unwrap()])
    }

    #[test]
    fn a_node_is_what_it_tells() {
        let (_, experts) = world();
        let mut one = told(1);
        one.models = vec![("m".into(), 300, true), ("n".into(), 200, false)];
        one.speeds = vec![("decode/large".into(), 5000), ("prompt/m".into(), 9000), ("decode/n".into(), 0)];
        let node = one.node(&experts, false);
        assert_eq!((node.ram_bytes, node.can_fetch), (1000 * MIB, false));
        assert_eq!(node.files, ["m.gguf", "n.gguf"]);
        assert_eq!(node.speeds, [Speed { model: "m".into(), decode_ns: 200_000_000 }]);
        assert!(one.node(&[], true).can_fetch);
    }

    #[test]
    fn what_is_served_is_the_plan_in_force() {
        let (models, experts) = world();
        let (mut slow, mut fast) = (told(1), told(2));
        for node in [&mut slow, &mut fast] {
            node.models = vec![("m".into(), 300, true)];
            node.services = vec!["agent".into(), "llama-api-large".into()];
        }
        slow.speeds = vec![("decode/m".into(), 1000)];
        fast.speeds = vec![("decode/m".into(), 9000)];
        let seats = in_force(&[slow, fast, told(3)], &models, &experts);
        let nodes: Vec<u64> = seats.iter().map(|seat| seat.parts[0].node.0).collect();
        assert_eq!(nodes, [2, 1]);
    }

    #[test]
    fn a_model_that_only_another_node_has_is_known_by_its_size() {
        let (models, _) = world();
        let mut other = told(2);
        other.models = vec![("n".into(), 8, false), ("m".into(), 3, true), ("m.layers-0-4".into(), 1, true)];
        let known = known(&models, &[other]);
        assert_eq!(known.len(), 2);
        assert_eq!((&known[0], known[1].file.as_str()), (&models[0], "n.gguf"));
        assert_eq!((known[1].n_layers(), known[1].split_step, known[1].kv_bytes), (1, 0, 2048));
    }

    #[test]
    fn loaded_slices_are_a_ring_only_if_none_is_missing() {
        let (models, experts) = world();
        let mut nodes = [told(1), told(2)];
        nodes[0].models = vec![("m.layers-5-8".into(), 300, true)];
        nodes[1].models = vec![("m.layers-0-5".into(), 300, true)];
        assert!(in_force(&nodes, &models, &experts).is_empty(), "the ring is another expert's");
        nodes[1].services = vec!["llama-api-large".into()];
        let seats = in_force(&nodes, &models, &experts);
        assert_eq!(seats[0].parts.iter().map(|part| part.node.0).collect::<Vec<_>>(), [2, 1]);
        nodes[1].models[0].0 = "m.layers-0-4".into();
        assert!(in_force(&nodes, &models, &experts).is_empty());
    }
}
