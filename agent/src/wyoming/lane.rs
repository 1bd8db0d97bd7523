//! What comes of the work for one client, on its way to the socket.
//!
//! Sound and words come faster than a slow client takes them. Sound with a hole in it is worse than none, so a client
//! for which too much waits is told so, and nothing else. What it waits for, an end, always has room: there is one for
//! each of ear, mouth and mind.

use super::visit::Input;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Pieces of sound and words that wait for a client; a clause has less.
pub const NEWS_MAX: usize = 2048;
pub const TOO_SLOW: &str = "what was made was not taken in time";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    Heard(Result<String, String>),
    Piece { rate: u32, pcm: Vec<i16> },
    Said(Result<(), String>),
    Words(String),
    Answered(Result<(), String>),
    TooSlow,
}

#[derive(Debug, Default)]
struct Letters {
    waiting: VecDeque<News>,
    is_too_slow: bool,
}

#[derive(Debug, Default)]
pub struct Lane {
    letters: Mutex<Letters>,
    /// There is something to take.
    pub came: Notify,
}

impl Lane {
    pub fn put(&self, news: News) {
        let mut letters = self.letters();
        if letters.is_too_slow {
            return;
        }
        let is_end = !matches!(news, News::Piece { .. } | News::Words(_));
        if is_end || letters.waiting.len() < NEWS_MAX {
            letters.waiting.push_back(news);
        } else {
            letters.waiting = [News::TooSlow].into();
            letters.is_too_slow = true;
        }
        drop(letters);
        self.came.notify_one();
    }

    pub fn take(&self) -> Option<News> {
        self.letters().waiting.pop_front()
    }

    fn letters(&self) -> MutexGuard<'_, Letters> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl News {
    pub fn input(&self) -> Input<'_> {
        fn end<T>(end: &Result<T, String>) -> Result<(), &str> {
            end.as_ref().map(|_| ()).map_err(String::as_str)
        }
        match self {
            News::Heard(heard) => Input::Heard(heard.as_deref().map_err(String::as_str)),
            News::Piece { rate, pcm } => Input::Piece { rate: *rate, pcm },
            News::Said(said) => Input::Said(end(said)),
            News::Words(words) => Input::Words(words),
            News::Answered(answered) => Input::Answered(end(answered)),
            News::TooSlow => Input::Over(TOO_SLOW),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(lane: &Lane) -> Vec<News> {
        std::iter::from_fn(|| lane.take()).collect()
    }

    #[test]
    fn an_end_finds_room_behind_all_that_waits() {
        let lane = Lane::default();
        (0..NEWS_MAX).for_each(|_| lane.put(News::Words("a".into())));
        lane.put(News::Heard(Ok("b".into())));
        lane.put(News::Answered(Ok(())));
        let all = all(&lane);
        assert_eq!(all.len(), NEWS_MAX + 2);
        assert_eq!(all[NEWS_MAX..], [News::Heard(Ok("b".into())), News::Answered(Ok(()))]);
    }

    #[test]
    fn sound_with_a_hole_is_not_handed_on_and_the_client_is_told() {
        let lane = Lane::default();
        (0..=NEWS_MAX).for_each(|_| lane.put(News::Piece { rate: 1, pcm: vec![1] }));
        lane.put(News::Said(Ok(())));
        assert_eq!(all(&lane), [News::TooSlow]);
        lane.put(News::Words("a".into()));
        assert_eq!(all(&lane), []);
    }
}
