//! The files that a plan is made of: experts, and the shapes of models.

use anyhow::{Context, Result, bail, ensure};
use split::expert::{self, Expert};
use split::place::{Model, WANTS_MAX};
use split::shape;
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// A text of at most this many bytes.
pub fn text(path: &Path, bytes_max: usize) -> Result<String> {
    let reading = || format!("reading {}", path.display());
    let file = File::open(path).with_context(reading)?;
    let mut text = String::new();
    file.take(bytes_max as u64 + 1).read_to_string(&mut text).with_context(reading)?;
    ensure!(text.len() <= bytes_max, "{} has more than {bytes_max} bytes", path.display());
    Ok(text)
}

/// Every file of the folder must be a sound expert.
pub fn experts(folder: &Path) -> Result<Vec<Expert>> {
    let mut texts = Vec::new();
    for (stem, path) in listed(folder, "toml", WANTS_MAX)? {
        texts.push((stem, text(&path, expert::FILE_BYTES_MAX)?));
    }
    let (experts, wrong) = expert::collect(texts.iter().map(|(stem, text)| (stem.as_str(), text.as_str())));
    if let Some(first) = wrong.first() {
        bail!("{}/{first}", folder.display());
    }
    ensure!(!experts.is_empty(), "{} holds no expert", folder.display());
    Ok(experts)
}

/// From a manifest, or from the heads of the files of a folder.
pub fn models(place: &Path) -> Result<Vec<Model>> {
    if !place.is_dir() {
        let text = text(place, shape::MANIFEST_BYTES_MAX)?;
        return shape::manifest(&text).map_err(|what| anyhow::anyhow!("{}: {what}", place.display()));
    }
    listed(place, "gguf", shape::MODELS_MAX)?.into_iter().map(|(stem, path)| model(&stem, &path)).collect()
}

fn model(stem: &str, path: &Path) -> Result<Model> {
    let reading = || format!("reading {}", path.display());
    let file = File::open(path).with_context(reading)?;
    let bytes = file.metadata().with_context(reading)?.len();
    let head = gguf::Gguf::read(&mut BufReader::new(file), bytes).with_context(reading)?;
    let step = shape::step_of(&head);
    shape::of_file(&format!("{stem}.gguf"), &head, step).with_context(reading)
}

/// The files with one ending, by name.
fn listed(folder: &Path, ending: &str, n_max: usize) -> Result<Vec<(String, PathBuf)>> {
    let reading = || format!("reading {}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(reading)? {
        let path = entry.with_context(reading)?.path();
        let is_wanted = path.extension().is_some_and(|e| e == ending);
        let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()).filter(|_| is_wanted) else {
            continue;
        };
        ensure!(found.len() < n_max, "{} holds more than {n_max} files of .{ending}", folder.display());
        found.push((stem.to_owned(), path.clone()));
    }
    found.sort();
    Ok(found)
}
