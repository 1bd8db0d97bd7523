//! One server: a thread of its own that connects when it is needed, asks one thing at a time, and gives up in time.

use super::config::{Setup, Way};
use super::http::Http;
use super::lines::{Lines, Reason};
use super::offer::{self, Offer, TOOLS_MAX};
use crate::tools::Limits;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities, ClientConfig, ContentBlock,
    Implementation, PaginatedRequestParams,
};
use rmcp::service::{RoleClient, RunningService, ServiceError, serve_client};
use serde_json::{Map, Value};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Calls that wait for the one before.
const WAITING_MAX: usize = 4;
/// A list of tools comes in pages, which a server may make without end.
const PAGES_MAX: usize = 8;
/// Between two looks at whether anybody still waits.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How a server's own error is shown.
const ERROR_BYTES_MAX: usize = 300;

enum What {
    List,
    Call { name: String, arguments: Map<String, Value> },
}

#[derive(Debug)]
enum Told {
    Offers(Vec<Offer>),
    Text(String),
}

struct Job {
    what: What,
    deadline: Instant,
    gone: Arc<AtomicBool>,
    done: SyncSender<Result<Told, String>>,
}

/// A server of the owner's.
pub struct Server {
    pub name: String,
    jobs: mpsc::Sender<Job>,
}

type Running = RunningService<RoleClient, ClientConfig>;

impl Server {
    /// Connects only when something is asked.
    pub fn start(setup: Setup) -> std::io::Result<Server> {
        let (jobs, mut waiting) = mpsc::channel::<Job>(WAITING_MAX);
        let name = setup.name.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name(format!("mcp-{name}")).spawn(move || {
            runtime.block_on(async move {
                let mut link = Link { setup, running: None, reason: Reason::default() };
                while let Some(job) = waiting.recv().await {
                    let _ = job.done.try_send(link.work(&job).await);
                }
            });
        })?;
        Ok(Server { name, jobs })
    }

    /// What it offers now. What cannot be a tool is left out.
    pub fn offers(&self, limits: &Limits<'_>) -> Result<Vec<Offer>, String> {
        match self.ask(What::List, limits)? {
            Told::Offers(offers) => Ok(offers),
            Told::Text(_) => Err(format!("{} gave no list", self.name)),
        }
    }

    pub fn call(
        &self,
        offer: &Offer,
        arguments: Map<String, Value>,
        limits: &Limits<'_>,
    ) -> Result<String, String> {
        match self.ask(What::Call { name: offer.name.clone(), arguments }, limits)? {
            Told::Text(text) => Ok(text),
            Told::Offers(_) => Err(format!("{} gave no answer", self.name)),
        }
    }

    fn ask(&self, what: What, limits: &Limits<'_>) -> Result<Told, String> {
        let (done, answer) = sync_channel(1);
        let gone = Arc::new(AtomicBool::new(false));
        let job = Job { what, deadline: limits.deadline, gone: gone.clone(), done };
        self.jobs.try_send(job).map_err(|_| format!("{} has too much to do", self.name))?;
        loop {
            match answer.recv_timeout(LOOK_EVERY) {
                Ok(told) => return told.map_err(|why| format!("{}: {why}", self.name)),
                Err(RecvTimeoutError::Disconnected) => return Err(format!("{} is gone", self.name)),
                Err(RecvTimeoutError::Timeout) if limits.is_over() => {
                    gone.store(true, Ordering::Release);
                    return Err(format!("{} did not answer in time", self.name));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

struct Link {
    setup: Setup,
    running: Option<Running>,
    reason: Reason,
}

impl Link {
    async fn work(&mut self, job: &Job) -> Result<Told, String> {
        let nobody_waits = async {
            while !job.gone.load(Ordering::Acquire) && Instant::now() < job.deadline {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let told = tokio::select! {
            told = self.answer(&job.what) => told,
            () = nobody_waits => {
                // Who hangs is not waited for again: it is started anew.
                self.running = None;
                Err("it did not answer in time".into())
            }
        };
        if self.running.as_ref().is_some_and(|running| running.is_closed()) {
            self.running = None;
        }
        told
    }

    async fn answer(&mut self, what: &What) -> Result<Told, String> {
        // What ended meanwhile is noticed now.
        if self.running.as_ref().is_none_or(|running| running.is_closed()) {
            self.running = None;
            self.connect().await?;
        }
        let Some(running) = &self.running else { return Err("there is no connection".into()) };
        let told = match what {
            What::List => list(running, &self.setup).await.map(Told::Offers),
            What::Call { name, arguments } => call(running, name, arguments).await.map(Told::Text),
        };
        told.map_err(|failed| match failed {
            Failed::Said(why) => why,
            Failed::Broke(why) => {
                self.running = None;
                self.reason().unwrap_or(why)
            }
        })
    }

    async fn connect(&mut self) -> Result<(), String> {
        self.reason = Reason::default();
        let ourselves = ClientConfig::new(
            ClientCapabilities::default(),
            Implementation::new("duet", env!("CARGO_PKG_VERSION")),
        );
        let running = match &self.setup.way {
            Way::Child { program, words } => {
                let lines =
                    Lines::start(program, words, self.reason.clone()).map_err(|error| error.to_string())?;
                serve_client(ourselves, lines).await
            }
            Way::Http { address, path } => {
                serve_client(ourselves, Http::new(*address, path, self.reason.clone())).await
            }
        };
        match running {
            Ok(running) => self.running = Some(running),
            Err(error) => return Err(self.reason().unwrap_or_else(|| shown(&error.to_string()))),
        }
        Ok(())
    }

    fn reason(&self) -> Option<String> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(ToString::to_string)
    }
}

enum Failed {
    /// The server says so, and can be asked again.
    Said(String),
    /// The connection is worth nothing any more.
    Broke(String),
}

impl From<ServiceError> for Failed {
    fn from(error: ServiceError) -> Failed {
        match error {
            ServiceError::McpError(error) => Failed::Said(shown(&error.message)),
            other => Failed::Broke(shown(&other.to_string())),
        }
    }
}

async fn list(running: &Running, setup: &Setup) -> Result<Vec<Offer>, Failed> {
    let (mut offers, mut cursor) = (Vec::<Offer>::new(), None);
    for _ in 0..PAGES_MAX {
        let params = cursor.map(|cursor| PaginatedRequestParams::default().with_cursor(Some(cursor)));
        let page = running.peer().list_tools(params).await?;
        for tool in page.tools {
            let about = tool.description.as_deref();
            let read = offer::read(&setup.name, &tool.name, about, &tool.input_schema, setup.seconds_max);
            let Ok(offer) = read else { continue };
            // Two names that differ in capitals alone are one here.
            if offers.len() < TOOLS_MAX && offers.iter().all(|other| other.spec.name != offer.spec.name) {
                offers.push(offer);
            }
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    Ok(offers)
}

async fn call(running: &Running, name: &str, arguments: &Map<String, Value>) -> Result<String, Failed> {
    let params = CallToolRequestParams::new(name.to_owned()).with_arguments(arguments.clone());
    match running.call_tool_once(params).await? {
        CallToolResponse::Complete(result) => told(&result).map_err(Failed::Said),
        _ => Err(Failed::Said("it wants to be asked in a way that is not known here".into())),
    }
}

fn told(result: &CallToolResult) -> Result<String, String> {
    let part = |content: &ContentBlock| match content {
        ContentBlock::Text(text) => text.text.clone(),
        ContentBlock::Image(_) => "(a picture)".into(),
        ContentBlock::Audio(_) => "(sound)".into(),
        _ => "(something else than text)".into(),
    };
    let mut text = result.content.iter().map(part).collect::<Vec<_>>().join("\n");
    if let (true, Some(value)) = (text.is_empty(), &result.structured_content) {
        text = value.to_string();
    }
    let is_plain = |letter: &char| !letter.is_control() || matches!(letter, '\n' | '\t');
    let text: String = text.chars().filter(is_plain).collect();
    if result.is_error == Some(true) { Err(shown(&text)) } else { Ok(text) }
}

/// A server's own error, on one line.
fn shown(text: &str) -> String {
    let line: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    tools::cut(line.trim(), ERROR_BYTES_MAX).to_owned()
}
