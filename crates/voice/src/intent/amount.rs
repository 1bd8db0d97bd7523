//! Numbers, lengths of time and times of day, as a language says them.

use super::pattern::{Kind, Pattern};
use super::{Clock, Value};
use std::collections::BTreeMap;
use std::time::Duration;

/// A longer wait is a calendar's.
const LENGTH_MAX: Duration = Duration::from_secs(31 * 24 * 3600);

/// How the time of day is put: `half past <number:hour>` is 30 minutes after the hour.
#[derive(Debug)]
pub struct ClockPhrase {
    pub pattern: Pattern,
    pub minutes: i32,
    /// Added to the hour where it is said which half of the day is meant.
    pub half: Option<Half>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    Morning,
    Evening,
}

#[derive(Debug, Default)]
pub struct Amounts {
    pub numbers: BTreeMap<String, u32>,
    /// Words of a unit, and its seconds.
    pub units: BTreeMap<String, u32>,
    /// Whole phrases: half an hour.
    pub lengths: Vec<(Vec<String>, u32)>,
    /// Between two parts of a length: and.
    pub joints: Vec<String>,
    /// Behind a number or a unit: and a half.
    pub halves: Vec<Vec<String>>,
    pub clocks: Vec<ClockPhrase>,
}

impl Amounts {
    /// All ways to read an amount at the beginning of the words, longest first.
    pub fn read(&self, kind: Kind, words: &[&str]) -> Vec<(usize, Value)> {
        match kind {
            Kind::Number => {
                self.number(words).map(|(n, number)| (n, Value::Number(number))).into_iter().collect()
            }
            Kind::Length => {
                self.length(words).map(|(n, length)| (n, Value::Length(length))).into_iter().collect()
            }
            Kind::Clock => self.clock(words).into_iter().map(|(n, clock)| (n, Value::Clock(clock))).collect(),
            Kind::Words | Kind::Rest => vec![],
        }
    }

    fn number(&self, words: &[&str]) -> Option<(usize, u32)> {
        let first = self.digit(words.first()?)?;
        // Twenty five.
        let is_ten = (20..100).contains(&first) && first.is_multiple_of(10) && !is_digits(words[0]);
        let second = words.get(1).filter(|word| is_ten && !is_digits(word)).and_then(|word| self.digit(word));
        match second {
            Some(second @ 1..=9) => Some((2, first + second)),
            _ => Some((1, first)),
        }
    }

    fn digit(&self, word: &str) -> Option<u32> {
        // At most six digits: more is no amount of anything here.
        let digits = Some(word).filter(|word| is_digits(word) && word.len() <= 6);
        digits.and_then(|digits| digits.parse().ok()).or_else(|| self.numbers.get(word).copied())
    }

    fn length(&self, words: &[&str]) -> Option<(usize, Duration)> {
        let (mut at, mut seconds) = self.part(words)?;
        loop {
            let joint =
                usize::from(words.get(at).is_some_and(|word| self.joints.iter().any(|joint| joint == word)));
            let Some((n_words, more)) = words.get(at + joint..).and_then(|rest| self.part(rest)) else {
                break;
            };
            at += joint + n_words;
            seconds = seconds.checked_add(more)?;
        }
        let length = Duration::from_secs(seconds);
        (seconds > 0 && length <= LENGTH_MAX).then_some((at, length))
    }

    /// `2 (and a half) hours (and a half)`, or a phrase of its own.
    fn part(&self, words: &[&str]) -> Option<(usize, u64)> {
        for (phrase, seconds) in &self.lengths {
            if begins(words, phrase) {
                return Some((phrase.len(), u64::from(*seconds)));
            }
        }
        let (mut at, number) = self.number(words)?;
        let before = self.half(&words[at..]);
        at += before;
        let unit = u64::from(*self.units.get(*words.get(at)?)?);
        at += 1;
        let behind = if before > 0 { 0 } else { self.half(&words[at..]) };
        let half = if before + behind > 0 { unit / 2 } else { 0 };
        Some((at + behind, u64::from(number) * unit + half))
    }

    fn half(&self, words: &[&str]) -> usize {
        self.halves.iter().filter(|half| begins(words, half)).map(Vec::len).max().unwrap_or(0)
    }

    fn clock(&self, words: &[&str]) -> Vec<(usize, Clock)> {
        let mut found: Vec<(usize, Clock)> =
            self.clocks.iter().filter_map(|phrase| self.one_clock(phrase, words)).collect();
        found.sort_by_key(|(n_words, _)| std::cmp::Reverse(*n_words));
        found
    }

    fn one_clock(&self, phrase: &ClockPhrase, words: &[&str]) -> Option<(usize, Clock)> {
        let (n_words, slots) = phrase.pattern.beginning(words, self)?;
        let number = |name: &str| match slots.get(name) {
            Some(Value::Number(number)) => i32::try_from(*number).ok(),
            _ => None,
        };
        let (said, minute) = (number("hour")?, number("minute").unwrap_or(0));
        if !(0..24).contains(&said)
            || !(0..60).contains(&minute)
            || (phrase.half.is_some() && !(1..=12).contains(&said))
        {
            return None;
        }
        let hour = match phrase.half {
            None => said,
            Some(Half::Morning) => said % 12,
            Some(Half::Evening) => said % 12 + 12,
        };
        let minutes = (hour * 60 + minute + phrase.minutes).rem_euclid(24 * 60);
        let is_exact = phrase.half.is_some() || said > 12 || said == 0;
        Some((n_words, Clock { hour: (minutes / 60) as u8, minute: (minutes % 60) as u8, is_exact }))
    }
}

fn is_digits(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}

fn begins(words: &[&str], phrase: &[String]) -> bool {
    words.len() >= phrase.len() && words.iter().zip(phrase).all(|(word, of)| word == of)
}
