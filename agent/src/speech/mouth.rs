//! One engine for all conversations of a node: a thread that speaks, a queue before it, and a thread that watches.
//!
//! The engine is made by the thread that uses it. One that cannot begin is tried again with each clause, because that
//! costs little and what it lacks may have come.

use super::engine::{Engine, SpeechError, TEXT_BYTES_MAX};
use super::job::{Job, Listener};
use super::queue::Queue;
use super::watch;
use super::wish::{Found, Wish};
use crate::talk::parts::{Sound, Speak, SpeakJob};
use admission::VoiceSettings;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// More sound is made of no clause: 4096 digits would be half an hour.
pub const SOUND_SECONDS_MAX: u32 = 120;
/// Between two pieces an engine needs milliseconds, and to begin not many more; a disk that wakes up, or a node with too
/// much to do, some seconds.
const PATIENCE: Duration = Duration::from_secs(10);
/// Refusals that wait to be told. Whoever asks on and on beyond them is told nothing.
const REFUSED_MAX: usize = 64;

/// Makes the engine, again and again if need be.
pub type Make = Box<dyn FnMut() -> Result<Box<dyn Engine>, SpeechError> + Send>;

/// How it is, for the page.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct MouthFacts {
    pub engine: Option<&'static str>,
    pub voice: Option<String>,
    /// The voices that the engine has; none before it began.
    #[serde(skip)]
    pub voices: Vec<String>,
    /// What is not as the owner wishes, or what went wrong last.
    pub trouble: Option<String>,
    pub n_waiting: usize,
    pub n_clauses: u64,
    pub n_failed: u64,
    /// Sound that was made.
    pub sound_s: f64,
    pub cpu_s: f64,
}

pub struct Mouth {
    desk: Arc<Desk>,
    threads: Vec<JoinHandle<()>>,
}

impl Mouth {
    pub fn start(make: Make, settings: &VoiceSettings) -> std::io::Result<Mouth> {
        Mouth::with_patience(make, settings, PATIENCE)
    }

    /// `patience`: after so long without a sign of life the engine is said to hang.
    pub fn with_patience(make: Make, settings: &VoiceSettings, patience: Duration) -> std::io::Result<Mouth> {
        let state = State {
            queue: Queue::default(),
            refused: vec![],
            work: None,
            wish: Wish::of(settings),
            is_closed: false,
            facts: MouthFacts::default(),
        };
        let (for_speaker, for_watcher) = (Condvar::new(), Condvar::new());
        let desk = Arc::new(Desk { state: Mutex::new(state), for_speaker, for_watcher, patience });
        let (speaking, watching) = (desk.clone(), desk.clone());
        let mut mouth = Mouth { desk, threads: vec![] };
        let thread = |name: &str| std::thread::Builder::new().name(name.into());
        mouth.threads.push(thread("mouth").spawn(move || Speaker::new(speaking, make).run())?);
        mouth.threads.push(thread("mouth-watch").spawn(move || watch::run(&watching))?);
        Ok(mouth)
    }

    /// From the next clause on.
    pub fn set(&self, settings: &VoiceSettings) {
        self.desk.lock().wish = Wish::of(settings);
    }

    pub fn facts(&self) -> MouthFacts {
        let state = self.desk.lock();
        MouthFacts { n_waiting: state.queue.len(), ..state.facts.clone() }
    }
}

impl Speak for Mouth {
    fn speak(&self, job: SpeakJob) {
        let (talk, job) = Job::of(job);
        let mut state = self.desk.lock();
        if job.text.len() > TEXT_BYTES_MAX {
            let error = SpeechError::Text { bytes: job.text.len() };
            return self.refuse(state, job.listener, error.to_string());
        }
        if let Some(why) = state.given_up() {
            return self.refuse(state, job.listener, why.to_owned());
        }
        let turned_away = state.queue.push(talk, job).or_else(|job| {
            state.queue.retain(|job| !job.listener.is_gone());
            state.queue.push(talk, job)
        });
        match turned_away {
            Ok(()) => self.desk.for_speaker.notify_one(),
            Err(job) => self.refuse(state, job.listener, "too much waits to be spoken already".into()),
        }
    }

    fn voices(&self) -> Vec<String> {
        self.desk.lock().facts.voices.clone()
    }
}

impl Mouth {
    fn refuse(&self, mut state: MutexGuard<'_, State>, listener: Listener, why: String) {
        state.refuse(listener, why);
        drop(state);
        self.desk.for_watcher.notify_one();
    }
}

impl Drop for Mouth {
    fn drop(&mut self) {
        let mut state = self.desk.lock();
        state.is_closed = true;
        let hangs = state.given_up().is_some();
        drop(state);
        self.desk.for_speaker.notify_all();
        self.desk.for_watcher.notify_all();
        // The thread that speaks is the first.
        for thread in self.threads.drain(..).skip(usize::from(hangs)) {
            let _ = thread.join();
        }
    }
}

/// What both threads and all callers share.
pub(super) struct Desk {
    pub state: Mutex<State>,
    pub for_speaker: Condvar,
    pub for_watcher: Condvar,
    pub patience: Duration,
}

pub(super) struct State {
    pub queue: Queue<Job>,
    /// To be told by the thread that watches, because a caller must not be called back.
    pub refused: Vec<(Listener, String)>,
    pub work: Option<Work>,
    wish: Wish,
    pub is_closed: bool,
    pub facts: MouthFacts,
}

/// What the engine does now: a clause for its listener; for nobody, it begins.
pub(super) struct Work {
    pub listener: Option<Listener>,
    /// When the engine gave its last sign of life.
    pub since: Instant,
    pub is_given_up: bool,
}

impl Work {
    fn new(listener: Option<Listener>) -> Work {
        Work { listener, since: Instant::now(), is_given_up: false }
    }
}

impl State {
    /// Why nothing is taken, where the engine hangs.
    fn given_up(&self) -> Option<&'static str> {
        self.work.as_ref().filter(|work| work.is_given_up).map(watch::hangs)
    }

    fn refuse(&mut self, listener: Listener, why: String) {
        self.facts.n_failed += 1;
        if self.refused.len() < REFUSED_MAX {
            self.refused.push((listener, why));
        }
    }
}

impl Desk {
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next clause that somebody waits for, and how it is to be spoken; `None` at the end of all.
    fn next(&self) -> Option<(Job, Wish)> {
        let mut state = self.lock();
        loop {
            if state.is_closed {
                return None;
            }
            match state.queue.pop() {
                Some(job) if job.listener.is_gone() => {}
                Some(job) => {
                    state.work = Some(Work::new(Some(job.listener.clone())));
                    self.for_watcher.notify_one();
                    let wish = state.wish.but(job.voice.as_deref());
                    return Some((job, wish));
                }
                None => state = self.for_speaker.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// The engine lives; says whether it may go on.
    fn lives(&self) -> bool {
        let mut state = self.lock();
        if let Some(work) = &mut state.work {
            work.since = Instant::now();
        }
        !state.is_closed
    }
}

/// The thread that speaks.
struct Speaker {
    desk: Arc<Desk>,
    make: Make,
    engine: Option<Box<dyn Engine>>,
    /// Looking for a voice that is not there reads many files, so what was found last is kept.
    found: Option<(Wish, Found)>,
}

/// What came of a clause.
#[derive(Default)]
struct Made {
    n_samples: usize,
    rate: u32,
}

impl Speaker {
    fn new(desk: Arc<Desk>, make: Make) -> Speaker {
        Speaker { desk, make, engine: None, found: None }
    }

    fn run(mut self) {
        // The first word need not wait for the engine's files.
        let mut state = self.desk.lock();
        state.work = Some(Work::new(None));
        let wish = state.wish.clone();
        drop(state);
        self.desk.for_watcher.notify_one();
        let begun = self.ready(&wish).map(drop);
        let trouble = self.trouble(&begun);
        let mut state = self.desk.lock();
        (state.work, state.facts.trouble) = (None, trouble);
        drop(state);
        while let Some((job, wish)) = self.desk.next() {
            let before = clock_gettime(ClockId::ThreadCPUTime);
            let mut made = Made::default();
            let said = self.say(&job, &wish, &mut made);
            if matches!(said, Err(SpeechError::Speak { .. })) {
                (self.engine, self.found) = (None, None);
            }
            let after = clock_gettime(ClockId::ThreadCPUTime);
            let trouble = self.trouble(&said);
            let mut state = self.desk.lock();
            let was_given_up = state.work.take().is_some_and(|work| work.is_given_up);
            let facts = &mut state.facts;
            facts.trouble = trouble;
            facts.n_clauses += u64::from(said.is_ok() && !was_given_up);
            facts.n_failed += u64::from(said.is_err());
            facts.sound_s += made.n_samples as f64 / f64::from(made.rate.max(1));
            facts.cpu_s +=
                (after.tv_sec - before.tv_sec) as f64 + (after.tv_nsec - before.tv_nsec) as f64 * 1e-9;
            drop(state);
            match &said {
                Ok(()) => job.listener.last(Sound::End),
                Err(error) => job.listener.last(Sound::Failed(&error.to_string())),
            }
        }
    }

    fn trouble(&self, said: &Result<(), SpeechError>) -> Option<String> {
        let instead = || self.found.as_ref()?.1.instead.clone();
        said.as_ref().err().map(ToString::to_string).or_else(instead)
    }

    fn say(&mut self, job: &Job, wish: &Wish, made: &mut Made) -> Result<(), SpeechError> {
        let desk = self.desk.clone();
        let engine = self.ready(wish)?;
        made.rate = engine.rate();
        let n_max = made.rate as usize * SOUND_SECONDS_MAX as usize;
        let mut is_endless = false;
        engine.say(&job.text, &mut |piece| {
            is_endless = made.n_samples + piece.len() > n_max;
            if is_endless || !desk.lives() || !job.listener.piece(made.rate, piece) {
                return ControlFlow::Break(());
            }
            made.n_samples += piece.len();
            ControlFlow::Continue(())
        })?;
        if is_endless { Err(SpeechError::Endless) } else { Ok(()) }
    }

    /// The engine, in the voice that is wished for.
    fn ready(&mut self, wish: &Wish) -> Result<&mut dyn Engine, SpeechError> {
        if self.engine.is_none() {
            self.found = None;
            let engine = (self.make)()?;
            let voices = engine.voices();
            self.desk.lock().facts.voices = voices;
            self.engine = Some(engine);
        }
        let engine = self.engine.as_mut().expect("it was made above").as_mut();
        if !self.found.as_ref().is_some_and(|(set, _)| set == wish) {
            let found = wish.set(engine)?;
            let mut state = self.desk.lock();
            state.facts.engine = Some(engine.name());
            state.facts.voice = Some(found.name.clone());
            self.found = Some((wish.clone(), found));
        }
        Ok(engine)
    }
}

#[cfg(test)]
#[path = "mouth/tests.rs"]
mod tests;
