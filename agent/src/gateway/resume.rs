//! A stream whose copy is gone goes on: at another copy of the same expert, else with the small model.

use super::begin::{self, Begun};
use super::relay::{KEEP_ALIVE_EVERY, send};
use super::route::{self, ATTEMPTS_MAX, Candidate, Purpose};
use super::{Gateway, record::Record};
use bytes::Bytes;
use openai::{ApiError, sse};
use service::events::Pipe;
use service::log::{Level, say};
use split::expert::LOCAL;
use std::time::Instant;

/// One stream goes on so often: who loses every copy has another trouble.
pub const HANDOVERS_MAX: usize = 3;

/// How a copy was lost.
pub struct Loss {
    pub error: ApiError,
    /// It said so itself, so its node lives, and may have another model.
    pub is_told: bool,
    /// The client waits since then.
    pub since: Instant,
    /// Tokens that it had written.
    pub n_tokens: u64,
}

/// What the client hears of it: a comment, and a field of the next event.
pub struct Mark {
    pub comment: Bytes,
    pub field: String,
}

impl Mark {
    /// `expert` speaks from here on, after so many tokens of another.
    pub fn new(expert: &str, why: &str, n_tokens: u64, since: Instant) -> Mark {
        let comment = format!(": handed over to {expert}: {}\n\n", why.replace(['\r', '\n'], " "));
        let waited_ms = since.elapsed().as_millis() as u64;
        let field = serde_json::json!({"handover": {
            "expert": expert, "tokens": n_tokens, "why": why, "waited_ms": waited_ms,
        }});
        Mark { comment: comment.into(), field: field.to_string() }
    }
}

/// `None` where the client is gone.
pub async fn go_on(
    begun: Begun,
    record: &mut Record,
    loss: &Loss,
    pipe: &Pipe,
) -> Option<Result<(Begun, Mark), ApiError>> {
    let Begun { mut job, flight, at, answering, .. } = begun;
    // If it still writes, it need not.
    drop(answering);
    let gateway = job.guest.gateway.clone();
    let expert = flight.expert.clone();
    flight.failed(format!("at {}, in the middle: {}", at.address, loss.error.message), true);
    drop(flight);
    if !loss.is_told {
        gateway.unreachable(&at);
    }
    let (from, id) = (at.address, job.whom.id.clone());
    job.lost.push((at, loss.is_told));
    job.whom.candidates = gateway.others(&job.lost).await;
    let Some(kept) = record.lost().filter(|_| !job.whom.candidates.is_empty()) else {
        return Some(Err(loss.error.clone()));
    };
    job.n_begun = loss.n_tokens;
    job.begun = Some(kept);
    let mut beginning = Box::pin(begin::begin(job));
    let begun = loop {
        tokio::select! {
            begun = &mut beginning => break begun,
            () = pipe.gone() => return None,
            () = tokio::time::sleep(KEEP_ALIVE_EVERY) => {
                if !send(pipe, Bytes::from_static(sse::KEEP_ALIVE.as_bytes())).await {
                    return None;
                }
            }
        }
    };
    let begun = match begun {
        Ok(begun) => begun,
        // The first loss is what the client is told.
        Err(error) => {
            let message = format!("{}, and nobody can go on: {}", loss.error.message, error.message);
            return Some(Err(ApiError { message, ..loss.error.clone() }));
        }
    };
    let (to, waited_ms) = (&begun.at, loss.since.elapsed().as_millis());
    let sentence = format!(
        "{id}: after {} tokens {from} was lost ({}); {} at {} went on, {waited_ms} ms after the last",
        loss.n_tokens, loss.error.message, to.model, to.address
    );
    say(Level::Warning, &format!("duet: gateway: {sentence}"));
    gateway.meters().handed_over(&expert, sentence);
    let mark = Mark::new(&to.model, &loss.error.message, loss.n_tokens, loss.since);
    Some(Ok((begun, mark)))
}

impl Gateway {
    /// Who may go on: other copies of the expert that was lost last, then the small model of whatever node.
    async fn others(&self, lost: &[(Candidate, bool)]) -> Vec<Candidate> {
        let Some((last, _)) = lost.last() else { return vec![] };
        let view = self.view().await;
        let is_lost = |candidate: &Candidate| {
            lost.iter().any(|(lost, is_told)| {
                lost.address == candidate.address && (!is_told || lost.model == candidate.model)
            })
        };
        let of = |model: &str| route::route(&view, model, Purpose::Text).unwrap_or_default();
        let mut all = of(&last.model);
        // A fixed address tells of no experts, and may have the small one.
        if last.model != LOCAL && !all.iter().any(|candidate| candidate.is_substitute) {
            all.retain(|candidate| !is_lost(candidate));
            all.truncate(ATTEMPTS_MAX - 1);
            all.extend(of(LOCAL));
        }
        all.retain(|candidate| !is_lost(candidate));
        all
    }
}
