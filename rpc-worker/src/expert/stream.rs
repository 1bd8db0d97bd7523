//! An answer as a stream of events: what a client hears while the model writes, and what a gateway hears beside it.
//!
//! A client may be gone at any event; then the queue that ends here tells the scheduler.

use super::answers::{Kind, Telling, broken_off, finish_of};
use super::calls::Heard;
use super::job::{Piece, Said};
use super::logprobs::{logprobs, old_logprobs};
use super::serving::api_error;
use openai::answer::{Chunk, Completion, Delta, Finish, usage_event};
use openai::handover::{self, Line};
use openai::{ApiError, sse};
use service::door::{Reply, Response, ResponseBody};
use service::events::{self, Pipe};
use std::time::Duration;
use tokio::time::timeout;

/// A stream says at least something so often while a long prompt is read.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// A gateway takes a node that is silent for longer than a second for dead.
const KEEP_ALIVE_OF_GATEWAYS: Duration = Duration::from_millis(400);
/// A stream's head waits so long for a slot: until then an error can still have a status of its own.
const HEAD_WAIT: Duration = Duration::from_secs(1);
/// One that goes on does not: its client has waited already.
const HEAD_WAIT_BEGUN: Duration = Duration::from_millis(400);

impl Telling {
    pub(super) async fn stream(mut self) -> Result<Reply, ApiError> {
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
