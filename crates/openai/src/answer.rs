//! What clients are answered. Ids and times are handed in.

use crate::base64;
use crate::embedding::Encoding;
use serde::Serialize;

/// What all answers to one request have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// `chatcmpl-` or `cmpl-` and letters that are found once.
    pub id: String,
    /// Seconds since 1970.
    pub created: u64,
    pub model: String,
    /// Which build and model answered: equal fingerprints and seeds give equal answers.
    pub fingerprint: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    Stop,
    Length,
    ToolCalls,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    pub prompt_tokens: u32,
    pub completion_tokens: u32,
    pub total_tokens: u32,
    pub prompt_tokens_details: PromptDetails,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PromptDetails {
    /// Tokens that were in the cache and cost nothing.
    pub cached_tokens: u32,
}

impl Usage {
    pub fn new(prompt_tokens: u32, cached_tokens: u32, completion_tokens: u32) -> Usage {
        Usage {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens + completion_tokens,
            prompt_tokens_details: PromptDetails { cached_tokens },
        }
    }
}

/// A token that was chosen, or could have been.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TokenLogprob {
    pub token: String,
    pub logprob: f32,
    pub bytes: Vec<u8>,
}

/// A chosen token and its rivals, the likeliest first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Logprob {
    #[serde(flatten)]
    pub chosen: TokenLogprob,
    pub top_logprobs: Vec<TokenLogprob>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Logprobs {
    pub content: Vec<Logprob>,
    /// What libraries expect beside it; nothing is refused here.
    pub refusal: (),
}

impl Logprobs {
    pub fn new(content: Vec<Logprob>) -> Logprobs {
        Logprobs { content, refusal: () }
    }
}

/// A call that the model makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallOut {
    pub id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    pub function: FunctionOut,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FunctionOut {
    pub name: String,
    /// JSON, as a text.
    pub arguments: String,
}

impl CallOut {
    pub fn new(id: String, name: String, arguments: String) -> CallOut {
        CallOut { id, kind: "function", function: FunctionOut { name, arguments } }
    }
}

#[derive(Serialize)]
struct ChatMessage<'a> {
    role: &'static str,
    content: Option<&'a str>,
    refusal: (),
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tool_calls: &'a [CallOut],
}

#[derive(Serialize)]
struct Choice<T: Serialize, L: Serialize> {
    index: u32,
    #[serde(flatten)]
    what: T,
    logprobs: Option<L>,
    finish_reason: Option<Finish>,
}

#[derive(Serialize)]
struct Whole<'a, C: Serialize> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    system_fingerprint: &'a str,
    choices: &'a [C],
    /// Absent where it was not asked for, `null` before it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<Usage>>,
}

impl Head {
    fn whole<'a, C: Serialize>(
        &'a self,
        object: &'static str,
        choices: &'a [C],
        usage: Option<Option<Usage>>,
    ) -> Whole<'a, C> {
        let Head { id, created, model, fingerprint } = self;
        Whole { id, object, created: *created, model, system_fingerprint: fingerprint, choices, usage }
    }
}

/// A whole answer of a chat.
#[derive(Debug, Clone, PartialEq)]
pub struct Chat {
    /// Absent where there are only calls.
    pub content: Option<String>,
    pub calls: Vec<CallOut>,
    pub logprobs: Option<Logprobs>,
    pub finish: Finish,
    pub usage: Usage,
}

impl Chat {
    pub fn body(&self, head: &Head) -> Vec<u8> {
        #[derive(Serialize)]
        struct Said<'a> {
            message: ChatMessage<'a>,
        }
        let (content, tool_calls) = (self.content.as_deref(), self.calls.as_slice());
        let message = ChatMessage { role: "assistant", content, refusal: (), tool_calls };
        let logprobs = self.logprobs.as_ref();
        let choice = Choice { index: 0, what: Said { message }, logprobs, finish_reason: Some(self.finish) };
        bytes(&head.whole("chat.completion", &[choice], Some(Some(self.usage))))
    }
}

/// What one piece of a streamed chat adds.
#[derive(Debug, Clone, PartialEq)]
pub enum Delta {
    /// The first piece.
    Role,
    Text(String),
    /// A call begins.
    Call {
        index: u32,
        id: String,
        name: String,
    },
    /// More of a call's arguments.
    Arguments {
        index: u32,
        more: String,
    },
    /// Nothing: the last piece.
    End,
}

#[derive(Serialize, Default)]
struct DeltaOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[CallDelta<'a>; 1]>,
}

#[derive(Serialize)]
struct CallDelta<'a> {
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    function: FunctionDelta<'a>,
}

#[derive(Serialize)]
struct FunctionDelta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

impl Delta {
    fn out(&self) -> DeltaOut<'_> {
        let none = DeltaOut::default();
        match self {
            Delta::Role => DeltaOut { role: Some("assistant"), content: Some(""), ..none },
            Delta::Text(text) => DeltaOut { content: Some(text), ..none },
            Delta::Call { index, id, name } => {
                let function = FunctionDelta { name: Some(name), arguments: "" };
                let call = CallDelta { index: *index, id: Some(id), kind: Some("function"), function };
                DeltaOut { tool_calls: Some([call]), ..none }
            }
            Delta::Arguments { index, more } => {
                let function = FunctionDelta { name: None, arguments: more };
                DeltaOut {
                    tool_calls: Some([CallDelta { index: *index, id: None, kind: None, function }]),
                    ..none
                }
            }
            Delta::End => none,
        }
    }
}

/// One piece of a streamed chat.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    pub delta: Delta,
    pub logprobs: Option<Logprobs>,
    pub finish: Option<Finish>,
}

impl From<Delta> for Chunk {
    fn from(delta: Delta) -> Chunk {
        Chunk { delta, logprobs: None, finish: None }
    }
}

const CHUNK: &str = "chat.completion.chunk";

impl Chunk {
    /// The event. Where the count of tokens was asked for, every piece before the last has an empty one.
    pub fn event(&self, head: &Head, with_usage: bool) -> String {
        #[derive(Serialize)]
        struct Said<'a> {
            delta: DeltaOut<'a>,
        }
        let what = Said { delta: self.delta.out() };
        let choice = Choice { index: 0, what, logprobs: self.logprobs.as_ref(), finish_reason: self.finish };
        crate::sse::event(&head.whole(CHUNK, &[choice], with_usage.then_some(None)))
    }
}

/// The piece after the last: the count of tokens, and no choice.
pub fn usage_event(head: &Head, is_chat: bool, usage: Usage) -> String {
    let object = if is_chat { CHUNK } else { "text_completion" };
    crate::sse::event(&head.whole::<()>(object, &[], Some(Some(usage))))
}

/// Logarithms in the form of the old interface.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct OldLogprobs {
    pub tokens: Vec<String>,
    pub token_logprobs: Vec<f32>,
    pub top_logprobs: Vec<std::collections::BTreeMap<String, f32>>,
    pub text_offset: Vec<u32>,
}

/// A whole completion, or a piece of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    pub text: String,
    pub logprobs: Option<OldLogprobs>,
    pub finish: Option<Finish>,
}

impl Completion {
    fn choice(&self) -> [Choice<TextOut<'_>, &OldLogprobs>; 1] {
        let what = TextOut { text: &self.text };
        [Choice { index: 0, what, logprobs: self.logprobs.as_ref(), finish_reason: self.finish }]
    }

    pub fn body(&self, head: &Head, usage: Usage) -> Vec<u8> {
        bytes(&head.whole("text_completion", &self.choice(), Some(Some(usage))))
    }

    pub fn event(&self, head: &Head, with_usage: bool) -> String {
        crate::sse::event(&head.whole("text_completion", &self.choice(), with_usage.then_some(None)))
    }
}

#[derive(Serialize)]
struct TextOut<'a> {
    text: &'a str,
}

/// The answer to a request for vectors.
pub fn embeddings(model: &str, vectors: &[Vec<f32>], encoding: Encoding, prompt_tokens: u32) -> Vec<u8> {
    #[derive(Serialize)]
    struct Answer<'a> {
        object: &'static str,
        data: Vec<One<'a>>,
        model: &'a str,
        usage: EmbeddingUsage,
    }
    #[derive(Serialize)]
    struct EmbeddingUsage {
        prompt_tokens: u32,
        total_tokens: u32,
    }
    #[derive(Serialize)]
    struct One<'a> {
        object: &'static str,
        index: usize,
        embedding: Vector<'a>,
    }
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Vector<'a> {
        Floats(&'a [f32]),
        Text(String),
    }
    let text = |floats: &[f32]| {
        let bytes: Vec<u8> = floats.iter().flat_map(|x| x.to_le_bytes()).collect();
        base64::encode(&bytes)
    };
    let data = vectors.iter().enumerate().map(|(index, floats)| {
        let embedding = match encoding {
            Encoding::Floats => Vector::Floats(floats),
            Encoding::Base64 => Vector::Text(text(floats)),
        };
        One { object: "embedding", index, embedding }
    });
    let usage = EmbeddingUsage { prompt_tokens, total_tokens: prompt_tokens };
    bytes(&Answer { object: "list", data: data.collect(), model, usage })
}

/// A model as `GET /v1/models` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelCard {
    pub id: String,
    object: &'static str,
    pub created: u64,
    pub owned_by: String,
}

impl ModelCard {
    pub fn new(id: String, created: u64) -> ModelCard {
        ModelCard { id, object: "model", created, owned_by: "duet".to_owned() }
    }

    /// `GET /v1/models/{id}`.
    pub fn body(&self) -> Vec<u8> {
        bytes(self)
    }
}

/// `GET /v1/models`.
pub fn models(cards: &[ModelCard]) -> Vec<u8> {
    #[derive(Serialize)]
    struct List<'a> {
        object: &'static str,
        data: &'a [ModelCard],
    }
    bytes(&List { object: "list", data: cards })
}

fn bytes(answer: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(answer).expect("answers are plain values")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head { id: "chatcmpl-1".into(), created: 7, model: "m".into(), fingerprint: "fp".into() }
    }

    #[track_caller]
    fn check(got: impl AsRef<[u8]>, want: &str) {
        assert_eq!(String::from_utf8_lossy(got.as_ref()), want);
    }

    #[test]
    fn a_whole_chat_is_written_as_libraries_read_it() {
        let usage = Usage::new(3, 2, 1);
        let chat =
            Chat { content: Some("hi".into()), calls: vec![], logprobs: None, finish: Finish::Stop, usage };
        check(
            chat.body(&head()),
            r#"{"id":"chatcmpl-1","object":"chat.completion","created":7,"model":"m","system_fingerprint":"fp","choices":[{"index":0,"message":{"role":"assistant","content":"hi","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4,"prompt_tokens_details":{"cached_tokens":2}}}"#,
        );
    }

    #[test]
    fn calls_stand_beside_no_content() {
        let calls = vec![CallOut::new("call_1".into(), "f".into(), "{}".into())];
        let chat =
            Chat { content: None, calls, logprobs: None, finish: Finish::ToolCalls, usage: Usage::default() };
        let body = String::from_utf8(chat.body(&head())).unwrap();
        let want = r#""content":null,"refusal":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{}"}}]"#;
        assert!(body.contains(want), "{body}");
        assert!(body.contains(r#""finish_reason":"tool_calls""#), "{body}");
    }

    #[track_caller]
    fn check_delta(delta: Delta, want: &str) {
        let event = Chunk::from(delta).event(&head(), false);
        assert!(event.contains(&format!("\"choices\":[{{\"index\":0,\"delta\":{want},\"logprobs\":null,\"finish_reason\":null}}]}}\n\n")), "{event}");
    }

    #[test]
    fn pieces_carry_only_what_they_add() {
        check_delta(Delta::Role, r#"{"role":"assistant","content":""}"#);
        check_delta(Delta::Text("a\n".into()), r#"{"content":"a\n"}"#);
        check_delta(Delta::End, "{}");
        check_delta(
            Delta::Call { index: 1, id: "c".into(), name: "f".into() },
            r#"{"tool_calls":[{"index":1,"id":"c","type":"function","function":{"name":"f","arguments":""}}]}"#,
        );
        check_delta(
            Delta::Arguments { index: 1, more: "{\"".into() },
            r#"{"tool_calls":[{"index":1,"function":{"arguments":"{\""}}]}"#,
        );
    }

    #[test]
    fn the_count_comes_last_and_without_a_choice() {
        let event = usage_event(&head(), true, Usage::new(1, 0, 1));
        assert!(event.contains(r#""choices":[],"usage":{"prompt_tokens":1,"#), "{event}");
        assert!(Chunk::from(Delta::Role).event(&head(), true).contains(r#""usage":null"#));
        assert!(!Chunk::from(Delta::Role).event(&head(), false).contains("usage"));
    }

    #[test]
    fn logarithms_stand_in_both_forms() {
        let token = |token: &str| TokenLogprob { token: token.into(), logprob: -0.5, bytes: token.into() };
        let logprobs = Logprobs::new(vec![Logprob { chosen: token("a"), top_logprobs: vec![token("b")] }]);
        let json = serde_json::to_string(&logprobs).unwrap();
        check(
            json,
            r#"{"content":[{"token":"a","logprob":-0.5,"bytes":[97],"top_logprobs":[{"token":"b","logprob":-0.5,"bytes":[98]}]}],"refusal":null}"#,
        );
    }

    #[test]
    fn vectors_are_written_in_both_encodings() {
        let vectors = [vec![1.0, -0.5]];
        let floats = embeddings("m", &vectors, Encoding::Floats, 2);
        check(
            floats,
            r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1.0,-0.5]}],"model":"m","usage":{"prompt_tokens":2,"total_tokens":2}}"#,
        );
        let text = String::from_utf8(embeddings("m", &vectors, Encoding::Base64, 2)).unwrap();
        assert!(text.contains(r#""embedding":"AACAPwAAAL8=""#), "{text}");
    }

    #[test]
    fn models_are_a_list() {
        check(
            models(&[ModelCard::new("general".into(), 5)]),
            r#"{"object":"list","data":[{"id":"general","object":"model","created":5,"owned_by":"duet"}]}"#,
        );
    }
}
