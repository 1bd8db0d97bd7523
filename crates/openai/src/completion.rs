//! `POST /v1/completions`: text that follows a text, without a chat template.

use crate::chat::{choosing, streaming};
use crate::fields::{Fields, body};
use crate::handover::Begun;
use crate::{ApiError, BODY_BYTES_MAX, Choosing, MODEL_BYTES_MAX, Streaming};

/// Logarithms that the old interface shows.
const LOGPROBS_MAX: u64 = 5;

#[derive(Debug, Clone, PartialEq)]
pub struct CompletionRequest {
    pub model: String,
    pub prompt: String,
    pub choosing: Choosing,
    pub streaming: Streaming,
    /// How many tokens beside the chosen one are shown with their logarithms.
    pub top_logprobs: Option<u32>,
    /// The answer that is to be gone on with.
    pub begun: Option<Begun>,
}

impl CompletionRequest {
    pub fn read(bytes: &[u8]) -> Result<CompletionRequest, ApiError> {
        let fields = body(bytes)?;
        fields.only("best_of", &["1"], "only one answer is given: best_of must be 1")?;
        fields.only("echo", &["false"], "the prompt is not repeated: echo must be false")?;
        fields.only("suffix", &["\"\""], "is not understood")?;
        let top_logprobs = fields.whole("logprobs", 0..=LOGPROBS_MAX)?;
        Ok(CompletionRequest {
            model: fields.need("model")?.text(MODEL_BYTES_MAX)?,
            prompt: prompt(&fields)?,
            choosing: choosing(&fields)?,
            streaming: streaming(&fields)?,
            top_logprobs: top_logprobs.map(|n| n as u32),
            begun: Begun::of(&fields)?,
        })
    }
}

/// A text, or a list of one text.
fn prompt(fields: &Fields<'_>) -> Result<String, ApiError> {
    let field = fields.need("prompt")?;
    if !field.is_list() {
        return field.text(BODY_BYTES_MAX);
    }
    match field.list(1)?.first() {
        Some(one) => one.text(BODY_BYTES_MAX),
        None => Err(fields.wrong("prompt", "must have a text")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, want: Result<&str, (&str, &str)>) {
        match (CompletionRequest::read(body.as_bytes()), want) {
            (Ok(request), Ok(prompt)) => assert_eq!(request.prompt, prompt),
            (Err(error), Err((param, message))) => {
                assert_eq!(error.param.as_deref(), Some(param));
                assert!(error.message.contains(message), "{error}");
            }
            (got, want) => panic!("{got:?} is not {want:?}"),
        }
    }

    #[test]
    fn a_prompt_is_a_text_or_a_list_of_one() {
        check(r#"{"model":"m","prompt":"once"}"#, Ok("once"));
        check(r#"{"model":"m","prompt":["once"],"logprobs":2,"echo":false}"#, Ok("once"));
        check(r#"{"model":"m","prompt":["a","b"]}"#, Err(("prompt", "more than 1")));
        check(r#"{"model":"m","prompt":[]}"#, Err(("prompt", "must have a text")));
        check(r#"{"model":"m","prompt":[5]}"#, Err(("prompt[0]", "must be a string")));
    }

    #[test]
    fn what_would_be_disobeyed_is_refused() {
        check(r#"{"model":"m","prompt":"a","echo":true}"#, Err(("echo", "not repeated")));
        check(r#"{"model":"m","prompt":"a","suffix":"b"}"#, Err(("suffix", "not understood")));
        check(r#"{"model":"m","prompt":"a","best_of":3}"#, Err(("best_of", "one answer")));
        check(r#"{"model":"m","prompt":"a","logprobs":6}"#, Err(("logprobs", "from 0 to 5")));
    }
}
