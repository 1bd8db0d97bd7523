//! `duet models`: the shelf of model files that PCs fetch from, and how it is filled.
//!
//! The shelf is the folder `models` of OUT. A file lies there whole and checked, or as `NAME.part` while it comes.
//! `models/manifest.toml` (read by `crates/split`) says what there is, `pins` what first downloads and the owner's own
//! files hashed to; `fetch` brings, `web` speaks to servers, `part` is what came so far, `choose` knows what fits,
//! and `quality` keeps what `duet bench models` measured.
//! Nothing here loads a model, and no node program has any of it.

pub mod add;
pub mod args;
pub mod choose;
pub mod fetch;
pub mod head;
pub mod list;
pub mod own;
pub mod part;
pub mod pins;
pub mod quality;
pub mod quantize;
pub mod shelf;
pub mod slice;
pub mod stick;
pub mod verify;
pub mod web;

pub use shelf::FOLDER as SHELF;

use anyhow::{Context, Result};
use args::{ModelsArgs, ModelsCommand};
use split::manifest::{MANIFEST_BYTES_MAX, Manifest};
use std::path::{Path, PathBuf};

/// Runs the command.
pub fn command(args: ModelsArgs) -> Result<()> {
    match args.command {
        ModelsCommand::List(args) => list::command(&args),
        ModelsCommand::Fetch(args) => fetch::command(&args),
        ModelsCommand::Verify(args) => verify::command(&args),
        ModelsCommand::Add(args) => add::command(&args),
        ModelsCommand::Remove(args) => add::remove(&args),
        ModelsCommand::Slice(args) => slice::command(&args),
        ModelsCommand::Quantize(args) => quantize::command(&args),
    }
}

/// The manifest of this file, or that of the checkout around the current folder.
pub fn manifest(path: Option<&Path>) -> Result<Manifest> {
    let path: PathBuf = match path {
        Some(path) => path.to_path_buf(),
        None => crate::build::repository()?.join("models/manifest.toml"),
    };
    let reading = || format!("reading {}", path.display());
    let text = crate::disk::read_limited(&path, MANIFEST_BYTES_MAX).with_context(reading)?;
    Manifest::parse(&text).map_err(|what| anyhow::anyhow!("{}: {what}", path.display()))
}

/// Bytes as hex digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
