//! The thread that has all keyboards: it waits for keys, for devices that come and for those that go.

use super::device::{Device, End};
use super::event::Told;
use super::names;
use crate::talk::parts::Event;
use crate::talk::{Post, Refused};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use rustix::time::Timespec;
use serde::Serialize;
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use voice::key::{Input, Source};

/// More input devices are not listened to.
pub const DEVICES_MAX: usize = 32;
/// Presses that the talk did not take yet; then devices wait, and the kernel says what it had to drop.
const PENDING_MAX: usize = 256;
/// A folder of devices that is not there yet is looked for so often.
const LOOK_AFTER: Duration = Duration::from_secs(1);
/// A talk that is busy is asked again after this.
const AGAIN_AFTER: Duration = Duration::from_millis(4);

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct KeysState {
    /// Devices that are listened to, such as `event3: USB Keyboard`.
    pub devices: Vec<String>,
    /// Seconds since a wished key went down.
    pub last_press_s: Option<f64>,
    /// What is wrong, in a sentence.
    pub reason: Option<String>,
}

#[derive(Debug, Default)]
struct Shared {
    /// What is wished now; nothing means all keys.
    wished: Option<BTreeSet<u16>>,
    unknown: Option<String>,
    is_changed: bool,
    is_told_anew: bool,
    is_closed: bool,
    state: KeysState,
    last_press: Option<Instant>,
}

#[derive(Debug)]
struct Common {
    shared: Mutex<Shared>,
    wake: OwnedFd,
}

impl Common {
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        // A counter that is full wakes too.
        _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }
}

/// The keys of this PC; what they do ends with it.
#[derive(Debug)]
pub struct LocalKeys {
    common: Arc<Common>,
    thread: Option<JoinHandle<()>>,
}

impl LocalKeys {
    /// Presses of these keys, or of all, are told to `post`; devices are looked for below `root`, which is `/`.
    pub fn start(root: &Path, keys: Option<&[String]>, post: &Post) -> io::Result<LocalKeys> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let common = Arc::new(Common { shared: Mutex::default(), wake });
        let mut local = LocalKeys { common: common.clone(), thread: None };
        local.set(keys);
        let thread = Thread {
            root: root.to_path_buf(),
            common,
            post: post.clone(),
            devices: Vec::new(),
            refused: None,
            pending: VecDeque::new(),
        };
        local.thread = Some(Builder::new().name("keys".into()).spawn(|| thread.run())?);
        Ok(local)
    }

    /// What the owner says now. If the keys are others, one that is held has let go by it.
    pub fn set(&self, keys: Option<&[String]>) {
        let mut shared = self.common.shared();
        let wished = keys.map(|keys| keys.iter().filter_map(|name| names::code(name)).collect());
        shared.is_changed |= shared.wished != wished;
        shared.wished = wished;
        let unknown = keys.unwrap_or_default().iter().find(|name| names::code(name).is_none());
        shared.unknown = unknown.map(|name| format!("there is no key {name:?}"));
        shared.is_told_anew = true;
        drop(shared);
        self.common.wake();
    }

    pub fn state(&self) -> KeysState {
        let shared = self.common.shared();
        let last_press_s = shared.last_press.map(|at| at.elapsed().as_secs_f64());
        KeysState { last_press_s, ..shared.state.clone() }
    }
}

impl Drop for LocalKeys {
    fn drop(&mut self) {
        self.common.shared().is_closed = true;
        self.common.wake();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so itself.
            _ = thread.join();
        }
    }
}

struct Thread {
    root: PathBuf,
    common: Arc<Common>,
    post: Post,
    devices: Vec<Device>,
    /// Why a device could not be opened.
    refused: Option<String>,
    pending: VecDeque<Input>,
}

impl Thread {
    fn run(mut self) {
        let mut watch = None;
        let mut must_look = true;
        loop {
            let (is_changed, is_told_anew, is_closed) = {
                let mut shared = self.common.shared();
                let is_told_anew = std::mem::take(&mut shared.is_told_anew);
                (std::mem::take(&mut shared.is_changed), is_told_anew, shared.is_closed)
            };
            if is_closed {
                return;
            }
            if is_changed {
                (0..self.devices.len()).rev().for_each(|idx| self.drop_device(idx));
            }
            must_look |= is_told_anew;
            // The folder goes with its last device, and comes as another one.
            if must_look && watch.as_ref().is_some_and(|watch| self.follow(watch).is_err()) {
                watch = None;
            }
            if watch.is_none() {
                watch = self.watch();
                must_look |= watch.is_some();
            }
            if std::mem::take(&mut must_look) {
                self.look();
            }
            if !self.send() {
                return;
            }
            must_look = self.wait(watch.as_ref());
        }
    }

    /// Tells what happens in the folder of the devices, once it is there.
    fn watch(&self) -> Option<OwnedFd> {
        let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
        self.follow(&watch).ok()?;
        Some(watch)
    }

    /// Again and again the same, while it is the same folder.
    fn follow(&self, watch: &OwnedFd) -> rustix::io::Result<()> {
        // The right to read is given to a device after it was made.
        let flags = WatchFlags::CREATE | WatchFlags::ATTRIB | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
        inotify::add_watch(watch, self.root.join("dev/input"), flags).map(drop)
    }

    /// Opens the devices that are new.
    fn look(&mut self) {
        let wished = self.common.shared().wished.clone();
        self.refused = None;
        let mut numbers: Vec<u32> = std::fs::read_dir(self.root.join("dev/input"))
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_prefix("event")?.parse().ok())
            .filter(|number| self.devices.iter().all(|device| device.number != *number))
            .collect();
        numbers.sort_unstable();
        for number in numbers {
            if self.devices.len() >= DEVICES_MAX {
                self.refused = Some(format!("more than {DEVICES_MAX} input devices are not listened to"));
                break;
            }
            match Device::open(&self.root, number, wished.as_ref()) {
                Ok(device) => self.devices.extend(device),
                Err(Errno::ACCESS | Errno::PERM) => {
                    self.refused = Some(format!(
                        "this program may not read /dev/input/event{number}: its user must be in the group input"
                    ));
                }
                // It went as it came.
                Err(_) => {}
            }
        }
        self.show();
    }

    fn show(&self) {
        let devices: Vec<String> =
            self.devices.iter().map(|device| format!("event{}: {}", device.number, device.name)).collect();
        let mut shared = self.common.shared();
        let none =
            || devices.is_empty().then(|| "no keyboard or button with one of the keys was found".into());
        shared.state.reason = shared.unknown.clone().or_else(|| self.refused.clone()).or_else(none);
        shared.state.devices = devices;
    }

    /// Until there is something to do; says whether devices are to be looked for.
    fn wait(&mut self, watch: Option<&OwnedFd>) -> bool {
        let timeout = match watch {
            _ if !self.pending.is_empty() => Some(AGAIN_AFTER),
            None => Some(LOOK_AFTER),
            Some(_) => None,
        };
        let timeout = timeout.and_then(|time| Timespec::try_from(time).ok());
        let is_full = self.pending.len() >= PENDING_MAX;
        let listened = if is_full { &[][..] } else { &self.devices[..] };
        let files =
            [&self.common.wake].into_iter().chain(watch).chain(listened.iter().map(|device| &device.file));
        let mut files: Vec<PollFd> = files.map(|file| PollFd::new(file, PollFlags::IN)).collect();
        if poll(&mut files, timeout.as_ref()).is_err() {
            // A signal; whatever is ready is so the next time.
            return false;
        }
        let ready: Vec<bool> = files.iter().map(|file| !file.revents().is_empty()).collect();
        let n_others = ready.len() - listened.len();
        let mut bytes = [0; 4096];
        for file in [&self.common.wake].into_iter().chain(watch) {
            // What is in it does not matter, only that it is taken; an empty one says so.
            _ = rustix::io::read(file, &mut bytes);
        }
        let mut must_look = watch.is_some() && ready[1];
        for (idx, _) in ready[n_others..].iter().enumerate().rev().filter(|(_, is_ready)| **is_ready) {
            if self.read(idx) == End::Gone {
                self.drop_device(idx);
                // Another may have come under the same name.
                must_look = true;
            }
        }
        must_look
    }

    fn read(&mut self, idx: usize) -> End {
        let device = &mut self.devices[idx];
        let number = device.number;
        let mut was_pressed = false;
        let pending = &mut self.pending;
        let end = device.read(&mut |told| {
            let source = |code| Source::Key { device: number, code };
            match told {
                Told::Down(code) => {
                    was_pressed = true;
                    pending.push_back(Input::Down(source(code)));
                }
                Told::Up(code) => pending.push_back(Input::Up(source(code))),
                Told::Ask => {}
            }
        });
        if was_pressed {
            self.common.shared().last_press = Some(Instant::now());
        }
        end
    }

    fn drop_device(&mut self, idx: usize) {
        let device = self.devices.swap_remove(idx);
        if device.is_down() {
            self.pending.push_back(Input::Gone { device: device.number });
        }
        self.show();
    }

    /// What the talk does not take now is kept; says whether there is a talk.
    fn send(&mut self) -> bool {
        while let Some(input) = self.pending.pop_front() {
            match self.post.offer(Event::Key(input)) {
                Ok(()) => {}
                Err(Refused::Full(_)) => {
                    self.pending.push_front(input);
                    return true;
                }
                Err(Refused::Over) => return false,
            }
        }
        true
    }
}
