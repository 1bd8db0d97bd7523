//! Opens a card through libasound, and says in a sentence why it cannot be opened.

use super::devices::{Side, is_name};
use super::lent::Use;
use super::rate::RATES;
use crate::hear::RATE;
use alsa::pcm::{Access, Format, Frames, HwParams, PCM};
use alsa::{Direction, Output, ValueOr};
use rustix::io::Errno;
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// A card that is ready for nothing during this time is asked for its state.
pub const WAIT_MS: u32 = 250;
/// A card that gives or takes nothing for so many waits is as good as gone.
pub const WAITS_MAX: u32 = 8;
/// No card has more, and `default` of some sound servers says any number.
const CHANNELS_MAX: u32 = 8;
/// Rates that are tried in this order. What a microphone hears is wanted at 16 kHz.
const HEARD_RATES: [u32; 3] = [RATE, 48_000, 44_100];
const PLAYED_RATES: [u32; 2] = [48_000, 44_100];

/// A card that is open and ready, and rests.
#[derive(Debug)]
pub struct Opened {
    pub name: String,
    pub pcm: PCM,
    pub rate: u32,
    pub channels: usize,
    /// Of one channel.
    pub period: usize,
    /// Behind `pcm`: given up once that is closed.
    pub taken: Option<Use>,
}

/// `period` and `buffer` are wishes; a card has its own mind.
pub fn open(name: &str, side: Side, period: Duration, buffer: Duration) -> Result<Opened, String> {
    if !is_name(name) {
        return Err(format!("{name:?} is no name of a sound card's, such as plughw:1,0"));
    }
    // What libasound would write to standard error goes into a buffer, which the next opening replaces.
    drop(Output::local_error_handler());
    // Without `nonblock` a card in use would be waited for, for ever.
    let pcm = PCM::new(name, direction(side), true).map_err(|error| sentence(name, error))?;
    // Conversion of formats is libasound's, that of rates is ours: its own is a line between two samples.
    let set = configure(&pcm, side, period, buffer, false)
        .or_else(|_| configure(&pcm, side, period, buffer, true))
        .map_err(|error| sentence(name, error))?;
    let (rate, channels, period) = set;
    if !RATES.contains(&rate) {
        return Err(format!("{name} has {rate} samples a second, which is not known"));
    }
    Ok(Opened { name: name.to_string(), pcm, rate, channels, period, taken: None })
}

fn configure(
    pcm: &PCM,
    side: Side,
    period: Duration,
    buffer: Duration,
    resample: bool,
) -> alsa::Result<(u32, usize, usize)> {
    {
        let hw = HwParams::any(pcm)?;
        hw.set_rate_resample(resample)?;
        hw.set_access(Access::RWInterleaved)?;
        hw.set_format(Format::s16())?;
        // Two, as nearly all cards have: a converter for one channel may take the left one alone.
        let channels = hw.set_channels_near(2)?;
        if channels > CHANNELS_MAX {
            return Err(alsa::Error::unsupported("channels"));
        }
        let rates: &[u32] = match side {
            Side::Microphone => &HEARD_RATES,
            Side::Speaker => &PLAYED_RATES,
        };
        match rates.iter().find(|rate| hw.test_rate(**rate).is_ok()) {
            Some(rate) => hw.set_rate(*rate, ValueOr::Nearest)?,
            None => _ = hw.set_rate_near(48_000, ValueOr::Nearest)?,
        }
        let rate = hw.get_rate()?;
        hw.set_period_size_near(frames(period, rate), ValueOr::Nearest)?;
        hw.set_buffer_size_near(frames(buffer, rate))?;
        pcm.hw_params(&hw)?;
    }
    let hw = pcm.hw_params_current()?;
    let (rate, channels) = (hw.get_rate()?, hw.get_channels()?);
    // A writing need not be a period of the card's, so a card that insists on long ones is fed in short ones.
    let n_period = hw.get_period_size()?.min(frames(period, rate)).max(1);
    let sw = pcm.sw_params_current()?;
    sw.set_start_threshold(n_period)?;
    sw.set_avail_min(n_period)?;
    pcm.sw_params(&sw)?;
    pcm.prepare()?;
    Ok((rate, channels.max(1) as usize, n_period as usize))
}

fn frames(time: Duration, rate: u32) -> Frames {
    Frames::from(rate) * time.as_millis() as Frames / 1000
}

/// What a device can do without conversion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ability {
    Usable {
        rates: (u32, u32),
        channels: (u32, u32),
        has_16_khz: bool,
    },
    /// With the reason.
    Unusable(String),
}

impl fmt::Display for Ability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ability::Usable { rates: (least, most), channels: (few, many), has_16_khz } => {
                write!(f, "{least} to {most} Hz, {few} to {many} channels")?;
                f.write_str(if *has_16_khz { ", 16000 Hz among them" } else { "" })
            }
            Ability::Unusable(reason) => f.write_str(reason),
        }
    }
}

/// Asks `plughw:1,0` what its hardware can do.
pub fn ability(name: &str, side: Side) -> Ability {
    drop(Output::local_error_handler());
    ask(name.strip_prefix("plug").unwrap_or(name), side)
        .unwrap_or_else(|error| Ability::Unusable(sentence(name, error)))
}

fn ask(name: &str, side: Side) -> alsa::Result<Ability> {
    let pcm = PCM::new(name, direction(side), true)?;
    let hw = HwParams::any(&pcm)?;
    Ok(Ability::Usable {
        rates: (hw.get_rate_min()?, hw.get_rate_max()?),
        channels: (hw.get_channels_min()?, hw.get_channels_max()?),
        has_16_khz: hw.test_rate(RATE).is_ok(),
    })
}

fn direction(side: Side) -> Direction {
    match side {
        Side::Microphone => Direction::Capture,
        Side::Speaker => Direction::Playback,
    }
}

/// What a person can do about it.
pub fn sentence(name: &str, error: alsa::Error) -> String {
    match Errno::from_raw_os_error(error.errno()) {
        Errno::BUSY => format!("{name} is in use by another program"),
        Errno::ACCESS | Errno::PERM => {
            format!("this program may not use {name}: its user must be in the group audio")
        }
        Errno::NOENT | Errno::NODEV | Errno::NXIO => format!("there is no sound device {name}"),
        _ => format!("{name} cannot be used: {error}"),
    }
}

/// Whether a device that rests is still there.
pub fn is_there(pcm: &PCM) -> bool {
    pcm.state_raw() != alsa::pcm::State::Disconnected as std::ffi::c_int
}

/// Brings a card back after it had too little or too much, or slept; or says that it is gone.
pub fn mend(name: &str, pcm: &PCM, error: alsa::Error) -> Result<(), String> {
    match Errno::from_raw_os_error(error.errno()) {
        Errno::PIPE | Errno::STRPIPE | Errno::INTR => {
            pcm.try_recover(error, true).map_err(|error| sentence(name, error))
        }
        Errno::NODEV | Errno::BADFD | Errno::NOTTY => Err(format!("{name} was unplugged")),
        _ => Err(sentence(name, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_says_what_a_person_can_do() {
        for (errno, want) in [
            (Errno::BUSY, "plughw:1,0 is in use by another program"),
            (Errno::ACCESS, "this program may not use plughw:1,0: its user must be in the group audio"),
            (Errno::NOENT, "there is no sound device plughw:1,0"),
            (Errno::NODEV, "there is no sound device plughw:1,0"),
        ] {
            let error = alsa::Error::new("snd_pcm_open", errno.raw_os_error());
            assert_eq!(sentence("plughw:1,0", error), want);
        }
    }

    #[test]
    fn what_is_no_name_of_a_card_is_not_opened() {
        for name in ["a\0b", "file:/dev/null,raw"] {
            let error = open(name, Side::Speaker, Duration::from_millis(8), Duration::from_millis(48));
            assert!(error.is_err_and(|reason| reason.contains("is no name of a sound card's")));
        }
    }
}
