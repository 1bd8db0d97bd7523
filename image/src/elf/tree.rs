//! The files and links of an unpacked root, read once.
//!
//! Links are resolved over what was read, never by the running system: an
//! absolute link starts again at the root, `..` stops there, and a loop ends.
//! So nothing outside the root is ever opened, whatever the tree says.

use super::{ElfError, Skipped};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A Debian system with everything this project installs has about 5000.
const FILES_MAX: usize = 1_000_000;
/// The kernel's own limit on links in one path.
const LINKS_MAX: usize = 40;
/// Larger ELF files are refused before they are read; libraries are far smaller.
const ELF_BYTES_MAX: u64 = 1 << 30;

/// A regular file; two names with one `id` are hard links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File {
    pub bytes: u64,
    pub id: (u64, u64),
}

/// Paths are relative to the root, with `/` between parts and none in front.
#[derive(Debug, Default)]
pub struct Tree {
    pub files: BTreeMap<String, File>,
    pub links: BTreeMap<String, String>,
    pub skipped: Vec<Skipped>,
}

impl Tree {
    /// Reads names, sizes and link targets below `root`, and no contents.
    pub fn read(root: &Path) -> Result<Tree, ElfError> {
        let mut tree = Tree::default();
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            tree.read_folder(root, &folder, &mut folders)
                .map_err(|error| read_error(root, &folder, error))?;
            if tree.files.len() + tree.links.len() + folders.len() > FILES_MAX {
                return Err(ElfError::TooManyFiles { max: FILES_MAX });
            }
        }
        tree.skipped.sort();
        Ok(tree)
    }

    fn read_folder(&mut self, root: &Path, folder: &str, folders: &mut Vec<String>) -> io::Result<()> {
        for entry in fs::read_dir(root.join(folder))? {
            let entry = entry?;
            let Some(path) = entry.file_name().to_str().map(|name| join(folder, name)) else {
                let why = "the name is not UTF-8".to_string();
                self.skipped.push(Skipped { path: join(folder, &entry.file_name().to_string_lossy()), why });
                continue;
            };
            let facts = entry.path().symlink_metadata()?;
            if facts.is_dir() {
                folders.push(path);
            } else if facts.is_symlink() {
                let target = fs::read_link(entry.path())?;
                self.links.insert(path, target.to_string_lossy().into_owned());
            } else if facts.is_file() {
                self.files.insert(path, File { bytes: facts.len(), id: (facts.dev(), facts.ino()) });
            }
        }
        Ok(())
    }

    /// The regular file that `path` leads to inside the root, if there is one.
    pub fn resolve(&self, path: &str) -> Option<&str> {
        let mut todo: Vec<String> = parts_reversed(path);
        let mut done = String::new();
        let mut n_links = 0;
        while let Some(part) = todo.pop() {
            if part == ".." {
                done.truncate(done.rfind('/').unwrap_or(0));
                continue;
            }
            let here = join(&done, &part);
            let Some(target) = self.links.get(&here) else {
                done = here;
                continue;
            };
            n_links += 1;
            if n_links > LINKS_MAX {
                return None;
            }
            if target.starts_with('/') {
                done.clear();
            }
            todo.extend(parts_reversed(target));
        }
        self.files.get_key_value(&done).map(|(path, _)| path.as_str())
    }

    /// All names of files that start as an ELF file does, one name per inode.
    pub fn elf_files(&self, root: &Path) -> Result<Vec<String>, ElfError> {
        let mut seen = std::collections::BTreeSet::new();
        let mut elf = Vec::new();
        for (path, file) in &self.files {
            if file.bytes < 4 || !seen.insert(file.id) {
                continue;
            }
            if starts_as_elf(&root.join(path)).map_err(|error| read_error(root, path, error))? {
                elf.push(path.clone());
            }
        }
        Ok(elf)
    }
}

/// The bytes of one file of the tree, if it is not absurdly large.
pub fn read_file(root: &Path, path: &str) -> Result<Vec<u8>, ElfError> {
    let full = root.join(path);
    let bytes = fs::symlink_metadata(&full).map_err(|error| read_error(root, path, error))?.len();
    if bytes > ELF_BYTES_MAX {
        let why = format!("{bytes} bytes are more than the {ELF_BYTES_MAX} that are looked into");
        return Err(ElfError::Malformed { path: path.to_string(), why });
    }
    fs::read(&full).map_err(|error| read_error(root, path, error))
}

fn starts_as_elf(path: &Path) -> io::Result<bool> {
    let mut magic = [0; 4];
    match fs::File::open(path)?.read_exact(&mut magic) {
        Ok(()) => Ok(&magic == b"\x7fELF"),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// `folder/name`, without a slash in front at the top.
pub(super) fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_string() } else { format!("{folder}/{name}") }
}

/// The folder of a path, empty at the top.
pub(super) fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The last part of a path.
pub(super) fn name_of(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

fn parts_reversed(path: &str) -> Vec<String> {
    path.split('/').rev().filter(|part| !part.is_empty() && *part != ".").map(str::to_string).collect()
}

fn read_error(root: &Path, path: &str, error: io::Error) -> ElfError {
    ElfError::Read { path: root.join(path).display().to_string(), error }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of links, and where one path leads.
    fn check(links: &[(&str, &str)], path: &str, want: Option<&str>) {
        let file = File { bytes: 1, id: (0, 0) };
        let tree = Tree {
            files: BTreeMap::from([("usr/lib/libx.so.1.2".to_string(), file), ("secret".to_string(), file)]),
            links: links.iter().map(|(from, to)| (from.to_string(), to.to_string())).collect(),
            skipped: Vec::new(),
        };
        assert_eq!(tree.resolve(path), want);
    }

    #[test]
    fn a_relative_link_leads_to_its_file() {
        check(&[("usr/lib/libx.so.1", "libx.so.1.2")], "usr/lib/libx.so.1", Some("usr/lib/libx.so.1.2"));
    }

    #[test]
    fn an_absolute_link_starts_again_at_the_root_of_the_tree() {
        check(&[("etc/x", "/usr/lib/libx.so.1.2")], "etc/x", Some("usr/lib/libx.so.1.2"));
    }

    #[test]
    fn a_linked_folder_is_walked_through() {
        check(&[("lib", "usr/lib")], "/lib/./libx.so.1.2", Some("usr/lib/libx.so.1.2"));
    }

    #[test]
    fn dots_never_climb_out_of_the_root() {
        check(&[("etc/x", "../../../../secret")], "etc/x", Some("secret"));
    }

    #[test]
    fn a_loop_of_links_leads_nowhere() {
        check(&[("a", "b"), ("b", "a")], "a", None);
    }

    #[test]
    fn a_link_that_grows_for_ever_leads_nowhere() {
        check(&[("a", "a/a/a")], "a", None);
    }

    #[test]
    fn a_dangling_link_leads_nowhere() {
        check(&[("a", "/nothing/here")], "a", None);
    }
}
