//! How loud: the volume that the owner sets, without clicks, and the peak of what a microphone hears.

/// A new volume is reached within this time.
const RAMP_MS: u32 = 10;
/// The meter falls so far each second when it grows quiet, so that an eye can follow.
const FALL_DB_A_SECOND: f32 = 40.0;
/// Quieter is not told apart: one step of 16 bits is 90 dB below the loudest.
pub const SILENT_DB: f32 = -90.0;

/// A factor that goes to where it should be step by step.
#[derive(Debug, Clone)]
pub struct Gain {
    now: f32,
    wanted: f32,
    step: f32,
}

impl Gain {
    /// At `rate` samples a second, `percent` of the volume.
    pub fn new(rate: u32, percent: u8) -> Gain {
        let wanted = factor(percent);
        Gain { now: wanted, wanted, step: 1000.0 / (RAMP_MS * rate.max(1)) as f32 }
    }

    pub fn set(&mut self, percent: u8) {
        self.wanted = factor(percent);
    }

    pub fn apply(&mut self, pcm: &mut [i16]) {
        for sample in pcm {
            self.now += (self.wanted - self.now).clamp(-self.step, self.step);
            *sample = (f32::from(*sample) * self.now) as i16;
        }
    }
}

/// The ear hears in ratios: half of the way is a quarter of the swing, 12 dB less.
fn factor(percent: u8) -> f32 {
    (f32::from(percent.min(100)) / 100.0).powi(2)
}

/// The loudest sample of late.
#[derive(Debug, Clone)]
pub struct Meter {
    db: f32,
}

impl Default for Meter {
    fn default() -> Meter {
        Meter { db: SILENT_DB }
    }
}

impl Meter {
    /// The next sound of one channel; gives the peak in dB below the loudest that there is.
    pub fn handle(&mut self, pcm: &[i16], rate: u32) -> f32 {
        let fall = FALL_DB_A_SECOND * pcm.len() as f32 / rate.max(1) as f32;
        self.db = peak_db(pcm).max(self.db - fall).max(SILENT_DB);
        self.db
    }
}

fn peak_db(pcm: &[i16]) -> f32 {
    let peak = pcm.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0);
    if peak == 0 { SILENT_DB } else { 20.0 * (f32::from(peak) / 32_768.0).log10() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_the_volume_is_12_db_less_and_none_is_silence() {
        for (percent, want) in [(100, 16_000), (50, 4_000), (0, 0), (200, 16_000)] {
            let mut pcm = [16_000];
            Gain::new(48_000, percent).apply(&mut pcm);
            assert_eq!(pcm, [want], "{percent} %");
        }
    }

    #[test]
    fn a_new_volume_comes_in_small_steps_and_whole_within_10_ms() {
        let mut gain = Gain::new(48_000, 100);
        gain.set(0);
        let mut pcm = [10_000; 600];
        gain.apply(&mut pcm);
        assert!(pcm.windows(2).all(|two| (0..=22).contains(&(two[0] - two[1]))));
        assert_eq!((pcm[470] > 0, pcm[481]), (true, 0));
    }

    #[test]
    fn the_meter_shows_a_peak_and_falls_slowly() {
        let mut meter = Meter::default();
        assert_eq!(meter.handle(&[0, 0], 16_000), SILENT_DB);
        assert_eq!(meter.handle(&[i16::MIN], 16_000), 0.0);
        let later = meter.handle(&[1; 4000], 16_000);
        assert!((later + 10.0).abs() < 0.01, "{later}");
        assert_eq!(meter.handle(&[0; 160_000], 16_000), SILENT_DB);
    }
}
