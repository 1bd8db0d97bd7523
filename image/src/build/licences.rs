//! The licence texts of everything in the image, in one small archive.
//!
//! GPL, MIT and nearly all the others ask that their text travels with the
//! program. The texts stay out of the root, where nobody reads them and each PC
//! would hold them in memory; they lie beside it in the release, as
//! `licences.tar.zst`.
//! Copyright files of one source package are the same bytes many times over:
//! each text is stored once, the other names are hard links to it.
//! The archive is a pure function of the texts: names sorted, times at the epoch.

use crate::elf::tree::Tree;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A copyright file is text; the longest in Debian are below 2 MB.
const TEXT_BYTES_MAX: u64 = 8 << 20;
/// The name field of the tar format, with its zero.
const NAME_BYTES_MAX: usize = 100;
const LEVEL: i32 = 19;

/// Texts by their name in the archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Licences {
    texts: BTreeMap<String, Vec<u8>>,
}

impl Licences {
    /// Takes `usr/share/doc/*/copyright` and `usr/share/common-licenses` of an unpacked tree,
    /// before they are pruned. Call it for the root and for the kernel's package.
    pub fn take_debian(&mut self, root: &Path) -> Result<()> {
        let tree = Tree::read(root)?;
        let mut take = |path: String, name: String| -> Result<()> {
            match tree.resolve(&path) {
                Some(file) => self.take(&root.join(file), name),
                None => Ok(()),
            }
        };
        for name in names(&root.join("usr/share/doc"))? {
            take(format!("usr/share/doc/{name}/copyright"), format!("doc/{name}/copyright"))?;
        }
        for name in names(&root.join("usr/share/common-licenses"))? {
            take(format!("usr/share/common-licenses/{name}"), format!("common-licenses/{name}"))?;
        }
        Ok(())
    }

    /// Takes the licence files that a crate carries in its folder, and those of sources that it brings along
    /// in a folder of their own, as a crate around a C++ library does.
    pub fn take_crate(&mut self, name_and_version: &str, folder: &Path) -> Result<()> {
        for name in names(folder)? {
            let path = folder.join(&name);
            let is_folder = path.symlink_metadata().is_ok_and(|facts| facts.is_dir());
            for inner in if is_folder { names(&path)? } else { Vec::new() } {
                self.take_licence(&path.join(&inner), format!("crates/{name_and_version}/{name}/{inner}"))?;
            }
            self.take_licence(&path, format!("crates/{name_and_version}/{name}"))?;
        }
        Ok(())
    }

    /// Takes a file if it is named like a licence.
    fn take_licence(&mut self, path: &Path, name: String) -> Result<()> {
        let file = name.rsplit('/').next().unwrap_or_default().to_ascii_uppercase();
        let is_licence = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"]
            .iter()
            .any(|word| file.starts_with(word));
        if is_licence && path.symlink_metadata().is_ok_and(|facts| facts.is_file()) {
            self.take(path, name)?;
        }
        Ok(())
    }

    pub fn add(&mut self, name: &str, text: Vec<u8>) {
        self.texts.insert(name.to_string(), text);
    }

    pub fn len(&self) -> usize {
        self.texts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// What Debian says of one package, for the bill of materials.
    pub fn copyright_of(&self, package: &str) -> Option<&str> {
        let text = self.texts.get(&format!("doc/{package}/copyright"))?;
        std::str::from_utf8(text).ok()
    }

    /// The archive, `licences.tar.zst`.
    pub fn pack(&self, epoch: u64) -> Result<Vec<u8>> {
        zstd::bulk::compress(&self.to_tar(epoch)?, LEVEL).context("packing the licence texts")
    }

    fn to_tar(&self, epoch: u64) -> Result<Vec<u8>> {
        let mut tar = Vec::new();
        let mut first_names: BTreeMap<&[u8], &str> = BTreeMap::new();
        for (name, text) in &self.texts {
            match first_names.get(text.as_slice()) {
                Some(first) => tar.extend(header(name, 0, epoch, b'1', first)?),
                None => {
                    tar.extend(header(name, text.len(), epoch, b'0', "")?);
                    tar.extend(text);
                    tar.resize(tar.len().next_multiple_of(512), 0);
                    first_names.insert(text, name);
                }
            }
        }
        // Two empty blocks end an archive.
        tar.resize(tar.len() + 1024, 0);
        Ok(tar)
    }

    fn take(&mut self, path: &Path, name: String) -> Result<()> {
        let facts = fs::symlink_metadata(path).with_context(|| format!("{}", path.display()))?;
        ensure!(facts.len() <= TEXT_BYTES_MAX, "{} is too long for a licence text", path.display());
        let text = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        self.texts.insert(name, text);
        Ok(())
    }
}

/// Entries of a folder, sorted; none if there is no such folder.
fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("{}", folder.display())),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.with_context(|| format!("{}", folder.display()))?.file_name();
        names.extend(name.into_string().ok());
    }
    names.sort();
    Ok(names)
}

/// One header block of the POSIX "ustar" form.
fn header(name: &str, bytes: usize, epoch: u64, kind: u8, link: &str) -> Result<[u8; 512]> {
    ensure!(
        name.len() < NAME_BYTES_MAX && link.len() < NAME_BYTES_MAX,
        "{name} is too long a name for the archive"
    );
    let mut block = [0; 512];
    let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{bytes:011o}\0").as_bytes());
    put(136, format!("{epoch:011o}\0").as_bytes());
    put(148, b"        ");
    put(156, &[kind]);
    put(157, link.as_bytes());
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(block)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    /// A tree with these files, as (path, text).
    fn tree(name: &str, files: &[(&str, &str)]) -> std::path::PathBuf {
        let root = std::env::temp_dir().join(format!("duet-licences-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn taken(root: &Path) -> Licences {
        let mut licences = Licences::default();
        licences.take_debian(root).unwrap();
        fs::remove_dir_all(root).unwrap();
        licences
    }

    #[test]
    fn a_real_tar_reads_every_name_and_its_text() {
        let long = "words ".repeat(200);
        let root = tree(
            "tar",
            &[
                ("usr/share/doc/a/copyright", &long),
                ("usr/share/doc/b/copyright", &long),
                ("usr/share/doc/b/changelog", "no"),
                ("usr/share/common-licenses/GPL-3", "gpl"),
            ],
        );
        let licences = taken(&root);
        let out = tree("tar-out", &[("x", "")]);
        let mut tar = Command::new("tar").arg("-x").current_dir(&out).stdin(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut tar.stdin.take().unwrap(), &licences.to_tar(1_760_000_000).unwrap())
            .unwrap();
        assert!(tar.wait().unwrap().success());
        let read = |path: &str| fs::read_to_string(out.join(path)).unwrap();
        assert_eq!(read("doc/a/copyright"), long);
        assert_eq!(read("doc/b/copyright"), long);
        assert_eq!(read("common-licenses/GPL-3"), "gpl");
        assert!(!out.join("doc/b/changelog").exists());
        fs::remove_dir_all(out).unwrap();
    }

    #[test]
    fn the_same_text_is_stored_once() {
        let mut licences = Licences::default();
        licences.add("doc/a/copyright", vec![b'x'; 5000]);
        let one = licences.to_tar(0).unwrap().len();
        licences.add("doc/b/copyright", vec![b'x'; 5000]);
        assert_eq!(licences.to_tar(0).unwrap().len(), one + 512);
    }

    #[test]
    fn the_same_texts_give_the_same_bytes() {
        let (mut one, mut two) = (Licences::default(), Licences::default());
        for name in ["a", "b", "c"] {
            one.add(name, name.as_bytes().to_vec());
        }
        for name in ["c", "b", "a"] {
            two.add(name, name.as_bytes().to_vec());
        }
        assert_eq!(one.pack(5).unwrap(), two.pack(5).unwrap());
    }

    #[test]
    fn links_are_followed_inside_the_tree_only() {
        let root = tree("link", &[("usr/share/doc/a/copyright", "a")]);
        fs::create_dir_all(root.join("usr/share/doc/b")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.join("usr/share/doc/b/copyright")).unwrap();
        std::os::unix::fs::symlink("a", root.join("usr/share/doc/c")).unwrap();
        std::os::unix::fs::symlink("/usr/share/doc/a", root.join("usr/share/doc/d")).unwrap();
        let licences = taken(&root);
        assert_eq!(
            licences.texts.keys().collect::<Vec<_>>(),
            ["doc/a/copyright", "doc/c/copyright", "doc/d/copyright"]
        );
        assert_eq!(licences.copyright_of("c"), Some("a"));
    }

    #[test]
    fn a_name_too_long_for_the_archive_is_an_error() {
        let mut licences = Licences::default();
        licences.add(&"x".repeat(100), Vec::new());
        let error = licences.pack(0).unwrap_err().to_string();
        assert!(error.ends_with("is too long a name for the archive"), "{error}");
    }

    #[test]
    fn a_crate_gives_its_licence_files_and_those_of_the_library_inside() {
        let files = ["LICENSE-MIT", "NOTICE", "Cargo.toml", "c++/LICENSE", "c++/a.cpp", "c++/deep/LICENSE"];
        let root = tree("crate", &files.map(|name| (name, "text")));
        let mut licences = Licences::default();
        licences.take_crate("a-1.0.0", &root).unwrap();
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(
            licences.texts.keys().collect::<Vec<_>>(),
            ["crates/a-1.0.0/LICENSE-MIT", "crates/a-1.0.0/NOTICE", "crates/a-1.0.0/c++/LICENSE"]
        );
    }
}
