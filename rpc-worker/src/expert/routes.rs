//! The paths of `/v1`, over whatever experts this node holds.

use super::answers::{Kind, Telling};
use super::civil::civil;
use super::figures::Count;
use super::hall::Hall;
use super::replies::{aside, error_reply, json};
use super::serving::{Serving, seconds_since_1970};
use openai::answer::{ModelCard, embeddings, models};
use openai::{ApiError, BODY_BYTES_MAX, ChatRequest, CompletionRequest, EmbeddingRequest, handover};
use service::door::{Allowance, Ask, Head, Limits, Reply};
use split::expert::Purpose;
use std::sync::Arc;
use std::time::Duration;

const PREFIX: &str = "/v1/";
/// A slow model may write for so long.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(3600);
/// One gateway may bring many requests at once.
pub const LIMITS: Limits = Limits { connections: 96, connections_per_address: 64, body_bytes: 0 };

/// Only requests to experts have bodies.
pub fn gate(head: &Head<'_>) -> Result<Allowance, Reply> {
    match head.path.starts_with(PREFIX) {
        true => Ok(Allowance { body_bytes: BODY_BYTES_MAX, time: ANSWER_TIME_MAX }),
        false => Ok(LIMITS.usual()),
    }
}

/// `None` for paths that are not of `/v1`.
pub async fn answer(hall: &Hall, ask: Ask) -> Option<Reply> {
    let path = ask.path.strip_prefix(PREFIX)?.to_owned();
    if ask.is_of_a_browser && ask.posted.is_some() {
        // A page from anywhere must not make this node compute.
        return Some(error_reply(&ApiError::no_key("browsers ask the agent, not an expert")));
    }
    // A gateway; others would not know what to do with tokens.
    let tells = ask.fields.get(handover::FIELD).is_some_and(|asked| asked == handover::TOKENS);
    let done = match (path.as_str(), ask.posted) {
        ("chat/completions", Some(body)) => chat(hall, body, tells).await,
        ("completions", Some(body)) => completion(hall, body, tells).await,
        ("embeddings", Some(body)) => vectors(hall, body).await,
        ("models", None) => {
            let cards: Vec<ModelCard> = hall.ready().iter().map(card).collect();
            Ok(json(200, models(&cards), &[]))
        }
        (path, None) if path.starts_with("models/") => {
            hall.find(&path["models/".len()..]).map(|serving| json(200, card(&serving).body(), &[]))
        }
        (_, posted) => {
            let method = if posted.is_some() { "POST" } else { "GET" };
            Err(ApiError::unknown_route(method, &format!("{PREFIX}{path}")))
        }
    };
    Some(done.unwrap_or_else(|error| error_reply(&error)))
}

fn card(serving: &Arc<Serving>) -> ModelCard {
    ModelCard::new(serving.expert.name.clone(), serving.created())
}

async fn chat(hall: &Hall, body: Vec<u8>, tells: bool) -> Result<Reply, ApiError> {
    let request = ChatRequest::read(&body)?;
    let serving = hall.find_for(&request.model, Purpose::Chat)?;
    serving.figures.add(Count::Requests, 1);
    let streaming = request.streaming;
    let stops = request.choosing.stop.clone();
    let begun = request.begun.clone();
    let maker = Arc::clone(&serving);
    let make = move || maker.talk()?.chat(&request, civil(seconds_since_1970()), maker.dice());
    let prepared = aside(make).await?;
    let mut telling = Telling::new(&serving, Kind::Chat, streaming, stops, prepared)?;
    telling.hand_over(tells, begun);
    Ok(telling.reply().await)
}

async fn completion(hall: &Hall, body: Vec<u8>, tells: bool) -> Result<Reply, ApiError> {
    let request = CompletionRequest::read(&body)?;
    let serving = hall.find_for(&request.model, Purpose::Chat)?;
    serving.figures.add(Count::Requests, 1);
    let streaming = request.streaming;
    let stops = request.choosing.stop.clone();
    let begun = request.begun.clone();
    let maker = Arc::clone(&serving);
    let prepared = aside(move || maker.talk()?.completion(&request, maker.dice())).await?;
    let mut telling = Telling::new(&serving, Kind::Completion, streaming, stops, prepared)?;
    telling.hand_over(tells, begun);
    Ok(telling.reply().await)
}

async fn vectors(hall: &Hall, body: Vec<u8>) -> Result<Reply, ApiError> {
    let request = EmbeddingRequest::read(&body)?;
    let serving = hall.find_for(&request.model, Purpose::Embeddings)?;
    serving.figures.add(Count::Requests, 1);
    let encoding = request.encoding;
    let maker = Arc::clone(&serving);
    let texts = aside(move || tokens(&maker, &request)).await?;
    let n_tokens = texts.iter().map(Vec::len).sum::<usize>() as u32;
    let broken = || ApiError::internal("the model broke off");
    let vectors = serving.embed(texts)?.await.map_err(|_| broken())?.map_err(ApiError::internal)?;
    Ok(json(200, embeddings(&serving.expert.name, &vectors, encoding, n_tokens), &[]))
}

fn tokens(serving: &Serving, request: &EmbeddingRequest) -> Result<Vec<Vec<engine::Token>>, ApiError> {
    let model = serving.embedder()?;
    if let Some(wanted) = request.dimensions.filter(|n| *n as usize != model.n_embd()) {
        let what = format!("this model's vectors have {} numbers, not {wanted}", model.n_embd());
        return Err(ApiError::invalid("dimensions", what));
    }
    let n_max = serving.n_ctx as usize;
    let mut texts = Vec::new();
    for (idx, text) in request.inputs.iter().enumerate() {
        let param = format!("input[{idx}]");
        let tokens = model.tokenise(text, true, false);
        let tokens = tokens.map_err(|e| ApiError::invalid(param.clone(), e.to_string()))?;
        match tokens.len() {
            0 => return Err(ApiError::invalid(param, "has no tokens")),
            n if n > n_max => {
                return Err(ApiError { param: Some(param), ..ApiError::context_overflow(n, n_max) });
            }
            _ => texts.push(tokens),
        }
    }
    Ok(texts)
}
