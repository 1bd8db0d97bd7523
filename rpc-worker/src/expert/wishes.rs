//! What this node is to hold: the agent's assignment, or what a person said on the command line, or the fallback.
//!
//! The agent writes one whole file and renames it; it is read again whenever its folder changes. A file that cannot be
//! followed changes nothing.

use super::hall::{Hall, Wish, Wishes};
use crate::ring::Ring;
use crate::ring::keeper::Share;
use crate::ring::slices;
use anyhow::{Context as _, bail};
use service::log::{self, Level};
use service::watch::Watch;
use split::assign::{self, Assignment};
use split::expert::{self, Expert, PERSONA_BYTES_MAX, Purpose, Sampling};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The expert that is served where nobody said which.
pub const LOCAL: &str = split::expert::LOCAL;
const LOCAL_CONTEXT: u32 = 2048;
const LOCAL_SLOTS: u32 = 2;
/// Files that are looked at in the models' folder.
const MODELS_MAX: usize = 256;

/// Where wishes come from.
#[derive(Debug, Clone)]
pub struct Sources {
    pub assignment: PathBuf,
    pub models: PathBuf,
    /// A person's own wish, in place of the agent's.
    pub expert: Option<PathBuf>,
    pub model: Option<PathBuf>,
}

/// Follows the wishes until the program ends.
pub async fn follow(sources: &Sources, hall: &Hall) -> anyhow::Result<()> {
    if sources.expert.is_some() || sources.model.is_some() {
        hall.wish(Wishes { generation: 0, experts: vec![own(sources)?], stages: Vec::new() });
        return std::future::pending().await;
    }
    let mut watch = match Watch::new(&sources.assignment) {
        Ok(watch) => Some(watch),
        Err(error) => {
            let file = sources.assignment.display();
            log::say(Level::Warning, &format!("rpc-worker: {file} cannot be watched: {error}"));
            None
        }
    };
    let mut last = None;
    loop {
        let wishes = match read(&sources.assignment) {
            Ok(Some(assignment)) => Some(wished(assignment, &sources.models)),
            // Before the first assignment; later a file that is gone changes nothing.
            Ok(None) if last.is_none() => Some(local(&sources.models)),
            Ok(None) => None,
            Err(error) => {
                log::say(Level::Warning, &format!("rpc-worker: the assignment is not followed: {error:#}"));
                None
            }
        };
        if let Some(wishes) = wishes
            && last.as_ref() != Some(&wishes)
        {
            hall.wish(wishes.clone());
            if wishes.generation > 0 {
                slices::sweep(&sources.models, &wishes.slices());
            }
            last = Some(wishes);
        }
        let changed = match &mut watch {
            Some(watch) => watch.changed().await,
            None => std::future::pending().await,
        };
        changed.context("the assignment is no longer watched")?;
    }
}

/// `--expert FILE`, `--model FILE`, or both.
fn own(sources: &Sources) -> anyhow::Result<Wish> {
    let mut wish = match &sources.expert {
        None => whole(plain(LOCAL, "model.gguf"), String::new(), PathBuf::new()),
        Some(path) => {
            let text = text_of(path, expert::FILE_BYTES_MAX)?;
            let expert = Expert::parse(&text).with_context(|| format!("{} is no expert", path.display()))?;
            let persona = persona(&expert, path)?;
            let model = sources.models.join(&expert.model);
            whole(expert, persona, model)
        }
    };
    if let Some(model) = &sources.model {
        wish.model = model.clone();
        if sources.expert.is_none() && is_for_embeddings(model)? {
            wish.expert.purpose = Purpose::Embeddings;
        }
    }
    Ok(wish)
}

/// The persona's file lies in a folder beside that of the experts.
fn persona(expert: &Expert, file: &Path) -> anyhow::Result<String> {
    let Some(name) = &expert.persona else { return Ok(String::new()) };
    let folder = file.parent().unwrap_or(Path::new(".")).join("../personas");
    text_of(&folder.join(format!("{name}.txt")), PERSONA_BYTES_MAX)
}

/// An expert whose model this node holds alone.
fn whole(expert: Expert, persona: String, model: PathBuf) -> Wish {
    Wish { expert, persona, model, version: String::new(), share: None }
}

fn wished(assignment: Assignment, models: &Path) -> Wishes {
    let given = |given: assign::Given| {
        let model = models.join(&given.expert.model);
        Wish { version: given.version, ..whole(given.expert, given.persona, model) }
    };
    let mut experts: Vec<Wish> = assignment.experts.into_iter().map(given).collect();
    let mut stages = Vec::new();
    for stage in assignment.stages {
        let share = share(&stage, models);
        // The head answers for the expert; the others only compute.
        if stage.stage_idx == 0 {
            experts.push(Wish { share: Some(share), ..given(stage.given) });
        } else {
            stages.push(share);
        }
    }
    Wishes { generation: assignment.generation, experts, stages }
}

/// The assignment was held to its limits, which fit 16 bits.
fn share(stage: &assign::Stage, models: &Path) -> Share {
    let expert = &stage.given.expert;
    let short = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
    Share {
        name: expert.name.clone(),
        slice: models.join(&stage.slice),
        model: models.join(&expert.model),
        layers: u64::from(stage.first)..u64::from(stage.last),
        of: stage.of.into(),
        ring: Ring {
            key: stage.key.clone(),
            stage_idx: short(stage.stage_idx),
            n_stages: short(stage.n_stages),
            next: stage.next,
            n_ctx: expert.context,
            n_slots: short(expert.slots),
        },
    }
}

fn read(file: &Path) -> anyhow::Result<Option<Assignment>> {
    if !file.exists() {
        return Ok(None);
    }
    let text = text_of(file, assign::FILE_BYTES_MAX)?;
    let assignment: Assignment = serde_json::from_str(&text).context("it is no assignment")?;
    assignment.check()?;
    Ok(Some(assignment))
}

/// The smallest model that chats, so that a node that is alone has something to say.
fn local(models: &Path) -> Wishes {
    let smallest = smallest_chat_model(models);
    let wish = |model: PathBuf| {
        let name = model.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        whole(plain(LOCAL, name), String::new(), model)
    };
    Wishes { generation: 0, experts: smallest.map(wish).into_iter().collect(), stages: Vec::new() }
}

fn smallest_chat_model(models: &Path) -> Option<PathBuf> {
    let mut files: Vec<(u64, PathBuf)> = Vec::new();
    for entry in fs::read_dir(models).ok()?.flatten().take(MODELS_MAX) {
        let name = entry.file_name();
        // A slice is a model, but half of one.
        let is_whole = name
            .to_str()
            .is_some_and(|name| expert::is_model_file(name) && assign::slice_named(name).is_none());
        if let (true, Ok(facts)) = (is_whole, entry.metadata()) {
            files.push((facts.len(), entry.path()));
        }
    }
    files.sort();
    files.into_iter().map(|(_, path)| path).find(|path| is_for_embeddings(path).is_ok_and(|is| !is))
}

/// Whether a model makes vectors. A file that is no model is an error.
fn is_for_embeddings(path: &Path) -> anyhow::Result<bool> {
    let head = engine::check_file(path)?;
    let architecture = head.text("general.architecture").unwrap_or_default();
    Ok(head.uint(&format!("{architecture}.pooling_type")).is_some_and(|kind| kind > 0))
}

/// An expert without a file of its own.
fn plain(name: &str, model: &str) -> Expert {
    Expert {
        name: name.to_owned(),
        model: model.to_owned(),
        quantisation: "unknown".to_owned(),
        purpose: Purpose::Chat,
        persona: None,
        context: LOCAL_CONTEXT,
        slots: LOCAL_SLOTS,
        copies: 1,
        tags: vec!["general".to_owned()],
        fallback: true,
        split: false,
        least_tokens_per_second: None,
        sampling: Sampling::default(),
    }
}

fn text_of(path: &Path, bytes_max: usize) -> anyhow::Result<String> {
    let mut text = String::new();
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    file.take(bytes_max as u64 + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read {}", path.display()))?;
    if text.len() > bytes_max {
        bail!("{} has more than {bytes_max} bytes", path.display());
    }
    Ok(text)
}
