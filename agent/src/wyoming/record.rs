//! What Wyoming's clients send of a microphone, as it is to be heard: 16 kHz, one channel.
//!
//! Each piece is converted as it comes, so that what is kept is small whatever it came as.

use super::codec::Event;
use crate::hear::RATE;
use crate::sound::rate::Resampler;
use std::ops::RangeInclusive;
use voice::samples;
use voice::turn::LISTEN_MS_MAX;

/// More channels are no microphone.
pub const CHANNELS_MAX: u64 = 8;
/// What is longer than this is heard up to here.
pub const SAMPLES_MAX: usize = samples(LISTEN_MS_MAX);

/// Of a microphone.
pub const RATES: RangeInclusive<u32> = 8_000..=96_000;
const RATES_TOLD: &str = "the rate must be from 8000 to 96000";

/// How sound is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Form {
    rate: u32,
    /// Bytes of a sample.
    width: usize,
    channels: usize,
}

#[derive(Debug)]
pub struct Recording {
    form: Form,
    resampler: Resampler,
    pcm: Vec<i16>,
}

impl Recording {
    /// From an event that names rate, width and channels; the error is a sentence for the client.
    pub fn new(event: &Event) -> Result<Recording, String> {
        let form = Form::of(event)?;
        let resampler = Resampler::new(form.rate, RATE).ok_or(RATES_TOLD)?;
        Ok(Recording { form, resampler, pcm: vec![] })
    }

    pub fn push(&mut self, event: &Event) -> Result<(), String> {
        if Form::of(event)? != self.form {
            return Err("the form of the sound changed in the middle".to_owned());
        }
        if self.pcm.len() < SAMPLES_MAX {
            let one = mixed(&event.payload, self.form);
            self.resampler.push(&one, &mut self.pcm);
            self.pcm.truncate(SAMPLES_MAX);
        }
        Ok(())
    }

    pub fn into_pcm(mut self) -> Vec<i16> {
        self.resampler.finish(&mut self.pcm);
        self.pcm.truncate(SAMPLES_MAX);
        self.pcm
    }
}

impl Form {
    fn of(event: &Event) -> Result<Form, String> {
        let number = |name: &str| event.number(name).ok_or_else(|| format!("{name} is missing"));
        let (rate, width, channels) = (number("rate")?, number("width")?, number("channels")?);
        let rate = u32::try_from(rate).ok().filter(|rate| RATES.contains(rate)).ok_or(RATES_TOLD)?;
        if !(1..=4).contains(&width) || !(1..=CHANNELS_MAX).contains(&channels) {
            return Err(format!("samples have 1 to 4 bytes, and there are 1 to {CHANNELS_MAX} channels"));
        }
        Ok(Form { rate, width: width as usize, channels: channels as usize })
    }
}

/// All channels as one; an incomplete sample at the end is left out.
fn mixed(bytes: &[u8], form: Form) -> Vec<i16> {
    let sample = |bytes: &[u8]| match bytes {
        // Eight bits have no sign.
        [low] => (i32::from(*low) - 128) << 8,
        // Of more than 16 bits the upper ones are kept.
        [.., low, high] => i32::from(i16::from_le_bytes([*low, *high])),
        [] => 0,
    };
    let frame = form.width * form.channels;
    let one = |frame: &[u8]| {
        let sum: i32 = frame.chunks_exact(form.width).map(sample).sum();
        (sum / form.channels as i32) as i16
    };
    bytes.chunks_exact(frame).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(rate: u32, width: u64, channels: u64, payload: &[u8]) -> Event {
        let data = json!({"rate": rate, "width": width, "channels": channels});
        Event { payload: payload.to_vec(), ..Event::new("audio-chunk", data) }
    }

    #[track_caller]
    fn check(width: u64, channels: u64, bytes: &[u8], want: &[i16]) {
        let event = event(16_000, width, channels, bytes);
        let mut recording = Recording::new(&event).unwrap();
        recording.push(&event).unwrap();
        assert_eq!(recording.into_pcm(), want);
    }

    #[test]
    fn every_width_becomes_sixteen_bits() {
        check(1, 1, &[128, 255, 0], &[0, 32512, -32768]);
        check(2, 1, &[1, 0, 255, 127, 0, 128], &[1, 32767, -32768]);
        check(3, 1, &[9, 1, 0, 0, 255, 255], &[1, -1]);
        check(4, 1, &[9, 9, 0, 1], &[256]);
    }

    #[test]
    fn channels_become_one_and_half_a_sample_is_left_out() {
        check(2, 2, &[10, 0, 20, 0, 255, 127, 255, 127, 1], &[15, 32767]);
    }

    #[test]
    fn a_long_recording_is_kept_up_to_its_limit() {
        let second = event(48_000, 2, 1, &[0; 96_000]);
        let mut recording = Recording::new(&second).unwrap();
        for _ in 0..60 {
            recording.push(&second).unwrap();
        }
        assert_eq!(recording.into_pcm().len(), SAMPLES_MAX);
    }

    #[test]
    fn what_is_no_sound_of_a_microphone_is_refused() {
        for (rate, width, channels) in
            [(0, 2, 1), (96_001, 2, 1), (16_000, 0, 1), (16_000, 5, 1), (16_000, 2, 9)]
        {
            assert!(Recording::new(&event(rate, width, channels, &[])).is_err());
        }
        let mut recording = Recording::new(&event(16_000, 2, 1, &[])).unwrap();
        assert!(recording.push(&event(48_000, 2, 1, &[])).is_err());
    }
}
