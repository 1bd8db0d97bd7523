//! What waits to be heard: persons before programs before guesses; programs take turns, the others come as they came.

use crate::talk::parts::{HearEnd, HearJob, Who};
use std::collections::VecDeque;
use std::time::Instant;

/// Wishes that wait; more conversations than a node has at once.
pub const WISHES_MAX: usize = 16;
/// For whom there is no room.
pub const FULL: &str = "too many wait to be heard here; try again";

pub struct Wish {
    pub job: HearJob,
    pub since: Instant,
    /// It was refused elsewhere, and comes before all others.
    pub is_first: bool,
    /// It made room for a person once.
    pub was_put_off: bool,
    /// In which round of all programs this one's turn is; 0 for persons.
    round: u64,
}

impl Wish {
    pub fn new(job: HearJob) -> Wish {
        Wish { job, since: Instant::now(), is_first: false, was_put_off: false, round: 0 }
    }

    /// Calls back, if anybody still waits.
    pub fn end(self, end: HearEnd) {
        if !self.job.stop.is_stopped() {
            (self.job.done)(end);
        }
    }

    /// Lower comes first: programs and guesses let persons pass, but only once.
    fn rank(&self) -> u8 {
        match self.job.who {
            _ if self.is_first => 0,
            Who::Person => 1,
            _ if self.was_put_off => 1,
            Who::Program(_) => 2,
            Who::Guess => 3,
        }
    }

    /// Where it stands: the lowest is heard next.
    fn place(&self, idx: usize) -> (u8, u64, usize) {
        (self.rank(), self.round, idx)
    }

    /// Whether it stops when a person comes.
    pub fn makes_room(&self) -> bool {
        self.rank() > 1
    }
}

#[derive(Default)]
pub struct Queue {
    wishes: VecDeque<Wish>,
    /// The round of the program that was heard last.
    round: u64,
}

impl Queue {
    /// Gives back what finds no room: the wish itself, or the last of those whose place it takes.
    pub fn push(&mut self, mut wish: Wish) -> Option<Wish> {
        self.wishes.retain(|waiting| !waiting.job.stop.is_stopped());
        if let Who::Program(_) = wish.job.who {
            let own = self.wishes.iter().filter(|waiting| waiting.job.who == wish.job.who);
            wish.round = own.map(|waiting| waiting.round + 1).max().unwrap_or(0).max(self.round);
        }
        if self.wishes.len() < WISHES_MAX {
            self.wishes.push_back(wish);
            return None;
        }
        let last = self.wishes.iter().enumerate().max_by_key(|(idx, waiting)| waiting.place(*idx));
        let last = last.filter(|(_, waiting)| waiting.makes_room() && waiting.rank() > wish.rank());
        let Some((idx, _)) = last else { return Some(wish) };
        self.wishes.push_back(wish);
        self.wishes.remove(idx)
    }

    /// The next to be heard.
    pub fn pop(&mut self) -> Option<Wish> {
        self.wishes.retain(|waiting| !waiting.job.stop.is_stopped());
        let idx = self.wishes.iter().enumerate().min_by_key(|(idx, wish)| wish.place(*idx))?.0;
        let wish = self.wishes.remove(idx)?;
        self.round = self.round.max(wish.round);
        Some(wish)
    }

    /// Somebody waits who goes before those that make room.
    pub fn has_person(&self) -> bool {
        self.wishes.iter().any(|wish| !wish.makes_room() && !wish.job.stop.is_stopped())
    }

    /// What made room comes after the persons who wait now, and before those to come.
    pub fn put_off(&mut self, wish: Wish) {
        self.wishes.push_back(Wish { was_put_off: true, round: 0, ..wish });
    }

    pub fn drain(&mut self) -> impl Iterator<Item = Wish> + '_ {
        self.wishes.drain(..)
    }

    /// Lengths of the recordings that wait, in samples.
    pub fn lengths(&self) -> impl Iterator<Item = usize> + '_ {
        self.wishes.iter().map(|wish| wish.job.pcm.len())
    }

    pub fn len(&self) -> usize {
        self.wishes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.wishes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::talk::parts::Stop;

    fn wish(name: &str) -> Wish {
        let who = match name.as_bytes() {
            [b'p', ..] => Who::Person,
            [b'g', ..] => Who::Guess,
            [program, ..] => Who::Program(u64::from(*program)),
            [] => panic!("a wish has a name"),
        };
        let language = Some(name.to_owned());
        Wish::new(HearJob { pcm: vec![], who, language, stop: Stop::default(), done: Box::new(|_| ()) })
    }

    fn name(wish: Wish) -> String {
        wish.job.language.unwrap()
    }

    /// `p` are persons, `g` guesses, capital letters programs; `-` takes the next.
    #[track_caller]
    fn check(story: &str, want: &str) {
        let (mut queue, mut got) = (Queue::default(), vec![]);
        for step in story.split(' ') {
            match step {
                "-" => got.push(queue.pop().map_or("none".into(), name)),
                step => assert!(queue.push(wish(step)).is_none(), "{step} found no room"),
            }
        }
        got.extend(std::iter::from_fn(|| queue.pop()).map(name));
        assert_eq!(got.join(" "), want, "{story}");
    }

    #[test]
    fn persons_come_before_programs_and_programs_before_guesses() {
        check("g1 A1 p1 B1 p2", "p1 p2 A1 B1 g1");
        check("A1 - A2 p1", "A1 p1 A2");
    }

    #[test]
    fn programs_take_turns_however_much_one_of_them_wants() {
        check("A1 A2 A3 B1 B2", "A1 B1 A2 B2 A3");
        check("A1 A2 A3 - B1 - - -", "A1 B1 A2 A3");
        // Who was away for long has saved up nothing.
        check("A1 - A2 - A3 - B1 B2 A4", "A1 A2 A3 B1 A4 B2");
    }

    #[test]
    fn a_full_queue_gives_the_place_of_a_guess_or_else_of_the_greediest_program_to_a_person() {
        let mut queue = Queue::default();
        for name in ["B1", "g1"] {
            assert!(queue.push(wish(name)).is_none());
        }
        (2..WISHES_MAX).for_each(|n| assert!(queue.push(wish(&format!("A{n}"))).is_none()));
        assert_eq!(queue.push(wish("g2")).map(name).as_deref(), Some("g2"));
        assert_eq!(queue.push(wish("C1")).map(name).as_deref(), Some("g1"));
        assert_eq!(queue.push(wish("C2")).map(name).as_deref(), Some("C2"));
        let last = format!("A{}", WISHES_MAX - 1);
        assert_eq!(queue.push(wish("p1")).map(name), Some(last));
        assert_eq!(queue.pop().map(name).as_deref(), Some("p1"));
    }
}
