//! Models on this node's disk or in its memory: room for them, files that are being filled, and which of them came from
//! the cluster. What the owner put there by hand is never touched.
//!
//! A file is filled under its name with `.part` behind it and renamed when it is whole, so a reader sees all or nothing.
//! What a `.part` holds is known by hashing it: after a restart nothing is believed that was written about it.

use anyhow::{Context, Result, ensure};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use service::folder::Space;
use spread::{Bits, CHUNK_BYTES, Tree};
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Where models lie in RAM, so much of it stays for programs, speech and conversations.
pub const RAM_RESERVE_BYTES: u64 = 96 << 20;
/// On a disk so much stays free.
pub const DISK_RESERVE_BYTES: u64 = 64 << 20;
/// Names of what was fetched here, beside the files.
const FETCHED_FILE: &str = ".fetched.json";
const FETCHED_BYTES_MAX: u64 = 64 << 10;
const FETCHED_MAX: usize = 256;

/// Room for further files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    pub free_bytes: u64,
    pub reserve_bytes: u64,
    pub is_memory: bool,
}

impl Room {
    /// `available_bytes` is what programs can still get.
    pub fn look(folder: &Path, available_bytes: u64) -> Result<Room> {
        let space = Space::of(folder).with_context(|| format!("cannot look at {}", folder.display()))?;
        let free = space.free_bytes;
        Ok(match space.is_memory {
            true => Room {
                free_bytes: free.min(available_bytes),
                reserve_bytes: RAM_RESERVE_BYTES,
                is_memory: true,
            },
            false => Room { free_bytes: free, reserve_bytes: DISK_RESERVE_BYTES, is_memory: false },
        })
    }

    /// Bytes that are missing for so many more.
    pub fn missing(&self, bytes: u64) -> u64 {
        bytes.saturating_add(self.reserve_bytes).saturating_sub(self.free_bytes)
    }

    /// Why so many bytes of a model cannot come; nothing where they can.
    pub fn refusal(&self, file: &str, bytes: u64) -> Option<String> {
        let missing = self.missing(bytes);
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let what = if self.is_memory { "memory" } else { "room on the disk" };
        (missing > 0).then(|| {
            format!(
                "{file} is not fetched: it needs {} MiB of {what} and {} MiB stay free, so {} MiB are missing",
                mib(bytes),
                mib(self.reserve_bytes),
                mib(missing)
            )
        })
    }
}

/// A file that is being filled.
pub struct Part {
    file: File,
    path: PathBuf,
}

impl Part {
    pub fn path_of(folder: &Path, name: &str) -> PathBuf {
        folder.join(format!("{name}.part"))
    }

    /// Opens what an earlier run left, or begins; says which chunks are good there.
    pub fn open(folder: &Path, name: &str, tree: &Tree) -> Result<(Part, Bits)> {
        let path = Part::path_of(folder, name);
        let told = || format!("cannot write {}", path.display());
        let mut how = plainly();
        let file = how.read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.with_context(|| format!("{} cannot be opened; remove it", path.display()))?;
        ensure!(file.metadata().with_context(told)?.is_file(), "{} is no file; remove it", path.display());
        // The unit's UMask takes rights away, and the model is for other programs too.
        file.set_permissions(Permissions::from_mode(0o644)).with_context(told)?;
        file.set_len(tree.bytes()).with_context(told)?;
        let part = Part { file, path: path.clone() };
        let have = if part.file.metadata().with_context(told)?.blocks() == 0 {
            Bits::none(tree.n_chunks())
        } else {
            part.check(tree).with_context(told)?
        };
        Ok((part, have))
    }

    fn check(&self, tree: &Tree) -> std::io::Result<Bits> {
        let mut have = Bits::none(tree.n_chunks());
        let mut room = vec![0; CHUNK_BYTES.min(tree.bytes()) as usize];
        for chunk in 0..tree.n_chunks() {
            let place = tree.place(chunk);
            let part = &mut room[..(place.end - place.start) as usize];
            self.file.read_exact_at(part, place.start)?;
            if tree.is_good(chunk, part) {
                have.set(chunk);
            }
        }
        Ok(have)
    }

    /// For a chunk that was checked.
    pub fn write(&self, tree: &Tree, chunk: u32, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all_at(bytes, tree.place(chunk).start)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its name.
    pub fn finish(&self, to: &Path) -> Result<()> {
        self.file.sync_all().with_context(|| format!("cannot write {}", self.path.display()))?;
        fs::rename(&self.path, to).with_context(|| format!("cannot rename {}", self.path.display()))
    }
}

/// Reads a chunk of a file that lies here.
pub fn read_chunk(path: &Path, tree: &Tree, chunk: u32) -> std::io::Result<Vec<u8>> {
    let place = tree.place(chunk);
    let mut bytes = vec![0; (place.end - place.start) as usize];
    File::open(path)?.read_exact_at(&mut bytes, place.start)?;
    Ok(bytes)
}

/// The tree of a whole file.
pub fn read_tree(path: &Path) -> Result<Tree> {
    let file = File::open(path)?;
    Tree::read(file.metadata()?.len(), |part, at| Ok(file.read_exact_at(part, at)?))
}

/// Others may write in the folder too: never through a link, and a pipe holds nobody up.
fn plainly() -> OpenOptions {
    let mut how = File::options();
    how.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    how
}

/// The names of what was fetched into a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    files: BTreeSet<String>,
}

impl Fetched {
    /// What cannot be read is nothing: then those files count as the owner's.
    pub fn read(folder: &Path) -> Fetched {
        let mut text = String::new();
        let file = plainly().read(true).open(folder.join(FETCHED_FILE)).ok();
        let whole = file.map(|file| file.take(FETCHED_BYTES_MAX).read_to_string(&mut text));
        let fetched: Fetched = match whole {
            Some(Ok(_)) => serde_json::from_str(&text).unwrap_or_default(),
            _ => Fetched::default(),
        };
        let is_name = |name: &String| !name.contains('/') && !name.starts_with('.') && !name.is_empty();
        Fetched { files: fetched.files.into_iter().filter(is_name).take(FETCHED_MAX).collect() }
    }

    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.files.iter()
    }

    pub fn has(&self, name: &str) -> bool {
        self.files.contains(name)
    }

    /// Written down before the file has its name, so that it never counts as the owner's.
    pub fn add(&mut self, folder: &Path, name: &str) -> Result<()> {
        if self.files.insert(name.to_owned()) { self.write(folder) } else { Ok(()) }
    }

    /// Removes files that nobody wants, oldest names first, until there is so much more room; says which.
    pub fn make_room(&mut self, folder: &Path, wanted: &[String], bytes: u64) -> Result<Vec<String>> {
        let (mut removed, mut freed) = (Vec::new(), 0u64);
        for name in self.files.clone() {
            if freed >= bytes {
                break;
            }
            if wanted.contains(&name) {
                continue;
            }
            let path = folder.join(&name);
            let room = |meta: fs::Metadata| match name.ends_with(".part") {
                // One that is being filled has holes.
                true => meta.len().min(meta.blocks() * 512),
                false => meta.len(),
            };
            let size = path.metadata().map_or(0, room);
            match fs::remove_file(&path) {
                Ok(()) => {
                    freed += size;
                    removed.push(name.clone());
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error).with_context(|| format!("cannot remove {}", path.display())),
            }
            self.files.remove(&name);
        }
        self.write(folder).map(|()| removed)
    }

    fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FETCHED_FILE);
        let beside = folder.join(format!("{FETCHED_FILE}.new"));
        let told = || format!("cannot write {}", path.display());
        let text = serde_json::to_string(self).with_context(told)?;
        let mut how = plainly();
        let mut file = how.write(true).create(true).truncate(true).open(&beside).with_context(told)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(told)?;
        fs::rename(&beside, &path).with_context(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let folder = std::env::temp_dir().join(format!("duet-store-{}-{name}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            Folder(folder)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_a_part_holds_is_known_again_after_a_restart_and_damage_is_seen() {
        let folder = Folder::new("part");
        let whole: Vec<u8> = (0..=250).cycle().take(2 * CHUNK_BYTES as usize + 99).collect();
        fs::write(folder.0.join("from"), &whole).unwrap();
        let tree = read_tree(&folder.0.join("from")).unwrap();
        let chunk = |n| read_chunk(&folder.0.join("from"), &tree, n).unwrap();
        let (part, have) = Part::open(&folder.0, "a.bin", &tree).unwrap();
        assert_eq!((have.count(), have.n()), (0, 3));
        part.write(&tree, 2, &chunk(2)).unwrap();
        part.write(&tree, 0, &chunk(0)).unwrap();
        part.write(&tree, 1, &chunk(1)[1..]).unwrap();
        drop(part);
        let (part, have) = Part::open(&folder.0, "a.bin", &tree).unwrap();
        assert_eq!(have.iter().collect::<Vec<_>>(), [0, 2]);
        part.write(&tree, 1, &chunk(1)).unwrap();
        part.finish(&folder.0.join("a.bin")).unwrap();
        assert_eq!(fs::read(folder.0.join("a.bin")).unwrap(), whole);
        assert!(!Part::path_of(&folder.0, "a.bin").exists());
        let path = Part::path_of(&folder.0, "a.bin");
        std::os::unix::fs::symlink(folder.0.join("a.bin"), &path).unwrap();
        assert!(Part::open(&folder.0, "a.bin", &tree).is_err());
        fs::remove_file(&path).unwrap();
        pipe(&path);
        assert!(Part::open(&folder.0, "a.bin", &tree).is_err());
    }

    fn pipe(path: &Path) {
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    }

    #[test]
    fn only_what_was_fetched_and_is_not_wanted_goes_when_room_is_needed() {
        let folder = Folder::new("room");
        let mut fetched = Fetched::read(&folder.0);
        for name in ["a.bin", "b.bin", "c.bin", "owner.bin"] {
            fs::write(folder.0.join(name), [0; 100]).unwrap();
            if name != "owner.bin" {
                fetched.add(&folder.0, name).unwrap();
            }
        }
        let mut fetched = Fetched::read(&folder.0);
        assert_eq!(fetched.make_room(&folder.0, &["a.bin".into()], 50).unwrap(), ["b.bin"]);
        assert_eq!(fetched.make_room(&folder.0, &["a.bin".into()], 5000).unwrap(), ["c.bin"]);
        assert!(folder.0.join("a.bin").exists() && folder.0.join("owner.bin").exists());
        fs::write(folder.0.join(FETCHED_FILE), r#"{"files":["../x",".y","a.bin"]}"#).unwrap();
        assert_eq!(Fetched::read(&folder.0).files.into_iter().collect::<Vec<_>>(), ["a.bin"]);
        fs::remove_file(folder.0.join(FETCHED_FILE)).unwrap();
        pipe(&folder.0.join(FETCHED_FILE));
        assert_eq!(Fetched::read(&folder.0), Fetched::default());
    }

    #[test]
    fn a_full_disk_is_told_with_what_is_missing() {
        let room = Room { free_bytes: 300 << 20, reserve_bytes: DISK_RESERVE_BYTES, is_memory: false };
        assert_eq!(room.refusal("a.gguf", 200 << 20), None);
        assert_eq!(
            room.refusal("a.gguf", 250 << 20).unwrap(),
            "a.gguf is not fetched: it needs 250 MiB of room on the disk and 64 MiB stay free, so 14 MiB are missing"
        );
        assert_eq!(room.missing(u64::MAX), u64::MAX - (300 << 20));
    }
}
