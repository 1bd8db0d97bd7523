//! The sounds that are no speech, made of tones: two that rise say `I listen`, two low ticks `I think`, three that
//! fall `that went wrong`; two bells are a timer.
//!
//! They are short, because the first is heard by the microphone that it opens, and soft at both ends, because a tone that
//! is cut off clicks.

use std::f32::consts::PI;
use voice::turn::Earcon;

/// A quarter of the loudest: to be noticed, not to startle.
const LOUD: f32 = 8_000.0;
/// How long a note takes to come and to go.
const EDGE_MS: f32 = 6.0;

struct Note {
    hz: f32,
    ms: u32,
}

const fn note(hz: f32, ms: u32) -> Note {
    Note { hz, ms }
}

/// No tone, only its time.
const fn rest(ms: u32) -> Note {
    Note { hz: 0.0, ms }
}

const LISTENING: &[Note] = &[note(659.3, 45), note(987.8, 55)];
const THINKING: &[Note] = &[note(392.0, 40), rest(90), note(392.0, 40)];
const RING: &[Note] =
    &[note(880.0, 90), rest(30), note(1046.5, 90), rest(150), note(880.0, 90), rest(30), note(1046.5, 90)];
const ERROR: &[Note] = &[note(440.0, 110), rest(15), note(349.2, 110), rest(15), note(261.6, 160)];

pub fn samples(earcon: Earcon, rate: u32) -> Vec<i16> {
    let notes = match earcon {
        Earcon::Listening => LISTENING,
        Earcon::Thinking => THINKING,
        Earcon::Error => ERROR,
        Earcon::Ring => RING,
    };
    notes.iter().flat_map(|note| tone(note, rate)).collect()
}

fn tone(note: &Note, rate: u32) -> impl Iterator<Item = i16> {
    let (n, hz, rate) = (note.ms * rate / 1000, note.hz, rate as f32);
    let edge = EDGE_MS / 1000.0 * rate;
    (0..n).map(move |i| {
        let from_end = (i.min(n - 1 - i) as f32 / edge).min(1.0);
        let swell = (1.0 - (PI * from_end).cos()) / 2.0;
        // Some of the octave makes a sine less dull.
        let phase = 2.0 * PI * hz * i as f32 / rate;
        (LOUD * swell * (0.8 * phase.sin() + 0.2 * (2.0 * phase).sin())) as i16
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Earcon; 4] = [Earcon::Listening, Earcon::Thinking, Earcon::Error, Earcon::Ring];

    #[test]
    fn they_are_short_and_soft_at_both_ends() {
        for (earcon, ms_max) in ALL.into_iter().zip([100, 170, 410, 570]) {
            for rate in [16_000, 44_100, 48_000] {
                let pcm = samples(earcon, rate);
                assert!(pcm.len() <= (ms_max * rate / 1000) as usize, "{earcon:?}");
                assert!(pcm[0].abs() < 100 && pcm[pcm.len() - 1].abs() < 100, "{earcon:?}");
                let steepest = pcm.windows(2).map(|two| (two[1] - two[0]).abs()).max().unwrap();
                assert!(steepest < 4_000, "{earcon:?} clicks: {steepest}");
            }
        }
    }

    #[test]
    fn one_is_audible_after_4_ms() {
        for earcon in ALL {
            let loudest = samples(earcon, 48_000)[..192].iter().map(|sample| sample.abs()).max().unwrap();
            assert!(loudest > 1_000, "{earcon:?}: {loudest}");
        }
    }

    #[test]
    fn three_can_be_told_apart_by_how_often_they_cross_zero() {
        let crossings = |earcon| {
            let pcm = samples(earcon, 48_000);
            let n = pcm.windows(2).filter(|two| (two[0] < 0) != (two[1] < 0)).count();
            n * 1000 / pcm.len()
        };
        let [listening, thinking, error, _] = ALL.map(crossings);
        assert!(listening > 2 * error && error > thinking, "{listening} {thinking} {error}");
    }
}
