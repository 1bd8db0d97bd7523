//! The journal's folder on a real file system.
//!
//! Files are for the agent alone, and a lock keeps a second agent out of the same folder.

use journal::Storage;
use rustix::fs::{FlockOperation, flock};
use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const LOCK: &str = "lock";
const MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;
/// Names in the folder; a journal of ours has a thousand segments at most.
const NAMES_MAX: usize = 4096;

#[derive(Debug)]
pub struct Files {
    path: PathBuf,
    folder: File,
    /// The file that was written last, most often the next one too.
    open: Option<(String, File)>,
    /// Held as long as this lives, and by the kernel no longer than the process.
    _lock: File,
}

impl Files {
    /// Makes the folder if it is not there.
    pub fn open(path: &Path) -> io::Result<Files> {
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path)?;
        if let Some(above) = path.parent() {
            File::open(above)?.sync_all()?;
        }
        let lock =
            File::options().write(true).create(true).truncate(false).mode(MODE).open(path.join(LOCK))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| io::Error::new(ErrorKind::WouldBlock, "another agent has this memory"))?;
        Ok(Files { path: path.to_owned(), folder: File::open(path)?, open: None, _lock: lock })
    }

    fn file(&mut self, name: &str) -> io::Result<&mut File> {
        if self.open.as_ref().is_none_or(|(open, _)| open != name) {
            let file = File::options().append(true).open(self.path.join(name))?;
            self.open = Some((name.to_owned(), file));
        }
        let (_, file) = self.open.as_mut().ok_or(ErrorKind::NotFound)?;
        Ok(file)
    }
}

impl Storage for Files {
    type Error = io::Error;

    fn list(&mut self) -> io::Result<Vec<String>> {
        let mut names = vec![];
        for entry in std::fs::read_dir(&self.path)?.take(NAMES_MAX) {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.extend(entry.file_name().into_string());
            }
        }
        Ok(names)
    }

    fn read(&mut self, name: &str, bytes_max: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![];
        File::open(self.path.join(name))?.take(bytes_max as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn create(&mut self, name: &str) -> io::Result<()> {
        let path = self.path.join(name);
        let mut options = File::options();
        let file = options.write(true).create(true).truncate(true).mode(MODE).open(path)?;
        self.open = Some((name.to_owned(), file));
        Ok(())
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.file(name)?.write_all(bytes)
    }

    fn truncate(&mut self, name: &str, bytes: u64) -> io::Result<()> {
        self.file(name)?.set_len(bytes)?;
        // One that was created here writes where it stands, not at the end.
        self.open = None;
        Ok(())
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.file(name)?.sync_data()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.open = None;
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.open = None;
        std::fs::remove_file(self.path.join(name))
    }

    fn sync_folder(&mut self) -> io::Result<()> {
        self.folder.sync_all()
    }
}
