//! From what the scheduler says to what a client reads. This file makes whole answers, `stream` the same piece by piece.

use super::calls::{Calls, Heard};
use super::job::Said;
use super::logprobs::{logprobs, old_logprobs};
use super::replies::{error_reply, json};
use super::serving::{Serving, api_error};
use super::talk::Prepared;
use openai::answer::{CallOut, Chat, Completion, Finish, Head, Usage};
use openai::handover::Begun;
use openai::{ApiError, Streaming};
use service::door::Reply;
use tokio::sync::mpsc::Receiver;

/// What kind of answer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Chat,
    Completion,
}

/// One answer on its way.
pub struct Telling {
    pub(super) head: Head,
    pub(super) kind: Kind,
    pub(super) streaming: Streaming,
    pub(super) calls: Option<Calls>,
    n_prompt: u32,
    pub(super) n_cached: u32,
    /// Bytes of the text so far, for the old interface.
    pub(super) n_text: u32,
    pub(super) hears: Receiver<Said>,
    /// A gateway is told the tokens; those that no event told yet.
    pub(super) tells: bool,
    pub(super) untold: Vec<engine::Token>,
    /// Another copy said the beginning.
    pub(super) goes_on: bool,
}

impl Telling {
    pub fn new(
        serving: &Serving,
        kind: Kind,
        streaming: Streaming,
        stops: Vec<String>,
        prepared: Prepared,
    ) -> Result<Telling, ApiError> {
        let head = serving.head(if kind == Kind::Chat { "chatcmpl" } else { "cmpl" });
        let n_prompt = prepared.prompt.len() as u32;
        let mut calls = prepared.calls.as_ref().map(Calls::new);
        if let Some(calls) = &mut calls {
            // The client heard it from another copy.
            calls.push(&prepared.begun_text);
        }
        let n_text = prepared.begun_text.len() as u32;
        let hears = serving.ask(prepared, stops)?;
        Ok(Telling {
            head,
            kind,
            streaming,
            calls,
            n_prompt,
            n_cached: 0,
            n_text,
            hears,
            tells: false,
            untold: Vec::new(),
            goes_on: false,
        })
    }

    /// What a gateway wants to know, and what it brought.
    pub fn hand_over(&mut self, tells: bool, begun: Option<Begun>) {
        self.tells = tells;
        self.goes_on = begun.is_some();
        if let Some(Begun { id, created, .. }) = begun.filter(|begun| !begun.id.is_empty()) {
            (self.head.id, self.head.created) = (id, created);
        }
    }

    pub async fn reply(self) -> Reply {
        let told = if self.streaming.is_wanted { self.stream().await } else { self.whole().await };
        told.unwrap_or_else(|error| error_reply(&error))
    }

    pub(super) fn usage(&self, n_generated: u32) -> Usage {
        Usage::new(self.n_prompt, self.n_cached, n_generated)
    }

    async fn whole(mut self) -> Result<Reply, ApiError> {
        let (mut text, mut chances, mut calls) = (String::new(), Vec::new(), Vec::<CallOut>::new());
        let mut hear = |heard: Vec<Heard>, text: &mut String| {
            for one in heard {
                match one {
                    Heard::Text(more) => text.push_str(&more),
                    Heard::Call { name } => {
                        let id = format!("call_{}_{}", self.head.id, calls.len());
                        calls.push(CallOut::new(id, name, String::new()));
                    }
                    Heard::Arguments(more) => {
                        if let Some(call) = calls.last_mut() {
                            call.function.arguments.push_str(&more);
                        }
                    }
                }
            }
        };
        let mut parser = self.calls.take();
        let (finish, n_generated) = loop {
            match self.hears.recv().await {
                Some(Said::Began { n_cached }) => self.n_cached = n_cached,
                Some(Said::Piece(piece)) => {
                    chances.extend(piece.chance);
                    match &mut parser {
                        Some(parser) => hear(parser.push(&piece.text), &mut text),
                        None => text.push_str(&piece.text),
                    }
                }
                Some(Said::Ended { finish, n_generated }) => break (finish, n_generated),
                Some(Said::Failed(error)) => return Err(api_error(error)),
                None => return Err(broken_off()),
            }
        };
        if let Some(parser) = &mut parser {
            hear(parser.finish(), &mut text);
        }
        let usage = self.usage(n_generated);
        let body = match self.kind {
            Kind::Completion => {
                let logprobs = (!chances.is_empty()).then(|| old_logprobs(&chances, 0));
                Completion { text, logprobs, finish: Some(finish) }.body(&self.head, usage)
            }
            Kind::Chat => {
                let logprobs = (!chances.is_empty()).then(|| logprobs(&chances));
                let finish = finish_of(finish, calls.len());
                let content = (calls.is_empty() || !text.trim().is_empty()).then_some(text);
                Chat { content, calls, logprobs, finish, usage }.body(&self.head)
            }
        };
        Ok(json(200, body, &[]))
    }
}

pub(super) fn finish_of(finish: Finish, n_calls: usize) -> Finish {
    if finish == Finish::Stop && n_calls > 0 { Finish::ToolCalls } else { finish }
}

/// The model's thread ended without a word.
pub(super) fn broken_off() -> ApiError {
    ApiError::internal("the model broke off")
}
