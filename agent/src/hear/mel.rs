//! The picture of sound that whisper's encoder reads: 80 bands of loudness, 100 columns a second.
//!
//! whisper.cpp makes the same one, with a slow transform, for 30 seconds whatever the clip: 380 thousand instructions
//! a column against 57 here (callgrind), and only the columns are made that the encoder will read.

use std::f64::consts::PI;
use voice::whisper::BINS;

/// Samples under one window.
const WINDOW: usize = 2 * HALF;
/// From column to column.
pub const HOP: usize = 160;
/// Two real samples make one complex one.
const HALF: usize = 200;
/// The factors of `HALF`.
const RADICES: [usize; 4] = [4, 2, 5, 5];
/// The picture spans this many powers of ten below its loudest place.
const DEPTH: f32 = 8.0;

#[derive(Debug, Clone, Copy, Default)]
struct Complex {
    re: f32,
    im: f32,
}

impl Complex {
    /// A step on the circle: `part` of `whole`, clockwise.
    fn turn(part: usize, whole: usize) -> Complex {
        let angle = -2.0 * PI * part as f64 / whole as f64;
        Complex { re: angle.cos() as f32, im: angle.sin() as f32 }
    }

    fn times(self, other: Complex) -> Complex {
        Complex { re: self.re * other.re - self.im * other.im, im: self.re * other.im + self.im * other.re }
    }

    fn plus(self, other: Complex) -> Complex {
        Complex { re: self.re + other.re, im: self.im + other.im }
    }

    fn minus(self, other: Complex) -> Complex {
        Complex { re: self.re - other.re, im: self.im - other.im }
    }

    fn scaled(self, by: f32) -> Complex {
        Complex { re: self.re * by, im: self.im * by }
    }

    /// A quarter turn clockwise.
    fn quarter(self) -> Complex {
        Complex { re: self.im, im: -self.re }
    }
}

/// One band: where its weights begin, and those that are not zero.
struct Band {
    first: usize,
    weights: Vec<f32>,
}

pub struct Mel {
    hann: Vec<f32>,
    bands: Vec<Band>,
    /// All turns of each stage, in the order they are used.
    turns: [Vec<Complex>; RADICES.len()],
    /// For the way from the complex transform to the real one.
    split: Vec<Complex>,
}

impl Mel {
    /// `filters`: rows of [`BINS`] weights, as the model file has them.
    pub fn new(filters: &[f32]) -> Mel {
        let band = |row: &[f32]| {
            let first = row.iter().position(|weight| *weight != 0.0).unwrap_or(0);
            let end = row.iter().rposition(|weight| *weight != 0.0).map_or(first, |last| last + 1);
            Band { first, weights: row[first..end].to_vec() }
        };
        let hann = |i: usize| (0.5 * (1.0 - (2.0 * PI * i as f64 / WINDOW as f64).cos())) as f32;
        let mut n = HALF;
        let turns = RADICES.map(|radix| {
            let m = n / radix;
            let turns = (0..m).flat_map(|p| (0..radix).map(move |j| Complex::turn(p * j, m * radix)));
            n = m;
            turns.collect()
        });
        Mel {
            hann: (0..WINDOW).map(hann).collect(),
            bands: filters.chunks_exact(BINS).map(band).collect(),
            turns,
            split: (0..BINS).map(|k| Complex::turn(k, WINDOW)).collect(),
        }
    }

    pub fn n_bands(&self) -> usize {
        self.bands.len()
    }

    /// The first `n_columns` columns, band by band; silence follows the sound.
    pub fn picture(&self, sound: &[f32], n_columns: usize) -> Vec<f32> {
        let mut picture = vec![-10.0; self.bands.len() * n_columns];
        let mut power = [0.0; BINS];
        let mut loudest: f32 = -10.0;
        let n_heard = if sound.is_empty() { 0 } else { ((sound.len() + HALF) / HOP + 1).min(n_columns) };
        for column in 0..n_heard {
            self.power(&window(sound, column * HOP), &mut power);
            for (idx, band) in self.bands.iter().enumerate() {
                let bins = &power[band.first..];
                let sum: f32 = band.weights.iter().zip(bins).map(|(weight, bin)| weight * bin).sum();
                let loud = sum.max(1e-10).log10();
                loudest = loudest.max(loud);
                picture[idx * n_columns + column] = loud;
            }
        }
        let floor = loudest - DEPTH;
        picture.iter_mut().for_each(|loud| *loud = (loud.max(floor) + 4.0) / 4.0);
        picture
    }

    /// The squared size of each bin's share in a window of samples.
    fn power(&self, samples: &[f32; WINDOW], power: &mut [f32; BINS]) {
        let mut a = [Complex::default(); HALF];
        let mut b = [Complex::default(); HALF];
        for (idx, z) in a.iter_mut().enumerate() {
            let at = 2 * idx;
            *z = Complex { re: samples[at] * self.hann[at], im: samples[at + 1] * self.hann[at + 1] };
        }
        let mut stride = 1;
        for (radix, turns) in RADICES.into_iter().zip(&self.turns) {
            match radix {
                2 => stage(&a, &mut b, stride, turns, two),
                4 => stage(&a, &mut b, stride, turns, four),
                _ => stage(&a, &mut b, stride, turns, five),
            }
            std::mem::swap(&mut a, &mut b);
            stride *= radix;
        }
        for (k, bin) in power.iter_mut().enumerate() {
            let (z, mirror) = (a[k % HALF], a[(HALF - k) % HALF]);
            let mirror = Complex { re: mirror.re, im: -mirror.im };
            let (even, odd) = (z.plus(mirror).scaled(0.5), z.minus(mirror).scaled(0.5).quarter());
            let bin_value = even.plus(odd.times(self.split[k]));
            *bin = bin_value.re * bin_value.re + bin_value.im * bin_value.im;
        }
    }
}

/// The samples under a window: mirrored before the sound, silent behind it.
fn window(sound: &[f32], first: usize) -> [f32; WINDOW] {
    let mut samples = [0.0; WINDOW];
    for (idx, sample) in samples.iter_mut().enumerate() {
        let at = (first + idx).abs_diff(HALF);
        *sample = sound.get(at).copied().unwrap_or(0.0);
    }
    samples
}

/// One stage of Stockham's transform: sorted in, sorted out, no bits to turn round.
#[inline(always)]
fn stage<const R: usize>(
    from: &[Complex; HALF],
    to: &mut [Complex; HALF],
    stride: usize,
    turns: &[Complex],
    small: impl Fn([Complex; R]) -> [Complex; R],
) {
    let m = HALF / stride / R;
    for p in 0..m {
        let turns = &turns[p * R..][..R];
        for q in 0..stride {
            let shares = small(std::array::from_fn(|k| from[q + stride * (p + k * m)]));
            for (j, share) in shares.into_iter().enumerate() {
                to[q + stride * (R * p + j)] = share.times(turns[j]);
            }
        }
    }
}

fn two([a, b]: [Complex; 2]) -> [Complex; 2] {
    [a.plus(b), a.minus(b)]
}

fn four([a, b, c, d]: [Complex; 4]) -> [Complex; 4] {
    let (ac, bd) = (a.plus(c), b.plus(d));
    let (a_c, b_d) = (a.minus(c), b.minus(d).quarter());
    [ac.plus(bd), a_c.plus(b_d), ac.minus(bd), a_c.minus(b_d)]
}

/// Cosines and sines of a fifth and two fifths of a circle.
const COS: [f32; 2] = [0.309_017, -0.809_017];
const SIN: [f32; 2] = [0.951_056_5, 0.587_785_25];

fn five([a, b, c, d, e]: [Complex; 5]) -> [Complex; 5] {
    let (be, cd) = (b.plus(e), c.plus(d));
    let (b_e, c_d) = (b.minus(e).quarter(), c.minus(d).quarter());
    let near = a.plus(be.scaled(COS[0])).plus(cd.scaled(COS[1]));
    let far = a.plus(be.scaled(COS[1])).plus(cd.scaled(COS[0]));
    let near_turned = b_e.scaled(SIN[0]).plus(c_d.scaled(SIN[1]));
    let far_turned = b_e.scaled(SIN[1]).minus(c_d.scaled(SIN[0]));
    [
        a.plus(be).plus(cd),
        near.plus(near_turned),
        far.plus(far_turned),
        far.minus(far_turned),
        near.minus(near_turned),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Dice (an LCG), from -1 to 1.
    fn noise(n: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut roll = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..n).map(|_| roll()).collect()
    }

    /// The textbook sum, in f64.
    fn slow_power(samples: &[f32], bin: usize) -> f64 {
        let (mut re, mut im) = (0.0, 0.0);
        for (i, sample) in samples.iter().enumerate() {
            let hann = 0.5 * (1.0 - (2.0 * PI * i as f64 / WINDOW as f64).cos());
            let angle = 2.0 * PI * (bin * i % WINDOW) as f64 / WINDOW as f64;
            re += f64::from(*sample) * hann * angle.cos();
            im -= f64::from(*sample) * hann * angle.sin();
        }
        re * re + im * im
    }

    #[test]
    fn the_transform_is_the_textbook_sum() {
        let mel = Mel::new(&[]);
        for seed in 1..=3 {
            let samples: [f32; WINDOW] = noise(WINDOW, seed).try_into().unwrap();
            let mut power = [0.0; BINS];
            mel.power(&samples, &mut power);
            for (bin, got) in power.into_iter().enumerate() {
                let want = slow_power(&samples, bin);
                assert!(
                    (f64::from(got) - want).abs() < 1e-4 * (1.0 + want),
                    "seed {seed}, bin {bin}: {got} {want}"
                );
            }
        }
    }

    #[test]
    fn silence_is_flat_and_sound_stands_out() {
        let mut filters = vec![0.0; 2 * BINS];
        filters[10..20].fill(0.1);
        filters[BINS + 100..BINS + 120].fill(0.1);
        let mel = Mel::new(&filters);
        assert_eq!(mel.picture(&[], 4), [-1.5; 8]);
        // 500 Hz lies in bin 12.5: the first band.
        let tone: Vec<f32> =
            (0..1600).map(|i| (2.0 * PI * 500.0 * f64::from(i) / 16_000.0).sin() as f32).collect();
        let picture = mel.picture(&tone, 20);
        assert!(picture[5] > 1.0 && picture[20 + 5] < picture[5] - 1.0, "{picture:?}");
        // Behind the sound everything is at the floor, which lies two units under the loudest place.
        assert_eq!(picture[19], picture[5..15].iter().copied().fold(f32::MIN, f32::max) - 2.0);
    }

    #[test]
    fn a_clip_shorter_than_a_window_has_a_picture() {
        let mel = Mel::new(&[0.1; BINS]);
        assert!(mel.picture(&noise(3, 1), 4).iter().all(|loud| loud.is_finite()));
    }
}
