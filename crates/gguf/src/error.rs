//! What can be wrong with a model file, and where.

use crate::Kind;
use std::fmt;

/// Why a file is refused. Positions count bytes from the start of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The medium failed, not the file's matter.
    Read { at: u64, why: String },
    /// A writer's medium failed.
    Write { why: String },
    /// The file is larger than any model for these PCs.
    FileTooLarge { bytes: u64, max: u64 },
    /// Another kind of file.
    NotGguf { found: [u8; 4] },
    /// Another version of the format.
    Version { found: u32 },
    /// The file ends before what it promised.
    Truncated { what: String, at: u64, needs: u64, left: u64 },
    /// More of something than a model has.
    TooMany { what: String, at: u64, n: u64, max: u64 },
    /// A text that is not UTF-8, is empty, or holds a zero byte.
    Text { what: String, at: u64, why: &'static str },
    /// A number that the format does not know.
    Unknown { what: String, at: u64, found: u32 },
    /// The same name twice.
    Twice { what: &'static str, name: String },
    /// `general.alignment` is no alignment.
    Alignment { found: String },
    /// A tensor whose shape is impossible.
    Shape { tensor: String, why: &'static str },
    /// Rows are no whole blocks.
    Block { tensor: String, kind: Kind, row: u64 },
    /// A tensor's place is impossible.
    Place { tensor: String, offset: u64, why: &'static str },
    /// The file is well made, but no model: which key or tensor, and what is wrong with it.
    Model { name: String, why: String },
    /// A model that cannot be cut, or not there; or a slice that does not say what it is.
    Slice { why: String },
    /// The hash behind a file does not fit its bytes.
    Seal { why: &'static str },
    /// A writer was given other bytes than it was promised.
    Unfinished { tensor: String, bytes: u64, promised: u64 },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Read { at, why } => write!(f, "cannot read at byte {at}: {why}"),
            Error::Write { why } => write!(f, "cannot write: {why}"),
            Error::FileTooLarge { bytes, max } => {
                write!(f, "the file has {bytes} bytes, more than the {max} that are taken")
            }
            Error::NotGguf { found } => {
                write!(f, "this is no GGUF file: it begins with {:?}", String::from_utf8_lossy(found))
            }
            Error::Version { found } => write!(f, "GGUF version {found} is not known, only 2 and 3 are"),
            Error::Truncated { what, at, needs, left } => {
                write!(f, "the file ends inside {what}: {needs} bytes from byte {at} on, but {left} are left")
            }
            Error::TooMany { what, at, n, max } => {
                write!(f, "{what} at byte {at}: {n}, but at most {max} are taken")
            }
            Error::Text { what, at, why } => write!(f, "{what} at byte {at} {why}"),
            Error::Unknown { what, at, found } => {
                write!(f, "{what} at byte {at} is {found}, which is unknown")
            }
            Error::Twice { what, name } => write!(f, "{what} {name:?} is there twice"),
            Error::Alignment { found } => {
                write!(f, "general.alignment is {found}, not a power of two from 8 to 65536 as u32")
            }
            Error::Shape { tensor, why } => write!(f, "tensor {tensor:?} {why}"),
            Error::Block { tensor, kind, row } => write!(
                f,
                "tensor {tensor:?} has rows of {row} weights, which are no whole {kind} blocks of {}",
                kind.block()
            ),
            Error::Place { tensor, offset, why } => {
                write!(f, "tensor {tensor:?} at byte {offset} of the data {why}")
            }
            Error::Model { name, why } => write!(f, "{name} {why}"),
            Error::Slice { why } => write!(f, "the model cannot be cut so: {why}"),
            Error::Seal { why } => write!(f, "the seal {why}"),
            Error::Unfinished { tensor, bytes, promised } => {
                write!(f, "tensor {tensor:?} got {bytes} bytes, {promised} were promised")
            }
        }
    }
}

impl std::error::Error for Error {}
