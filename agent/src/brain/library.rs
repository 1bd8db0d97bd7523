//! The workflows and personas that there are: those of the program, and files that take their places or add to them.
//!
//! A file with a mistake changes nothing: what held before holds on, and the mistake is told on page and console until the
//! file is mended.

use crate::io::runtime;
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

/// Where the owner's files lie, in `workflows` and `personas`.
pub const FOLDER: &str = "etc/duet-agent";
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
    /// The files of the personas, as they are edited.
    texts: BTreeMap<String, String>,
    /// What is wrong with files, a line each.
    troubles: Vec<String>,
}

pub struct Library {
    folder: Option<PathBuf>,
    /// Personas that were edited on the page.
    edited: Option<PathBuf>,
    tools: Vec<String>,
    books: Mutex<Books>,
}

impl Library {
    /// Those of the program alone. `tools` are the names that a workflow may call.
    pub fn shipped(tools: &[&str]) -> Library {
        let tools = tools.iter().map(|tool| (*tool).to_owned()).collect();
        let library = Library { folder: None, edited: None, tools, books: Mutex::default() };
        library.read_again();
        library
    }

    /// With the files below a root.
    pub fn open(root: &Path, tools: &[&str]) -> Library {
        let folder = root.join(FOLDER);
        // A node's own folder is in its image, where the agent may not write; what is edited lies in RAM, and a crash of
        // the agent loses none of it.
        let edited = runtime::path("personas").unwrap_or_else(|| folder.join("personas"));
        let library = Library { folder: Some(folder), edited: Some(edited), ..Library::shipped(tools) };
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

    /// The file of a persona, whoever wrote it.
    pub fn persona_text(&self, name: &str) -> Option<String> {
        self.books().texts.get(name).cloned()
    }

    /// Writes the file of a persona; an empty one takes away what was edited before. It holds at once.
    pub fn edit_persona(&self, name: &str, text: &str) -> Result<(), EditError> {
        let folder = self.edited.as_ref().ok_or(EditError::NoFolder)?;
        if !text.is_empty() {
            Persona::read(&format!("{name}.md"), name, text)
                .map_err(|mistakes| EditError::Mistakes(mistakes.to_string()))?;
        }
        if self.persona(name).is_none() && (text.is_empty() || self.books().personas.len() >= FILES_MAX) {
            return Err(if text.is_empty() { EditError::Unknown } else { EditError::Full });
        }
        let path = folder.join(format!("{name}.md"));
        let written = match text.is_empty() {
            true => std::fs::remove_file(&path),
            false => write_whole(&path, text),
        };
        match written {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && text.is_empty() => {}
            written => written.map_err(|error| EditError::Disk(format!("{}: {error}", path.display())))?,
        }
        self.read_again();
        Ok(())
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
        for (name, text) in PERSONAS {
            let read =
                Persona::read(&format!("{name}.md"), name, text).map_err(|mistakes| mistakes.to_string());
            new.personas.take(name, read, Source::Shipped, &old.personas, &mut new.troubles);
            new.texts.insert(name.to_owned(), text.to_owned());
        }
        let owners = self.folder.as_ref().map(|folder| folder.join("personas"));
        // What a person has edited goes before what came with the image.
        let folders =
            owners.iter().chain(self.edited.iter().filter(|edited| Some(*edited) != owners.as_ref()));
        for (name, path) in folders.flat_map(|folder| files(folder, "md")) {
            let read = read(&path).and_then(|text| {
                let persona = Persona::read(&path.display().to_string(), &name, &text)
                    .map_err(|mistakes| mistakes.to_string())?;
                new.texts.insert(name.clone(), text);
                Ok(persona)
            });
            new.personas.take(&name, read, Source::File, &old.personas, &mut new.troubles);
        }
        let personas = new.personas.keys().cloned().collect();
        let known = Known { tools: self.tools.clone(), personas };
        for (name, text) in WORKFLOWS {
            let read = Workflow::read(&format!("{name}.yaml"), text, &known)
                .map_err(|mistakes| mistakes.to_string());
            new.workflows.take(name, read, Source::Shipped, &old.workflows, &mut new.troubles);
        }
        let workflows = self.folder.iter().flat_map(|folder| files(&folder.join("workflows"), "yaml"));
        for (name, path) in workflows {
            let file = path.display().to_string();
            let read = read(&path).and_then(|text| {
                let workflow =
                    Workflow::read(&file, &text, &known).map_err(|mistakes| mistakes.to_string())?;
                match workflow.name == name {
                    true => Ok(workflow),
                    false => Err(format!(
                        "{file}:1:1: it is named {name}.yaml and says `workflow: {}`",
                        workflow.name
                    )),
                }
            });
            new.workflows.take(&name, read, Source::File, &old.workflows, &mut new.troubles);
        }
        for trouble in new.troubles.iter().filter(|trouble| !old.troubles.contains(trouble)) {
            say(Level::Warning, &format!("duet: {trouble}"));
        }
        *self.books() = new;
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

/// Why a persona was not edited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EditError {
    /// Here nothing can be kept.
    NoFolder,
    /// The text is no persona; a line for each mistake.
    Mistakes(String),
    Unknown,
    /// There are as many as there may be.
    Full,
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
    let mut text = String::new();
    let file =
        File::open(path).and_then(|file| file.take(FILE_BYTES_MAX as u64 + 1).read_to_string(&mut text));
    file.map(|_| text).map_err(|error| format!("{}: {error}", path.display()))
}
