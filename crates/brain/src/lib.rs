//! How an answer is come by: a workflow is a file, a graph of steps with slots between them, and a machine that runs it.
//!
//! `yaml` reads a file with the place of every word, `read` and `check` make a [`Workflow`] of it or say what is wrong and
//! where, `machine` runs one: it is told what happened and says what should happen next.
//! `route` chooses an expert by its examples, `persona` reads who the experts are.
//! This crate is pure: it knows no model, no file, no socket and no clock. Who is asked and what a tool does are the
//! product's; so is the text of a persona, of which a workflow knows the name alone.

#![forbid(unsafe_code)]

mod check;
mod fields;
pub mod machine;
mod mistake;
pub mod persona;
mod read;
pub mod route;
mod template;
#[cfg(test)]
mod tests;
mod trace;
mod workflow;
mod yaml;

pub use machine::{Event, Id, Machine, Message, Role, Value, Wish};
pub use mistake::{At, Mistake, Mistakes};
pub use persona::Persona;
pub use trace::{End, Outcome, Step};
pub use workflow::{Edge, Form, Known, Type, Workflow};

/// Bytes of a workflow's or a persona's file.
pub const FILE_BYTES_MAX: usize = 64 << 10;
/// Bytes of what one slot holds; what is longer is cut.
pub const SLOT_BYTES_MAX: usize = 32 << 10;
/// Letters of a name: of a workflow, a node, a slot, an expert.
pub const NAME_BYTES_MAX: usize = 48;

/// At most so many bytes of a text, without half a letter.
pub fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Whether a word can be a name: small letters, digits, `-` and `_`, a letter first.
pub fn is_name(word: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    word.len() <= NAME_BYTES_MAX
        && word.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase())
        && word.bytes().all(known)
}
