//! What goes into a language model as text, and what may come out of it.
//!
//! A model's own chat template makes one text of messages and tools; a grammar made from a JSON schema says what may be answered; stop strings say where an answer ends.
//! All three are fed by strangers (model files, clients), so all three have limits with names and answer bad input with a sentence.
//! This crate is pure: it knows no model, no token, no file, no socket and no clock.

#![forbid(unsafe_code)]

pub mod gbnf;
pub mod json;
pub mod schema;
pub mod stop;
pub mod template;

pub use gbnf::{Grammar, GrammarError};
pub use json::Json;
pub use schema::{CallFormat, SchemaError, Tool, ToolChoice, object_grammar, schema_grammar, tool_grammar};
pub use stop::{Shown, StopError, StopMachine};
pub use template::{ChatInput, ChatTemplate, CivilTime, TemplateError, template_messages};
