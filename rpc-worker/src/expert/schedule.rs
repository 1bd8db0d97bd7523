//! The scheduler: many requests over the few slots of one backend.
//!
//! Every step takes one token of each running answer, and beside them a piece of the oldest unread prompt, so that a
//! long prompt makes nobody else's answer stand still. A slot keeps what it has read: a request that begins like the
//! one before it reads only the rest.
//! It deliberately knows no model file, no HTTP and no text; `seat` is one request of it.

use super::backend::{Backend, BackendError, Chosen, Event, Slot};
use super::figures::{Count, Figures};
use super::job::{Job, Said};
use super::rehearsal;
use super::seat::{Running, Seat};
use engine::Token;
use openai::answer::Finish;
use prompt::StopMachine;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

/// Rows of a prompt that are read at once where nobody waits for tokens: few enough that whoever goes away, or comes
/// with a short question, is looked after soon.
const PROMPT_ROWS: usize = 128;
/// What a prompt may take of a step beside running answers, so that these keep at least half of their speed.
const PROMPT_SHARE: f64 = 0.5;
/// It never stands still either. Fewer rows than these are multiplied by other kernels, which round otherwise: so no
/// piece of a prompt is smaller, and what a prompt gives does not depend on how it was cut or what was kept of it.
const PROMPT_ROWS_LEAST: usize = 4;
/// How often paused sequences are looked at when nothing else is to be done.
const PAUSE: Duration = Duration::from_millis(10);

pub struct Scheduler<B: Backend> {
    backend: B,
    seats: Vec<Seat>,
    queue: VecDeque<(Job, Instant)>,
    /// The beginning that the backend keeps.
    prefix: Vec<Token>,
    figures: Arc<Figures>,
    turn: u64,
}

impl<B: Backend> Scheduler<B> {
    pub fn new(backend: B, figures: Arc<Figures>) -> Scheduler<B> {
        let n_slots = backend.shape().n_slots;
        let seats = (0..n_slots).map(|_| Seat::default()).collect();
        Scheduler { backend, seats, queue: VecDeque::new(), prefix: Vec::new(), figures, turn: 0 }
    }

    /// Evaluates the beginning that most requests share.
    pub fn warm_up(&mut self, prefix: Vec<Token>) -> Result<(), BackendError> {
        if !prefix.is_empty() && self.backend.keep_prefix(&prefix)? {
            self.prefix = prefix;
        }
        Ok(())
    }

    /// Tells the speeds before the first request.
    pub fn rehearse(&mut self) {
        rehearsal::rehearse(&mut self.backend, &self.figures);
    }

    /// Works until nobody can send requests any more. What runs then fails, so that it can go on elsewhere.
    pub fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            if !self.take(jobs) {
                return self.give_up();
            }
            self.seat_the_waiting();
            let n_begun = self.begin();
            if n_begun == (0, 0) && self.seats.iter().all(Seat::is_still) {
                continue;
            }
            let start = Instant::now();
            let events = self.backend.wait();
            if self.backend.shape().n_ahead == 1 {
                self.figures.step(n_begun.0, n_begun.1, start.elapsed());
            }
            for event in events {
                self.follow(event);
            }
        }
    }

    /// New requests; waits for one where there is nothing else to do. `false` when there will be no more.
    fn take(&mut self, jobs: &Receiver<Job>) -> bool {
        let is_idle = self.queue.is_empty() && self.seats.iter().all(|seat| seat.running.is_none());
        let first = if is_idle {
            jobs.recv().map_err(|_| TryRecvError::Disconnected)
        } else if self.seats.iter().all(Seat::is_still) {
            jobs.recv_timeout(PAUSE).map_err(|e| match e {
                RecvTimeoutError::Timeout => TryRecvError::Empty,
                RecvTimeoutError::Disconnected => TryRecvError::Disconnected,
            })
        } else {
            jobs.try_recv()
        };
        let mut next = first;
        loop {
            match next {
                Ok(job) => self.queue.push_back((job, Instant::now())),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
            next = jobs.try_recv();
        }
    }

    fn give_up(&mut self) {
        let error = BackendError::Lost("this node gives the expert up".to_owned());
        for (job, _) in self.queue.drain(..) {
            let _ = job.says.try_send(Said::Failed(error.clone()));
        }
        for seat in &mut self.seats {
            if let Some(running) = seat.running.take() {
                let _ = running.job.says.try_send(Said::Failed(error.clone()));
            }
        }
    }

    /// Gives free slots to those who wait, the first first, each the slot that has read most of its prompt.
    fn seat_the_waiting(&mut self) {
        let is_gone = |job: &Job| job.says.is_closed();
        let n_before = self.queue.len();
        self.queue.retain(|(job, _)| !is_gone(job));
        self.figures.add(Count::Cancelled, (n_before - self.queue.len()) as u64);
        while let Some(slot) = self.best_slot() {
            let Some((job, arrived)) = self.queue.pop_front() else { break };
            self.seat(slot, job, arrived);
        }
        self.tell_busy();
    }

    fn tell_busy(&self) {
        self.figures.set_busy(self.seats.iter().filter(|seat| seat.running.is_some()).count());
    }

    fn best_slot(&self) -> Option<usize> {
        let (job, _) = self.queue.front()?;
        let free = self.seats.iter().enumerate().filter(|(_, seat)| seat.running.is_none());
        let worth = |seat: &Seat| {
            let n = seat.shared(&job.prompt);
            // A slot that shares no more than the kept beginning is worth no more than another.
            let n = if n > self.prefix.len() { n } else { 0 };
            (n, u64::MAX - seat.turn)
        };
        free.max_by_key(|(_, seat)| worth(seat)).map(|(slot, _)| slot)
    }

    fn seat(&mut self, slot: usize, job: Job, arrived: Instant) {
        // After the last token of a prompt one is chosen, so the last piece is always evaluated.
        let tokens = [&job.prompt[..], &job.manner.begun].concat();
        let most = tokens.len().saturating_sub(PROMPT_ROWS_LEAST);
        let own = self.seats[slot].shared(&tokens).min(most);
        let is_begun = !self.prefix.is_empty() && tokens[..most].starts_with(&self.prefix);
        let opened = if is_begun && own < self.prefix.len() {
            self.backend
                .open(slot as Slot, 0, job.manner.clone())
                .and_then(|_| self.backend.take_prefix(slot as Slot))
                .map(|()| self.prefix.len())
        } else {
            self.backend.open(slot as Slot, own as u32, job.manner.clone()).map(|n| n as usize)
        };
        let stop = StopMachine::new(&job.stops);
        let seat = &mut self.seats[slot];
        self.turn += 1;
        seat.turn = self.turn;
        let (n_kept, stop) = match (opened, stop) {
            (Ok(n_kept), Ok(stop)) => (n_kept, stop),
            (Err(error), _) => {
                seat.held.clear();
                self.figures.add(Count::Failed, 1);
                // Its client may be gone; then nobody needs to know.
                let _ = job.says.try_send(Said::Failed(error));
                return;
            }
            (_, Err(error)) => {
                let error = BackendError::Refused(error.to_string());
                let _ = job.says.try_send(Said::Failed(error));
                return;
            }
        };
        seat.held = tokens[..n_kept].to_vec();
        self.figures.add(Count::PromptTokens, job.prompt.len() as u64);
        self.figures.add(Count::CachedTokens, n_kept as u64);
        let (running, over) = Running::begin(self.backend.model(), job, tokens, n_kept, stop, arrived);
        seat.running = Some(running);
        if let Some(finish) = over {
            self.end(slot, finish);
        }
    }

    /// Begins one piece of work for each sequence that can go on: rows of prompts, rows of answers.
    fn begin(&mut self) -> (usize, usize) {
        let shape = self.backend.shape();
        let mut room = shape.n_rows;
        let mut works = Vec::new();
        let now = Instant::now();
        for slot in 0..self.seats.len() {
            self.look_after(slot, now);
        }
        let mut n_decoded = 0;
        for (slot, seat) in self.seats.iter_mut().enumerate() {
            let Some(running) = seat.running.as_mut() else { continue };
            if running.is_next() && room > 0 {
                works.push(running.work(slot, 1));
                n_decoded += 1;
                room -= 1;
            }
        }
        let rows = if self.seats.iter().any(Seat::writes) { self.rows_beside() } else { PROMPT_ROWS };
        let mut rows = rows.min(room);
        let mut n_read = 0;
        let mut readers: Vec<usize> = (0..self.seats.len()).collect();
        readers.sort_by_key(|slot| self.seats[*slot].turn);
        for slot in readers {
            let Some(running) = self.seats[slot].running.as_mut() else { continue };
            if rows >= PROMPT_ROWS_LEAST.min(shape.n_rows)
                && running.is_reading()
                && running.n_flying < shape.n_ahead
            {
                let n = piece(running.n_given - running.n_begun, rows, room);
                works.push(running.work(slot, n));
                n_read += n;
                room -= n;
                rows = rows.saturating_sub(n).min(room);
            }
        }
        if !works.is_empty() {
            self.backend.begin(works);
        }
        (n_read, n_decoded)
    }

    /// Rows of a prompt that take as long as one token of an answer, where the share is a half.
    fn rows_beside(&self) -> usize {
        let speeds = self.figures.speeds();
        let rows = speeds.prompt / speeds.decode * PROMPT_SHARE / (1.0 - PROMPT_SHARE);
        // Not a number before the first measurement, which becomes 0.
        (rows as usize).clamp(PROMPT_ROWS_LEAST, PROMPT_ROWS)
    }

    /// Lets go of whoever left or takes nothing, and pauses whoever is slow.
    fn look_after(&mut self, slot: usize, now: Instant) {
        let Some(running) = self.seats[slot].running.as_mut() else { return };
        if running.is_given_up(now) {
            self.figures.add(Count::Cancelled, 1);
            self.leave(slot);
        }
    }

    /// The slot is free; what it holds stays for the next.
    fn leave(&mut self, slot: usize) -> Option<Running> {
        self.backend.close(slot as Slot);
        let running = self.seats[slot].running.take()?;
        if running.n_flying > 0 {
            // Nobody will tell what became of that.
            self.seats[slot].held.clear();
        }
        self.tell_busy();
        Some(running)
    }

    fn follow(&mut self, event: Event) {
        match event {
            Event::Done { slot, end, chosen } => {
                let slot = slot as usize;
                let Some(running) = self.seats.get_mut(slot).and_then(|seat| seat.running.as_mut()) else {
                    return;
                };
                running.n_flying = running.n_flying.saturating_sub(1);
                let end = (end as usize).min(running.tokens.len());
                let held = running.tokens[..end].to_vec();
                let done = chosen.and_then(|chosen| self.write(slot, &chosen));
                self.seats[slot].held = held;
                if let Some(finish) = done {
                    self.end(slot, finish);
                }
            }
            Event::Failed { slot, error } => {
                let slot = slot as usize;
                if slot < self.seats.len()
                    && let Some(running) = self.leave(slot)
                {
                    self.figures.add(Count::Failed, 1);
                    let _ = running.job.says.try_send(Said::Failed(error));
                    self.seats[slot].held.clear();
                }
            }
        }
    }

    fn write(&mut self, slot: usize, chosen: &Chosen) -> Option<Finish> {
        let running = self.seats[slot].running.as_mut()?;
        running.write(self.backend.model(), self.backend.shape().n_ctx as usize, chosen, &self.figures)
    }

    fn end(&mut self, slot: usize, finish: Finish) {
        // The slot is free before the last word is said.
        if let Some(running) = self.leave(slot) {
            running.end(finish);
        }
    }
}

/// How many rows of `left` are read next: about as many as may be, and no small rest is left.
fn piece(left: usize, rows: usize, room: usize) -> usize {
    if left < rows + PROMPT_ROWS_LEAST { left.min(room) } else { rows }
}
