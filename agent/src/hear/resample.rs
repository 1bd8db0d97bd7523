//! Any clip to what whisper wants: 16 kHz, numbers from -1 to 1.

use super::RATE;
use crate::sound::rate::convert;
use crate::sound::wav::Clip;

/// The clip at 16 kHz, from -1 to 1; nothing of a rate that no file has.
pub fn to_hearing(clip: &Clip) -> Vec<f32> {
    let float = |sample: &i16| f32::from(*sample) / 32768.0;
    match clip.rate {
        RATE => clip.samples.iter().map(float).collect(),
        rate => convert(&clip.samples, rate, RATE).unwrap_or_default().iter().map(float).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_stays_a_second_and_as_loud() {
        for rate in [8_000, 11_025, 16_000, 22_050, 44_100, 48_000] {
            let wave = |i: u32| (f64::from(i) * 3_000.0 / f64::from(rate)).sin();
            let clip = Clip { rate, samples: (0..rate).map(|i| (16_384.0 * wave(i)) as i16).collect() };
            let heard = to_hearing(&clip);
            assert_eq!(heard.len(), RATE as usize, "{rate} Hz");
            let loudest = heard[1_000..15_000].iter().fold(0.0, |loud: f32, sample| loud.max(sample.abs()));
            assert!((0.49..0.51).contains(&loudest), "{rate} Hz: {loudest}");
        }
    }

    #[test]
    fn a_rate_that_no_file_has_is_nothing() {
        assert!(to_hearing(&Clip { rate: 7, samples: vec![1; 100] }).is_empty());
    }
}
