//! Makes one answer of a stream's events; pure.
//!
//! Whatever a piece says is kept, known or not: texts are put together, lists are gone on with, and of anything else the
//! last word counts.

use super::event::data;
use super::record::{Fault, fault};
use openai::ApiError;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Longest whole answer: embeddings of many texts, or a text with many likely tokens beside each.
pub const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Answers to one request, and calls of one answer.
const PARTS_MAX: u64 = 128;

#[derive(Debug, Default)]
pub struct Fold {
    top: Map<String, Value>,
    choices: BTreeMap<u64, Choice>,
    n_bytes: usize,
    error: Option<ApiError>,
    is_done: bool,
}

/// One answer to the request, as far as it came.
#[derive(Debug, Default)]
struct Choice {
    /// Of a chat; the old interface has only `other`.
    message: Option<Map<String, Value>>,
    calls: BTreeMap<u64, Map<String, Value>>,
    other: Map<String, Value>,
}

impl Fold {
    /// One event or comment of the stream.
    pub fn take(&mut self, event: &str) -> Result<(), ApiError> {
        self.n_bytes += event.len();
        if self.n_bytes > ANSWER_BYTES_MAX {
            return Err(ApiError::internal("the answer is too long to come in one piece"));
        }
        let Some(data) = data(event.as_bytes()) else { return Ok(()) };
        if data == "[DONE]" {
            self.is_done = true;
            return Ok(());
        }
        match fault(event.as_bytes()) {
            Fault::Copy(error) => self.error = Some(ApiError::overloaded(error.message, RETRY_MS)),
            Fault::Request(error) => self.error = Some(error),
            Fault::Unknown => {}
        }
        let Ok(Value::Object(piece)) = serde_json::from_str(data) else { return Ok(()) };
        for (name, value) in piece {
            match (name.as_str(), value) {
                ("choices", Value::Array(choices)) => {
                    choices.into_iter().try_for_each(|one| self.choice(one))?
                }
                (_, Value::Null) => {}
                (_, value) => _ = self.top.insert(name, value),
            }
        }
        Ok(())
    }

    fn choice(&mut self, choice: Value) -> Result<(), ApiError> {
        let Value::Object(choice) = choice else { return Ok(()) };
        let kept = self.choices.entry(index(&choice)?).or_default();
        for (name, value) in choice {
            match (name.as_str(), value) {
                ("index", _) => {}
                ("delta", Value::Object(delta)) => kept.delta(delta)?,
                (_, value) => go_on(&mut kept.other, name, value),
            }
        }
        Ok(())
    }

    /// The whole answer, or why there is none.
    pub fn answer(mut self) -> Result<Vec<u8>, ApiError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        if !self.is_done {
            return Err(ApiError::overloaded("the answer ended without its last word", RETRY_MS));
        }
        let whole = |object: &Value| object.as_str().map(|text| text.trim_end_matches(".chunk").to_owned());
        if let Some(object) = self.top.get_mut("object") {
            *object = whole(object).unwrap_or_default().into();
        }
        let choices: Vec<Value> =
            self.choices.into_iter().map(|(index, choice)| choice.answer(index)).collect();
        self.top.insert("choices".to_owned(), choices.into());
        Ok(Value::Object(self.top).to_string().into_bytes())
    }
}

/// Clients of an answer that broke off may ask again so soon.
const RETRY_MS: u32 = 2000;

impl Choice {
    fn delta(&mut self, delta: Map<String, Value>) -> Result<(), ApiError> {
        let message = self.message.get_or_insert_default();
        for (name, value) in delta {
            match (name.as_str(), value) {
                ("tool_calls", Value::Array(calls)) => {
                    for call in calls {
                        let Value::Object(mut call) = call else { continue };
                        let kept = self.calls.entry(index(&call)?).or_default();
                        call.remove("index");
                        merge(kept, call);
                    }
                }
                // It is said once, and some say it again with every piece.
                ("role", value) => _ = message.entry(name).or_insert(value),
                (_, value) => go_on(message, name, value),
            }
        }
        Ok(())
    }

    fn answer(self, index: u64) -> Value {
        let Choice { message, calls, mut other } = self;
        if let Some(mut message) = message {
            let is_silent =
                message.get("content").and_then(Value::as_str).is_none_or(|text| text.trim().is_empty());
            if is_silent && !calls.is_empty() {
                message.insert("content".to_owned(), Value::Null);
            }
            for name in ["content", "refusal"] {
                message.entry(name).or_insert(Value::Null);
            }
            if !calls.is_empty() {
                let calls: Vec<Value> = calls.into_values().map(Value::Object).collect();
                message.insert("tool_calls".to_owned(), calls.into());
            }
            other.insert("message".to_owned(), message.into());
        }
        for name in ["logprobs", "finish_reason"] {
            other.entry(name).or_insert(Value::Null);
        }
        other.insert("index".to_owned(), json!(index));
        other.into()
    }
}

fn index(of: &Map<String, Value>) -> Result<u64, ApiError> {
    let index = of.get("index").and_then(Value::as_u64).unwrap_or(0);
    if index < PARTS_MAX { Ok(index) } else { Err(ApiError::internal("an answer with too many parts")) }
}

/// Texts and lists are gone on with, objects by what is in them; nothing changes nothing.
fn go_on(into: &mut Map<String, Value>, name: String, value: Value) {
    match (into.get_mut(&name), value) {
        (_, Value::Null) => {}
        // It ends the answer and is no piece of a text.
        (Some(old), value) if name == "finish_reason" => *old = value,
        (Some(Value::String(old)), Value::String(more)) => old.push_str(&more),
        (Some(Value::Array(old)), Value::Array(more)) => old.extend(more),
        (Some(Value::Object(old)), Value::Object(more)) => merge(old, more),
        (_, value) => _ = into.insert(name, value),
    }
}

fn merge(into: &mut Map<String, Value>, more: Map<String, Value>) {
    for (name, value) in more {
        match name.as_str() {
            // Names, not texts: whoever says one again means the same.
            "id" | "type" => {
                if !value.is_null() {
                    into.insert(name, value);
                }
            }
            _ => go_on(into, name, value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openai::answer::{CallOut, Chat, Chunk, Completion, Delta, Finish, Head, Logprob, Logprobs};
    use openai::answer::{OldLogprobs, TokenLogprob, Usage, usage_event};
    use openai::sse;

    fn head() -> Head {
        Head { id: "c-1".into(), created: 7, model: "m".into(), fingerprint: "fp".into() }
    }

    fn fold(events: &[String]) -> Result<Value, ApiError> {
        let mut fold = Fold::default();
        events.iter().try_for_each(|event| fold.take(event))?;
        Ok(serde_json::from_slice(&fold.answer()?).unwrap())
    }

    fn usage(is_chat: bool) -> [String; 2] {
        [usage_event(&head(), is_chat, Usage::new(3, 1, 2)), sse::DONE.to_owned()]
    }

    fn whole(body: &[u8]) -> Value {
        serde_json::from_slice(body).unwrap()
    }

    fn logprobs(token: &str) -> Logprobs {
        let chosen = TokenLogprob { token: token.into(), logprob: -0.5, bytes: token.into() };
        Logprobs::new(vec![Logprob { chosen, top_logprobs: vec![] }])
    }

    #[test]
    fn a_folded_chat_is_the_one_that_would_have_come_whole() {
        let text = |text: &str| Chunk {
            logprobs: Some(logprobs(text)),
            ..Chunk::from(Delta::Text(text.to_owned()))
        };
        let end = Chunk { finish: Some(Finish::Length), ..Chunk::from(Delta::End) };
        let chunks = [Delta::Role.into(), text("he"), text("llo"), end];
        let mut events: Vec<String> = chunks.iter().map(|chunk| chunk.event(&head(), true)).collect();
        events.insert(2, sse::KEEP_ALIVE.to_owned());
        events.extend(usage(true));
        let content = [logprobs("he").content, logprobs("llo").content].concat();
        let chat = Chat {
            content: Some("hello".into()),
            calls: vec![],
            logprobs: Some(Logprobs::new(content)),
            finish: Finish::Length,
            usage: Usage::new(3, 1, 2),
        };
        assert_eq!(fold(&events).unwrap(), whole(&chat.body(&head())));
    }

    #[test]
    fn calls_come_together_from_their_pieces() {
        let call = |index, id: &str| Delta::Call { index, id: id.into(), name: "f".into() };
        let more = |index, more: &str| Delta::Arguments { index, more: more.into() };
        let end = Chunk { finish: Some(Finish::ToolCalls), ..Chunk::from(Delta::End) };
        let deltas =
            [Delta::Role, call(0, "a"), more(0, "{\"x\""), more(0, ":1}"), call(1, "b"), more(1, "{}")];
        let mut events: Vec<String> =
            deltas.map(|delta| Chunk::from(delta).event(&head(), true)).into_iter().collect();
        events.push(end.event(&head(), true));
        events.extend(usage(true));
        let out = |id: &str, arguments: &str| CallOut::new(id.into(), "f".into(), arguments.into());
        let calls = vec![out("a", "{\"x\":1}"), out("b", "{}")];
        let (finish, usage) = (Finish::ToolCalls, Usage::new(3, 1, 2));
        let chat = Chat { content: None, calls, logprobs: None, finish, usage };
        assert_eq!(fold(&events).unwrap(), whole(&chat.body(&head())));
    }

    #[test]
    fn a_completion_keeps_its_old_logarithms() {
        let old = |tokens: &[&str]| OldLogprobs {
            tokens: tokens.iter().map(|token| (*token).to_owned()).collect(),
            token_logprobs: vec![-0.5; tokens.len()],
            top_logprobs: vec![],
            text_offset: (0..tokens.len() as u32).collect(),
        };
        let piece = |text: &str, offset: u32, finish| {
            let logprobs = OldLogprobs { text_offset: vec![offset], ..old(&[text]) };
            Completion { text: text.into(), logprobs: Some(logprobs), finish }.event(&head(), true)
        };
        let mut events = vec![piece("a", 0, None), piece("b", 1, Some(Finish::Stop))];
        events.extend(usage(false));
        let completion =
            Completion { text: "ab".into(), logprobs: Some(old(&["a", "b"])), finish: Some(Finish::Stop) };
        assert_eq!(fold(&events).unwrap(), whole(&completion.body(&head(), Usage::new(3, 1, 2))));
    }

    #[test]
    fn an_answer_that_broke_off_is_an_error_with_its_reason() {
        let chunk = Chunk::from(Delta::Text("x".to_owned())).event(&head(), true);
        let error = fold(&[chunk.clone(), sse::error(&ApiError::internal("lost"))]).unwrap_err();
        assert_eq!((error.status, error.message.as_str()), (503, "lost"));
        let error = fold(&[chunk.clone(), sse::error(&ApiError::unreadable("no"))]).unwrap_err();
        assert_eq!(error.status, 400);
        assert_eq!(fold(&[chunk]).unwrap_err().status, 503);
    }

    #[test]
    fn a_hand_over_is_told_beside_the_answer_and_what_is_odd_is_refused() {
        let marked = "data: {\"duet\":{\"handover\":{\"expert\":\"s\"}},\"choices\":[{\"index\":0,\"text\":\"x\"}]}\n\n";
        let answer = fold(&[marked.to_owned(), sse::DONE.to_owned()]).unwrap();
        assert_eq!(
            (&answer["duet"]["handover"]["expert"], &answer["choices"][0]["text"]),
            (&json!("s"), &json!("x"))
        );
        let many = "data: {\"choices\":[{\"index\":128}]}\n\n".to_owned();
        assert!(fold(&[many]).is_err());
        let mut fold = Fold::default();
        let long = format!("data: \"{}\"\n\n", "x".repeat(ANSWER_BYTES_MAX));
        assert!(fold.take(&long).is_err());
    }
}
