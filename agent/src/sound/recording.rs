//! The thread of the microphone: opens a card, and while somebody listens gives what it hears, 16 kHz, frame by frame.
//!
//! A card that nobody listens to is open and ready, and does not run: it begins within a millisecond or two, wakes
//! nobody, and a microphone that does not run hears nothing.

use super::FRAME_SAMPLES;
use super::devices::Side;
use super::echo::Echo;
use super::finding::{Found, Wanted};
use super::loudness::Meter;
use super::open::{Opened, WAIT_MS, WAITS_MAX, is_there, mend, sentence};
use super::playing::LOOK_AFTER;
use super::rate::Resampler;
use super::state::Shown;
use crate::hear::RATE;
use crate::talk::parts::{Event, Microphone};
use crate::talk::{Post, Refused};
use rustix::io::Errno;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A reading: one frame.
const PERIOD: Duration = Duration::from_millis(16);
/// What a card keeps for a thread that is late.
const BUFFER: Duration = Duration::from_millis(512);

#[derive(Debug, Default)]
struct Orders {
    is_wanted: bool,
    is_closed: bool,
    was_called: bool,
}

/// What others tell the thread.
#[derive(Debug, Default)]
pub struct Ears {
    orders: Mutex<Orders>,
    came: Condvar,
}

impl Ears {
    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn close(&self) {
        self.orders().is_closed = true;
        self.came.notify_one();
    }

    /// Something else has changed.
    pub fn call(&self) {
        self.orders().was_called = true;
        self.came.notify_one();
    }

    fn is_wanted(&self) -> bool {
        let orders = self.orders();
        orders.is_wanted && !orders.is_closed
    }

    fn is_closed(&self) -> bool {
        self.orders().is_closed
    }

    /// Until it matters whether somebody listens, or no time is left.
    fn wait_until_wanted(&self, is_wanted: bool, timeout: Duration) {
        let nothing = |orders: &mut Orders| {
            orders.is_wanted != is_wanted && !orders.is_closed && !std::mem::take(&mut orders.was_called)
        };
        drop(self.came.wait_timeout_while(self.orders(), timeout, nothing));
    }
}

/// A conversation's end of it.
#[derive(Debug, Clone, Default)]
pub struct Earpiece(pub(super) Arc<Ears>);

impl Microphone for Earpiece {
    fn listen(&mut self, is_wanted: bool) {
        self.0.orders().is_wanted = is_wanted;
        self.0.came.notify_one();
    }
}

/// All that the thread has.
pub struct Recording {
    pub ears: Arc<Ears>,
    pub wanted: Arc<Wanted>,
    pub post: Post,
    pub shown: Shown,
    pub echo: Echo,
}

impl Recording {
    pub fn run(self) {
        super::hurry();
        let mut is_lost = false;
        let mut found = Found::default();
        let mut was_wanted = false;
        while !self.ears.is_closed() {
            match found.open(&self.wanted, Side::Microphone, PERIOD, BUFFER) {
                Ok(card) => {
                    found.show(&self.shown, &card);
                    if std::mem::take(&mut is_lost) {
                        self.tell(Event::MicrophoneBack);
                    }
                    if let Err(reason) = self.serve(&card, &found) {
                        self.shown.closed(&reason);
                        is_lost = true;
                        was_wanted = self.ears.is_wanted();
                        self.tell(Event::MicrophoneLost);
                        // A card that can be opened and not read must not be tried without end.
                        self.ears.wait_until_wanted(!was_wanted, LOOK_AFTER);
                    }
                }
                Err(reason) => {
                    self.shown.closed(&reason);
                    // Whoever begins to listen is told anew.
                    let is_wanted = self.ears.is_wanted();
                    if !std::mem::replace(&mut is_lost, true) || (is_wanted && !was_wanted) {
                        self.tell(Event::MicrophoneLost);
                    }
                    was_wanted = is_wanted;
                    self.ears.wait_until_wanted(!is_wanted, LOOK_AFTER);
                }
            }
        }
    }

    /// Until the card is gone, or another is to be taken.
    fn serve(&self, card: &Opened, found: &Found) -> Result<(), String> {
        loop {
            self.ears.wait_until_wanted(true, LOOK_AFTER);
            if self.ears.is_closed() {
                return Ok(());
            }
            if self.ears.is_wanted() {
                let result = self.record(card);
                self.shown.change(|state| (state.is_running, state.peak_db) = (false, None));
                result?;
            }
            if !is_there(&card.pcm) {
                return Err(format!("{} was unplugged", card.name));
            }
            if found.is_stale(&self.wanted) {
                return Ok(());
            }
        }
    }

    /// While somebody listens.
    fn record(&self, card: &Opened) -> Result<(), String> {
        let mut resampler =
            Resampler::new(card.rate, RATE).ok_or_else(|| format!("{} has no rate of sound", card.name))?;
        let mut frames = vec![0; card.period * card.channels];
        let (mut pcm, mut meter, mut n_waits) = (Vec::new(), Meter::default(), 0);
        start(card)?;
        self.shown.change(|state| state.is_running = true);
        while self.ears.is_wanted() {
            let n = read(card, &mut frames, &mut n_waits, &self.shown)?;
            let mono: Vec<i16> = frames[..n * card.channels].chunks_exact(card.channels).map(mean).collect();
            resampler.push(&mono, &mut pcm);
            while pcm.len() >= FRAME_SAMPLES {
                let rest = pcm.split_off(FRAME_SAMPLES);
                self.give(std::mem::replace(&mut pcm, rest), &mut meter);
            }
        }
        let ready = card.pcm.drop().and_then(|()| card.pcm.prepare());
        ready.or_else(|error| mend(&card.name, &card.pcm, error))
    }

    fn give(&self, mut frame: Vec<i16>, meter: &mut Meter) {
        let peak_db = meter.handle(&frame, RATE);
        if self.echo.is_own(Instant::now()) {
            frame.fill(0);
        }
        let is_lost = !self.send(Event::Frame(frame));
        self.shown.change(|state| {
            state.peak_db = Some(peak_db);
            state.n_lost += u64::from(is_lost);
        });
    }

    /// A talk that is busy loses frames.
    fn send(&self, event: Event) -> bool {
        match self.post.offer(event) {
            Ok(()) => true,
            Err(Refused::Full(_)) => false,
            Err(Refused::Over) => {
                self.ears.close();
                false
            }
        }
    }

    /// What must not be lost waits until the talk takes it.
    fn tell(&self, mut event: Event) {
        loop {
            event = match self.post.offer(event) {
                Ok(()) => return,
                Err(Refused::Full(event)) if !self.ears.is_closed() => event,
                Err(_) => return self.ears.close(),
            };
            std::thread::sleep(PERIOD);
        }
    }
}

fn start(card: &Opened) -> Result<(), String> {
    card.pcm.start().or_else(|error| {
        mend(&card.name, &card.pcm, error)?;
        card.pcm.start().map_err(|error| sentence(&card.name, error))
    })
}

/// Some of what was heard; a card that gives nothing for long is gone.
fn read(card: &Opened, frames: &mut [i16], n_waits: &mut u32, shown: &Shown) -> Result<usize, String> {
    let io = card.pcm.io_i16().map_err(|error| sentence(&card.name, error))?;
    let error = match io.readi(frames) {
        Ok(n) if n > 0 => {
            *n_waits = 0;
            return Ok(n);
        }
        Ok(_) => None,
        Err(error) if error.errno() == Errno::AGAIN.raw_os_error() => None,
        Err(error) => Some(error),
    };
    *n_waits += 1;
    if *n_waits > WAITS_MAX || !is_there(&card.pcm) {
        return Err(format!("{} gives no sound", card.name));
    }
    let error = match error {
        None => card.pcm.wait(Some(WAIT_MS)).err(),
        some => some,
    };
    if let Some(error) = error {
        shown.change(|state| state.n_xruns += 1);
        mend(&card.name, &card.pcm, error)?;
        // What comes next is no continuation, but a person who speaks is better heard with a gap than not at all.
        start(card)?;
    }
    Ok(0)
}

fn mean(frame: &[i16]) -> i16 {
    let sum: i32 = frame.iter().map(|sample| i32::from(*sample)).sum();
    (sum / frame.len() as i32) as i16
}
