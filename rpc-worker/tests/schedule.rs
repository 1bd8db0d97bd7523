//! How requests share the slots of one backend, seen step by step.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

#[path = "../../crates/engine/tests/common/mod.rs"]
mod models;

use engine::{Model, Sampling, Token};
use models::tiny;
use rpc_worker::expert::backend::{Backend, BackendError, Event, Manner, Shape, Slot, Work};
use rpc_worker::expert::figures::Figures;
use rpc_worker::expert::job::{Job, Said};
use rpc_worker::expert::schedule::Scheduler;
use rpc_worker::expert::whole::{Plan, Whole};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc::{Receiver, channel as saying};

/// The rows of each slot in one step.
type Step = Vec<(Slot, usize)>;

/// A whole model whose steps are seen, and which may fail at one of them.
struct Watched {
    whole: Whole,
    steps: Arc<Mutex<Vec<Step>>>,
    fails_at: Option<usize>,
}

impl Backend for Watched {
    fn model(&self) -> &Arc<Model> {
        self.whole.model()
    }

    fn shape(&self) -> Shape {
        self.whole.shape()
    }

    fn open(&mut self, slot: Slot, keep: u32, manner: Manner) -> Result<u32, BackendError> {
        self.whole.open(slot, keep, manner)
    }

    fn close(&mut self, slot: Slot) {
        self.whole.close(slot);
    }

    fn begin(&mut self, works: Vec<Work>) {
        let mut steps = self.steps.lock().unwrap();
        steps.push(works.iter().map(|work| (work.slot, work.tokens.len())).collect());
        self.whole.begin(works);
    }

    fn wait(&mut self) -> Vec<Event> {
        let events = self.whole.wait();
        if self.fails_at.is_none_or(|at| self.steps.lock().unwrap().len() < at) {
            return events;
        }
        self.fails_at = None;
        let fail = |event| match event {
            Event::Done { slot, .. } | Event::Failed { slot, .. } => {
                Event::Failed { slot, error: BackendError::Lost("a stage is gone".to_owned()) }
            }
        };
        events.into_iter().map(fail).collect()
    }
}

struct Stage {
    jobs: Sender<Job>,
    figures: Arc<Figures>,
    steps: Arc<Mutex<Vec<Step>>>,
    thread: std::thread::JoinHandle<()>,
}

fn stage(name: &str, n_slots: u32, fails_at: Option<usize>) -> Stage {
    let folder = models::Folder::new(name);
    let model = models::load(&folder.file("dice.gguf", &tiny::model("llama")));
    let plan = Plan { n_slots, n_ctx: 512, n_rows: 64, n_threads: 1, warm: None };
    let steps = Arc::<Mutex<Vec<Step>>>::default();
    let watched = Watched { whole: Whole::new(model, plan).unwrap(), steps: Arc::clone(&steps), fails_at };
    let figures = Arc::new(Figures::default());
    let scheduler = Scheduler::new(watched, Arc::clone(&figures));
    let (jobs, inbox) = channel();
    let thread = std::thread::spawn(move || scheduler.run(&inbox));
    Stage { jobs, figures, steps, thread }
}

impl Stage {
    /// Asks for `n` tokens after a prompt of `n_prompt`, and gives what is said.
    fn ask(&self, n_prompt: usize, n: u32, room: usize) -> Receiver<Said> {
        let (says, hears) = saying(room);
        let prompt: Vec<Token> = (0..n_prompt as i32).map(|at| 10 + at % 200).collect();
        // Under this grammar no answer ends by itself.
        let sampling = Sampling { grammar: Some("root ::= [a-z]+ \"0\"".to_owned()), ..Sampling::default() };
        let manner = Manner { sampling, ..Manner::default() };
        let ticket = self.figures.queue(usize::MAX).unwrap();
        let job = Job { prompt, manner, n_tokens_max: n, stops: vec![], shows_marks: false, says, ticket };
        self.jobs.send(job).unwrap();
        hears
    }

    fn end(self) -> Vec<Step> {
        drop(self.jobs);
        self.thread.join().unwrap();
        Arc::into_inner(self.steps).unwrap().into_inner().unwrap()
    }
}

/// Everything up to the last word.
fn hear(mut hears: Receiver<Said>) -> Vec<Said> {
    let mut all = Vec::new();
    while let Some(said) = hears.blocking_recv() {
        let is_last = matches!(said, Said::Ended { .. } | Said::Failed(_));
        all.push(said);
        if is_last {
            break;
        }
    }
    all
}

#[test]
fn a_long_prompt_makes_no_answer_stand_still() {
    let stage = stage("still", 2, None);
    let mut writing = stage.ask(8, 200, 4);
    // It has begun to write before the long prompt comes, and its small queue keeps it from running ahead.
    assert!(matches!(writing.blocking_recv(), Some(Said::Began { .. })));
    assert!(matches!(writing.blocking_recv(), Some(Said::Piece(_))));
    let reading = stage.ask(400, 2, 64);
    let writer = std::thread::spawn(move || hear(writing));
    assert!(matches!(hear(reading).last(), Some(Said::Ended { n_generated: 2, .. })));
    assert!(matches!(writer.join().unwrap().last(), Some(Said::Ended { n_generated: 200, .. })));
    let steps = stage.end();
    // The writer read its prompt first, in one piece.
    let [(writer, 8)] = steps[0][..] else { panic!("{:?}", steps[0]) };
    let read = |step: &Step| step.iter().find(|(slot, _)| *slot != writer).map(|(_, rows)| *rows);
    let pieces: Vec<usize> = steps.iter().filter_map(read).collect();
    // All 400 rows were read, and two tokens written after them; in pieces that let the writer write between them.
    assert_eq!(pieces.iter().sum::<usize>(), 401);
    assert!(pieces.len() > 2, "{pieces:?}");
}

#[test]
fn a_client_that_does_not_read_holds_up_nobody_else() {
    let stage = stage("slow", 2, None);
    let slow = stage.ask(8, 300, 4);
    assert!(matches!(hear(stage.ask(8, 100, 64)).last(), Some(Said::Ended { n_generated: 100, .. })));
    // Nothing of the slow one's answer is lost meanwhile.
    let said = hear(slow);
    assert!(matches!(said.last(), Some(Said::Ended { n_generated: 300, .. })), "{:?}", said.last());
    stage.end();
}

#[test]
fn when_the_backend_loses_a_sequence_its_client_hears_it_and_the_slot_goes_on() {
    for at in 1..6 {
        let stage = stage(&format!("lost-{at}"), 1, Some(at));
        let said = hear(stage.ask(100, 8, 64));
        let lost = Said::Failed(BackendError::Lost("a stage is gone".to_owned()));
        assert_eq!(said.last(), Some(&lost), "step {at}");
        assert!(matches!(hear(stage.ask(100, 8, 64)).last(), Some(Said::Ended { n_generated: 8, .. })));
        stage.end();
    }
}

#[test]
fn an_expert_that_is_given_up_tells_everybody() {
    let stage = stage("given-up", 1, None);
    let mut running = stage.ask(8, 400, 4);
    assert!(matches!(running.blocking_recv(), Some(Said::Began { .. })));
    let waiting = stage.ask(8, 4, 64);
    drop(stage.end());
    for hears in [running, waiting] {
        // Whoever read nothing may miss the word, but hears the end.
        assert!(!matches!(hear(hears).last(), Some(Said::Ended { .. })));
    }
}
