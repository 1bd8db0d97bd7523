//! Hands an answer on as it comes: with back-pressure, in constant memory, and not a moment longer than the client stays.

use super::begin::{self, Begun, Job, PATIENCE, PAUSE_MAX};
use super::stream::{Kind, Usage, judge, usage};
use bytes::Bytes;
use openai::{ApiError, sse};
use service::door::{Response, ResponseBody};
use service::events::Pipe;
use service::upstream::{self, Answering};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// A client hears something so often, however long the prompt is.
pub const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(5);
/// A client that takes nothing for so long is gone.
const CLIENT_PAUSE_MAX: Duration = Duration::from_secs(60);
/// Longest whole answer: embeddings of many texts.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A list of models comes at once or not at all.
const LIST_TIME_MAX: Duration = Duration::from_secs(5);
const LIST_BYTES_MAX: usize = 256 * 1024;

/// An answer in one piece.
pub async fn whole(job: Job) -> Result<Response, ApiError> {
    let Begun { mut job, flight, answering, .. } = begin::begin(job).await?;
    match answering.whole(ANSWER_BYTES_MAX, PATIENCE).await {
        Ok(body) => {
            // Nobody saw its first token, so it says nothing of speed.
            let usage = usage(&body).unwrap_or_default();
            flight.counted(usage);
            job.guest.tokens = usage.prompt_tokens + usage.completion_tokens;
            let body = ResponseBody::Whole(body);
            Ok(Response { status: 200, content_type: "application/json", fields: vec![], body })
        }
        Err(error) => {
            flight.failed(format!("in the middle: {error}"), false);
            Err(ApiError::overloaded(format!("the model's node was lost: {error}"), 2000))
        }
    }
}

/// A stream whose beginning takes its time: the client hears that somebody is here.
pub async fn late<F>(mut beginning: Pin<Box<F>>, pipe: Pipe)
where
    F: Future<Output = Result<Begun, ApiError>>,
{
    loop {
        let begun = tokio::select! {
            begun = &mut beginning => begun,
            () = pipe.gone() => return,
            () = tokio::time::sleep(KEEP_ALIVE_EVERY) => {
                if !send(&pipe, Bytes::from_static(sse::KEEP_ALIVE.as_bytes())).await {
                    return;
                }
                continue;
            }
        };
        match begun {
            Ok(begun) => stream(begun, pipe).await,
            Err(error) => _ = send(&pipe, sse::error(&error).into()).await,
        }
        return;
    }
}

/// From the first token to the last; to return drops the answer, which tells the copy to stop.
pub async fn stream(mut begun: Begun, pipe: Pipe) {
    let mut counted = Counted::default();
    let ended = relay(&mut begun, &pipe, &mut counted).await;
    let Begun { mut job, flight, .. } = begun;
    let usage = counted.usage.unwrap_or(Usage { prompt_tokens: 0, completion_tokens: counted.n_tokens });
    flight.counted(usage);
    job.guest.tokens = usage.prompt_tokens + usage.completion_tokens;
    if let Err(End::Broken(error)) = ended {
        flight.failed(format!("in the middle: {}", error.message), false);
        send(&pipe, sse::error(&error).into()).await;
    }
}

#[derive(Default)]
struct Counted {
    n_tokens: u64,
    usage: Option<Usage>,
}

/// Why a stream did not come to its end.
enum End {
    ClientGone,
    Broken(ApiError),
}

async fn relay(begun: &mut Begun, pipe: &Pipe, counted: &mut Counted) -> Result<(), End> {
    for event in std::mem::take(&mut begun.events) {
        if hand_on(event, begun.job.with_usage, pipe, counted).await? {
            return Ok(());
        }
    }
    loop {
        while let Some(event) = begun.splitter.take() {
            if hand_on(event, begun.job.with_usage, pipe, counted).await? {
                return Ok(());
            }
        }
        let piece = next(&mut begun.answering, pipe).await?;
        begun.splitter.add(&piece).map_err(End::Broken)?;
    }
}

/// The next bytes; while none come, the client hears that somebody is here.
async fn next(answering: &mut Answering, pipe: &Pipe) -> Result<Bytes, End> {
    let late = Instant::now() + PAUSE_MAX;
    loop {
        let lost =
            |why: &str| End::Broken(ApiError::overloaded(format!("the model's node was lost: {why}"), 2000));
        tokio::select! {
            piece = answering.piece(PAUSE_MAX) => return match piece {
                Some(Ok(piece)) => Ok(piece),
                Some(Err(error)) => Err(lost(&error.to_string())),
                None => Err(lost("the stream ended without its last word")),
            },
            () = pipe.gone() => return Err(End::ClientGone),
            () = tokio::time::sleep(KEEP_ALIVE_EVERY) => {
                if Instant::now() >= late {
                    return Err(lost("no answer in time"));
                }
                if !send(pipe, Bytes::from_static(sse::KEEP_ALIVE.as_bytes())).await {
                    return Err(End::ClientGone);
                }
            }
        }
    }
}

/// Sends one event, and says whether it was the last.
async fn hand_on(event: Bytes, with_usage: bool, pipe: &Pipe, counted: &mut Counted) -> Result<bool, End> {
    let kind = judge(&event);
    match kind {
        Kind::Token => counted.n_tokens += 1,
        Kind::Usage(usage) => counted.usage = Some(usage),
        Kind::Prelude | Kind::Fault | Kind::Done => {}
    }
    // What only the gateway asked for, the client does not expect.
    if matches!(kind, Kind::Usage(_)) && !with_usage {
        return Ok(false);
    }
    let is_sent = send(pipe, event).await;
    match kind {
        _ if !is_sent => Err(End::ClientGone),
        // The copy has told the client itself.
        Kind::Done | Kind::Fault => Ok(true),
        _ => Ok(false),
    }
}

/// False when the client is gone, or takes nothing for too long.
async fn send(pipe: &Pipe, bytes: Bytes) -> bool {
    timeout(CLIENT_PAUSE_MAX, pipe.send(bytes)).await.unwrap_or(false)
}

/// A short answer of another server as it is; nothing where it gives none.
pub async fn handed_on(address: SocketAddr, path: &str, id: &str) -> Option<Response> {
    let fields = [("x-request-id", id), ("accept-encoding", "identity")];
    let ask = upstream::Ask { address, path, fields: &fields, body: None };
    let answering = upstream::ask(ask, LIST_TIME_MAX).await.ok()?;
    let status = answering.status;
    let body = answering.whole(LIST_BYTES_MAX, LIST_TIME_MAX).await.ok()?;
    let body = ResponseBody::Whole(body);
    Some(Response { status, content_type: "application/json", fields: vec![], body })
}
