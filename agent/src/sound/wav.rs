//! WAV files: 16-bit PCM. One or two channels are read, one is written.

use std::fmt;

/// The longest clip, in seconds: ten minutes of dictation.
pub const CLIP_SECONDS_MAX: u32 = 600;
/// Nothing slower carries speech, nothing faster is a microphone.
const RATES: std::ops::RangeInclusive<u32> = 8_000..=48_000;
/// The largest file that is read: the longest clip at the highest rate in stereo, and room for its other chunks.
pub const FILE_BYTES_MAX: u64 = CLIP_SECONDS_MAX as u64 * 48_000 * 4 + (1 << 20);

const PCM: u16 = 1;
/// A longer head that says the same.
const EXTENSIBLE: u16 = 0xfffe;

/// Sound of one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clip {
    pub rate: u32,
    pub samples: Vec<i16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WavError {
    NotWav,
    NoFormat,
    NoSound,
    Format { what: &'static str, value: u32 },
    TooLong,
}

impl fmt::Display for WavError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            WavError::NotWav => f.write_str("this is no WAV file"),
            WavError::NoFormat => f.write_str("the WAV file does not say its format before its sound"),
            WavError::NoSound => f.write_str("the WAV file holds no sound"),
            WavError::Format { what, value } => {
                write!(
                    f,
                    "{what} is {value}, but only 16-bit PCM of 1 or 2 channels, 8000 to 48000 Hz, is known"
                )
            }
            WavError::TooLong => write!(f, "the clip is longer than {CLIP_SECONDS_MAX} seconds"),
        }
    }
}

impl std::error::Error for WavError {}

/// Reads a file; two channels become their mean.
pub fn read(bytes: &[u8]) -> Result<Clip, WavError> {
    if bytes.len() < 12 || &bytes[..4] != b"RIFF" || &bytes[8..12] != b"WAVE" {
        return Err(WavError::NotWav);
    }
    let mut rest = &bytes[12..];
    let mut format = None;
    while let [a, b, c, d, s0, s1, s2, s3, body @ ..] = rest {
        // A program that was cut off leaves a length of 0 or 0xffff_ffff: what is there counts.
        let length = (u32::from_le_bytes([*s0, *s1, *s2, *s3]) as usize).min(body.len());
        let (body, after) = body.split_at(length);
        match &[*a, *b, *c, *d] {
            b"fmt " => format = Some(Format::read(body)?),
            b"data" => return format.ok_or(WavError::NoFormat)?.clip(body),
            _ => {}
        }
        // Chunks begin at even places.
        rest = after.get(length & 1..).unwrap_or_default();
    }
    Err(WavError::NoSound)
}

/// What stands before the samples in a file that is written.
pub const HEAD_BYTES: usize = 44;

/// The head of a file of one channel.
pub fn head(rate: u32, n_samples: u32) -> [u8; HEAD_BYTES] {
    const SAMPLE_BYTES: u32 = 2;
    let sound_bytes = n_samples.saturating_mul(SAMPLE_BYTES);
    let mut head = *b"RIFF____WAVEfmt \x10\0\0\0\x01\0\x01\0________\x02\0\x10\0data____";
    let mut put = |at: usize, value: u32| head[at..at + 4].copy_from_slice(&value.to_le_bytes());
    put(4, sound_bytes.saturating_add(HEAD_BYTES as u32 - 8));
    put(24, rate);
    put(28, rate.saturating_mul(SAMPLE_BYTES));
    put(40, sound_bytes);
    head
}

/// A whole file; beyond the length that is read again it is refused.
pub fn write(clip: &Clip) -> Result<Vec<u8>, WavError> {
    let n_samples = u32::try_from(clip.samples.len()).ok();
    let n_samples = n_samples.filter(|n| *n <= clip.rate.saturating_mul(CLIP_SECONDS_MAX));
    let mut bytes = head(clip.rate, n_samples.ok_or(WavError::TooLong)?).to_vec();
    bytes.extend(clip.samples.iter().flat_map(|sample| sample.to_le_bytes()));
    Ok(bytes)
}

struct Format {
    channels: usize,
    rate: u32,
}

impl Format {
    fn read(body: &[u8]) -> Result<Format, WavError> {
        if body.len() < 16 {
            return Err(WavError::NoFormat);
        }
        let u16_at = |at: usize| u16::from_le_bytes([body[at], body[at + 1]]);
        let rate = u32::from_le_bytes([body[4], body[5], body[6], body[7]]);
        let kind = match u16_at(0) {
            EXTENSIBLE if body.len() >= 26 => u16_at(24),
            kind => kind,
        };
        let must = |what, value: u32, is_good: bool| match is_good {
            true => Ok(()),
            false => Err(WavError::Format { what, value }),
        };
        must("the coding", kind.into(), kind == PCM)?;
        must("the number of bits", u16_at(14).into(), u16_at(14) == 16)?;
        must("the number of channels", u16_at(2).into(), (1..=2).contains(&u16_at(2)))?;
        must("the rate", rate, RATES.contains(&rate))?;
        Ok(Format { channels: u16_at(2).into(), rate })
    }

    fn clip(&self, body: &[u8]) -> Result<Clip, WavError> {
        let frame_bytes = 2 * self.channels;
        if body.len() / frame_bytes > (self.rate * CLIP_SECONDS_MAX) as usize {
            return Err(WavError::TooLong);
        }
        let sample = |frame: &[u8]| {
            let sum: i32 =
                frame.chunks_exact(2).map(|two| i32::from(i16::from_le_bytes([two[0], two[1]]))).sum();
            (sum / self.channels as i32) as i16
        };
        Ok(Clip { rate: self.rate, samples: body.chunks_exact(frame_bytes).map(sample).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(coding: u16, channels: u16, rate: u32, bits: u16, sound: &[i16]) -> Vec<u8> {
        let mut bytes = b"RIFF\0\0\0\0WAVELIST\x01\0\0\0x\0fmt \x10\0\0\0".to_vec();
        bytes.extend(coding.to_le_bytes());
        bytes.extend(channels.to_le_bytes());
        bytes.extend(rate.to_le_bytes());
        bytes.extend([0; 6]);
        bytes.extend(bits.to_le_bytes());
        bytes.extend(b"data");
        bytes.extend((2 * sound.len() as u32).to_le_bytes());
        bytes.extend(sound.iter().flat_map(|sample| sample.to_le_bytes()));
        bytes
    }

    fn check(bytes: &[u8], want: Result<(u32, &[i16]), &str>) {
        let got = read(bytes).map(|clip| (clip.rate, clip.samples)).map_err(|error| error.to_string());
        assert_eq!(got, want.map(|(rate, samples)| (rate, samples.to_vec())).map_err(str::to_string));
    }

    #[test]
    fn sound_is_found_behind_other_chunks() {
        check(&file(1, 1, 16_000, 16, &[1, -2, 3]), Ok((16_000, &[1, -2, 3])));
    }

    #[test]
    fn two_channels_become_their_mean() {
        check(&file(1, 2, 48_000, 16, &[10, 20, i16::MIN, i16::MIN]), Ok((48_000, &[15, i16::MIN])));
    }

    #[test]
    fn a_length_beyond_the_end_means_the_rest() {
        let mut bytes = file(1, 1, 8_000, 16, &[7, 8]);
        let at = bytes.len() - 8;
        bytes[at..at + 4].fill(0xff);
        check(&bytes, Ok((8_000, &[7, 8])));
    }

    #[test]
    fn what_is_not_known_is_named() {
        let end = "but only 16-bit PCM of 1 or 2 channels, 8000 to 48000 Hz, is known";
        check(&file(3, 1, 16_000, 16, &[]), Err(&format!("the coding is 3, {end}")));
        check(&file(1, 6, 16_000, 16, &[]), Err(&format!("the number of channels is 6, {end}")));
        check(&file(1, 1, 0, 16, &[]), Err(&format!("the rate is 0, {end}")));
        check(&file(1, 1, 16_000, 8, &[]), Err(&format!("the number of bits is 8, {end}")));
    }

    #[test]
    fn a_broken_file_is_an_error() {
        check(b"RIFF", Err("this is no WAV file"));
        check(
            &file(1, 1, 16_000, 16, &[])[..30],
            Err("the WAV file does not say its format before its sound"),
        );
        check(b"RIFF\0\0\0\0WAVEdata\0\0\0\0", Err("the WAV file does not say its format before its sound"));
        check(b"RIFF\0\0\0\0WAVE", Err("the WAV file holds no sound"));
    }

    #[test]
    fn a_clip_beyond_the_limit_is_refused() {
        let bytes = file(1, 1, 8_000, 16, &vec![0; 8_000 * CLIP_SECONDS_MAX as usize + 1]);
        check(&bytes, Err("the clip is longer than 600 seconds"));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let clip = Clip { rate: 22_050, samples: vec![0, 1, -1, i16::MAX, i16::MIN] };
        let bytes = write(&clip).unwrap();
        assert_eq!(bytes.len(), HEAD_BYTES + 10);
        assert_eq!(u32::from_le_bytes(bytes[4..8].try_into().unwrap()) as usize, bytes.len() - 8);
        assert_eq!(u32::from_le_bytes(bytes[28..32].try_into().unwrap()), 44_100);
        assert_eq!(read(&bytes), Ok(clip));
    }

    #[test]
    fn what_could_not_be_read_again_is_not_written() {
        let clip = Clip { rate: 8_000, samples: vec![0; 8_000 * CLIP_SECONDS_MAX as usize + 1] };
        assert_eq!(write(&clip), Err(WavError::TooLong));
    }
}
