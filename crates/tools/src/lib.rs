//! What a model, a workflow or a person may have done by a tool, and what must happen before it is.
//!
//! `spec` says what a tool wants and how dangerous it is, `schema` shows that to models, `arguments` checks what they want,
//! `call` reads it from their text. `policy` is the owner's word, `approvals` are calls that wait for a person's, `audit` is
//! a line about each. `sum` works sums out, `page` and
//! `search` read pages and documents.
//! This crate is pure: it runs no tool, touches no file, reads no clock and draws no random numbers.

#![forbid(unsafe_code)]

pub mod approvals;
pub mod arguments;
pub mod audit;
pub mod call;
pub mod page;
pub mod policy;
pub mod schema;
pub mod search;
pub mod spec;
pub mod sum;

pub use approvals::{Approvals, Pending, Refused, Verdict};
pub use arguments::{Argument, Arguments, Wrong};
pub use audit::{AuditRecord, Outcome};
pub use call::{Asker, Call, Origin, Unread, Wanted, visible};
pub use policy::{Mistake, Policy};
pub use spec::{Field, Kind, Risk, Spec, Weight};

/// At most so many bytes of a text, without half a letter.
pub fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
