//! Any rate of sound into any other, piece by piece as it comes.
//!
//! A windowed sinc, one row of taps for each place that an output sample can have between two input samples. The window
//! is Kaiser's: what the lower of the two rates cannot carry is 70 dB down, but for a slope of 6 % around its end.

use std::f64::consts::PI;

/// What is slower or faster is no sound card and no voice.
pub const RATES: std::ops::RangeInclusive<u32> = 4_000..=192_000;

/// How far what must vanish is down, in dB.
const STOPPED_DB: f64 = 70.0;
/// The slope of the filter, in parts of half the lower rate.
const KEPT: f64 = 0.85;
const STOPPED: f64 = 1.06;
/// Rates without a common measure would need a row for every output sample; the nearest of so many is 66 dB good.
const ROWS_MAX: usize = 1024;
/// Products that are summed side by side.
const LANES: usize = 4;

/// One stream of one channel.
#[derive(Debug, Clone)]
pub struct Resampler {
    up: usize,
    down: usize,
    n_rows: usize,
    /// Taps on each side of a place; a multiple of half the lanes.
    half: usize,
    rows: Vec<f32>,
    /// What may still be needed of the input; it begins with what was before the first sample, which is silence.
    window: Vec<f32>,
    /// Where in the window the next output sample lies, and how far behind that sample in parts of `up`.
    at: usize,
    phase: usize,
}

impl Resampler {
    /// Nothing if a rate is out of `RATES`.
    pub fn new(from: u32, to: u32) -> Option<Resampler> {
        if !RATES.contains(&from) || !RATES.contains(&to) {
            return None;
        }
        let common = gcd(from, to);
        let (up, down) = ((to / common) as usize, (from / common) as usize);
        let (n_rows, half, rows) = if from == to { (1, 0, Vec::new()) } else { filter(from, to, up) };
        let window = vec![0.0; half.saturating_sub(1)];
        Some(Resampler { up, down, n_rows, half, rows, at: window.len(), window, phase: 0 })
    }

    /// Takes the next piece, and appends what can be said by now.
    pub fn push(&mut self, pcm: &[i16], out: &mut Vec<i16>) {
        if self.half == 0 {
            return out.extend_from_slice(pcm);
        }
        self.window.extend(pcm.iter().map(|sample| f32::from(*sample)));
        self.make(self.window.len().saturating_sub(self.half), |sample| out.push(to_i16(sample)));
        self.forget();
    }

    /// The stream ends here: appends what was held back, and begins anew.
    pub fn finish(&mut self, out: &mut Vec<i16>) {
        if self.half == 0 {
            return;
        }
        let end = self.window.len();
        self.window.resize(end + self.half, 0.0);
        self.make(end, |sample| out.push(to_i16(sample)));
        self.window.clear();
        self.window.resize(self.half - 1, 0.0);
        (self.at, self.phase) = (self.half - 1, 0);
    }

    /// All output samples that lie before place `end` of the window.
    fn make(&mut self, end: usize, mut sink: impl FnMut(f32)) {
        let n_taps = 2 * self.half;
        while self.at < end {
            let row = self.phase * self.n_rows / self.up;
            let taps = &self.rows[row * n_taps..][..n_taps];
            // Tap 0 belongs to the sample `half - 1` before `at`.
            sink(dot(taps, &self.window[self.at + 1 - self.half..][..n_taps]));
            self.phase += self.down;
            self.at += self.phase / self.up;
            self.phase %= self.up;
        }
    }

    fn forget(&mut self) {
        let n_old = (self.at + 1).saturating_sub(self.half).min(self.window.len());
        self.window.drain(..n_old);
        self.at -= n_old;
    }
}

/// A whole clip at once.
pub fn convert(pcm: &[i16], from: u32, to: u32) -> Option<Vec<i16>> {
    let mut resampler = Resampler::new(from, to)?;
    let mut out = Vec::new();
    resampler.push(pcm, &mut out);
    resampler.finish(&mut out);
    Some(out)
}

fn dot(taps: &[f32], window: &[f32]) -> f32 {
    let (mut a, mut b, mut c, mut d) = (0.0_f32, 0.0_f32, 0.0_f32, 0.0_f32);
    // Written out, because a compiler that is told to make small code unrolls no loop over lanes.
    for (taps, window) in taps.as_chunks::<LANES>().0.iter().zip(window.as_chunks::<LANES>().0) {
        a += taps[0] * window[0];
        b += taps[1] * window[1];
        c += taps[2] * window[2];
        d += taps[3] * window[3];
    }
    a + b + c + d
}

fn to_i16(sample: f32) -> i16 {
    // A cast saturates. `round` would be a call of libm on a processor without SSE4.1.
    (sample + 0.5_f32.copysign(sample)) as i16
}

/// The number of rows, the taps on each side, and the taps row by row.
fn filter(from: u32, to: u32, up: usize) -> (usize, usize, Vec<f32>) {
    let lower = f64::from(to.min(from)) / f64::from(from);
    // Kaiser's formula for the number of taps that a slope needs.
    let slope = PI * (STOPPED - KEPT) * lower;
    let half = ((STOPPED_DB - 8.0) / (2.285 * slope) / 2.0).ceil() as usize;
    let half = half.next_multiple_of(LANES / 2);
    let n_rows = up.min(ROWS_MAX);
    let band = (STOPPED + KEPT) / 2.0 * lower;
    let rows = (0..n_rows).flat_map(|row| taps(row as f64 / n_rows as f64, band, half)).collect();
    (n_rows, half, rows)
}

/// The taps around a place `offset` behind a sample; they sum up to one.
fn taps(offset: f64, band: f64, half: usize) -> Vec<f32> {
    let beta = 0.1102 * (STOPPED_DB - 8.7);
    let whole = bessel(beta);
    let tap = |idx: usize| {
        let x = idx as f64 + 1.0 - half as f64 - offset;
        let sinc = if x == 0.0 { 1.0 } else { (PI * band * x).sin() / (PI * band * x) };
        let place = (x / half as f64).clamp(-1.0, 1.0);
        sinc * bessel(beta * (1.0 - place * place).sqrt()) / whole
    };
    let taps: Vec<f64> = (0..2 * half).map(tap).collect();
    let sum: f64 = taps.iter().sum();
    taps.iter().map(|tap| (tap / sum) as f32).collect()
}

/// The modified Bessel function of order 0, by its series.
fn bessel(x: f64) -> f64 {
    let (mut sum, mut term, mut k) = (1.0, 1.0, 1.0);
    while term > 1e-10 * sum {
        term *= (x / (2.0 * k)).powi(2);
        sum += term;
        k += 1.0;
    }
    sum
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOUD: f64 = 20_000.0;

    fn tone(rate: u32, hz: f64) -> Vec<i16> {
        (0..rate / 4)
            .map(|i| (LOUD * (2.0 * PI * hz * f64::from(i) / f64::from(rate)).sin()) as i16)
            .collect()
    }

    /// How far what differs from the same tone at the new rate is below it, in dB; a tone that the rate cannot carry
    /// should be silence.
    fn rejected_db(from: u32, to: u32, hz: f64) -> f64 {
        let got = convert(&tone(from, hz), from, to).unwrap();
        let n_wanted = (u64::from(from / 4) * u64::from(to)).div_ceil(u64::from(from));
        assert_eq!(got.len() as u64, n_wanted, "{from} to {to} Hz");
        let is_kept = 2.0 * hz < f64::from(to);
        let mut want = if is_kept { tone(to, hz) } else { vec![] };
        want.resize(got.len(), 0);
        let inner = got.len() / 8..got.len() * 7 / 8;
        let power: f64 = inner.clone().map(|i| f64::from(got[i] - want[i]).powi(2)).sum();
        let mean = (power / inner.len() as f64).sqrt();
        20.0 * (LOUD / 2.0_f64.sqrt() / mean.max(0.1)).log10()
    }

    #[track_caller]
    fn check(from: u32, to: u32, hz: f64, db_least: f64) {
        let db = rejected_db(from, to, hz);
        assert!(db >= db_least, "{from} to {to} Hz, tone of {hz} Hz: {db:.1} dB");
    }

    #[test]
    fn a_tone_of_speech_stays_itself() {
        for (from, to) in
            [(48_000, 16_000), (44_100, 16_000), (22_050, 48_000), (22_050, 44_100), (16_000, 48_000)]
        {
            for hz in [110.0, 440.0, 1000.0, 3000.0, 5000.0] {
                check(from, to, hz, 60.0);
            }
        }
    }

    #[test]
    fn what_the_new_rate_cannot_carry_is_65_db_down() {
        for hz in [8_600.0, 9_000.0, 11_000.0, 15_000.0, 20_000.0, 23_000.0] {
            check(48_000, 16_000, hz, 65.0);
        }
        for hz in [8_600.0, 10_000.0, 15_900.0, 21_000.0] {
            check(44_100, 16_000, hz, 65.0);
        }
        check(96_000, 16_000, 40_000.0, 65.0);
    }

    #[test]
    fn rates_without_a_common_measure_are_converted_too() {
        check(44_101, 16_000, 1000.0, 50.0);
        check(15_999, 48_000, 1000.0, 50.0);
    }

    #[test]
    fn pieces_of_any_length_give_what_the_whole_gives() {
        for (from, to) in [(48_000, 16_000), (44_100, 16_000), (22_050, 48_000), (16_000, 16_000)] {
            let whole = tone(from, 523.0);
            let mut resampler = Resampler::new(from, to).unwrap();
            let (mut got, mut rest, mut dice) = (vec![], &whole[..], 7_usize);
            while !rest.is_empty() {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let (piece, after) = rest.split_at((dice >> 33) % 700 % (rest.len() + 1));
                resampler.push(piece, &mut got);
                rest = after;
            }
            resampler.finish(&mut got);
            assert_eq!(got, convert(&whole, from, to).unwrap(), "{from} to {to} Hz, seed 7");
        }
    }

    #[test]
    fn a_stream_that_ended_leaves_nothing_to_the_next() {
        let mut resampler = Resampler::new(48_000, 16_000).unwrap();
        let (mut first, mut second) = (vec![], vec![]);
        for out in [&mut first, &mut second] {
            resampler.push(&tone(48_000, 700.0), out);
            resampler.finish(out);
        }
        assert_eq!(first, second);
    }

    #[test]
    fn the_loudest_sound_does_not_turn_over() {
        let square: Vec<i16> = (0..4800).map(|i| if i / 24 % 2 == 0 { i16::MAX } else { i16::MIN }).collect();
        let got = convert(&square, 48_000, 44_100).unwrap();
        // Each half of the wave keeps its sign but around its edges.
        let n_wrong = got.iter().enumerate().filter(|(i, sample)| {
            let place = (*i as f64 * 48.0 / 44.1) % 48.0;
            let is_inner = !(3.0..21.0).contains(&(place % 24.0));
            !is_inner && (**sample > 0) != (place < 24.0)
        });
        assert_eq!(n_wrong.count(), 0);
    }

    #[test]
    fn rates_of_no_card_are_refused() {
        for (from, to) in [(0, 16_000), (16_000, 0), (3_999, 16_000), (16_000, 192_001), (u32::MAX, 1)] {
            assert!(Resampler::new(from, to).is_none(), "{from} to {to}");
        }
    }

    #[test]
    fn silence_of_no_length_stays_so() {
        assert!(convert(&[], 8_000, 16_000).unwrap().is_empty());
        assert_eq!(convert(&[0], 48_000, 16_000).unwrap(), [0]);
    }
}
