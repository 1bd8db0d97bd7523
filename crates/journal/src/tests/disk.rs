//! A disk in memory by the rules of POSIX: data are durable after a sync of their file, names after a sync of the folder,
//! and a power cut keeps of all else whatever it likes, in any order.

use crate::storage::Storage;
use std::collections::{BTreeMap, BTreeSet};

/// Dice (xorshift64*).
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below
    }
}

/// Files are numbers, as inodes are: a name that is renamed over leaves its file behind.
#[derive(Clone, Debug)]
enum Op {
    Create { name: String, file: usize },
    Rename { from: String, to: String },
    Remove { name: String },
    Write { file: usize, at: usize, bytes: Vec<u8> },
    Truncate { file: usize, length: usize },
    Sync { file: usize },
    SyncFolder,
}

/// What a power cut keeps of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    Nothing,
    Everything,
    /// Each step or not; an append is several.
    Some,
}

#[derive(Clone, Debug, Default)]
pub struct Disk {
    names: BTreeMap<String, usize>,
    files: Vec<Vec<u8>>,
    ops: Vec<Op>,
    /// Bytes that still go on it.
    pub room: Option<usize>,
    /// Syncs until one fails.
    pub syncs_left: Option<usize>,
}

impl Disk {
    pub fn n_ops(&self) -> usize {
        self.ops.len()
    }

    /// The disk after a power cut that came behind so many steps.
    pub fn cut(&self, n_ops: usize, kept: Kept, dice: &mut Dice) -> Disk {
        let ops = &self.ops[..n_ops];
        let mut synced_files = BTreeSet::new();
        let mut is_folder_synced = false;
        let mut survives = vec![true; n_ops];
        for (idx, op) in ops.iter().enumerate().rev() {
            let is_durable = match op {
                Op::Sync { file } => {
                    synced_files.insert(*file);
                    true
                }
                Op::SyncFolder => {
                    is_folder_synced = true;
                    true
                }
                Op::Write { file, .. } | Op::Truncate { file, .. } => synced_files.contains(file),
                Op::Create { .. } | Op::Rename { .. } | Op::Remove { .. } => is_folder_synced,
            };
            survives[idx] = is_durable
                || match kept {
                    Kept::Nothing => false,
                    Kept::Everything => true,
                    Kept::Some => dice.roll(2) == 0,
                };
        }
        let mut disk = Disk { files: vec![vec![]; self.files.len()], ..Disk::default() };
        for (op, _) in ops.iter().zip(survives).filter(|(_, survives)| *survives) {
            disk.replay(op);
        }
        // What is on it now is durable: nothing is left to be lost.
        disk.settled()
    }

    fn replay(&mut self, op: &Op) {
        match op {
            Op::Create { name, file } => {
                self.names.insert(name.clone(), *file);
            }
            Op::Rename { from, to } => {
                if let Some(file) = self.names.remove(from) {
                    self.names.insert(to.clone(), file);
                }
            }
            Op::Remove { name } => _ = self.names.remove(name),
            Op::Write { file, at, bytes } => {
                let content = &mut self.files[*file];
                let end = at + bytes.len();
                content.resize(content.len().max(end), 0);
                content[*at..end].copy_from_slice(bytes);
            }
            Op::Truncate { file, length } => self.files[*file].truncate(*length),
            Op::Sync { .. } | Op::SyncFolder => {}
        }
    }

    /// Its content as steps that are all synced.
    fn settled(mut self) -> Disk {
        let names = std::mem::take(&mut self.names);
        let files = std::mem::take(&mut self.files);
        let mut disk = Disk::default();
        for (name, file) in names {
            disk.create(&name).unwrap();
            disk.append(&name, &files[file]).unwrap();
            disk.sync(&name).unwrap();
        }
        disk.sync_folder().unwrap();
        disk
    }

    /// All that can be found on it by name.
    pub fn holds(&self, text: &str) -> bool {
        let mut files = self.names.values().map(|file| &self.files[*file]);
        files.any(|file| file.windows(text.len()).any(|at| at == text.as_bytes()))
    }

    pub fn names(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    pub fn file(&mut self, name: &str) -> &mut Vec<u8> {
        &mut self.files[self.names[name]]
    }

    fn at(&self, name: &str) -> Result<usize, String> {
        self.names.get(name).copied().ok_or_else(|| format!("{name} is not there"))
    }

    fn write(&mut self, file: usize, bytes: &[u8]) {
        let at = self.files[file].len();
        self.files[file].extend(bytes);
        // A file system may write the parts of one append in any order.
        for (n, part) in bytes.chunks(97).enumerate() {
            self.ops.push(Op::Write { file, at: at + n * 97, bytes: part.to_vec() });
        }
    }

    fn count_sync(&mut self) -> Result<(), String> {
        match &mut self.syncs_left {
            Some(0) => {
                self.syncs_left = None;
                Err("the disk failed".into())
            }
            Some(n) => {
                *n -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Storage for Disk {
    type Error = String;

    fn list(&mut self) -> Result<Vec<String>, String> {
        Ok(self.names())
    }

    fn read(&mut self, name: &str, bytes_max: usize) -> Result<Vec<u8>, String> {
        let file = self.at(name)?;
        Ok(self.files[file].iter().take(bytes_max).copied().collect())
    }

    fn create(&mut self, name: &str) -> Result<(), String> {
        if let Ok(file) = self.at(name) {
            self.files[file].clear();
            self.ops.push(Op::Truncate { file, length: 0 });
            return Ok(());
        }
        let file = self.files.len();
        self.files.push(vec![]);
        self.names.insert(name.to_owned(), file);
        self.ops.push(Op::Create { name: name.to_owned(), file });
        Ok(())
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), String> {
        let file = self.at(name)?;
        let room = self.room.unwrap_or(usize::MAX);
        let n = bytes.len().min(room);
        self.write(file, &bytes[..n]);
        self.room = self.room.map(|room| room - n);
        if n < bytes.len() { Err("no space left".into()) } else { Ok(()) }
    }

    fn truncate(&mut self, name: &str, length: u64) -> Result<(), String> {
        let file = self.at(name)?;
        let length = length as usize;
        let freed = self.files[file].len().saturating_sub(length);
        self.room = self.room.map(|room| room + freed);
        self.files[file].truncate(length);
        self.ops.push(Op::Truncate { file, length });
        Ok(())
    }

    fn sync(&mut self, name: &str) -> Result<(), String> {
        let file = self.at(name)?;
        self.count_sync()?;
        self.ops.push(Op::Sync { file });
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), String> {
        let file = self.at(from)?;
        self.names.remove(from);
        self.names.insert(to.to_owned(), file);
        self.ops.push(Op::Rename { from: from.to_owned(), to: to.to_owned() });
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<(), String> {
        self.at(name)?;
        self.names.remove(name);
        self.ops.push(Op::Remove { name: name.to_owned() });
        Ok(())
    }

    fn sync_folder(&mut self) -> Result<(), String> {
        self.count_sync()?;
        self.ops.push(Op::SyncFolder);
        Ok(())
    }
}
