//! `duet models list`: what is known, what lies on the shelf, and the sets.

use super::args::ListArgs;
use super::shelf::{By, Shelf};
use crate::progress::megabytes;
use anyhow::Result;
use serde::Serialize;
use split::manifest::{Known, Manifest};
use std::fmt::Write;

#[derive(Serialize)]
struct Row<'a> {
    file: String,
    #[serde(rename = "use")]
    purpose: Option<&'static str>,
    bytes: u64,
    /// `there`, `part`, `not there`.
    state: &'static str,
    bytes_there: u64,
    /// Who knows its hash: `manifest`, `first-download`, `owner`; nothing before a first download.
    hash_by: Option<&'static str>,
    sha256: Option<String>,
    sha256_from: Option<&'a str>,
    url: Option<&'a str>,
    licence: Option<&'a str>,
    memory_mib: Option<u32>,
    node_gib: Option<u32>,
    quantisation: Option<&'a str>,
    why: Option<&'a str>,
}

/// Runs the command.
pub fn command(args: &ListArgs) -> Result<()> {
    let manifest = super::manifest(args.manifest.as_deref())?;
    print!("{}", told(&Shelf::read(&args.out)?, &manifest, args.json)?);
    Ok(())
}

/// What is printed.
pub fn told(shelf: &Shelf, manifest: &Manifest, json: bool) -> Result<String> {
    let mut rows: Vec<Row> = manifest.models.iter().map(|m| row(shelf, manifest, &m.file, Some(m))).collect();
    let others = shelf.names()?.into_iter().filter(|name| manifest.model(name).is_none());
    rows.extend(others.map(|name| row(shelf, manifest, &name, None)));
    if json {
        let set = |set: &split::manifest::Set| {
            serde_json::json!({
                "name": set.name, "nodes": set.nodes, "memory_gib": set.memory_gib, "about": set.about,
                "models": set.models, "bytes": bytes_of(manifest, set),
            })
        };
        let sets: Vec<_> = manifest.sets.iter().map(set).collect();
        return Ok(serde_json::to_string(&serde_json::json!({ "models": rows, "sets": sets }))? + "\n");
    }
    Ok(page(&rows, manifest))
}

fn row<'a>(shelf: &Shelf, manifest: &Manifest, file: &str, known: Option<&'a Known>) -> Row<'a> {
    let (there, part) = (shelf.bytes(file), shelf.part_bytes(file));
    let wanted = shelf.wanted(file, manifest);
    // Of the owner's file under such a name the manifest says nothing.
    let known = known.filter(|_| wanted.as_ref().is_none_or(|wanted| wanted.by != By::Owner));
    let state = match (there, part) {
        (Some(_), _) => "there",
        (None, Some(_)) => "part",
        (None, None) => "not there",
    };
    Row {
        file: file.to_owned(),
        purpose: wanted
            .as_ref()
            .map(|w| w.purpose)
            .or(known.map(|k| k.purpose))
            .map(|purpose| purpose.name()),
        bytes: known.map(|k| k.bytes).or(there).unwrap_or(0),
        state,
        bytes_there: there.or(part).unwrap_or(0),
        hash_by: wanted.as_ref().map(|w| w.by.name()),
        sha256: wanted.map(|w| w.sha256),
        sha256_from: known.map(|k| k.sha256_from.as_str()),
        url: known.and_then(|k| k.url.as_deref()),
        licence: known.map(|k| k.licence.as_str()),
        memory_mib: known.map(|k| k.memory_mib),
        node_gib: known.map(|k| k.node_gib),
        quantisation: known.map(|k| k.quantisation.as_str()),
        why: known.map(|k| k.why.as_str()),
    }
}

fn bytes_of(manifest: &Manifest, set: &split::manifest::Set) -> u64 {
    manifest.of_set(set).iter().map(|known| known.bytes).sum()
}

fn page(rows: &[Row], manifest: &Manifest) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{:28} {:15} {:>10}  {:>5}  on the shelf", "model", "use", "size", "PC");
    for row in rows {
        let state = match row.state {
            "there" if row.hash_by == Some("owner") => "there, your own".to_owned(),
            "there" if row.hash_by.is_none() => "there, unknown: see `duet models verify`".to_owned(),
            "part" => format!("{} % came", row.bytes_there * 100 / row.bytes.max(1)),
            "there" => "there".to_owned(),
            _ => "-".to_owned(),
        };
        let pc = row.node_gib.map_or("-".to_owned(), |gib| format!("{gib} GB"));
        let (size, purpose) = (megabytes(row.bytes), row.purpose.unwrap_or("?"));
        let _ = writeln!(out, "{:28} {purpose:15} {size:>10}  {pc:>5}  {state}", row.file);
        if let Some(why) = row.why {
            let _ = writeln!(out, "    {why}");
        }
    }
    let _ = writeln!(out, "\nsets (duet models fetch NAME)");
    for set in &manifest.sets {
        let size = megabytes(bytes_of(manifest, set));
        let _ = writeln!(out, "{:6} {size:>10}  {}", set.name, set.about);
    }
    out
}
