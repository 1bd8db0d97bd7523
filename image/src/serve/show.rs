//! Shows what happens: a live table on a terminal, plain lines, or JSON lines.
//!
//! A thread of its own writes: a stopped terminal, or a pipe that nobody empties, holds up no boot.

use super::events::{Event, Stamped};
use super::{Shared, table, view};
use rustix::termios::{isatty, tcgetwinsize};
use std::io::{Write, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, SyncSender, TrySendError, channel, sync_channel};
use std::time::Duration;

/// The table is redrawn, and lines are written, this often.
const TURN: Duration = Duration::from_millis(250);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// Redrawn in place.
    Table { colours: bool },
    /// One sentence a line.
    Plain,
    /// One JSON object a line.
    Json,
    /// Nothing, for a server inside another program.
    Silent,
}

impl Show {
    /// What fits the wishes and the terminal. `NO_COLOR` is that of no-color.org.
    pub fn choose(json: bool, plain: bool) -> Show {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        match (json, plain || dumb || !isatty(stdout())) {
            (true, _) => Show::Json,
            (false, true) => Show::Plain,
            (false, false) => {
                Show::Table { colours: std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()) }
            }
        }
    }
}

/// Texts that wait for a slow reader; with one every 250 ms that is half a minute. Later ones are left out.
const WAITING_MAX: usize = 128;
/// At the end a slow reader is waited for so long.
const FINISH: Duration = Duration::from_secs(1);

/// Shows for ever.
pub async fn serve(show: Show, shared: Arc<Shared>, writer: Arc<Writer>) {
    let mut screen = Screen::default();
    loop {
        turn(show, &shared, &mut screen, &writer);
        tokio::time::sleep(TURN).await;
    }
}

enum Job {
    Write(String),
    /// Everything before this was written.
    Finish(Sender<()>),
}

/// Writes on a thread of its own, and never makes its caller wait.
pub struct Writer {
    jobs: SyncSender<Job>,
    /// Lines that nobody could read, not told of yet.
    left_out: AtomicU64,
}

impl Writer {
    pub fn new(mut sink: impl Write + Send + 'static) -> Writer {
        let (jobs, waiting) = sync_channel(WAITING_MAX);
        let write = move || {
            for job in waiting {
                match job {
                    // Nobody reading (a closed pipe) is no reason to stop serving.
                    Job::Write(text) => drop(sink.write_all(text.as_bytes()).and_then(|()| sink.flush())),
                    Job::Finish(done) => drop(done.send(())),
                }
            }
        };
        // Without a thread everything is left out, and the boots go on.
        let _ = std::thread::Builder::new().name("show".to_owned()).spawn(write);
        Writer { jobs, left_out: AtomicU64::new(0) }
    }

    /// Takes a text, or counts its lines as left out when too much waits.
    pub fn offer(&self, text: String) -> bool {
        let lost = match self.jobs.try_send(Job::Write(text)) {
            Ok(()) => return true,
            Err(TrySendError::Full(Job::Write(text)) | TrySendError::Disconnected(Job::Write(text))) => text,
            Err(_) => return false,
        };
        self.left_out.fetch_add(lost.lines().count() as u64, Ordering::Relaxed);
        false
    }

    /// Waits for what was taken, for a moment at most.
    pub fn finish(&self) {
        self.finish_within(FINISH);
    }

    fn finish_within(&self, patience: Duration) -> bool {
        let (done, wait) = channel();
        self.jobs.try_send(Job::Finish(done)).is_ok() && wait.recv_timeout(patience).is_ok()
    }
}

/// What is drawn now, so that it can be drawn over.
#[derive(Clone, Copy, Default)]
pub struct Screen {
    lines: usize,
    drawn: Option<(u64, u64)>,
}

/// Shows what is new.
pub fn turn(show: Show, shared: &Shared, screen: &mut Screen, writer: &Writer) {
    if let Show::Table { colours } = show {
        while shared.desk().poll().is_some() {}
        let before = *screen;
        if redraw(shared, colours, screen).is_some_and(|text| !writer.offer(text)) {
            // What is on the terminal is still the table before.
            *screen = before;
        }
        return;
    }
    let text = lines(show, shared);
    if text.is_empty() {
        return;
    }
    let left_out = writer.left_out.swap(0, Ordering::Relaxed);
    let told = if left_out > 0 {
        let sentence = format!("{left_out} lines were left out: nobody read them in time");
        line(show, &Stamped { at_s: shared.now_ms() as f64 / 1000.0, event: Event::Note { sentence } })
    } else {
        String::new()
    };
    if !writer.offer(told + &text) && left_out > 0 {
        // The line that told of it was lost as well, and counted.
        writer.left_out.fetch_add(left_out - 1, Ordering::Relaxed);
    }
}

fn line(show: Show, event: &Stamped) -> String {
    match show {
        Show::Plain => event.line() + "\n",
        Show::Json => event.json() + "\n",
        Show::Table { .. } | Show::Silent => String::new(),
    }
}

fn lines(show: Show, shared: &Shared) -> String {
    let mut text = String::new();
    loop {
        let Some(event) = shared.desk().poll() else { break };
        text += &line(show, &event);
    }
    text
}

/// The table anew, or `None` when nothing changed within this second.
fn redraw(shared: &Shared, colours: bool, screen: &mut Screen) -> Option<String> {
    let now_ms = shared.now_ms();
    let snapshot = view::snapshot(&shared.desk(), now_ms);
    let drawn = Some((snapshot.version, now_ms / 1000));
    if screen.drawn == drawn {
        return None;
    }
    screen.drawn = drawn;
    let (columns, rows) = size();
    let table = table::draw(&snapshot, columns, rows, colours);
    // Up over the old table, each line cleared to its end as it is written, and what was below it cleared too.
    let up = if screen.lines > 0 { format!("\u{1b}[{}A\r", screen.lines) } else { String::new() };
    screen.lines = table.lines().count();
    Some(format!("{up}{}\u{1b}[J", table.replace('\n', "\u{1b}[K\n")))
}

fn size() -> (usize, usize) {
    match tcgetwinsize(stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => (80, 24),
    }
}

#[cfg(test)]
mod tests {
    use super::super::desk::Desk;
    use super::*;
    use std::sync::Mutex;
    use std::sync::mpsc::Receiver;

    /// Takes nothing until its other end is dropped.
    struct Stuck {
        is_stuck: Sender<()>,
        until: Receiver<()>,
        text: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let _ = self.is_stuck.send(());
            let _ = self.until.recv();
            self.text.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_is_stuck_holds_nobody_up_and_what_it_missed_is_counted() {
        let (stuck, until) = channel();
        let (is_stuck, once_stuck) = channel();
        let text = Arc::new(Mutex::new(Vec::new()));
        let writer = Writer::new(Stuck { is_stuck, until, text: text.clone() });
        let shared =
            Shared::new(Desk::new("10.77.0.1:80".parse().unwrap(), "br0", "proxy"), Default::default());
        let note = |sentence: String| {
            shared.desk().tell(Event::Note { sentence }, 0);
            turn(Show::Plain, &shared, &mut Screen::default(), &writer);
        };
        let n_lines = 2 * WAITING_MAX;
        note("line 0".to_owned());
        once_stuck.recv().unwrap();
        (1..n_lines).for_each(|n| note(format!("line {n}")));
        let left_out = writer.left_out.load(Ordering::Relaxed) as usize;
        assert!((n_lines - WAITING_MAX - 1..=n_lines - WAITING_MAX).contains(&left_out), "{left_out}");
        drop(stuck);
        let finish = || while !writer.finish_within(Duration::from_secs(60)) {};
        finish();
        note("the end".to_owned());
        finish();
        let text = String::from_utf8(text.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), n_lines - left_out + 2);
        assert!(
            text.contains(&format!("{left_out} lines were left out: nobody read them in time\n")),
            "{text}"
        );
    }
}
