//! Which models a person means, whether they fit the PCs, and whether their licence was accepted: before the first byte.

use super::args::FetchArgs;
use super::shelf::is_meant;
use crate::progress::megabytes;
use anyhow::{Context, Result, bail};
use split::expert::Expert;
use split::manifest::fit::{Shelf, without_place};
use split::manifest::{Known, Manifest, Set};

/// The models of the names and sets, each once, in the manifest's order.
pub fn chosen<'a>(manifest: &'a Manifest, args: &FetchArgs) -> Result<Vec<&'a Known>> {
    let mut found: Vec<&Known> = Vec::new();
    for word in &args.names {
        match manifest.set(word) {
            Some(set) => found.extend(manifest.of_set(set)),
            None => found.push(named(manifest, word)?),
        }
    }
    if args.names.is_empty() {
        found.extend(manifest.of_set(suited(manifest, args)?));
    }
    Ok(manifest.models.iter().filter(|known| found.iter().any(|f| f.file == known.file)).collect())
}

/// The model that a person's word means.
pub fn named<'a>(manifest: &'a Manifest, word: &str) -> Result<&'a Known> {
    manifest.models.iter().find(|known| is_meant(&known.file, word)).with_context(|| {
        let sets: Vec<&str> = manifest.sets.iter().map(|set| set.name.as_str()).collect();
        format!(
            "there is no model and no set {word:?}; sets are {}, and `duet models list` shows the models",
            sets.join(", ")
        )
    })
}

pub fn suited<'a>(manifest: &'a Manifest, args: &FetchArgs) -> Result<&'a Set> {
    let (Some(n_nodes), Some(memory_gib)) = (args.nodes, args.memory) else {
        bail!(
            "name sets or models, or say how many PCs there are and how many GB each has: \
             duet models fetch --nodes 3 --memory 2"
        );
    };
    manifest.recommended(n_nodes, memory_gib).with_context(|| {
        format!(
            "no set is for {n_nodes} PCs of {memory_gib} GB; those of our own, which `duet build` puts on the shelf, \
             run there"
        )
    })
}

/// Refuses what no PC could hold, alone or with others, and says which set would fit.
pub fn fits(manifest: &Manifest, models: &[&Known], experts: &[Expert], args: &FetchArgs) -> Result<()> {
    let Some(memory_gib) = args.memory.filter(|_| !args.anyway) else { return Ok(()) };
    let shelf = Shelf { n_nodes: args.nodes.unwrap_or(1).clamp(1, 64), memory_gib };
    // Each for itself: what has no place beside the others may take their place later.
    let too_large = models.iter().find(|known| !without_place(&[**known], experts, shelf).is_empty());
    let Some(known) = too_large else { return Ok(()) };
    let instead = match manifest.recommended(shelf.n_nodes, memory_gib) {
        Some(set) => format!("`duet models fetch {}` would fit", set.name),
        None => "the models of our own fit, which `duet build` puts on the shelf".to_owned(),
    };
    let together = if shelf.n_nodes > 1 { ", nor can several carry it together fast enough" } else { "" };
    bail!(
        "{} takes {} MiB, and no PC of {memory_gib} GB has them for models{together}: {instead} \
         (--anyway fetches it all the same)",
        known.file,
        known.memory_mib
    )
}

/// Refuses what a person has to accept first.
pub fn accepted(models: &[&Known], accepted: &[String]) -> Result<()> {
    let asks = models.iter().find(|known| known.accept && !accepted.contains(&known.licence));
    let Some(known) = asks else { return Ok(()) };
    bail!(
        "{} comes under {}, which you have to accept: read it at {}, then add --accept-licence {}",
        known.file,
        known.licence,
        known.url.as_deref().unwrap_or("its address"),
        known.licence
    )
}

/// What will be fetched, in one line each.
pub fn line(known: &Known) -> String {
    format!(
        "{}  {}, {}, for PCs of {} GB and more, {}",
        known.file,
        known.purpose.name(),
        megabytes(known.bytes),
        known.node_gib,
        known.licence
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = include_str!("../../../models/manifest.toml");

    fn check(words: &str, want: &str) {
        let words: Vec<&str> = words.split_whitespace().collect();
        let args = <FetchArgs as argh::FromArgs>::from_args(&["fetch"], &words).unwrap();
        let manifest = Manifest::parse(MANIFEST).unwrap();
        let told = chosen(&manifest, &args).and_then(|models| {
            fits(&manifest, &models, &[], &args)?;
            accepted(&models, &args.accept_licence)?;
            Ok(models.iter().map(|known| known.file.as_str()).collect::<Vec<_>>().join(" "))
        });
        let told = told.unwrap_or_else(|error| format!("error: {error:#}"));
        assert!(told.contains(want), "{told:?} does not say {want:?}");
    }

    #[test]
    fn names_sets_and_shelves_become_models() {
        check("bonsai-1.7b-q1_0", "Bonsai-1.7B-Q1_0.gguf");
        check("1x2", "Bonsai-1.7B-Q1_0.gguf all-MiniLM-L6-v2-q8_0.gguf ggml-tiny.en-q8_0.bin");
        check(
            "1x2 Bonsai-1.7B-Q1_0",
            "Bonsai-1.7B-Q1_0.gguf all-MiniLM-L6-v2-q8_0.gguf ggml-tiny.en-q8_0.bin",
        );
        check("--nodes 1 --memory 3", "Bonsai-1.7B-Q1_0.gguf all-MiniLM");
        check("", "error: name sets or models");
        check("--nodes 3", "error: name sets or models");
        check("--nodes 3 --memory 1", "error: no set is for 3 PCs of 1 GB");
        check("bonsai-27b", "error: there is no model and no set \"bonsai-27b\"; sets are own, 1x2");
    }

    #[test]
    fn a_model_too_large_for_every_pc_is_told_with_the_set_that_fits() {
        check("Bonsai-8B-Q1_0 --memory 4", "Bonsai-8B");
        check(
            "Bonsai-8B-Q1_0 --memory 2",
            "no PC of 2 GB has them for models: `duet models fetch 1x2` would fit",
        );
        let ten = "nor can several carry it together fast enough: `duet models fetch 10x2` would fit";
        check("Bonsai-8B-Q1_0 --nodes 10 --memory 2", ten);
        check("Bonsai-8B-Q1_0 --memory 1", "the models of our own fit");
        check("Bonsai-8B-Q1_0 --memory 2 --anyway", "Bonsai-8B");
    }

    #[test]
    fn a_licence_that_asks_must_be_accepted_by_name() {
        let text = MANIFEST.replacen("licence = \"Apache-2.0\"", "licence = \"Odd-1.0\"\naccept = true", 1);
        let manifest = Manifest::parse(&text).unwrap();
        let models = [named(&manifest, "Bonsai-1.7B-Q1_0").unwrap()];
        let told = format!("{:#}", accepted(&models, &["MIT".into()]).unwrap_err());
        assert!(told.contains("then add --accept-licence Odd-1.0"), "{told}");
        accepted(&models, &["Odd-1.0".into()]).unwrap();
    }
}
