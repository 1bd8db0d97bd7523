//! A small signed release in a folder of its own, for tests.

use release::{FileFact, FileName, Manifest, ReleaseId, SecretKey, Word};
use std::collections::BTreeMap;
use std::path::PathBuf;

pub const ID: &str = "trixie-0123456789ab";

/// The folder is removed when the fixture goes.
pub struct Fixture {
    pub out: PathBuf,
}

impl Fixture {
    pub fn new(name: &str) -> Fixture {
        let out = std::env::temp_dir().join(format!("duet-serve-{}-{name}", std::process::id()));
        let fixture = Fixture { out };
        std::fs::create_dir_all(fixture.out.join("keys")).expect("a folder for keys");
        std::fs::write(fixture.out.join("keys/release.key"), key().to_text()).expect("a key");
        fixture.add(ID, &[b'r'; 300_000]);
        crate::releases::promote(&fixture.out, &ReleaseId::parse(ID).expect("an id")).expect("a promotion");
        fixture
    }

    /// Adds a signed release whose root image is `root`.
    pub fn add(&self, id: &str, root: &[u8]) {
        let folder = crate::releases::folder(&self.out).join(id);
        std::fs::create_dir_all(&folder).expect("a folder for the release");
        let mut files = BTreeMap::new();
        for (name, bytes) in
            [(FileName::Vmlinuz, &b"kernel"[..]), (FileName::Initrd, b"initrd"), (FileName::Root, root)]
        {
            std::fs::write(folder.join(name.as_str()), bytes).expect("a file");
            files.insert(name, FileFact { bytes: bytes.len() as u64, blake3: blake3::hash(bytes) });
        }
        let word = |text| Word::parse(text).expect("a word");
        let id = ReleaseId::parse(id).expect("an id");
        let manifest = Manifest { id, suite: word("trixie"), kernel: word("6.12"), files }.to_text();
        std::fs::write(folder.join("manifest.toml"), &manifest).expect("a manifest");
        let signature = release::sign(&key(), manifest.as_bytes());
        std::fs::write(folder.join("manifest.sig"), signature).expect("a signature");
    }

    pub fn release(&self) -> PathBuf {
        crate::releases::folder(&self.out).join(ID)
    }
}

fn key() -> SecretKey {
    SecretKey::from_seed(&[7; 32])
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.out);
    }
}
