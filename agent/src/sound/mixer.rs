//! The mixer of a card: after power-on most are muted or at nothing.
//!
//! Whatever leads to a speaker is opened and set to 0 dB, because the volume is ours; whatever leads from a microphone is
//! opened and set high, because what is heard too softly is understood badly. What cannot be set is left as it is.

use super::devices::Side;
use alsa::Round;
use alsa::mixer::{MilliBel, Mixer, Selem};

/// Controls that lie between a program and a speaker. Others, such as `Mic` on the way out or `Beep`, stay as they are.
const TO_SPEAKER: [&str; 10] =
    ["Master", "PCM", "Speaker", "Headphone", "Headset", "Front", "Line Out", "Surround", "DAC", "Digital"];
const FROM_MICROPHONE: [&str; 6] = ["Capture", "Digital", "Mic", "Front Mic", "Rear Mic", "Headset"];
/// Parts of a hundred of the way up, where a control knows no dB, and for microphones.
const HIGH_PERCENT: i64 = 80;
/// Of a microphone's amplifier, where it has one of its own; whole it is mostly noise.
const BOOST_PERCENT: i64 = 34;

/// `pcm` is a name as `plughw:1,0`; others have no mixer of their own.
pub fn open_up(pcm: &str, side: Side) {
    let Some(card) = pcm.split_once(':').filter(|(kind, _)| kind.ends_with("hw")) else { return };
    let card = card.1.split(',').next().unwrap_or_default();
    // A card without a mixer needs none.
    let Ok(mixer) = Mixer::new(&format!("hw:{card}"), true) else { return };
    for control in mixer.iter().filter_map(Selem::new) {
        let id = control.get_id();
        let Ok(name) = id.get_name() else { continue };
        // A control that refuses is left alone: the meter and the ear will tell.
        _ = match side {
            Side::Speaker if TO_SPEAKER.contains(&name) => to_speaker(&control),
            Side::Microphone if FROM_MICROPHONE.contains(&name) => from_microphone(&control, HIGH_PERCENT),
            Side::Microphone if name.ends_with("Boost") => from_microphone(&control, BOOST_PERCENT),
            _ => Ok(()),
        };
    }
}

fn to_speaker(control: &Selem) -> alsa::Result<()> {
    if control.has_playback_switch() {
        control.set_playback_switch_all(1)?;
    }
    if !control.has_playback_volume() {
        return Ok(());
    }
    let (MilliBel(least), MilliBel(most)) = control.get_playback_db_range();
    if least < most {
        return control.set_playback_db_all(MilliBel(most.min(0)), Round::Floor);
    }
    control.set_playback_volume_all(part(control.get_playback_volume_range(), HIGH_PERCENT))
}

fn from_microphone(control: &Selem, percent: i64) -> alsa::Result<()> {
    if control.has_capture_switch() {
        control.set_capture_switch_all(1)?;
    }
    if control.has_capture_volume() {
        return control.set_capture_volume_all(part(control.get_capture_volume_range(), percent));
    }
    // Boosts of some cards pass for volumes of the way out.
    if percent == BOOST_PERCENT && control.has_playback_volume() {
        return control.set_playback_volume_all(part(control.get_playback_volume_range(), percent));
    }
    Ok(())
}

fn part((least, most): (i64, i64), percent: i64) -> i64 {
    least + most.saturating_sub(least).saturating_mul(percent) / 100
}
