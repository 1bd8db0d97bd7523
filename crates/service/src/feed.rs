//! Events that many read: each is written once, kept a while, and shared by all who listen.
//!
//! A listener costs a task and a small queue of references, so a thousand of them cost what they are, whatever is told.
//! Who reads too slowly misses the oldest, and finds that out by the numbers.

use crate::events::{self, Events, Sender};
use hyper::body::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// A client that hears nothing for so long is told that there is nothing.
const BREATH: Duration = Duration::from_secs(15);

/// An answer ends after this time, whole; the client comes again and says what it last heard. A gate gives its
/// connection [`GATE_TIME`].
const FOLLOW_TIME_MAX: Duration = Duration::from_secs(300);
pub const GATE_TIME: Duration = Duration::from_secs(330);

pub struct Feed {
    kept: Mutex<Kept>,
    kept_max: usize,
    newest: watch::Sender<u64>,
    /// Ends all who listen now.
    cut: watch::Sender<()>,
    places: Arc<Semaphore>,
}

#[derive(Default)]
struct Kept {
    /// Number of the newest, 0 before the first.
    newest: u64,
    /// Oldest first, each as it goes over the wire.
    events: VecDeque<(u64, Bytes)>,
}

impl Feed {
    /// `kept_max` events are kept, and `listeners_max` may listen.
    pub fn new(kept_max: usize, listeners_max: usize) -> Feed {
        Feed {
            kept: Mutex::default(),
            kept_max,
            newest: watch::Sender::new(0),
            cut: watch::Sender::new(()),
            places: Arc::new(Semaphore::new(listeners_max)),
        }
    }

    /// `data` must be one line.
    pub fn tell(&self, kind: &str, data: &str) {
        let mut kept = self.lock();
        kept.newest += 1;
        let event = (kept.newest, events::written(kept.newest, kind, data));
        kept.events.push_back(event);
        if kept.events.len() > self.kept_max {
            kept.events.pop_front();
        }
        self.newest.send_replace(kept.newest);
    }

    /// For one more client; nothing where all places are taken.
    /// Whoever comes again says what it last heard, and hears first what it missed; 0 asks for all that is kept.
    pub fn follow(self: &Arc<Self>, heard: Option<u64>) -> Option<Events> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        let (sender, events) = events::channel();
        let newest = self.newest.subscribe();
        let last = *newest.borrow();
        // A number from the future is of a program that ran before this one: all that is kept is news.
        let last = heard.map_or(last, |heard| if heard > last { 0 } else { heard });
        let mut cut = self.cut.subscribe();
        let telling = tell(self.clone(), last, newest, sender, place);
        let telling = async move {
            tokio::select! {
                () = telling => {}
                _ = cut.changed() => {}
            }
        };
        tokio::spawn(tokio::time::timeout(FOLLOW_TIME_MAX, telling));
        Some(events)
    }

    /// Sends all away who listen now; whoever still may comes again.
    pub fn cut(&self) {
        self.cut.send_replace(());
    }

    fn after(&self, last: u64) -> Vec<(u64, Bytes)> {
        self.lock().events.iter().filter(|(number, _)| *number > last).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends when the client is gone.
async fn tell(
    feed: Arc<Feed>,
    mut last: u64,
    mut newest: watch::Receiver<u64>,
    sender: Sender,
    _place: OwnedSemaphorePermit,
) {
    loop {
        // First the mark, then the list: what comes in between wakes this again.
        newest.borrow_and_update();
        for (number, event) in feed.after(last) {
            last = number;
            if !sender.pass(event).await {
                return;
            }
        }
        let changed = tokio::select! {
            changed = tokio::time::timeout(BREATH, newest.changed()) => changed,
            // At once: clients that come and go in crowds must leave nothing behind.
            () = sender.gone() => return,
        };
        match changed {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) if sender.breathe().await => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed() -> Arc<Feed> {
        Arc::new(Feed::new(3, 2))
    }

    #[tokio::test]
    async fn a_client_that_comes_again_hears_what_it_missed_and_then_what_comes() {
        let feed = feed();
        feed.tell("joined", "one");
        feed.tell("joined", "two");
        let mut events = feed.follow(Some(1)).unwrap();
        assert!(events.next().await.unwrap().starts_with("retry: "));
        assert_eq!(events.next().await.unwrap(), "id: 2\nevent: joined\ndata: two\n\n");
        feed.tell("down", "three");
        assert_eq!(events.next().await.unwrap(), "id: 3\nevent: down\ndata: three\n\n");
    }

    #[tokio::test]
    async fn a_client_of_a_program_that_ran_before_hears_what_this_one_has_to_tell() {
        let feed = feed();
        feed.tell("joined", "one");
        let mut events = feed.follow(Some(500)).unwrap();
        assert!(events.next().await.unwrap().starts_with("retry: "));
        assert!(events.next().await.unwrap().contains("one"));
    }

    #[tokio::test]
    async fn a_new_client_hears_only_what_comes() {
        let feed = feed();
        feed.tell("joined", "before");
        let mut events = feed.follow(None).unwrap();
        feed.tell("down", "after");
        assert!(events.next().await.unwrap().starts_with("retry: "));
        assert!(events.next().await.unwrap().contains("after"));
    }

    #[tokio::test]
    async fn the_oldest_events_give_way_and_all_listeners_share_the_bytes() {
        let feed = feed();
        for text in ["one", "two", "three", "four"] {
            feed.tell("line", text);
        }
        let kept = feed.after(0);
        assert_eq!(kept.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [2, 3, 4]);
        assert_eq!(kept[0].1.as_ptr(), feed.after(0)[0].1.as_ptr());
    }

    #[tokio::test]
    async fn who_is_sent_away_hears_nothing_more_and_may_come_again() {
        let feed = feed();
        let mut events = feed.follow(None).unwrap();
        assert!(events.next().await.unwrap().starts_with("retry: "));
        feed.cut();
        assert_eq!(tokio::time::timeout(BREATH / 2, events.next()).await.unwrap(), None);
        let mut again = feed.follow(None).unwrap();
        feed.tell("joined", "later");
        assert!(again.next().await.unwrap().starts_with("retry: "));
        assert!(again.next().await.unwrap().contains("later"));
    }

    #[tokio::test]
    async fn there_is_an_end_to_listeners_and_who_leaves_makes_room() {
        let feed = feed();
        let (one, _two) = (feed.follow(None).unwrap(), feed.follow(None).unwrap());
        assert!(feed.follow(None).is_none());
        drop(one);
        // It would breathe only after a quarter of a minute.
        let freed = tokio::time::timeout(BREATH / 2, feed.places.clone().acquire_owned()).await;
        assert!(freed.unwrap().is_ok());
    }
}
