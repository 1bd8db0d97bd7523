//! The files that may be sent: every file of every release whose signature holds.
//!
//! Nothing is ever joined from a request: a request is looked up here, and what is found is an open file.
//! Because the files are open, a release that is removed while it is being fetched is still sent whole.
//! Their bytes are not hashed here; the node does that, and trusts no server.

use anyhow::{Context, Result, ensure};
use release::{FileName, PublicKey, SIGNATURE_TEXT_BYTES, SecretKey};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// So many releases are offered at once, promoted and newest first.
pub const OFFERED_MAX: usize = 32;

/// One file, open.
#[derive(Debug)]
pub struct Served {
    pub name: FileName,
    pub file: File,
    pub bytes: u64,
    /// The BLAKE3 hash, as hex digits.
    pub hash: String,
}

/// What can be sent now.
#[derive(Debug, Default)]
pub struct Table {
    releases: BTreeMap<String, Vec<Arc<Served>>>,
    /// Promoted ids that are really here, newest first.
    pub promoted: Vec<String>,
    /// One sentence for each release that is not offered, and why.
    pub refused: Vec<String>,
}

/// What the folder looked like; when it looks otherwise the table is read again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Look(Vec<Option<SystemTime>>);

impl Table {
    pub fn read(out: &Path) -> Result<Table> {
        let mut table = Table::default();
        let releases = crate::releases::list(out)?;
        if releases.is_empty() {
            return Ok(table);
        }
        let key = public_key(out)?;
        for release in releases.iter().take(OFFERED_MAX) {
            match open_release(&crate::releases::folder(out).join(&release.id), &release.id, &key) {
                Ok(files) => drop(table.releases.insert(release.id.clone(), files)),
                Err(error) => table.refused.push(format!("release {} is not offered: {error:#}", release.id)),
            }
        }
        table.promoted = crate::releases::promoted(out)?;
        table.promoted.retain(|id| table.releases.contains_key(id));
        Ok(table)
    }

    pub fn find(&self, release: &str, file: &str) -> Option<Arc<Served>> {
        self.releases.get(release)?.iter().find(|served| served.name.as_str() == file).cloned()
    }

    pub fn has(&self, release: &str) -> bool {
        self.releases.contains_key(release)
    }

    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.releases.keys().map(String::as_str)
    }
}

/// Looks at times only; cheap enough for every second.
pub fn look(out: &Path) -> Look {
    let folder = crate::releases::folder(out);
    let time = |path: &Path| std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
    Look(vec![time(&folder), time(&folder.join("promoted")), time(&out.join("keys"))])
}

/// The key that releases are signed with: `release.pub` where only that was copied, else the builder's own.
fn public_key(out: &Path) -> Result<PublicKey> {
    let keys = keys_folder(out);
    let read = |name| crate::disk::read_limited(&keys.join(name), release::KEY_TEXT_BYTES);
    match read("release.pub") {
        Ok(text) => {
            return PublicKey::from_text(text.as_bytes())
                .with_context(|| format!("{}/release.pub", keys.display()));
        }
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot read {}/release.pub", keys.display()));
        }
        Err(_) => {}
    }
    let text = read("release.key").with_context(|| format!("cannot read {}/release.key", keys.display()))?;
    let key =
        SecretKey::from_text(text.as_bytes()).with_context(|| format!("{}/release.key", keys.display()))?;
    Ok(key.public())
}

/// `out/keys`; or, where `out/releases` is a link to another `out`, the keys over there.
fn keys_folder(out: &Path) -> PathBuf {
    let keys = out.join("keys");
    let linked = crate::releases::folder(out).canonicalize().ok();
    let other = linked.and_then(|releases| Some(releases.parent()?.join("keys")));
    if keys.exists() { keys } else { other.unwrap_or(keys) }
}

fn open_release(folder: &Path, id: &str, key: &PublicKey) -> Result<Vec<Arc<Served>>> {
    let manifest_bytes = read_small(folder, FileName::Manifest, release::MANIFEST_BYTES_MAX)?;
    let signature = read_small(folder, FileName::Signature, SIGNATURE_TEXT_BYTES)?;
    let manifest = release::verify(key, &manifest_bytes, &signature)?;
    ensure!(manifest.id.as_str() == id, "its manifest is that of {}", manifest.id);
    let mut files = Vec::new();
    for (name, fact) in &manifest.files {
        let served = open(folder, *name, fact.blake3.to_string())?;
        ensure!(served.bytes == fact.bytes, "{name} has {} bytes and not {}", served.bytes, fact.bytes);
        files.push(Arc::new(served));
    }
    for (name, bytes) in [(FileName::Manifest, &manifest_bytes), (FileName::Signature, &signature)] {
        let served = open(folder, name, blake3::hash(bytes).to_string())?;
        ensure!(served.bytes == bytes.len() as u64, "{name} changed while it was read");
        files.push(Arc::new(served));
    }
    Ok(files)
}

fn read_small(folder: &Path, name: FileName, bytes_max: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(folder.join(name.as_str())).with_context(|| format!("cannot open {name}"))?;
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read {name}"))?;
    ensure!(bytes.len() <= bytes_max, "{name} is longer than {bytes_max} bytes");
    Ok(bytes)
}

fn open(folder: &Path, name: FileName, hash: String) -> Result<Served> {
    let file = File::open(folder.join(name.as_str())).with_context(|| format!("cannot open {name}"))?;
    let meta = file.metadata().with_context(|| format!("cannot look at {name}"))?;
    ensure!(meta.is_file(), "{name} is no plain file");
    // The kernel may read ahead at once, so that the first PC does not wait for the disk; it is only a wish.
    let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::WillNeed);
    Ok(Served { name, file, bytes: meta.len(), hash })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::fixture::{Fixture, ID};

    /// Makes one good release, lets `spoil` change its folder, and says what is offered.
    fn check(name: &str, spoil: impl Fn(&Path), want: &str) {
        let fixture = Fixture::new(name);
        spoil(&fixture.release());
        let got = match Table::read(&fixture.out) {
            Ok(table) => format!("{} {}", table.promoted.len(), table.refused.join("; ")),
            Err(error) => format!("error: {error:#}"),
        };
        assert!(got.starts_with(want), " got: {got}\nwant: {want}");
    }

    #[test]
    fn a_whole_release_is_offered() {
        check("whole", |_| {}, "1 ");
    }

    #[test]
    fn every_file_of_a_release_is_found_and_nothing_else() {
        let fixture = Fixture::new("found");
        let table = Table::read(&fixture.out).unwrap();
        for name in ["vmlinuz", "initrd", "root.squashfs", "manifest.toml", "manifest.sig"] {
            assert!(table.find(ID, name).is_some(), "{name}");
        }
        assert!(table.find(ID, "packages.lock").is_none() && table.find("x", "vmlinuz").is_none());
    }

    #[test]
    fn a_release_that_is_not_as_signed_is_not_offered() {
        let write =
            |folder: &Path, name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).unwrap();
        let why = format!("0 release {ID} is not offered: ");
        check("cut", |f| write(f, "initrd", b"x"), &format!("{why}initrd has 1 bytes and not"));
        check(
            "gone",
            |f| std::fs::remove_file(f.join("vmlinuz")).unwrap(),
            &format!("{why}cannot open vmlinuz"),
        );
        check("other", |f| write(f, "manifest.sig", b"x\n"), &format!("{why}manifest.sig is wrong"));
        let forged = format!("{}\n", "0".repeat(128));
        check("forged", |f| write(f, "manifest.sig", forged.as_bytes()), &format!("{why}the signature"));
        check(
            "long",
            |f| write(f, "manifest.toml", &[b'x'; 20_000]),
            &format!("{why}manifest.toml is longer"),
        );
    }

    #[test]
    fn without_the_key_nothing_is_offered() {
        let remove = |folder: &Path| {
            let key = folder.join("../../keys/release.key");
            std::fs::remove_file(key).unwrap();
        };
        check("keyless", remove, "error: cannot read");
    }
}
