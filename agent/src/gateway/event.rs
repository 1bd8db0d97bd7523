//! The part of a streamed answer's events that the gateway reads: who speaks, what is said, and what was counted; pure.
//!
//! What is not named here passes unread.

use super::stream::Usage;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::borrow::Cow;

#[derive(Deserialize)]
pub struct Piece<'a> {
    #[serde(borrow, default)]
    pub id: Cow<'a, str>,
    #[serde(default)]
    pub created: u64,
    #[serde(borrow, default)]
    pub choices: Vec<Choice<'a>>,
    pub usage: Option<Usage>,
    pub error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
pub struct Choice<'a> {
    #[serde(borrow)]
    pub delta: Option<Delta<'a>>,
    #[serde(borrow)]
    pub text: Option<Cow<'a, str>>,
    pub finish_reason: Option<IgnoredAny>,
}

#[derive(Deserialize)]
pub struct Delta<'a> {
    #[serde(borrow)]
    pub content: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub tool_calls: Option<Vec<Call<'a>>>,
}

#[derive(Deserialize)]
pub struct Call<'a> {
    #[serde(borrow)]
    pub function: Option<Function<'a>>,
}

#[derive(Deserialize)]
pub struct Function<'a> {
    #[serde(borrow)]
    pub name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub arguments: Option<Cow<'a, str>>,
}

impl<'a> Piece<'a> {
    /// Nothing where it is not in the form of the API.
    pub fn of(data: &'a str) -> Option<Piece<'a>> {
        serde_json::from_str(data).ok()
    }
}

/// An event's first line of data.
pub fn data(event: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(event).ok()?;
    text.lines().find_map(|line| line.strip_prefix("data:")).map(str::trim)
}
