//! Decides whether a release may be booted: signature, then the right id, then length, then hash.
//!
//! There is no switch that skips a step.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use release::{
    FileFact, FileName, MANIFEST_BYTES_MAX, Manifest, PublicKey, ReleaseId, SIGNATURE_TEXT_BYTES, Server,
};

use crate::fetch::{Limits, fetch_measured, fetch_small};
use crate::{Trouble, World};

/// A trouble and the file that has it.
pub type Named = (FileName, Trouble);

/// Memory that a node needs beside its root, else systemd does not come up (measured: it does with 53 MB).
pub const ROOM_BYTES: u64 = 24 << 20;

const READ_BYTES: usize = 256 * 1024;

/// Fetches and checks a whole release from one server; the root is then in `root`.
pub fn fetch_release<W: World>(
    world: &mut W,
    limits: Limits,
    server: Server,
    id: &ReleaseId,
    key: &PublicKey,
    root: &mut File,
) -> Result<Manifest, Named> {
    let mut small = |name: FileName, bytes_max| {
        fetch_small(world, limits, server, &name.path(id), bytes_max).map_err(|trouble| (name, trouble))
    };
    let manifest = small(FileName::Manifest, MANIFEST_BYTES_MAX)?;
    let signature = small(FileName::Signature, SIGNATURE_TEXT_BYTES)?;
    let (manifest, fact) = check_manifest(&manifest, &signature, key, Some(id))?;
    world.stamp("manifest");
    let free = world.memory_bytes();
    let named = |trouble| (FileName::Root, trouble);
    if free < fact.bytes + ROOM_BYTES {
        return Err(named(Trouble::Memory { free, file: fact.bytes, room: ROOM_BYTES }));
    }
    fetch_measured(world, limits, server, &FileName::Root.path(id), fact, root).map_err(named)?;
    Ok(manifest)
}

/// Checks a release that iPXE has placed in `folder`.
pub fn check_placed(folder: &Path, id: Option<&ReleaseId>, key: &PublicKey) -> Result<Manifest, Named> {
    let small = |name: FileName, bytes_max| {
        read_small(&folder.join(name.as_str()), bytes_max).map_err(|trouble| (name, trouble))
    };
    let manifest = small(FileName::Manifest, MANIFEST_BYTES_MAX)?;
    let signature = small(FileName::Signature, SIGNATURE_TEXT_BYTES)?;
    let (manifest, fact) = check_manifest(&manifest, &signature, key, id)?;
    let root = folder.join(FileName::Root.as_str());
    check_file(&root, fact).map_err(|trouble| (FileName::Root, trouble))?;
    Ok(manifest)
}

/// The manifest and what it states about the root, once key and id are right.
fn check_manifest(
    manifest: &[u8],
    signature: &[u8],
    key: &PublicKey,
    id: Option<&ReleaseId>,
) -> Result<(Manifest, FileFact), Named> {
    let named = |trouble| (FileName::Manifest, trouble);
    let manifest =
        release::verify(key, manifest, signature).map_err(|error| named(Trouble::Release(error)))?;
    if let Some(want) = id.filter(|id| **id != manifest.id) {
        return Err(named(Trouble::OtherRelease { found: manifest.id, want: want.clone() }));
    }
    let fact = manifest.file(FileName::Root).map_err(|error| named(Trouble::Release(error)))?;
    Ok((manifest, fact))
}

/// Length first, so that a cut file is not called a wrong hash.
fn check_file(path: &Path, fact: FileFact) -> Result<(), Trouble> {
    let mut file = File::open(path).map_err(Trouble::Read)?;
    let (found, want) = (file.metadata().map_err(Trouble::Read)?.len(), fact.bytes);
    if found != want {
        return Err(Trouble::Length { found, want });
    }
    file.rewind().map_err(Trouble::Read)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match file.read(&mut buffer).map_err(Trouble::Read)? {
            0 => break,
            n => hasher.update(&buffer[..n]),
        };
    }
    if hasher.finalize() == fact.blake3 { Ok(()) } else { Err(Trouble::Hash) }
}

/// Reads a file that must not be larger than `bytes_max`.
pub fn read_small(path: &Path, bytes_max: usize) -> Result<Vec<u8>, Trouble> {
    let file = File::open(path).map_err(Trouble::Read)?;
    let mut bytes = Vec::new();
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(Trouble::Read)?;
    if bytes.len() > bytes_max { Err(Trouble::TooLarge { bytes_max }) } else { Ok(bytes) }
}
