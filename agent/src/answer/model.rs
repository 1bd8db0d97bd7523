//! Asks a model of the cluster, through this node's own gateway, in the same program.

use super::memory::Turn;
use crate::gateway::Gateway;
use crate::talk::parts::{Part, Stop};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// Tokens of one answer: a minute and a half of speech. A person who wants more asks again.
const TOKENS_MAX: u32 = 300;
/// How soon a stop is seen.
const STOP_EVERY: Duration = Duration::from_millis(40);

/// A request to a model.
pub struct ModelJob {
    pub body: Vec<u8>,
    pub stop: Stop,
    pub sink: Box<dyn FnMut(Part) + Send>,
}

/// Whoever has models.
pub trait Models: Send + Sync {
    fn ask(&self, job: ModelJob);
}

/// The request as the API has it. The experts know best how to behave, so no words on that are sent: what is sent before
/// is the same every time, and a copy keeps it.
pub fn body(before: &[Turn], text: &str) -> Vec<u8> {
    let message = |role: &str, content: &str| json!({ "role": role, "content": content });
    let turns =
        before.iter().flat_map(|turn| [message("user", &turn.said), message("assistant", &turn.answer)]);
    let messages: Vec<_> = turns.chain([message("user", text)]).collect();
    let body = json!({
        "model": crate::gateway::route::AUTO,
        "messages": messages,
        "stream": true,
        "max_tokens": TOKENS_MAX,
    });
    body.to_string().into_bytes()
}

/// The models of the cluster, asked from the program's own runtime.
pub struct GatewayModels {
    pub gateway: Arc<Gateway>,
    pub runtime: Handle,
}

impl Models for GatewayModels {
    fn ask(&self, job: ModelJob) {
        let gateway = self.gateway.clone();
        self.runtime.spawn(async move { answer(&gateway, job).await });
    }
}

/// Until the answer has ended, or nobody waits for it any more: then the stream is dropped, and the copy stops.
pub async fn answer(gateway: &Arc<Gateway>, job: ModelJob) {
    let ModelJob { body, stop, mut sink } = job;
    let begun = tokio::select! {
        begun = gateway.ask_for_this_node(body) => begun,
        () = stopped(&stop) => return,
    };
    let mut told = match begun {
        Ok(told) => told,
        Err(error) => return sink(Part::Failed(error.message)),
    };
    sink(Part::By(told.by.clone()));
    loop {
        let part = tokio::select! {
            part = told.next() => part,
            () = stopped(&stop) => return,
        };
        if stop.is_stopped() {
            return;
        }
        let is_over = matches!(part, Part::End | Part::Failed(_));
        sink(part);
        if is_over {
            return;
        }
    }
}

async fn stopped(stop: &Stop) {
    while !stop.is_stopped() {
        tokio::time::sleep(STOP_EVERY).await;
    }
}
