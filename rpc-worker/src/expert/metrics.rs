//! `GET /metrics`: what every expert did, in the text form that Prometheus reads.

use super::figures::Count;
use super::hall::{Hall, Shown};
use std::fmt::Write;

/// A count's name, kind and meaning.
const COUNTS: [(Count, &str, &str); 9] = [
    (Count::Requests, "requests_total", "requests that named this expert"),
    (Count::Refused, "refused_total", "requests that found the queue full"),
    (Count::Failed, "failed_total", "requests that failed"),
    (Count::Cancelled, "cancelled_total", "requests whose client left"),
    (Count::PromptTokens, "prompt_tokens_total", "tokens of prompts"),
    (Count::CachedTokens, "cached_tokens_total", "tokens of prompts that were read before"),
    (Count::Tokens, "tokens_total", "tokens written"),
    (Count::FirstTokens, "time_to_first_token_ms_count", "requests whose first token came"),
    (Count::FirstTokenMs, "time_to_first_token_ms_sum", "milliseconds from request to first token"),
];

pub fn text(hall: &Hall) -> String {
    let mut text = String::new();
    let experts = hall.ready();
    for (count, name, meaning) in COUNTS {
        head(&mut text, name, "counter", meaning);
        for serving in &experts {
            line(&mut text, name, &serving.expert.name, serving.figures.count(count) as f64);
        }
    }
    let shown = hall.shown();
    type Gauge = fn(&Shown) -> f64;
    let gauges: [(&str, &str, Gauge); 6] = [
        ("ready", "1 where the expert answers", |shown| f64::from(shown.state == "ready")),
        ("slots", "answers at once", |shown| f64::from(shown.slots)),
        ("busy", "answers that run", |shown| shown.busy as f64),
        ("waiting", "requests that wait for a slot", |shown| shown.waiting as f64),
        ("prompt_tokens_per_second", "how fast prompts are read", |shown| shown.prompt_tokens_per_second),
        ("decode_tokens_per_second", "how fast one answer is written", |shown| {
            shown.decode_tokens_per_second
        }),
    ];
    for (name, meaning, gauge) in gauges {
        head(&mut text, name, "gauge", meaning);
        for shown in &shown {
            line(&mut text, name, &shown.name, gauge(shown));
        }
    }
    text
}

fn head(text: &mut String, name: &str, kind: &str, meaning: &str) {
    let _ = write!(text, "# HELP duet_expert_{name} {meaning}\n# TYPE duet_expert_{name} {kind}\n");
}

/// The names of experts have no letter that must be escaped.
fn line(text: &mut String, name: &str, expert: &str, value: f64) {
    let _ = writeln!(text, "duet_expert_{name}{{expert=\"{expert}\"}} {value}");
}
