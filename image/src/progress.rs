//! Progress of long work: a bar with bytes and a time left on a terminal, plain lines elsewhere.
//!
//! Everything goes to stderr, so that figures on stdout stay clean.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How often a plain line tells that long work is still going on.
const PLAIN_EVERY: Duration = Duration::from_secs(15);
const NOTE_CHARS_MAX: usize = 60;

/// A piece of work of several steps.
pub struct Progress {
    n_steps: usize,
    step_idx: Mutex<usize>,
    terminal: bool,
    started: Instant,
}

/// One step that is being worked on.
pub struct Step {
    bar: Option<ProgressBar>,
    label: String,
    started: Instant,
    plain: Mutex<Plain>,
}

struct Plain {
    said: Instant,
    at: u64,
    of: Option<u64>,
    note: String,
}

impl Progress {
    pub fn new(n_steps: usize) -> Progress {
        let terminal = std::io::stderr().is_terminal();
        Progress { n_steps, step_idx: Mutex::new(0), terminal, started: Instant::now() }
    }

    /// Begins a step; `bytes` gives a bar with a time left.
    pub fn step(&self, what: &str, bytes: Option<u64>) -> Step {
        let label = format!("{} {what}", self.next());
        let bar = self.terminal.then(|| draw(&label, bytes));
        if bar.is_none() {
            eprintln!("{label}");
        }
        let plain = Plain { said: Instant::now(), at: 0, of: bytes, note: String::new() };
        Step { bar, label, started: Instant::now(), plain: Mutex::new(plain) }
    }

    /// Tells that a step's result still stands.
    pub fn skip(&self, what: &str) {
        eprintln!("{} {what}: unchanged", self.next());
    }

    pub fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    fn next(&self) -> String {
        let mut idx = self.step_idx.lock().expect("no holder of this lock can panic");
        *idx += 1;
        format!("[{:>2}/{}]", *idx, self.n_steps)
    }
}

fn draw(label: &str, bytes: Option<u64>) -> ProgressBar {
    let bar = match bytes {
        Some(total) => ProgressBar::new(total),
        None => ProgressBar::new_spinner(),
    };
    bar.set_draw_target(ProgressDrawTarget::stderr());
    let template = match bytes {
        Some(_) => "{prefix} {bar:24} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta} left",
        None => "{prefix} {spinner} {elapsed} {wide_msg}",
    };
    let style = ProgressStyle::with_template(template).expect("both templates are fixed and valid");
    bar.set_style(style);
    bar.set_prefix(label.to_string());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

impl Step {
    /// How many of the bytes are done.
    pub fn at(&self, bytes: u64) {
        match &self.bar {
            Some(bar) => bar.set_position(bytes),
            None => self.plainly(|plain| plain.at = bytes),
        }
    }

    /// What is happening right now; the latest line of a tool, for example.
    pub fn note(&self, text: &str) {
        let text: String = text.chars().filter(|c| !c.is_control()).take(NOTE_CHARS_MAX).collect();
        match &self.bar {
            Some(bar) => bar.set_message(text),
            None => self.plainly(|plain| plain.note = text),
        }
    }

    /// A line that stays, such as why it takes longer.
    pub fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => eprintln!("{}: {text}", self.name()),
        }
    }

    /// Ends the step with a short result.
    pub fn done(self, result: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        eprintln!("{}: {result} ({:.1} s)", self.name(), self.started.elapsed().as_secs_f64());
    }

    /// The label without what explains it.
    fn name(&self) -> &str {
        self.label.split(':').next().unwrap_or_default()
    }

    fn plainly(&self, change: impl FnOnce(&mut Plain)) {
        let mut plain = self.plain.lock().expect("no holder of this lock can panic");
        change(&mut plain);
        if plain.said.elapsed() < PLAIN_EVERY {
            return;
        }
        plain.said = Instant::now();
        let seconds = self.started.elapsed().as_secs();
        match plain.of {
            Some(of) => {
                eprintln!("{}: {} of {} after {seconds} s", self.name(), megabytes(plain.at), megabytes(of))
            }
            None => eprintln!("{}: {seconds} s, {}", self.name(), plain.note),
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// Bytes for a person, in the units disks and networks are sold in.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
