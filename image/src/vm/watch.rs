//! Follows the serial logs of all PCs and remembers what they told.

use super::stages::{Lines, Memory, ServerPc, Stage, read};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often the logs are looked at; stage times are no finer than this.
/// A counting PC executes about 200 million instructions a second, so 10 ms are 0.02 % of a boot.
const TICK: Duration = Duration::from_millis(10);
/// Lines remembered for each PC.
const LINES_MAX: usize = 2000;
const CHUNK: usize = 64 * 1024;

/// When a PC reached a stage.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Reached {
    pub stage: Stage,
    /// Since power-on.
    pub seconds: f64,
    /// The guest's time stamp counter, where the line told it.
    pub clock: Option<u64>,
    /// Instructions executed since power-on, where the PC counts them.
    pub instructions: Option<u64>,
}

/// What is known of one PC since it was last switched on.
#[derive(Debug, Clone, Default)]
pub struct View {
    pub power_on: Option<Instant>,
    pub reached: Vec<Reached>,
    /// Seconds since power-on, and the line.
    pub lines: VecDeque<(f64, String)>,
    pub memory: Option<Memory>,
    pub address: Option<Ipv4Addr>,
    /// Why the PC is off though nobody switched it off.
    pub ended: Option<String>,
}

impl View {
    pub fn stage(&self) -> Option<Stage> {
        self.reached.iter().map(|reached| reached.stage).max()
    }

    pub fn at(&self, stage: Stage) -> Option<Reached> {
        self.reached.iter().find(|reached| reached.stage == stage).copied()
    }

    /// The last lines, as text.
    pub fn tail(&self, n: usize) -> String {
        let skip = self.lines.len().saturating_sub(n);
        let lines: Vec<_> = self.lines.iter().skip(skip).map(|(_, line)| line.as_str()).collect();
        lines.join("\n")
    }

    fn seconds(&self) -> f64 {
        self.power_on.map_or(0.0, |since| since.elapsed().as_secs_f64())
    }

    fn reach(&mut self, stage: Stage, clock: Option<u64>) -> bool {
        let is_new = self.stage().is_none_or(|last| stage > last);
        if is_new {
            self.reached.push(Reached { stage, seconds: self.seconds(), clock, instructions: None });
        } else if let Some(reached) = self.reached.iter_mut().find(|reached| reached.stage == stage) {
            // The boot server may have been quicker, but only the line tells the clock.
            reached.clock = reached.clock.or(clock);
        }
        is_new
    }

    fn take(&mut self, line: String) {
        let seconds = self.seconds();
        let told = read(&line);
        if let Some(stage) = told.stage {
            self.reach(stage, told.clock);
        }
        self.memory = told.memory.or(self.memory);
        self.address = told.address.or(self.address);
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back((seconds, line));
    }
}

/// The shared views, and a bell that rings when one changed.
#[derive(Debug)]
pub struct Watch {
    views: Mutex<Vec<View>>,
    bell: Condvar,
}

impl Watch {
    /// Begins to follow these logs; ends when the last other owner lets go.
    pub fn start(logs: Vec<PathBuf>) -> Arc<Self> {
        let views = Mutex::new(vec![View::default(); logs.len()]);
        let watch = Arc::new(Self { views, bell: Condvar::new() });
        let weak = Arc::downgrade(&watch);
        std::thread::spawn(move || {
            let mut tails: Vec<Tail> = logs.into_iter().map(Tail::new).collect();
            while let Some(watch) = weak.upgrade() {
                watch.look(&mut tails);
                drop(watch);
                std::thread::sleep(TICK);
            }
        });
        watch
    }

    pub fn views(&self) -> MutexGuard<'_, Vec<View>> {
        // A thread that died while it held the views left them whole: every change is one push.
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn view(&self, pc_idx: usize) -> View {
        self.views()[pc_idx].clone()
    }

    /// A PC is switched on: all that was known of it is old.
    pub fn switched_on(&self, pc_idx: usize) {
        self.views()[pc_idx] = View { power_on: Some(Instant::now()), ..View::default() };
    }

    /// A PC is off.
    pub fn switched_off(&self, pc_idx: usize, why: Option<String>) {
        self.views()[pc_idx].ended = Some(why.unwrap_or_else(|| "switched off".to_owned()));
        self.bell.notify_all();
    }

    /// Takes what the boot server says of a PC.
    pub fn told(&self, pc_idx: usize, pc: &ServerPc) {
        let mut views = self.views();
        let view = &mut views[pc_idx];
        let Some(stage) = view.power_on.and_then(|_| pc.stage(view.seconds())) else { return };
        let address = pc.address.as_deref().and_then(|address| address.parse().ok());
        view.address = view.address.or(address);
        if view.reach(stage, None) {
            self.bell.notify_all();
        }
    }

    /// Notes what a counting PC had executed when it reached the n-th of its stages.
    pub fn counted(&self, pc_idx: usize, reached_idx: usize, instructions: u64) {
        if let Some(reached) = self.views()[pc_idx].reached.get_mut(reached_idx) {
            reached.instructions = Some(instructions);
        }
        self.bell.notify_all();
    }

    /// Waits until `done` says something of a view, at most until the deadline.
    pub fn wait<T>(&self, pc_idx: usize, deadline: Instant, done: impl Fn(&View) -> Option<T>) -> Option<T> {
        let mut views = self.views();
        loop {
            if let Some(answer) = done(&views[pc_idx]) {
                return Some(answer);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let waited = self.bell.wait_timeout(views, left);
            views = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn look(&self, tails: &mut [Tail]) {
        let mut changed = false;
        for (pc_idx, tail) in tails.iter_mut().enumerate() {
            let lines = tail.new_lines();
            if !lines.is_empty() {
                changed = true;
                let mut views = self.views();
                lines.into_iter().for_each(|line| views[pc_idx].take(line));
            }
        }
        if changed {
            self.bell.notify_all();
        }
    }
}

/// One growing file.
struct Tail {
    path: PathBuf,
    file: Option<File>,
    lines: Lines,
}

impl Tail {
    fn new(path: PathBuf) -> Self {
        Self { path, file: None, lines: Lines::default() }
    }

    fn new_lines(&mut self) -> Vec<String> {
        if self.file.is_none() {
            self.file = File::open(&self.path).ok();
        }
        let Some(file) = &mut self.file else { return Vec::new() };
        let mut bytes = Vec::new();
        match file.take(CHUNK as u64).read_to_end(&mut bytes) {
            Ok(_) => self.lines.add(&bytes),
            Err(_) => {
                let _ = file.seek(SeekFrom::End(0));
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lines: &[&str], want: &[Stage]) {
        let mut view = View { power_on: Some(Instant::now()), ..View::default() };
        lines.iter().for_each(|line| view.take((*line).to_owned()));
        let got: Vec<_> = view.reached.iter().map(|reached| reached.stage).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn a_stage_is_reached_once() {
        check(&["SeaBIOS", "more", "iPXE 1.0", "iPXE 1.0"], &[Stage::Firmware, Stage::Ipxe]);
    }

    #[test]
    fn a_stage_never_goes_back() {
        check(
            &["[ 0.0] Linux version 6", "duet: multi-user clock=1", "iPXE 1.0"],
            &[Stage::Kernel, Stage::MultiUser],
        );
    }

    #[test]
    fn the_clock_of_a_line_is_kept_even_when_the_server_was_quicker() {
        let mut view = View::default();
        assert!(view.reach(Stage::MultiUser, None));
        view.take("duet: multi-user clock=7".to_owned());
        assert_eq!(view.at(Stage::MultiUser).unwrap().clock, Some(7));
    }

    #[test]
    fn old_lines_are_forgotten() {
        let mut view = View::default();
        (0..LINES_MAX + 5).for_each(|n| view.take(n.to_string()));
        assert_eq!(view.lines.len(), LINES_MAX);
        assert_eq!(view.tail(1), (LINES_MAX + 4).to_string());
    }
}
