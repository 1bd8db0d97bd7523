//! What peers on the overlay may ask: what lies here, the catalogue, the list of a file's chunks, and a chunk.
//!
//! WireGuard has checked who sends there, so no key is asked for. Few chunks go out at a time, and whoever comes beyond
//! that is told to come again, so that a node that works is not drowned by those that fetch.

use super::Spreading;
use super::store::read_chunk;
use crate::serve::keeping::owner;
use service::door::{Allowance, Answer, Ask, Head, Reply, Response, ResponseBody};
use service::events::pipe;
use spread::{FLIGHT_TIME_MAX, Root, Tree};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub const PATH: &str = "/api/models/peer/";
pub const LOOK: &str = "/api/models/peer/look";
pub const CATALOGUE: &str = "/api/models/peer/catalogue";
/// A hash follows.
pub const TREE: &str = "/api/models/peer/tree/";
/// A hash and a number follow.
pub const CHUNK: &str = "/api/models/peer/chunk/";
/// Bytes that are handed to the connection at a time.
const PIECE_BYTES: usize = 128 << 10;

pub fn gate(head: &Head<'_>) -> Result<Allowance, Reply> {
    if head.is_post {
        return Err(Answer::text(405, "models are only got\n").into());
    }
    let time = if head.path.starts_with(CHUNK) { FLIGHT_TIME_MAX } else { Duration::ZERO };
    Ok(Allowance { body_bytes: 0, time })
}

impl Spreading {
    /// For a peer.
    pub async fn answer(&self, ask: &Ask) -> Reply {
        if ask.is_of_a_browser {
            return Answer::text(403, "a page may not fetch models\n").into();
        }
        let Some(picture) = self.cluster.picture() else {
            return Answer::text(503, "this node is no member yet\n").into();
        };
        if owner(&picture, ask.client.ip()).is_none() {
            return Answer::text(403, "the sender is no member\n").into();
        }
        match ask.path.as_str() {
            LOOK => Answer::json(200, self.told().to_json().into_bytes()).into(),
            CATALOGUE => match self.lock().catalogue.clone() {
                Some(catalogue) => Answer::json(200, catalogue.to_json().into_bytes()).into(),
                None => nothing(),
            },
            path => match (path.strip_prefix(TREE), path.strip_prefix(CHUNK)) {
                (Some(root), _) => self.tree(root),
                (_, Some(words)) => self.chunk(words).await,
                _ => nothing(),
            },
        }
    }

    fn tree(&self, root: &str) -> Reply {
        let found = Root::parse(root).and_then(|root| self.lies(root, None));
        let Some((_, tree)) = found else { return nothing() };
        Answer { content_type: "application/octet-stream", ..Answer::json(200, tree.to_bytes()) }.into()
    }

    async fn chunk(&self, words: &str) -> Reply {
        let asked =
            words.split_once('/').and_then(|(root, chunk)| Some((Root::parse(root)?, chunk.parse().ok()?)));
        let Some((root, chunk)) = asked else { return nothing() };
        let Some((path, tree)) = self.lies(root, Some(chunk)) else { return nothing() };
        let Ok(place) = self.uploads.clone().try_acquire_owned() else {
            return Answer::text(503, "this node sends as much as it may\n").into();
        };
        let read = tokio::task::spawn_blocking(move || read_chunk(&path, &tree, chunk)).await;
        let Ok(Ok(bytes)) = read else { return nothing() };
        let (sender, events) = pipe();
        tokio::spawn(async move {
            let mut rest = bytes::Bytes::from(bytes);
            while !rest.is_empty() {
                let piece = rest.split_to(rest.len().min(PIECE_BYTES));
                if !sender.send(piece).await {
                    break;
                }
            }
            drop(place);
        });
        Reply::Full(Response {
            status: 200,
            content_type: "application/octet-stream",
            fields: vec![],
            body: ResponseBody::Events(events),
        })
    }

    /// A file that lies here, or one that comes and has this chunk.
    fn lies(&self, root: Root, chunk: Option<u32>) -> Option<(PathBuf, Arc<Tree>)> {
        let state = self.lock();
        if let Some(here) = state.here.get(&root) {
            let is_in = chunk.is_none_or(|chunk| chunk < here.tree.n_chunks());
            return is_in.then(|| (here.path.clone(), here.tree.clone()));
        }
        let going = state.going.as_ref().filter(|going| going.root == root)?;
        let has = chunk.is_none_or(|chunk| going.have.has(chunk));
        has.then(|| (going.path.clone(), going.tree.clone()))
    }
}

fn nothing() -> Reply {
    Answer::text(404, "that is not here\n").into()
}
