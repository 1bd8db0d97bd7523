//! `models/manifest.toml`: every model that the product knows, where it comes from, and sets of them for shelves of PCs.
//!
//! Pure: text in, checked values or the first thing wrong out. Names become files and addresses are fetched, so nothing
//! in it is believed: no name leads out of a folder, no number is larger than a model can be, nothing is named twice.
//! It does not know what lies on a disk, and fetches nothing. `fit` asks the planner whether models fit a shelf.

pub mod fit;

use crate::expert::{MODEL_BYTES_MAX, QUANTISATION_BYTES_MAX};
use crate::place::Model;
use crate::shape::Shape;
use serde::{Deserialize, Serialize};

pub const MANIFEST_BYTES_MAX: usize = 256 * 1024;
pub const MODELS_MAX: usize = 256;
pub const SETS_MAX: usize = 64;
pub const SET_MODELS_MAX: usize = 32;
pub const SET_NAME_BYTES_MAX: usize = 24;
/// Of a model's file: more than the largest PC of this age can hold.
pub const MODEL_FILE_LENGTH_MAX: u64 = 1 << 36;
const MEMORY_MIB_MAX: u32 = 1 << 20;
const NODE_GIB_MAX: u32 = 1024;
const NODES_MAX: u32 = 4096;
const URL_BYTES_MAX: usize = 512;
const WORDS_BYTES_MAX: usize = 400;
const LICENCE_BYTES_MAX: usize = 40;

/// In place of a hash: nobody has told it for certain, so the first download decides, and every later one is held to it.
pub const FIRST_DOWNLOAD: &str = "first-download";
/// The set of the models in the repository itself.
pub const OWN: &str = "own";
/// Where those lie.
const OWN_FOLDER: &str = "models/default/";

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Use {
    Language,
    Speech,
    Embedding,
    VoiceActivity,
}

impl Use {
    pub fn name(self) -> &'static str {
        match self {
            Use::Language => "language",
            Use::Speech => "speech",
            Use::Embedding => "embedding",
            Use::VoiceActivity => "voice-activity",
        }
    }

    /// How its files end: ggml's older form for what hears, GGUF for what reads and writes.
    pub fn ending(self) -> &'static str {
        match self {
            Use::Language | Use::Embedding => "gguf",
            Use::Speech | Use::VoiceActivity => "bin",
        }
    }
}

/// One model of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// What it is called in every folder of models.
    pub file: String,
    #[serde(rename = "use")]
    pub purpose: Use,
    /// Where it is fetched from; or else `path`, for those in the repository.
    #[serde(default)]
    pub url: Option<String>,
    #[serde(default)]
    pub path: Option<String>,
    /// The length of the file.
    pub bytes: u64,
    /// 64 hex digits, or `first-download`.
    pub sha256: String,
    /// Where the hash was read, or why there is none.
    pub sha256_from: String,
    pub licence: String,
    /// Whether a person has to say that this licence is accepted before it is fetched.
    #[serde(default)]
    pub accept: bool,
    /// What it takes on a node, file and work together.
    pub memory_mib: u32,
    /// The least memory of a PC that it is meant for.
    pub node_gib: u32,
    /// Of its weights.
    pub quantisation: String,
    /// Why this model in this quantisation, and for whom.
    pub why: String,
    /// Of what is planned over nodes.
    #[serde(default)]
    pub shape: Option<Shape>,
}

/// Models that are fetched together.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Set {
    pub name: String,
    /// The shelf it is for; both or neither.
    #[serde(default)]
    pub nodes: Option<u32>,
    #[serde(default)]
    pub memory_gib: Option<u32>,
    pub about: String,
    pub models: Vec<String>,
}

/// All of it, checked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    #[serde(default, rename = "model")]
    pub models: Vec<Known>,
    #[serde(default, rename = "set")]
    pub sets: Vec<Set>,
}

impl Manifest {
    /// Reads the text, or says the first thing wrong with it.
    pub fn parse(text: &str) -> Result<Manifest, String> {
        if text.len() > MANIFEST_BYTES_MAX {
            return Err(format!("a manifest has at most {MANIFEST_BYTES_MAX} bytes"));
        }
        let manifest: Manifest = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let line = 1 + text.bytes().take(at).filter(|b| *b == b'\n').count();
            format!("line {line}: {}", error.message().replace('\n', ", "))
        })?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), String> {
        if self.models.len() > MODELS_MAX || self.sets.len() > SETS_MAX {
            return Err(format!("a manifest has at most {MODELS_MAX} models and {SETS_MAX} sets"));
        }
        for (idx, model) in self.models.iter().enumerate() {
            model.check()?;
            // Some folders, such as a stick's, know no capital letters.
            let is_same = |other: &Known| other.file.eq_ignore_ascii_case(&model.file);
            if self.models[..idx].iter().any(is_same) {
                return Err(format!("{} is there twice", model.file));
            }
        }
        for (idx, set) in self.sets.iter().enumerate() {
            set.check(self)?;
            let is_same = |other: &Set| {
                let is_same_shelf = (other.nodes, other.memory_gib) == (set.nodes, set.memory_gib);
                other.name == set.name || (set.nodes.is_some() && is_same_shelf)
            };
            if self.sets[..idx].iter().any(is_same) {
                return Err(format!("set {} is there twice, or its shelf is", set.name));
            }
        }
        Ok(())
    }

    pub fn model(&self, file: &str) -> Option<&Known> {
        self.models.iter().find(|model| model.file == file)
    }

    pub fn set(&self, name: &str) -> Option<&Set> {
        self.sets.iter().find(|set| set.name == name)
    }

    /// The models of a set; the reader has checked that they are all there.
    pub fn of_set(&self, set: &Set) -> Vec<&Known> {
        set.models.iter().filter_map(|file| self.model(file)).collect()
    }

    /// The set for so many PCs of so much memory: the one for the most memory that they have, then for the most PCs.
    pub fn recommended(&self, n_nodes: u32, memory_gib: u32) -> Option<&Set> {
        let shelf = |set: &Set| Some((set.memory_gib?, set.nodes?));
        let fits = |set: &&Set| shelf(set).is_some_and(|(gib, n)| gib <= memory_gib && n <= n_nodes);
        self.sets.iter().filter(fits).max_by_key(|set| shelf(set))
    }

    /// The shapes that plans are made of.
    pub fn shapes(&self) -> Vec<Model> {
        self.models.iter().filter_map(|known| Some(known.shape.as_ref()?.model(&known.file))).collect()
    }
}

impl Known {
    /// The hash that is known for certain.
    pub fn hash(&self) -> Option<&str> {
        (self.sha256 != FIRST_DOWNLOAD).then_some(&self.sha256)
    }

    fn check(&self) -> Result<(), String> {
        if !is_file_name(&self.file) {
            return Err(format!(
                "{:?} is no name of a model's file: letters, digits, '.', '_' and '-', at most {MODEL_BYTES_MAX}, \
                 and .gguf or .bin at its end",
                self.file
            ));
        }
        let wrong = |what: String| Err(format!("{}: {what}", self.file));
        let ending = self.purpose.ending();
        if !self.file.ends_with(&format!(".{ending}")) {
            return wrong(format!("a file for {} ends with .{ending}", self.purpose.name()));
        }
        if !(1..=MODEL_FILE_LENGTH_MAX).contains(&self.bytes) {
            return wrong(format!("bytes lies between 1 and {MODEL_FILE_LENGTH_MAX}"));
        }
        if !(1..=MEMORY_MIB_MAX).contains(&self.memory_mib) || !(1..=NODE_GIB_MAX).contains(&self.node_gib) {
            return wrong("memory_mib or node_gib is no amount of memory".into());
        }
        let known = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let is_type = (1..=QUANTISATION_BYTES_MAX).contains(&self.quantisation.len());
        if !is_type || !self.quantisation.bytes().all(known) {
            return wrong("quantisation is a type of ggml, such as Q1_0".into());
        }
        let licence = |b: u8| b.is_ascii_alphanumeric() || b".-+".contains(&b);
        let is_licence = (1..=LICENCE_BYTES_MAX).contains(&self.licence.len());
        if !is_licence || !self.licence.bytes().all(licence) {
            return wrong("licence is one short name, such as Apache-2.0".into());
        }
        for (key, words) in [("why", &self.why), ("sha256_from", &self.sha256_from)] {
            is_sentence(words).map_err(|what| format!("{}: {key} {what}", self.file))?;
        }
        let is_hash = |text: &str| {
            text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        if self.hash().is_some_and(|hash| !is_hash(hash)) {
            return wrong(format!("sha256 is 64 small hex digits, or {FIRST_DOWNLOAD:?}"));
        }
        match (&self.shape, self.purpose) {
            (None, Use::Language | Use::Embedding) => return wrong("its shape is missing".into()),
            (Some(_), Use::Speech | Use::VoiceActivity) => {
                return wrong("a shape is of models that write".into());
            }
            (Some(shape), _) => shape.check().map_err(|what| format!("{} {what}", self.file))?,
            (None, _) => {}
        }
        self.check_source()
    }

    fn check_source(&self) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("{}: {what}", self.file));
        match (&self.url, &self.path) {
            (Some(url), None) => {
                let rest = url.strip_prefix("https://").or_else(|| {
                    // Who stands on the way can change what comes; a hash that is known tells.
                    url.strip_prefix("http://").filter(|_| self.hash().is_some())
                });
                let Some(rest) = rest else {
                    return wrong("url begins with https://; with http:// only where sha256 is known");
                };
                let host = rest.split('/').next().unwrap_or_default();
                let plain = url.bytes().all(|b| b.is_ascii_graphic()) && url.len() <= URL_BYTES_MAX;
                if !plain || host.is_empty() || host.contains('@') {
                    return wrong("url is an address of printable characters without a name or password");
                }
                Ok(())
            }
            (None, Some(path)) => {
                if path.strip_prefix(OWN_FOLDER) != Some(self.file.as_str()) {
                    return wrong(&format!("path is {OWN_FOLDER}{}, or it has a url", self.file));
                }
                if self.hash().is_none() {
                    return wrong("what lies in the repository has a sha256");
                }
                Ok(())
            }
            _ => wrong("it has a url or a path, and not both"),
        }
    }
}

impl Set {
    fn check(&self, manifest: &Manifest) -> Result<(), String> {
        let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let fits = (1..=SET_NAME_BYTES_MAX).contains(&self.name.len());
        if !fits || !self.name.bytes().all(known) || self.name.starts_with('-') {
            return Err(format!(
                "{:?} is no set's name: small letters, digits and '-', at most {SET_NAME_BYTES_MAX}",
                self.name
            ));
        }
        let wrong = |what: String| Err(format!("set {}: {what}", self.name));
        let is_shelf = match (self.nodes, self.memory_gib) {
            (None, None) => true,
            (Some(n), Some(gib)) => (1..=NODES_MAX).contains(&n) && (1..=NODE_GIB_MAX).contains(&gib),
            _ => false,
        };
        if !is_shelf {
            return wrong(format!("nodes (1 to {NODES_MAX}) and memory_gib stand together, or neither does"));
        }
        is_sentence(&self.about).map_err(|what| format!("set {}: about {what}", self.name))?;
        if self.models.len() > SET_MODELS_MAX {
            return wrong(format!("it has at most {SET_MODELS_MAX} models"));
        }
        for (idx, file) in self.models.iter().enumerate() {
            if manifest.model(file).is_none() {
                return wrong(format!("{file:?} is no model of this manifest"));
            }
            if self.models[..idx].contains(file) {
                return wrong(format!("{file} is there twice"));
            }
        }
        Ok(())
    }
}

/// Whether this may be joined to a folder of models: no folder, no way out of one, nothing hidden, one of two endings.
pub fn is_file_name(name: &str) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let stem = name.strip_suffix(".gguf").or_else(|| name.strip_suffix(".bin"));
    name.len() <= MODEL_BYTES_MAX
        && stem.is_some_and(|stem| !stem.is_empty())
        && !name.starts_with(['.', '-'])
        && name.bytes().all(known)
}

/// Shown on terminals and pages.
fn is_sentence(text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > WORDS_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(format!("is one line of at most {WORDS_BYTES_MAX} bytes"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
