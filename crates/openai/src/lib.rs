//! The part of the OpenAI API that duet speaks: what clients ask, what they are answered, and what they are told when
//! something is wrong.
//!
//! A request comes from a stranger: every length has a limit with a name, and what is wrong is answered with the name
//! of the parameter. Fields that are not known are passed over, because clients send more every year; fields that are
//! known and would be disobeyed are refused.
//! This crate is pure: it knows no model, no socket and no clock; ids and times are handed in.

#![forbid(unsafe_code)]

pub mod answer;
pub mod base64;
mod chat;
mod completion;
mod embedding;
mod error;
mod fields;
pub mod handover;
mod route;
pub mod sse;

pub use chat::{Call, ChatRequest, Format, Message, Role, Tool, ToolChoice};
pub use completion::CompletionRequest;
pub use embedding::{EmbeddingRequest, Encoding};
pub use error::{ApiError, Kind};
pub use route::{Routing, with_handover};

/// Bytes of a request's body, for whoever holds the door.
pub const BODY_BYTES_MAX: usize = 4 << 20;
/// Fields of one object of a request, known or not.
pub const FIELDS_MAX: usize = 256;
/// Letters of a model's name.
pub const MODEL_BYTES_MAX: usize = 128;
pub const MESSAGES_MAX: usize = 1024;
/// Parts of one message's content.
pub const PARTS_MAX: usize = 256;
pub const TOOLS_MAX: usize = 128;
/// Calls within one message of an assistant.
pub const CALLS_MAX: usize = 128;
/// Letters of a tool's or a schema's name, and of an id.
pub const NAME_BYTES_MAX: usize = 128;
/// The API allows four; other servers more.
pub const STOPS_MAX: usize = 16;
pub const STOP_BYTES_MAX: usize = 256;
/// Tokens that are shown beside the chosen one.
pub const TOP_LOGPROBS_MAX: u64 = 20;
/// Tokens that may be asked for.
pub const TOKENS_MAX: u64 = 1 << 20;
/// Texts of one request for embeddings.
pub const INPUTS_MAX: usize = 256;

/// How tokens are chosen, and when to end. What is absent is the expert's own matter.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Choosing {
    pub tokens_max: Option<u32>,
    pub temperature: Option<f32>,
    pub top_p: Option<f32>,
    pub top_k: Option<u32>,
    pub min_p: Option<f32>,
    pub repeat_penalty: Option<f32>,
    pub presence_penalty: Option<f32>,
    pub frequency_penalty: Option<f32>,
    pub seed: Option<u64>,
    pub stop: Vec<String>,
}

/// Whether the answer comes in pieces, and with its count of tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Streaming {
    pub is_wanted: bool,
    pub with_usage: bool,
}
