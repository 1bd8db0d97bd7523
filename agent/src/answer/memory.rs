//! What was said last in each conversation, for the model and for 'say that again'; gone when others talk meanwhile.
//!
//! It is short and in RAM on purpose: what a home remembers is another part's.

use crate::talk::news::cut;
use std::collections::{BTreeMap, VecDeque};

/// Turns that a model is told of.
const TURNS_MAX: usize = 10;
/// Of their texts together; about four bytes are a token.
const CONTEXT_BYTES_MAX: usize = 3200;
const SAID_BYTES_MAX: usize = 600;
const ANSWER_BYTES_MAX: usize = 1200;
/// Conversations that are remembered.
const TALKS_MAX: usize = 16;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    pub said: String,
    pub answer: String,
    /// The model had no part in it, and is not told.
    is_intent: bool,
}

#[derive(Debug, Default)]
pub struct Memory {
    talks: BTreeMap<u64, Talk>,
    n_began: u64,
}

#[derive(Debug, Default)]
struct Talk {
    turns: VecDeque<Turn>,
    /// The newest of them, by the count of all.
    last: u64,
}

impl Memory {
    pub fn began(&mut self, talk: u64, said: &str, is_intent: bool) {
        if !self.talks.contains_key(&talk) && self.talks.len() == TALKS_MAX {
            // Who was silent for longest goes.
            let oldest = self.talks.iter().min_by_key(|(_, talk)| talk.last).map(|(id, _)| *id);
            oldest.and_then(|oldest| self.talks.remove(&oldest));
        }
        self.n_began += 1;
        let Talk { turns, last } = self.talks.entry(talk).or_default();
        *last = self.n_began;
        if turns.len() == 2 * TURNS_MAX {
            turns.pop_front();
        }
        turns.push_back(Turn {
            said: cut(said, SAID_BYTES_MAX).to_owned(),
            answer: String::new(),
            is_intent,
        });
    }

    pub fn words(&mut self, talk: u64, words: &str) {
        if let Some(turn) = self.talks.get_mut(&talk).and_then(|talk| talk.turns.back_mut()) {
            let room = ANSWER_BYTES_MAX.saturating_sub(turn.answer.len());
            turn.answer.push_str(cut(words, room));
        }
    }

    /// What the model is told, oldest first.
    pub fn before(&self, talk: u64) -> Vec<Turn> {
        let turns = self.talks.get(&talk).into_iter().flat_map(|talk| talk.turns.iter().rev());
        let mut room = CONTEXT_BYTES_MAX;
        let told = turns.filter(|turn| !turn.is_intent && !turn.answer.is_empty()).take(TURNS_MAX);
        let mut told: Vec<Turn> = told
            .take_while(|turn| {
                let bytes = turn.said.len() + turn.answer.len();
                let fits = bytes <= room;
                room = room.saturating_sub(bytes);
                fits
            })
            .cloned()
            .collect();
        told.reverse();
        told
    }

    pub fn last_answer(&self, talk: u64) -> Option<&str> {
        let Talk { turns, .. } = self.talks.get(&talk)?;
        turns.iter().rev().map(|turn| turn.answer.as_str()).find(|answer| !answer.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_told_the_last_turns_of_its_conversation_alone() {
        let mut memory = Memory::default();
        for n in 0..14 {
            memory.began(1, &format!("q{n}"), n == 8);
            memory.words(1, &format!("a{n}"));
        }
        memory.began(2, "other", false);
        let said: Vec<String> = memory.before(1).into_iter().map(|turn| turn.said).collect();
        assert_eq!(said, ["q3", "q4", "q5", "q6", "q7", "q9", "q10", "q11", "q12", "q13"]);
        assert!(memory.before(2).is_empty());
        assert_eq!(memory.last_answer(1), Some("a13"));
    }

    #[test]
    fn a_conversation_that_goes_on_is_not_forgotten_for_those_that_do_not() {
        let mut memory = Memory::default();
        for other in 2..100 {
            memory.began(1, "q", false);
            memory.words(1, "a");
            memory.began(other, "q", false);
        }
        assert_eq!(memory.before(1).len(), TURNS_MAX);
        assert!(memory.talks.contains_key(&99) && !memory.talks.contains_key(&2));
    }

    #[test]
    fn a_memory_is_bounded() {
        let mut memory = Memory::default();
        for talk in 0..1000 {
            for _ in 0..20 {
                memory.began(talk, &"q".repeat(10_000), false);
                memory.words(talk, &"a".repeat(10_000));
            }
        }
        assert_eq!(memory.talks.len(), TALKS_MAX);
        assert!(memory.talks.values().all(|talk| talk.turns.len() <= 2 * TURNS_MAX));
        let bytes: usize = memory.before(999).iter().map(|turn| turn.said.len() + turn.answer.len()).sum();
        assert!((1..=CONTEXT_BYTES_MAX).contains(&bytes), "{bytes}");
    }
}
