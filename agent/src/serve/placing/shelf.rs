//! The experts and models that this node can read: expert files, personas, the manifest, and the heads of models that lie here.

use split::assign::Given;
use split::expert::{self, Expert, PERSONA_BYTES_MAX};
use split::place::{Model, WANTS_MAX};
use split::shape;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

#[derive(Clone)]
pub struct Folders {
    /// `personas` and `manifest.toml` lie beside it.
    pub experts: PathBuf,
    pub models: PathBuf,
}

#[derive(Default)]
pub struct Shelf {
    /// What was read, with each file's length and time: unchanged files are not read again.
    seen: Vec<(PathBuf, u64, Option<SystemTime>)>,
    pub experts: Vec<Expert>,
    pub models: Vec<Model>,
    personas: BTreeMap<String, String>,
    /// Sentences on files that cannot be used.
    pub wrong: Vec<String>,
}

impl Shelf {
    /// Nothing if the files are still those of `old`.
    pub fn read(folders: &Folders, old: &Shelf) -> Option<Shelf> {
        let beside = folders.experts.parent().unwrap_or(Path::new("/"));
        let (experts, personas) = (listed(&folders.experts, "toml"), listed(&beside.join("personas"), "txt"));
        let (models, manifest) = (listed(&folders.models, "gguf"), beside.join("manifest.toml"));
        let all = experts.iter().chain(&personas).chain(&models);
        let mut seen: Vec<_> = all.map(|(_, path)| look(path)).collect();
        seen.push(look(&manifest));
        if seen == old.seen {
            return None;
        }
        let mut shelf = Shelf { seen, ..Shelf::default() };
        let texts: Vec<(String, String)> = experts
            .into_iter()
            .filter_map(|(stem, path)| Some((stem, text(&path, expert::FILE_BYTES_MAX)?)))
            .collect();
        (shelf.experts, shelf.wrong) =
            expert::collect(texts.iter().map(|(stem, text)| (stem.as_str(), text.as_str())));
        let read = |(stem, path): (String, PathBuf)| Some((stem, text(&path, PERSONA_BYTES_MAX)?));
        shelf.personas = personas.into_iter().filter_map(read).collect();
        for (stem, path) in models {
            match model(&stem, &path) {
                Ok(model) => shelf.models.push(model),
                Err(why) => shelf.wrong.push(format!("{} is no model: {why}", path.display())),
            }
        }
        match text(&manifest, shape::MANIFEST_BYTES_MAX).map(|text| shape::manifest(&text)) {
            Some(Ok(known)) => {
                let is_new = |model: &Model| !shelf.models.iter().any(|lies| lies.file == model.file);
                let known: Vec<Model> = known.into_iter().filter(is_new).collect();
                shelf.models.extend(known);
            }
            Some(Err(why)) => shelf.wrong.push(format!("{}: {why}", manifest.display())),
            None => {}
        }
        Some(shelf)
    }

    /// An expert with its system prompt.
    pub fn given(&self, name: &str) -> Option<Given> {
        let expert = self.experts.iter().find(|expert| expert.name == name)?.clone();
        let persona = expert.persona.as_ref().and_then(|persona| self.personas.get(persona));
        let is_it = |path: &&(PathBuf, u64, Option<SystemTime>)| path.0.ends_with(&expert.model);
        let version = self.seen.iter().find(is_it).map(|(_, bytes, time)| version(*bytes, *time));
        let (persona, version) = (persona.cloned().unwrap_or_default(), version.unwrap_or_default());
        Some(Given { persona, version, expert })
    }
}

/// How a file that was replaced differs.
fn version(bytes: u64, time: Option<SystemTime>) -> String {
    let since = time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok()).unwrap_or_default();
    format!("{bytes} bytes of {}.{:09}", since.as_secs(), since.subsec_nanos())
}

fn model(stem: &str, path: &Path) -> Result<Model, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let bytes = file.metadata().map_err(|error| error.to_string())?.len();
    let head = gguf::Gguf::read(&mut BufReader::new(file), bytes).map_err(|error| error.to_string())?;
    shape::of_file(&format!("{stem}.gguf"), &head, shape::step_of(&head)).map_err(|error| error.to_string())
}

fn text(path: &Path, bytes_max: usize) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(bytes_max as u64 + 1).read_to_string(&mut text).ok()?;
    (text.len() <= bytes_max).then_some(text)
}

fn look(path: &Path) -> (PathBuf, u64, Option<SystemTime>) {
    let facts = path.metadata();
    let time = facts.as_ref().ok().and_then(|facts| facts.modified().ok());
    (path.to_owned(), facts.map_or(0, |facts| facts.len()), time)
}

/// The files with one ending, by name; a folder that is not there is an empty one.
fn listed(folder: &Path, ending: &str) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let named = |path: PathBuf| {
        let is_wanted = path.extension().is_some_and(|e| e == ending);
        let stem = path.file_stem()?.to_str()?.to_owned();
        is_wanted.then_some((stem, path))
    };
    let mut found: Vec<(String, PathBuf)> = entries.filter_map(named).take(WANTS_MAX).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_experts_have_shapes_and_personas() {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
        let folders = Folders { experts: models.join("experts"), models: models.join("none") };
        let shelf = Shelf::read(&folders, &Shelf::default()).expect("it was not read before");
        assert_eq!(shelf.wrong, Vec::<String>::new());
        for expert in &shelf.experts {
            assert!(shelf.models.iter().any(|model| model.file == expert.model), "{}", expert.model);
            let given = shelf.given(&expert.name).expect("it is there");
            assert_eq!(given.persona.is_empty(), expert.persona.is_none(), "{}", expert.name);
        }
        assert!(Shelf::read(&folders, &shelf).is_none(), "nothing has changed");
    }
}
