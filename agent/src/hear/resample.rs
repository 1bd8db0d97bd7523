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

/// Rates that sound may come in as it is made; each has few rows of taps for 16 kHz.
pub const STREAM_RATES: [u32; 9] = [8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000];

/// Sound that comes piece by piece, to 16 kHz as it comes. It is late by `half` samples of what comes in.
#[derive(Debug)]
pub struct Stream {
    rows: Vec<Vec<f32>>,
    up: usize,
    down: usize,
    half: usize,
    /// What the next output sample needs, and what came after it.
    recent: Vec<f32>,
    /// Where the next output sample lies: behind this one of `recent`, by so many parts of `up`.
    at: usize,
    phase: usize,
}

impl Stream {
    /// `None` for a rate that is not one of [`STREAM_RATES`].
    pub fn new(from: u32) -> Option<Stream> {
        if !STREAM_RATES.contains(&from) {
            return None;
        }
        let common = gcd(from, RATE);
        let (up, down) = ((RATE / common) as usize, (from / common) as usize);
        let band = KEPT * f64::from(RATE.min(from)) / f64::from(from);
        let half = (LOBES / band).ceil() as usize;
        let is_same = from == RATE;
        let rows = if is_same { 0 } else { up };
        let rows = (0..rows).map(|phase| taps(phase as f64 / up as f64, band, half)).collect();
        // Silence before the first sample.
        let recent = vec![0.0; half - 1];
        Some(Stream { rows, up, down, half, recent, at: half - 1, phase: 0 })
    }

    /// Adds what this piece makes to `out`.
    pub fn push(&mut self, pcm: &[i16], out: &mut Vec<i16>) {
        if self.rows.is_empty() {
            return out.extend_from_slice(pcm);
        }
        self.recent.extend(pcm.iter().map(|sample| f32::from(*sample)));
        while self.at + self.half < self.recent.len() {
            let window = &self.recent[self.at + 1 - self.half..];
            let sum: f32 = self.rows[self.phase].iter().zip(window).map(|(tap, sample)| tap * sample).sum();
            // A float that is out of range becomes the nearest sample.
            out.push(sum.round() as i16);
            self.phase += self.down;
            self.at += self.phase / self.up;
            self.phase %= self.up;
        }
        // Where few samples come out, the next one may lie beyond what is here.
        let old = (self.at + 1 - self.half).min(self.recent.len());
        self.recent.drain(..old);
        self.at -= old;
    }
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

    #[test]
    fn sound_that_comes_in_pieces_is_the_same_as_at_once() {
        for rate in STREAM_RATES {
            let whole: Vec<i16> = tone(rate, 440.0).iter().map(|sample| (sample * 20_000.0) as i16).collect();
            let floats: Vec<f32> = whole.iter().map(|sample| f32::from(*sample)).collect();
            let want = if rate == RATE { floats } else { convert(&floats, rate, RATE) };
            for piece in [1, 7, 160, 4096] {
                let (mut stream, mut got) = (Stream::new(rate).unwrap(), vec![]);
                whole.chunks(piece).for_each(|piece| stream.push(piece, &mut got));
                let late = want.len() - got.len();
                assert!(late < 40, "{rate} Hz, pieces of {piece}: {late} samples late");
                let error = got.iter().zip(&want).map(|(a, b)| (f32::from(*a) - b).abs()).fold(0.0, f32::max);
                assert!(error <= 1.0, "{rate} Hz, pieces of {piece}: {error}");
            }
        }
        assert!(Stream::new(47_999).is_none());
    }
}
