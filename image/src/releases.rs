//! The releases of an output folder, and which of them PCs get.

use crate::build::steps::write_whole;
use anyhow::{Context, Result};
use release::{ReleaseId, parse_promoted, render_promoted};
use std::fs;
use std::path::Path;

/// Makes a release the one that PCs get; the one before becomes what they fall back to.
pub fn promote(out: &Path, id: &ReleaseId) -> Result<()> {
    let path = out.join("releases/promoted");
    let text = match fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        other => other.with_context(|| format!("reading {}", path.display()))?,
    };
    let mut ids = parse_promoted(&text).with_context(|| format!("{}", path.display()))?;
    ids.retain(|other| other != id);
    ids.insert(0, id.clone());
    ids.truncate(release::PROMOTED_MAX);
    write_whole(&path, render_promoted(&ids).as_bytes())
}
