//! A turn as people see it, on the page and in text: where each stage lies in it, and why it went as it did; pure.

use super::trace::{Outcome, Stage, Trace};
use crate::answer::zone::Zone;

/// A stage, and where it lies in its turn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    pub stage: Stage,
    pub from_ms: f64,
    pub ms: f64,
}

/// The stages in their order, each behind the one before, and how long all of them are.
pub fn spans(trace: &Trace) -> (Vec<Span>, f64) {
    let mut end_ms = 0.0;
    let span = |took: &super::trace::Took| {
        let from_ms = end_ms;
        end_ms += took.ms;
        Span { stage: took.stage, from_ms, ms: took.ms }
    };
    let spans = trace.took.iter().map(span).collect();
    (spans, end_ms)
}

impl Span {
    /// Its first place and its length on a scale of so many places; the shortest stage has one.
    pub fn places(&self, whole_ms: f64, n_places: usize) -> (usize, usize) {
        let place = |ms: f64| (ms / whole_ms.max(1.0) * n_places as f64).round() as usize;
        let from = place(self.from_ms).min(n_places - 1);
        let until = place(self.from_ms + self.ms).clamp(from + 1, n_places);
        (from, until - from)
    }
}

/// Whether the person got what was asked for.
pub fn is_good(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Answered | Outcome::Interrupted | Outcome::Nothing)
}

/// `1.24 s`.
pub fn seconds(ms: f64) -> String {
    format!("{:.2} s", ms / 1e3)
}

/// By this node's clock, which knows no zone.
pub fn when(unix_s: u64) -> String {
    let at = Zone::default().local(unix_s);
    format!("{}-{:02}-{:02} {:02}:{:02} UTC", at.year, at.month, at.day, at.hour, at.minute)
}

/// What is worth a word: who answered, what took longest, and what was not as usual.
pub fn why(trace: &Trace) -> Vec<String> {
    let mut why = trace.by.clone();
    if let Some(slowest) = trace.slowest() {
        why.push(format!("waited longest for: {}", slowest.stage.as_str()));
    }
    if trace.is_guessed {
        why.push("heard while the key was still down".into());
    }
    why.extend(
        trace.heard.iter().filter_map(|heard| heard.elsewhere.as_ref()).map(|at| format!("heard on {at}")),
    );
    if trace.heard.iter().any(|heard| heard.was_doubted) {
        why.push("the first try of hearing was doubted".into());
    }
    if trace.has_interrupted {
        why.push("it interrupted the turn before".into());
    }
    why
}

#[cfg(test)]
mod tests {
    use super::super::trace::{Took, example};
    use super::*;

    #[test]
    fn stages_lie_behind_each_other_on_one_scale() {
        let took = [(Stage::Listen, 900.0), (Stage::Hear, 0.0), (Stage::Answer, 100.0)];
        let took = took.map(|(stage, ms)| Took { stage, ms }).into();
        let (spans, whole_ms) = spans(&Trace { took, ..example() });
        let places: Vec<_> = spans.iter().map(|span| span.places(whole_ms, 10)).collect();
        assert_eq!(places, [(0, 9), (9, 1), (9, 1)]);
    }

    #[test]
    fn a_turn_that_took_no_time_has_its_places_too() {
        let span = Span { stage: Stage::Listen, from_ms: 0.0, ms: 0.0 };
        assert_eq!(span.places(0.0, 50), (0, 1));
    }

    #[test]
    fn a_moment_is_told_in_utc() {
        assert_eq!(when(1_774_746_000), "2026-03-29 01:00 UTC");
    }

    #[test]
    fn why_names_who_answered_and_what_took_longest() {
        let took = vec![Took { stage: Stage::Listen, ms: 900.0 }, Took { stage: Stage::Hear, ms: 300.0 }];
        let trace = Trace { took, is_guessed: true, ..example() };
        assert_eq!(
            why(&trace),
            ["local on attic", "waited longest for: hear", "heard while the key was still down"]
        );
    }
}
