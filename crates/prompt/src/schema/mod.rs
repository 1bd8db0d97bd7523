//! JSON schema to grammar: makes a model write what a schema asks for.
//!
//! The promise is one-sided: every text that the grammar lets through is valid under the schema.
//! The other way round it is narrower on purpose, since a model needs one way to say a thing, not all of them:
//! properties come in the schema's order, at most one blank follows `,` and `:`, objects that list properties take no others unless `additionalProperties` says so,
//! and `oneOf` is read as `anyOf`.
//! What cannot be promised (`not`, `uniqueItems`, look-around in patterns, ...) is refused with the place where it stands.

mod build;
mod chars;
mod expand;
mod flat;
mod number;
mod pattern;
mod strings;
mod tools;

use crate::json::Json;

pub use tools::{CallFormat, Tool, ToolChoice, tool_grammar};

/// Schemas within schemas, also through `$ref`.
pub const DEPTH_MAX: usize = 64;
/// Alternatives of one place, after `allOf` and `anyOf` were multiplied out.
pub const ALTERNATIVES_MAX: usize = 64;
/// Values of one `enum`.
pub const ENUM_MAX: usize = 1024;
/// Properties of one object.
pub const PROPERTIES_MAX: usize = 512;
/// `minItems` and `maxItems`, as far as llama.cpp repeats a rule.
pub const ITEMS_MAX: usize = 2000;
/// `minLength` and `maxLength`.
pub const LENGTH_MAX: usize = 1 << 16;
/// Rules of a grammar; with every schema that is read, work stays small too.
pub const RULES_MAX: usize = 4096;
/// Schemas that are looked at, counted anew where they are referred to.
pub const STEPS_MAX: usize = 20_000;

/// What in a schema is not understood or cannot be kept, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaError {
    /// A JSON pointer from the schema's root: `#/properties/when/format`.
    pub path: String,
    pub reason: String,
}

impl SchemaError {
    fn at<T>(path: &str, reason: impl Into<String>) -> Result<T, SchemaError> {
        Err(SchemaError { path: path.to_string(), reason: reason.into() })
    }
}

impl std::fmt::Display for SchemaError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}

impl std::error::Error for SchemaError {}

/// A grammar whose sentences are JSON texts that are valid under the schema.
pub fn schema_grammar(schema: &Json) -> Result<String, SchemaError> {
    let mut builder = build::Builder::default();
    let root = builder.document(schema, "#")?;
    builder.finish(&root)
}

/// A grammar for any JSON object.
pub fn object_grammar() -> String {
    let mut builder = build::Builder::default();
    let root = builder.common("object");
    builder.finish(root).expect("the common rules are a grammar; a test reads them")
}
