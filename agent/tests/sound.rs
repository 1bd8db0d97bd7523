//! Sound through the real libasound, without a card: devices that are files, as a configuration of ALSA's describes them.
//!
//! libasound reads its configuration from the environment, so each case is a process of its own: this program again, with
//! the name of the case in a variable. The devices keep no time, so nothing here waits for sound.

#![cfg(feature = "sound")]
#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use admission::VoiceSettings;
use agent::sound::lent::{Lent, REASON};
use agent::sound::local::LocalSound;
use agent::sound::wav;
use agent::talk::parts::{Event, Microphone, Speaker};
use agent::talk::{Events, post_for};
use std::f64::consts::PI;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

#[path = "../../tests/src/skip.rs"]
mod skip;

const CASE: &str = "DUET_SOUND_CASE";
const FOLDER: &str = "DUET_SOUND_FOLDER";
/// libasound's own configuration, of Debian's libasound2-data.
const ALSA: &str = "/usr/share/alsa/alsa.conf";
/// Nothing here takes that long; a case that hangs fails by it.
const LIMIT: Duration = Duration::from_secs(60);
/// Frames that a device without a clock gives at once.
const EVENTS_MAX: usize = 4096;

fn configuration(folder: &Path) -> String {
    let file = |name: &str| folder.join(name).display().to_string();
    let mut text = String::new();
    for (name, rate, channels) in
        [("16", 16_000, 1), ("44", 44_100, 2), ("48", 48_000, 2), ("48mono", 48_000, 1)]
    {
        text += &format!(
            "pcm.in{name} {{ type file slave.pcm null file /dev/null infile \"{}\" format raw }}\n\
             pcm.mic{name} {{ type plug slave {{ pcm in{name} rate {rate} channels {channels} format S16_LE }} }}\n\
             pcm.out{name} {{ type file slave.pcm null file \"{}\" format wav }}\n\
             pcm.spk{name} {{ type plug slave {{ pcm out{name} rate {rate} channels {channels} format S16_LE }} }}\n",
            file("mic.raw"),
            file("spk.wav"),
        );
    }
    text + "pcm.garbage { type nonsense }\npcm.hollow { type file slave.pcm \"missing\" file /dev/null format wav }\n"
}

/// Runs the case of this name in a process of its own, with a folder of its own.
fn alone(case: &str, microphone: &[i16]) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("duet-sound-{case}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let raw: Vec<u8> = microphone.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    std::fs::write(folder.join("mic.raw"), raw).unwrap();
    std::fs::write(folder.join("asound.conf"), configuration(&folder)).unwrap();
    let path = format!("{ALSA}:{}", folder.join("asound.conf").display());
    let ran = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "inner", "--nocapture"])
        .envs([("ALSA_CONFIG_PATH", &*path), (CASE, case), (FOLDER, folder.to_str().unwrap())])
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{case}:\n{out}\n{err}");
    // What libasound has to say is for the state, not for the journal.
    assert!(!err.contains("ALSA lib"), "{case}: {err}");
    folder
}

fn has_libasound() -> bool {
    let is_there = Path::new(ALSA).exists();
    if !is_there {
        skip::skip("sound", &format!("{ALSA} is not there (package libasound2-data)"));
    }
    is_there
}

/// What runs in the process of its own; without a case it is no test.
#[test]
fn inner() {
    let Ok(case) = std::env::var(CASE) else { return };
    let folder = PathBuf::from(std::env::var(FOLDER).unwrap());
    let (kind, device) = case.split_once('-').unwrap();
    match kind {
        "hear" => hear(device),
        "play" => play(device, &folder),
        "hush" => hush(device),
        "refuse" => refuse(device),
        "prefer" => prefer(&folder),
        "vanish" => vanish(&folder),
        "lend" => lend(),
        other => panic!("no case {other}"),
    }
}

struct Talk {
    sound: LocalSound,
    events: Events,
}

fn talk(microphone: &str, speaker: &str) -> Talk {
    let (post, events) = post_for(EVENTS_MAX);
    let settings = settings(microphone, speaker);
    Talk {
        sound: LocalSound::start(Path::new("/nothing"), &settings, &post, &Lent::default()).unwrap(),
        events,
    }
}

fn settings(microphone: &str, speaker: &str) -> VoiceSettings {
    let (microphone, speaker) = (Some(microphone.to_string()), Some(speaker.to_string()));
    VoiceSettings { microphone, speaker, volume: 100, ..VoiceSettings::default() }
}

/// The next event that this takes.
fn until<T>(events: &Events, mut take: impl FnMut(Event) -> Option<T>) -> T {
    loop {
        if let Some(found) = take(events.next(LIMIT).expect("an event within the limit")) {
            return found;
        }
    }
}

/// Each of the two, in any order.
fn until_both(events: &Events, is_it: [fn(&Event) -> bool; 2]) {
    let mut seen = [false; 2];
    while seen != [true; 2] {
        let event = events.next(LIMIT).expect("an event within the limit");
        seen = [seen[0] || is_it[0](&event), seen[1] || is_it[1](&event)];
    }
}

fn until_both_lost(events: &Events) {
    let is_lost = [
        |event: &Event| matches!(event, Event::MicrophoneLost),
        |event: &Event| matches!(event, Event::SpeakerLost),
    ];
    until_both(events, is_lost);
}

fn until_both_back(events: &Events) {
    let is_back = [
        |event: &Event| matches!(event, Event::MicrophoneBack),
        |event: &Event| matches!(event, Event::SpeakerBack),
    ];
    until_both(events, is_back);
}

fn tone(rate: u32, hz: f64, seconds: f64) -> Vec<i16> {
    let n = (f64::from(rate) * seconds) as usize;
    (0..n).map(|i| (12_000.0 * (2.0 * PI * hz * i as f64 / f64::from(rate)).sin()) as i16).collect()
}

/// How much of the sound is a tone of this pitch: 1 is all, 0 nothing.
fn part_of_tone(pcm: &[i16], rate: u32, hz: f64) -> f64 {
    let (mut sine, mut cosine, mut power) = (0.0, 0.0, 0.0);
    for (i, sample) in pcm.iter().enumerate() {
        let (phase, sample) = (2.0 * PI * hz * i as f64 / f64::from(rate), f64::from(*sample));
        sine += sample * phase.sin();
        cosine += sample * phase.cos();
        power += sample * sample;
    }
    2.0 * (sine * sine + cosine * cosine) / (pcm.len() as f64 * power.max(1.0))
}

fn hear(device: &str) {
    let talk = talk(&format!("mic{device}"), "spk16");
    talk.sound.microphone().listen(true);
    let mut heard = vec![];
    while heard.len() < 16_000 {
        heard.extend(until(&talk.events, |event| match event {
            Event::Frame(pcm) => Some(pcm),
            Event::MicrophoneLost => panic!("lost: {:?}", talk.sound.state()),
            _ => None,
        }));
    }
    let part = part_of_tone(&heard[1_000..16_000], 16_000, 500.0);
    assert!(part > 0.999, "{part}");
    let state = talk.sound.state().microphone;
    let rate = match device {
        "16" => 16_000,
        "44" => 44_100,
        _ => 48_000,
    };
    assert_eq!((state.rate, state.is_running, state.reason), (rate, true, None));
    assert!(state.peak_db.is_some_and(|db| db > -12.0));
}

fn play(device: &str, folder: &Path) {
    let talk = talk("mic16", &format!("spk{device}"));
    let mut speaker = talk.sound.speaker();
    for clause_idx in 0..2 {
        // In one piece: a device without a clock is faster than any that come after each other.
        speaker.play(1, clause_idx, 22_050, &tone(22_050, 500.0, 0.5));
        speaker.end(1, clause_idx);
    }
    let mut story = vec![];
    while story.len() < 4 {
        story.push(until(&talk.events, |event| match event {
            Event::Sounding { clause_idx, .. } => Some(format!("sounding {clause_idx}")),
            Event::Spoken { clause_idx, .. } => Some(format!("spoken {clause_idx}")),
            Event::SpeakerLost => panic!("lost: {:?}", talk.sound.state()),
            _ => None,
        }));
    }
    assert_eq!(story, ["sounding 0", "spoken 0", "sounding 1", "spoken 1"]);
    let rate = talk.sound.state().speaker.rate;
    // Closed, so that the file is whole.
    drop(talk);
    let clip = wav::read(&std::fs::read(folder.join("spk.wav")).unwrap()).unwrap();
    assert_eq!(clip.rate, rate);
    let begin = clip.samples.iter().position(|sample| sample.abs() > 300).unwrap();
    let part = part_of_tone(&clip.samples[begin..begin + rate as usize * 49 / 100], rate, 500.0);
    assert!(part > 0.999, "{part}");
    let n_loud = clip.samples.iter().filter(|sample| sample.abs() > 300).count();
    let all = rate as usize;
    assert!((all * 9 / 10..=all).contains(&n_loud), "{n_loud} of {all}");
}

/// A hush before anything is told leaves nothing to tell, and the next turn is heard.
fn hush(device: &str) {
    let talk = talk("mic16", &format!("spk{device}"));
    let mut speaker = talk.sound.speaker();
    speaker.hush(1);
    speaker.play(1, 0, 22_050, &tone(22_050, 500.0, 0.2));
    speaker.end(1, 0);
    speaker.earcon(voice::turn::Earcon::Listening);
    speaker.play(2, 0, 22_050, &tone(22_050, 500.0, 0.2));
    speaker.end(2, 0);
    let turn = until(&talk.events, |event| match event {
        Event::Sounding { turn, .. } => Some(turn),
        _ => None,
    });
    assert_eq!(turn, 2);
}

/// A device that cannot be opened is lost with a sentence, and told again to whoever begins to listen or to speak.
fn refuse(device: &str) {
    let talk = talk(device, device);
    until_both_lost(&talk.events);
    talk.sound.microphone().listen(true);
    until(&talk.events, |event| matches!(event, Event::MicrophoneLost).then_some(()));
    talk.sound.speaker().end(1, 0);
    until(&talk.events, |event| matches!(event, Event::SpeakerLost).then_some(()));
    let state = talk.sound.state();
    for side in [state.microphone, state.speaker] {
        assert!(side.reason.as_ref().is_some_and(|reason| reason.contains(device)), "{side:?}");
        assert_eq!((side.device, side.is_running), (None, false));
    }
}

/// A first choice that cannot be opened is not the last word: another card is taken, and the first tried again.
fn prefer(folder: &Path) {
    let file = folder.join("asound.conf");
    let whole = std::fs::read_to_string(&file).unwrap();
    let write = |text: &str| {
        std::fs::write(folder.join("new.conf"), text).unwrap();
        std::fs::rename(folder.join("new.conf"), &file).unwrap();
    };
    // What the kernel calls plughw:1,0 is here what ALSA's configuration says; the wished one comes later.
    std::fs::create_dir_all(folder.join("proc/asound")).unwrap();
    std::fs::write(folder.join("proc/asound/cards"), " 1 [Null           ]: Null - A card without sound\n")
        .unwrap();
    std::fs::write(folder.join("proc/asound/pcm"), "01-00: Null : Null : playback 1 : capture 1\n").unwrap();
    let card = "pcm.!plughw { @args [ CARD DEV ] @args.CARD { type string } @args.DEV { type integer } type null }\n";
    write(&format!("{}{card}", whole.replace("pcm.mic44 ", "pcm.later ")));
    let (post, events) = post_for(EVENTS_MAX);
    let sound = LocalSound::start(folder, &settings("mic44", "spk16"), &post, &Lent::default()).unwrap();
    sound.microphone().listen(true);
    until(&events, |event| matches!(event, Event::Frame(_)).then_some(()));
    let state = sound.state().microphone;
    assert_eq!(state.device.as_deref(), Some("plughw:1,0"));
    assert_eq!(state.card.as_deref(), Some("A card without sound"));
    assert_eq!(state.reason.as_deref(), Some("there is no sound device mic44"));
    sound.microphone().listen(false);
    write(&format!("{whole}{card}"));
    let limit = std::time::Instant::now() + LIMIT;
    while sound.state().microphone.device.as_deref() != Some("mic44") {
        assert!(std::time::Instant::now() < limit, "{:?}", sound.state());
        _ = events.next(Duration::from_millis(20));
    }
    assert_eq!(sound.state().microphone.reason, None);
}

/// The owner names a device that is no more; then it is there again.
fn vanish(folder: &Path) {
    let file = folder.join("asound.conf");
    let whole = std::fs::read_to_string(&file).unwrap();
    let talk = talk("mic16", "spk16");
    talk.sound.microphone().listen(true);
    until(&talk.events, |event| matches!(event, Event::Frame(_)).then_some(()));
    talk.sound.microphone().listen(false);
    // libasound notices another file, but not another text of the same second.
    let write = |text: &str| {
        std::fs::write(folder.join("new.conf"), text).unwrap();
        std::fs::rename(folder.join("new.conf"), &file).unwrap();
    };
    write("# nothing\n");
    talk.sound.set(&settings("mic48", "spk48"));
    until_both_lost(&talk.events);
    assert_eq!(talk.sound.state().microphone.reason.as_deref(), Some("there is no sound device mic48"));
    write(&whole);
    until_both_back(&talk.events);
    talk.sound.microphone().listen(true);
    until(&talk.events, |event| matches!(event, Event::Frame(_)).then_some(()));
    assert_eq!(talk.sound.state().microphone.device.as_deref(), Some("mic48"));
}

/// Another program of the PC has the cards for a while.
fn lend() {
    let (post, events) = post_for(EVENTS_MAX);
    let lent = Lent::default();
    let sound = LocalSound::start(Path::new("/nothing"), &settings("mic16", "spk16"), &post, &lent).unwrap();
    sound.microphone().listen(true);
    until(&events, |event| matches!(event, Event::Frame(_)).then_some(()));
    sound.microphone().listen(false);
    let loan = lent.ask();
    until_both_lost(&events);
    assert!(loan.is_free());
    for side in [sound.state().microphone, sound.state().speaker] {
        assert_eq!((side.device, side.reason.as_deref()), (None, Some(REASON)));
    }
    drop(loan);
    until_both_back(&events);
    assert_eq!(sound.state().speaker.device.as_deref(), Some("spk16"));
}

fn check(case: &str, microphone: &[i16]) {
    if has_libasound() {
        let folder = alone(case, microphone);
        std::fs::remove_dir_all(folder).unwrap();
    }
}

fn stereo(mono: &[i16]) -> Vec<i16> {
    mono.iter().flat_map(|sample| [*sample; 2]).collect()
}

#[test]
fn a_microphone_of_16_khz_is_heard_as_it_is() {
    check("hear-16", &tone(16_000, 500.0, 2.0));
}

#[test]
fn microphones_of_44_and_48_khz_are_heard_at_16() {
    check("hear-44", &stereo(&tone(44_100, 500.0, 2.0)));
    check("hear-48", &stereo(&tone(48_000, 500.0, 2.0)));
    check("hear-48mono", &tone(48_000, 500.0, 2.0));
}

#[test]
fn speakers_of_any_rate_play_all_that_they_are_given_and_tell_where_they_are() {
    for device in ["16", "44", "48", "48mono"] {
        check(&format!("play-{device}"), &[]);
    }
}

#[test]
fn a_hushed_turn_is_never_told() {
    check("hush-48", &[]);
}

#[test]
fn a_device_that_cannot_be_opened_is_lost_with_a_sentence() {
    for device in ["garbage", "hollow", "missing", "plughw:7,3"] {
        check(&format!("refuse-{device}"), &[]);
    }
}

#[test]
fn another_card_is_taken_until_the_wished_one_can_be_opened() {
    check("prefer-all", &[]);
}

#[test]
fn a_device_that_vanished_comes_back() {
    check("vanish-all", &[]);
}

#[test]
fn cards_that_are_lent_are_let_go_and_taken_again() {
    check("lend-all", &[]);
}
