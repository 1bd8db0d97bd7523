//! A sound card without hardware, on a clock that is only told: what a person says comes out of clips, what the speaker
//! plays is kept, and a minute of talk passes as fast as it is computed.
//!
//! Its speaker is driven by the same `pump` and `tape` as a real card's, with the same period and the same buffer, so the
//! delays that it shows are those of a real one, without the card's own.

use super::FRAME_SAMPLES;
use super::inbox::{Inbox, Mouthpiece};
use super::pump::{Card, Gone, N_PERIODS, Next, PERIOD, Pump};
use super::rate::convert;
use super::wav::{CLIP_SECONDS_MAX, Clip};
use crate::hear::RATE;
use crate::talk::parts::{Event, Microphone};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// One step of the clock: a frame of the microphone.
pub const STEP: Duration = Duration::from_millis(16);
/// A person can have so many clips before him.
const SAID_SECONDS_MAX: usize = 1800;

/// The card that is none: what is written waits until the clock takes it.
#[derive(Debug)]
struct Paper {
    rate: u32,
    buffer: VecDeque<i16>,
    played: Vec<i16>,
}

impl Paper {
    fn has_room(&self) -> bool {
        self.buffer.len() + self.period() <= self.period() * N_PERIODS as usize
    }

    /// So many samples leave, silence where there are none.
    fn pass(&mut self, n: usize) {
        let room = (CLIP_SECONDS_MAX * self.rate) as usize - self.played.len();
        let n_sound = n.min(self.buffer.len());
        let silence = std::iter::repeat_n(0, n - n_sound);
        self.played.extend(self.buffer.drain(..n_sound).chain(silence).take(room));
    }
}

impl Card for Paper {
    fn rate(&self) -> u32 {
        self.rate
    }

    fn period(&self) -> usize {
        samples(PERIOD, self.rate)
    }

    fn write(&mut self, pcm: &[i16]) -> Result<(), Gone> {
        self.buffer.extend(pcm);
        Ok(())
    }

    fn n_ahead(&mut self) -> usize {
        self.buffer.len()
    }

    fn discard(&mut self) -> Result<(), Gone> {
        self.buffer.clear();
        Ok(())
    }
}

/// The device itself, in the hands of whoever moves the clock.
#[derive(Debug)]
pub struct WavDevice {
    now: Duration,
    paper: Paper,
    pump: Pump,
    inbox: Arc<Inbox>,
    is_listening: Arc<AtomicBool>,
    /// What the person is saying, 16 kHz.
    said: VecDeque<i16>,
}

impl WavDevice {
    /// With a speaker of so many samples a second; none if no card has that rate.
    pub fn new(speaker_rate: u32) -> Option<WavDevice> {
        super::rate::RATES.contains(&speaker_rate).then(|| {
            let paper = Paper { rate: speaker_rate, buffer: VecDeque::new(), played: Vec::new() };
            WavDevice {
                now: Duration::ZERO,
                pump: Pump::new(&paper, 100),
                paper,
                inbox: Arc::default(),
                is_listening: Arc::default(),
                said: VecDeque::new(),
            }
        })
    }

    pub fn speaker(&self) -> Mouthpiece {
        Mouthpiece(self.inbox.clone())
    }

    pub fn microphone(&self) -> WavMicrophone {
        WavMicrophone(self.is_listening.clone())
    }

    /// The clock: how much was stepped.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// The person says this from now on, after what he is still saying; whether anybody listens is not asked.
    pub fn say(&mut self, clip: &Clip) {
        let pcm = convert(&clip.samples, clip.rate, RATE).unwrap_or_default();
        let room = (SAID_SECONDS_MAX * RATE as usize).saturating_sub(self.said.len());
        self.said.extend(pcm.into_iter().take(room));
    }

    /// Whether the person has more to say.
    pub fn is_saying(&self) -> bool {
        !self.said.is_empty()
    }

    /// A frame's time passes; what happens in it is told in order.
    pub fn step(&mut self, tell: &mut dyn FnMut(Event)) {
        let n_periods = STEP.as_millis() / PERIOD.as_millis();
        for _ in 0..n_periods {
            self.write_ahead(tell);
            let period = self.paper.period();
            self.paper.pass(period);
            self.pump.tell(self.paper.buffer.len());
            std::iter::from_fn(|| self.pump.poll()).for_each(&mut *tell);
        }
        self.now += STEP;
        let mut frame: Vec<i16> = self.said.drain(..self.said.len().min(FRAME_SAMPLES)).collect();
        if self.is_listening.load(Ordering::Acquire) {
            frame.resize(FRAME_SAMPLES, 0);
            tell(Event::Frame(frame));
        }
    }

    /// All that the speaker has played so far, with its silence; the first ten minutes of it.
    pub fn played(&self) -> Clip {
        Clip { rate: self.paper.rate, samples: self.paper.played.clone() }
    }

    fn write_ahead(&mut self, tell: &mut dyn FnMut(Event)) {
        self.inbox.take().into_iter().for_each(|wish| self.pump.wish(wish));
        while self.paper.has_room() {
            match self.pump.turn(&mut self.paper) {
                Ok(Next::Write) => {}
                Ok(Next::Pause(_) | Next::Rest) => break,
                Err(Gone(_)) => return tell(Event::SpeakerLost),
            }
        }
        std::iter::from_fn(|| self.pump.poll()).for_each(tell);
    }
}

/// A conversation's end of the device's microphone.
#[derive(Debug, Clone)]
pub struct WavMicrophone(Arc<AtomicBool>);

impl Microphone for WavMicrophone {
    fn listen(&mut self, is_wanted: bool) {
        self.0.store(is_wanted, Ordering::Release);
    }
}

fn samples(time: Duration, rate: u32) -> usize {
    time.as_millis() as usize * rate as usize / 1000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::talk::parts::Speaker;
    use voice::turn::Earcon;

    const CARD: u32 = 48_000;

    fn device() -> WavDevice {
        WavDevice::new(CARD).unwrap()
    }

    /// Steps so often; what was told, with the time in milliseconds.
    fn told(device: &mut WavDevice, n_steps: usize) -> Vec<String> {
        let mut told = vec![];
        for _ in 0..n_steps {
            let at = device.now().as_millis();
            device.step(&mut |event| match event {
                Event::Frame(pcm) => told.push(format!("frame {}", pcm[0])),
                Event::Sounding { turn, clause_idx } => {
                    told.push(format!("sounding {turn}.{clause_idx} @{at}"))
                }
                Event::Spoken { turn, clause_idx } => told.push(format!("spoken {turn}.{clause_idx} @{at}")),
                other => told.push(format!("{other:?}")),
            });
        }
        told
    }

    /// Milliseconds of the speaker's sound from `from` to the first sample that is not silent.
    fn first_sound_ms(device: &WavDevice, from: Duration) -> Option<usize> {
        let pcm = &device.paper.played[samples(from, CARD)..];
        pcm.iter().position(|sample| sample.abs() > 50).map(|at| at * 1000 / CARD as usize)
    }

    /// A second of a loud tone at espeak's rate, whole.
    fn speak(mouth: &mut Mouthpiece, turn: u32, clause_idx: u32) {
        let pcm: Vec<i16> = (0..22_050).map(|i| if i % 40 < 20 { 9_000 } else { -9_000 }).collect();
        pcm.chunks(882).for_each(|piece| mouth.play(turn, clause_idx, 22_050, piece));
        mouth.end(turn, clause_idx);
    }

    #[test]
    fn frames_come_only_while_somebody_listens() {
        let mut device = device();
        device.say(&Clip { rate: RATE, samples: [[7; 256], [8; 256], [9; 256]].concat() });
        let mut microphone = device.microphone();
        assert!(told(&mut device, 1).is_empty());
        microphone.listen(true);
        assert_eq!(told(&mut device, 3), ["frame 8", "frame 9", "frame 0"]);
        microphone.listen(false);
        assert!(told(&mut device, 2).is_empty() && !device.is_saying());
    }

    #[test]
    fn a_clause_is_told_when_its_sound_leaves_and_when_all_of_it_has() {
        let mut device = device();
        let mut mouth = device.speaker();
        speak(&mut mouth, 1, 0);
        speak(&mut mouth, 1, 1);
        let told = told(&mut device, 140);
        assert_eq!(told, ["sounding 1.0 @0", "spoken 1.0 @992", "sounding 1.1 @992", "spoken 1.1 @1984"]);
        let n_loud = device.played().samples.iter().filter(|sample| sample.abs() > 5_000).count();
        assert!(n_loud > 93_000, "{n_loud} of 96000 samples");
    }

    #[test]
    fn an_earcon_at_rest_is_heard_within_8_ms() {
        let mut device = device();
        told(&mut device, 10);
        device.speaker().earcon(Earcon::Listening);
        let pressed = device.now();
        told(&mut device, 10);
        let ms = first_sound_ms(&device, pressed).unwrap();
        assert!(ms < 8, "{ms} ms");
    }

    #[test]
    fn a_hush_in_the_middle_of_speech_is_silence_before_the_next_sample() {
        let mut device = device();
        let mut mouth = device.speaker();
        speak(&mut mouth, 1, 0);
        told(&mut device, 20);
        let pressed = device.now();
        mouth.hush(1);
        assert_eq!(told(&mut device, 100), [""; 0], "nothing is told of a turn that was hushed");
        assert_eq!(first_sound_ms(&device, pressed), None);
    }

    #[test]
    fn the_earcon_after_a_hush_is_heard_at_once() {
        let mut device = device();
        let mut mouth = device.speaker();
        speak(&mut mouth, 1, 0);
        told(&mut device, 20);
        mouth.hush(1);
        mouth.earcon(Earcon::Listening);
        let pressed = device.now();
        told(&mut device, 10);
        assert!(first_sound_ms(&device, pressed).unwrap() < 8);
    }

    #[test]
    fn the_next_answer_is_heard_within_40_ms_though_the_last_has_just_ended() {
        let mut device = device();
        let mut mouth = device.speaker();
        speak(&mut mouth, 1, 0);
        told(&mut device, 66);
        let made = device.now();
        speak(&mut mouth, 2, 0);
        told(&mut device, 5);
        assert!(first_sound_ms(&device, made).unwrap() < 40);
    }

    #[test]
    fn a_rate_of_no_card_makes_no_device() {
        assert!(WavDevice::new(0).is_none() && WavDevice::new(u32::MAX).is_none());
    }
}
