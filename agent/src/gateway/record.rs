//! What the client has of a stream, so that another copy can go on with it; pure.
//!
//! An event counts when all of it is known: a copy tells which tokens said it, and what it did not finish saying was
//! never said.

use super::event::{Function, Piece, data};
use bytes::Bytes;
use openai::ApiError;
use openai::handover::{Begun, Line, SHOWN_BYTES_MAX, TOKENS_MAX};
use serde::Deserialize;

/// Events that belong to the same tokens: a call's name and its arguments.
const HELD_MAX: usize = 64;

#[derive(Debug, Default)]
pub struct Record {
    begun: Begun,
    held: Vec<Bytes>,
    /// It was more than is kept.
    is_too_long: bool,
    /// The client knows why it ended; only the stream's last word may be missing.
    pub is_finished: bool,
}

impl Record {
    /// What the client is to get now, without what is only for the gateway.
    pub fn take(&mut self, event: Bytes) -> Vec<Bytes> {
        let (line, at) = Line::of(&event);
        let is_aside = || event.get(at) == Some(&b':') || matches!(fault(&event), Fault::Copy(_));
        if !self.held.is_empty() && is_aside() {
            return vec![event];
        }
        self.held.push(event.slice(at..));
        match line {
            Some(Line::More) if self.held.len() < HELD_MAX => return vec![],
            Some(Line::More) => self.is_too_long = true,
            Some(Line::Tokens(tokens)) => self.begun.tokens.extend(tokens),
            None => {}
        }
        let events = std::mem::take(&mut self.held);
        events.iter().for_each(|event| self.learn(event));
        if self.begun.tokens.len() > TOKENS_MAX || self.begun.shown.len() > SHOWN_BYTES_MAX {
            self.is_too_long = true;
            self.begun = Begun::default();
        }
        events
    }

    /// The copy is gone, and with it what it had not said to the end. Nothing where it was too long to be kept.
    pub fn lost(&mut self) -> Option<Begun> {
        self.held.clear();
        (!self.is_too_long).then(|| self.begun.clone())
    }

    fn learn(&mut self, event: &[u8]) {
        let Some(piece) = data(event).and_then(Piece::of) else { return };
        let begun = &mut self.begun;
        if begun.id.is_empty() {
            (begun.id, begun.created) = (piece.id.into_owned(), piece.created);
        }
        for choice in piece.choices {
            self.is_finished |= choice.finish_reason.is_some();
            begun.shown.push_str(&choice.text.unwrap_or_default());
            let Some(delta) = choice.delta else { continue };
            begun.shown.push_str(&delta.content.unwrap_or_default());
            for call in delta.tool_calls.unwrap_or_default() {
                begun.has_calls = true;
                let Some(Function { name, arguments }) = call.function else { continue };
                begun.shown.push_str(&name.unwrap_or_default());
                begun.shown.push_str(&arguments.unwrap_or_default());
            }
        }
    }
}

/// What an error in a stream says.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// Of the copy: another may do better.
    Copy(ApiError),
    /// Of the request itself.
    Request(ApiError),
    /// It is no error, or none that can be read.
    Unknown,
}

pub fn fault(event: &[u8]) -> Fault {
    #[derive(Deserialize)]
    struct Body {
        error: Inner,
    }
    #[derive(Deserialize)]
    struct Inner {
        message: String,
        #[serde(rename = "type", default)]
        kind: String,
    }
    let body = data(event).and_then(|data| serde_json::from_str::<Body>(data).ok());
    match body {
        None => Fault::Unknown,
        Some(Body { error }) if error.kind == openai::Kind::Invalid.name() => {
            Fault::Request(ApiError::unreadable(error.message))
        }
        Some(Body { error }) => Fault::Copy(ApiError::internal(error.message)),
    }
}

/// The same event with a field of ours in front of the others.
pub fn marked(event: &Bytes, mark: &str) -> Bytes {
    match event.strip_prefix(b"data: {") {
        Some(rest) => [b"data: {\"duet\":", mark.as_bytes(), b",", rest].concat().into(),
        None => event.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(line: Option<Line>, delta: &str) -> Bytes {
        let line = line.map(|line| line.text()).unwrap_or_default();
        format!("{line}data: {{\"id\":\"c-1\",\"created\":9,\"choices\":[{{\"delta\":{delta},\"finish_reason\":null}}]}}\n\n")
            .into()
    }

    #[test]
    fn the_client_gets_no_tokens_and_the_record_has_them() {
        let mut record = Record::default();
        let said = record.take(event(Some(Line::Tokens(vec![5, 6])), "{\"content\":\"a\\n\"}"));
        assert_eq!(said, [event(None, "{\"content\":\"a\\n\"}")]);
        let want =
            Begun { shown: "a\n".into(), has_calls: false, tokens: vec![5, 6], id: "c-1".into(), created: 9 };
        assert_eq!(record.lost(), Some(want));
        assert!(!record.is_finished);
    }

    #[test]
    fn what_was_not_said_to_the_end_was_never_said() {
        let name = "{\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]}";
        let arguments = "{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\"}}]}";
        let mut record = Record::default();
        assert!(record.take(event(Some(Line::More), name)).is_empty());
        assert_eq!(record.lost().unwrap(), Begun::default());
        assert!(record.take(event(Some(Line::More), name)).is_empty());
        // A breath between them is none of it.
        assert_eq!(record.take(Bytes::from_static(b": keep-alive\n\n")).len(), 1);
        assert_eq!(record.take(event(Some(Line::Tokens(vec![1])), arguments)).len(), 2);
        let begun = record.lost().unwrap();
        assert_eq!((begun.shown.as_str(), begun.has_calls, begun.tokens), ("f{", true, vec![1]));
    }

    #[test]
    fn what_is_too_long_is_not_kept() {
        let mut record = Record::default();
        let text = format!("{{\"content\":\"{}\"}}", "x".repeat(SHOWN_BYTES_MAX));
        assert_eq!(record.take(event(None, &text)).len(), 1);
        assert!(record.lost().is_some());
        record.take(event(None, &text));
        assert!(record.lost().is_none() && record.begun.shown.is_empty());
    }

    #[test]
    fn only_a_fault_of_the_copy_may_be_mended_elsewhere() {
        let told = |kind: &str| format!("data: {{\"error\":{{\"message\":\"m\",\"type\":\"{kind}\"}}}}\n\n");
        assert!(matches!(fault(told("server_error").as_bytes()), Fault::Copy(_)));
        assert!(matches!(fault(told("invalid_request_error").as_bytes()), Fault::Request(_)));
        assert_eq!(fault(b"data: {}\n\n"), Fault::Unknown);
    }

    #[test]
    fn a_mark_is_one_more_field() {
        let marked = marked(&Bytes::from_static(b"data: {\"id\":1}\n\n"), "{\"a\":2}");
        assert_eq!(marked, "data: {\"duet\":{\"a\":2},\"id\":1}\n\n");
    }
}
