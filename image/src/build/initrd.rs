//! The initial RAM disk: our init, the public key, and the kernel modules that lead to the network.
//!
//! The archive is written by hand in cpio's newc form (kernel: Documentation/driver-api/early-userspace/
//! buffer-format.rst), because every field must be the same in every build.

use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;
const DEVICE: u32 = 0o020_000;

/// The cpio fields hold 8 hex digits; no file of an initrd comes near.
const FILE_BYTES_MAX: usize = 1 << 30;

/// An archive in the making. Paths are sorted, folders come before what is in them.
pub struct Archive {
    epoch: u32,
    entries: BTreeMap<String, Item>,
}

struct Item {
    mode: u32,
    device: (u32, u32),
    bytes: Vec<u8>,
}

impl Archive {
    pub fn new(epoch: u64) -> Result<Archive> {
        let epoch = u32::try_from(epoch).context("the epoch does not fit into a cpio archive")?;
        Ok(Archive { epoch, entries: BTreeMap::new() })
    }

    pub fn folder(&mut self, path: &str) {
        self.insert(path, Item { mode: FOLDER | 0o755, device: (0, 0), bytes: Vec::new() });
    }

    pub fn file(&mut self, path: &str, mode: u32, bytes: Vec<u8>) {
        self.insert(path, Item { mode: FILE | mode, device: (0, 0), bytes });
    }

    /// The kernel opens /dev/console before anything can make it.
    pub fn console(&mut self) {
        self.insert("dev/console", Item { mode: DEVICE | 0o600, device: (5, 1), bytes: Vec::new() });
    }

    /// Everything below `tree`; `wanted` decides by path.
    pub fn tree(&mut self, tree: &Path, below: &str, wanted: &dyn Fn(&str) -> bool) -> Result<()> {
        let reading = || format!("reading {}", tree.display());
        for entry in fs::read_dir(tree).with_context(reading)? {
            let entry = entry.with_context(reading)?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                bail!("{} holds a name that is not UTF-8", tree.display())
            };
            let path = if below.is_empty() { name.to_string() } else { format!("{below}/{name}") };
            let facts = entry.metadata().with_context(reading)?;
            if facts.is_dir() {
                self.tree(&entry.path(), &path, wanted)?;
            } else if facts.is_symlink() {
                let to = fs::read_link(entry.path()).with_context(reading)?;
                let bytes = to.into_os_string().into_encoded_bytes();
                self.insert(&path, Item { mode: LINK | 0o777, device: (0, 0), bytes });
            } else if wanted(&path) {
                let mode = if facts.permissions().mode() & 0o100 != 0 { 0o755 } else { 0o644 };
                self.file(&path, mode, fs::read(entry.path()).with_context(reading)?);
            }
        }
        Ok(())
    }

    fn insert(&mut self, path: &str, item: Item) {
        let mut at = 0;
        while let Some(slash) = path[at..].find('/') {
            let folder = &path[..at + slash];
            if !self.entries.contains_key(folder) {
                self.entries
                    .insert(folder.into(), Item { mode: FOLDER | 0o755, device: (0, 0), bytes: Vec::new() });
            }
            at += slash + 1;
        }
        self.entries.insert(path.into(), item);
    }

    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        for (idx, (path, item)) in self.entries.iter().enumerate() {
            if item.bytes.len() > FILE_BYTES_MAX {
                bail!("{path} is too large for an initrd");
            }
            self.write(&mut out, idx as u32 + 1, path, item);
        }
        let end = Item { mode: 0, device: (0, 0), bytes: Vec::new() };
        Archive { epoch: 0, entries: BTreeMap::new() }.write(&mut out, 0, "TRAILER!!!", &end);
        Ok(out)
    }

    fn write(&self, out: &mut Vec<u8>, inode: u32, path: &str, item: &Item) {
        let n_links = if item.mode & FOLDER != 0 && item.mode & FILE != FILE { 2 } else { 1 };
        let fields = [
            inode,
            item.mode,
            0,
            0,
            n_links,
            self.epoch,
            item.bytes.len() as u32,
            0,
            0,
            item.device.0,
            item.device.1,
            path.len() as u32 + 1,
            0,
        ];
        out.extend_from_slice(b"070701");
        for field in fields {
            out.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        out.extend_from_slice(path.as_bytes());
        out.push(0);
        pad(out);
        out.extend_from_slice(&item.bytes);
        pad(out);
    }
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

/// What every initrd holds: the modules of `tree`, the init, and the key it trusts.
pub fn contents(tree: &Path, init: &Path, public_key: &str, epoch: u64) -> Result<Archive> {
    // The node's loader reads three of depmod's files.
    let read = ["modules.dep", "modules.alias", "modules.softdep"];
    let mut archive = Archive::new(epoch)?;
    archive.tree(tree, "", &|path| {
        path.ends_with(".ko") || read.iter().any(|name| path.rsplit('/').next() == Some(name))
    })?;
    for folder in ["dev", "proc", "sys", "run", "newroot"] {
        archive.folder(folder);
    }
    archive.console();
    archive.file("init", 0o755, fs::read(init).with_context(|| format!("reading {}", init.display()))?);
    archive.file("duet.pub", 0o644, public_key.as_bytes().to_vec());
    Ok(archive)
}

/// Packs with one thread, so that the bytes do not follow the number of cores.
pub fn pack(archive: &[u8], level: i32) -> Result<Vec<u8>> {
    zstd::bulk::compress(archive, level).context("packing the initrd")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_before_their_files_and_names_are_sorted() {
        let mut archive = Archive::new(5).unwrap();
        archive.file("usr/lib/b", 0o644, b"b".to_vec());
        archive.file("init", 0o755, b"i".to_vec());
        archive.folder("dev");
        let names: Vec<_> = archive.entries.keys().map(String::as_str).collect();
        assert_eq!(names.join(" "), "dev init usr usr/lib usr/lib/b");
    }

    #[test]
    fn an_entry_is_laid_out_as_the_kernel_reads_it() {
        let mut archive = Archive::new(5).unwrap();
        archive.file("init", 0o755, b"abc".to_vec());
        let bytes = archive.to_bytes().unwrap();
        // Inode, mode, owner, group, links, time, size, four device numbers, length of the name, no sum.
        let fields = [1, 0o100_755, 0, 0, 1, 5, 3, 0, 0, 0, 0, 5, 0].map(|field: u32| format!("{field:08X}"));
        assert_eq!(bytes[..110], *format!("070701{}", fields.concat()).as_bytes());
        assert_eq!(bytes[110..124], *b"init\0\0abc\x000707");
        assert_eq!(bytes.len() % 4, 0);
        assert!(bytes.ends_with(b"TRAILER!!!\0\0\0\0"));
    }

    #[test]
    fn the_same_files_give_the_same_bytes_in_any_order() {
        let bytes = |names: [&str; 2]| {
            let mut archive = Archive::new(5).unwrap();
            for name in names {
                archive.file(name, 0o644, name.as_bytes().to_vec());
            }
            pack(&archive.to_bytes().unwrap(), 19).unwrap()
        };
        assert_eq!(bytes(["a", "b"]), bytes(["b", "a"]));
    }
}
