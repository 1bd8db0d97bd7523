//! Requests of this node itself: its own voice needs no key, and hears words instead of events.

use super::event::{Piece, data};
use super::job::{Form, Job, Whom};
use super::record::{self, Fault};
use super::route::{self, Purpose};
use super::stream::{Kind, Splitter, judge};
use super::{Gateway, Guest, begin, relay};
use crate::answer::model::Live;
use crate::talk::parts::Part;
use openai::{ApiError, Routing};
use serde::Deserialize;
use service::door::ResponseBody;
use service::events::{self, Events};
use std::collections::VecDeque;
use std::sync::Arc;

/// What the voice is called among those who ask. No key has this name: it is no word.
const VOICE: &str = "(voice)";

/// An answer as it comes.
pub struct Told {
    /// Who answers, and why.
    pub by: String,
    events: Events,
    splitter: Splitter,
    waiting: VecDeque<Part>,
}

impl Gateway {
    /// Asks a model for this node itself, an expert with this tag where there is one. To drop the answer stops the copy
    /// that writes it.
    pub async fn ask_for_this_node(
        self: &Arc<Self>,
        body: Vec<u8>,
        tag: Option<&str>,
    ) -> Result<Told, ApiError> {
        let routing = Routing::read(&body)?;
        let view = self.view().await;
        let expert = tag.and_then(|tag| route::with_tag(&view, tag));
        let candidates = route::route(&view, expert.unwrap_or(&routing.model), Purpose::Text)?;
        let id = format!("voice-{:016x}", u64::from_ne_bytes(crate::serve::enrolling::random()));
        let whom = Whom { candidates, path: "/v1/chat/completions", id, form: Form::Events };
        let guest = Guest { gateway: self.clone(), key: VOICE.into(), tokens: 0 };
        let begun = begin::begin(Job::new(guest, whom, body, routing.with_usage)).await?;
        let at = &begun.at;
        let place = view.copies.iter().find(|copy| copy.address == at.address && copy.expert == at.model);
        let place = place.map_or_else(|| at.address.to_string(), |copy| copy.place.clone());
        let by = format!("{} on {place} ({})", at.model, at.why);
        let (pipe, events) = events::pipe();
        tokio::spawn(relay::stream(begun, pipe));
        Ok(Told { by, events, splitter: Splitter::default(), waiting: VecDeque::new() })
    }

    /// What models answer now, and what they are for.
    pub async fn live(&self) -> Live {
        let view = self.view().await;
        // What an address of the owner's has is not known; it is asked.
        let takes_all = view.set.is_some();
        let n_models = usize::from(takes_all);
        let mut live = Live { n_models, makes_vectors: takes_all, takes_all, ..Live::default() };
        for copy in view.copies.iter().filter(|copy| copy.health == cluster::Health::Passing) {
            let manner = view.manners.get(&copy.expert);
            if manner.is_some_and(|manner| manner.is_for_embeddings) {
                live.makes_vectors = true;
                continue;
            }
            live.n_models += 1;
            live.tags.extend(manner.into_iter().flat_map(|manner| manner.tags.iter().cloned()));
        }
        live
    }

    /// Vectors of texts, for this node itself; the sentence says why there are none.
    pub async fn vectors_for_this_node(
        self: &Arc<Self>,
        model: &str,
        texts: &[String],
    ) -> Result<Vec<Vec<f32>>, String> {
        let body = serde_json::json!({ "model": model, "input": texts }).to_string().into_bytes();
        let told = |error: ApiError| error.message;
        let candidates = route::route(&self.view().await, model, Purpose::Embeddings).map_err(told)?;
        let id = format!("own-{:016x}", u64::from_ne_bytes(crate::serve::enrolling::random()));
        let whom = Whom { candidates, path: "/v1/embeddings", id, form: Form::Whole };
        let guest = Guest { gateway: self.clone(), key: VOICE.into(), tokens: 0 };
        let response = relay::whole(Job::new(guest, whom, body, false)).await.map_err(told)?;
        match response.body {
            ResponseBody::Whole(body) => vectors(&body, texts.len()),
            ResponseBody::Events(_) => Err("vectors came in pieces".into()),
        }
    }
}

/// The vectors of an answer, in the order of their texts.
fn vectors(body: &[u8], n_texts: usize) -> Result<Vec<Vec<f32>>, String> {
    #[derive(Deserialize)]
    struct Body {
        data: Vec<One>,
    }
    #[derive(Deserialize)]
    struct One {
        index: usize,
        embedding: Vec<f32>,
    }
    let body: Body =
        serde_json::from_slice(body).map_err(|error| format!("the vectors are unreadable: {error}"))?;
    let mut vectors = vec![vec![]; n_texts];
    for One { index, embedding } in body.data {
        *vectors.get_mut(index).ok_or("there are more vectors than texts")? = embedding;
    }
    if vectors.iter().any(Vec::is_empty) { Err("a vector is missing".into()) } else { Ok(vectors) }
}

impl Told {
    /// What comes next; after the end, ends.
    pub async fn next(&mut self) -> Part {
        loop {
            if let Some(part) = self.waiting.pop_front() {
                return part;
            }
            let Some(event) = self.events.next().await else {
                return Part::Failed("the answer ended without its last word".into());
            };
            if let Err(error) = self.splitter.add(event.as_bytes()) {
                return Part::Failed(error.message);
            }
            while let Some(event) = self.splitter.take() {
                self.waiting.extend(parts(&event));
            }
        }
    }
}

/// What an event says to a listener.
fn parts(event: &[u8]) -> Vec<Part> {
    match judge(event) {
        Kind::Done => return vec![Part::End],
        Kind::Fault => {
            let error = match record::fault(event) {
                Fault::Copy(error) | Fault::Request(error) => error.message,
                Fault::Unknown => "the model stopped".into(),
            };
            return vec![Part::Failed(error)];
        }
        Kind::Prelude | Kind::Usage(_) | Kind::Token => {}
    }
    let Some(text) = data(event) else { return vec![] };
    let Some(piece) = Piece::of(text) else { return vec![] };
    let by = handover(text).map(Part::By);
    let words = piece.choices.into_iter().filter_map(|choice| choice.delta?.content);
    let words = words.filter(|words| !words.is_empty()).map(|words| Part::Words(words.into_owned()));
    by.into_iter().chain(words).collect()
}

/// That another copy speaks from here on.
fn handover(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Event {
        duet: Duet,
    }
    #[derive(Deserialize)]
    struct Duet {
        handover: Handover,
    }
    #[derive(Deserialize)]
    struct Handover {
        expert: String,
        why: String,
    }
    // The gateway writes it first.
    let event: Event = text.starts_with("{\"duet\":").then(|| serde_json::from_str(text).ok())??;
    let Handover { expert, why } = event.duet.handover;
    Some(format!("{expert} goes on ({why})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(event: &str, want: &[Part]) {
        assert_eq!(parts(event.as_bytes()), want, "{event}");
    }

    #[test]
    fn vectors_come_in_the_order_of_their_texts() {
        let body = br#"{"data":[{"index":1,"embedding":[2]},{"index":0,"embedding":[1.5]}]}"#;
        assert_eq!(vectors(body, 2), Ok(vec![vec![1.5], vec![2.0]]));
        assert!(vectors(body, 1).is_err() && vectors(body, 3).is_err() && vectors(b"{}", 0).is_err());
    }

    #[test]
    fn an_event_is_words_an_end_or_a_failure() {
        check("data: {\"choices\":[{\"delta\":{\"content\":\"Hi \"}}]}\n\n", &[Part::Words("Hi ".into())]);
        check("data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n", &[]);
        check(
            "data: {\"duet\":{\"handover\":{\"expert\":\"local\",\"why\":\"lost\"}},\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n",
            &[Part::By("local goes on (lost)".into()), Part::Words("a".into())],
        );
        check(": keep-alive\n\n", &[]);
        check("data: [DONE]\n\n", &[Part::End]);
        check(
            "data: {\"error\":{\"message\":\"gone\",\"type\":\"server_error\"}}\n\n",
            &[Part::Failed("gone".into())],
        );
        check("data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3}}\n\n", &[]);
    }
}
