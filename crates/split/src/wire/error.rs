//! What is wrong with bytes that came, in a sentence.

use super::VERSION;
use std::fmt;

/// What is wrong with bytes that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireError {
    /// The other speaks something else.
    Magic,
    Version {
        found: u8,
    },
    Kind {
        found: u8,
    },
    /// More than this kind has.
    Length {
        bytes: usize,
        max: usize,
    },
    /// A frame is missing, or came twice.
    Number {
        found: u32,
        want: u32,
    },
    /// The bytes are not those that were sent.
    Check,
    /// The body ends before its fields, or goes on behind them.
    Body,
    /// A field is beyond its limit.
    Field {
        name: &'static str,
    },
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WireError::Magic => f.write_str("this is no stage of ours"),
            WireError::Version { found } => write!(f, "the format is {found}, and here {VERSION}"),
            WireError::Kind { found } => write!(f, "there is no frame of kind {found}"),
            WireError::Length { bytes, max } => {
                write!(f, "a frame of {bytes} bytes, where {max} are the most")
            }
            WireError::Number { found, want } => write!(f, "frame {found} came, where {want} was due"),
            WireError::Check => f.write_str("a frame was damaged on its way"),
            WireError::Body => f.write_str("a frame is shorter or longer than its fields"),
            WireError::Field { name } => write!(f, "{name} is beyond its limit"),
        }
    }
}

impl std::error::Error for WireError {}
