//! The models that may be sent: every whole file of `OUT/models` with its tree of chunks, and the catalogue of them.
//!
//! A file is asked for by its BLAKE3 hash, so nothing is ever joined from a request, and one that was replaced is sent
//! as it was while somebody still fetches it. Files are read once, and again only when their length or time is another.

use crate::models::head;
use admission::{CatalogueFile, ModelUse};
use anyhow::{Context, Result, ensure};
use split::manifest::{Known, Manifest, Use};
use split::shape::Shape;
use spread::Tree;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Below `/models/` a list of chunks ends in this.
pub const TREE: &str = ".tree";
/// Files of the folder that are looked at.
const LOOKED_AT_MAX: usize = 512;
/// A file that was refused is read again after this, changed or not.
const REFUSED_HOLDS: Duration = Duration::from_secs(300);
const MIB: u64 = 1 << 20;

/// One model, open.
#[derive(Debug)]
pub struct Model {
    pub told: CatalogueFile,
    pub file: File,
    pub tree: Tree,
    /// Bytes that went out, over all nodes.
    pub sent: AtomicU64,
}

/// What a file looked like when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    inode: u64,
    bytes: u64,
    seconds: i64,
    nanos: i64,
}

/// What can be sent now.
#[derive(Debug, Default, Clone)]
pub struct Models {
    files: BTreeMap<String, Arc<Model>>,
    /// Signed; absent while there is nothing that it could be signed with, or nothing was read yet.
    pub catalogue: Option<Arc<str>>,
    /// One sentence for each file that is not offered, and why.
    pub refused: Vec<String>,
    /// What was read, by name: what is refused, and a second name for the same bytes, too.
    read: BTreeMap<PathBuf, Arc<Reading>>,
}

/// A file as it was read.
#[derive(Debug)]
struct Reading {
    mark: Mark,
    at: Instant,
    model: Result<Arc<Model>, String>,
}

impl Models {
    /// Reads what is new in the folder; a folder that is not there has no models, and where it cannot be read they stay.
    pub fn read(out: &Path, old: &Models) -> Models {
        let folder = folder(out);
        let mut paths = match std::fs::read_dir(&folder).and_then(listed) {
            Ok(paths) => paths,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                let why =
                    format!("{} cannot be read: {error}; its models stay as they were", folder.display());
                return Models { refused: vec![why], ..old.clone() };
            }
        };
        paths.sort();
        let mut models = Models { catalogue: old.catalogue.clone(), ..Models::default() };
        for path in paths.into_iter().filter(|path| is_model(path)) {
            let Ok(mark) = path.metadata().map(|meta| Mark::of(&meta)) else { continue };
            let reading = old.read.get(&path).filter(|reading| reading.holds(mark)).cloned();
            let reading = reading.unwrap_or_else(|| Arc::new(Reading::of(&path, mark)));
            match &reading.model {
                Ok(model) => models.add(model.clone()),
                Err(why) => models.refused.push(format!("{} is not offered: {why}", path.display())),
            }
            models.read.insert(path, reading);
        }
        models
    }

    fn add(&mut self, model: Arc<Model>) {
        if self.files.len() >= admission::CATALOGUE_FILES_MAX {
            let most = admission::CATALOGUE_FILES_MAX;
            self.refused.push(format!("{} is not offered: {most} models are; remove some", model.told.file));
            return;
        }
        // Two names for the same bytes are one model.
        self.files.entry(model.told.blake3.clone()).or_insert(model);
    }

    pub fn find(&self, hash: &str) -> Option<Arc<Model>> {
        self.files.get(hash).cloned()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Model>> {
        self.files.values()
    }

    /// By name, as it is signed.
    pub fn told(&self) -> Vec<CatalogueFile> {
        let mut told: Vec<CatalogueFile> = self.iter().map(|model| model.told.clone()).collect();
        told.sort_by(|a, b| a.file.cmp(&b.file));
        told
    }
}

fn listed(entries: std::fs::ReadDir) -> std::io::Result<Vec<PathBuf>> {
    entries.take(LOOKED_AT_MAX).map(|entry| Ok(entry?.path())).collect()
}

impl Reading {
    fn of(path: &Path, mark: Mark) -> Reading {
        let model = Model::read(path).map(Arc::new).map_err(|error| format!("{error:#}"));
        Reading { mark, at: Instant::now(), model }
    }

    /// What is no model stays none until it changes; what could not be read may be readable later.
    fn holds(&self, mark: Mark) -> bool {
        self.mark == mark && (self.model.is_ok() || self.at.elapsed() < REFUSED_HOLDS)
    }
}

impl Model {
    fn read(path: &Path) -> Result<Model> {
        let name = path.file_name().and_then(|name| name.to_str()).context("its name is no text")?;
        let file = File::open(path).context("it cannot be opened")?;
        let meta = file.metadata().context("it cannot be looked at")?;
        ensure!(meta.is_file(), "it is no plain file");
        let mark = Mark::of(&meta);
        let Kind { purpose, model, shape } = what_it_is(path, name)?;
        let tree =
            Tree::read(meta.len(), |part, at| file.read_exact_at(part, at).context("it cannot be read"))?;
        let known = known().iter().find(|known| known.file == name);
        let purpose = known.map_or(purpose, |known| purpose_of(known.purpose));
        let told = CatalogueFile {
            file: name.to_owned(),
            purpose,
            bytes: meta.len(),
            blake3: tree.root().to_string(),
            memory_mib: known.map_or_else(|| memory_mib(purpose, meta.len()), |known| known.memory_mib),
            model,
            shape,
        };
        told.check().context("rename it")?;
        let after = Mark::of(&file.metadata().context("it cannot be looked at")?);
        ensure!(after == mark, "it changed while it was read; it is read again");
        Ok(Model { told, file, tree, sent: AtomicU64::new(0) })
    }

    pub fn count(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Mark {
    fn of(meta: &std::fs::Metadata) -> Mark {
        Mark { inode: meta.ino(), bytes: meta.len(), seconds: meta.mtime(), nanos: meta.mtime_nsec() }
    }
}

pub fn folder(out: &Path) -> PathBuf {
    out.join(crate::models::SHELF)
}

/// Whole models by their names; what is being fetched ends in `.part`, and slices are cut by the nodes themselves.
fn is_model(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_one = name.ends_with(".gguf") || name.ends_with(".bin");
    is_one && !name.starts_with('.') && split::assign::slice_named(name).is_none()
}

/// What is known of a file by what is in it.
struct Kind {
    purpose: ModelUse,
    /// Of a GGUF, what its slices say that they are cut from.
    model: Option<String>,
    shape: Option<String>,
}

fn what_it_is(path: &Path, name: &str) -> Result<Kind> {
    if name.ends_with(".gguf") {
        let head = gguf::read_head(path).context("it is no GGUF that duet can use")?;
        let architecture = head.text("general.architecture").unwrap_or_default();
        let pools = head.uint(&format!("{architecture}.pooling_type")).is_some_and(|kind| kind > 0);
        let id = head.model_id(&mut File::open(path).context("it cannot be opened")?)?;
        let id = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let purpose = if pools { ModelUse::Embedding } else { ModelUse::Language };
        let model = split::shape::of_file(name, &head, split::shape::step_of(&head)).ok();
        let shape = model.map(|model| Shape::of(&model).to_text());
        return Ok(Kind { purpose, model: Some(id), shape });
    }
    Ok(Kind { purpose: purpose_of(head::purpose(path, name)?), model: None, shape: None })
}

/// The models of `models/manifest.toml`; what else lies in the folder is known by what it is.
fn known() -> &'static [Known] {
    static KNOWN: OnceLock<Vec<Known>> = OnceLock::new();
    const TEXT: &str = include_str!("../../../models/manifest.toml");
    KNOWN.get_or_init(|| Manifest::parse(TEXT).map(|manifest| manifest.models).unwrap_or_default())
}

fn purpose_of(purpose: Use) -> ModelUse {
    match purpose {
        Use::Language => ModelUse::Language,
        Use::Speech => ModelUse::Speech,
        Use::Embedding => ModelUse::Embedding,
        Use::VoiceActivity => ModelUse::VoiceActivity,
    }
}

/// A model that hears works beside the agent in room of its own; the others are reckoned by the planner.
fn memory_mib(purpose: ModelUse, bytes: u64) -> u32 {
    /// Of whisper.cpp's tiny model, measured: caches and what is computed.
    const HEARING_MIB: u64 = 64;
    let beside = if purpose == ModelUse::Speech { HEARING_MIB } else { 0 };
    u32::try_from(bytes.div_ceil(MIB) + beside).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let out = std::env::temp_dir().join(format!("duet-models-{}-{name}", std::process::id()));
            fs::create_dir_all(folder(&out)).unwrap();
            Folder(out)
        }

        fn put(&self, name: &str, bytes: &[u8]) {
            fs::write(folder(&self.0).join(name), bytes).unwrap();
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    use crate::models::fetch::tests::whisper as speech;

    fn silero() -> Vec<u8> {
        [&0x6767_6d6c_u32.to_le_bytes()[..], &16u32.to_le_bytes(), b"silero-16k", &[0; 80]].concat()
    }

    #[test]
    fn whole_models_are_offered_by_their_hash_and_nothing_else() {
        let out = Folder::new("whole");
        out.put("ear.bin", &speech(9 << 20));
        // By what is in it, whatever its name is.
        out.put("vad.bin", &silero());
        out.put("half.bin.part", &speech(100));
        out.put("notes.txt", b"no model");
        out.put("bad.gguf", b"no model");
        out.put("empty.bin", b"");
        let models = Models::read(&out.0, &Models::default());
        let told: Vec<(String, ModelUse)> =
            models.told().into_iter().map(|told| (told.file, told.purpose)).collect();
        let want = [("ear.bin", ModelUse::Speech), ("vad.bin", ModelUse::VoiceActivity)];
        assert_eq!(told, want.map(|(name, purpose)| (name.to_owned(), purpose)));
        assert_eq!(models.refused.len(), 2, "{:?}", models.refused);
        let hash = blake3::hash(&speech(9 << 20)).to_string();
        let model = models.find(&hash).unwrap();
        assert_eq!((model.tree.n_chunks(), model.told.blake3.as_str()), (3, hash.as_str()));
        assert!(models.find("ear.bin").is_none());
    }

    #[test]
    fn a_file_is_read_again_only_when_it_changed() {
        let out = Folder::new("again");
        out.put("ear.bin", &speech(1000));
        let first = Models::read(&out.0, &Models::default());
        first.iter().next().unwrap().count(5);
        let second = Models::read(&out.0, &first);
        assert_eq!(second.iter().next().unwrap().sent.load(Ordering::Relaxed), 5);
        out.put("ear.bin", &speech(1001));
        let third = Models::read(&out.0, &second);
        assert_ne!(third.told(), second.told());
        assert_eq!(third.iter().count(), 1);
        // Nor what is refused, or is there twice.
        out.put("again.bin", &speech(1001));
        out.put("bad.gguf", b"no model");
        let fourth = Models::read(&out.0, &third);
        let fifth = Models::read(&out.0, &fourth);
        assert_eq!((fifth.iter().count(), fifth.refused.len(), fifth.read.len()), (1, 1, 3));
        assert!(fifth.read.iter().all(|(path, reading)| Arc::ptr_eq(reading, &fourth.read[path])));
    }

    #[test]
    fn a_folder_that_cannot_be_read_takes_no_model_away() {
        let out = Folder::new("unread");
        out.put("ear.bin", &speech(1000));
        let first = Models::read(&out.0, &Models::default());
        fs::remove_dir_all(folder(&out.0)).unwrap();
        fs::write(folder(&out.0), "no folder").unwrap();
        let second = Models::read(&out.0, &first);
        assert_eq!(second.told(), first.told());
        assert!(second.refused[0].contains("stay as they were"), "{:?}", second.refused);
        fs::remove_file(folder(&out.0)).unwrap();
        assert_eq!(Models::read(&out.0, &second).told(), []);
    }
}
