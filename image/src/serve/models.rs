//! The models that may be sent: every whole file of `OUT/models` with its tree of chunks, and the catalogue of them.
//!
//! A file is asked for by its BLAKE3 hash, so nothing is ever joined from a request, and one that was replaced is sent
//! as it was while somebody still fetches it. Files are read once, and again only when their length or time is another.

use admission::{CatalogueFile, ModelUse};
use anyhow::{Context, Result, ensure};
use split::manifest::{Known, Manifest, Use};
use split::shape::Shape;
use spread::Tree;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Below `/models/` a list of chunks ends in this.
pub const TREE: &str = ".tree";
/// Files of the folder that are looked at.
const LOOKED_AT_MAX: usize = 512;
/// First bytes of the files that whisper.cpp reads.
const GGML_MAGIC: [u8; 4] = 0x6767_6d6c_u32.to_le_bytes();
const MIB: u64 = 1 << 20;

/// One model, open.
#[derive(Debug)]
pub struct Model {
    pub told: CatalogueFile,
    pub file: File,
    pub tree: Tree,
    /// Bytes that went out, over all nodes.
    pub sent: AtomicU64,
    mark: Mark,
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
}

impl Models {
    /// Reads what is new in the folder; a folder that is not there has no models.
    pub fn read(out: &Path, old: &Models) -> Models {
        let folder = folder(out);
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).take(LOOKED_AT_MAX).collect();
        paths.sort();
        let mut models = Models { catalogue: old.catalogue.clone(), ..Models::default() };
        for path in paths.iter().filter(|path| is_model(path)) {
            match old.again(path).map_or_else(|| Model::read(path).map(Arc::new), Ok) {
                Ok(model) => models.add(model),
                Err(error) => models.refused.push(format!("{} is not offered: {error:#}", path.display())),
            }
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

    fn again(&self, path: &Path) -> Option<Arc<Model>> {
        let name = path.file_name()?.to_str()?;
        let model = self.files.values().find(|model| model.told.file == name)?;
        (Mark::of(&path.metadata().ok()?) == model.mark).then(|| model.clone())
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

impl Model {
    fn read(path: &Path) -> Result<Model> {
        let name = path.file_name().and_then(|name| name.to_str()).context("its name is no text")?;
        let file = File::open(path).context("it cannot be opened")?;
        let meta = file.metadata().context("it cannot be looked at")?;
        ensure!(meta.is_file(), "it is no plain file");
        let mark = Mark::of(&meta);
        let tree =
            Tree::read(meta.len(), |part, at| file.read_exact_at(part, at).context("it cannot be read"))?;
        let Kind { purpose, model, shape } = what_it_is(path, name)?;
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
        Ok(Model { told, file, tree, sent: AtomicU64::new(0), mark })
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
    let mut magic = [0; 4];
    File::open(path).and_then(|mut file| file.read_exact(&mut magic)).context("it cannot be read")?;
    ensure!(magic == GGML_MAGIC, "it is no model of whisper.cpp's; only those and .gguf are offered");
    let purpose = if name.contains("silero") { ModelUse::VoiceActivity } else { ModelUse::Speech };
    Ok(Kind { purpose, model: None, shape: None })
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

    fn speech(n: usize) -> Vec<u8> {
        let mut bytes = vec![7; n];
        bytes[..4].copy_from_slice(&GGML_MAGIC);
        bytes
    }

    #[test]
    fn whole_models_are_offered_by_their_hash_and_nothing_else() {
        let out = Folder::new("whole");
        out.put("ear.bin", &speech(9 << 20));
        out.put("silero.bin", &speech(100));
        out.put("half.bin.part", &speech(100));
        out.put("notes.txt", b"no model");
        out.put("bad.gguf", b"no model");
        out.put("empty.bin", b"");
        let models = Models::read(&out.0, &Models::default());
        let told: Vec<(String, ModelUse)> =
            models.told().into_iter().map(|told| (told.file, told.purpose)).collect();
        let want = [("ear.bin", ModelUse::Speech), ("silero.bin", ModelUse::VoiceActivity)];
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
    }
}
