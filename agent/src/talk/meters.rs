//! Counts turns and their stages, for `/metrics`; pure.

use super::trace::{Outcome, Stage, Trace};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Ends of the buckets, in seconds: from an intent that was guessed to a model that is cut over nodes.
const ENDS_S: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0];
/// From the release of the key to the first sound: what a person waits.
const SILENCE: &str = "silence";

#[derive(Clone, Debug, Default)]
struct Spread {
    counts: [u64; ENDS_S.len()],
    n: u64,
    sum_s: f64,
}

#[derive(Clone, Debug, Default)]
pub struct Meters {
    stages: BTreeMap<&'static str, Spread>,
    outcomes: BTreeMap<&'static str, u64>,
    n_guessed: u64,
}

impl Meters {
    pub fn add(&mut self, trace: &Trace) {
        *self.outcomes.entry(trace.outcome.as_str()).or_default() += 1;
        self.n_guessed += u64::from(trace.is_guessed);
        let stages = trace.took.iter().map(|took| (took.stage.as_str(), took.ms));
        for (name, ms) in stages.chain(trace.silence_ms.map(|ms| (SILENCE, ms))) {
            let spread = self.stages.entry(name).or_default();
            let s = ms / 1e3;
            spread.n += 1;
            spread.sum_s += s;
            ENDS_S.iter().zip(&mut spread.counts).filter(|(end, _)| s <= **end).for_each(|(_, n)| *n += 1);
        }
    }

    /// In the format of Prometheus.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let mut line =
            |text: std::fmt::Arguments<'_>| writeln!(out, "{text}").expect("a String takes every text");
        line(format_args!(
            "# HELP duet_turns_total Turns by how they ended.\n# TYPE duet_turns_total counter"
        ));
        for outcome in Outcome::ALL.map(Outcome::as_str) {
            let n = self.outcomes.get(outcome).unwrap_or(&0);
            line(format_args!("duet_turns_total{{outcome=\"{outcome}\"}} {n}"));
        }
        line(format_args!(
            "# HELP duet_turns_guessed_total Turns whose text was guessed before the key came up."
        ));
        line(format_args!(
            "# TYPE duet_turns_guessed_total counter\nduet_turns_guessed_total {}",
            self.n_guessed
        ));
        line(format_args!(
            "# HELP duet_turn_seconds Stages of turns, and the silence from the key to the first sound."
        ));
        line(format_args!("# TYPE duet_turn_seconds histogram"));
        for name in Stage::ALL.map(Stage::as_str).into_iter().chain([SILENCE]) {
            let Some(spread) = self.stages.get(name) else { continue };
            for (end, n) in ENDS_S.iter().zip(spread.counts) {
                line(format_args!("duet_turn_seconds_bucket{{stage=\"{name}\",le=\"{end}\"}} {n}"));
            }
            let Spread { n, sum_s, .. } = spread;
            line(format_args!("duet_turn_seconds_bucket{{stage=\"{name}\",le=\"+Inf\"}} {n}"));
            line(format_args!("duet_turn_seconds_sum{{stage=\"{name}\"}} {sum_s}"));
            line(format_args!("duet_turn_seconds_count{{stage=\"{name}\"}} {n}"));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::talk::trace::Took;

    #[test]
    fn a_turn_is_counted_in_every_stage_that_it_reached() {
        let mut trace = crate::talk::trace::example();
        trace.took = vec![Took { stage: Stage::Hear, ms: 300.0 }];
        trace.silence_ms = Some(3000.0);
        let mut meters = Meters::default();
        meters.add(&trace);
        meters.add(&Trace { is_guessed: true, silence_ms: None, ..trace });
        let text = meters.text();
        for line in [
            "duet_turns_total{outcome=\"answered\"} 2",
            "duet_turns_total{outcome=\"no-answer\"} 0",
            "duet_turns_guessed_total 1",
            "duet_turn_seconds_bucket{stage=\"hear\",le=\"0.25\"} 0",
            "duet_turn_seconds_bucket{stage=\"hear\",le=\"0.5\"} 2",
            "duet_turn_seconds_sum{stage=\"hear\"} 0.6",
            "duet_turn_seconds_bucket{stage=\"silence\",le=\"4\"} 1",
            "duet_turn_seconds_count{stage=\"silence\"} 1",
        ] {
            assert!(text.lines().any(|told| told == line), "{line} is not in:\n{text}");
        }
    }
}
