//! Any rate of a sound card to the 16 kHz of whisper.
//!
//! A windowed sinc, one row of taps for each place that an output sample can have between two input samples.
//! Speech needs no more: a tone that the new rate cannot carry is 40 dB down, and one it can is untouched.

use super::RATE;
use crate::sound::wav::Clip;
use std::f64::consts::PI;

/// Zero crossings of the sinc on each side.
const LOBES: f64 = 12.0;
/// The part of the band that is kept; the rest is the slope of the filter.
const KEPT: f64 = 0.94;

/// The clip at 16 kHz, from -1 to 1.
pub fn to_hearing(clip: &Clip) -> Vec<f32> {
    let float = |sample: &i16| f32::from(*sample) / 32768.0;
    let samples: Vec<f32> = clip.samples.iter().map(float).collect();
    if clip.rate == RATE { samples } else { convert(&samples, clip.rate, RATE) }
}

fn convert(samples: &[f32], from: u32, to: u32) -> Vec<f32> {
    let common = gcd(from, to);
    let (up, down) = ((to / common) as usize, (from / common) as usize);
    // Below the lower of the two rates nothing may be lost, above it nothing may be left.
    let band = KEPT * f64::from(to.min(from)) / f64::from(from);
    let half = (LOBES / band).ceil() as usize;
    let rows: Vec<Vec<f32>> = (0..up).map(|phase| taps(phase as f64 / up as f64, band, half)).collect();
    let n = (samples.len() * up).div_ceil(down);
    (0..n)
        .map(|idx| {
            let (at, phase) = (idx * down / up, idx * down % up);
            // Tap 0 belongs to the sample `half - 1` before `at`.
            let first = at as isize + 1 - half as isize;
            let skip = (-first).max(0) as usize;
            let window = &samples[(first + skip as isize) as usize..samples.len().min(at + half + 1)];
            rows[phase].iter().skip(skip).zip(window).map(|(tap, sample)| tap * sample).sum()
        })
        .collect()
}

/// The taps around a place `offset` behind a sample; they sum up to one.
fn taps(offset: f64, band: f64, half: usize) -> Vec<f32> {
    let tap = |idx: usize| {
        let x = idx as f64 + 1.0 - half as f64 - offset;
        let sinc = if x == 0.0 { 1.0 } else { (PI * band * x).sin() / (PI * band * x) };
        let window = (0.5 * PI * (x / half as f64).clamp(-1.0, 1.0)).cos().powi(2);
        sinc * window
    };
    let taps: Vec<f64> = (0..2 * half).map(tap).collect();
    let sum: f64 = taps.iter().sum();
    taps.iter().map(|tap| (tap / sum) as f32).collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(rate: u32, hz: f64) -> Vec<f32> {
        (0..rate / 4).map(|i| (2.0 * PI * hz * f64::from(i) / f64::from(rate)).sin() as f32).collect()
    }

    /// The largest difference from the same tone made at 16 kHz, or the loudness of one that must vanish.
    fn check(rate: u32, hz: f64, error_max: f32) {
        let got = convert(&tone(rate, hz), rate, RATE);
        assert_eq!(got.len(), (RATE / 4) as usize, "{rate} Hz");
        let want = if hz < 8000.0 { tone(RATE, hz) } else { vec![0.0; got.len()] };
        let inner = 200..got.len() - 200;
        let error = inner.map(|i| (got[i] - want[i]).abs()).fold(0.0, f32::max);
        assert!(error < error_max, "{rate} Hz, tone of {hz} Hz: {error}");
    }

    #[test]
    fn a_tone_of_speech_stays_itself() {
        for rate in [8_000, 11_025, 22_050, 24_000, 32_000, 44_100, 48_000] {
            check(rate, 440.0, 0.002);
            check(rate, 3000.0, 0.01);
        }
    }

    #[test]
    fn a_tone_that_the_new_rate_cannot_carry_vanishes() {
        check(44_100, 10_000.0, 0.01);
        check(48_000, 9_000.0, 0.01);
    }

    #[test]
    fn silence_of_no_length_stays_so() {
        assert!(convert(&[], 8_000, RATE).is_empty());
        assert_eq!(convert(&[0.0], 48_000, RATE), [0.0]);
    }
}
