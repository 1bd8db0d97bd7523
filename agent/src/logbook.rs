//! The agent's log on the page: its last lines and all that come, and banners that somebody wants to be seen.
//!
//! Lines are numbered, kept in RAM and shared by all who read. They go to the journal too, whoever reads here.

use crate::cluster::story::FOLLOWERS_MAX;
use serde_json::json;
use service::events::Events;
use service::feed::Feed;
use service::log;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Lines that are kept.
const LINES_MAX: usize = 400;
/// What is longer is cut.
const LINE_BYTES_MAX: usize = 1024;
/// A banner is a word or two in large letters.
pub const BANNER_LETTERS_MAX: usize = 24;

pub struct LogBook(Arc<Feed>);

impl LogBook {
    /// From now on each line that the agent says is in it.
    pub fn open() -> LogBook {
        let feed = Arc::new(Feed::new(LINES_MAX, FOLLOWERS_MAX));
        let lines = feed.clone();
        log::share(move |level, line| tell(&lines, level.as_str(), line));
        LogBook(feed)
    }

    /// Nothing where too many follow already.
    pub fn follow(&self, heard: Option<u64>) -> Option<Events> {
        self.0.follow(Some(heard.unwrap_or(0)))
    }

    pub fn banner(&self, text: &str) {
        let clean = |letter: char| if letter.is_control() { ' ' } else { letter };
        let text: String = text.chars().map(clean).take(BANNER_LETTERS_MAX).collect();
        tell(&self.0, "banner", text.trim());
    }
}

fn tell(feed: &Feed, level: &str, line: &str) {
    let unix_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let line = crate::talk::news::cut(line, LINE_BYTES_MAX);
    feed.tell("line", &json!({ "unix_s": unix_s, "level": level, "text": line }).to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_page_that_comes_late_reads_what_was_said_before_and_no_line_is_endless() {
        let book = LogBook(Arc::new(Feed::new(LINES_MAX, 1)));
        tell(&book.0, "info", &"a".repeat(2 * LINE_BYTES_MAX));
        book.banner("two\nwords");
        let mut events = book.follow(None).unwrap();
        assert!(events.next().await.unwrap().starts_with("retry: "));
        assert!(events.next().await.unwrap().len() < LINE_BYTES_MAX + 100);
        let banner = events.next().await.unwrap();
        assert!(banner.contains("\"level\":\"banner\",\"text\":\"two words\""), "{banner}");
        assert!(book.follow(None).is_none());
    }
}
