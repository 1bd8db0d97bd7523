//! Finds a copy that answers: one after the other, until a first token came.

use super::route::Candidate;
use super::stream::{Kind, Splitter, Usage, judge};
use super::{Gateway, Guest, Place};
use bytes::Bytes;
use openai::ApiError;
use openai::handover::{self, Line};
use service::upstream::{self, Answering, UpstreamError};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Copies that one request may try.
pub const ATTEMPTS_MAX: usize = 3;
/// Where there is another copy, a stream's answer must begin by then: a node that hangs is passed over.
/// Copies of ours begin after a second, also when all their slots are taken.
pub const BEGIN_TIME_MAX: Duration = Duration::from_millis(2500);
/// The last one may take its time, and so may a whole answer, which begins when it is ready.
pub const PATIENCE: Duration = Duration::from_secs(10 * 60);
/// A stream on which nothing comes for so long is dead; experts say something every few seconds.
pub const PAUSE_MAX: Duration = Duration::from_secs(120);
/// A copy of ours says something every 400 ms: one that is silent for so long is frozen or cut off.
const SILENCE_MAX: Duration = Duration::from_millis(1500);
/// Where an answer goes on, a copy has so long to begin: the client waits already.
const GO_ON_TIME_MAX: Duration = Duration::from_secs(1);
/// Longest text of an error that is handed on.
const ERROR_BYTES_MAX: usize = 64 * 1024;
/// Prelude that is held back until the first token.
const HELD_MAX: usize = 16;

/// Where a request may go.
pub struct Whom {
    pub candidates: Vec<Candidate>,
    pub path: &'static str,
    pub id: String,
    pub is_stream: bool,
}

/// A request, until it is answered.
pub struct Job {
    pub guest: Guest,
    pub whom: Whom,
    body: Vec<u8>,
    /// The client asked for the count of tokens itself.
    pub with_usage: bool,
    pub began: Instant,
    /// What copies that are lost have said, and about how many tokens that was.
    pub begun: Option<handover::Begun>,
    pub n_begun: u64,
    /// They, and whether they said so themselves.
    pub lost: Vec<(Candidate, bool)>,
}

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
}

/// One attempt, as the meters see it; whatever ends it.
pub struct Flight {
    gateway: Arc<Gateway>,
    pub expert: String,
    place: Place,
    first: Option<Instant>,
    /// Tokens that others had written before.
    n_begun: u64,
}

impl Job {
    pub fn new(guest: Guest, whom: Whom, body: Vec<u8>, with_usage: bool) -> Job {
        let began = Instant::now();
        Job { guest, whom, body, with_usage, began, begun: None, n_begun: 0, lost: vec![] }
    }

    /// The request as one copy is to get it.
    fn body_for(&self, candidate: &Candidate) -> Result<Bytes, ApiError> {
        // Of a stream the tokens are counted for the key, whether or not the client wants to know.
        let begun = self.begun.as_ref();
        Ok(openai::with_handover(&self.body, &candidate.model, self.whom.is_stream, begun)?.into())
    }
}

impl Flight {
    fn new(gateway: &Arc<Gateway>, expert: &str, at: &Candidate, n_begun: u64) -> Flight {
        gateway.meters().began(expert);
        let place = (at.address, at.model.clone());
        *gateway.flying().entry(place.clone()).or_default() += 1;
        Flight { gateway: gateway.clone(), expert: expert.to_owned(), place, first: None, n_begun }
    }

    pub fn first_token(&mut self, began: Instant) {
        if self.first.is_none() {
            self.first = Some(Instant::now());
            self.gateway.meters().first_token(&self.expert, began.elapsed());
        }
    }

    /// What was read and written, for the meters.
    pub fn counted(&self, usage: Usage) {
        let took = self.first.map_or(Duration::ZERO, |first| first.elapsed());
        let own = usage.completion_tokens.saturating_sub(self.n_begun);
        self.gateway.meters().counted(&self.expert, usage.prompt_tokens, own, took);
    }

    pub fn failed(&self, sentence: String, is_retried: bool) {
        self.gateway.meters().failed(&self.expert, sentence, is_retried);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.gateway.meters().ended(&self.expert, self.first.is_none());
        let mut flying = self.gateway.flying();
        match flying.get_mut(&self.place) {
            Some(n) if *n > 1 => *n -= 1,
            _ => _ = flying.remove(&self.place),
        }
    }
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
                return Ok(Begun { job, flight, answering, splitter, events, at, pause_max });
            }
            Err((flight, miss)) => {
                if let Miss::Silent(_) = miss {
                    gateway.unreachable(candidate);
                }
                flight.failed(format!("at {}: {}", candidate.address, miss.sentence()), !is_last);
                last = miss.error();
            }
        }
    }
    Err(last)
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
    let patience = match (job.begun.is_some(), is_last) {
        (true, false) => GO_ON_TIME_MAX,
        (true, true) => BEGIN_TIME_MAX,
        (false, false) if job.whom.is_stream => BEGIN_TIME_MAX,
        _ => PATIENCE,
    };
    let mut answering = match upstream::ask(ask, patience).await {
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
    if !job.whom.is_stream {
        return Ok(Ok((flight, answering, splitter, events)));
    }
    match first_token(&mut answering, &mut splitter, &mut events).await {
        Ok(()) => {
            flight.first_token(job.began);
            Ok(Ok((flight, answering, splitter, events)))
        }
        Err(error) => Ok(Err((flight, Miss::Broken(error)))),
    }
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
) -> Result<(), ApiError> {
    let pause_max = pause_max(answering);
    loop {
        while let Some(event) = splitter.take() {
            let kind = judge(&event);
            if kind == Kind::Fault {
                return Err(ApiError::internal("the model stopped before its first token"));
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
            Some(Ok(piece)) => splitter.add(&piece)?,
            Some(Err(error)) => {
                return Err(ApiError::overloaded(format!("the model's node was lost: {error}"), 2000));
            }
            None => return Err(ApiError::internal("the answer ended before its first token")),
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
