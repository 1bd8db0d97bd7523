//! Everything that can be wrong with a text of this crate, each as one plain sentence.

use std::fmt;

use crate::FileName;

/// Why a text was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The text is longer than any honest one.
    TooLong { what: &'static str, bytes_max: usize },
    /// The text holds bytes that no such text may hold.
    NotText { what: &'static str },
    /// One line of a file has the wrong form.
    Line { what: &'static str, line: usize, want: &'static str },
    /// One value has the wrong form.
    Value { what: &'static str, want: &'static str },
    /// A needed key or word is absent.
    Missing { what: &'static str, key: &'static str },
    /// A word appears twice on the boot line.
    Twice { word: &'static str },
    /// The manifest is of another age than this program.
    Format { found: u64, known: u64 },
    /// The manifest says the right things in a form we never write.
    NotCanonical,
    /// The manifest does not name a file that every boot needs.
    NoFile { name: FileName },
    /// The signature does not belong to these bytes and this key.
    Signature,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::TooLong { what, bytes_max } => write!(f, "{what} is longer than {bytes_max} bytes"),
            Error::NotText { what } => write!(f, "{what} is not plain text"),
            Error::Line { what, line, want } => write!(f, "{what}, line {line}: {want}"),
            Error::Value { what, want } => write!(f, "{what} is wrong: {want}"),
            Error::Missing { what, key } => write!(f, "{what} does not say {key}"),
            Error::Twice { word } => write!(f, "the boot line says {word} twice"),
            Error::Format { found, known } => {
                write!(f, "the manifest has format {found} and this program knows format {known}")
            }
            Error::NotCanonical => write!(f, "the manifest is not in the form that duet writes"),
            Error::NoFile { name } => write!(f, "the manifest does not name {name}"),
            Error::Signature => write!(f, "the signature of the manifest does not match the key"),
        }
    }
}

impl std::error::Error for Error {}
