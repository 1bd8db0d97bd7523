//! What the gateway is to offer, as the command line and the experts' files say; read once, when the agent starts.

use crate::args::Serve;
use crate::gateway::Options;
use crate::gateway::route::Manner;
use admission::{API_KEYS_FILE_BYTES_MAX, ApiKeyFile};
use anyhow::{Context, anyhow};
use service::log::{Level, say};
use split::expert::{Expert, FILE_BYTES_MAX, Purpose};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Files of the folder that are read.
const EXPERTS_MAX: usize = 256;

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
                let is_for_embeddings = expert.purpose == Purpose::Embeddings;
                manners.insert(expert.name, Manner { tags: expert.tags, is_for_embeddings });
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
