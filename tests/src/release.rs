//! A small signed release, so that a boot server has something to serve.

use release::{FileFact, FileName, Manifest, ReleaseId, SecretKey, Word};
use std::collections::BTreeMap;
use std::path::Path;

/// The key that signs them all.
pub fn key() -> SecretKey {
    SecretKey::from_seed(&[7; 32])
}

/// Adds a release to `out` and promotes it.
pub fn add(out: &Path, id: &str, root: &[u8]) {
    let folder = out.join("releases").join(id);
    std::fs::create_dir_all(&folder).expect("a folder");
    let mut files = BTreeMap::new();
    for (name, bytes) in
        [(FileName::Vmlinuz, &b"kernel"[..]), (FileName::Initrd, b"initrd"), (FileName::Root, root)]
    {
        std::fs::write(folder.join(name.as_str()), bytes).expect("a file");
        files.insert(name, FileFact { bytes: bytes.len() as u64, blake3: blake3::hash(bytes) });
    }
    let word = |text| Word::parse(text).expect("a word");
    let id = ReleaseId::parse(id).expect("an id");
    let text = Manifest { id: id.clone(), suite: word("trixie"), kernel: word("6.12"), files }.to_text();
    std::fs::write(folder.join("manifest.toml"), &text).expect("a manifest");
    std::fs::write(folder.join("manifest.sig"), release::sign(&key(), text.as_bytes())).expect("a signature");
    image::releases::promote(out, &id).expect("a promotion");
}

/// Writes the key where builder and boot server look for it.
pub fn keep_key(out: &Path) {
    std::fs::create_dir_all(out.join("keys")).expect("a folder");
    std::fs::write(out.join("keys/release.key"), key().to_text()).expect("a key");
}
