//! Finds a copy that answers: one after the other, until a first token came.

use super::job::{Flight, Form, Job};
use super::record::{self, Fault};
use super::route::{ATTEMPTS_MAX, Candidate};
use super::stream::{Kind, Splitter, judge};
use bytes::Bytes;
use openai::handover::{self, Line};
use openai::{ApiError, sse};
use service::upstream::{self, Answering, UpstreamError};
use std::time::Duration;

/// A stream on which nothing comes for so long is dead; experts say something every few seconds.
pub const PAUSE_MAX: Duration = Duration::from_secs(120);
/// A copy of ours says something every 400 ms: one that is silent for so long is frozen or cut off.
const SILENCE_MAX: Duration = Duration::from_millis(1500);
/// Longest text of an error that is handed on.
const ERROR_BYTES_MAX: usize = 64 * 1024;
/// Prelude that is held back until the first token.
const HELD_MAX: usize = 16;

/// An answer that has begun: events of a stream up to its first token, or the head of a whole answer.
pub struct Begun {
    pub job: Job,
    pub flight: Flight,
    pub answering: Answering,
    pub splitter: Splitter,
    pub events: Vec<Bytes>,
    /// Who answers, and how long it may be silent.
    pub at: Candidate,
    pub pause_max: Duration,
    /// Why it is the small model that answers, where another was asked for.
    pub instead: Option<ApiError>,
}

/// Why one attempt gave nothing.
enum Miss {
    /// There was no connection, or it gave no answer.
    Silent(UpstreamError),
    /// The copy is full or ill for the moment; its own words.
    Busy(ApiError),
    /// It broke before the first token.
    Broken(ApiError),
}

impl Miss {
    fn sentence(&self) -> String {
        match self {
            Miss::Silent(error) => error.to_string(),
            Miss::Busy(error) | Miss::Broken(error) => format!("{} {}", error.status, error.message),
        }
    }

    fn error(self) -> ApiError {
        match self {
            Miss::Silent(error) => {
                ApiError::overloaded(format!("no copy of this model answers: {error}"), 2000)
            }
            Miss::Busy(error) | Miss::Broken(error) => error,
        }
    }
}

/// Tries the candidates in their order. Only what another copy may do better is tried again.
pub async fn begin(job: Job) -> Result<Begun, ApiError> {
    let gateway = job.guest.gateway.clone();
    let candidates = job.whom.candidates.clone();
    let n = candidates.len().min(ATTEMPTS_MAX);
    let mut last = ApiError::internal("a request without a candidate");
    let mut first_miss: Option<ApiError> = None;
    for (idx, candidate) in candidates.iter().take(n).enumerate() {
        let is_last = idx + 1 == n;
        // What no node tells of is counted together: its name is the client's.
        let expert = if candidate.node.is_some() || gateway.knows(&candidate.model) {
            candidate.model.as_str()
        } else {
            "elsewhere"
        };
        let flight = Flight::new(&gateway, expert, candidate, job.n_begun);
        match attempt(&job, candidate, flight, is_last).await? {
            Ok((flight, answering, splitter, events)) => {
                let at = candidate.clone();
                let pause_max = pause_max(&answering);
                let nobody = || ApiError::overloaded("no node serves it at the moment", 2000);
                let instead = candidate.is_substitute.then(|| first_miss.unwrap_or_else(nobody));
                return Ok(Begun { job, flight, answering, splitter, events, at, pause_max, instead });
            }
            Err((flight, miss)) => {
                if let Miss::Silent(_) = miss {
                    gateway.unreachable(candidate);
                }
                flight.failed(format!("at {}: {}", candidate.address, miss.sentence()), !is_last);
                last = miss.error();
                first_miss.get_or_insert_with(|| last.clone());
            }
        }
    }
    // What its own copies said is more to the point than what the small model did.
    Err(first_miss.filter(|_| candidates.iter().any(|one| one.is_substitute)).unwrap_or(last))
}

type Parts = (Flight, Answering, Splitter, Vec<Bytes>);

async fn attempt(
    job: &Job,
    candidate: &Candidate,
    mut flight: Flight,
    is_last: bool,
) -> Result<Result<Parts, (Flight, Miss)>, ApiError> {
    let body = job.body_for(candidate)?;
    let fields = [
        ("x-request-id", job.whom.id.as_str()),
        ("accept-encoding", "identity"),
        (handover::FIELD, handover::TOKENS),
    ];
    let ask =
        upstream::Ask { address: candidate.address, path: job.whom.path, fields: &fields, body: Some(body) };
    let asking = upstream::ask(ask, job.patience(candidate, is_last));
    let asked = tokio::select! {
        asked = asking => asked,
        () = dead(candidate), if !job.streams() && candidate.is_ours => Err(UpstreamError::Late),
    };
    let mut answering = match asked {
        Ok(answering) => answering,
        Err(error) => return Ok(Err((flight, Miss::Silent(error)))),
    };
    if answering.status != 200 {
        let (status, error) = told(answering).await;
        // Another copy would say the same of the request itself, but not of an answer that it cannot go on with.
        let may_pass = status == 429 || status >= 500 || job.begun.is_some();
        return if may_pass { Ok(Err((flight, Miss::Busy(error)))) } else { Err(error) };
    }
    if job.begun.is_some() && !says(&answering, handover::CONTINUED) {
        // It would begin anew, and the client would hear the beginning twice.
        let error = ApiError::internal("it goes on with no answer that another began");
        return Ok(Err((flight, Miss::Busy(error))));
    }
    let (mut splitter, mut events) = (Splitter::default(), vec![]);
    // A server that knows no streams gives a whole answer.
    if !job.streams() || (job.whom.form == Form::Folded && !is_events(&answering)) {
        return Ok(Ok((flight, answering, splitter, events)));
    }
    match first_token(&mut answering, &mut splitter, &mut events).await {
        Ok(()) => {
            flight.first_token(job.began);
            Ok(Ok((flight, answering, splitter, events)))
        }
        Err(Early::Miss(miss)) => Ok(Err((flight, miss))),
        Err(Early::Refused(error)) => Err(error),
    }
}

/// Resolves when a copy of ours answers nothing at all any more, while it is to make vectors.
async fn dead(candidate: &Candidate) {
    loop {
        tokio::time::sleep(SILENCE_MAX).await;
        let ask = upstream::Ask { address: candidate.address, path: "/v1/models", fields: &[], body: None };
        if upstream::ask(ask, SILENCE_MAX).await.is_err() {
            return;
        }
    }
}

/// Whether an answer is a stream.
pub fn is_events(answering: &Answering) -> bool {
    let kind = answering.fields.get("content-type").and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with(sse::CONTENT_TYPE))
}

/// Why a stream did not come to its first token.
enum Early {
    /// Another copy may do better.
    Miss(Miss),
    /// Another copy would say the same of this request.
    Refused(ApiError),
}

/// How long an answer may be silent.
fn pause_max(answering: &Answering) -> Duration {
    if says(answering, handover::TOKENS) { SILENCE_MAX } else { PAUSE_MAX }
}

/// Whether a copy says this of itself; others than ours never do.
fn says(answering: &Answering, word: &str) -> bool {
    let told = answering.fields.get(handover::FIELD).and_then(|value| value.to_str().ok());
    told.is_some_and(|told| told.split(", ").any(|said| said == word))
}

/// Reads up to the first token.
async fn first_token(
    answering: &mut Answering,
    splitter: &mut Splitter,
    events: &mut Vec<Bytes>,
) -> Result<(), Early> {
    let broken = |what: &str| Early::Miss(Miss::Broken(ApiError::internal(what)));
    let pause_max = pause_max(answering);
    loop {
        while let Some(event) = splitter.take() {
            let kind = judge(&event);
            if kind == Kind::Fault {
                return Err(match record::fault(&event) {
                    Fault::Copy(error) => Early::Miss(Miss::Busy(error)),
                    Fault::Request(error) => Early::Refused(error),
                    Fault::Unknown => broken("the model stopped before its first token"),
                });
            }
            // Comments of the copy are not for the client: the gateway says its own.
            let (_, at) = Line::of(&event);
            let is_comment = event.get(at) == Some(&b':');
            if !is_comment && (kind != Kind::Prelude || events.len() < HELD_MAX) {
                events.push(event);
            }
            if kind != Kind::Prelude {
                return Ok(());
            }
        }
        match answering.piece(pause_max).await {
            Some(Ok(piece)) => splitter.add(&piece).map_err(|error| Early::Miss(Miss::Broken(error)))?,
            // A frozen node is as silent here as one that takes no connection.
            Some(Err(error)) => return Err(Early::Miss(Miss::Silent(error))),
            None => return Err(broken("the answer ended before its first token")),
        }
    }
}

/// A copy's refusal, as it is told to the client.
async fn told(answering: Answering) -> (u16, ApiError) {
    #[derive(serde::Deserialize)]
    struct Body {
        error: Inner,
    }
    #[derive(serde::Deserialize)]
    struct Inner {
        message: String,
        param: Option<String>,
        code: Option<String>,
    }
    let status = answering.status;
    let field = |name: &str| answering.fields.get(name)?.to_str().ok()?.parse::<u32>().ok();
    let retry_ms = field("retry-after-ms").or_else(|| field("retry-after").map(|s| s.saturating_mul(1000)));
    let body = answering.whole(ERROR_BYTES_MAX, PAUSE_MAX).await.unwrap_or_default();
    let (message, param, code) = match serde_json::from_slice::<Body>(&body) {
        Ok(Body { error: Inner { message, param, code } }) => (message, param, code),
        Err(_) => (format!("the model's node answered {status} without a reason"), None, None),
    };
    let mut error = match status {
        429 => ApiError::too_many_requests(message, retry_ms.unwrap_or(1000)),
        503 => ApiError::overloaded(message, retry_ms.unwrap_or(1000)),
        500.. => ApiError::internal(message),
        _ => ApiError::unreadable(message),
    };
    let known =
        ["model_not_found", "context_length_exceeded", "rate_limit_exceeded", "overloaded", "unknown_url"];
    if let Some(code) = known.into_iter().find(|known| code.as_deref() == Some(*known)) {
        error.code = Some(code);
    }
    error.status = status;
    error.param = param;
    (status, error)
}
