//! The hands of a ring's head: its two connections, its machine, and when to dial again.

use super::Seat;
use super::door::{Came, Registry};
use super::head::Tell;
use super::told::Part;
use super::wire::{Line, until};
use service::log::{self, Level};
use split::pipe::{self, Head, Input, LinkOutput, Output};
use split::place::RING_ROWS;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Receiver as Knocks, UnboundedReceiver};
use tokio::task::JoinHandle;

/// Between two attempts to build the ring.
const DIAL_PAUSE: Duration = Duration::from_millis(100);

/// To the rings' thread.
pub enum Ask {
    Input(Input),
    /// The stages are wished elsewhere.
    Remake(Seat),
}

/// The connections of a head, and its machine.
struct Hands {
    seat: Seat,
    head: Head,
    before: Option<Line>,
    after: Option<Line>,
    dial: Option<JoinHandle<io::Result<TcpStream>>>,
    next_dial: Instant,
    tell: Sender<Tell>,
    n_opened: Vec<u64>,
    registry: Registry,
    part: Option<Part>,
    /// What was said last of the ring, so that a log has one line for each change.
    said: String,
}

/// Until the backend is dropped.
pub async fn run(
    seat: Seat,
    mut knocks: Knocks<Came>,
    registry: Registry,
    mut inbox: UnboundedReceiver<Ask>,
    tell: Sender<Tell>,
    part: Option<Part>,
) {
    let now = Instant::now();
    let mut hands = Hands {
        head: Head::new(now, seat.hello.clone(), RING_ROWS as usize, RandomState::new().hash_one(0)),
        before: None,
        after: None,
        dial: None,
        next_dial: now,
        tell,
        n_opened: vec![0; usize::from(seat.hello.n_slots)],
        registry,
        part,
        said: String::new(),
        seat,
    };
    loop {
        hands.settle();
        let wake = hands.wake();
        tokio::select! {
            input = inbox.recv() => match input {
                Some(Ask::Input(input)) => hands.take(input),
                Some(Ask::Remake(seat)) => knocks = hands.remake(seat),
                None => return,
            },
            () = happen(&mut hands.before) => {}
            () = happen(&mut hands.after) => {}
            stream = dialled(&mut hands.dial) => hands.dialled(stream),
            came = knocks.recv() => match came {
                Some(came) => hands.came(came),
                None => return,
            },
            () = until(wake) => hands.time(),
        }
    }
}

async fn happen(line: &mut Option<Line>) {
    match line {
        Some(line) => line.happen().await,
        None => std::future::pending().await,
    }
}

async fn dialled(dial: &mut Option<JoinHandle<io::Result<TcpStream>>>) -> io::Result<TcpStream> {
    let Some(task) = dial else { return std::future::pending().await };
    let stream = task.await.unwrap_or_else(|e| Err(io::Error::other(e)));
    *dial = None;
    stream
}

impl Hands {
    fn wake(&self) -> Option<Instant> {
        let dial = (self.after.is_none() && self.dial.is_none()).then_some(self.next_dial);
        [dial, self.head.deadline()].into_iter().flatten().min()
    }

    fn tells(&self, what: impl Fn(&Part)) {
        self.part.as_ref().inspect(|part| what(part));
    }

    fn take(&mut self, input: Input) {
        if let Input::Open { slot, .. } = &input
            && let Some(n) = self.n_opened.get_mut(usize::from(*slot))
        {
            *n += 1;
        }
        self.head.handle(Instant::now(), input);
    }

    /// Other neighbours, and perhaps another name; the slice stays, and so does what was computed with it.
    fn remake(&mut self, seat: Seat) -> Knocks<Came> {
        log::say(Level::Info, "rpc-worker: the ring is made anew");
        let knocks = self.registry.expect(seat.hello.key);
        for line in [self.before.take(), self.after.take()].into_iter().flatten() {
            line.end("the ring is made anew");
        }
        // Its connection leads to who is next no more.
        self.dial = None;
        (self.seat, self.next_dial) = (seat, Instant::now());
        let Seat { hello, next } = &self.seat;
        self.tells(|part| part.moved(hello.stage_idx, hello.n_stages, *next));
        self.head.handle(Instant::now(), Input::Remake(self.seat.hello.clone()));
        knocks
    }

    fn time(&mut self) {
        let now = Instant::now();
        self.head.handle(now, Input::Time);
        if self.after.is_none() && self.dial.is_none() && now >= self.next_dial {
            let next = self.seat.next;
            self.dial = Some(tokio::spawn(async move {
                let late = |_| io::Error::from(io::ErrorKind::TimedOut);
                tokio::time::timeout(super::DIAL_TIME_MAX, TcpStream::connect(next)).await.map_err(late)?
            }));
        }
    }

    fn dialled(&mut self, stream: io::Result<TcpStream>) {
        match stream {
            Ok(stream) => self.after = Some(Line::dial(stream, self.seat.hello.clone())),
            Err(error) => {
                self.tells(Part::doubts_next);
                self.fall(format!("the stage at {} cannot be reached: {error}", self.seat.next));
            }
        }
    }

    /// The last stage is there. If it was there before, that line is dead and does not know it.
    fn came(&mut self, came: Came) {
        if !self.head.is_down() {
            self.fall("the last stage came anew".to_owned());
        }
        let mine = self.seat.hello.clone();
        self.before = Some(Line::accept(came.stream, came.read, mine, &came.hello));
    }

    fn fall(&mut self, why: String) {
        if self.after.as_ref().is_some_and(|line| !line.was_up()) {
            self.tells(Part::doubts_next);
        }
        for line in [self.before.take(), self.after.take()].into_iter().flatten() {
            line.end(&why);
        }
        self.tells(|part| part.lost(&why));
        if self.said != why {
            log::say(Level::Warning, &format!("rpc-worker: the ring is lost: {why}"));
            self.said.clone_from(&why);
        }
        // A ring that was there is built anew at once.
        let pause = if self.head.is_down() { DIAL_PAUSE } else { Duration::ZERO };
        self.next_dial = Instant::now() + pause;
        self.head.handle(Instant::now(), Input::Down(why));
    }

    /// Carries everything that is to be said and done.
    fn settle(&mut self) {
        loop {
            let mut is_quiet = true;
            if let Some(output) = self.before.as_mut().and_then(Line::poll) {
                is_quiet = false;
                match output {
                    LinkOutput::Came(frame) => self.head.handle(Instant::now(), Input::Came(frame)),
                    output => self.line(output),
                }
            }
            if let Some(output) = self.after.as_mut().and_then(Line::poll) {
                is_quiet = false;
                match output {
                    LinkOutput::Came(_) => self.fall("the next stage said what only goes forward".to_owned()),
                    output => self.line(output),
                }
            }
            if let Some(output) = self.head.poll() {
                is_quiet = false;
                self.carry(output);
            }
            if is_quiet {
                return;
            }
        }
    }

    fn line(&mut self, output: LinkOutput) {
        match output {
            LinkOutput::Up => {
                if self.after.as_ref().is_some_and(|line| line.link.is_up()) {
                    self.tells(Part::reached_next);
                }
                let is_up = |line: &Option<Line>| line.as_ref().is_some_and(|line| line.link.is_up());
                if is_up(&self.before) && is_up(&self.after) {
                    log::say(Level::Info, "rpc-worker: the ring is closed");
                    self.said.clear();
                    self.tells(Part::connected);
                    self.head.handle(Instant::now(), Input::Up);
                }
            }
            LinkOutput::Down(why) => self.fall(why),
            LinkOutput::Send(_) | LinkOutput::Came(_) => {}
        }
    }

    fn carry(&mut self, output: Output) {
        // If the scheduler is gone, the inbox ends as well.
        match output {
            Output::Evaluate { slot, at, tokens } => _ = self.tell.send(Tell::Evaluate { slot, at, tokens }),
            Output::Event(event) => {
                let slot = match &event {
                    pipe::Event::Done { slot, .. } | pipe::Event::Failed { slot, .. } => *slot,
                };
                let n_opened = self.n_opened.get(usize::from(slot)).copied().unwrap_or(0);
                let _ = self.tell.send(Tell::Event { n_opened, event });
            }
            Output::Send(frame) => {
                if let Some(line) = &mut self.after {
                    line.link.send(Instant::now(), frame);
                }
            }
            Output::Drop(why) => self.fall(why),
        }
    }
}
