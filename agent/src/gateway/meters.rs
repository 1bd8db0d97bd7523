//! What the gateway counts: for Prometheus at `/metrics`, and for the page; pure, times are handed in.
//!
//! Names of experts come from the cluster and from experts' files, never from a request, so that no stranger can make
//! this grow.

use super::keys::KeyStatus;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::time::Duration;

/// Experts that are told apart; the rest is counted together.
const EXPERTS_MAX: usize = 64;
const OTHERS: &str = "others";
/// Failures kept for the page.
const FAILURES_MAX: usize = 8;
/// Upper ends of the classes of times to the first token, in seconds: old PCs read a long prompt for a minute.
const FIRST_S: [f64; 9] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// And of tokens a second.
const SPEEDS: [f64; 7] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0];

#[derive(Clone, Debug, Default)]
struct Expert {
    in_flight: u64,
    waiting: u64,
    failures: u64,
    retries: u64,
    handovers: u64,
    prompt_tokens: u64,
    tokens: u64,
    first: Spread,
    speed: Spread,
}

/// A histogram.
#[derive(Clone, Debug, Default)]
struct Spread {
    counts: Vec<u64>,
    n: u64,
    sum: f64,
}

impl Spread {
    fn add(&mut self, value: f64, ends: &[f64]) {
        self.counts.resize(ends.len(), 0);
        for (count, end) in self.counts.iter_mut().zip(ends) {
            *count += u64::from(value <= *end);
        }
        self.n += 1;
        self.sum += value;
    }
}

/// Everything that is counted.
#[derive(Debug, Default)]
pub struct Meters {
    experts: BTreeMap<String, Expert>,
    /// Requests by path and status.
    answers: BTreeMap<(&'static str, u16), u64>,
    failures: VecDeque<String>,
}

/// What the page shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GatewayStatus {
    pub requests: u64,
    pub in_flight: u64,
    pub failed: u64,
    /// Streams that went on at another copy.
    pub handovers: u64,
    pub keys: Vec<KeyStatus>,
    /// The last attempts that failed, newest last.
    pub failures: Vec<String>,
}

impl Meters {
    pub fn answered(&mut self, path: &'static str, status: u16) {
        *self.answers.entry((path, status)).or_default() += 1;
    }

    /// A request went to an expert and waits for its first token.
    pub fn began(&mut self, expert: &str) {
        let expert = self.expert(expert);
        expert.in_flight += 1;
        expert.waiting += 1;
    }

    pub fn first_token(&mut self, expert: &str, after: Duration) {
        let expert = self.expert(expert);
        expert.waiting = expert.waiting.saturating_sub(1);
        expert.first.add(after.as_secs_f64(), &FIRST_S);
    }

    /// It is over; `waited` says that no token ever came.
    pub fn ended(&mut self, expert: &str, waited: bool) {
        let expert = self.expert(expert);
        expert.in_flight = expert.in_flight.saturating_sub(1);
        expert.waiting = expert.waiting.saturating_sub(u64::from(waited));
    }

    /// So many tokens were read, and so many written in this time.
    pub fn counted(&mut self, expert: &str, prompt_tokens: u64, tokens: u64, took: Duration) {
        let expert = self.expert(expert);
        expert.prompt_tokens += prompt_tokens;
        expert.tokens += tokens;
        // One token alone says nothing of speed.
        if tokens > 1 && took > Duration::ZERO {
            expert.speed.add((tokens - 1) as f64 / took.as_secs_f64(), &SPEEDS);
        }
    }

    /// An attempt failed, and perhaps another follows.
    pub fn failed(&mut self, expert: &str, sentence: String, is_retried: bool) {
        let known = self.expert(expert);
        known.failures += 1;
        known.retries += u64::from(is_retried);
        self.tell(format!("{expert} {sentence}"));
    }

    /// A stream of this expert went on elsewhere.
    pub fn handed_over(&mut self, expert: &str, sentence: String) {
        self.expert(expert).handovers += 1;
        self.tell(sentence);
    }

    fn tell(&mut self, sentence: String) {
        if self.failures.len() == FAILURES_MAX {
            self.failures.pop_front();
        }
        self.failures.push_back(sentence);
    }

    /// For the page.
    pub fn status(&self, keys: Vec<KeyStatus>) -> GatewayStatus {
        GatewayStatus {
            requests: self.answers.values().sum(),
            in_flight: self.experts.values().map(|expert| expert.in_flight).sum(),
            handovers: self.experts.values().map(|expert| expert.handovers).sum(),
            failed: self.experts.values().map(|expert| expert.failures).sum(),
            keys,
            failures: self.failures.iter().cloned().collect(),
        }
    }

    fn expert(&mut self, name: &str) -> &mut Expert {
        let is_room = self.experts.len() < EXPERTS_MAX || self.experts.contains_key(name);
        self.experts.entry(if is_room { name } else { OTHERS }.to_owned()).or_default()
    }

    /// The text format of Prometheus, version 0.0.4.
    pub fn text(&self) -> String {
        let mut out = String::new();
        head(&mut out, "requests_total", "counter", "Answers by path and status.");
        for ((path, status), n) in &self.answers {
            let _ = writeln!(out, "duet_gateway_requests_total{{path=\"{path}\",status=\"{status}\"}} {n}");
        }
        type Count = fn(&Expert) -> u64;
        let counts: [(&str, &str, &str, Count); 7] = [
            ("in_flight", "gauge", "Requests that an expert works on.", |e| e.in_flight),
            ("queue", "gauge", "Requests that wait for their first token.", |e| e.waiting),
            ("failures_total", "counter", "Attempts that failed.", |e| e.failures),
            ("retries_total", "counter", "Attempts after which another copy was asked.", |e| e.retries),
            ("handovers_total", "counter", "Streams that went on at another copy.", |e| e.handovers),
            ("prompt_tokens_total", "counter", "Tokens read.", |e| e.prompt_tokens),
            ("tokens_total", "counter", "Tokens written.", |e| e.tokens),
        ];
        for (name, kind, help, count) in counts {
            head(&mut out, name, kind, help);
            for (expert, counted) in &self.experts {
                let _ =
                    writeln!(out, "duet_gateway_{name}{{expert=\"{}\"}} {}", label(expert), count(counted));
            }
        }
        type Kept = fn(&Expert) -> &Spread;
        let spreads: [(&str, &str, &[f64], Kept); 2] = [
            ("time_to_first_token_seconds", "From the request to its first token.", &FIRST_S, |e| &e.first),
            ("tokens_per_second", "Speed of each answer after its first token.", &SPEEDS, |e| &e.speed),
        ];
        for (name, help, ends, kept) in spreads {
            head(&mut out, name, "histogram", help);
            for (expert, counted) in self.experts.iter().filter(|(_, counted)| kept(counted).n > 0) {
                spread(&mut out, name, &label(expert), ends, kept(counted));
            }
        }
        out
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP duet_gateway_{name} {help}\n# TYPE duet_gateway_{name} {kind}");
}

fn spread(out: &mut String, name: &str, expert: &str, ends: &[f64], spread: &Spread) {
    for (end, n) in ends.iter().zip(&spread.counts) {
        let _ = writeln!(out, "duet_gateway_{name}_bucket{{expert=\"{expert}\",le=\"{end}\"}} {n}");
    }
    let Spread { n, sum, .. } = spread;
    let _ = writeln!(out, "duet_gateway_{name}_bucket{{expert=\"{expert}\",le=\"+Inf\"}} {n}");
    let _ = writeln!(out, "duet_gateway_{name}_sum{{expert=\"{expert}\"}} {sum}");
    let _ = writeln!(out, "duet_gateway_{name}_count{{expert=\"{expert}\"}} {n}");
}

/// A label's value: a name from another node may hold anything.
fn label(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_graphic() && c != '"' && c != '\\' { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_story_of_one_request_is_told_in_prometheus_own_form() {
        let mut meters = Meters::default();
        meters.began("calm");
        meters.failed("calm", "on kitchen: connection refused".into(), true);
        meters.first_token("calm", Duration::from_millis(300));
        meters.counted("calm", 7, 11, Duration::from_secs(2));
        meters.ended("calm", false);
        meters.answered("/v1/chat/completions", 200);
        let text = meters.text();
        for line in [
            "duet_gateway_requests_total{path=\"/v1/chat/completions\",status=\"200\"} 1",
            "duet_gateway_in_flight{expert=\"calm\"} 0",
            "duet_gateway_queue{expert=\"calm\"} 0",
            "duet_gateway_failures_total{expert=\"calm\"} 1",
            "duet_gateway_retries_total{expert=\"calm\"} 1",
            "duet_gateway_prompt_tokens_total{expert=\"calm\"} 7",
            "duet_gateway_time_to_first_token_seconds_bucket{expert=\"calm\",le=\"0.25\"} 0",
            "duet_gateway_time_to_first_token_seconds_bucket{expert=\"calm\",le=\"0.5\"} 1",
            "duet_gateway_tokens_per_second_bucket{expert=\"calm\",le=\"5\"} 1",
            "duet_gateway_tokens_per_second_sum{expert=\"calm\"} 5",
        ] {
            assert!(text.lines().any(|told| told == line), "{line} is not in\n{text}");
        }
        let is_sample = |line: &str| {
            line.starts_with('#') || line.rsplit_once(' ').is_some_and(|(_, n)| n.parse::<f64>().is_ok())
        };
        assert!(text.lines().all(is_sample), "{text}");
    }

    #[test]
    fn a_request_that_never_got_a_token_waits_no_longer_when_it_is_over() {
        let mut meters = Meters::default();
        meters.began("calm");
        assert!(meters.text().contains("duet_gateway_queue{expert=\"calm\"} 1\n"));
        meters.ended("calm", true);
        assert!(meters.text().contains("duet_gateway_queue{expert=\"calm\"} 0\n"));
        assert_eq!(meters.status(vec![]).in_flight, 0);
    }

    #[test]
    fn many_names_and_odd_names_do_no_harm() {
        let mut meters = Meters::default();
        (0..1000).for_each(|n| meters.began(&format!("expert-{n}")));
        assert_eq!(meters.experts.len(), EXPERTS_MAX + 1);
        let mut meters = Meters::default();
        meters.began("a\"b\n");
        assert!(meters.text().contains("expert=\"a_b_\""));
        (0..20).for_each(|n| meters.failed("x", format!("{n}"), false));
        assert_eq!(meters.status(vec![]).failures.len(), FAILURES_MAX);
    }
}
