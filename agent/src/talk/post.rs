//! Where everybody tells a conversation what happened: a letter box with a limit, in the order of what was told.
//!
//! What comes in streams is lost where the box is full: sound and words. A press, which may be to silence somebody, finds
//! room behind them. What ends something is never lost, because nobody would tell it again: a key that comes up, a job
//! that is done, a clause that is over, a close. Its room is bounded all the same: a second end of the same thing is no
//! news, and a conversation that takes nothing begins nothing.

use super::parts::{Event, Made, Part};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use voice::key::Input;

/// Two of the longest clauses in pieces of 40 ms are half of it; a conversation that lets so many wait is stuck.
pub const EVENTS_MAX: usize = 2048;
/// Presses that find room behind them.
const PRESSES_MAX: usize = 16;

#[derive(Debug)]
struct Letters {
    waiting: VecDeque<Event>,
    room: usize,
    /// Nobody takes them any more.
    is_over: bool,
}

#[derive(Debug)]
struct Shared {
    letters: Mutex<Letters>,
    came: Condvar,
    n_lost: AtomicU64,
}

impl Shared {
    fn letters(&self) -> MutexGuard<'_, Letters> {
        // Whoever panicked has pushed or taken whole events.
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Never waits: whoever tells something also works for others.
#[derive(Clone, Debug)]
pub struct Post(Arc<Shared>);

/// The conversation's end of it.
#[derive(Debug)]
pub struct Events(Arc<Shared>);

/// Why an event was not taken.
#[derive(Debug)]
pub enum Refused {
    /// It is given back, for whoever can keep it.
    Full(Event),
    /// The conversation is over.
    Over,
}

/// Both ends of a new conversation's letter box.
pub fn post() -> (Post, Events) {
    post_for(EVENTS_MAX)
}

/// The same with room for so many that may be lost.
pub fn post_for(room: usize) -> (Post, Events) {
    let letters = Letters { waiting: VecDeque::new(), room, is_over: false };
    let both = Shared { letters: Mutex::new(letters), came: Condvar::new(), n_lost: AtomicU64::new(0) };
    let both = Arc::new(both);
    (Post(both.clone()), Events(both))
}

impl Post {
    /// False where it was lost: the conversation is over, or stuck.
    pub fn tell(&self, event: Event) -> bool {
        let is_told = self.offer(event).is_ok();
        if !is_told {
            self.0.n_lost.fetch_add(1, Ordering::Relaxed);
        }
        is_told
    }

    /// For devices, which keep what is not taken, and count their own losses.
    pub fn offer(&self, event: Event) -> Result<(), Refused> {
        let mut letters = self.0.letters();
        if letters.is_over {
            return Err(Refused::Over);
        }
        let room = letters.room + if is_press(&event) { PRESSES_MAX } else { 0 };
        if letters.waiting.len() >= room {
            if !is_end(&event) {
                return Err(Refused::Full(event));
            }
            letters.make_room(&event);
        }
        letters.waiting.push_back(event);
        drop(letters);
        self.0.came.notify_one();
        Ok(())
    }

    pub fn n_lost(&self) -> u64 {
        self.0.n_lost.load(Ordering::Relaxed)
    }
}

fn is_press(event: &Event) -> bool {
    matches!(event, Event::Key(Input::Down(_)))
}

/// What nobody would tell again.
fn is_end(event: &Event) -> bool {
    match event {
        Event::Key(input) => matches!(input, Input::Up(_) | Input::Gone { .. }),
        Event::Part { part, .. } => matches!(part, Part::End | Part::Failed(_)),
        Event::Made { made, .. } => matches!(made, Made::End | Made::Failed(_)),
        Event::Heard { .. } | Event::Spoken { .. } | Event::Settings(_) | Event::Close => true,
        _ => false,
    }
}

impl Letters {
    /// Takes out what an end makes idle: an earlier one of the same thing, if nothing of that thing came between.
    fn make_room(&mut self, event: &Event) {
        let is_about = |waiting: &Event| match (waiting, event) {
            (Event::Key(Input::Down(a) | Input::Up(a)), Event::Key(Input::Up(b))) => a == b,
            (Event::Key(a), Event::Key(b @ Input::Gone { .. })) => a == b,
            (Event::Settings(_), Event::Settings(_)) | (Event::Close, Event::Close) => true,
            _ => false,
        };
        let Some(idx) = self.waiting.iter().rposition(is_about) else { return };
        if is_end(&self.waiting[idx]) {
            self.waiting.remove(idx);
        }
    }
}

impl Events {
    /// The next, if one comes in time.
    pub fn next(&self, wait: Duration) -> Option<Event> {
        let due = Instant::now() + wait;
        let mut letters = self.0.letters();
        loop {
            if let Some(event) = letters.waiting.pop_front() {
                return Some(event);
            }
            let rest = due.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return None;
            }
            let waited = self.0.came.wait_timeout(letters, rest);
            letters = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub fn try_next(&self) -> Option<Event> {
        self.0.letters().waiting.pop_front()
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let mut letters = self.0.letters();
        letters.is_over = true;
        let left = std::mem::take(&mut letters.waiting);
        drop(letters);
        // What an event holds may tell somebody as it goes.
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use voice::key::Source;

    const TOLD: Source = Source::Told(0);

    /// `+`, `-` are the told key, `1`, `0` a key of a device, `f` is a frame, `m`, `e` sound that was made and its end,
    /// `s` are settings, `c` closes.
    fn event(letter: char) -> Event {
        let key = Source::Key { device: 1, code: 97 };
        match letter {
            '+' => Event::Key(Input::Down(TOLD)),
            '-' => Event::Key(Input::Up(TOLD)),
            '1' => Event::Key(Input::Down(key)),
            '0' => Event::Key(Input::Up(key)),
            'f' => Event::Frame(vec![]),
            'm' => Event::Made { turn: 1, clause_idx: 0, made: Made::Piece { rate: 1, pcm: vec![] } },
            'e' => Event::Made { turn: 1, clause_idx: 0, made: Made::End },
            's' => Event::Settings(Box::default()),
            'c' => Event::Close,
            other => panic!("no event {other:?}"),
        }
    }

    fn letter(event: &Event) -> char {
        let is = |letter: &char| format!("{:?}", self::event(*letter)) == format!("{event:?}");
        "+-10fmesc".chars().find(is).unwrap()
    }

    /// What is told to a box with room for four, and what the conversation takes out of it.
    #[track_caller]
    fn check(told: &str, want: &str, n_lost: u64) {
        let (post, events) = post_for(4);
        told.chars().for_each(|letter| _ = post.tell(event(letter)));
        let got: String = std::iter::from_fn(|| events.try_next()).map(|event| letter(&event)).collect();
        assert_eq!((got.as_str(), post.n_lost()), (want, n_lost));
    }

    #[test]
    fn a_stop_finds_room_in_a_full_box_and_never_overtakes_its_start() {
        check("ff+fff-", "ff+f-", 2);
        check("1ff+-0", "1ff+-0", 0);
        check("fffff+-", "ffff+-", 1);
    }

    #[test]
    fn presses_without_end_are_lost_before_they_cost_memory() {
        let (post, events) = post_for(4);
        (0..1000).for_each(|n| _ = post.tell(event(if n % 2 == 0 { '+' } else { '-' })));
        assert_eq!(events.0.letters().waiting.len(), 4 + PRESSES_MAX);
        assert_eq!(post.n_lost(), 500 - (4 + PRESSES_MAX as u64) / 2);
    }

    #[test]
    fn ends_find_room_where_streams_are_lost() {
        check("mmmmmmesc", "mmmmesc", 2);
    }

    #[test]
    fn the_same_end_told_on_and_on_takes_one_place() {
        check("fff+------", "fff+-", 0);
        check("ffffsssccc", "ffffsc", 0);
    }

    #[test]
    fn nothing_is_taken_for_a_conversation_that_is_over() {
        let (post, events) = post();
        drop(events);
        assert!(!post.tell(event('-')) && post.n_lost() == 1);
        assert!(matches!(post.offer(event('f')), Err(Refused::Over)));
    }
}
