//! Speaker and microphone tried out from the line. The agent lends its cards for so long; one that is away has none.

use super::Hands;
use super::line::{Closed, Line, Woken};
use super::menu::Choice;
use super::trying::AWAY;
use crate::hear::RATE;
use crate::sound::commands::verdict;
use crate::sound::finding;
use crate::sound::lent::Lent;
use crate::sound::local::LocalSound;
use crate::sound::loudness::{Meter, SILENT_DB};
use crate::sound::state::SideState;
use crate::talk::parts::{Event, Microphone, Speaker};
use crate::talk::{Events, post_for};
use admission::VoiceSettings;
use serde_json::json;
use std::io::Write;
use std::time::{Duration, Instant};

/// The agent gives its cards within ten seconds or says why not.
const LEND_TIME_MAX: Duration = Duration::from_secs(15);
const SET_TIME_MAX: Duration = Duration::from_secs(5);
/// Opening a card and playing a second takes less.
const PLAY_TIME_MAX: Duration = Duration::from_secs(10);
const TRY_TIME_MAX: Duration = Duration::from_secs(60);
const RECORD_S: usize = 3;
const TONE_RATE: u32 = 48_000;
const TONE_HZ: f32 = 440.0;
const TONE_LOUD: f32 = 8_000.0;
const BAR: usize = 50;
/// Between two lines of the meter: a slow cable carries 480 letters in this time.
const LEVEL_EVERY: Duration = Duration::from_millis(500);
const EVENTS_MAX: usize = 256;

/// A tone, then what the microphone hears in three seconds, played back.
pub fn both<W: Write>(line: &mut Line<W>, hands: &impl Hands) -> Result<(), Closed> {
    with_cards(line, hands, try_sound)
}

fn with_cards<W: Write, H: Hands>(
    line: &mut Line<W>,
    hands: &H,
    tried: impl FnOnce(&mut Line<W>, &H, &VoiceSettings) -> Result<(), Closed>,
) -> Result<(), Closed> {
    let Some(settings) = borrow(line, hands)? else { return Ok(()) };
    let end = tried(line, hands, &settings);
    hands.tell("back");
    end
}

fn try_sound<W: Write>(
    line: &mut Line<W>,
    hands: &impl Hands,
    settings: &VoiceSettings,
) -> Result<(), Closed> {
    let (post, events) = post_for(EVENTS_MAX);
    let sound = LocalSound::start(hands.root(), settings, &post, &Lent::default())?;
    line.say("A tone of one second.\n")?;
    let is_played = played(&sound, &events, 1, TONE_RATE, &tone());
    line.say(&device("speaker", &sound.state().speaker))?;
    line.say(&format!("Speak now, for {RECORD_S} seconds.\n"))?;
    let pcm = recorded(&sound, &events);
    line.say(&device("microphone", &sound.state().microphone))?;
    if pcm.is_empty() {
        return line.say("The microphone gave no sound.\n");
    }
    let mut meter = Meter::default();
    let loudest = pcm
        .chunks(crate::sound::FRAME_SAMPLES)
        .map(|frame| meter.handle(frame, RATE))
        .fold(SILENT_DB, f32::max);
    line.say(&format!("peak {loudest:.0} dB: {}\n", verdict(loudest)))?;
    if is_played {
        line.say("What was heard is played back.\n")?;
        played(&sound, &events, 2, RATE, &pcm);
    }
    Ok(())
}

/// How loud it is, line by line.
pub fn level<W: Write>(line: &mut Line<W>, hands: &impl Hands) -> Result<(), Closed> {
    with_cards(line, hands, show_level)
}

fn show_level<W: Write>(
    line: &mut Line<W>,
    hands: &impl Hands,
    settings: &VoiceSettings,
) -> Result<(), Closed> {
    let (post, events) = post_for(EVENTS_MAX);
    let sound = LocalSound::start(hands.root(), settings, &post, &Lent::default())?;
    sound.microphone().listen(true);
    line.say("Speak. Enter ends it.\n")?;
    let (began, mut meter) = (Instant::now(), Meter::default());
    while began.elapsed() < TRY_TIME_MAX {
        if matches!(line.wait(Some(LEVEL_EVERY))?, Woken::Line(_)) {
            break;
        }
        let frames = std::iter::from_fn(|| events.next(Duration::ZERO)).filter_map(|event| match event {
            Event::Frame(pcm) => Some(meter.handle(&pcm, RATE)),
            _ => None,
        });
        match frames.fold(None, |loudest: Option<f32>, db| Some(loudest.map_or(db, |other| other.max(db)))) {
            None => line.say(&device("microphone", &sound.state().microphone))?,
            Some(db) => line.say(&bar(db))?,
        }
    }
    line.say("The microphone rests again.\n")
}

fn bar(db: f32) -> String {
    let n = ((1.0 - db / SILENT_DB) * BAR as f32) as usize;
    format!("{db:>5.0} dB  {}\n", "#".repeat(n.min(BAR)))
}

/// All that there are, by numbers.
pub fn devices<W: Write>(line: &mut Line<W>, hands: &impl Hands) -> Result<(), Closed> {
    let mut text = String::new();
    for (idx, device) in finding::devices(hands.root()).iter().enumerate() {
        let can = match (device.can_play, device.can_record) {
            (true, true) => "speaker and microphone",
            (true, false) => "speaker",
            _ => "microphone",
        };
        text += &format!("{:>2}  {}  {} ({}): {can}\n", idx + 1, device.pcm, device.card, device.name);
    }
    if text.is_empty() {
        return line.say("no sound card was found\n");
    }
    line.say(
        &(text + "d m N takes N as microphone, d s N as speaker; 0 is the first that can. d v 50: volume.\n"),
    )
}

/// What the page's own choices do.
pub fn choose<W: Write>(line: &mut Line<W>, hands: &impl Hands, choice: Choice) -> Result<(), Closed> {
    let devices = finding::devices(hands.root());
    let name = |n: usize| match n.checked_sub(1) {
        None => Some(String::new()),
        Some(idx) => devices.get(idx).map(|device| device.pcm.clone()),
    };
    let over = match choice {
        Choice::Microphone(n) => name(n).map(|name| json!({"microphone": name})),
        Choice::Speaker(n) => name(n).map(|name| json!({"speaker": name})),
        Choice::Volume(percent) => Some(json!({"volume": percent})),
    };
    let Some(over) = over else { return line.say("There is no device of this number; d shows them.\n") };
    if !hands.tell(&format!("set {over}")) {
        return line.say(AWAY);
    }
    let until = Instant::now() + SET_TIME_MAX;
    loop {
        match line.wait(Some(until.saturating_duration_since(Instant::now())))? {
            Woken::Told(told) if told["kind"] == "set" => return line.say("It is so now.\n"),
            Woken::Told(told) if told["kind"] == "kept" => {
                return line.say(&format!("{}\n", told["sentence"].as_str().unwrap_or_default()));
            }
            Woken::Told(_) => {}
            Woken::Line(_) | Woken::Quiet => return line.say(AWAY),
        }
    }
}

/// The cards, as the owner wishes them; nothing where they cannot be had.
fn borrow<W: Write>(line: &mut Line<W>, hands: &impl Hands) -> Result<Option<VoiceSettings>, Closed> {
    let mut settings = VoiceSettings::default();
    // An agent that is away has no card either.
    if !hands.tell("lend") {
        return Ok(Some(settings));
    }
    let until = Instant::now() + LEND_TIME_MAX;
    loop {
        match line.wait(Some(until.saturating_duration_since(Instant::now())))? {
            Woken::Told(told) if told["kind"] == "lent" => {
                let name = |side: &str| told[side].as_str().map(str::to_owned);
                (settings.microphone, settings.speaker) = (name("microphone"), name("speaker"));
                let volume = told["volume"].as_u64().and_then(|volume| u8::try_from(volume).ok());
                settings.volume = volume.unwrap_or(settings.volume);
                return Ok(Some(settings));
            }
            Woken::Told(told) if told["kind"] == "kept" => {
                line.say(&format!("{}\n", told["sentence"].as_str().unwrap_or_default()))?;
                return Ok(None);
            }
            Woken::Told(_) => {}
            Woken::Line(_) | Woken::Quiet => {
                hands.tell("back");
                line.say("The agent did not let go of its sound cards.\n")?;
                return Ok(None);
            }
        }
    }
}

fn tone() -> Vec<i16> {
    let sample = |n: u32| (n as f32 * TONE_HZ / TONE_RATE as f32 * std::f32::consts::TAU).sin();
    (0..TONE_RATE).map(|n| (TONE_LOUD * sample(n)) as i16).collect()
}

/// Whether all of it left.
fn played(sound: &LocalSound, events: &Events, turn: u32, rate: u32, pcm: &[i16]) -> bool {
    let mut speaker = sound.speaker();
    for piece in pcm.chunks(rate as usize / 10) {
        speaker.play(turn, 0, rate, piece);
    }
    speaker.end(turn, 0);
    until(events, PLAY_TIME_MAX, |event| match event {
        Event::Spoken { turn: spoken, .. } if spoken == turn => Some(true),
        Event::SpeakerLost => Some(false),
        _ => None,
    })
    .unwrap_or(false)
}

fn recorded(sound: &LocalSound, events: &Events) -> Vec<i16> {
    let mut pcm = Vec::new();
    sound.microphone().listen(true);
    until(events, PLAY_TIME_MAX, |event| match event {
        Event::Frame(frame) => {
            pcm.extend_from_slice(&frame);
            (pcm.len() >= RECORD_S * RATE as usize).then_some(())
        }
        Event::MicrophoneLost => Some(()),
        _ => None,
    });
    sound.microphone().listen(false);
    pcm
}

fn until<T>(events: &Events, limit: Duration, mut is_it: impl FnMut(Event) -> Option<T>) -> Option<T> {
    let until = Instant::now() + limit;
    while let Some(event) = events.next(until.saturating_duration_since(Instant::now())) {
        if let Some(found) = is_it(event) {
            return Some(found);
        }
    }
    None
}

fn device(what: &str, side: &SideState) -> String {
    let name = side.device.as_deref().unwrap_or("none");
    let card = side.card.as_deref().map(|card| format!(" ({card})")).unwrap_or_default();
    let reason = side.reason.as_deref().map(|reason| format!("; {reason}")).unwrap_or_default();
    format!("{what}: {name}{card}, {} Hz, {} channels{reason}\n", side.rate, side.channels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_grows_with_the_sound_and_fits_the_line() {
        let n = |db| bar(db).matches('#').count();
        assert_eq!((n(SILENT_DB), n(0.0)), (0, BAR));
        assert!(n(-60.0) < n(-30.0) && bar(10.0).len() < 80);
    }

    #[test]
    fn the_tone_is_a_second_of_its_pitch() {
        let tone = tone();
        let rising = tone.windows(2).filter(|two| two[0] < 0 && two[1] >= 0).count();
        assert_eq!(tone.len(), TONE_RATE as usize);
        assert!((438..=441).contains(&rising), "{rising}");
    }
}
