//! The status as text, for a serial console and a terminal: 80 columns, no colours, no control letters.

use crate::cluster::{ClusterStatus, Phase};
use crate::facts::Status;
use crate::facts::network::Interface;
use crate::page::{bytes, duration};
use crate::talk::trace::Trace;
use crate::voicing::VoiceStatus;
use std::fmt::{self, Write};

pub fn render(status: &Status, port: u16) -> String {
    let mut out = Out::default();
    out.line("node", &format!("{}, up {}", status.name, duration(status.uptime_s)));
    out.line("health", &format!("{}: {}", status.health.state.as_str(), status.health.sentence));
    if let Some(address) = status.interfaces.iter().find_map(Interface::ipv4) {
        out.line("page", &format!("http://{address}:{port}/"));
    }
    cluster(&mut out, &status.cluster);
    memory(&mut out, status);
    network(&mut out, status);
    devices(&mut out, status);
    if let Some(hearing) = &status.hearing {
        out.line("hearing", &hearing.sentence);
        if !hearing.detector.is_empty() {
            out.line("", &hearing.detector);
        }
    }
    voice(&mut out, status);
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
        let name = if member.name.is_empty() { "unnamed" } else { &member.name };
        let since = duration(member.for_s as f64);
        out.line("", &format!("{name} {} {} for {since}", member.address.ip(), member.standing));
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
        out.line("network", &format!("{}: {addresses}, {link}, {} {}", i.name, i.mac, i.driver));
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

/// How this PC hears and speaks, and why the last turns took as long as they did.
fn voice(out: &mut Out, status: &Status) {
    if let Some(VoiceStatus { mood, trouble, sound, keys, mouth }) = &status.voice {
        out.line("voice", mood.as_str());
        for (name, side) in [("microphone", &sound.microphone), ("speaker", &sound.speaker)] {
            let device = side.device.iter().map(|device| format!("{device} at {} Hz", side.rate));
            let told: Vec<String> = device.chain(side.reason.clone()).collect();
            out.line("", &format!("{name}: {}", told.join("; ")));
        }
        let troubles = [keys.reason.as_deref(), mouth.trouble.as_deref(), Some(trouble.as_str())];
        for trouble in troubles.into_iter().flatten().filter(|trouble| !trouble.is_empty()) {
            out.line("", trouble);
        }
    }
    for Trace { whose, turn, outcome, took, by, .. } in &status.turns {
        let stages = took.iter().map(|took| format!("{} {:.2} s", took.stage.as_str(), took.ms / 1000.0));
        let told = [stages.collect::<Vec<_>>().join(", "), by.join("; ")];
        out.line("turn", &format!("{turn} of {whose}: {}; {}", outcome.as_str(), told.join("; ")));
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::talk::trace::{Outcome, Stage, Took, example};

    #[test]
    fn the_voice_and_its_last_turns_are_told() {
        let trace = Trace {
            whose: "this PC".into(),
            turn: 7,
            outcome: Outcome::NoAnswer,
            took: vec![Took { stage: Stage::Hear, ms: 1500.0 }],
            by: vec!["intent time".into()],
            ..example()
        };
        let mut voice = VoiceStatus::default();
        voice.sound.microphone.reason = Some("no sound card that can record was found".into());
        let text = render(&Status { voice: Some(voice), turns: vec![trace], ..Status::default() }, 8000);
        for line in [
            "voice      idle",
            "           microphone: no sound card that can record was found",
            "turn       7 of this PC: no-answer; hear 1.50 s; intent time",
        ] {
            assert!(text.lines().any(|told| told == line), "{line} is not in:\n{text}");
        }
    }

    #[test]
    fn a_name_from_outside_cannot_command_the_terminal() {
        let text = render(&Status { name: "a\u{1b}[2J\nb".into(), ..Status::default() }, 8000);
        assert!(text.starts_with("node       a?[2J?b, up 0 s\n"), "{text}");
    }
}
