//! A slice that this node computes for a ring: connections on one side, the model's thread on the other.

use super::door::{Came, Registry};
use super::layers::Layers;
use super::wire::Line;
use super::{Ring, Seat};
use anyhow::Context as _;
use service::log::{self, Level};
use split::pipe::{Job, LinkOutput, Stage, StageInput, StageOutput, Worked};
use split::wire::{Blame, ROWS_MAX};
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

type Result = std::result::Result<Worked, (Blame, String)>;

/// The model's thread: jobs in, what became of them out. It ends when the sender is dropped.
struct Model {
    jobs: Sender<Job>,
    done: UnboundedReceiver<Result>,
}

/// Loads a slice and serves it until the future is dropped. It may tell of the logits at each token.
pub async fn run(
    slice: &Path,
    ring: Ring,
    n_threads: u32,
    registry: Registry,
    tells_logits: bool,
) -> anyhow::Result<()> {
    let path = slice.to_owned();
    let given = ring.clone();
    let loaded = tokio::task::spawn_blocking(move || {
        let (model, seat) = super::load(&path, &given)?;
        let mut layers = Layers::new(model, given.n_ctx, given.n_slots, ROWS_MAX as u32, n_threads)?;
        layers.tells_logits = tells_logits;
        anyhow::Ok((layers, seat))
    });
    let (layers, seat) = loaded.await.context("loading did not end well")??;
    let mut model = start(layers)?;
    let mut knocks = registry.expect(seat.hello.key);
    let mut machine = Stage::new(seat.hello.clone());
    let idx = seat.hello.stage_idx;
    log::say(Level::Info, &format!("rpc-worker: stage {idx} is ready"));
    let mut came = None;
    loop {
        let Some(first) = (match came.take() {
            Some(came) => Some(came),
            None => knocks.recv().await,
        }) else {
            return Ok(());
        };
        machine.handle(StageInput::Up);
        let turn = Turn { seat: &seat, machine: &mut machine, model: &mut model };
        let (why, next) = turn.run(first, &mut knocks).await;
        machine.handle(StageInput::Down);
        log::say(Level::Warning, &format!("rpc-worker: stage {idx} lost its ring: {why}"));
        came = next;
    }
}

fn start(mut layers: Layers) -> anyhow::Result<Model> {
    let (jobs, inbox) = channel();
    let (say, done) = unbounded_channel();
    let work = move || {
        for job in inbox {
            if say.send(layers.work(job)).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("stage".to_owned()).spawn(work).context("no thread for the slice")?;
    Ok(Model { jobs, done })
}

/// One life of a ring.
struct Turn<'a> {
    seat: &'a Seat,
    machine: &'a mut Stage,
    model: &'a mut Model,
}

/// What a stage waits for.
enum Happened {
    Nothing,
    Worked(Option<Result>),
    /// The stage before came again: the line that is there is dead and does not know it.
    Again(Option<Came>),
}

impl Turn<'_> {
    /// Until a connection falls: why, and who came meanwhile.
    async fn run(
        mut self,
        came: Came,
        knocks: &mut tokio::sync::mpsc::Receiver<Came>,
    ) -> (String, Option<Came>) {
        let mine = &self.seat.hello;
        let mut before = Line::accept(came.stream, came.read, mine.clone(), &came.hello);
        while let Some(output) = before.poll() {
            if let LinkOutput::Down(why) = output {
                return (why, None);
            }
        }
        let stream = match timeout(super::DIAL_TIME_MAX, TcpStream::connect(self.seat.next)).await {
            Ok(Ok(stream)) => stream,
            _ => {
                let why = format!("stage {} cannot be reached", mine.stage_idx + 1);
                before.end(&why);
                return (why, None);
            }
        };
        let mut after = Line::dial(stream, mine.clone());
        loop {
            if let Some(why) = self.settle(&mut before, &mut after) {
                before.end(&why);
                after.end(&why);
                return (why, None);
            }
            let happened = tokio::select! {
                () = before.happen() => Happened::Nothing,
                () = after.happen() => Happened::Nothing,
                done = self.model.done.recv() => Happened::Worked(done),
                again = knocks.recv() => Happened::Again(again),
            };
            match happened {
                Happened::Nothing => {}
                Happened::Worked(Some(done)) => self.machine.handle(StageInput::Worked(done)),
                Happened::Worked(None) => {
                    let why = "the model's thread is gone".to_owned();
                    before.end(&why);
                    after.end(&why);
                    return (why, None);
                }
                Happened::Again(again) => {
                    let why = "the stage before came anew".to_owned();
                    before.end(&why);
                    after.end(&why);
                    return (why, again);
                }
            }
        }
    }

    /// Carries everything that is to be said and done; why the ring is over, if it is.
    fn settle(&mut self, before: &mut Line, after: &mut Line) -> Option<String> {
        loop {
            let mut is_quiet = true;
            while let Some(output) = before.poll() {
                is_quiet = false;
                match output {
                    LinkOutput::Came(frame) => self.machine.handle(StageInput::Came(frame)),
                    LinkOutput::Down(why) => return Some(why),
                    _ => {}
                }
            }
            while let Some(output) = after.poll() {
                is_quiet = false;
                match output {
                    LinkOutput::Came(_) => {
                        return Some("the next stage said what only goes forward".to_owned());
                    }
                    LinkOutput::Down(why) => return Some(why),
                    _ => {}
                }
            }
            while let Some(output) = self.machine.poll() {
                is_quiet = false;
                match output {
                    // If the thread is gone, its end is heard where results are.
                    StageOutput::Work(job) => drop(self.model.jobs.send(job)),
                    StageOutput::Send(frame) => after.link.send(std::time::Instant::now(), frame),
                    StageOutput::Drop(why) => return Some(why),
                }
            }
            if is_quiet {
                return None;
            }
        }
    }
}
