//! The models of our own, from the repository onto the shelf: with them PCs hear and answer without any download.

use super::part::{End, Part, sha256_of};
use super::shelf::{By, Shelf};
use anyhow::{Context, Result, bail};
use split::manifest::{Known, OWN};
use std::path::Path;

/// Puts those that are missing or older onto the shelf of OUT; gives their names.
pub fn place(repository: &Path, out: &Path) -> Result<Vec<String>> {
    let manifest = super::manifest(Some(&repository.join("models/manifest.toml")))?;
    let Some(set) = manifest.set(OWN) else { return Ok(Vec::new()) };
    let mut stale = Vec::new();
    let shelf = Shelf::read(out)?;
    for known in manifest.of_set(set) {
        let is_owners = shelf.wanted(&known.file, &manifest).is_some_and(|wanted| wanted.by == By::Owner);
        if !is_owners && !is_there(&shelf, known)? {
            stale.push(known);
        }
    }
    if stale.is_empty() {
        return Ok(Vec::new());
    }
    let shelf = Shelf::alone(out)?;
    for known in &stale {
        put(&shelf, known, repository).with_context(|| format!("putting {} on the shelf", known.file))?;
    }
    Ok(stale.into_iter().map(|known| known.file.clone()).collect())
}

fn is_there(shelf: &Shelf, known: &Known) -> Result<bool> {
    let is_as_long = shelf.bytes(&known.file) == Some(known.bytes);
    Ok(is_as_long && Some(sha256_of(&shelf.file(&known.file), &|_| {})?.as_str()) == known.hash())
}

fn put(shelf: &Shelf, known: &Known, repository: &Path) -> Result<()> {
    let path = repository.join(known.path.as_ref().context("it has no path in the manifest")?);
    let mut part = Part::open(shelf, &known.file, &path.display().to_string(), known.bytes)?;
    part.copy_from(&path, &|_| {})?;
    match part.end(known.hash())? {
        End::Placed { .. } => Ok(()),
        End::WrongHash { sha256 } => bail!(
            "{} hashes to {sha256}, and models/manifest.toml says another; check out both files of one commit",
            path.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::fetch::tests::{Room, whisper};

    /// A checkout with one model of our own.
    fn checkout(room: &Room, body: &[u8], sha256: &str) -> std::path::PathBuf {
        let repository = room.out.join("checkout");
        std::fs::create_dir_all(repository.join("models/default")).unwrap();
        let text = format!(
            "[[model]]\nfile = \"ear.bin\"\nuse = \"speech\"\npath = \"models/default/ear.bin\"\nbytes = {}\n\
             sha256 = \"{sha256}\"\nsha256_from = \"a test\"\nlicence = \"MIT\"\nmemory_mib = 1\nnode_gib = 2\n\
             quantisation = \"Q8_0\"\nwhy = \"a test\"\n[[set]]\nname = \"own\"\nabout = \"a test\"\n\
             models = [\"ear.bin\"]\n",
            body.len()
        );
        std::fs::write(repository.join("models/manifest.toml"), text).unwrap();
        std::fs::write(repository.join("models/default/ear.bin"), body).unwrap();
        repository
    }

    #[test]
    fn models_of_our_own_come_to_the_shelf_once_and_newer_ones_replace_them() {
        let room = Room::new("own");
        let hash = |body: &[u8]| {
            let file = room.out.join("hashed");
            std::fs::write(&file, body).unwrap();
            sha256_of(&file, &|_| {}).unwrap()
        };
        let (old, new) = (whisper(5000), whisper(6000));
        let repository = checkout(&room, &old, &hash(&old));
        assert_eq!(place(&repository, &room.out).unwrap(), ["ear.bin"]);
        assert_eq!(place(&repository, &room.out).unwrap(), [""; 0], "it is there");
        checkout(&room, &new, &hash(&new));
        assert_eq!(place(&repository, &room.out).unwrap(), ["ear.bin"]);
        assert_eq!(std::fs::read(room.out.join("models/ear.bin")).unwrap(), new);
        checkout(&room, &old, &hash(&new).replace('a', "b"));
        let odd = format!("{:#}", place(&repository, &room.out).unwrap_err());
        assert!(odd.contains("check out both files of one commit"), "{odd}");
        assert_eq!(std::fs::read(room.out.join("models/ear.bin")).unwrap(), new, "the old one stays");
    }
}
