//! What the gateway is to offer, as the command line and the experts' files say. The files are read again when they change.

use crate::args::Serve;
use crate::gateway::route::Manner;
use crate::gateway::{Gateway, Options};
use admission::{API_KEYS_FILE_BYTES_MAX, ApiKeyFile};
use anyhow::{Context, anyhow};
use service::log::{Level, say};
use service::watch::Watch;
use split::expert::{Expert, FILE_BYTES_MAX, Purpose};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;
use tokio::sync::watch;

/// A word whenever a file of experts, personas or models may have changed.
pub type Changes = watch::Receiver<()>;

/// Files of the folder that are read.
const EXPERTS_MAX: usize = 256;
const SETTLE: Duration = Duration::from_millis(200);

pub fn options(args: &Serve) -> anyhow::Result<Options> {
    let own_keys = match &args.api_keys {
        Some(path) => {
            let text = read(path, API_KEYS_FILE_BYTES_MAX);
            let text = text.with_context(|| format!("cannot read {}", path.display()))?;
            ApiKeyFile::parse(&text).map_err(|error| anyhow!("{}: {error}", path.display()))?.keys
        }
        None => vec![],
    };
    Ok(Options {
        worker: Some(args.worker),
        set: args.llm_url,
        last_resort: args.llm_last_resort.clone(),
        own_keys,
        manners: manners(&args.experts),
    })
}

/// Never ends: reads the experts anew whenever one of their files changes, and tells of each change of any file.
/// A folder that cannot be watched is read once; that is told.
pub async fn follow(experts: &Path, models: &Path, gateway: &Gateway, changed: &watch::Sender<()>) {
    let beside = experts.parent().unwrap_or(Path::new("/"));
    // A watch is on a file's folder; which file of it, does not matter.
    let any = "any";
    let folders = [experts.join(any), beside.join("personas").join(any), models.join(any)];
    let watches = folders.map(|file| match Watch::new(&file) {
        Ok(watch) => Some(watch),
        Err(error) => {
            let folder = file.parent().unwrap_or(&file).display();
            say(Level::Info, &format!("duet: changes in {folder} are seen late: {error}"));
            None
        }
    });
    let [mut first, mut second, mut third] = watches;
    loop {
        let is_expert = tokio::select! {
            () = noticed(&mut first) => true,
            () = noticed(&mut second) => false,
            () = noticed(&mut third) => false,
        };
        // A file is often followed by more.
        tokio::time::sleep(SETTLE).await;
        if is_expert {
            gateway.set_manners(manners(experts));
        }
        changed.send_replace(());
    }
}

async fn noticed(watch: &mut Option<Watch>) {
    let noticed = match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    };
    if noticed.is_err() {
        *watch = None;
    }
}

/// Tags and purposes of all experts; a file with a mistake is told and left out.
fn manners(folder: &Path) -> BTreeMap<String, Manner> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths =
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "toml"));
    let mut manners = BTreeMap::new();
    for path in paths.take(EXPERTS_MAX) {
        let parsed = read(&path, FILE_BYTES_MAX)
            .map_err(|error| error.to_string())
            .and_then(|text| Expert::parse(&text).map_err(|error| error.to_string()));
        match parsed {
            Ok(expert) => {
                let Expert { name, tags, purpose, fallback, .. } = expert;
                let is_for_embeddings = purpose == Purpose::Embeddings;
                manners.insert(name, Manner { tags, is_for_embeddings, is_fallback: fallback });
            }
            Err(error) => say(Level::Warning, &format!("duet: {}: {error}", path.display())),
        }
    }
    manners
}

fn read(path: &Path, bytes_max: usize) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(bytes_max as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}
