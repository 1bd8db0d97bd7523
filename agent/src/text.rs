//! The status as text, for a serial console and a terminal: 80 columns, no colours, no control letters.

use crate::cluster::{ClusterStatus, Phase};
use crate::facts::Status;
use crate::facts::network::Interface;
use crate::page::{bytes, duration};
use crate::talk::shown;
use crate::talk::trace::Trace;
use ::cluster::Mood;
use std::fmt::{self, Write};

/// A value's columns: what stands behind its name.
const VALUE_COLUMNS: usize = 68;
/// Those of a turn's bars: stage and number stand before them.
const BAR_COLUMNS: usize = 50;

pub fn render(status: &Status, port: u16) -> String {
    let mut out = Out::default();
    out.line("node", &format!("{}, up {}", status.name, duration(status.uptime_s)));
    out.line("health", &format!("{}: {}", status.health.state.as_str(), status.health.sentence));
    if let Some(address) = status.interfaces.iter().find_map(Interface::ipv4) {
        out.line("page", &format!("http://{address}:{port}/"));
    }
    out.lines("tier", &format!("{}: {}", status.place.tier.as_str(), status.place.why));
    for trouble in &status.place.troubles {
        out.lines("", &format!("! {trouble}"));
    }
    cluster(&mut out, &status.cluster);
    memory(&mut out, status);
    network(&mut out, status);
    devices(&mut out, status);
    voice(&mut out, status);
    for trouble in &status.workflows.troubles {
        out.lines("workflow", trouble);
    }
    units(&mut out, status);
    boot(&mut out, status);
    machine(&mut out, status);
    out.text
}

/// What a person at a serial cable needs: the code to compare, or who is there.
fn cluster(out: &mut Out, status: &ClusterStatus) {
    match &status.phase {
        Phase::Alone => {}
        Phase::Calling { sentence } => out.line("cluster", &format!("calling the boot server. {sentence}")),
        Phase::Waiting { code } => {
            out.line("cluster", &format!("code {code}: the owner must let this node in"))
        }
        Phase::Refused { sentence } => out.line("cluster", sentence),
        Phase::Member => {}
    }
    let Some(picture) = &status.picture else { return };
    out.line("cluster", &format!("{} nodes alive, ring key {}", picture.n_alive, picture.ring));
    for member in picture.members.iter().filter(|member| !member.is_self) {
        let mood = member.facts.as_ref().filter(|_| member.is_alive()).map(|facts| facts.mood);
        let mood = mood.filter(|mood| *mood != Mood::Idle).map(|mood| format!(", {}", mood.as_str()));
        let name = if member.name.is_empty() { "unnamed" } else { &member.name };
        let since = duration(member.for_s as f64);
        let tier = member.facts.as_ref().map(|facts| format!(", {}", facts.tier.as_str()));
        let tail = tier.unwrap_or_default() + &mood.unwrap_or_default();
        out.line("", &format!("{name} {} {} for {since}{tail}", member.address.ip(), member.standing));
    }
}

fn memory(out: &mut Out, status: &Status) {
    let m = status.memory;
    let kib = |n: u64| bytes(n.saturating_mul(1024));
    let free = format!("free {}, available {}", kib(m.free_kib), kib(m.available_kib));
    out.line("memory", &format!("{} of {} occupied, {free}", kib(m.occupied_kib), kib(m.total_kib)));
}

fn network(out: &mut Out, status: &Status) {
    for i in &status.interfaces {
        let link = match (i.carrier, i.speed_mbit) {
            (false, _) => "no cable".to_string(),
            (true, None) => "connected".to_string(),
            (true, Some(mbit)) => format!("{mbit} Mbit/s"),
        };
        let addresses =
            if i.addresses.is_empty() { "no address".to_string() } else { i.addresses.join(", ") };
        out.lines("network", &format!("{}: {addresses}, {link}, {} {}", i.name, i.mac, i.driver));
    }
    if status.interfaces.is_empty() {
        out.line("network", "no network card was found");
    }
}

fn devices(out: &mut Out, status: &Status) {
    for card in &status.sound_cards {
        let can = match (card.can_play, card.can_record) {
            (true, true) => "speaker and microphone",
            (true, false) => "speaker",
            (false, true) => "microphone",
            (false, false) => "no stream",
        };
        out.line("sound", &format!("{}: {can}", card.name));
    }
    if status.sound_cards.is_empty() {
        out.line("sound", "no sound card was found");
    }
    for device in &status.input_devices {
        out.line("keys", &format!("{}: {} keys", device.name, device.n_keys));
    }
}

/// Ear and mouth, and what the last turns took.
fn voice(out: &mut Out, status: &Status) {
    for (idx, file) in status.spread.iter().flat_map(|spread| &spread.files).enumerate() {
        out.lines(if idx == 0 { "models" } else { "" }, &file.line());
        if !file.sentence.is_empty() {
            out.lines("", &format!("! {}", file.sentence));
        }
    }
    if let Some(hearing) = &status.hearing {
        out.lines("hearing", &hearing.sentence);
        if !hearing.detector.is_empty() {
            out.lines("", &hearing.detector);
        }
    }
    if let Some(voice) = &status.voice {
        out.lines("voice", &format!("{} {}", voice.mood.as_str(), voice.trouble));
        for (name, sentence) in voice.hands() {
            out.lines(name, &sentence);
        }
    }
    for trace in &status.turns {
        turn(out, trace);
    }
}

fn turn(out: &mut Out, trace: &Trace) {
    let silence = trace.silence_ms.map(|ms| format!(", {} of silence", shown::seconds(ms)));
    let (when, outcome) = (shown::when(trace.unix_s), trace.outcome.as_str());
    out.lines("turn", &format!("{when}, {}: {outcome}{}", trace.whose, silence.unwrap_or_default()));
    let (spans, whole_ms) = shown::spans(trace);
    for span in spans {
        let (from, n) = span.places(whole_ms, BAR_COLUMNS);
        let (stage, took) = (span.stage.as_str(), shown::seconds(span.ms));
        out.line("", &format!("{stage:<6} {took:>9} {}{}", " ".repeat(from), "#".repeat(n)));
    }
    let why = shown::why(trace).join("; ");
    if !why.is_empty() {
        out.lines("", &why);
    }
    for trouble in &trace.troubles {
        out.lines("", &format!("! {trouble}"));
    }
}

fn units(out: &mut Out, status: &Status) {
    for unit in &status.units.ours {
        out.line("unit", &format!("{} {} ({})", unit.name, unit.active, unit.sub));
    }
    if !status.units.known {
        out.line("unit", "systemd could not be asked");
    }
    if !status.units.failed.is_empty() {
        out.line("failed", &status.units.failed.join(", "));
    }
}

fn boot(out: &mut Out, status: &Status) {
    let Some(boot) = &status.boot else {
        return out.line("boot", "this system was not booted by duet");
    };
    out.line("release", &boot.release);
    let stages = boot.stages.iter().map(|s| format!("{} {:.2} s", s.name, s.milliseconds as f64 / 1000.0));
    out.line("boot", &stages.collect::<Vec<_>>().join(", "));
}

fn machine(out: &mut Out, status: &Status) {
    let p = &status.processor;
    out.line("processor", &format!("{}, {} threads at {} MHz", p.model, p.n_threads, p.mhz));
    out.line("", &p.instruction_sets.join(" "));
    let l = status.load;
    out.line("load", &format!("{:.2} {:.2} {:.2}", l.one, l.five, l.fifteen));
    out.line("kernel", &format!("{}, {}", status.system.kernel, status.system.distribution));
}

/// A serial line has no other letters, and no letter may move its cursor.
pub fn plain(char: char) -> char {
    match char {
        '\n' => '\n',
        ' '..='~' => char,
        '\u{2018}' | '\u{2019}' => '\'',
        '\u{201c}'..='\u{201e}' => '"',
        '\u{2010}'..='\u{2015}' => '-',
        char if char.is_whitespace() => ' ',
        _ => '?',
    }
}

#[derive(Default)]
struct Out {
    text: String,
}

impl Out {
    /// Names of cards and hosts come from outside: a terminal must not obey them.
    fn line(&mut self, name: &str, value: &str) {
        let clean: String = value.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        let written: fmt::Result = writeln!(self.text, "{name:<10} {clean}");
        written.expect("a String takes every text");
    }

    /// Sentences, in as many lines as they need, in letters that a serial line has.
    fn lines(&mut self, name: &str, value: &str) {
        let plain: String = value.chars().map(plain).collect();
        let (mut name, mut line) = (name, String::new());
        for word in plain.split_whitespace().flat_map(|word| word.as_bytes().chunks(VALUE_COLUMNS)) {
            // They are ASCII by now, so every cut is between letters.
            let word = String::from_utf8_lossy(word);
            if !line.is_empty() && line.len() + 1 + word.len() > VALUE_COLUMNS {
                self.line(std::mem::take(&mut name), &std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line += &word;
        }
        self.line(name, &line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::voicing::VoiceStatus;
    use crate::talk::trace::{Outcome, Stage, Took, example};

    #[test]
    fn the_voice_and_its_last_turns_are_told() {
        let trace = Trace {
            whose: "this PC".into(),
            outcome: Outcome::NoAnswer,
            took: vec![Took { stage: Stage::Hear, ms: 1500.0 }],
            ..example()
        };
        let mut voice = VoiceStatus::default();
        voice.sound.microphone.reason = Some("no sound card that can record was found".into());
        let text = render(&Status { voice: Some(voice), turns: vec![trace], ..Status::default() }, 8000);
        for line in [
            "voice      idle".to_owned(),
            "microphone no sound card that can record was found".into(),
            "turn       1970-01-01 00:00 UTC, this PC: no-answer".into(),
            format!("           hear      1.50 s {}", "#".repeat(50)),
            "           local on attic; waited longest for: hear".into(),
        ] {
            assert!(text.lines().any(|told| told == line), "{line} is not in:\n{text}");
        }
    }

    #[test]
    fn a_name_from_outside_cannot_command_the_terminal() {
        let text = render(&Status { name: "a\u{1b}[2J\nb".into(), ..Status::default() }, 8000);
        assert!(text.starts_with("node       a?[2J?b, up 0 s\n"), "{text}");
    }

    #[test]
    fn a_turn_is_lines_of_ascii_that_fit_the_screen() {
        let took = Stage::ALL.map(|stage| Took { stage, ms: 61_234.5 }).into();
        let troubles = vec!["nothing was heard: ".repeat(9), "ü".repeat(99)];
        let whose = "\u{1b}[2J".repeat(30);
        let trace = Trace { took, troubles, whose, silence_ms: Some(1240.0), ..example() };
        let mut out = Out::default();
        turn(&mut out, &trace);
        assert!(out.text.is_ascii() && out.text.lines().all(|line| line.len() < 80), "{}", out.text);
        assert!(out.text.contains("\n           hear     61.23 s "), "{}", out.text);
    }
}
