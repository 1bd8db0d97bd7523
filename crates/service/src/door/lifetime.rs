//! How long a connection may live; a gate may lengthen it, and nothing shortens it.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

#[derive(Clone)]
pub(super) struct Lifetime(Arc<Mutex<Instant>>);

impl Lifetime {
    pub(super) fn new(time: Duration) -> Lifetime {
        Lifetime(Arc::new(Mutex::new(Instant::now() + time)))
    }

    /// At least so long from now.
    pub(super) fn lengthen(&self, time: Duration) {
        let mut end = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *end = (*end).max(Instant::now() + time);
    }

    /// Drops the work when its time is over.
    pub(super) async fn bound(&self, work: impl Future<Output = ()>) {
        tokio::pin!(work);
        loop {
            let end = self.end();
            tokio::select! {
                () = &mut work => return,
                () = sleep_until(end) => if self.end() <= end { return },
            }
        }
    }

    fn end(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
