//! The book of all calls: lines that are on the disk before a call goes on, in two files of bounded size.
//!
//! When the newer is full it becomes the older, and the older goes. A line that a power cut tore is passed over.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use tools::AuditRecord;
use tools::audit::LINE_BYTES_MAX;

const NAME: &str = "tool-calls.jsonl";
const OLD_NAME: &str = "tool-calls.old.jsonl";
/// Of each of the two.
const FILE_BYTES_MAX: u64 = 512 << 10;

#[derive(Debug)]
pub struct Book {
    folder: Option<PathBuf>,
    file: Option<File>,
    bytes: u64,
    next: u64,
    /// Where there is no folder, the last lines; they go with the program.
    last: Vec<AuditRecord>,
}

/// Of a program that has no folder.
const LAST_MAX: usize = 200;

impl Book {
    /// Nothing survives a book without a folder.
    pub fn open(folder: Option<&Path>) -> io::Result<Book> {
        let mut book =
            Book { folder: folder.map(Path::to_owned), file: None, bytes: 0, next: 1, last: vec![] };
        let Some(folder) = folder else { return Ok(book) };
        let mut file =
            File::options().read(true).append(true).create(true).mode(0o600).open(folder.join(NAME))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(ErrorKind::WouldBlock, "another agent writes this book"));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let mut text = vec![];
        (&mut file).take(FILE_BYTES_MAX + LINE_BYTES_MAX as u64).read_to_end(&mut text)?;
        book.bytes = text.len() as u64;
        // What was torn must not swallow the next line.
        if text.last().is_some_and(|byte| *byte != b'\n') {
            file.write_all(b"\n")?;
            book.bytes += 1;
        }
        book.next = records(&text).last().or(older(folder).last()).map_or(1, |last| last.number + 1);
        book.file = Some(file);
        File::open(folder)?.sync_all()?;
        Ok(book)
    }

    /// Returns when the line cannot be lost any more.
    pub fn write(&mut self, record: AuditRecord) -> io::Result<()> {
        let record = AuditRecord { number: self.next, ..record };
        let line = record.line();
        if let Some(folder) = &self.folder {
            if self.file.is_none() || self.bytes + line.len() as u64 > FILE_BYTES_MAX {
                self.file = None;
                let turned = std::fs::rename(folder.join(NAME), folder.join(OLD_NAME));
                turned
                    .or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
                let mut options = File::options();
                let file =
                    options.read(true).append(true).create_new(true).mode(0o600).open(folder.join(NAME))?;
                file.try_lock().map_err(io::Error::other)?;
                File::open(folder)?.sync_all()?;
                (self.file, self.bytes) = (Some(file), 0);
            }
            let Some(file) = &mut self.file else { return Err(ErrorKind::NotFound.into()) };
            file.write_all(line.as_bytes())?;
            self.bytes += line.len() as u64;
            file.sync_data()?;
        } else {
            self.last.drain(..(self.last.len() + 1).saturating_sub(LAST_MAX));
            self.last.push(record);
        }
        self.next += 1;
        Ok(())
    }

    /// The last so many, oldest first.
    pub fn last(&self, n_max: usize) -> Vec<AuditRecord> {
        match &self.folder {
            Some(folder) => read(folder, n_max),
            None => self.last[self.last.len().saturating_sub(n_max)..].to_vec(),
        }
    }
}

/// As any program may read it that can open the files.
pub fn read(folder: &Path, n_max: usize) -> Vec<AuditRecord> {
    let mut all = older(folder);
    all.extend(records(&bytes(&folder.join(NAME))));
    all.drain(..all.len().saturating_sub(n_max));
    all
}

fn older(folder: &Path) -> Vec<AuditRecord> {
    records(&bytes(&folder.join(OLD_NAME)))
}

fn bytes(path: &Path) -> Vec<u8> {
    let mut bytes = vec![];
    let read = File::open(path).and_then(|file| file.take(2 * FILE_BYTES_MAX).read_to_end(&mut bytes));
    if read.is_ok() { bytes } else { vec![] }
}

fn records(text: &[u8]) -> Vec<AuditRecord> {
    let lines = text.split(|byte| *byte == b'\n').filter_map(|line| str::from_utf8(line).ok());
    lines.filter_map(AuditRecord::read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process;
    use tools::Outcome;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("duet-book-{name}-{}", process::id()));
            let _ = std::fs::remove_dir_all(&path);
            std::fs::create_dir_all(&path).unwrap();
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// A book that was closed just now. A program that another test starts holds its lock for a moment, until it is another.
    fn again(folder: &Path) -> Book {
        loop {
            match Book::open(Some(folder)) {
                Ok(book) => return book,
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn record(tool: &str) -> AuditRecord {
        AuditRecord::new(7, tool, "{}", "a test", Outcome::Began)
    }

    fn numbers(folder: &Path) -> Vec<u64> {
        read(folder, usize::MAX).iter().map(|record| record.number).collect()
    }

    #[test]
    fn the_count_goes_on_where_it_was_and_a_torn_line_is_passed_over() {
        let folder = Folder::new("torn");
        let mut book = Book::open(Some(&folder.0)).unwrap();
        book.write(record("a")).unwrap();
        assert!(Book::open(Some(&folder.0)).is_err(), "two write one book");
        book.write(record("b")).unwrap();
        drop(book);
        let mut file = File::options().append(true).open(folder.0.join(NAME)).unwrap();
        file.write_all(b"{\"number\":99,\"at_s\":1,\"to").unwrap();
        let mut book = again(&folder.0);
        book.write(record("c")).unwrap();
        assert_eq!(numbers(&folder.0), [1, 2, 3]);
        assert_eq!(book.last(1)[0].tool, "c");
    }

    #[test]
    fn two_files_are_all_that_a_book_takes() {
        let folder = Folder::new("full");
        let mut book = Book::open(Some(&folder.0)).unwrap();
        let long = record("a").why(&"x".repeat(300));
        let n_lines = 3 * FILE_BYTES_MAX as usize / long.line().len();
        // The disk of a test is not asked to sync thousands of times: the lines are written at once.
        let text: String =
            (1..=n_lines as u64).map(|number| AuditRecord { number, ..long.clone() }.line()).collect();
        let (first, rest) = text.split_at(text[..FILE_BYTES_MAX as usize].rfind('\n').unwrap() + 1);
        assert!(!rest.is_empty());
        drop(book);
        std::fs::write(folder.0.join(NAME), first).unwrap();
        book = again(&folder.0);
        let n_first = first.lines().count() as u64;
        book.write(long.clone()).unwrap();
        book.write(long).unwrap();
        let numbers = numbers(&folder.0);
        assert_eq!((numbers[0], *numbers.last().unwrap()), (1, n_first + 2));
        let bytes: u64 =
            [NAME, OLD_NAME].iter().map(|name| folder.0.join(name).metadata().unwrap().len()).sum();
        assert!(bytes <= 2 * FILE_BYTES_MAX);
    }

    #[test]
    fn a_book_without_a_folder_keeps_the_last_lines() {
        let mut book = Book::open(None).unwrap();
        (0..LAST_MAX + 5).for_each(|_| book.write(record("a")).unwrap());
        assert_eq!(book.last(usize::MAX).len(), LAST_MAX);
        assert_eq!(book.last(1)[0].number, LAST_MAX as u64 + 5);
    }
}
