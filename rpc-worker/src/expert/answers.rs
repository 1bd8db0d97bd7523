//! From what the scheduler says to what a client reads: whole answers, and streams.

use super::calls::{Calls, Heard};
use super::job::{Chance, Piece, Said};
use super::serving::{Serving, api_error};
use super::talk::Prepared;
use openai::answer::{
    CallOut, Chat, Chunk, Completion, Delta, Finish, Head, Logprob, Logprobs, OldLogprobs, TokenLogprob,
    Usage, usage_event,
};
use openai::handover::{self, Begun, Line};
use openai::{ApiError, Streaming, sse};
use service::door::{Reply, Response, ResponseBody};
use service::events::{self, Pipe};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

/// A stream says at least something so often while a long prompt is read.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// A gateway takes a node that is silent for longer than a second for dead.
const KEEP_ALIVE_OF_GATEWAYS: Duration = Duration::from_millis(400);
/// A stream's head waits so long for a slot: until then an error can still have a status of its own.
const HEAD_WAIT: Duration = Duration::from_secs(1);
/// One that goes on does not: its client has waited already.
const HEAD_WAIT_BEGUN: Duration = Duration::from_millis(400);

/// What kind of answer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Chat,
    Completion,
}

/// One answer on its way.
pub struct Telling {
    head: Head,
    kind: Kind,
    streaming: Streaming,
    calls: Option<Calls>,
    n_prompt: u32,
    n_cached: u32,
    /// Bytes of the text so far, for the old interface.
    n_text: u32,
    hears: Receiver<Said>,
    /// A gateway is told the tokens; those that no event told yet.
    tells: bool,
    untold: Vec<engine::Token>,
    /// Another copy said the beginning.
    goes_on: bool,
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

    fn usage(&self, n_generated: u32) -> Usage {
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

    async fn stream(mut self) -> Result<Reply, ApiError> {
        // What fails before anything is said is told by a status, which a gateway can answer by asking another copy.
        let wait = if self.goes_on { HEAD_WAIT_BEGUN } else { HEAD_WAIT };
        match timeout(wait, self.hears.recv()).await {
            Ok(Some(Said::Began { n_cached })) => self.n_cached = n_cached,
            Ok(Some(Said::Failed(error))) => return Err(api_error(error)),
            Ok(_) => return Err(broken_off()),
            Err(_) => {}
        }
        let told = [(self.tells, handover::TOKENS), (self.goes_on, handover::CONTINUED)];
        let told: Vec<&str> = told.into_iter().filter_map(|(is_so, word)| is_so.then_some(word)).collect();
        let fields = if told.is_empty() { vec![] } else { vec![(handover::FIELD, told.join(", "))] };
        let (pipe, body) = events::pipe();
        tokio::spawn(async move {
            // Its client may leave at any time: the queue that ends here tells the scheduler.
            let _ = self.pour(&pipe).await;
        });
        let body = ResponseBody::Events(body);
        Ok(Reply::Full(Response { status: 200, content_type: sse::CONTENT_TYPE, fields, body }))
    }

    /// `None` when the client is gone.
    async fn pour(mut self, pipe: &Pipe) -> Option<()> {
        if self.kind == Kind::Chat && !self.goes_on {
            self.chunk(pipe, Delta::Role.into()).await?;
        }
        let keep_alive = if self.tells { KEEP_ALIVE_OF_GATEWAYS } else { KEEP_ALIVE };
        loop {
            let said = tokio::select! {
                said = timeout(keep_alive, self.hears.recv()) => said,
                () = pipe.gone() => return None,
            };
            match said {
                Err(_) => send(pipe, sse::KEEP_ALIVE.to_owned()).await?,
                Ok(Some(Said::Began { n_cached })) => self.n_cached = n_cached,
                Ok(Some(Said::Piece(piece))) => self.piece(pipe, piece).await?,
                Ok(Some(Said::Ended { finish, n_generated })) => {
                    return self.end(pipe, finish, n_generated).await;
                }
                Ok(Some(Said::Failed(error))) => return send(pipe, sse::error(&api_error(error))).await,
                Ok(None) => return send(pipe, sse::error(&broken_off())).await,
            }
        }
    }

    /// What is said before an event, for a gateway; `is_last` of those that a piece makes.
    fn line(&mut self, is_rest: bool, is_last: bool) -> String {
        match () {
            () if !self.tells => String::new(),
            // The end that follows says that it was said.
            () if is_rest || !is_last => Line::More.text(),
            () => Line::Tokens(std::mem::take(&mut self.untold)).text(),
        }
    }

    async fn piece(&mut self, pipe: &Pipe, piece: Piece) -> Option<()> {
        let is_rest = piece.tokens.is_empty();
        self.untold.extend(&piece.tokens);
        if self.kind == Kind::Completion {
            let logprobs =
                piece.chance.as_ref().map(|chance| old_logprobs(std::slice::from_ref(chance), self.n_text));
            self.n_text += piece.text.len() as u32;
            let event = Completion { text: piece.text, logprobs, finish: None };
            let line = self.line(is_rest, true);
            return send(pipe, line + &event.event(&self.head, self.streaming.with_usage)).await;
        }
        let mut logprobs = piece.chance.map(|chance| logprobs(&[chance]));
        let Some(calls) = &mut self.calls else {
            let chunk = Chunk { delta: Delta::Text(piece.text), logprobs, finish: None };
            return self.told(pipe, chunk, is_rest, true).await;
        };
        let n_before = calls.n_calls();
        let heard = calls.push(&piece.text);
        let mut index = n_before as u32;
        let n = heard.len();
        for (idx, one) in heard.into_iter().enumerate() {
            let delta = self.delta(one, &mut index);
            let chunk = Chunk { delta, logprobs: logprobs.take(), finish: None };
            self.told(pipe, chunk, is_rest, idx + 1 == n).await?;
        }
        match logprobs {
            // A token that is a part of a mark shows nothing, but its logarithm counts.
            Some(_) => {
                let chunk = Chunk { delta: Delta::Text(String::new()), logprobs, finish: None };
                self.told(pipe, chunk, is_rest, true).await
            }
            None => Some(()),
        }
    }

    /// `index` is the number of calls before this one.
    fn delta(&self, heard: Heard, index: &mut u32) -> Delta {
        match heard {
            Heard::Text(text) => Delta::Text(text),
            Heard::Call { name } => {
                *index += 1;
                let id = format!("call_{}_{}", self.head.id, *index - 1);
                Delta::Call { index: *index - 1, id, name }
            }
            Heard::Arguments(more) => Delta::Arguments { index: index.saturating_sub(1), more },
        }
    }

    async fn end(&mut self, pipe: &Pipe, finish: Finish, n_generated: u32) -> Option<()> {
        let (rest, n_calls) = match &mut self.calls {
            Some(calls) => (calls.finish(), calls.n_calls()),
            None => (vec![], 0),
        };
        let mut index = n_calls as u32;
        for one in rest {
            let delta = self.delta(one, &mut index);
            self.told(pipe, delta.into(), true, true).await?;
        }
        let with_usage = self.streaming.with_usage;
        match self.kind {
            Kind::Chat => {
                let finish = Some(finish_of(finish, n_calls));
                self.chunk(pipe, Chunk { delta: Delta::End, logprobs: None, finish }).await?;
            }
            Kind::Completion => {
                let last = Completion { text: String::new(), logprobs: None, finish: Some(finish) };
                send(pipe, last.event(&self.head, with_usage)).await?;
            }
        }
        if with_usage {
            let usage = self.usage(n_generated);
            send(pipe, usage_event(&self.head, self.kind == Kind::Chat, usage)).await?;
        }
        send(pipe, sse::DONE.to_owned()).await
    }

    async fn told(&mut self, pipe: &Pipe, chunk: Chunk, is_rest: bool, is_last: bool) -> Option<()> {
        let line = self.line(is_rest, is_last);
        send(pipe, line + &chunk.event(&self.head, self.streaming.with_usage)).await
    }

    async fn chunk(&self, pipe: &Pipe, chunk: Chunk) -> Option<()> {
        send(pipe, chunk.event(&self.head, self.streaming.with_usage)).await
    }
}

async fn send(pipe: &Pipe, text: String) -> Option<()> {
    pipe.send(text.into()).await.then_some(())
}

fn finish_of(finish: Finish, n_calls: usize) -> Finish {
    if finish == Finish::Stop && n_calls > 0 { Finish::ToolCalls } else { finish }
}

/// The model's thread ended without a word.
fn broken_off() -> ApiError {
    ApiError::internal("the model broke off")
}

fn shown(bytes: &[u8], logprob: f32) -> TokenLogprob {
    TokenLogprob { token: String::from_utf8_lossy(bytes).into_owned(), logprob, bytes: bytes.to_vec() }
}

fn logprobs(chances: &[Chance]) -> Logprobs {
    let one = |chance: &Chance| Logprob {
        chosen: shown(&chance.bytes, chance.logprob),
        top_logprobs: chance.rivals.iter().map(|(bytes, logprob)| shown(bytes, *logprob)).collect(),
    };
    Logprobs::new(chances.iter().map(one).collect())
}

fn old_logprobs(chances: &[Chance], offset: u32) -> OldLogprobs {
    let mut old = OldLogprobs::default();
    let mut offset = offset;
    for chance in chances {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        old.text_offset.push(offset);
        offset += chance.bytes.len() as u32;
        old.tokens.push(text(&chance.bytes));
        old.token_logprobs.push(chance.logprob);
        old.top_logprobs.push(chance.rivals.iter().map(|(bytes, logprob)| (text(bytes), *logprob)).collect());
    }
    old
}

pub fn json(status: u16, body: Vec<u8>, fields: &[(&'static str, String)]) -> Reply {
    let (fields, body) = (fields.to_vec(), ResponseBody::Whole(body));
    Reply::Full(Response { status, content_type: "application/json", fields, body })
}

pub fn error_reply(error: &ApiError) -> Reply {
    let mut fields = Vec::new();
    if let Some(ms) = error.retry_after_ms {
        fields.push(("retry-after-ms", ms.to_string()));
        fields.push(("retry-after", ms.div_ceil(1000).to_string()));
    }
    json(error.status, error.body().into_bytes(), &fields)
}

/// For a request whose making blocks: tokenising a long text must not hold up everybody's door.
pub async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(ApiError::internal("the request could not be read")))
}

/// What a request needs of its expert while it is prepared.
pub type Shared = Arc<Serving>;
