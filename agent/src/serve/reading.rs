//! Who may read this node's page and its data: everybody on the wire, or, where the owner says `[page] open = false`,
//! whoever has a key of his.
//!
//! Doors that change something, and those of the models, ask for a key by themselves and are none of this file's affair.

use crate::api;
use crate::cluster::Cluster;
use crate::gateway::Gateway;
use crate::login::{LOGIN_PATH, LOGOUT_PATH};
use crate::page::WORKLET_PATH;
use crate::settings::Settings;
use service::door::{Answer, Head, Reply};
use service::upstream::HeaderMap;
use std::sync::Arc;

/// Open however the owner decides: the page without its matter, by which one logs in, and whether this node is well.
const OPEN: [&str; 6] = ["/", WORKLET_PATH, LOGIN_PATH, LOGOUT_PATH, "/healthz", api::DOCUMENT_PATH];
/// Nodes fetch their parts of the plan here; each is signed for one of them and says nothing of persons.
const PART_PATH: &str = "/api/plan/";
/// The models' own door, whose errors have a form of their own.
const MODELS_PATH: &str = "/v1/";

const CLOSED: &str = "the owner has closed this page ([page] open in duet.toml): log in on it, or send a key as \
                      `Authorization: Bearer KEY`";

pub struct Reading {
    /// This node was told so itself, whatever the settings of all say.
    is_closed: bool,
    settings: Arc<Settings>,
    gateway: Arc<Gateway>,
    cluster: Arc<Cluster>,
}

/// Whether a path tells what a closed page does not.
fn is_matter(path: &str) -> bool {
    !OPEN.contains(&path) && !path.starts_with(PART_PATH) && !path.starts_with(MODELS_PATH)
}

/// The body of who is refused is not read, so nothing can follow on this connection.
pub fn refusal() -> Reply {
    let fields = &[("connection", "close")];
    Answer { fields, ..Answer::text(401, &format!("{CLOSED}\n")) }.into()
}

impl Reading {
    pub fn new(
        is_closed: bool,
        settings: Arc<Settings>,
        gateway: Arc<Gateway>,
        cluster: Arc<Cluster>,
    ) -> Reading {
        Reading { is_closed, settings, gateway, cluster }
    }

    fn is_open(&self) -> bool {
        !self.is_closed && self.settings.is_open()
    }

    /// Whether it is somebody who may not read; a request that changes something is judged by its own door.
    pub fn refuses(&self, head: &Head<'_>) -> bool {
        !head.is_post && is_matter(head.path) && !self.may(head.fields)
    }

    /// Whether whoever shows this may read all of the page.
    pub fn may(&self, fields: &HeaderMap) -> bool {
        self.is_open() || self.gateway.key(fields).is_ok()
    }

    /// Never ends: when the page closes, who listens without a key is sent away. With one he comes again.
    pub async fn follow(&self) {
        let mut news = self.settings.follow();
        let mut was_open = true;
        loop {
            let is_open = self.is_open();
            if was_open && !is_open {
                self.cluster.feed().cut();
            }
            was_open = is_open;
            if news.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_all_paths_only_those_stay_open_that_tell_nothing_or_are_judged_elsewhere() {
        let open: Vec<&str> =
            api::ROUTES.iter().map(|(path, _)| *path).filter(|path| !is_matter(path)).collect();
        let want = [
            "/",
            "/api/login",
            "/api/logout",
            "/api/openapi.json",
            "/api/plan/{id}",
            "/healthz",
            "/v1/chat/completions",
            "/v1/completions",
            "/v1/embeddings",
            "/v1/models",
            "/v1/models/{id}",
            "/worklet.js",
        ];
        assert_eq!(open, want);
        assert!(is_matter("/api/status") && is_matter("/metrics") && is_matter("/nothing"));
    }
}
