//! Reads a stream of events as it passes: where each ends, whether it brings a token, and what it counts; pure.
//!
//! Events are handed on whole and unchanged, so that a word of ours never falls into the middle of one.

use super::event::{self, Choice, Piece};
use bytes::{Bytes, BytesMut};
use openai::ApiError;
use serde::Deserialize;
use std::borrow::Cow;

/// One event; the longest is a piece with many likely tokens beside it.
pub const EVENT_BYTES_MAX: usize = 256 * 1024;

/// Takes bytes as they come and gives whole events.
#[derive(Debug, Default)]
pub struct Splitter {
    kept: BytesMut,
    /// Before this there is no end of an event.
    searched: usize,
}

/// What an event is to the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A comment, or a piece that says only who speaks.
    Prelude,
    /// Something of the answer, or anything that is not known: from here on there is no other copy.
    Token,
    /// Only the count of tokens.
    Usage(Usage),
    /// An error in the middle of the stream.
    Fault,
    /// The stream's last word.
    Done,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Usage {
    #[serde(default)]
    pub prompt_tokens: u64,
    #[serde(default)]
    pub completion_tokens: u64,
}

impl Splitter {
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), ApiError> {
        if self.kept.len() + bytes.len() > 2 * EVENT_BYTES_MAX {
            return Err(ApiError::internal("an event of the answer is too long"));
        }
        self.kept.extend_from_slice(bytes);
        Ok(())
    }

    /// The next whole event, with the empty line that ends it.
    pub fn take(&mut self) -> Option<Bytes> {
        let from = self.searched.saturating_sub(3);
        let Some(at) = end(&self.kept[from..]) else {
            self.searched = self.kept.len();
            return None;
        };
        self.searched = 0;
        Some(self.kept.split_to(from + at).freeze())
    }
}

/// Just after the first empty line; lines end with a line feed, or a carriage return before it.
fn end(bytes: &[u8]) -> Option<usize> {
    let feeds = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(idx, _)| idx);
    for idx in feeds {
        match &bytes[idx + 1..] {
            [b'\n', ..] => return Some(idx + 2),
            [b'\r', b'\n', ..] => return Some(idx + 3),
            _ => {}
        }
    }
    None
}

/// What an event says.
pub fn judge(event: &[u8]) -> Kind {
    if std::str::from_utf8(event).is_err() {
        return Kind::Token;
    }
    let Some(data) = event::data(event) else { return Kind::Prelude };
    if data == "[DONE]" {
        return Kind::Done;
    }
    let Some(piece) = Piece::of(data) else { return Kind::Token };
    if piece.error.is_some() {
        return Kind::Fault;
    }
    match piece.usage {
        Some(usage) if piece.choices.is_empty() => return Kind::Usage(usage),
        _ => {}
    }
    let says = |text: &Option<Cow<str>>| text.as_ref().is_some_and(|text| !text.is_empty());
    let is_token = |choice: &Choice| {
        let delta = choice.delta.as_ref();
        choice.finish_reason.is_some()
            || says(&choice.text)
            || delta.is_some_and(|delta| says(&delta.content) || delta.tool_calls.is_some())
    };
    if piece.choices.iter().any(is_token) { Kind::Token } else { Kind::Prelude }
}

/// The count of tokens in a whole answer.
pub fn usage(body: &[u8]) -> Option<Usage> {
    #[derive(Deserialize)]
    struct Whole {
        usage: Option<Usage>,
    }
    serde_json::from_slice::<Whole>(body).ok()?.usage
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(event: &str, want: Kind) {
        assert_eq!(judge(event.as_bytes()), want, "{event}");
    }

    #[test]
    fn an_event_is_a_token_as_soon_as_it_says_something() {
        check(": keep-alive\n\n", Kind::Prelude);
        check(
            "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n",
            Kind::Prelude,
        );
        check("data: {\"choices\":[{\"delta\":{\"content\":\"a\\n\"}}]}\n\n", Kind::Token);
        check("data: {\"choices\":[{\"delta\":{\"tool_calls\":[{}]}}]}\n\n", Kind::Token);
        check("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n", Kind::Token);
        check("data: {\"choices\":[{\"text\":\"x\"}]}\n\n", Kind::Token);
        check("data: what is this\n\n", Kind::Token);
    }

    #[test]
    fn counts_faults_and_the_end_are_known() {
        let usage = Usage { prompt_tokens: 3, completion_tokens: 4 };
        check(
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\n",
            Kind::Usage(usage),
        );
        check("data: {\"error\":{\"message\":\"x\"}}\n\n", Kind::Fault);
        check("data: [DONE]\n\n", Kind::Done);
        assert_eq!(super::usage(b"{\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}"), Some(usage));
        assert_eq!(super::usage(b"{\"usage\":{\"prompt_tokens\":-1}}"), None);
    }

    #[test]
    fn events_come_out_whole_however_they_were_cut() {
        let text = b"data: a\n\n: b\r\n\r\ndata: c\ndata: d\n\nrest";
        for cut in 1..text.len() {
            let mut splitter = Splitter::default();
            let mut events = vec![];
            for part in text.chunks(cut) {
                splitter.add(part).unwrap();
                events.extend(std::iter::from_fn(|| splitter.take()));
            }
            assert_eq!(events, ["data: a\n\n", ": b\r\n\r\n", "data: c\ndata: d\n\n"], "cut at {cut}");
            assert_eq!(splitter.kept, "rest");
        }
    }

    #[test]
    fn an_event_without_an_end_is_refused_before_it_is_kept() {
        let mut splitter = Splitter::default();
        splitter.add(&[b'x'; 2 * EVENT_BYTES_MAX]).unwrap();
        assert!(splitter.take().is_none());
        assert_eq!(splitter.add(b"x").unwrap_err().status, 500);
    }
}
