//! How a stream goes on at another copy when the one that wrote it is gone: what the copies of duet tell a gateway
//! beside their answers, and what a gateway gives the next one. None of it is part of the OpenAI API.
//!
//! The copy tells its tokens in a comment of each event, because a text can be cut into tokens in many ways and only
//! the chosen ones lead to the same answer. The next copy gets both, tokens and text, and takes the tokens only if
//! they say the text: another model has another vocabulary.

use crate::fields::{Field, Fields};
use crate::{ApiError, BODY_BYTES_MAX, NAME_BYTES_MAX};

/// The header field of request and answer.
pub const FIELD: &str = "x-duet";
/// Asks for the tokens, and says that they will be told.
pub const TOKENS: &str = "tokens";
/// Says that the answer goes on where the begun one ended.
pub const CONTINUED: &str = "continued";
/// Tokens of a begun answer that are kept and taken.
pub const TOKENS_MAX: usize = 32 * 1024;
/// Bytes of its text.
pub const SHOWN_BYTES_MAX: usize = 256 * 1024;
/// The field of a request's body.
pub const BODY_FIELD: &str = "duet";

const TOLD: &str = ": tokens ";
const MORE: &str = ": more\n";

/// An answer that another copy began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Begun {
    /// All that the client has: text, and names and arguments of calls, in their order.
    pub shown: String,
    /// Some of it is a call, whose text as the model wrote it is not known.
    pub has_calls: bool,
    /// The tokens that said it; none where they are not known.
    pub tokens: Vec<i32>,
    /// The client has seen this id, and this time.
    pub id: String,
    pub created: u64,
}

/// What a copy tells beside an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// These tokens said this event, and what came since the last that told some.
    Tokens(Vec<i32>),
    /// The next event belongs to the same tokens: without it, this one was never said.
    More,
}

impl Begun {
    pub(crate) fn of(fields: &Fields<'_>) -> Result<Option<Begun>, ApiError> {
        let Some(own) = fields.get(BODY_FIELD) else { return Ok(None) };
        let Some(begun) = own.object()?.get("continue") else { return Ok(None) };
        let begun = begun.object()?;
        let whole = |field: &Field<'_>| -> Result<i32, ApiError> {
            let wrong = |_| ApiError::invalid(field.path.clone(), "is no token");
            i32::try_from(field.any_whole()?).map_err(wrong)
        };
        let tokens = match begun.get("tokens") {
            Some(list) => list.list(TOKENS_MAX)?.iter().map(whole).collect::<Result<_, _>>()?,
            None => Vec::new(),
        };
        Ok(Some(Begun {
            shown: begun.text("shown", SHOWN_BYTES_MAX.min(BODY_BYTES_MAX))?.unwrap_or_default(),
            has_calls: begun.flag("has_calls")?.unwrap_or(false),
            tokens,
            id: begun.text("id", NAME_BYTES_MAX)?.unwrap_or_default(),
            created: begun.whole("created", 0..=u64::MAX)?.unwrap_or_default(),
        }))
    }

    /// The value of [`BODY_FIELD`] for the next copy.
    pub fn json(&self) -> String {
        let Begun { shown, has_calls, tokens, id, created } = self;
        let text = |text: &str| serde_json::to_string(text).expect("texts can always be written");
        let tokens: Vec<String> = tokens.iter().map(i32::to_string).collect();
        format!(
            "{{\"continue\":{{\"shown\":{},\"has_calls\":{has_calls},\"tokens\":[{}],\"id\":{},\"created\":{created}}}}}",
            text(shown),
            tokens.join(","),
            text(id),
        )
    }
}

impl Line {
    /// What is written before the event.
    pub fn text(&self) -> String {
        match self {
            Line::More => MORE.to_owned(),
            Line::Tokens(tokens) => {
                let tokens: Vec<String> = tokens.iter().map(i32::to_string).collect();
                format!("{TOLD}{}\n", tokens.join(" "))
            }
        }
    }

    /// What an event begins with, and where the event itself begins.
    pub fn of(event: &[u8]) -> (Option<Line>, usize) {
        if event.starts_with(MORE.as_bytes()) {
            return (Some(Line::More), MORE.len());
        }
        let read = || {
            let end = event.iter().position(|byte| *byte == b'\n')?;
            let told = std::str::from_utf8(&event[..end]).ok()?.strip_prefix(TOLD)?;
            let tokens = told.split_ascii_whitespace().take(TOKENS_MAX).map(str::parse);
            Some((Line::Tokens(tokens.collect::<Result<_, _>>().ok()?), end + 1))
        };
        read().map_or((None, 0), |(line, at)| (Some(line), at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ChatRequest;

    #[test]
    fn a_begun_answer_is_read_as_it_was_written() {
        let begun = Begun {
            shown: "a\"\n".to_owned(),
            has_calls: true,
            tokens: vec![1, 511],
            id: "chatcmpl-1".to_owned(),
            created: 5,
        };
        let body = br#"{"model":"m","messages":[{"role":"user","content":"x"}],"duet":{"continue":{"shown":"a stranger's"}}}"#;
        let body = crate::with_handover(body, "n", true, Some(&begun)).unwrap();
        assert_eq!(ChatRequest::read(&body).unwrap().begun, Some(begun));
        // A client's own is never handed on.
        let body = crate::with_handover(&body, "n", false, None).unwrap();
        assert_eq!(ChatRequest::read(&body).unwrap().begun, None);
    }

    #[test]
    fn a_begun_answer_with_what_is_no_token_is_refused() {
        let body = br#"{"model":"m","prompt":"x","duet":{"continue":{"tokens":[5000000000]}}}"#;
        let error = crate::CompletionRequest::read(body).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("duet.continue.tokens[0]"), "{error}");
    }

    #[test]
    fn an_events_tokens_are_told_apart_from_it() {
        let check = |event: &str, line: Option<Line>, rest: &str| {
            let (got, at) = Line::of(event.as_bytes());
            assert_eq!((got, &event[at..]), (line, rest), "{event}");
        };
        let data = "data: {}\n\n";
        for line in [Line::Tokens(vec![7, -1]), Line::Tokens(vec![]), Line::More] {
            check(&format!("{}{data}", line.text()), Some(line), data);
        }
        check(data, None, data);
        check(": tokens 1 x\n\n", None, ": tokens 1 x\n\n");
        check(": keep-alive\n\n", None, ": keep-alive\n\n");
    }
}
