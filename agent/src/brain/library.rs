//! The workflows and personas that there are: those of the program, files that take their places or add to them, and what
//! the owner edited on a page of the cluster.
//!
//! A text with a mistake changes nothing: what held before holds on, and the mistake is told on page and console until it
//! is mended. How edits come from and go to other nodes, `sharing` knows.

use crate::io::runtime;
use admission::{Edit, EditKind, Edits};
use brain::{FILE_BYTES_MAX, Known, Persona, Workflow};
use serde::Serialize;
use service::log::{Level, say};
use service::watch::Watch;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Where the owner's files lie, in `workflows` and `personas`.
pub const FOLDER: &str = "etc/duet-agent";
/// What was edited, in the agent's own folder.
const EDITS_FILE: &str = "edits.json";
/// All texts, each byte as six, with their names.
const EDITS_FILE_BYTES_MAX: u64 = 2 << 20;
/// Of each kind.
const FILES_MAX: usize = 64;
/// A file is often followed by more.
const SETTLE: Duration = Duration::from_millis(200);
/// A folder that cannot be watched is looked at so often.
const LOOK_EVERY: Duration = Duration::from_secs(10);

const WORKFLOWS: [(&str, &str); 2] = [
    ("tiered", include_str!("../../workflows/tiered.yaml")),
    ("researcher", include_str!("../../workflows/researcher.yaml")),
];
const PERSONAS: [(&str, &str); 9] = [
    ("general", include_str!("../../personas/general.md")),
    ("coding", include_str!("../../personas/coding.md")),
    ("creative", include_str!("../../personas/creative.md")),
    ("math", include_str!("../../personas/math.md")),
    ("language", include_str!("../../personas/language.md")),
    ("tools", include_str!("../../personas/tools.md")),
    ("router", include_str!("../../personas/router.md")),
    ("researcher", include_str!("../../personas/researcher.md")),
    ("summary", include_str!("../../personas/summary.md")),
];

/// Whoever answers where nobody fits better.
pub const GENERAL: &str = "general";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The program's own.
    Shipped,
    /// A file of the owner's.
    File,
    /// What the owner edited on a page.
    Edited,
}

#[derive(Clone)]
pub struct Kept<T> {
    pub value: Arc<T>,
    pub source: Source,
}

#[derive(Clone, Default)]
struct Books {
    workflows: BTreeMap<String, Kept<Workflow>>,
    personas: BTreeMap<String, Kept<Persona>>,
    /// As they are edited.
    texts: BTreeMap<(EditKind, String), String>,
    /// What is wrong with files, a line each.
    troubles: Vec<String>,
}

pub struct Library {
    folder: Option<PathBuf>,
    /// Keeps what was edited for the next run of the agent.
    file: Option<PathBuf>,
    edits: Mutex<Edits>,
    news: watch::Sender<()>,
    tools: Vec<String>,
    books: Mutex<Books>,
}

impl Library {
    /// Those of the program alone. `tools` are the names that a workflow may call.
    pub fn shipped(tools: &[&str]) -> Library {
        let tools = tools.iter().map(|tool| (*tool).to_owned()).collect();
        let (edits, books, news) = (Mutex::default(), Mutex::default(), watch::Sender::new(()));
        let library = Library { folder: None, file: None, edits, news, tools, books };
        library.read_again();
        library
    }

    /// With the files below a root.
    pub fn open(root: &Path, tools: &[&str]) -> Library {
        let folder = root.join(FOLDER);
        // A node's own folder is in its image, where the agent may not write.
        let file = runtime::lasting_path(EDITS_FILE).unwrap_or_else(|| folder.join(EDITS_FILE));
        // What cannot be read here comes again from the other nodes and the boot server.
        let edits = read_within(&file, EDITS_FILE_BYTES_MAX).ok().and_then(|text| Edits::parse(&text).ok());
        let edits = Mutex::new(edits.unwrap_or_default());
        let library = Library { folder: Some(folder), file: Some(file), edits, ..Library::shipped(tools) };
        library.read_again();
        library
    }

    pub fn workflow(&self, name: &str) -> Option<Arc<Workflow>> {
        self.books().workflows.get(name).map(|kept| kept.value.clone())
    }

    pub fn workflows(&self) -> Vec<Kept<Workflow>> {
        self.books().workflows.values().cloned().collect()
    }

    pub fn persona(&self, name: &str) -> Option<Arc<Persona>> {
        self.books().personas.get(name).map(|kept| kept.value.clone())
    }

    pub fn personas(&self) -> Vec<Kept<Persona>> {
        self.books().personas.values().cloned().collect()
    }

    /// The text of a persona or a workflow, whoever wrote it.
    pub fn text(&self, kind: EditKind, name: &str) -> Option<String> {
        self.books().texts.get(&(kind, name.to_owned())).cloned()
    }

    /// Edits a text; an empty one is again as it was before any edit. It holds here at once, and soon on all nodes.
    pub fn edit(&self, kind: EditKind, name: &str, text: &str, unix_s: u64) -> Result<(), EditError> {
        if !text.is_empty() {
            self.check(kind, name, text).map_err(EditError::Mistakes)?;
        }
        let n_kept = match kind {
            EditKind::Persona => self.books().personas.len(),
            EditKind::Workflow => self.books().workflows.len(),
        };
        if self.text(kind, name).is_none() && (text.is_empty() || n_kept >= FILES_MAX) {
            return Err(if text.is_empty() { EditError::Unknown } else { EditError::Full });
        }
        let text = Some(text.to_owned()).filter(|text| !text.is_empty());
        self.edits().edit(kind, name, text, unix_s).map_err(|error| EditError::Limit(error.to_string()))?;
        self.keep()
    }

    /// Takes what other nodes or the boot server know; says whether any of it is news.
    pub fn learn(&self, edits: Vec<Edit>) -> bool {
        let mut is_news = false;
        for edit in edits {
            match self.edits().take(edit) {
                Ok(is_newer) => is_news |= is_newer,
                Err(error) => {
                    say(Level::Warning, &format!("duet: an edit of another node is left out: {error}"))
                }
            }
        }
        if is_news && let Err(error) = self.keep() {
            say(Level::Warning, &format!("duet: what was edited does not outlive this agent: {error:?}"));
        }
        is_news
    }

    /// What was edited, to be compared with others' books.
    pub fn edits(&self) -> MutexGuard<'_, Edits> {
        self.edits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes whoever hands edits on.
    pub fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// The sentence says with file and line what is wrong.
    fn check(&self, kind: EditKind, name: &str, text: &str) -> Result<(), String> {
        match kind {
            EditKind::Persona => read_persona(&format!("{name}.md"), name, text).map(drop),
            EditKind::Workflow => read_workflow(&format!("{name}.yaml"), name, text, &self.known()).map(drop),
        }
    }

    /// What was edited holds, and is written down.
    fn keep(&self) -> Result<(), EditError> {
        self.read_again();
        self.news.send_replace(());
        let Some(path) = &self.file else { return Ok(()) };
        let text = self.edits().to_json();
        write_whole(path, &text).map_err(|error| EditError::Disk(format!("{}: {error}", path.display())))
    }

    pub fn troubles(&self) -> Vec<String> {
        self.books().troubles.clone()
    }

    /// The names that a workflow may use.
    pub fn known(&self) -> Known {
        Known { tools: self.tools.clone(), personas: self.books().personas.keys().cloned().collect() }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads all files; new mistakes are told.
    pub fn read_again(&self) {
        let mut new = Books::default();
        let old = self.books().clone();
        for Found { name, file, text, source } in self.found(EditKind::Persona) {
            let read = text.and_then(|text| {
                let persona = read_persona(&file, &name, &text)?;
                new.texts.insert((EditKind::Persona, name.clone()), text);
                Ok(persona)
            });
            new.personas.take(&name, read, source, &old.personas, &mut new.troubles);
        }
        let known = Known { tools: self.tools.clone(), personas: new.personas.keys().cloned().collect() };
        for Found { name, file, text, source } in self.found(EditKind::Workflow) {
            let read = text.and_then(|text| {
                let workflow = read_workflow(&file, &name, &text, &known)?;
                new.texts.insert((EditKind::Workflow, name.clone()), text);
                Ok(workflow)
            });
            new.workflows.take(&name, read, source, &old.workflows, &mut new.troubles);
        }
        for trouble in new.troubles.iter().filter(|trouble| !old.troubles.contains(trouble)) {
            say(Level::Warning, &format!("duet: {trouble}"));
        }
        *self.books() = new;
    }

    /// All texts of a kind; what comes later takes the place of what came before under the same name.
    fn found(&self, kind: EditKind) -> Vec<Found> {
        let (shipped, folder, ending) = match kind {
            EditKind::Persona => (&PERSONAS[..], "personas", "md"),
            EditKind::Workflow => (&WORKFLOWS[..], "workflows", "yaml"),
        };
        let own = |name: &str, text: &str, source| Found {
            name: name.to_owned(),
            file: format!("{name}.{ending}"),
            text: Ok(text.to_owned()),
            source,
        };
        let mut all: Vec<Found> =
            shipped.iter().map(|(name, text)| own(name, text, Source::Shipped)).collect();
        let folder = self.folder.as_ref().map(|root| root.join(folder));
        for (name, path) in folder.iter().flat_map(|folder| files(folder, ending)) {
            all.push(Found {
                name,
                file: path.display().to_string(),
                text: read(&path),
                source: Source::File,
            });
        }
        // What a person has edited goes before what came with the image.
        let edits = self.edits();
        let edited = edits.iter().filter(|edit| edit.kind == kind);
        all.extend(edited.filter_map(|edit| Some(own(&edit.name, edit.text.as_ref()?, Source::Edited))));
        all
    }

    /// Never ends: reads the files again whenever one of them may have changed.
    pub async fn follow(&self) {
        let Some(folder) = &self.folder else { return std::future::pending().await };
        loop {
            let watches = ["workflows", "personas"].map(|kind| Watch::new(&folder.join(kind).join("any")));
            let [Ok(mut workflows), Ok(mut personas)] = watches else {
                tokio::time::sleep(LOOK_EVERY).await;
                self.read_again();
                continue;
            };
            // What came before the watch.
            self.read_again();
            let seen = loop {
                let seen = tokio::select! {
                    seen = workflows.changed() => seen,
                    seen = personas.changed() => seen,
                };
                tokio::time::sleep(SETTLE).await;
                self.read_again();
                if seen.is_err() {
                    break seen;
                }
            };
            if let Err(error) = seen {
                say(Level::Info, &format!("duet: changes in {} are seen late: {error}", folder.display()));
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }
}

/// A text before it was read.
struct Found {
    name: String,
    /// What sentences call it.
    file: String,
    text: Result<String, String>,
    source: Source,
}

fn read_persona(file: &str, name: &str, text: &str) -> Result<Persona, String> {
    Persona::read(file, name, text).map_err(|mistakes| mistakes.to_string())
}

fn read_workflow(file: &str, name: &str, text: &str, known: &Known) -> Result<Workflow, String> {
    let workflow = Workflow::read(file, text, known).map_err(|mistakes| mistakes.to_string())?;
    match workflow.name == name {
        true => Ok(workflow),
        false => Err(format!("{file}:1:1: it is named {name}.yaml and says `workflow: {}`", workflow.name)),
    }
}

/// Names and paths of the files of one kind.
fn files(folder: &Path, ending: &str) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let mut paths: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|end| end == ending)).collect();
    paths.sort();
    paths.truncate(FILES_MAX);
    let name = |path: &Path| path.file_stem()?.to_str().map(str::to_owned);
    paths.into_iter().filter_map(|path| Some((name(&path)?, path))).collect()
}

/// A reader sees the old or the new.
fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let beside = path.with_extension("new");
    std::fs::write(&beside, text)?;
    std::fs::rename(&beside, path)
}

/// Why a text was not edited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EditError {
    /// The text is no persona or workflow; a line for each mistake.
    Mistakes(String),
    /// It is too long, alone or with all others.
    Limit(String),
    Unknown,
    /// There are as many as there may be.
    Full,
    /// It holds, and is forgotten with this agent unless another node has it.
    Disk(String),
}

trait Take<T> {
    fn take(
        &mut self,
        name: &str,
        read: Result<T, String>,
        source: Source,
        old: &BTreeMap<String, Kept<T>>,
        troubles: &mut Vec<String>,
    );
}

impl<T> Take<T> for BTreeMap<String, Kept<T>> {
    /// What cannot be read leaves what held before.
    fn take(
        &mut self,
        name: &str,
        read: Result<T, String>,
        source: Source,
        old: &BTreeMap<String, Kept<T>>,
        troubles: &mut Vec<String>,
    ) {
        match read {
            Ok(value) => _ = self.insert(name.to_owned(), Kept { value: Arc::new(value), source }),
            Err(why) => {
                troubles.extend(why.lines().map(str::to_owned));
                if let Some(kept) = old.get(name) {
                    self.insert(name.to_owned(), Kept { value: kept.value.clone(), source: kept.source });
                }
            }
        }
    }
}

/// A file within its limit.
pub fn read(path: &Path) -> Result<String, String> {
    read_within(path, FILE_BYTES_MAX as u64 + 1)
}

fn read_within(path: &Path, bytes_max: u64) -> Result<String, String> {
    let mut text = String::new();
    let file = File::open(path).and_then(|file| file.take(bytes_max).read_to_string(&mut text));
    file.map(|_| text).map_err(|error| format!("{}: {error}", path.display()))
}
