//! The index of memory: the words of each fact and its vector, in sled; never the truth.
//!
//! It is read into memory (`postings`, `vectors`) when it is opened, and only written after that. It is rebuilt from the
//! book when it is missing or broken, and follows the book when it is older. sled 0.34 cuts off what it cannot read and says
//! nothing; a fact whose row is gone is one that the index lacks.
//! It may also panic on a spoiled file, or stop the program. So a mark stands beside the index while it is opened and read
//! through: one that is still there the next time says that the index is to go.
//! sled never syncs its file `conf` nor its folder; that is done here.

use super::postings::{Counted, Postings};
use super::vectors::Vectors;
use journal::{Book, Chain, FactId};
use sled::{Db, Tree};
use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Counted up whenever words are cut in another way, or are laid down in another.
const FORMAT: u8 = 2;
const HEAD: &[u8] = b"head";
/// Memory that sled keeps pages in.
const CACHE_BYTES: u64 = 4 << 20;
/// Facts of one flush while the index follows.
const FLUSH_EVERY: usize = 5000;
const LOCK_TRIES: usize = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// A model and the vectors that it made.
pub type Made = (String, Vec<(FactId, Vec<i8>)>);

/// How the index was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Whole,
    /// So many facts were added or taken out.
    Older(usize),
    /// It was made anew, and why.
    Rebuilt(String),
}

#[derive(Debug)]
pub enum IndexError {
    Sled(sled::Error),
    Io(io::Error),
    Garbled(&'static str),
}

impl std::fmt::Display for IndexError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            IndexError::Sled(error) => error.fmt(f),
            IndexError::Io(error) => error.fmt(f),
            IndexError::Garbled(what) => write!(f, "{what} cannot be read"),
        }
    }
}

impl std::error::Error for IndexError {}

impl From<sled::Error> for IndexError {
    fn from(error: sled::Error) -> IndexError {
        IndexError::Sled(error)
    }
}

impl From<io::Error> for IndexError {
    fn from(error: io::Error) -> IndexError {
        IndexError::Io(error)
    }
}

/// Where the journal stood when the index was written.
pub type Head = (u64, Chain);

pub struct Index {
    db: Db,
    /// Id: its words.
    facts: Tree,
    /// Id: the vector, of the model that is named beside the head.
    vectors: Tree,
    words: Postings,
    near: Vectors,
    model: String,
}

fn id(bytes: &[u8]) -> Result<FactId, IndexError> {
    bytes.try_into().map(FactId).map_err(|_| IndexError::Garbled("an id"))
}

impl Index {
    /// The index in this folder, as the book is.
    pub fn open(folder: &Path, book: &Book, head: Head) -> Result<(Index, Found), IndexError> {
        let open = || Index::open_once(folder, book, head);
        // After a panic the mark is there, so the second time nothing of the old one is read.
        catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|_| open())
    }

    fn open_once(folder: &Path, book: &Book, head: Head) -> Result<(Index, Found), IndexError> {
        let mark = mark(folder);
        let why = if mark.exists() {
            Some("it could not be read to its end".to_owned())
        } else if !folder.exists() {
            Some("it was not there".to_owned())
        } else {
            None
        };
        if why.is_some() {
            remove(folder)?;
        }
        doubt(folder)?;
        let opened = Index::read(folder).and_then(|mut index| match index.gone(book).is_empty() {
            true => index.follow(book, head).map(|n| (index, n)),
            // sled's log would keep the words of what is forgotten.
            false => {
                let n = index.gone(book).len() + index.lacking(book).len();
                Ok((Index::renew(folder, book, head, index.into_vectors())?, n))
            }
        });
        let opened = match (opened, why) {
            (Ok((index, _)), Some(why)) => Ok((index, Found::Rebuilt(why))),
            (Ok((index, 0)), None) => Ok((index, Found::Whole)),
            (Ok((index, n)), None) => Ok((index, Found::Older(n))),
            (Err(error), _) => {
                let index = Index::renew(folder, book, head, Made::default())?;
                Ok((index, Found::Rebuilt(error.to_string())))
            }
        };
        fs::remove_file(&mark)?;
        opened
    }

    /// A new index in the place of one that nobody has open.
    pub fn renew(
        folder: &Path,
        book: &Book,
        head: Head,
        (model, vectors): Made,
    ) -> Result<Index, IndexError> {
        remove(folder)?;
        let mut index = Index::read(folder)?;
        index.follow(book, head)?;
        index.set_model(&model)?;
        vectors.into_iter().try_for_each(|(id, vector)| index.put_vector(id, &vector))?;
        index.settle(head)?;
        Ok(index)
    }

    fn read(folder: &Path) -> Result<Index, IndexError> {
        let is_new = !folder.exists();
        let db = patiently(folder)?;
        let (facts, vectors) = (db.open_tree("facts")?, db.open_tree("vectors")?);
        if is_new {
            db.insert("format", &[FORMAT])?;
            db.flush()?;
            sync(folder)?;
        } else if db.get("format")?.as_deref() != Some(&[FORMAT]) {
            return Err(IndexError::Garbled("an index of another program"));
        }
        let model = db.get("model")?.unwrap_or_default();
        let model = String::from_utf8(model.to_vec()).map_err(|_| IndexError::Garbled("a model's name"))?;
        let (mut words, mut near) = (Postings::default(), Vectors::default());
        for pair in facts.iter() {
            let (key, row) = pair?;
            words.put(id(&key)?, Counted::read(&row).ok_or(IndexError::Garbled("the words of a fact"))?);
        }
        for pair in vectors.iter() {
            let (key, value) = pair?;
            let vector: Vec<i8> = value.iter().map(|byte| *byte as i8).collect();
            if !near.put(id(&key)?, &vector) {
                return Err(IndexError::Garbled("a vector"));
            }
        }
        Ok(Index { db, facts, vectors, words, near, model })
    }

    /// Facts that the book has no more.
    fn gone(&self, book: &Book) -> Vec<FactId> {
        self.words.ids().iter().filter(|id| book.fact(id).is_none()).copied().collect()
    }

    fn lacking(&self, book: &Book) -> Vec<FactId> {
        book.facts().map(|fact| fact.id).filter(|id| !self.words.has(id)).collect()
    }

    /// Brings in what the index lacks of the book; how many facts that were.
    fn follow(&mut self, book: &Book, head: Head) -> Result<usize, IndexError> {
        let is_here = self.db.get(HEAD)?.is_some_and(|kept| kept == head_bytes(head));
        if is_here && self.words.ids().len() == book.facts().len() {
            return Ok(0);
        }
        let lacking = self.lacking(book);
        for (idx, id) in lacking.iter().enumerate() {
            let Some(fact) = book.fact(id) else { continue };
            self.put_fact(id, &fact.text)?;
            if idx % FLUSH_EVERY == FLUSH_EVERY - 1 {
                self.db.flush()?;
            }
        }
        self.settle(head)?;
        Ok(lacking.len())
    }

    /// After the journal has taken a fact; [`Index::settle`] follows.
    pub fn put_fact(&mut self, id: &FactId, text: &str) -> Result<(), IndexError> {
        if !self.words.has(id) {
            let counted = Counted::of(text);
            self.facts.insert(id.0, counted.row())?;
            self.words.put(*id, counted);
        }
        Ok(())
    }

    /// Says that the index is where the journal is.
    pub fn settle(&mut self, head: Head) -> Result<(), IndexError> {
        self.db.insert(HEAD, head_bytes(head))?;
        self.db.flush()?;
        Ok(())
    }

    /// The model whose vectors are kept; another one's take their place.
    pub fn set_model(&mut self, model: &str) -> Result<(), IndexError> {
        if self.model != model {
            self.vectors.clear()?;
            self.near = Vectors::default();
            self.db.insert("model", model)?;
            self.model = model.to_owned();
        }
        Ok(())
    }

    pub fn model(&self) -> &str {
        &self.model
    }

    /// A vector of a fact that is there.
    pub fn put_vector(&mut self, id: FactId, vector: &[i8]) -> Result<(), IndexError> {
        if self.words.has(&id) && self.near.put(id, vector) {
            let bytes: Vec<u8> = vector.iter().map(|x| *x as u8).collect();
            self.vectors.insert(id.0, bytes)?;
        }
        Ok(())
    }

    /// The model and its vectors, for another index.
    pub fn into_vectors(self) -> Made {
        let all = self.near.all().map(|(id, vector)| (id, vector.to_vec())).collect();
        (self.model, all)
    }

    pub fn near(&self) -> &Vectors {
        &self.near
    }

    pub fn words(&self) -> &Postings {
        &self.words
    }
}

/// Threads of sled may hold its lock for a moment after the last index was dropped.
fn patiently(folder: &Path) -> Result<Db, sled::Error> {
    let open = || sled::Config::new().path(folder).cache_capacity(CACHE_BYTES).flush_every_ms(None).open();
    for _ in 1..LOCK_TRIES {
        match open() {
            Err(error) if error.to_string().contains("lock") => std::thread::sleep(LOCK_PAUSE),
            opened => return opened,
        }
    }
    open()
}

fn head_bytes((number, chain): Head) -> Vec<u8> {
    [&number.to_le_bytes()[..], &chain.0].concat()
}

fn mark(folder: &Path) -> PathBuf {
    folder.with_extension("opening")
}

/// Says that an index is to be made anew when it is opened the next time.
pub fn doubt(folder: &Path) -> io::Result<()> {
    File::create(mark(folder))?.sync_all()
}

/// Takes an index away that nobody has open.
fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What sled leaves out.
fn sync(folder: &Path) -> io::Result<()> {
    for name in ["conf", "db"] {
        File::open(folder.join(name))?.sync_all()?;
    }
    File::open(folder)?.sync_all()?;
    folder.parent().map_or(Ok(()), |above| File::open(above)?.sync_all())
}
