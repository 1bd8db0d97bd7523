//! The thread of one conversation: waits for events, and no longer than until something is due.

use super::driver::Talk;
use super::parts::Event;
use super::post::Events;
use super::trace::Trace;
use std::time::Duration;

/// It shows that it lives at least so often.
pub const BEAT: Duration = Duration::from_secs(2);

/// What the thread is told by and tells to its node.
pub trait Watch: Send {
    fn now(&self) -> Duration;
    fn beat(&self);
    fn trace(&self, trace: Trace);
}

/// Until the conversation is closed.
pub fn run(mut talk: Talk, events: &Events, watch: &dyn Watch) {
    loop {
        watch.beat();
        let wait = talk.deadline().map_or(BEAT, |due| due.saturating_sub(watch.now()).min(BEAT));
        let event = events.next(wait);
        let is_over = matches!(event, Some(Event::Close));
        match event {
            Some(event) => talk.handle(watch.now(), event),
            None => talk.tick(watch.now()),
        }
        talk.take_traces().into_iter().for_each(|trace| watch.trace(trace));
        if is_over {
            return;
        }
    }
}
