//! Hands an answer on as it comes: with back-pressure, in constant memory, and not a moment longer than the client stays.

use super::begin::{self, Begun};
use super::fold::{ANSWER_BYTES_MAX, Fold};
use super::job::{Form, Job, PATIENCE};
use super::record::{self, Fault, Record};
use super::resume::{self, Loss, Mark};
use super::stream::{Kind, Usage, judge, usage};
use bytes::Bytes;
use openai::{ApiError, sse};
use service::door::{Response, ResponseBody};
use service::events::{self, Events, Pipe};
use service::log::{Level, say};
use service::upstream;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// A client hears something so often, however long the prompt is.
pub const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(5);
/// A client that takes nothing for so long is gone.
const CLIENT_PAUSE_MAX: Duration = Duration::from_secs(60);
/// A list of models comes at once or not at all.
const LIST_TIME_MAX: Duration = Duration::from_secs(5);
const LIST_BYTES_MAX: usize = 256 * 1024;

/// An answer in one piece, made of a stream, so that a copy that is lost is noticed and another goes on.
pub async fn folded(job: Job) -> Result<Response, ApiError> {
    let begun = begin::begin(job).await?;
    if !begin::is_events(&begun.answering) {
        return taken(begun).await;
    }
    let (pipe, events) = events::pipe();
    // A client that leaves drops both.
    let ((), fold) = tokio::join!(stream(begun, pipe), fold(events));
    let body = ResponseBody::Whole(fold?.answer()?);
    Ok(Response { status: 200, content_type: "application/json", fields: vec![], body })
}

/// What is too long is read no further, which ends the stream.
async fn fold(mut events: Events) -> Result<Fold, ApiError> {
    let mut fold = Fold::default();
    while let Some(event) = events.next().await {
        fold.take(&event)?;
    }
    Ok(fold)
}

/// Vectors: they come in one piece.
pub async fn whole(job: Job) -> Result<Response, ApiError> {
    taken(begin::begin(job).await?).await
}

async fn taken(begun: Begun) -> Result<Response, ApiError> {
    let Begun { mut job, flight, answering, .. } = begun;
    match answering.whole(ANSWER_BYTES_MAX, PATIENCE).await {
        Ok(body) => {
            // Nobody saw its first token, so it says nothing of speed.
            let usage = usage(&body).unwrap_or_default();
            flight.counted(usage);
            job.charge(Some(usage), 0);
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
    let mut passed = Passed::new(begun.job.with_usage || begun.job.whom.form == Form::Folded);
    if let Some(error) = begun.instead.take() {
        let gateway = begun.job.guest.gateway.clone();
        let sentence = format!(
            "{}: {} answers in the place of another ({})",
            begun.job.whom.id, begun.at.model, error.message
        );
        say(Level::Warning, &format!("duet: gateway: {sentence}"));
        gateway.meters().handed_over(&begun.flight.expert, sentence);
        let Mark { comment, field } = Mark::new(&begun.at.model, &error.message, 0, begun.job.began);
        if !send(&pipe, comment).await {
            return;
        }
        passed.mark = Some(field);
    }
    for n in 0.. {
        let Err(End::Lost { error, is_told }) = relay(&mut begun, &pipe, &mut passed).await else { break };
        if passed.record.is_finished {
            send(&pipe, Bytes::from_static(sse::DONE.as_bytes())).await;
            break;
        }
        if n == resume::HANDOVERS_MAX {
            begun.flight.failed(format!("in the middle: {}", error.message), false);
            send(&pipe, sse::error(&error).into()).await;
            break;
        }
        // What this copy wrote; the prompt is counted by the last one.
        let own = passed.usage();
        begun.flight.counted(own);
        begun.job.charge(passed.usage, passed.n_tokens);
        let loss = Loss { error, is_told, since: passed.heard, n_tokens: passed.n_tokens };
        match resume::go_on(begun, &mut passed.record, &loss, &pipe).await {
            None => return,
            Some(Ok((next, Mark { comment, field }))) => {
                if !send(&pipe, comment).await {
                    return;
                }
                passed.mark = Some(field);
                begun = next;
            }
            Some(Err(error)) => {
                send(&pipe, sse::error(&error).into()).await;
                return;
            }
        }
    }
    let Begun { mut job, flight, .. } = begun;
    let usage = passed.usage();
    flight.counted(usage);
    job.charge(passed.usage, passed.n_tokens);
}

/// What went by.
struct Passed {
    with_usage: bool,
    n_tokens: u64,
    usage: Option<Usage>,
    record: Record,
    /// When the last of it came.
    heard: Instant,
    /// When the client got something.
    sent: Instant,
    /// To be told with the next event.
    mark: Option<String>,
}

impl Passed {
    fn new(with_usage: bool) -> Passed {
        let (heard, sent) = (Instant::now(), Instant::now());
        Passed { with_usage, n_tokens: 0, usage: None, record: Record::default(), heard, sent, mark: None }
    }

    /// The count of the copy that ended the stream, or our own.
    fn usage(&self) -> Usage {
        self.usage.unwrap_or(Usage { prompt_tokens: 0, completion_tokens: self.n_tokens })
    }
}

/// Why a stream did not come to its end.
enum End {
    ClientGone,
    Lost {
        error: ApiError,
        /// The copy said so itself.
        is_told: bool,
    },
}

fn broken(error: ApiError) -> End {
    End::Lost { error, is_told: false }
}

async fn relay(begun: &mut Begun, pipe: &Pipe, passed: &mut Passed) -> Result<(), End> {
    for event in std::mem::take(&mut begun.events) {
        if hand_on(event, pipe, passed).await? {
            return Ok(());
        }
    }
    loop {
        while let Some(event) = begun.splitter.take() {
            if hand_on(event, pipe, passed).await? {
                return Ok(());
            }
        }
        let piece = next(begun, pipe).await?;
        begun.splitter.add(&piece).map_err(broken)?;
    }
}

/// The next bytes; while none come, the client hears that somebody is here.
async fn next(begun: &mut Begun, pipe: &Pipe) -> Result<Bytes, End> {
    let late = Instant::now() + begun.pause_max;
    loop {
        let lost =
            |why: &str| broken(ApiError::overloaded(format!("the model's node was lost: {why}"), 2000));
        let left = late.saturating_duration_since(Instant::now());
        tokio::select! {
            piece = begun.answering.piece(left) => return match piece {
                Some(Ok(piece)) => Ok(piece),
                Some(Err(error)) => Err(lost(&error.to_string())),
                None => Err(lost("the stream ended without its last word")),
            },
            () = pipe.gone() => return Err(End::ClientGone),
            () = tokio::time::sleep(KEEP_ALIVE_EVERY) => {
                if !send(pipe, Bytes::from_static(sse::KEEP_ALIVE.as_bytes())).await {
                    return Err(End::ClientGone);
                }
            }
        }
    }
}

/// Hands on what one event of the copy makes ready, and says whether it was the last.
async fn hand_on(event: Bytes, pipe: &Pipe, passed: &mut Passed) -> Result<bool, End> {
    for event in passed.record.take(event) {
        if show(event, pipe, passed).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn show(event: Bytes, pipe: &Pipe, passed: &mut Passed) -> Result<bool, End> {
    let kind = judge(&event);
    // Copies of ours breathe more often than a client needs.
    if event.first() == Some(&b':') && passed.sent.elapsed() < KEEP_ALIVE_EVERY {
        return Ok(false);
    }
    match kind {
        Kind::Token => (passed.n_tokens, passed.heard) = (passed.n_tokens + 1, Instant::now()),
        Kind::Usage(usage) => passed.usage = Some(usage),
        Kind::Prelude | Kind::Fault | Kind::Done => {}
    }
    if kind == Kind::Fault
        && let Fault::Copy(error) = record::fault(&event)
    {
        return Err(End::Lost { error, is_told: true });
    }
    // What only the gateway asked for, the client does not expect.
    if matches!(kind, Kind::Usage(_)) && !passed.with_usage {
        return Ok(false);
    }
    let event = match passed.mark.take_if(|_| kind == Kind::Token) {
        Some(mark) => record::marked(&event, &mark),
        None => event,
    };
    let is_sent = send(pipe, event).await;
    passed.sent = Instant::now();
    match kind {
        _ if !is_sent => Err(End::ClientGone),
        // The copy has told the client itself.
        Kind::Done | Kind::Fault => Ok(true),
        _ => Ok(false),
    }
}

/// False when the client is gone, or takes nothing for too long.
pub async fn send(pipe: &Pipe, bytes: Bytes) -> bool {
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
