//! The head of a ring: what the scheduler asks goes through the own slice here, and through the others by the ring.
//!
//! The machine and the connections live on the rings' thread; the own slice is computed by whoever waits for events,
//! which is the scheduler's thread.

use super::door::{Came, Registry};
use super::layers::Layers;
use super::wire::{Line, until};
use super::{Ring, Seat};
use crate::expert::backend::{Backend, BackendError, Chosen, Event, Manner, Shape, Slot, Work};
use engine::Model;
use service::log::{self, Level};
use split::pipe::{self, Head, Input, LinkOutput, Output};
use split::wire::{self as frames, Blame};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver as Knocks, UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

/// Rows of a piece: few enough that a prompt of some hundred tokens keeps every stage busy.
const ROWS: usize = 64;
/// Between two attempts to build the ring.
const DIAL_PAUSE: Duration = Duration::from_millis(200);
/// How long the scheduler's thread waits before it looks after new requests.
const WAIT: Duration = Duration::from_millis(20);

/// To the scheduler's thread.
enum Tell {
    Evaluate {
        slot: u16,
        at: u32,
        tokens: Vec<i32>,
    },
    /// Of the slot's so many-th sequence.
    Event {
        n_opened: u64,
        event: pipe::Event,
    },
}

/// A model that is cut over several nodes.
pub struct Split {
    layers: Layers,
    shape: Shape,
    commands: UnboundedSender<Input>,
    told: Receiver<Tell>,
    /// How many sequences each slot had, whether the last is open, and positions that it has.
    slots: Vec<(u64, bool, u32)>,
}

impl Split {
    /// Loads the first slice and begins to build the ring, on the rings' thread.
    pub fn new(
        slice: &Path,
        ring: &Ring,
        n_threads: u32,
        rings: &Handle,
        registry: &Registry,
    ) -> anyhow::Result<Split> {
        let (model, seat) = super::load(slice, ring)?;
        let layers = Layers::new(model, ring.n_ctx, ring.n_slots, ROWS as u32, n_threads)?;
        let (commands, inbox) = unbounded_channel();
        let (tell, told) = channel();
        let knocks = registry.expect(seat.hello.key);
        rings.spawn(run(seat, knocks, inbox, tell));
        let n_slots = u32::from(ring.n_slots);
        let shape = Shape { n_slots, n_ctx: ring.n_ctx, n_rows: ROWS, n_ahead: pipe::AHEAD_MAX };
        Ok(Split { layers, shape, commands, told, slots: vec![(0, false, 0); n_slots as usize] })
    }

    /// Carries out what the ring wants, for so long; an event, if there is one.
    fn next(&mut self, wait: Duration) -> Option<Event> {
        match self.told.recv_timeout(wait) {
            Ok(Tell::Evaluate { slot, at, tokens }) => {
                let hidden = self.layers.begin(slot, at, &tokens).map_err(|e| e.to_string());
                self.send(Input::Hidden(hidden));
                None
            }
            Ok(Tell::Event { n_opened, event }) => self.event(n_opened, event),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                // Whoever waits must not wait in a circle without a pause.
                std::thread::sleep(wait);
                let open = self.slots.iter().position(|(_, is_open, _)| *is_open)?;
                self.slots[open].1 = false;
                let error = BackendError::Broken("the rings' thread is gone".to_owned());
                Some(Event::Failed { slot: open as u32, error })
            }
        }
    }

    /// What the scheduler is to hear of it.
    fn event(&mut self, n_opened: u64, event: pipe::Event) -> Option<Event> {
        let slot = match &event {
            pipe::Event::Done { slot, .. } | pipe::Event::Failed { slot, .. } => *slot,
        };
        let own = self.slots.get_mut(usize::from(slot)).filter(|own| own.0 == n_opened && own.1)?;
        let slot = u32::from(slot);
        Some(match event {
            pipe::Event::Done { end, chosen, .. } => {
                own.2 = end;
                let chosen = chosen.map(|chosen| Chosen {
                    token: chosen.token,
                    logprob: chosen.logprob,
                    rivals: chosen.rivals,
                });
                Event::Done { slot, end, chosen }
            }
            pipe::Event::Failed { blame, why, .. } => {
                (own.1, own.2) = (false, 0);
                let error = match blame {
                    Blame::Asked => BackendError::Refused(why),
                    Blame::Lost => BackendError::Lost(why),
                    Blame::Broken => BackendError::Broken(why),
                };
                Event::Failed { slot, error }
            }
        })
    }

    /// If the rings' thread is gone, that is heard where events are.
    fn send(&self, input: Input) {
        let _ = self.commands.send(input);
    }
}

impl Backend for Split {
    fn model(&self) -> &Arc<Model> {
        self.layers.model()
    }

    fn shape(&self) -> Shape {
        self.shape
    }

    fn open(&mut self, slot: Slot, keep: u32, manner: Manner) -> Result<u32, BackendError> {
        let Some(own) = self.slots.get_mut(slot as usize) else {
            return Err(BackendError::Broken(format!("there is no slot {slot}")));
        };
        if !manner.begun.is_empty() && manner.sampling.grammar.is_some() {
            let why = "over several nodes no answer of a promised form goes on that another copy began";
            return Err(BackendError::Refused(why.to_owned()));
        }
        let keep = keep.min(own.2);
        *own = (own.0 + 1, true, keep);
        self.send(Input::Open { slot: slot as u16, keep, manner: manner_of(&manner) });
        Ok(keep)
    }

    fn close(&mut self, slot: Slot) {
        if let Some(own) = self.slots.get_mut(slot as usize) {
            own.1 = false;
            self.send(Input::Close { slot: slot as u16 });
        }
    }

    fn begin(&mut self, works: Vec<Work>) {
        for Work { slot, at, tokens, choose } in works {
            self.send(Input::Begin(pipe::Work { slot: slot as u16, at, tokens, choose }));
        }
    }

    fn wait(&mut self) -> Vec<Event> {
        let deadline = Instant::now() + WAIT;
        let mut events = Vec::new();
        while events.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            events.extend(self.next(left));
            if left.is_zero() {
                break;
            }
        }
        events
    }
}

fn manner_of(manner: &Manner) -> frames::Manner {
    let how = &manner.sampling;
    frames::Manner {
        temperature: how.temperature,
        top_k: how.top_k,
        top_p: how.top_p,
        min_p: how.min_p,
        repeat_penalty: how.repeat_penalty,
        presence_penalty: how.presence_penalty,
        frequency_penalty: how.frequency_penalty,
        repeat_last: how.repeat_last,
        seed: how.seed,
        grammar: how.grammar.clone(),
        top_logprobs: manner.top_logprobs.map(|n| n.min(frames::RIVALS_MAX as u32) as u8),
    }
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
    /// What was said last of the ring, so that a log has one line for each change.
    said: String,
}

/// Until the backend is dropped.
async fn run(seat: Seat, mut knocks: Knocks<Came>, mut inbox: UnboundedReceiver<Input>, tell: Sender<Tell>) {
    let now = Instant::now();
    let mut hands = Hands {
        head: Head::new(now, seat.hello.clone(), ROWS),
        before: None,
        after: None,
        dial: None,
        next_dial: now,
        tell,
        n_opened: vec![0; usize::from(seat.hello.n_slots)],
        said: String::new(),
        seat,
    };
    loop {
        hands.settle();
        let wake = hands.wake();
        tokio::select! {
            input = inbox.recv() => match input {
                Some(input) => hands.take(input),
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

    fn take(&mut self, input: Input) {
        if let Input::Open { slot, .. } = &input
            && let Some(n) = self.n_opened.get_mut(usize::from(*slot))
        {
            *n += 1;
        }
        self.head.handle(Instant::now(), input);
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
            Err(error) => self.fall(format!("the stage at {} cannot be reached: {error}", self.seat.next)),
        }
    }

    /// The last stage is there. If it was there before, that line is dead and does not know it.
    fn came(&mut self, came: Came) {
        if self.head.is_up() {
            self.fall("the last stage came anew".to_owned());
        }
        let mine = self.seat.hello.clone();
        self.before = Some(Line::accept(came.stream, came.read, mine, &came.hello));
    }

    fn fall(&mut self, why: String) {
        for line in [self.before.take(), self.after.take()].into_iter().flatten() {
            line.end(&why);
        }
        if self.said != why {
            log::say(Level::Warning, &format!("rpc-worker: the ring is lost: {why}"));
            self.said.clone_from(&why);
        }
        self.next_dial = Instant::now() + DIAL_PAUSE;
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
                let is_up = |line: &Option<Line>| line.as_ref().is_some_and(|line| line.link.is_up());
                if is_up(&self.before) && is_up(&self.after) {
                    log::say(Level::Info, "rpc-worker: the ring is closed");
                    self.said.clear();
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
