//! The hands of `/api/events`: hands one client what happens in the cluster, as it happens.

use crate::cluster::Cluster;
use service::events::{self, Events, Sender};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;

/// A client that hears nothing for so long is told that there is nothing.
const BREATH: Duration = Duration::from_secs(15);

/// A client that comes again says what it last heard, and hears first what it missed.
pub fn follow(cluster: Arc<Cluster>, heard: Option<u64>) -> Events {
    let (sender, events) = events::channel();
    tokio::spawn(tell(cluster, heard, sender));
    events
}

/// Ends when the client is gone.
async fn tell(cluster: Arc<Cluster>, heard: Option<u64>, sender: Sender) {
    // First the listener, then the list: what comes in between is in both, and told once.
    let mut news = cluster.listen();
    let newest = cluster.last_happening();
    // A number from the future is of an agent that ran before this one: all that is kept is news.
    let mut last = heard.map_or(newest, |heard| if heard > newest { 0 } else { heard });
    let mut waiting = VecDeque::from(cluster.happenings());
    loop {
        while let Some(happening) = waiting.pop_front() {
            if happening.number <= last {
                continue;
            }
            last = happening.number;
            let Ok(data) = serde_json::to_string(&happening) else { return };
            if !sender.send(happening.number, happening.kind, &data).await {
                return;
            }
        }
        let heard = tokio::select! {
            heard = tokio::time::timeout(BREATH, news.recv()) => heard,
            // At once: clients that come and go in crowds must leave nothing behind.
            () = sender.gone() => return,
        };
        match heard {
            Ok(Ok(happening)) => waiting.push_back(happening),
            // So far behind that some were lost: the list has the newest.
            Ok(Err(RecvError::Lagged(_))) => waiting = cluster.happenings().into(),
            Ok(Err(RecvError::Closed)) => return,
            Err(_) => {
                if !sender.breathe().await {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_that_comes_again_hears_what_it_missed_and_then_what_comes() {
        let cluster = Arc::new(Cluster::default());
        cluster.happened("joined", None, "one".into());
        cluster.happened("joined", None, "two".into());
        let mut events = follow(cluster.clone(), Some(1));
        let mut heard = String::new();
        while !heard.contains("two") {
            heard += &events.next().await.unwrap();
        }
        assert!(heard.starts_with("retry: ") && !heard.contains("one"), "{heard}");
        cluster.happened("down", None, "three".into());
        let next = events.next().await.unwrap();
        assert!(next.starts_with("id: 3\nevent: down\ndata: {") && next.contains("three"), "{next}");
    }

    #[tokio::test]
    async fn a_client_of_an_agent_that_ran_before_hears_what_this_one_has_to_tell() {
        let cluster = Arc::new(Cluster::default());
        cluster.happened("joined", None, "one".into());
        let mut events = follow(cluster, Some(500));
        assert!(events.next().await.unwrap().starts_with("retry: "));
        assert!(events.next().await.unwrap().contains("one"));
    }

    #[tokio::test]
    async fn a_client_that_is_gone_leaves_no_follower_behind() {
        let cluster = Arc::new(Cluster::default());
        let (sender, events) = events::channel();
        let follower = tokio::spawn(tell(cluster, None, sender));
        drop(events);
        // It would breathe only after a quarter of a minute.
        tokio::time::timeout(BREATH / 2, follower).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_new_client_hears_only_what_comes() {
        let cluster = Arc::new(Cluster::default());
        cluster.happened("joined", None, "before".into());
        let mut events = follow(cluster.clone(), None);
        // The first word shows that the listener is there.
        assert!(events.next().await.unwrap().starts_with("retry: "));
        tokio::task::yield_now().await;
        cluster.happened("down", None, "after".into());
        assert!(events.next().await.unwrap().contains("after"));
    }
}
