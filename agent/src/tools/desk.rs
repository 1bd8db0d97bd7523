//! Every call of a tool comes by here: checked, allowed by the owner's policy or by a person, run within its limits on a
//! thread of its own, and written down before and after.
//!
//! A tool that passes over its time is not waited for; its thread keeps one of the few places until it ends.

use super::book::Book;
use super::{Limits, Tool};
use crate::talk::parts::Stop;
use service::log::{Level, say};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;
use tools::approvals::{Approvals, EXPIRY};
use tools::{Asker, AuditRecord, Call, Outcome, Pending, Policy, Refused, Risk, Spec, Verdict, Wanted, cut};

/// Tools that run at once.
const RUNNING_MAX: usize = 4;
/// Tools that there may be, those of outside servers among them.
const TOOLS_MAX: usize = 256;
/// What a tool that keeps its time needs to say that it was too long.
const GRACE: Duration = Duration::from_millis(500);
/// How soon a stop is seen.
const LOOK_EVERY: Duration = Duration::from_millis(40);

/// Told when a person must be asked, with what will run.
pub type Asks = Box<dyn FnOnce(&Pending) + Send>;

/// A call that somebody wants.
pub struct Job {
    pub wanted: Wanted,
    pub asker: Asker,
    pub stop: Stop,
    pub asks: Asks,
}

/// A person's yes that was given elsewhere, to exactly this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Yes {
    pub by: String,
    pub will_run: String,
}

/// What a call brings that was wanted elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brought {
    pub yes: Option<Yes>,
    /// It goes to no third node.
    pub stays: bool,
}

pub struct Desk {
    tools: RwLock<BTreeMap<String, Arc<dyn Tool>>>,
    /// None until the owner's word was read: until then nothing runs.
    policy: RwLock<Option<Policy>>,
    waiting: Mutex<Waiting>,
    book: Arc<Mutex<Book>>,
    start: Instant,
    n_running: Arc<AtomicUsize>,
}

struct Waiting {
    approvals: Approvals,
    told: BTreeMap<u64, oneshot::Sender<Verdict>>,
}

/// A place among those that run.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A call that waits for a person; who goes away takes it back.
struct Wait<'a> {
    desk: &'a Desk,
    id: u64,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let mut waiting = self.desk.waiting();
        waiting.approvals.withdraw(self.id);
        waiting.told.remove(&self.id);
    }
}

impl Desk {
    /// `folder` is where the book of calls lies; without one it goes with the program.
    pub fn open(folder: Option<&Path>) -> Desk {
        let book = Book::open(folder).unwrap_or_else(|error| {
            say(Level::Warning, &format!("duet: calls of tools are not kept: {error}"));
            Book::open(None).expect("a book without a folder opens no file")
        });
        let waiting = Waiting { approvals: Approvals::new(first_id()), told: BTreeMap::new() };
        Desk {
            tools: RwLock::default(),
            policy: RwLock::default(),
            waiting: Mutex::new(waiting),
            book: Arc::new(Mutex::new(book)),
            start: Instant::now(),
            n_running: Arc::default(),
        }
    }

    /// A new tool, or a new one of an old name; the sentence says why it is none.
    pub fn add(&self, tool: Arc<dyn Tool>) -> Result<(), String> {
        let spec = tool.spec().good().map_err(|error| error.to_string())?;
        let mut tools = self.tools.write().unwrap_or_else(PoisonError::into_inner);
        if tools.len() >= TOOLS_MAX && !tools.contains_key(&spec.name) {
            return Err(format!("there are {TOOLS_MAX} tools already"));
        }
        tools.insert(spec.name, tool);
        Ok(())
    }

    /// A tool that is no more; a call of it that runs goes on.
    pub fn remove(&self, name: &str) {
        self.tools.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// Calls are let through from here on, as the owner says.
    pub fn open_with(&self, policy: Policy) {
        *self.policy.write().unwrap_or_else(PoisonError::into_inner) = Some(policy);
    }

    fn risk(&self, spec: &Spec) -> Risk {
        let policy = self.policy.read().unwrap_or_else(PoisonError::into_inner);
        policy.as_ref().map_or(Risk::Forbidden, |policy| policy.risk(spec))
    }

    /// All tools by their names, each with what must happen before it runs.
    pub fn specs(&self) -> Vec<(Spec, Risk)> {
        let tools: Vec<Arc<dyn Tool>> =
            self.tools.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        let with_risk = |spec: Spec| {
            let risk = self.risk(&spec);
            (spec, risk)
        };
        tools.iter().map(|tool| with_risk(tool.spec())).collect()
    }

    /// Runs one call to its end. The error is a sentence for whoever wanted it.
    pub async fn call(&self, job: Job) -> Result<String, String> {
        self.call_with(job, Brought::default()).await
    }

    /// The same for a call from elsewhere, with a yes that was given there. A yes to anything but what this node would run
    /// is none, and what is forbidden here stays so.
    pub async fn call_with(&self, job: Job, brought: Brought) -> Result<String, String> {
        let Job { wanted, asker, stop, asks } = job;
        let refused = async |why: String| {
            let given = serde_json::Value::Object(wanted.arguments.clone()).to_string();
            let record = AuditRecord::new(unix_s(), &wanted.tool, &given, &asker.who, Outcome::Refused);
            // It is refused whether that can be written down or not.
            let _ = self.write(record.why(&why)).await;
            Err(why)
        };
        let found = self.tools.read().unwrap_or_else(PoisonError::into_inner).get(&wanted.tool).cloned();
        let Some(tool) = found else {
            return refused(format!("there is no tool {:?}", cut(&wanted.tool, 64))).await;
        };
        let spec = tool.spec();
        let mut call = match Call::new(&spec, &wanted, asker.clone()) {
            Ok(call) => call,
            Err(wrong) => return refused(format!("{}: {wrong}", spec.name)).await,
        };
        let by = match self.risk(&spec) {
            Risk::Free => None,
            Risk::Forbidden => return refused(format!("{} is forbidden on this node", spec.name)).await,
            Risk::Ask => match brought.yes.filter(|yes| yes.will_run == call.will_run()) {
                Some(yes) => Some(yes.by),
                None => Some(self.allowed(&tool, &call, &stop, asks).await?),
            },
        };
        (call.yes, call.stays) = (by.clone(), brought.stays);
        self.run(&spec, tool, call, &stop, by).await
    }

    /// Until a person says yes: by whom.
    async fn allowed(
        &self,
        tool: &Arc<dyn Tool>,
        call: &Call,
        stop: &Stop,
        asks: Asks,
    ) -> Result<String, String> {
        let (sender, mut verdict) = oneshot::channel();
        let asked = {
            let mut waiting = self.waiting();
            let will_run = tool.will_do(call).map_or_else(|| call.will_run(), |words| tools::visible(&words));
            let asked = waiting.approvals.ask_in_words(self.now(), call, will_run);
            if let Ok(pending) = &asked {
                waiting.told.insert(pending.id, sender);
            }
            asked
        };
        let pending = match asked {
            Ok(pending) => pending,
            Err(refused) => {
                let why = format!("{} needs a person's yes: {refused}", call.tool);
                let _ = self.write(AuditRecord::of(unix_s(), call, Outcome::Refused).why(&why)).await;
                return Err(why);
            }
        };
        let wait = Wait { desk: self, id: pending.id };
        self.write(AuditRecord::of(unix_s(), call, Outcome::Asked)).await?;
        asks(&pending);
        let told = loop {
            self.tick();
            tokio::select! {
                told = &mut verdict => break told.unwrap_or(Verdict::Expired),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            if stop.is_stopped() {
                let record = AuditRecord::of(unix_s(), call, Outcome::Stopped);
                let _ = self.write(record.why("nobody waits for it any more")).await;
                return Err("nobody waits for it any more".into());
            }
        };
        drop(wait);
        let (why, by) = match told {
            Verdict::Yes(by) => return Ok(by),
            Verdict::No(by) => ("a person said no".to_owned(), Some(by)),
            Verdict::Expired => (format!("nobody said yes within {} seconds", EXPIRY.as_secs()), None),
        };
        let record = AuditRecord { by, ..AuditRecord::of(unix_s(), call, Outcome::Denied).why(&why) };
        let _ = self.write(record).await;
        Err(format!("{} did not run: {why}", call.tool))
    }

    async fn run(
        &self,
        spec: &Spec,
        tool: Arc<dyn Tool>,
        call: Call,
        stop: &Stop,
        by: Option<String>,
    ) -> Result<String, String> {
        let record = |outcome| AuditRecord { by: by.clone(), ..AuditRecord::of(unix_s(), &call, outcome) };
        let Some(place) = self.place() else {
            let why = format!("{RUNNING_MAX} tools run already; try again soon");
            let _ = self.write(record(Outcome::Refused).why(&why)).await;
            return Err(why);
        };
        self.write(record(Outcome::Began)).await?;
        let began = Instant::now();
        let deadline = began + Duration::from_secs(spec.seconds_max.into());
        let is_over = Arc::new(AtomicBool::new(false));
        let (sender, mut told) = oneshot::channel();
        let (output_max, its_stop, its_call) = (spec.output_max, is_over.clone(), call.clone());
        let body = move || {
            let limits = Limits { deadline, output_max, stop: &its_stop };
            let _ = sender.send(tool.run(&its_call, &limits));
            drop(place);
        };
        let begun = std::thread::Builder::new().name("tool".into()).spawn(body);
        let (outcome, told) = match begun {
            Err(error) => (Outcome::Failed, Err(format!("no thread for {}: {error}", spec.name))),
            Ok(_) => loop {
                tokio::select! {
                    told = &mut told => break match told {
                        Ok(Ok(text)) => (Outcome::Done, Ok(shown(&text, spec.output_max))),
                        Ok(Err(why)) => (Outcome::Failed, Err(shown(&why, spec.output_max))),
                        Err(_) => (Outcome::Failed, Err(format!("{} broke", spec.name))),
                    },
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
                if stop.is_stopped() {
                    is_over.store(true, Ordering::Release);
                    break (Outcome::Stopped, Err("nobody waits for it any more".into()));
                }
                if Instant::now() >= deadline + GRACE {
                    is_over.store(true, Ordering::Release);
                    let why = format!("{} took longer than {} seconds", spec.name, spec.seconds_max);
                    break (Outcome::Late, Err(why));
                }
            },
        };
        let record = AuditRecord {
            took_ms: Some(began.elapsed().as_millis() as u64),
            output: told.as_ref().ok().map(|text: &String| text.len() as u64),
            ..record(outcome).why(told.as_ref().err().map_or("", String::as_str))
        };
        // It has run; that its end cannot be written down changes nothing for whoever wanted it.
        let _ = self.write(record).await;
        told
    }

    /// Calls that run, and how many may at once; nothing while the owner's word is not known.
    pub fn load(&self) -> Option<(usize, usize)> {
        let policy = self.policy.read().unwrap_or_else(PoisonError::into_inner);
        policy.as_ref().map(|_| (self.n_running.load(Ordering::Acquire), RUNNING_MAX))
    }

    fn place(&self) -> Option<Place> {
        let free = |n: usize| (n < RUNNING_MAX).then_some(n + 1);
        self.n_running.fetch_update(Ordering::AcqRel, Ordering::Acquire, free).ok()?;
        Some(Place(self.n_running.clone()))
    }

    /// Calls that wait for a person, and for how long yet.
    pub fn pending(&self) -> Vec<(Pending, Duration)> {
        let now = self.now();
        self.tick();
        let waiting = self.waiting();
        let left = |pending: &Pending| (pending.clone(), pending.expires.saturating_sub(now));
        waiting.approvals.pending().map(left).collect()
    }

    pub fn is_pending(&self, id: u64) -> bool {
        self.tick();
        self.waiting().approvals.pending().any(|pending| pending.id == id)
    }

    /// A person's word; it counts once.
    pub fn answer(&self, id: u64, is_yes: bool, by: &str) -> Result<(), Refused> {
        let answered = self.waiting().approvals.answer(self.now(), id, is_yes, by);
        self.tick();
        answered
    }

    /// Tells those whose calls were answered or have expired.
    fn tick(&self) {
        let mut waiting = self.waiting();
        waiting.approvals.tick(self.now());
        while let Some((id, verdict)) = waiting.approvals.poll() {
            if let Some(told) = waiting.told.remove(&id) {
                // Whoever is gone needs no verdict.
                let _ = told.send(verdict);
            }
        }
    }

    /// The last calls, oldest first.
    pub fn audit(&self, n_max: usize) -> Vec<AuditRecord> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner).last(n_max)
    }

    /// What was done here for a person at another node.
    pub async fn done_for(&self, tool: &str, what: &str, asker: &str, why: Option<&str>) {
        let outcome = if why.is_some() { Outcome::Failed } else { Outcome::Done };
        let record = AuditRecord::new(unix_s(), tool, what, asker, outcome);
        // It is done; that it cannot be written down is told in the log.
        let _ = self.write(record.why(why.unwrap_or_default())).await;
    }

    /// Into the book and the log; a call that cannot be written down does not go on.
    async fn write(&self, record: AuditRecord) -> Result<(), String> {
        say(Level::Info, &format!("duet: {}", told(&record)));
        let book = self.book.clone();
        let write = move || book.lock().unwrap_or_else(PoisonError::into_inner).write(record);
        let written = tokio::task::spawn_blocking(write).await.map_err(|error| error.to_string());
        written.and_then(|written| written.map_err(|error| error.to_string())).map_err(|why| {
            say(Level::Warning, &format!("duet: the book of calls cannot be written: {why}"));
            format!("no tool runs while its call cannot be written down: {why}")
        })
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}

/// For the log: which tool, for whom, what came of it; not what it was told.
fn told(record: &AuditRecord) -> String {
    let word = match record.outcome {
        Outcome::Refused => "was refused",
        Outcome::Asked => "waits for a person",
        Outcome::Denied => "was not allowed",
        Outcome::Began => "began",
        Outcome::Done => "is done",
        Outcome::Failed => "failed",
        Outcome::Late => "took too long",
        Outcome::Stopped => "was given up",
    };
    let why = if record.why.is_empty() { String::new() } else { format!(": {}", record.why) };
    format!("tool {} for {} {word}{why}", record.tool, record.asker)
}

/// What a tool said, without what would move a cursor, and within its limit; a cut one says so.
fn shown(text: &str, bytes_max: usize) -> String {
    let is_plain = |letter: &char| !letter.is_control() || matches!(letter, '\n' | '\t');
    let text: String = text.chars().filter(is_plain).collect();
    let shown = cut(&text, bytes_max);
    match text.len() - shown.len() {
        0 => text,
        n => format!("{shown}\n[cut here; {n} bytes more]"),
    }
}

/// Ids of another run of the program mean other calls; 48 bits are what a browser's numbers hold with room.
fn first_id() -> u64 {
    let mut bytes = [0; 8];
    let _ = rustix::rand::getrandom(&mut bytes[..5], rustix::rand::GetRandomFlags::empty());
    u64::from_le_bytes(bytes) << 8
}

fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
