//! The clauses of one answer on their way to the speaker: texts wait here, sound does not.
//!
//! One clause is made at a time, so that conversations take turns at the mouth, and at most `AHEAD_MAX` wait behind the
//! one that sounds, so that a press has little to throw away.

use std::collections::VecDeque;

/// Clauses that are made before the speaker needs them. The shortest, 'Yes.', sounds for longer than the next takes.
pub const AHEAD_MAX: usize = 2;

#[derive(Debug, PartialEq, Eq)]
enum Clause {
    Waiting(String),
    Making {
        has_sound: bool,
    },
    /// The speaker has all of it.
    Made,
    /// Nothing of it can be heard.
    Silent,
}

#[derive(Debug)]
pub struct Saying {
    pub turn: u32,
    /// There was a time without a speaker: the rest of this answer is for the page alone.
    is_mute: bool,
    /// From the first that was not spoken.
    clauses: VecDeque<Clause>,
    n_spoken: u32,
}

impl Saying {
    pub fn new(turn: u32, is_mute: bool) -> Saying {
        Saying { turn, is_mute, clauses: VecDeque::new(), n_spoken: 0 }
    }

    /// The next clause; without a text where there is nothing to say of it.
    pub fn push(&mut self, text: Option<String>) {
        let text = text.filter(|_| !self.is_mute);
        self.clauses.push_back(text.map_or(Clause::Silent, Clause::Waiting));
    }

    /// A clause whose sound is wanted now.
    pub fn next(&mut self) -> Option<(u32, String)> {
        let near = self.clauses.iter_mut().take(AHEAD_MAX + 1);
        let (idx, clause) = near
            .enumerate()
            .find(|(_, clause)| matches!(clause, Clause::Waiting(_) | Clause::Making { .. }))?;
        let Clause::Waiting(text) = clause else { return None };
        let text = std::mem::take(text);
        *clause = Clause::Making { has_sound: false };
        Some((self.n_spoken + idx as u32, text))
    }

    /// All that is known of it was spoken.
    pub fn is_over(&self) -> bool {
        self.clauses.is_empty()
    }

    /// A piece of sound came; false where nobody waits for it.
    pub fn piece(&mut self, clause_idx: u32) -> bool {
        match self.at(clause_idx) {
            Some(Clause::Making { has_sound }) => {
                *has_sound = true;
                true
            }
            _ => false,
        }
    }

    /// No more sound of it comes; true where the speaker has some to end.
    pub fn end(&mut self, clause_idx: u32) -> bool {
        let Some(clause @ Clause::Making { .. }) = self.at(clause_idx) else { return false };
        let has_sound = *clause == Clause::Making { has_sound: true };
        *clause = if has_sound { Clause::Made } else { Clause::Silent };
        has_sound
    }

    /// This clause and all before it have left the speaker.
    pub fn spoken(&mut self, clause_idx: u32) {
        let n = (clause_idx + 1).saturating_sub(self.n_spoken) as usize;
        let n_made = self.clauses.iter().take_while(|clause| matches!(clause, Clause::Made | Clause::Silent));
        let n = n.min(n_made.count());
        self.clauses.drain(..n);
        self.n_spoken += n as u32;
    }

    /// The last of the silent clauses whose turn it is: it counts as spoken.
    pub fn silent(&mut self) -> Option<u32> {
        let n = self.clauses.iter().take_while(|clause| **clause == Clause::Silent).count();
        self.clauses.drain(..n);
        self.n_spoken += n as u32;
        (n > 0).then(|| self.n_spoken - 1)
    }

    fn at(&mut self, clause_idx: u32) -> Option<&mut Clause> {
        self.clauses.get_mut(clause_idx.checked_sub(self.n_spoken)? as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saying(texts: &[Option<&str>]) -> Saying {
        let mut saying = Saying::new(1, false);
        texts.iter().for_each(|text| saying.push(text.map(str::to_owned)));
        saying
    }

    /// Makes what may be made, and says how far that went.
    fn made(saying: &mut Saying) -> u32 {
        let mut n = 0;
        while let Some((idx, _)) = saying.next() {
            assert!(saying.next().is_none(), "one at a time");
            assert!(saying.piece(idx) && saying.end(idx));
            n = idx + 1;
        }
        n
    }

    #[test]
    fn two_clauses_are_made_beyond_the_one_that_sounds() {
        let mut saying = saying(&[Some("a"); 6]);
        assert_eq!(made(&mut saying), 3);
        saying.spoken(0);
        assert_eq!(made(&mut saying), 4);
        saying.spoken(3);
        assert_eq!(made(&mut saying), 6);
    }

    #[test]
    fn a_silent_clause_is_spoken_when_its_turn_comes() {
        let mut saying = saying(&[Some("a"), None, None, Some("b")]);
        assert_eq!(made(&mut saying), 1);
        assert_eq!(saying.silent(), None);
        saying.spoken(0);
        assert_eq!(saying.silent(), Some(2));
        assert_eq!(made(&mut saying), 4);
    }

    #[test]
    fn a_clause_without_sound_is_silent() {
        let mut saying = saying(&[Some("a")]);
        let (idx, _) = saying.next().unwrap();
        assert!(!saying.end(idx) && !saying.piece(idx));
        assert_eq!(saying.silent(), Some(0));
    }

    #[test]
    fn without_a_speaker_nothing_is_made() {
        let mut saying = Saying::new(1, true);
        saying.push(Some("a".into()));
        assert_eq!((saying.next(), saying.silent()), (None, Some(0)));
    }

    #[test]
    fn what_was_never_made_is_not_spoken() {
        let mut saying = saying(&[Some("a"), Some("b")]);
        saying.spoken(7);
        assert_eq!(saying.next().unwrap().0, 0);
        assert!(!saying.piece(9) && !saying.end(9));
    }
}
