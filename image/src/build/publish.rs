//! Turns built files into a release: measured, signed, and visible by one rename.

use crate::disk::{hash_file, sync_folder, write_whole};
use anyhow::{Context, Result, bail};
use release::{FileFact, FileName, Hash, Manifest, PublicKey, ReleaseId, SecretKey, Word};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The signing key of this output folder; made at the first build, readable by its owner only.
pub fn signing_key(out: &Path) -> Result<SecretKey> {
    let path = out.join("keys/release.key");
    let reading = || format!("reading {}", path.display());
    if path.exists() {
        let mode = fs::metadata(&path).with_context(reading)?.permissions().mode();
        if mode & 0o077 != 0 {
            bail!(
                "others may read {}; say `chmod 600` on it, and think about who has read it",
                path.display()
            );
        }
        return SecretKey::from_text(&fs::read(&path).with_context(reading)?).with_context(reading);
    }
    let mut seed = [0; 32];
    File::open("/dev/urandom")
        .and_then(|mut dice| dice.read_exact(&mut seed))
        .context("reading /dev/urandom")?;
    let key = SecretKey::from_seed(&seed);
    let folder = out.join("keys");
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).with_context(reading)?;
    file.write_all(key.to_text().as_bytes()).with_context(reading)?;
    file.sync_all().with_context(reading)?;
    write_whole(&folder.join("release.pub"), key.public().to_text().as_bytes())?;
    Ok(key)
}

pub struct Parts {
    pub id: ReleaseId,
    pub suite: String,
    pub kernel: String,
    /// What goes in, by its name in the release.
    pub files: BTreeMap<FileName, PathBuf>,
}

/// Writes the release folder beside its place, then renames it into it.
pub fn publish(out: &Path, parts: &Parts, key: &SecretKey) -> Result<PathBuf> {
    let releases = out.join("releases");
    let place = releases.join(parts.id.as_str());
    let beside = out.join("work/release.new");
    super::root::remove_tree(&beside)?;
    for folder in [&releases, &beside] {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let mut facts = BTreeMap::new();
    for (name, from) in &parts.files {
        let to = beside.join(name.as_str());
        facts.insert(*name, copy(from, &to)?);
    }
    let manifest = Manifest {
        id: parts.id.clone(),
        suite: Word::parse(&parts.suite).context("the suite")?,
        kernel: Word::parse(&parts.kernel).context("the kernel's version")?,
        files: facts,
    };
    let text = manifest.to_text();
    write_whole(&beside.join(FileName::Manifest.as_str()), text.as_bytes())?;
    write_whole(&beside.join(FileName::Signature.as_str()), release::sign(key, text.as_bytes()).as_bytes())?;
    sync_folder(&beside)?;
    if place.exists() {
        // The same id means the same bytes; only a damaged copy is replaced.
        if check(&place, &key.public()).is_ok() {
            super::root::remove_tree(&beside)?;
            return Ok(place);
        }
        super::root::remove_tree(&place)?;
    }
    fs::rename(&beside, &place).with_context(|| format!("naming {}", place.display()))?;
    sync_folder(&releases)?;
    Ok(place)
}

fn copy(from: &Path, to: &Path) -> Result<FileFact> {
    let copying = || format!("copying {} to {}", from.display(), to.display());
    let bytes = fs::copy(from, to).with_context(copying)?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o644)).with_context(copying)?;
    let file = File::open(to).with_context(copying)?;
    file.sync_all().with_context(copying)?;
    let hash = Hash::from_hex(hash_file(to)?).with_context(copying)?;
    Ok(FileFact { bytes, blake3: hash })
}

/// Checks a release on the disk: signature, then lengths, then hashes.
pub fn check(place: &Path, key: &PublicKey) -> Result<Manifest> {
    let read = |name: FileName| {
        let path = place.join(name.as_str());
        fs::read(&path).with_context(|| format!("reading {}", path.display()))
    };
    let manifest = release::verify(key, &read(FileName::Manifest)?, &read(FileName::Signature)?)
        .with_context(|| format!("{}", place.display()))?;
    for (name, fact) in &manifest.files {
        let path = place.join(name.as_str());
        let reading = || format!("reading {}", path.display());
        let bytes = fs::metadata(&path).with_context(reading)?.len();
        if bytes != fact.bytes {
            bail!("{} has {bytes} bytes, the manifest says {}", path.display(), fact.bytes);
        }
        if hash_file(&path)? != fact.blake3.to_hex().as_str() {
            bail!("{} does not have the hash of the manifest; build again", path.display());
        }
    }
    Ok(manifest)
}

/// The public key of an output folder.
pub fn public_key(out: &Path) -> Result<PublicKey> {
    let path = out.join("keys/release.pub");
    let text =
        fs::read(&path).with_context(|| format!("reading {}; run `duet build` first", path.display()))?;
    PublicKey::from_text(&text).with_context(|| format!("{}", path.display()))
}
