//! Follows a text through a grammar, one character at a time.

use std::collections::{BTreeMap, BTreeSet};

use super::{Element, Grammar};

/// Ways to go on at a time. A grammar that needs more is too ambiguous to be checked, and nothing matches it.
const STACKS_MAX: usize = 20_000;

/// Where a rule goes on: rule, alternative, step.
type Place = (u32, u32, u32);
/// A stack is the number of its top frame; the empty stack is `DONE`.
type Stack = u32;
const DONE: Stack = 0;

#[derive(Clone)]
pub struct Matcher<'g> {
    grammar: &'g Grammar,
    /// Each frame is a place and the stack below it; equal frames are one, so equal stacks have equal numbers.
    frames: Vec<(Place, Stack)>,
    known: BTreeMap<(Place, Stack), Stack>,
    /// Stacks whose top takes a character, and perhaps `DONE`.
    stacks: BTreeSet<Stack>,
}

impl<'g> Matcher<'g> {
    pub fn new(grammar: &'g Grammar) -> Matcher<'g> {
        let nowhere = ((u32::MAX, 0, 0), DONE);
        let mut matcher =
            Matcher { grammar, frames: vec![nowhere], known: BTreeMap::new(), stacks: BTreeSet::new() };
        let begun = matcher.enter(grammar.root, DONE);
        matcher.stacks = matcher.settle(begun);
        matcher
    }

    /// Takes a character; false when no sentence begins like this.
    pub fn push(&mut self, c: char) -> bool {
        let mut next = Vec::new();
        for stack in std::mem::take(&mut self.stacks) {
            let Some((place, below)) = self.top(stack) else { continue };
            if let Some(Element::Chars { ranges, negated }) = self.element(place) {
                let within = ranges.iter().any(|(low, high)| (*low..=*high).contains(&u32::from(c)));
                if within != *negated {
                    next.push(self.after(place, below));
                }
            }
        }
        self.stacks = self.settle(next);
        !self.stacks.is_empty()
    }

    /// Whether the text so far is a whole sentence.
    pub fn is_done(&self) -> bool {
        self.stacks.contains(&DONE)
    }

    /// How many ways there are to go on.
    pub fn n_stacks(&self) -> usize {
        self.stacks.len()
    }

    fn top(&self, stack: Stack) -> Option<(Place, Stack)> {
        (stack != DONE).then(|| self.frames[stack as usize])
    }

    fn element(&self, (rule, alternative, step): Place) -> Option<&'g Element> {
        self.grammar.rules[rule as usize][alternative as usize].get(step as usize)
    }

    /// The stack that goes on after a place. The end of a rule leaves no frame, so that repetition does not grow.
    fn after(&mut self, (rule, alternative, step): Place, below: Stack) -> Stack {
        let place = (rule, alternative, step + 1);
        if self.element(place).is_some() { self.frame(place, below) } else { below }
    }

    fn frame(&mut self, place: Place, below: Stack) -> Stack {
        let n_frames = self.frames.len() as Stack;
        let stack = *self.known.entry((place, below)).or_insert(n_frames);
        if stack == n_frames {
            self.frames.push((place, below));
        }
        stack
    }

    /// The stacks that begin each alternative of a rule.
    fn enter(&mut self, rule: usize, below: Stack) -> Vec<Stack> {
        let alternatives = &self.grammar.rules[rule];
        let begin = |(idx, row): (usize, &Vec<Element>)| (!row.is_empty()).then_some(idx);
        let places: Vec<_> = alternatives.iter().enumerate().map(begin).collect();
        places
            .into_iter()
            .map(|idx| idx.map_or(below, |idx| self.frame((rule as u32, idx as u32, 0), below)))
            .collect()
    }

    /// Follows rules until every top takes a character.
    fn settle(&mut self, mut open: Vec<Stack>) -> BTreeSet<Stack> {
        let (mut seen, mut settled) = (BTreeSet::new(), BTreeSet::new());
        while let Some(stack) = open.pop() {
            if !seen.insert(stack) {
                continue;
            }
            if seen.len() > STACKS_MAX {
                return BTreeSet::new();
            }
            match self.top(stack).and_then(|(place, below)| Some((place, below, self.element(place)?))) {
                Some((place, below, Element::Rule(rule))) => {
                    let rest = self.after(place, below);
                    open.extend(self.enter(*rule, rest));
                }
                _ => drop(settled.insert(stack)),
            }
        }
        settled
    }
}
