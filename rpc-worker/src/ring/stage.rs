//! A slice that this node computes for a ring: connections on one side, the model's thread on the other.

use super::door::{Came, Registry};
use super::layers::Layers;
use super::told::Part;
use super::wire::Line;
use super::{Ring, Seat};
use anyhow::Context as _;
use service::log::{self, Level};
use split::pipe::{Job, LinkOutput, Stage, StageInput, StageOutput, Worked};
use split::wire::{Blame, ROWS_MAX};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Instant;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;
use tokio::time::timeout;

type Result = std::result::Result<Worked, (Blame, String)>;

/// The model's thread: jobs in, what became of them out. It ends when the sender is dropped.
struct Model {
    jobs: Sender<Job>,
    done: UnboundedReceiver<Result>,
}

/// A slice that is loaded, and has a thread.
pub struct Loaded {
    model: Arc<engine::Model>,
    seat: Seat,
    hands: Model,
}

impl Loaded {
    /// Of weights, caches, and what computing takes.
    pub fn bytes(&self) -> u64 {
        super::bytes(&self.model, &self.seat.hello)
    }
}

/// Loads a slice. It may tell of the logits at each token.
pub async fn load(slice: &Path, ring: &Ring, n_threads: u32, tells_logits: bool) -> anyhow::Result<Loaded> {
    let (path, given) = (slice.to_owned(), ring.clone());
    let loaded = tokio::task::spawn_blocking(move || {
        let (model, seat) = super::load(&path, &given)?;
        let mut layers = Layers::new(model, seat.hello.n_ctx, given.n_slots, ROWS_MAX as u32, n_threads)?;
        layers.tells_logits = tells_logits;
        anyhow::Ok((layers, seat))
    });
    let (layers, seat) = loaded.await.context("loading did not end well")??;
    let model = Arc::clone(layers.model());
    Ok(Loaded { model, seat, hands: start(layers)? })
}

/// Serves a slice until the future is dropped. The ring may change: where the stage is in it, its name, and who is
/// next; the slice stays, and so does what was computed with it.
pub async fn serve(
    loaded: Loaded,
    ring: watch::Receiver<Ring>,
    registry: Registry,
    part: Option<&Part>,
) -> anyhow::Result<()> {
    let Loaded { model, seat, mut hands } = loaded;
    let mut wishes = Wishes { ring, model, registry };
    let mut machine = Stage::new(seat.hello.clone());
    let mut post = wishes.post(seat);
    log::say(Level::Info, &format!("rpc-worker: stage {} is ready", post.seat.hello.stage_idx));
    let (mut next, mut came): (Option<Post>, _) = (None, None);
    loop {
        let first = match came.take() {
            Some(first) => Some(first),
            None => tokio::select! {
                first = post.knocks.recv() => first,
                first = knock(&mut next) => first,
                wished = wishes.next() => {
                    next = Some(wished);
                    continue;
                }
            },
        };
        // Nobody can come by the old name any more, or somebody came by the new one.
        let moves = |next: &mut Post| first.as_ref().is_none_or(|came| came.hello.key == next.seat.hello.key);
        if let Some(next) = next.take_if(moves) {
            post = next;
            let Seat { hello, next } = &post.seat;
            part.inspect(|part| part.moved(hello.stage_idx, hello.n_stages, *next));
            machine.handle(StageInput::Remake(post.seat.hello.clone()));
        } else if first.is_none() {
            return Ok(());
        }
        let Some(first) = first else { continue };
        machine.handle(StageInput::Up);
        let turn = Turn { post: &mut post, next: &mut next, wishes: &mut wishes, part };
        let why;
        (why, came) = turn.run(first, &mut machine, &mut hands).await;
        machine.handle(StageInput::Down);
        part.inspect(|part| part.lost(&why));
        let idx = post.seat.hello.stage_idx;
        log::say(Level::Warning, &format!("rpc-worker: stage {idx} lost its ring: {why}"));
    }
}

/// A place in a ring, and who comes to it.
struct Post {
    seat: Seat,
    knocks: Receiver<Came>,
}

/// Where the stage is to be.
struct Wishes {
    ring: watch::Receiver<Ring>,
    model: Arc<engine::Model>,
    registry: Registry,
}

impl Wishes {
    fn post(&self, seat: Seat) -> Post {
        let knocks = self.registry.expect(seat.hello.key);
        Post { seat, knocks }
    }

    async fn next(&mut self) -> Post {
        loop {
            if self.ring.changed().await.is_err() {
                return std::future::pending().await;
            }
            let ring = self.ring.borrow_and_update().clone();
            match super::seat(&self.model, &ring) {
                Ok(seat) => return self.post(seat),
                Err(error) => {
                    let line = format!("rpc-worker: the stage stays in its old ring: {error:#}");
                    log::say(Level::Warning, &line);
                }
            }
        }
    }
}

fn start(mut layers: Layers) -> anyhow::Result<Model> {
    let (jobs, inbox) = channel();
    let (say, done) = unbounded_channel();
    let work = move || {
        // Signs of life must not wait for a model, on a machine that has much else to do either.
        if let Err(error) = engine::let_others_first() {
            log::say(Level::Warning, &format!("rpc-worker: the slice does not let others first: {error}"));
        }
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
    post: &'a mut Post,
    /// Where the stage is to be next. The old ring goes on until somebody comes for the new one.
    next: &'a mut Option<Post>,
    wishes: &'a mut Wishes,
    part: Option<&'a Part>,
}

/// What a stage waits for.
enum Happened {
    Nothing,
    Worked(Option<Result>),
    /// The stage before came again: the line that is there is dead and does not know it.
    Again(Option<Came>),
    /// Somebody came for the new ring.
    Moves(Option<Came>),
    Wished(Post),
}

impl Turn<'_> {
    /// Until a connection falls: why, and who came meanwhile.
    async fn run(self, came: Came, machine: &mut Stage, model: &mut Model) -> (String, Option<Came>) {
        let mine = self.post.seat.hello.clone();
        let mut before = Line::accept(came.stream, came.read, mine.clone(), &came.hello);
        while let Some(output) = before.poll() {
            if let LinkOutput::Down(why) = output {
                return (why, None);
            }
        }
        let stream = match timeout(super::DIAL_TIME_MAX, TcpStream::connect(self.post.seat.next)).await {
            Ok(Ok(stream)) => stream,
            _ => {
                let why = format!("stage {} cannot be reached", mine.stage_idx + 1);
                self.part.inspect(|part| part.doubts_next());
                before.end(&why);
                return (why, None);
            }
        };
        let mut after = Line::dial(stream, mine);
        let mut is_connected = false;
        let (why, came) = loop {
            if let Some(why) = settle(machine, model, &mut before, &mut after) {
                break (why, None);
            }
            if after.link.is_up() && !std::mem::replace(&mut is_connected, true) {
                self.part.inspect(|part| part.connected());
            }
            let happened = tokio::select! {
                () = before.happen() => Happened::Nothing,
                () = after.happen() => Happened::Nothing,
                done = model.done.recv() => Happened::Worked(done),
                again = self.post.knocks.recv() => Happened::Again(again),
                came = knock(self.next) => Happened::Moves(came),
                post = self.wishes.next() => Happened::Wished(post),
            };
            match happened {
                Happened::Nothing => {}
                Happened::Worked(Some(done)) => machine.handle(StageInput::Worked(done)),
                Happened::Worked(None) => break ("the model's thread is gone".to_owned(), None),
                Happened::Again(again) => break ("the stage before came anew".to_owned(), again),
                Happened::Moves(came) => break (MADE_ANEW.to_owned(), came),
                Happened::Wished(post) => {
                    let is_same_name = post.seat.hello.key == self.post.seat.hello.key;
                    *self.next = Some(post);
                    if is_same_name {
                        break (MADE_ANEW.to_owned(), None);
                    }
                }
            }
        };
        if !is_connected {
            self.part.inspect(|part| part.doubts_next());
        }
        before.end(&why);
        after.end(&why);
        (why, came)
    }
}

const MADE_ANEW: &str = "the ring is made anew";

async fn knock(next: &mut Option<Post>) -> Option<Came> {
    match next {
        Some(next) => next.knocks.recv().await,
        None => std::future::pending().await,
    }
}

/// Carries everything that is to be said and done; why the ring is over, if it is.
fn settle(machine: &mut Stage, model: &Model, before: &mut Line, after: &mut Line) -> Option<String> {
    loop {
        let mut is_quiet = true;
        while let Some(output) = before.poll() {
            is_quiet = false;
            match output {
                LinkOutput::Came(frame) => machine.handle(StageInput::Came(frame)),
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
        while let Some(output) = machine.poll() {
            is_quiet = false;
            match output {
                // If the thread is gone, its end is heard where results are.
                StageOutput::Work(job) => drop(model.jobs.send(job)),
                StageOutput::Send(frame) => after.link.send(Instant::now(), frame),
                StageOutput::Drop(why) => return Some(why),
            }
        }
        if is_quiet {
            return None;
        }
    }
}
