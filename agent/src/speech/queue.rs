//! Who speaks next: talks take turns, a clause each, so that none waits behind all of another's.

use std::collections::{BTreeMap, VecDeque};

/// A talk gives a clause or two ahead.
pub const TALK_MAX: usize = 16;
/// All talks together.
pub const ALL_MAX: usize = 64;

/// What waits, by talks.
#[derive(Debug)]
pub struct Queue<T> {
    by_talk: BTreeMap<u64, VecDeque<T>>,
    /// Each talk that waits, once.
    turns: VecDeque<u64>,
    n: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Queue<T> {
        Queue { by_talk: BTreeMap::new(), turns: VecDeque::new(), n: 0 }
    }
}

impl<T> Queue<T> {
    pub fn len(&self) -> usize {
        self.n
    }

    /// Gives back what finds no room.
    pub fn push(&mut self, talk: u64, item: T) -> Result<(), T> {
        let own = self.by_talk.get(&talk).map_or(0, VecDeque::len);
        if own >= TALK_MAX || self.n >= ALL_MAX {
            return Err(item);
        }
        self.by_talk.entry(talk).or_default().push_back(item);
        if own == 0 {
            self.turns.push_back(talk);
        }
        self.n += 1;
        Ok(())
    }

    pub fn pop(&mut self) -> Option<T> {
        let talk = self.turns.pop_front()?;
        let items = self.by_talk.get_mut(&talk)?;
        let item = items.pop_front();
        if items.is_empty() {
            self.by_talk.remove(&talk);
        } else {
            self.turns.push_back(talk);
        }
        self.n -= usize::from(item.is_some());
        item
    }

    /// Forgets what nobody waits for.
    pub fn retain(&mut self, mut is_wanted: impl FnMut(&T) -> bool) {
        for items in self.by_talk.values_mut() {
            items.retain(&mut is_wanted);
        }
        self.by_talk.retain(|_, items| !items.is_empty());
        self.turns.retain(|talk| self.by_talk.contains_key(talk));
        self.n = self.by_talk.values().map(VecDeque::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `+1a` puts clause a of talk 1 into the queue, `-` takes the next one out.
    fn check(story: &str, want: &str) {
        let mut queue = Queue::default();
        let mut got = vec![];
        for step in story.split_whitespace() {
            match step.strip_prefix('+') {
                Some(clause) => queue.push(clause[..1].parse().unwrap(), clause.to_owned()).unwrap(),
                None => got.push(queue.pop().unwrap_or("none".into())),
            }
        }
        assert_eq!(got.join(" "), want, "{story}");
    }

    #[test]
    fn talks_take_turns() {
        check("+1a +1b +1c +2a +2b - - - - - -", "1a 2a 1b 2b 1c none");
        check("+1a +1b - +2a +3a - - - -", "1a 1b 2a 3a none");
    }

    #[test]
    fn one_talk_keeps_its_order() {
        check("+7a +7b - +7c - - -", "7a 7b 7c none");
    }

    #[test]
    fn a_flood_of_one_talk_leaves_room_for_others() {
        let mut queue = Queue::default();
        let n_taken = (0..1000).filter(|idx| queue.push(1, *idx).is_ok()).count();
        assert_eq!(n_taken, TALK_MAX);
        assert_eq!(queue.push(2, 5), Ok(()));
        let n_taken = (3..1000).filter(|talk| queue.push(*talk, 0).is_ok()).count();
        assert_eq!((n_taken, queue.len()), (ALL_MAX - TALK_MAX - 1, ALL_MAX));
    }

    #[test]
    fn what_is_forgotten_makes_room_and_takes_no_turn() {
        let mut queue = Queue::default();
        for (talk, item) in [(1, 10), (2, 20), (2, 21), (3, 30)] {
            queue.push(talk, item).unwrap();
        }
        queue.retain(|item| item % 10 != 0);
        assert_eq!(queue.len(), 1);
        assert_eq!((queue.pop(), queue.pop(), queue.len()), (Some(21), None, 0));
        queue.push(1, 11).unwrap();
        assert_eq!(queue.pop(), Some(11));
    }
}
