//! The files of admission: the authority's key and the release key's word for it, the ring, the book.
//!
//! The authority's key is made when the server first starts; it never leaves `out/keys`.

use super::book::{self, Book};
use super::registrar::{Registrar, first_key};
use super::ring::Ring;
use crate::disk::{read_limited, write_secret, write_whole};
use admission::{AuthorityPublic, AuthoritySecret, Proof};
use anyhow::{Context, Result, anyhow, bail};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// 2048 nodes with all they may hold stay below this.
const BOOK_BYTES_MAX: usize = 8 * 1024 * 1024;
const KEY_BYTES_MAX: usize = 4096;

pub(super) fn ring_path(out: &Path) -> PathBuf {
    out.join("keys/ring.toml")
}

pub(super) fn book_path(out: &Path) -> PathBuf {
    out.join("state/nodes.json")
}

/// Everything as it was kept, or as a new cluster begins. `Err` inside: there is no key to begin with.
pub(super) fn read_everything(out: &Path, now_s: u64) -> Result<Result<Registrar, String>> {
    let Some(release) = release_key(out)? else {
        let keys = out.join("keys");
        return Ok(Err(format!(
            "there is no release.key in {}, so PCs are booted but not taken into a cluster; \
             serve from the folder that `duet build` wrote, or copy its keys here",
            keys.display()
        )));
    };
    let authority = authority(out)?;
    let proof = proof(out, &release, &authority.public())?;
    let (ring, book) = (ring(out)?, book(out, now_s)?);
    Ok(Ok(Registrar::new(authority, proof, ring, book)))
}

fn release_key(out: &Path) -> Result<Option<release::SecretKey>> {
    let path = out.join("keys/release.key");
    let Some(text) = read(&path, KEY_BYTES_MAX)? else { return Ok(None) };
    let key = release::SecretKey::from_text(text.as_bytes());
    key.map(Some).map_err(|error| anyhow!("{}: {error}", path.display()))
}

fn authority(out: &Path) -> Result<AuthoritySecret> {
    let path = out.join("keys/cluster.key");
    if let Some(text) = read(&path, KEY_BYTES_MAX)? {
        let seed = unhex(&text).with_context(|| {
            format!("{} is damaged: it holds no 64 hex digits and a line feed", path.display())
        })?;
        return Ok(AuthoritySecret::from_seed(&seed));
    }
    let seed = Zeroizing::new(super::random_or_say::<32>()?);
    write_secret(&path, Zeroizing::new(hex_line(&*seed)).as_bytes())?;
    Ok(AuthoritySecret::from_seed(&seed))
}

/// `cluster.sig` is there for the owner to copy and compare; it follows from the two keys.
fn proof(out: &Path, release: &release::SecretKey, authority: &AuthorityPublic) -> Result<Proof> {
    let proof = Proof::new(release, authority);
    let (path, text) = (out.join("keys/cluster.sig"), hex_line(&proof.0));
    if read(&path, KEY_BYTES_MAX)?.as_deref().map(String::as_str) != Some(text.as_str()) {
        write_whole(&path, text.as_bytes())?;
    }
    Ok(proof)
}

fn ring(out: &Path) -> Result<Ring> {
    let path = ring_path(out);
    match read(&path, KEY_BYTES_MAX)? {
        Some(text) => Ring::parse(&text).map_err(|why| anyhow!("{} is damaged: {why}", path.display())),
        None => Ok(Ring::new(first_key(super::random_or_say()?))),
    }
}

/// A damaged book is no new one: it says who was removed.
fn book(out: &Path, now_s: u64) -> Result<Book> {
    let path = book_path(out);
    let Some(text) = read(&path, BOOK_BYTES_MAX)? else { return Ok(Book::new(now_s)) };
    match book::parse(&text) {
        Ok(book) => Ok(book),
        Err(why) => bail!(
            "{} is damaged ({why}); put a copy in its place, or remove it if no PC was ever taken out",
            path.display()
        ),
    }
}

fn read(path: &Path, bytes_max: usize) -> Result<Option<Zeroizing<String>>> {
    match read_limited(path, bytes_max) {
        Ok(text) => Ok(Some(Zeroizing::new(text))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn hex_line(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).chain(["\n".to_owned()]).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_suffix('\n')?;
    admission::NodePublic::parse(digits).map(|key| *key.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    struct Out(PathBuf);

    impl Drop for Out {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn out(name: &str) -> Out {
        let out = std::env::temp_dir().join(format!("duet-keys-{}-{name}", std::process::id()));
        std::fs::create_dir_all(out.join("keys")).unwrap();
        std::fs::create_dir_all(out.join("state")).unwrap();
        std::fs::write(out.join("keys/release.key"), release::SecretKey::from_seed(&[7; 32]).to_text())
            .unwrap();
        Out(out)
    }

    #[test]
    fn a_cluster_keeps_its_authority_and_its_key_is_the_owners_alone() {
        let out = out("authority");
        let first = read_everything(&out.0, 1).unwrap().unwrap().authority();
        let second = read_everything(&out.0, 2).unwrap().unwrap().authority();
        assert_eq!(first, second);
        let mode = std::fs::metadata(out.0.join("keys/cluster.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let release = release::SecretKey::from_seed(&[7; 32]).public();
        let text = std::fs::read_to_string(out.0.join("keys/cluster.sig")).unwrap();
        let proof = admission::Signature::parse(text.trim_end()).unwrap();
        assert_eq!(Proof(proof.0).verify(&release, &first), Ok(()));
    }

    #[test]
    fn without_the_release_key_nobody_is_taken_in_and_the_sentence_says_so() {
        let out = out("keyless");
        std::fs::remove_file(out.0.join("keys/release.key")).unwrap();
        let sentence = read_everything(&out.0, 1).unwrap().unwrap_err();
        assert!(sentence.contains("not taken into a cluster"), "{sentence}");
        assert!(!out.0.join("keys/cluster.key").exists());
    }

    #[test]
    fn a_damaged_file_is_never_taken_for_a_new_cluster() {
        for (file, what) in [("keys/cluster.key", "cluster.key"), ("keys/ring.toml", "ring.toml")] {
            let out = out(what);
            std::fs::write(out.0.join(file), "half").unwrap();
            assert!(format!("{:#}", read_everything(&out.0, 1).unwrap_err()).contains(what));
        }
        let out = out("book");
        std::fs::write(book_path(&out.0), "{").unwrap();
        assert!(format!("{:#}", read_everything(&out.0, 1).unwrap_err()).contains("nodes.json is damaged"));
    }
}
