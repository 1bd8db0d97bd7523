//! What is wrong with a file, where, and what to do about it.

use std::fmt;

/// Mistakes of one file that are told at once.
const MISTAKES_MAX: usize = 20;

/// A place in a file; both count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    pub line: usize,
    pub column: usize,
}

impl At {
    pub const START: At = At { line: 1, column: 1 };
}

/// One sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    pub at: At,
    pub what: String,
}

/// All that is wrong with one file, from its top to its end; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes {
    pub file: String,
    pub all: Vec<Mistake>,
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (idx, Mistake { at, what }) in self.all.iter().enumerate() {
            let end = if idx == 0 { "" } else { "\n" };
            write!(f, "{end}{}:{}:{}: {what}", self.file, at.line, at.column)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// Collects mistakes while a file is read on.
#[derive(Debug, Default)]
pub struct Pad {
    all: Vec<Mistake>,
}

impl Pad {
    pub fn note(&mut self, at: At, what: impl Into<String>) {
        self.all.push(Mistake { at, what: what.into() });
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The value, if nothing was wrong with it.
    pub fn done<T>(mut self, file: &str, value: Option<T>) -> Result<T, Mistakes> {
        match value {
            Some(value) if self.all.is_empty() => Ok(value),
            _ => {
                if self.all.is_empty() {
                    self.note(At::START, "the file could not be understood");
                }
                self.all.sort_by_key(|mistake| mistake.at);
                self.all.dedup();
                self.all.truncate(MISTAKES_MAX);
                Err(Mistakes { file: file.to_owned(), all: self.all })
            }
        }
    }
}
