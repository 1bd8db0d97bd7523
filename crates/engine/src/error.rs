//! What can go wrong, and in whose words.

use std::fmt;

/// Why the engine did not do what it was asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Error {
    /// The file cannot be opened or read.
    File { path: String, why: String },
    /// The file cannot be written.
    Write { path: String, why: String },
    /// The file is no model that could be loaded.
    Broken { path: String, why: gguf::Error },
    /// The library refused, with the last lines of its log.
    Library { what: &'static str, said: String },
    /// A setting beyond its limits.
    Setting { name: &'static str, value: String, want: String },
    /// A token that the vocabulary does not have.
    Token { token: i32, n_vocab: i32 },
    /// A text or a file that is longer than is taken.
    TooLong { what: &'static str, bytes: usize, max: usize },
    /// The evaluation was told to stop.
    Stopped,
    /// Loading was told to stop.
    Cancelled,
    /// The context has no room for more tokens.
    Full { n_ctx: u32 },
    /// The grammar is none, or allows nothing here.
    Grammar { why: &'static str },
    /// The model computed something that is no number: its file is damaged.
    NoNumber,
    /// A sampler was given the context of another model.
    OtherModel,
    /// The model cannot be a later stage of several.
    Stage { why: &'static str },
    /// A slice of a model was used as what it is not.
    Slice { why: &'static str },
    /// A saved state that does not belong here or was damaged.
    State { why: &'static str },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::File { path, why } => write!(f, "cannot read {path}: {why}"),
            Error::Write { path, why } => write!(f, "cannot write {path}: {why}"),
            Error::Broken { path, why } => write!(f, "{path} is no good model: {why}"),
            Error::Library { what, said } if said.is_empty() => write!(f, "llama.cpp refused to {what}"),
            Error::Library { what, said } => write!(f, "llama.cpp refused to {what}: {said}"),
            Error::Setting { name, value, want } => write!(f, "{name} is {value}, but must be {want}"),
            Error::Token { token, n_vocab } => {
                write!(f, "token {token} is not one of the {n_vocab} of the vocabulary")
            }
            Error::TooLong { what, bytes, max } => {
                write!(f, "{what} has {bytes} bytes, more than the {max} that are taken")
            }
            Error::Stopped => f.write_str("the evaluation was stopped"),
            Error::Cancelled => f.write_str("loading was cancelled"),
            Error::Full { n_ctx } => write!(f, "the context of {n_ctx} tokens is full"),
            Error::Grammar { why } => write!(f, "the grammar {why}"),
            Error::NoNumber => f.write_str("the model computed something that is no number"),
            Error::OtherModel => f.write_str("the sampler and the context have different models"),
            Error::Stage { why } => write!(f, "the model takes no hidden states: it {why}"),
            Error::Slice { why } => write!(f, "the model is a slice, and {why}"),
            Error::State { why } => write!(f, "the saved state {why}"),
        }
    }
}

impl std::error::Error for Error {}
