//! One expert that answers: its model's threads, its queue, and what requests need of it.

use super::backend::{Backend, BackendError};
use super::civil::civil;
use super::embed::{self, EmbedJob};
use super::figures::{Figures, Ticket};
use super::job::{Job, SAID_MAX, Said};
use super::schedule::Scheduler;
use super::talk::{Prepared, Talk};
use engine::{Context, Model};
use openai::ApiError;
use openai::answer::Head;
use service::log::{self, Level};
use split::expert::{Expert, Purpose};
use split::place::{Role, Talks, stage_beside, whole_beside};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot};

/// Requests that wait for a slot; the next is sent away at once, to another copy.
const WAITING_MAX: usize = 16;
/// When to try again after that.
const RETRY_AFTER_MS: u32 = 500;

/// An expert whose model is loaded.
pub struct Serving {
    pub expert: Expert,
    pub n_slots: u32,
    /// Positions of one conversation.
    pub n_ctx: u32,
    pub weight_bytes: u64,
    /// Of weights, caches, and what computing takes.
    pub bytes: u64,
    pub figures: Arc<Figures>,
    created: u64,
    fingerprint: String,
    ids: Ids,
    work: Work,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the model is there for. Without a sender the expert is given up.
enum Work {
    Chat { talk: Box<Talk>, jobs: Mutex<Option<Sender<Job>>> },
    Embeddings { model: Arc<Model>, jobs: Mutex<Option<Sender<EmbedJob>>> },
}

impl Serving {
    /// Begins to answer chats with whatever computes.
    pub fn chat(expert: Expert, persona: &str, backend: impl Backend + 'static) -> Result<Serving, String> {
        let (shape, model) = (backend.shape(), Arc::clone(backend.model()));
        let talk = Box::new(Talk::new(Arc::clone(&model), &expert, persona, shape.n_ctx)?);
        let beginning = talk.beginning(civil(seconds_since_1970()));
        let figures = Arc::new(Figures::default());
        let (jobs, inbox) = channel();
        let mut scheduler = Scheduler::new(backend, Arc::clone(&figures));
        let name = expert.name.clone();
        let thread = start(&expert.name, move || {
            if let Err(error) = scheduler.warm_up(beginning) {
                let line = format!("rpc-worker: {name} has no warm beginning: {error}");
                log::say(Level::Warning, &line);
            }
            scheduler.rehearse();
            scheduler.run(&inbox);
        })?;
        let work = Work::Chat { talk, jobs: Mutex::new(Some(jobs)) };
        Ok(Serving::new(expert, &model, (shape.n_slots, shape.n_ctx), figures, work, thread))
    }

    /// Begins to answer requests for vectors.
    pub fn embeddings(expert: Expert, context: Context) -> Result<Serving, String> {
        let model = Arc::clone(context.model());
        let n_ctx = context.n_batch().min(context.n_ctx());
        let figures = Arc::new(Figures::default());
        let (jobs, inbox): (_, Receiver<EmbedJob>) = channel();
        let seen = Arc::clone(&figures);
        let thread = start(&expert.name, move || embed::run(context, &inbox, &seen))?;
        let work = Work::Embeddings { model: Arc::clone(&model), jobs: Mutex::new(Some(jobs)) };
        Ok(Serving::new(expert, &model, (1, n_ctx), figures, work, thread))
    }

    fn new(
        expert: Expert,
        model: &Model,
        (n_slots, n_ctx): (u32, u32),
        figures: Arc<Figures>,
        work: Work,
        thread: JoinHandle<()>,
    ) -> Serving {
        let created = seconds_since_1970();
        let fingerprint = format!("duet-{}-{}", env!("CARGO_PKG_VERSION"), expert.quantisation);
        let thread = Mutex::new(Some(thread));
        let (weight_bytes, ids) = (model.weight_bytes(), Ids::new());
        let bytes = bytes(model, Talks::of(&expert));
        Serving {
            expert,
            n_slots,
            n_ctx,
            weight_bytes,
            bytes,
            figures,
            created,
            fingerprint,
            ids,
            work,
            thread,
        }
    }

    pub fn purpose(&self) -> Purpose {
        match self.work {
            Work::Chat { .. } => Purpose::Chat,
            Work::Embeddings { .. } => Purpose::Embeddings,
        }
    }

    pub fn created(&self) -> u64 {
        self.created
    }

    /// The head of one answer.
    pub fn head(&self, kind: &str) -> Head {
        let (id, created) = (format!("{kind}-{}", self.ids.next()), seconds_since_1970());
        Head { id, created, model: self.expert.name.clone(), fingerprint: self.fingerprint.clone() }
    }

    /// What makes prompts, where this expert chats.
    pub fn talk(&self) -> Result<&Talk, ApiError> {
        match &self.work {
            Work::Chat { talk, .. } => Ok(talk),
            Work::Embeddings { .. } => {
                let what = format!("{} makes embeddings and does not chat", self.expert.name);
                Err(ApiError::invalid("model", what))
            }
        }
    }

    /// The model, where this expert makes vectors.
    pub fn embedder(&self) -> Result<&Arc<Model>, ApiError> {
        match &self.work {
            Work::Embeddings { model, .. } => Ok(model),
            Work::Chat { .. } => {
                let what = format!("{} chats and makes no embeddings", self.expert.name);
                Err(ApiError::invalid("model", what))
            }
        }
    }

    /// Dice for a request without a seed.
    pub fn dice(&self) -> u64 {
        self.ids.roll()
    }

    /// Hands a request to the scheduler; what it says comes out here.
    pub fn ask(&self, prepared: Prepared, stops: Vec<String>) -> Result<mpsc::Receiver<Said>, ApiError> {
        let ticket = self.ticket()?;
        let Work::Chat { jobs, .. } = &self.work else { return Err(self.gone()) };
        let (says, hears) = mpsc::channel(SAID_MAX);
        let Prepared { prompt, manner, n_tokens_max, calls, begun_text: _ } = prepared;
        let shows_marks = calls.is_some();
        let job = Job { prompt, manner, n_tokens_max, stops, shows_marks, says, ticket };
        self.send(jobs, job)?;
        Ok(hears)
    }

    pub fn embed(
        &self,
        texts: Vec<Vec<engine::Token>>,
    ) -> Result<oneshot::Receiver<embed::Vectors>, ApiError> {
        let ticket = self.ticket()?;
        let Work::Embeddings { jobs, .. } = &self.work else { return Err(self.gone()) };
        let (answer, hears) = oneshot::channel();
        self.send(jobs, EmbedJob { texts, answer, ticket })?;
        Ok(hears)
    }

    fn ticket(&self) -> Result<Ticket, ApiError> {
        self.figures.queue(WAITING_MAX).ok_or_else(|| {
            self.figures.add(super::figures::Count::Refused, 1);
            ApiError::overloaded(format!("{} has too many requests", self.expert.name), RETRY_AFTER_MS)
        })
    }

    fn send<J>(&self, jobs: &Mutex<Option<Sender<J>>>, job: J) -> Result<(), ApiError> {
        let jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        if sent { Ok(()) } else { Err(self.gone()) }
    }

    fn gone(&self) -> ApiError {
        ApiError::overloaded(format!("{} is no longer held here", self.expert.name), RETRY_AFTER_MS)
    }

    /// Gives the expert up: what runs fails, and its memory is free when this returns.
    pub fn give_up(&self) {
        match &self.work {
            Work::Chat { jobs, .. } => drop(jobs.lock().unwrap_or_else(PoisonError::into_inner).take()),
            Work::Embeddings { jobs, .. } => drop(jobs.lock().unwrap_or_else(PoisonError::into_inner).take()),
        }
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A thread that panicked has told why, and holds nothing any more.
        let _ = thread.map(JoinHandle::join);
    }
}

/// What a model takes here, whole or as a slice, by the rule that the placement counts with.
pub fn bytes(model: &Model, talks: Talks) -> u64 {
    let shape = split::shape::of_file("", model.head(), 0).unwrap_or_default();
    let beside = match model.slice() {
        None => whole_beside(&shape, talks),
        Some(slice) => {
            let n_layers = u32::try_from(shape.layer_bytes.len()).unwrap_or(u32::MAX);
            let ends = (slice.is_first(), slice.is_last());
            stage_beside(&shape, talks, n_layers, Role::with_ends(ends))
        }
    };
    model.weight_bytes().saturating_add(beside)
}

/// How a failed sequence is told to a client.
pub fn api_error(error: BackendError) -> ApiError {
    match error {
        BackendError::Refused(why) => ApiError::unreadable(why),
        BackendError::Lost(why) => ApiError::overloaded(why, RETRY_AFTER_MS),
        BackendError::Broken(why) => ApiError::internal(why),
    }
}

/// A thread for one model. It lets others first, and so do the threads that the model's library starts from it.
fn start(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, String> {
    let begin = move || {
        if let Err(error) = engine::let_others_first() {
            log::say(Level::Warning, &format!("rpc-worker: models do not let others first: {error}"));
        }
        work();
    };
    // Linux shows 15 letters.
    let name: String = name.chars().take(15).collect();
    std::thread::Builder::new().name(name).spawn(begin).map_err(|e| format!("no thread for the model: {e}"))
}

pub fn seconds_since_1970() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// Names and dice that do not come twice.
struct Ids {
    secret: RandomState,
    n: AtomicU64,
}

impl Ids {
    fn new() -> Ids {
        Ids { secret: RandomState::new(), n: AtomicU64::new(0) }
    }

    fn roll(&self) -> u64 {
        self.secret.hash_one(self.n.fetch_add(1, Ordering::Relaxed))
    }

    fn next(&self) -> String {
        format!("{:016x}", self.roll())
    }
}
