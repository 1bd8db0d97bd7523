//! How answers that need no model are put: the files of `agent/answers`, which travel inside the program.

use super::facts::FactPhrases;
use super::zone::Local;
use serde::Deserialize;
use std::time::Duration;
use voice::intent::Intents;

/// A language more is two files more, and a line here. The first is for whoever has none of them.
const FILES: [(&str, &str); 2] = [
    (include_str!("../../intents/en.toml"), include_str!("../../answers/en.toml")),
    (include_str!("../../intents/de.toml"), include_str!("../../answers/de.toml")),
];

/// For one, and for many.
type Pair = [String; 2];

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phrases {
    pub language: String,
    decimal: String,
    and: String,
    weekdays: [String; 7],
    months: [String; 12],
    date: String,
    clock: String,
    second: Pair,
    minute: Pair,
    hour: Pair,
    day: Pair,
    pub no_clock: String,
    pub no_timer: String,
    pub timer_left: String,
    pub alarm_left: String,
    pub one_stopped: String,
    pub many_stopped: String,
    pub timers_full: String,
    pub too_long: String,
    pub timer_rings: String,
    pub alarm_rings: String,
    pub elsewhere_rings: String,
    pub was_away: String,
    pub volume_elsewhere: String,
    pub not_kept: String,
    pub nothing_said: String,
    /// For who has a key for the models alone.
    pub not_theirs: String,
    alone: String,
    nodes: Pair,
    pub name: String,
    pub status_alone: String,
    pub status: String,
    pub healthy: String,
    pub away: String,
    pub models: String,
    pub no_models: String,
    pub no_turn: String,
    pub took: String,
    pub no_sound: String,
    pub slow_hear: String,
    pub slow_hear_elsewhere: String,
    pub slow_answer: String,
    pub slow_intent: String,
    pub slow_clause: String,
    pub slow_voice: String,
    pub no_model: String,
    pub powers_off: String,
    pub boots: String,
    pub facts_lie: String,
    pub facts_lost: String,
    pub may_i: String,
    pub may_i_long: String,
    pub look_at_page: String,
    pub yes: Vec<String>,
    pub no: Vec<String>,
    pub facts: FactPhrases,
}

/// All languages that a mind knows.
pub fn languages() -> Vec<(Intents, Phrases)> {
    let read = |(intents, phrases): &(&str, &str)| {
        let intents = Intents::read(intents).expect("a test reads each of these files");
        let phrases: Phrases = toml::from_str(phrases).expect("a test reads each of these files");
        (intents, phrases)
    };
    FILES.iter().map(read).collect()
}

impl Phrases {
    /// `7:05`.
    pub fn clock(&self, hour: u8, minute: u8) -> String {
        self.clock.replace("{hour}", &hour.to_string()).replace("{minute}", &format!("{minute:02}"))
    }

    pub fn date(&self, at: &Local) -> String {
        let name = |names: &[String], idx: usize| names.get(idx).cloned().unwrap_or_default();
        self.date
            .replace("{weekday}", &name(&self.weekdays, usize::from(at.weekday)))
            .replace("{month}", &name(&self.months, usize::from(at.month).wrapping_sub(1)))
            .replace("{day}", &at.day.to_string())
            .replace("{year}", &at.year.to_string())
    }

    /// `1 hour and 5 minutes`: nothing that is zero, and of long times no seconds.
    pub fn length(&self, length: Duration) -> String {
        let s = length.as_secs();
        let s = if s >= 3600 { s / 60 * 60 } else { s };
        let parts = [
            (s / 86_400, &self.day),
            (s / 3600 % 24, &self.hour),
            (s / 60 % 60, &self.minute),
            (s % 60, &self.second),
        ];
        let said = parts.iter().filter(|(n, _)| *n > 0).map(|(n, pair)| number(*n, pair));
        let said: Vec<String> = said.collect();
        match said.split_last() {
            None => number(0, &self.second),
            Some((last, [])) => last.clone(),
            Some((last, before)) => format!("{}{}{last}", before.join(", "), self.and),
        }
    }

    /// `0.7 seconds`: for what is too short to be said in whole ones.
    pub fn seconds(&self, ms: f64) -> String {
        let text = format!("{:.1}", (ms / 100.0).round() / 10.0).replace('.', &self.decimal);
        self.second[1].replace("{n}", &text)
    }

    pub fn nodes(&self, n: usize) -> String {
        if n <= 1 { self.alone.clone() } else { number(n as u64, &self.nodes) }
    }
}

fn number(n: u64, [one, many]: &Pair) -> String {
    if n == 1 { one } else { many }.replace("{n}", &n.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(seconds: u64, english: &str, german: &str) {
        let said: Vec<String> =
            languages().iter().map(|(_, phrases)| phrases.length(Duration::from_secs(seconds))).collect();
        assert_eq!(said, [english, german]);
    }

    #[test]
    fn a_length_is_said_in_its_units() {
        check(0, "0 seconds", "0 Sekunden");
        check(1, "1 second", "eine Sekunde");
        check(65, "1 minute and 5 seconds", "eine Minute und 5 Sekunden");
        check(3725, "1 hour and 2 minutes", "eine Stunde und 2 Minuten");
        check(90_061, "1 day, 1 hour and 1 minute", "ein Tag, eine Stunde und eine Minute");
    }
}
