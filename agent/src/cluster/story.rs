//! What happened in the cluster, in sentences: the last of it for the page, and all that comes for whoever listens.

use ::cluster::Event;
use gossip::Member;
use serde::Serialize;
use service::feed::Feed;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::broadcast;

/// Happenings kept for the page.
const KEPT_MAX: usize = 64;
/// Pages and programs that follow what happens.
pub const FOLLOWERS_MAX: usize = 1024;
/// A listener that is so many behind loses the oldest.
const BEHIND_MAX: usize = 256;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Happening {
    /// Grows by one with each.
    pub number: u64,
    /// Seconds since the agent started.
    pub at_s: u64,
    /// A word for programs.
    pub kind: &'static str,
    /// The node it is about.
    pub node: Option<String>,
    pub sentence: String,
}

pub struct Story {
    kept: VecDeque<Happening>,
    next: u64,
    listeners: broadcast::Sender<Happening>,
    feed: Arc<Feed>,
}

impl Default for Story {
    fn default() -> Story {
        let feed = Arc::new(Feed::new(KEPT_MAX, FOLLOWERS_MAX));
        Story { kept: VecDeque::new(), next: 1, listeners: broadcast::channel(BEHIND_MAX).0, feed }
    }
}

impl Story {
    pub fn add(&mut self, at_s: u64, kind: &'static str, node: Option<String>, sentence: String) {
        let happening = Happening { number: self.next, at_s, kind, node, sentence };
        self.next += 1;
        if self.kept.len() == KEPT_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(happening.clone());
        if let Ok(data) = serde_json::to_string(&happening) {
            self.feed.tell(kind, &data);
        }
        // Nobody need listen.
        let _ = self.listeners.send(happening);
    }

    /// Oldest first.
    pub fn kept(&self) -> Vec<Happening> {
        self.kept.iter().cloned().collect()
    }

    /// For clients.
    pub fn feed(&self) -> Arc<Feed> {
        self.feed.clone()
    }

    pub fn listen(&self) -> broadcast::Receiver<Happening> {
        self.listeners.subscribe()
    }
}

/// An event as a word, the node it is about, and a sentence. Facts come too often to be told as happenings.
pub fn tell(event: &Event, members: &[Member]) -> Option<(&'static str, Option<String>, String)> {
    let name = |id: &admission::NodeId| {
        let known = members.iter().find(|member| member.id == *id).map(|member| member.name.as_str());
        known.filter(|name| !name.is_empty()).map_or_else(|| id.to_string(), str::to_owned)
    };
    let about = |kind, id: &admission::NodeId, what: &str| {
        Some((kind, Some(id.to_string()), format!("{} {what}", name(id))))
    };
    let plain = |kind, sentence: String| Some((kind, None, sentence));
    match event {
        Event::Joined(id) => about("joined", id, "joined"),
        Event::Back(id) => about("back", id, "is back"),
        Event::Down(id) => about("down", id, "is down"),
        Event::Left(id) => about("left", id, "said goodbye"),
        Event::Removed(id) => about("removed", id, "was removed by the owner"),
        Event::Facts(_) => None,
        Event::Doubted(id) => about("doubted", id, "did not answer a request"),
        Event::Denied { epoch } => {
            plain("denied", format!("the others held this node dead; it denied that with epoch {epoch}"))
        }
        Event::BadDatagram { from, n: 1 } => {
            plain("stranger", format!("a datagram from {from} was not of this cluster"))
        }
        Event::BadDatagram { from, n } => {
            plain("stranger", format!("{n} datagrams from {from} were not of this cluster"))
        }
        Event::KeyUnknown => plain(
            "key-unknown",
            "the others use a key that this node does not have; it calls home".to_owned(),
        ),
        Event::RingSwitched { number } => plain("ring", format!("ring key {number} is in use")),
        Event::Roster => plain("roster", "the owner changed who belongs here".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_happenings_give_way() {
        let mut story = Story::default();
        for n in 0..KEPT_MAX as u64 + 3 {
            story.add(n, "joined", None, format!("{n}"));
        }
        let kept = story.kept();
        assert_eq!((kept.len(), kept[0].number), (KEPT_MAX, 4));
    }

    #[tokio::test]
    async fn a_listener_hears_what_comes_after_it_began() {
        let mut story = Story::default();
        story.add(1, "joined", None, "before".into());
        let mut listener = story.listen();
        story.add(2, "down", None, "after".into());
        assert_eq!(listener.recv().await.unwrap().sentence, "after");
    }

    #[test]
    fn a_node_without_a_name_is_told_by_its_id() {
        let told = tell(&Event::Down(admission::NodeId(0xab)), &[]);
        assert_eq!(told.unwrap().2, "00000000000000ab is down");
    }
}
