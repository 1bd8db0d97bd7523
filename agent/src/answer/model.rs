//! Asks a model of the cluster, through this node's own gateway, in the same program.

use crate::gateway::Gateway;
use crate::gateway::route::AUTO;
use crate::talk::parts::{Part, Stop};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// How soon a stop is seen.
const STOP_EVERY: Duration = Duration::from_millis(40);

/// A request to a model.
pub struct ModelJob {
    pub body: Vec<u8>,
    /// What it is about: an expert with this tag is asked first.
    pub tag: Option<String>,
    pub stop: Stop,
    pub sink: Box<dyn FnMut(Part) + Send>,
}

/// What models there are now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    pub n_models: usize,
    /// What they are for.
    pub tags: BTreeSet<String>,
    pub makes_vectors: bool,
    /// One server answers for all experts; what it is for is not known.
    pub takes_all: bool,
}

pub type Vectors = Result<Vec<Vec<f32>>, String>;

/// Whoever has models. Each callback is called once, soon or late.
pub trait Models: Send + Sync {
    fn ask(&self, job: ModelJob);

    fn live(&self, done: Box<dyn FnOnce(Live) + Send>) {
        done(Live::default());
    }

    /// A vector for each text.
    fn vectors(&self, _texts: Vec<String>, done: Box<dyn FnOnce(Vectors) + Send>) {
        done(Err("no model makes vectors".into()));
    }
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

    fn live(&self, done: Box<dyn FnOnce(Live) + Send>) {
        let gateway = self.gateway.clone();
        self.runtime.spawn(async move { done(gateway.live().await) });
    }

    fn vectors(&self, texts: Vec<String>, done: Box<dyn FnOnce(Vectors) + Send>) {
        let gateway = self.gateway.clone();
        self.runtime.spawn(async move { done(gateway.vectors_for_this_node(AUTO, &texts).await) });
    }
}

/// Until the answer has ended, or nobody waits for it any more: then the stream is dropped, and the copy stops.
pub async fn answer(gateway: &Arc<Gateway>, job: ModelJob) {
    let ModelJob { body, tag, stop, mut sink } = job;
    let begun = tokio::select! {
        begun = gateway.ask_for_this_node(body, tag.as_deref()) => begun,
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
