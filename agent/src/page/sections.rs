//! The parts of the page, one function each, in the order they are read.

use super::html::{Html, bytes, duration};
use crate::facts::Status;
use crate::facts::boot::{Boot, BootStage};
use crate::facts::input::InputKind;
use crate::facts::memory::Memory;
use crate::facts::network::Interface;
use crate::facts::units::Units;
use crate::hear::desk::HearingStatus;

pub fn head(html: &mut Html, status: &Status) {
    html.raw("<header data-live-class=\"health.state\" class=\"")
        .raw(status.health.state.as_str())
        .raw("\">\n");
    html.raw("<h1><i class=\"lamp\"></i>").text(&status.name).raw("</h1>\n<p class=\"health\">");
    html.live("health.state", "state", capital(status.health.state.as_str())).raw(": ");
    html.live("health.sentence", "text", &status.health.sentence).raw(".</p>\n<p class=\"quiet\">up ");
    html.live("uptime_s", "duration", &duration(status.uptime_s));
    if let Some(address) = status.interfaces.iter().find_map(Interface::ipv4) {
        html.raw(" · ").text(address);
    }
    if let Some(boot) = &status.boot {
        html.raw(" · ").text(&boot.release);
    }
    html.raw("</p>\n</header>\n");
}

pub fn memory(html: &mut Html, memory: &Memory) {
    begin(html, "Working memory");
    html.raw("<p class=\"figure\">").live("memory.occupied_kib", "kib", &kib(memory.occupied_kib));
    html.raw(" <small>of ").text(&kib(memory.total_kib)).raw(" occupied</small></p>\n");
    html.raw("<progress data-live=\"memory.occupied_kib\" data-form=\"value\" max=\"");
    html.text(&memory.total_kib.max(1).to_string()).raw("\" value=\"");
    html.text(&memory.occupied_kib.to_string()).raw("\"></progress>\n<dl>");
    fact(html, "free", |h| _ = h.live("memory.free_kib", "kib", &kib(memory.free_kib)));
    fact(html, "available", |h| _ = h.live("memory.available_kib", "kib", &kib(memory.available_kib)));
    html.raw("</dl>\n");
    end(html);
}

pub fn network(html: &mut Html, interfaces: &[Interface]) {
    begin(html, "Network");
    if interfaces.is_empty() {
        none(html, "No network card was found.");
    }
    for (idx, interface) in interfaces.iter().enumerate() {
        html.raw("<h3>").text(&interface.name).raw(" ");
        badge(html, if interface.carrier { "good" } else { "bad" }, &link(interface));
        html.raw("</h3>\n<dl>");
        let addresses = interface.addresses.join(", ");
        fact(html, "address", |h| _ = h.text(if addresses.is_empty() { "none" } else { &addresses }));
        fact(html, "hardware", |h| _ = h.text(&interface.mac).raw(" ").text(&interface.driver));
        let path = |end: &str| format!("interfaces.{idx}.{end}");
        fact(html, "received", |h| {
            h.live(&path("received_bytes"), "bytes", &bytes(interface.received_bytes)).raw(", sent ");
            h.live(&path("sent_bytes"), "bytes", &bytes(interface.sent_bytes));
        });
        html.raw("</dl>\n");
    }
    end(html);
}

fn link(interface: &Interface) -> String {
    match (interface.carrier, interface.speed_mbit) {
        (false, _) => "no cable".to_string(),
        (true, Some(mbit)) => format!("{mbit} Mbit/s"),
        (true, None) => "connected".to_string(),
    }
}

pub fn sound_and_keys(html: &mut Html, status: &Status) {
    let (cards, devices) = (&status.sound_cards, &status.input_devices);
    begin(html, "Sound and keys");
    if cards.is_empty() {
        none(html, "No sound card was found.");
    }
    html.raw("<ul>");
    for card in cards {
        html.raw("<li>").text(&card.name);
        for (can, what) in [(card.can_play, "speaker"), (card.can_record, "microphone")] {
            if can {
                badge(html, "good", what);
            }
        }
        html.raw("</li>");
    }
    for device in devices {
        html.raw("<li>").text(&device.name);
        badge(html, "plain", input_kind(device.kind));
        html.raw("</li>");
    }
    html.raw("</ul>\n");
    if !devices.iter().any(|d| d.kind == InputKind::Keyboard) {
        none(html, "No keyboard is plugged in.");
    }
    if let Some(voice) = &status.voice {
        html.raw("<dl>");
        for (name, sentence) in voice.hands() {
            fact(html, name, |h| _ = h.text(&sentence));
        }
        html.raw("</dl>\n");
    }
    end(html);
}

fn input_kind(kind: InputKind) -> &'static str {
    match kind {
        InputKind::Keyboard => "keyboard",
        InputKind::Mouse => "mouse",
        InputKind::Buttons => "buttons",
    }
}

/// What the ear of this node can do, or why it cannot.
pub fn hearing(html: &mut Html, hearing: &HearingStatus) {
    begin(html, "Hearing");
    html.raw("<p>").text(&hearing.sentence).raw("</p>\n");
    if !hearing.detector.is_empty() {
        html.raw("<p>").text(&hearing.detector).raw("</p>\n");
    }
    if hearing.milli > 0 {
        let waits = if hearing.is_busy { hearing.queued + 1 } else { hearing.queued };
        let speed = format!(
            "{:.2} s of work for a second of sound; {waits} to be heard, {} heard, {} of them doubted, {} by neighbours, \
             {} for neighbours.",
            f64::from(hearing.milli) / 1000.0,
            hearing.n_heard,
            hearing.n_doubted,
            hearing.n_away,
            hearing.n_for_others,
        );
        html.raw("<p>").text(&speed).raw("</p>\n");
    }
    end(html);
}

pub fn units(html: &mut Html, units: &Units) {
    begin(html, "Programs");
    if !units.known {
        none(html, "systemd could not be asked.");
    }
    html.raw("<ul>");
    for (idx, unit) in units.ours.iter().enumerate() {
        let name = unit.name.strip_suffix(".service").unwrap_or(&unit.name);
        html.raw("<li title=\"").text(&unit.description).raw("\">").text(name).raw(" <span class=\"badge ");
        html.text(&unit.active).raw("\" data-badge=\"units.ours.").text(&idx.to_string()).raw(".active\">");
        html.text(&unit.active).raw("</span>");
        match unit.n_restarts {
            0 => {}
            1 => badge(html, "bad", "restarted once"),
            n => badge(html, "bad", &format!("restarted {n} times")),
        }
        html.raw("</li>");
    }
    html.raw("</ul>\n");
    if !units.failed.is_empty() {
        html.raw("<p class=\"failed\">Failed: ").text(&units.failed.join(", ")).raw("</p>\n");
    }
    end(html);
}

pub fn boot(html: &mut Html, boot: Option<&Boot>) {
    begin(html, "Boot");
    let Some(boot) = boot else {
        none(html, "This system was not booted by duet.");
        return end(html);
    };
    html.raw("<dl>");
    fact(html, "release", |h| _ = h.text(&boot.release));
    let from = if boot.mode == "wrap" { "placed by iPXE" } else { "fetched by init" };
    fact(html, "root", |h| _ = h.raw(from));
    if let Some(attempt) = boot.attempt {
        fact(html, "attempt", |h| _ = h.text(&attempt.to_string()));
    }
    fact(html, "servers", |h| _ = h.text(&boot.servers.join(", ")));
    html.raw("</dl>\n");
    stages(html, &boot.stages);
    end(html);
}

fn stages(html: &mut Html, stages: &[BootStage]) {
    let longest = stages.iter().map(|s| s.milliseconds).max().unwrap_or(0).max(1);
    html.raw("<table>");
    for stage in stages {
        html.raw("<tr><th>").text(&stage.name).raw("</th><td><progress max=\"").text(&longest.to_string());
        html.raw("\" value=\"").text(&stage.milliseconds.to_string()).raw("\"></progress></td><td>");
        html.text(&format!("{:.2} s", stage.milliseconds as f64 / 1000.0)).raw("</td></tr>");
    }
    html.raw("</table>\n");
}

pub fn machine(html: &mut Html, status: &Status) {
    begin(html, "Machine");
    let processor = &status.processor;
    html.raw("<p>").text(&processor.model).raw("</p>\n<p>");
    for set in &processor.instruction_sets {
        badge(html, "plain", set);
    }
    html.raw("</p>\n");
    for trouble in &status.place.troubles {
        html.raw("<p>");
        badge(html, "bad", "settings");
        html.raw(" ").text(trouble).raw("</p>\n");
    }
    html.raw("<dl>");
    fact(html, "tier", |h| _ = h.text(&format!("{}: {}", status.place.tier.as_str(), status.place.why)));
    fact(html, "threads", |h| {
        _ = h.text(&format!("{} at {} MHz", processor.n_threads, processor.mhz));
    });
    fact(html, "load", |h| {
        h.live("load.one", "load", &format!("{:.2}", status.load.one)).raw(" · ");
        h.live("load.five", "load", &format!("{:.2}", status.load.five)).raw(" · ");
        h.live("load.fifteen", "load", &format!("{:.2}", status.load.fifteen));
    });
    fact(html, "kernel", |h| _ = h.text(&status.system.kernel));
    fact(html, "system", |h| _ = h.text(&status.system.distribution));
    fact(html, "agent", |h| _ = h.text(&status.system.agent_version));
    html.raw("</dl>\n");
    end(html);
}

/// A section as wide as the page, outside of its columns.
pub fn begin_wide(html: &mut Html, title: &'static str) {
    html.raw("<section class=\"wide\">\n<h2>").raw(title).raw("</h2>\n");
}

pub fn begin(html: &mut Html, title: &'static str) {
    html.raw("<section>\n<h2>").raw(title).raw("</h2>\n");
}

pub fn end(html: &mut Html) {
    html.raw("</section>\n");
}

pub fn none(html: &mut Html, sentence: &'static str) {
    html.raw("<p class=\"quiet\">").raw(sentence).raw("</p>\n");
}

pub fn badge(html: &mut Html, class: &'static str, text: &str) {
    html.raw(" <span class=\"badge ").raw(class).raw("\">").text(text).raw("</span>");
}

fn fact(html: &mut Html, name: &'static str, value: impl FnOnce(&mut Html)) {
    html.raw("<dt>").raw(name).raw("</dt><dd>");
    value(html);
    html.raw("</dd>");
}

fn kib(n: u64) -> String {
    bytes(n.saturating_mul(1024))
}

fn capital(state: &'static str) -> &'static str {
    match state {
        "healthy" => "Healthy",
        "failed" => "Failed",
        _ => "Starting",
    }
}
