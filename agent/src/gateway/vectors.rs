//! Which model makes the vectors of this node's memory.

use super::Gateway;
use super::route::{self, Purpose};

impl Gateway {
    /// None where the cluster has none, or the owner set another server that may have any.
    pub async fn model_for_vectors(&self) -> Option<String> {
        let candidates = route::route(&self.view().await, route::AUTO, Purpose::Embeddings).ok()?;
        candidates.first().filter(|candidate| candidate.is_ours).map(|candidate| candidate.model.clone())
    }
}
