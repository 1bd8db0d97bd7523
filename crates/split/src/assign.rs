//! What one node is to hold: the wish that the agent writes as a file and rpc-worker follows.
//!
//! A whole file replaces a whole file, so a reader never has to merge. It comes from another process,
//! so [`Assignment::wrong`] holds every text and every number to a limit before anything is loaded.

use crate::expert::{Expert, PERSONA_BYTES_MAX, is_model_file};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// The file's name in the agent's own folder.
pub const FILE: &str = "assignment.json";
/// A longer file is refused.
pub const FILE_BYTES_MAX: usize = 512 * 1024;
/// Where stages listen, on the overlay.
pub const STAGE_PORT: u16 = 50052;
pub const EXPERTS_MAX: usize = 16;
pub const STAGES_MAX: usize = 8;
/// Layers of a model; the deepest that is known has 126.
pub const LAYERS_MAX: u32 = 512;
pub const BUILD_BYTES_MAX: usize = 64;
/// Hex digits of a pipeline's key.
pub const KEY_DIGITS: usize = 32;
pub const VERSION_BYTES_MAX: usize = 128;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// Grows with every plan; what is held of an older one is void.
    pub generation: u64,
    /// The build that all nodes of this plan share: stages of mixed builds do not agree bit by bit.
    pub build: String,
    pub experts: Vec<Given>,
    pub stages: Vec<Stage>,
}

/// A whole model with its manner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    pub expert: Expert,
    /// The system prompt itself, empty for none.
    pub persona: String,
    /// Which file of its name the model is: another text is another model. Empty where it does not lie whole.
    #[serde(default)]
    pub version: String,
}

/// A run of a model's layers, and its neighbours in the ring.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// The expert that the ring serves. Its head, the stage with layer 0, answers for it.
    pub given: Given,
    /// The layers `first..last` of `of`.
    pub first: u32,
    pub last: u32,
    pub of: u32,
    /// Which stage this is, of how many.
    pub stage_idx: u32,
    pub n_stages: u32,
    /// The file with just these layers, in the models' folder.
    pub slice: String,
    /// Who sends to this stage. To the head it is the last stage, which sends tokens.
    pub previous: SocketAddr,
    /// Whom this stage sends to. To the last it is the head.
    pub next: SocketAddr,
    /// The same for all stages of one ring, and for no other ring: hex digits.
    pub key: String,
}

/// Why an assignment is not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignError(pub String);

impl std::fmt::Display for AssignError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for AssignError {}

impl Assignment {
    /// Holds everything to its limits; to be called on whatever was read.
    pub fn check(&self) -> Result<(), AssignError> {
        self.wrong().map_or(Ok(()), |what| Err(AssignError(what)))
    }

    fn wrong(&self) -> Option<String> {
        if self.build.len() > BUILD_BYTES_MAX {
            return Some(format!("a build's name has at most {BUILD_BYTES_MAX} bytes"));
        }
        if self.experts.len() > EXPERTS_MAX || self.stages.len() > STAGES_MAX {
            return Some(format!("a node holds at most {EXPERTS_MAX} experts and {STAGES_MAX} stages"));
        }
        let mut names: Vec<&str> = self.experts.iter().map(|given| given.expert.name.as_str()).collect();
        names.extend(self.stages.iter().map(|stage| stage.given.expert.name.as_str()));
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Some(format!("expert {} is given twice", pair[0]));
        }
        self.experts.iter().find_map(Given::wrong).or_else(|| self.stages.iter().find_map(Stage::wrong))
    }
}

impl Given {
    fn wrong(&self) -> Option<String> {
        if self.persona.len() > PERSONA_BYTES_MAX {
            return Some(format!(
                "the persona of {} has more than {PERSONA_BYTES_MAX} bytes",
                self.expert.name
            ));
        }
        if self.version.len() > VERSION_BYTES_MAX {
            return Some(format!("the version of {}'s model is too long", self.expert.name));
        }
        self.expert.wrong().map(|(_, what)| what)
    }
}

impl Stage {
    fn wrong(&self) -> Option<String> {
        let name = &self.given.expert.name;
        if !(self.first < self.last && self.last <= self.of && self.of <= LAYERS_MAX) {
            return Some(format!(
                "layers {}..{} of {} are no stage of {name}",
                self.first, self.last, self.of
            ));
        }
        let at_ends = (self.stage_idx == 0) == (self.first == 0)
            && (self.stage_idx + 1 == self.n_stages) == (self.last == self.of);
        if self.n_stages < 2 || self.stage_idx >= self.n_stages || !at_ends {
            return Some(format!(
                "stage {} of {} of {name} has the wrong layers",
                self.stage_idx, self.n_stages
            ));
        }
        if !is_model_file(&self.slice) {
            return Some(format!("the slice of {name} is no file's name"));
        }
        let is_key = self.key.len() == KEY_DIGITS && self.key.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_key {
            return Some(format!("the key of {name} is not {KEY_DIGITS} hex digits"));
        }
        self.given.wrong()
    }
}

/// The name of the file that holds just these layers of a model.
pub fn slice_file(model: &str, first: u32, last: u32) -> String {
    format!("{}.layers-{first}-{last}.gguf", model.strip_suffix(".gguf").unwrap_or(model))
}

/// Of which model, and of which layers, a file is by its name; nothing if that is not one of [`slice_file`].
pub fn slice_named(file: &str) -> Option<(String, u32, u32)> {
    let (stem, layers) = file.strip_suffix(".gguf")?.rsplit_once(".layers-")?;
    let (first, last) = layers.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    let model = format!("{stem}.gguf");
    (slice_file(&model, first, last) == file).then_some((model, first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(name: &str) -> Given {
        let text = format!("name = \"{name}\"\nmodel = \"m.gguf\"\nquantisation = \"Q1_0\"\ncontext = 512\n");
        Given { expert: Expert::parse(&text).unwrap(), persona: String::new(), version: String::new() }
    }

    fn stage() -> Stage {
        let near = "[fd00::1]:50052".parse().unwrap();
        Stage {
            given: given("large"),
            first: 0,
            last: 12,
            of: 36,
            stage_idx: 0,
            n_stages: 2,
            slice: slice_file("m.gguf", 0, 12),
            previous: near,
            next: near,
            key: "0".repeat(KEY_DIGITS),
        }
    }

    fn check(change: impl Fn(&mut Assignment), want: &str) {
        let mut assignment = Assignment {
            generation: 7,
            build: "0.1.0".to_owned(),
            experts: vec![given("calm")],
            stages: vec![stage()],
        };
        change(&mut assignment);
        assert_eq!(assignment.check().err().map(|e| e.0).unwrap_or_default(), want);
    }

    #[test]
    fn a_sound_assignment_is_taken_and_comes_back_from_json() {
        check(|_| {}, "");
        let assignment =
            Assignment { experts: vec![given("calm")], stages: vec![stage()], ..Assignment::default() };
        let text = serde_json::to_string(&assignment).unwrap();
        assert_eq!(serde_json::from_str::<Assignment>(&text).unwrap(), assignment);
    }

    #[test]
    fn what_cannot_be_held_is_refused() {
        check(|a| a.experts.push(given("large")), "expert large is given twice");
        check(|a| a.stages[0].last = 0, "layers 0..0 of 36 are no stage of large");
        check(|a| a.stages[0].last = 36, "stage 0 of 2 of large has the wrong layers");
        check(|a| a.stages[0].n_stages = 1, "stage 0 of 1 of large has the wrong layers");
        check(|a| a.stages[0].slice = "../m.gguf".into(), "the slice of large is no file's name");
        check(|a| a.stages[0].key.clear(), "the key of large is not 32 hex digits");
        check(|a| a.experts[0].expert.context = 1, "context lies between 64 and 131072");
        check(
            |a| a.experts[0].persona = "x".repeat(PERSONA_BYTES_MAX + 1),
            "the persona of calm has more than 16384 bytes",
        );
        check(
            |a| a.experts = vec![given("calm"); EXPERTS_MAX + 1],
            "a node holds at most 16 experts and 8 stages",
        );
        check(|a| a.build = "x".repeat(BUILD_BYTES_MAX + 1), "a build's name has at most 64 bytes");
    }

    #[test]
    fn a_slice_is_named_after_its_layers() {
        let slice = "Bonsai-8B-Q1_0.layers-0-12.gguf";
        assert_eq!(slice_file("Bonsai-8B-Q1_0.gguf", 0, 12), slice);
        assert_eq!(slice_named(slice), Some(("Bonsai-8B-Q1_0.gguf".to_owned(), 0, 12)));
        for other in [
            "m.gguf",
            "m.layers-0.gguf",
            "m.layers-00-12.gguf",
            "m.layers-+1-2.gguf",
            "m.layers-0-1.gguf.part",
        ] {
            assert_eq!(slice_named(other), None, "{other}");
        }
    }
}
