//! The line itself: what is typed and what the agent tells come in, text goes out; and waiting for either.

use super::screen::Screen;
use crate::text::plain;
use serde_json::Value;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

/// Bytes taken from the line at once.
const READ_BYTES: usize = 256;
/// Longer lines are cut: nobody types them.
const LINE_BYTES_MAX: usize = 512;
/// Lines that wait for a command that goes on; more is noise on the cable.
const LINES_MAX: usize = 16;

/// What the line and the agent say.
pub enum Event {
    Typed(Vec<u8>),
    Told(String),
    /// The line is closed.
    End(io::Result<()>),
}

/// Why waiting ended.
#[derive(Debug)]
pub enum Woken {
    Line(String),
    Told(Value),
    Quiet,
}

pub struct Line<W> {
    events: Receiver<Event>,
    output: W,
    pub screen: Screen,
    begun: Vec<u8>,
    /// The last was `\r`: a `\n` behind it ends no other line.
    is_ended: bool,
    lines: VecDeque<String>,
}

/// The line is closed: every command ends.
#[derive(Debug)]
pub struct Closed(pub io::Result<()>);

impl From<io::Error> for Closed {
    fn from(error: io::Error) -> Closed {
        Closed(Err(error))
    }
}

impl<W: Write> Line<W> {
    pub fn new(events: Receiver<Event>, output: W) -> Line<W> {
        Line {
            events,
            output,
            screen: Screen::default(),
            begun: Vec::new(),
            is_ended: false,
            lines: VecDeque::new(),
        }
    }

    /// A text of whole lines that begins on a line of its own. Names of cards, keys and models come from outside: none of
    /// their letters moves the cursor.
    pub fn say(&mut self, text: &str) -> Result<(), Closed> {
        let text: String = text.chars().map(plain).collect();
        let text = self.screen.alone(&text);
        self.write(&text)
    }

    /// As it is, with the cursor where it leaves it.
    pub fn write(&mut self, text: &str) -> Result<(), Closed> {
        self.output.write_all(text.as_bytes())?;
        self.output.flush()?;
        Ok(())
    }

    /// What the agent tells is shown as a conversation.
    pub fn show(&mut self, told: &Value) -> Result<(), Closed> {
        let text = self.screen.told(told);
        self.write(&text)
    }

    /// Until something is typed or told, but not for longer than this.
    pub fn wait(&mut self, limit: Option<Duration>) -> Result<Woken, Closed> {
        let until = limit.map(|limit| Instant::now() + limit);
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Ok(Woken::Line(line));
            }
            let event = match until {
                None => self.events.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(until) => self.events.recv_timeout(until.saturating_duration_since(Instant::now())),
            };
            match event {
                Ok(Event::Typed(bytes)) => self.typed(&bytes),
                // What is no JSON is nothing that a screen shows.
                Ok(Event::Told(line)) => {
                    return Ok(Woken::Told(serde_json::from_str(&line).unwrap_or_default()));
                }
                Ok(Event::End(end)) => return Err(Closed(end)),
                Err(RecvTimeoutError::Timeout) => return Ok(Woken::Quiet),
                Err(RecvTimeoutError::Disconnected) => return Err(Closed(Ok(()))),
            }
        }
    }

    /// What was written to, once nobody waits any more.
    pub fn end(self) -> W {
        self.output
    }

    /// As if this were typed next.
    pub fn again(&mut self, line: String) {
        self.lines.push_front(line);
    }

    fn typed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let was_ended = std::mem::replace(&mut self.is_ended, *byte == b'\r');
            match byte {
                b'\n' if was_ended => {}
                // A terminal in another mode ends its lines otherwise.
                b'\n' | b'\r' => {
                    let line = String::from_utf8_lossy(&std::mem::take(&mut self.begun)).into_owned();
                    if self.lines.len() < LINES_MAX {
                        self.lines.push_back(line);
                    }
                }
                byte if self.begun.len() < LINE_BYTES_MAX => self.begun.push(*byte),
                _ => {}
            }
        }
    }
}

/// Hands on what is typed, until the line closes.
pub fn typing(mut input: impl Read, events: &SyncSender<Event>) {
    let mut bytes = [0; READ_BYTES];
    loop {
        let event = match input.read(&mut bytes) {
            Ok(0) => Event::End(Ok(())),
            Ok(n) => Event::Typed(bytes[..n].to_vec()),
            Err(error) => Event::End(Err(error)),
        };
        let is_end = matches!(event, Event::End(_));
        if events.send(event).is_err() || is_end {
            return;
        }
    }
}
