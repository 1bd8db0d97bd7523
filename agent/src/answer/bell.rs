//! Rings: says at the PC itself that a timer is over, again and again until somebody presses the key or says stop.

use super::Mind;
use super::timers::{Kind, Timer, TimerBook, uptime};
use crate::talk::parts::Event;
use crate::talk::{Mood, News, Talks};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;

/// Between two rings.
const AGAIN: Duration = Duration::from_secs(15);
/// A sleep is no longer than this: suspended PCs wake up with another uptime.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// Never ends.
pub async fn run(talks: Arc<Talks>, mind: Arc<Mind>) {
    let book = mind.timers.clone();
    let mut changed = book.follow();
    let (mut news, mut was_ringing) = (talks.follow(), false);
    loop {
        let now = uptime();
        let _ = book.change(|timers| timers.tire(now));
        let ringing = book.now().next().cloned().filter(|timer| timer.is_due(now));
        if ringing.is_some() && !was_ringing {
            // What was pressed before it rang, such as to set it, silences nothing.
            news = talks.follow();
        }
        was_ringing = ringing.is_some();
        let wait = match &ringing {
            Some(timer) => {
                if let Some(here) = talks.here() {
                    here.post().tell(Event::Announce(mind.ring(timer)));
                }
                AGAIN
            }
            None => book.now().next().map_or(SLEEP_MAX, |timer| timer.left(now).min(SLEEP_MAX)),
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = changed.changed() => {}
            () = pressed(&mut news, &talks), if ringing.is_some() => hush(&book),
        }
    }
}

/// Until somebody presses the key at the PC.
async fn pressed(news: &mut tokio::sync::broadcast::Receiver<crate::talk::Told>, talks: &Talks) {
    loop {
        match news.recv().await {
            Ok(told) => {
                let is_here = talks.here().is_some_and(|here| here.id == told.talk);
                let is_press = matches!(told.news, News::Mood { mood: Mood::Listening | Mood::Waiting });
                if is_here && is_press {
                    return;
                }
            }
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return std::future::pending().await,
        }
    }
}

fn hush(book: &TimerBook) {
    let _ = book.change(|timers| timers.hush(uptime()));
}

impl Mind {
    /// What is said when it rings.
    fn ring(&self, timer: &Timer) -> String {
        let (_, phrases) = self.language(&self.world.settings().language);
        if let Some(node) = &timer.of {
            return phrases.elsewhere_rings.replace("{node}", node);
        }
        let ring = match timer.kind {
            Kind::Timer { length_s } => {
                phrases.timer_rings.replace("{length}", &phrases.length(Duration::from_secs(length_s)))
            }
            Kind::Alarm { hour, minute } => {
                phrases.alarm_rings.replace("{clock}", &phrases.clock(hour, minute))
            }
        };
        if timer.is_late { format!("{} {ring}", phrases.was_away) } else { ring }
    }
}
