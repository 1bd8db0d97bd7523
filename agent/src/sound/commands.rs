//! What the owner asks of sound at a terminal: which devices there are, and whether the microphone hears.

use super::devices::{Device, Side, candidates};
use super::finding::devices;
use super::lent::Lent;
use super::local::LocalSound;
use super::loudness::{Meter, SILENT_DB};
use super::open::{Ability, ability};
use crate::args;
use crate::hear::RATE;
use crate::talk::parts::{Event, Microphone};
use crate::talk::post_for;
use admission::VoiceSettings;
use anyhow::{Context, bail};
use serde::Serialize;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::time::{Duration, Instant};

/// Frames that may wait while the terminal is slow.
const EVENTS_MAX: usize = 256;
/// Nothing heard for so long is an error of its own.
const NOTHING_AFTER: Duration = Duration::from_secs(5);
/// How often the bar is drawn: in frames of 16 ms.
const FRAMES_A_DRAWING: usize = 6;
const BAR_WIDTH: usize = 50;

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    device: Device,
    play: Option<Ability>,
    record: Option<Ability>,
}

#[derive(Serialize)]
struct List {
    devices: Vec<Row>,
    /// What is tried in this order where the owner names none.
    microphones: Vec<String>,
    speakers: Vec<String>,
}

/// `agent devices`.
pub fn list(args: &args::Devices) -> anyhow::Result<String> {
    let devices = devices(&args.root);
    let list = List {
        microphones: candidates(&devices, None, Side::Microphone),
        speakers: candidates(&devices, None, Side::Speaker),
        devices: devices.into_iter().map(row).collect(),
    };
    match args.json {
        true => Ok(serde_json::to_string(&list).context("cannot write the devices as JSON")? + "\n"),
        false => Ok(text(&list)),
    }
}

fn row(device: Device) -> Row {
    let play = device.can_play.then(|| ability(&device.pcm, Side::Speaker));
    let record = device.can_record.then(|| ability(&device.pcm, Side::Microphone));
    Row { device, play, record }
}

fn text(list: &List) -> String {
    let mut text = String::new();
    for row in &list.devices {
        // Writing to a string cannot fail.
        _ = writeln!(text, "{}  {} ({})", row.device.pcm, row.device.card, row.device.name);
        for (what, ability) in [("plays", &row.play), ("records", &row.record)] {
            if let Some(ability) = ability {
                _ = writeln!(text, "    {what}: {ability}");
            }
        }
    }
    let first = |names: &[String]| names.first().map_or("none", String::as_str).to_string();
    if list.devices.is_empty() {
        text.push_str("no sound card was found\n");
    }
    _ = writeln!(text, "microphone  {}", first(&list.microphones));
    _ = writeln!(text, "speaker     {}", first(&list.speakers));
    text
}

/// `agent level`: a bar that shows how loud it is, and at the end the loudest that was heard.
pub fn level(args: &args::Level) -> anyhow::Result<()> {
    let (post, events) = post_for(EVENTS_MAX);
    let settings = VoiceSettings { microphone: args.microphone.clone(), ..VoiceSettings::default() };
    let sound = LocalSound::start(&args.root, &settings, &post, &Lent::default())
        .context("cannot start the microphone")?;
    sound.microphone().listen(true);
    let end = Duration::from_secs(args.seconds.into());
    let (began, mut meter, mut loudest, mut heard) = (Instant::now(), Meter::default(), SILENT_DB, 0);
    let is_terminal = std::io::stdout().is_terminal();
    while Duration::from_millis(heard as u64 * 16) < end {
        // Only the microphone's side is used; what the speaker's tells is nobody's matter here.
        match events.next(NOTHING_AFTER) {
            Some(Event::Frame(pcm)) => {
                let db = meter.handle(&pcm, RATE);
                loudest = db.max(loudest);
                if is_terminal && heard % FRAMES_A_DRAWING == 0 {
                    draw(db)?;
                }
                heard += 1;
            }
            Some(Event::MicrophoneLost) => bail!("{}", reason(&sound)),
            Some(_) => {}
            None => bail!("the microphone gave no sound for {} s", NOTHING_AFTER.as_secs()),
        }
        if began.elapsed() > 2 * end + NOTHING_AFTER {
            bail!("the microphone is slower than its rate");
        }
    }
    if is_terminal {
        println!();
    }
    let state = sound.state().microphone;
    println!(
        "{} at {} Hz, {} channels: peak {loudest:.0} dB, {} overruns, {} frames lost",
        state.device.unwrap_or_default(),
        state.rate,
        state.channels,
        state.n_xruns,
        state.n_lost
    );
    println!("{}", verdict(loudest));
    Ok(())
}

fn reason(sound: &LocalSound) -> String {
    sound.state().microphone.reason.unwrap_or_else(|| "there is no microphone".into())
}

fn draw(db: f32) -> anyhow::Result<()> {
    let n = ((1.0 - db / SILENT_DB) * BAR_WIDTH as f32) as usize;
    let bar = "#".repeat(n.min(BAR_WIDTH));
    let mut out = std::io::stdout();
    write!(out, "\r{db:>5.0} dB  {bar:<BAR_WIDTH$}")
        .and_then(|()| out.flush())
        .context("cannot write the level")
}

pub fn verdict(loudest_db: f32) -> &'static str {
    match loudest_db {
        db if db <= -80.0 => "it hears nothing: is it plugged in, and is its switch on?",
        db if db < -30.0 => "it is soft: go nearer, or take another microphone",
        db if db < -1.0 => "it is good for speech",
        _ => "it is too loud: go farther away",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_says_what_is_taken() {
        let device = Device {
            pcm: "plughw:1,0".into(),
            card: "HDA Intel".into(),
            name: "ALC888".into(),
            ..Device::default()
        };
        let record = Some(Ability::Unusable("plughw:1,0 is in use by another program".into()));
        let rates = Ability::Usable { rates: (44_100, 48_000), channels: (2, 8), has_16_khz: false };
        let list = List {
            devices: vec![Row { device, play: Some(rates), record }],
            microphones: vec!["plughw:1,0".into()],
            speakers: vec![],
        };
        assert_eq!(
            text(&list),
            "plughw:1,0  HDA Intel (ALC888)\n    plays: 44100 to 48000 Hz, 2 to 8 channels\n    \
             records: plughw:1,0 is in use by another program\nmicrophone  plughw:1,0\nspeaker     none\n"
        );
    }

    #[test]
    fn without_a_card_the_list_says_so() {
        let list = List { devices: vec![], microphones: vec![], speakers: vec![] };
        assert_eq!(text(&list), "no sound card was found\nmicrophone  none\nspeaker     none\n");
    }

    #[test]
    fn a_level_is_judged() {
        for (db, word) in [(-90.0, "nothing"), (-50.0, "soft"), (-12.0, "good"), (0.0, "too loud")] {
            assert!(verdict(db).contains(word), "{db}");
        }
    }
}
