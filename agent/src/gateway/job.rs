//! A request on its way to an answer: what is asked of a copy, how long it may take, and one attempt as the meters see it.

use super::route::Candidate;
use super::stream::Usage;
use super::{Gateway, Guest, Place};
use bytes::Bytes;
use openai::ApiError;
use openai::handover;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where there is another copy, a stream's answer must begin by then: a node that hangs is passed over.
/// Copies of ours begin after a second, also when all their slots are taken.
pub const BEGIN_TIME_MAX: Duration = Duration::from_millis(2500);
/// The last copy of ours gets more time; one that is silent for longer is frozen too.
const LAST_BEGIN_MAX: Duration = Duration::from_secs(5);
/// Another server may take its time, and so may vectors, which come when they are ready.
pub const PATIENCE: Duration = Duration::from_secs(10 * 60);
/// Where an answer goes on, a copy has so long to begin: the client waits already.
const GO_ON_TIME_MAX: Duration = Duration::from_secs(1);
/// Of a request, where nobody counted: English text has about four, and JSON and roles make up for other languages.
const BYTES_A_TOKEN: u64 = 4;

/// How an answer comes, and how it goes on to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A stream that stays one.
    Events,
    /// A stream of which one answer is made: a copy that is lost is noticed as soon as in a stream.
    Folded,
    /// Vectors, which cannot come in pieces.
    Whole,
}

/// Where a request may go.
pub struct Whom {
    pub candidates: Vec<Candidate>,
    pub path: &'static str,
    pub id: String,
    pub form: Form,
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

    /// What the key pays: the copy's own count. Who hangs up before that comes pays for the prompt by its length.
    pub fn charge(&mut self, usage: Option<Usage>, n_tokens: u64) {
        let likely_prompt = self.body.len() as u64 / BYTES_A_TOKEN;
        let paid = usage.map(|usage| usage.prompt_tokens.saturating_add(usage.completion_tokens));
        self.guest.tokens = paid.unwrap_or(likely_prompt + n_tokens);
    }

    /// The request as one copy is to get it.
    pub fn body_for(&self, candidate: &Candidate) -> Result<Bytes, ApiError> {
        // Of a stream the tokens are counted for the key, whether or not the client wants to know.
        let begun = self.begun.as_ref();
        Ok(openai::with_handover(&self.body, &candidate.model, self.streams(), begun)?.into())
    }

    pub fn streams(&self) -> bool {
        self.whom.form != Form::Whole
    }

    /// How long a copy may take until its answer begins.
    pub fn patience(&self, candidate: &Candidate, is_last: bool) -> Duration {
        match (self.begun.is_some(), is_last) {
            (true, false) => GO_ON_TIME_MAX,
            (true, true) => BEGIN_TIME_MAX,
            (false, true) if self.streams() && candidate.is_ours => LAST_BEGIN_MAX,
            (false, false) if self.streams() => BEGIN_TIME_MAX,
            _ => PATIENCE,
        }
    }
}

impl Flight {
    pub fn new(gateway: &Arc<Gateway>, expert: &str, at: &Candidate, n_begun: u64) -> Flight {
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
