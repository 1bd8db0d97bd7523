//! Finds the card that is to be taken, and notices when it should be another.

use super::devices::{Device, LIST_BYTES_MAX, Side, candidates, parse};
use super::lent::{self, Lent};
use super::mixer;
use super::open::{Opened, open};
use super::state::Shown;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What the owner wishes for one side, and where the kernel tells of cards.
#[derive(Debug, Default)]
pub struct Wanted {
    root: PathBuf,
    wish: Mutex<Option<String>>,
    lent: Lent,
}

impl Wanted {
    pub fn new(root: &Path, wish: Option<&str>, lent: &Lent) -> Wanted {
        Wanted { root: root.to_path_buf(), wish: Mutex::new(wish.map(str::to_string)), lent: lent.clone() }
    }

    /// Says whether it is another than before.
    pub fn set(&self, wish: Option<&str>) -> bool {
        let mut now = self.wish.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = now.as_deref() != wish;
        *now = wish.map(str::to_string);
        is_new
    }

    fn wish(&self) -> Option<String> {
        self.wish.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The devices that the kernel tells of below `root`.
pub fn devices(root: &Path) -> Vec<Device> {
    let text = |name: &str| {
        let mut text = Vec::new();
        // A kernel without sound has no such file.
        _ = File::open(root.join(name)).and_then(|file| file.take(LIST_BYTES_MAX).read_to_end(&mut text));
        String::from_utf8_lossy(&text).into_owned()
    };
    parse(&text("proc/asound/cards"), &text("proc/asound/pcm"))
}

/// A first choice that could not be opened is tried again after this, and then ever more seldom.
const RETRY_FIRST: Duration = Duration::from_secs(2);
const RETRY_LAST: Duration = Duration::from_secs(64);

/// What was found when a card was last looked for.
#[derive(Debug, Default)]
pub struct Found {
    wish: Option<String>,
    devices: Vec<Device>,
    /// Why the first choice is not the one that is open.
    instead: Option<String>,
    /// When that is to be tried again: a card that has just come may be forbidden for a moment, or in use.
    retry: Option<(Instant, Duration)>,
}

impl Found {
    /// Opens the first of all candidates that can be opened; or says why the first cannot.
    pub fn open(
        &mut self,
        wanted: &Wanted,
        side: Side,
        period: Duration,
        buffer: Duration,
    ) -> Result<Opened, String> {
        let (wish, devices) = (wanted.wish(), devices(&wanted.root));
        let is_same = self.wish == wish && self.devices == devices;
        let pause =
            self.retry.filter(|_| is_same).map_or(RETRY_FIRST, |(_, last)| (2 * last).min(RETRY_LAST));
        *self = Found { wish, devices, instead: None, retry: None };
        let taken = wanted.lent.take().ok_or(lent::REASON)?;
        for name in candidates(&self.devices, self.wish.as_deref(), side) {
            match open(&name, side, period, buffer) {
                Ok(mut opened) => {
                    opened.taken = Some(taken);
                    mixer::open_up(&name, side);
                    self.retry = self.instead.is_some().then(|| (Instant::now() + pause, pause));
                    return Ok(opened);
                }
                Err(reason) => _ = self.instead.get_or_insert(reason),
            }
        }
        Err(self
            .instead
            .clone()
            .unwrap_or_else(|| format!("no sound card that can {} was found", side.verb())))
    }

    /// Whether there are other cards now, or another wish, or it is lent, or it is time to try the first choice again.
    pub fn is_stale(&self, wanted: &Wanted) -> bool {
        let is_time = self.retry.is_some_and(|(at, _)| Instant::now() >= at);
        is_time
            || wanted.lent.is_asked_for()
            || self.wish != wanted.wish()
            || self.devices != devices(&wanted.root)
    }

    pub fn show(&self, shown: &Shown, opened: &Opened) {
        let device = self.devices.iter().find(|device| device.pcm == opened.name);
        shown.change(|state| {
            state.device = Some(opened.name.clone());
            state.card = device.map(|device| device.card.clone());
            (state.rate, state.channels) = (opened.rate, opened.channels as u32);
            state.reason.clone_from(&self.instead);
        });
    }
}
