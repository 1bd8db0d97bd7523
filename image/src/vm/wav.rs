//! Is a certain tone in a sound file? For the speaker of a virtual PC.
//!
//! It knows 16-bit PCM only, which is what QEMU writes, and trusts no length in the header:
//! QEMU fills them in only when it ends in an orderly way.

use anyhow::{Result, ensure};

/// Five minutes of CD sound; more is read by nobody.
pub const WAV_BYTES_MAX: u64 = 64 * 1024 * 1024;
const HEADER: usize = 44;
/// Samples in one measurement: a fiftieth of a second of CD sound, so that a short note fills one.
const WINDOW: usize = 882;
/// Below this mean energy of a sample a window is silence (an amplitude of 100).
const QUIET: f64 = 5_000.0;

/// How much of a sound is one tone.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub struct Tone {
    /// The loudest sample, 0 to 32767.
    pub peak: u16,
    /// The largest share that the asked frequency has of the energy of a window that is no silence, 0 to 1.
    pub share: f64,
    /// Windows in which the tone has more than half of the energy, as seconds.
    pub seconds: f64,
}

/// The first channel, and how often a second it was measured.
fn samples(wav: &[u8]) -> Result<(Vec<f64>, u32)> {
    ensure!(wav.len() >= HEADER && wav.starts_with(b"RIFF"), "this is no WAV file");
    let number = |at: usize| u16::from_le_bytes([wav[at], wav[at + 1]]);
    let (format, channels, bits) = (number(20), usize::from(number(22)), number(34));
    let rate = u32::from_le_bytes([wav[24], wav[25], wav[26], wav[27]]);
    ensure!(format == 1 && bits == 16, "this WAV file is not 16-bit PCM");
    ensure!(
        (1..=8).contains(&channels) && (1..=384_000).contains(&rate),
        "this WAV file has a broken header"
    );
    let frames = wav[HEADER..].chunks_exact(2 * channels);
    Ok((frames.map(|frame| f64::from(i16::from_le_bytes([frame[0], frame[1]]))).collect(), rate))
}

/// How many seconds of it are no silence.
pub fn sounding_s(wav: &[u8]) -> Result<f64> {
    let (samples, rate) = samples(wav)?;
    let windows = samples.chunks_exact(WINDOW);
    let n_loud = windows.filter(|window| energy_of(window) >= QUIET * WINDOW as f64).count();
    Ok((n_loud * WINDOW) as f64 / f64::from(rate))
}

/// Looks for a tone in the first channel.
pub fn find_tone(wav: &[u8], hertz: f64) -> Result<Tone> {
    let (samples, rate) = samples(wav)?;
    let mut tone = Tone::default();
    for window in samples.chunks_exact(WINDOW) {
        let (power, energy) = (power_at(window, hertz / f64::from(rate)), energy_of(window));
        if energy < QUIET * WINDOW as f64 {
            continue;
        }
        tone.share = tone.share.max(power / energy);
        if power > energy / 2.0 {
            tone.seconds += WINDOW as f64 / f64::from(rate);
        }
    }
    tone.peak = samples.iter().fold(0.0f64, |peak, sample| peak.max(sample.abs())).min(32767.0) as u16;
    Ok(tone)
}

fn energy_of(window: &[f64]) -> f64 {
    window.iter().map(|sample| sample * sample).sum()
}

/// The energy at one frequency (in turns per sample), by Goertzel's recurrence.
fn power_at(window: &[f64], turns: f64) -> f64 {
    let factor = 2.0 * (std::f64::consts::TAU * turns).cos();
    let (mut one, mut two) = (0.0, 0.0);
    for sample in window {
        (one, two) = (sample + factor * one - two, one);
    }
    (one * one + two * two - factor * one * two) * 2.0 / window.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wav(sample: impl Fn(f64) -> f64) -> Vec<u8> {
        let mut bytes = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x02\0".to_vec();
        bytes.extend(44_100u32.to_le_bytes());
        bytes.extend([0, 0, 0, 0, 4, 0, 16, 0]);
        bytes.extend(b"data\0\0\0\0");
        for n in 0..44_100 {
            let value = (sample(f64::from(n) / 44_100.0) * 10_000.0) as i16;
            bytes.extend(value.to_le_bytes());
            bytes.extend([0, 0]);
        }
        bytes
    }

    fn sine(hertz: f64) -> Vec<u8> {
        wav(|second| (std::f64::consts::TAU * hertz * second).sin())
    }

    #[test]
    fn a_pure_tone_has_all_of_the_energy() {
        let tone = find_tone(&sine(500.0), 500.0).unwrap();
        assert!(tone.share > 0.98 && tone.seconds > 0.9 && tone.peak > 9_900, "{tone:?}");
    }

    #[test]
    fn another_tone_has_none() {
        let tone = find_tone(&sine(900.0), 500.0).unwrap();
        assert!(tone.share < 0.01 && tone.seconds == 0.0, "{tone:?}");
    }

    #[test]
    fn silence_has_no_tone() {
        let tone = find_tone(&wav(|_| 0.0), 500.0).unwrap();
        assert_eq!((tone.peak, tone.seconds), (0, 0.0));
    }

    #[test]
    fn a_second_of_sound_sounds_for_a_second() {
        assert!((sounding_s(&sine(440.0)).unwrap() - 1.0).abs() < 0.03);
        assert_eq!(sounding_s(&wav(|_| 0.0)).unwrap(), 0.0);
    }

    #[test]
    fn a_short_or_strange_file_is_an_error() {
        assert!(find_tone(b"RIFF", 500.0).is_err());
        assert!(find_tone(&[0; 100], 500.0).is_err());
    }
}
