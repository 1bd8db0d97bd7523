//! Everything that can be wrong with what a stranger sent, each as one plain sentence.

use std::fmt;

/// Why bytes or a text were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Longer than any honest one.
    TooLong { what: &'static str, bytes_max: usize },
    /// Not the exact form that we write.
    Form { what: &'static str },
    /// Of another age than this program.
    Format { what: &'static str, found: u8 },
    /// A number or list beyond its limit.
    Limit { what: &'static str },
    /// The signature does not belong to these bytes and this key.
    Signature { what: &'static str },
    /// Of another cluster.
    Cluster,
    /// Not yet or no longer valid.
    Time { what: &'static str },
    /// The box was not sealed to this key, or was changed.
    Sealed,
    /// Two things that must belong together do not.
    Mismatch { what: &'static str },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::TooLong { what, bytes_max } => write!(f, "{what} is longer than {bytes_max} bytes"),
            Error::Form { what } => write!(f, "{what} is not in the form that duet writes"),
            Error::Format { what, found } => {
                write!(f, "{what} has format {found}, which this program does not know")
            }
            Error::Limit { what } => write!(f, "{what} is beyond its limit"),
            Error::Signature { what } => write!(f, "the signature of {what} does not match the key"),
            Error::Cluster => write!(f, "this belongs to another cluster"),
            Error::Time { what } => write!(f, "{what} is not valid at this time"),
            Error::Sealed => write!(f, "the sealed box does not open with this key"),
            Error::Mismatch { what } => write!(f, "{what}"),
        }
    }
}

impl std::error::Error for Error {}
