//! The thread of the speaker: opens a card, keeps the pump going, and waits for another card when one is gone.

use super::devices::Side;
use super::echo::Echo;
use super::finding::{Found, Wanted};
use super::inbox::Inbox;
use super::open::{Opened, WAIT_MS, WAITS_MAX, is_there, mend, sentence};
use super::pump::{Card, Gone, N_PERIODS, Next, PERIOD, Pump};
use super::state::Shown;
use super::tape::Wish;
use crate::talk::parts::Event;
use crate::talk::{Post, Refused};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// At rest the thread looks around so often: for a card that is gone, and for one that is new.
pub const LOOK_AFTER: Duration = Duration::from_secs(1);
/// What is told waits for a talk that is busy; what is more is about sound that nobody waits for.
const TOLD_MAX: usize = 1024;

/// All that the thread has.
pub struct Playing {
    pub inbox: Arc<Inbox>,
    pub wanted: Arc<Wanted>,
    pub post: Post,
    pub shown: Shown,
    pub echo: Echo,
    pub volume: u8,
}

impl Playing {
    pub fn run(mut self) {
        super::hurry();
        let mut told = VecDeque::new();
        let mut is_lost = false;
        let mut found = Found::default();
        while !self.inbox.is_closed() {
            match found.open(&self.wanted, Side::Speaker, PERIOD, PERIOD * N_PERIODS) {
                Ok(card) => {
                    found.show(&self.shown, &card);
                    if std::mem::take(&mut is_lost) {
                        told.push_back(Event::SpeakerBack);
                    }
                    let end = self.play(AlsaCard::new(card, self.shown.clone()), &found, &mut told);
                    if let Err(Gone(reason)) = end {
                        self.shown.closed(&reason);
                        told.push_back(Event::SpeakerLost);
                        is_lost = true;
                    }
                }
                Err(reason) => {
                    self.shown.closed(&reason);
                    if !std::mem::replace(&mut is_lost, true) {
                        told.push_back(Event::SpeakerLost);
                    }
                    self.stay_silent(&mut told);
                }
            }
        }
    }

    /// Until the card is gone, or another is to be taken.
    fn play(&mut self, mut card: AlsaCard, found: &Found, told: &mut VecDeque<Event>) -> Result<(), Gone> {
        let mut pump = Pump::new(&card, self.volume);
        loop {
            for wish in self.inbox.take() {
                if let Wish::Volume(percent) = wish {
                    self.volume = percent;
                }
                pump.wish(wish);
            }
            let next = pump.turn(&mut card)?;
            told.extend(std::iter::from_fn(|| pump.poll()));
            self.send(told);
            let n_loud = pump.n_loud_ahead(card.n_ahead());
            if n_loud > 0 {
                let ahead = Duration::from_millis(n_loud as u64 * 1000 / u64::from(card.rate()));
                self.echo.sounds(Instant::now(), ahead);
            }
            self.shown.change(|state| {
                state.is_running = pump.is_running();
                state.n_lost = self.inbox.n_lost();
            });
            if self.inbox.is_closed() {
                return Ok(());
            }
            match next {
                Next::Write => {}
                Next::Pause(time) => self.inbox.wait(time),
                Next::Rest => {
                    let rest = if told.is_empty() { LOOK_AFTER } else { PERIOD };
                    self.inbox.wait(rest);
                    if !is_there(&card.opened.pcm) {
                        return Err(Gone(format!("{} was unplugged", card.opened.name)));
                    }
                    if found.is_stale(&self.wanted) {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Without a card: a turn that is spoken nevertheless is told that nobody hears it.
    fn stay_silent(&mut self, told: &mut VecDeque<Event>) {
        self.send(told);
        let rest = if told.is_empty() { LOOK_AFTER } else { PERIOD };
        self.inbox.wait(rest);
        for wish in self.inbox.take() {
            match wish {
                Wish::End { .. } => told.push_back(Event::SpeakerLost),
                Wish::Volume(percent) => self.volume = percent,
                Wish::Play { .. } | Wish::Hush { .. } | Wish::Earcon(_) => {}
            }
        }
        self.send(told);
    }

    /// What the talk does not take now is kept for the next time.
    fn send(&self, told: &mut VecDeque<Event>) {
        while let Some(event) = told.pop_front() {
            match self.post.offer(event) {
                Ok(()) => {}
                Err(Refused::Full(event)) => {
                    told.push_front(event);
                    told.truncate(TOLD_MAX);
                    return;
                }
                Err(Refused::Over) => return self.inbox.close(),
            }
        }
    }
}

/// A card of libasound's.
struct AlsaCard {
    opened: Opened,
    shown: Shown,
    /// One period, in all channels.
    frames: Vec<i16>,
}

impl AlsaCard {
    fn new(opened: Opened, shown: Shown) -> AlsaCard {
        AlsaCard { frames: Vec::with_capacity(opened.period * opened.channels), opened, shown }
    }

    /// Waits for room, but not for ever.
    fn wait(&self, n_waits: &mut u32) -> Result<(), Gone> {
        *n_waits += 1;
        if *n_waits > WAITS_MAX || !is_there(&self.opened.pcm) {
            return Err(Gone(format!("{} does not play on", self.opened.name)));
        }
        match self.opened.pcm.wait(Some(WAIT_MS)) {
            Ok(_) => Ok(()),
            Err(error) => self.mend(error),
        }
    }

    fn mend(&self, error: alsa::Error) -> Result<(), Gone> {
        self.shown.change(|state| state.n_xruns += 1);
        mend(&self.opened.name, &self.opened.pcm, error).map_err(Gone)
    }
}

impl Card for AlsaCard {
    fn rate(&self) -> u32 {
        self.opened.rate
    }

    fn period(&self) -> usize {
        self.opened.period
    }

    fn write(&mut self, pcm: &[i16]) -> Result<(), Gone> {
        let channels = self.opened.channels;
        self.frames.clear();
        self.frames.extend(pcm.iter().flat_map(|sample| std::iter::repeat_n(*sample, channels)));
        let (mut n_done, mut n_waits) = (0, 0);
        while n_done < pcm.len() {
            let io = self.opened.pcm.io_i16().map_err(|error| Gone(sentence(&self.opened.name, error)))?;
            match io.writei(&self.frames[n_done * channels..]) {
                Ok(0) => self.wait(&mut n_waits)?,
                Ok(n) => (n_done, n_waits) = (n_done + n, 0),
                Err(error) if error.errno() == Errno::AGAIN.raw_os_error() => self.wait(&mut n_waits)?,
                Err(error) => {
                    n_waits += 1;
                    if n_waits > WAITS_MAX {
                        return Err(Gone(sentence(&self.opened.name, error)));
                    }
                    self.mend(error)?;
                }
            }
        }
        Ok(())
    }

    fn n_ahead(&mut self) -> usize {
        // A card that ran dry has nothing ahead, and says so by an error.
        usize::try_from(self.opened.pcm.delay().unwrap_or(0)).unwrap_or(0)
    }

    fn discard(&mut self) -> Result<(), Gone> {
        let pcm = &self.opened.pcm;
        pcm.drop().and_then(|()| pcm.prepare()).or_else(|error| self.mend(error))
    }
}
