//! The voice of a node: all that a person meets of it, and its part in the cluster.
//!
//! `facts` parses, `health` judges, `report` decides what to tell, `page` and `text` show: all pure.
//! `enrol` makes it a member of its cluster, `cluster` is what it knows of the others, `orders` says which of the owner's orders are obeyed: pure too.
//! `io`, `serve` with all that runs beside it, `reached` and `diag` are the rim that touches the machine.
//! `gateway` answers the OpenAI API for the cluster, `offered` reads what it is to offer, `settings` is what the owner says to all nodes, `tier` what a node is good for.
//! `talk` is a conversation by voice, `hear`, `answer` and `speech` are its ear, its mind and its mouth, `sound` are microphone and speaker, `keys` the keys that open the ear.
//! `page` and its `panels` are what a browser shows, `login` is who may do more than look, `logbook` the lines of the log, and `api` the one table of all paths.
//! `brain` runs the workflows by which it answers, and chooses who does.
//! `tools` are what it can do beside talking, and the desk where each call is allowed, timed and written down.
//! `turn` plays one whole turn from files.
//! `memory` is what this home remembers, with its rim in it.
//! `session` are conversations with microphones elsewhere, `wyoming` is the door for Home Assistant.
//! `overlay`, `stick`, `acts` and `sandbox` (in `tools`) are processes of their own, with rims of their own.

mod acts;
pub mod answer;
pub mod api;
pub mod args;
pub mod brain;
pub mod cluster;
mod diag;
pub mod enrol;
pub mod facts;
pub mod gateway;
pub mod health;
pub mod hear;
pub mod io;
pub mod keys;
mod logbook;
mod login;
pub mod memory;
mod offered;
pub mod orders;
pub mod overlay;
mod own_memory;
pub mod page;
mod panels;
mod reached;
pub mod report;
pub mod serve;
pub mod session;
mod settings;
pub mod sound;
pub mod speech;
pub mod spreading;
mod stick;
pub mod talk;
pub mod text;
pub mod tier;
pub mod tools;
#[cfg(all(feature = "hear", feature = "speak"))]
mod turn;
pub mod wyoming;

use anyhow::Context;
use args::{Command, StatusArgs};
use io::node::Node;

/// Runs one command to its end.
pub fn run(command: Command) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start the runtime")?;
    match command {
        Command::Serve(args) => runtime.block_on(serve::run(args)),
        Command::Status(args) => runtime.block_on(status(args)),
        Command::Diag(args) => {
            let end = diag::run(&runtime, &args.agent)?;
            // Nothing is open here that would want an end of its own.
            std::process::exit(end.status().into())
        }
        Command::Reached(args) => reached::run(&args.root),
        Command::Sandbox(args) => print(&tools::sandbox::inside::run(&args)?),
        Command::Acts(args) => acts::run(&args.root),
        Command::Stick(args) => print(&stick::run(&args.root)?),
        Command::Overlay(args) => runtime.block_on(overlay::run(args)),
        Command::Keys(args) => keys::command::run(&args),
        Command::Memory(args) => runtime.block_on(memory::command::run(args)),
        #[cfg(feature = "sound")]
        Command::Devices(args) => print(&sound::commands::list(&args)?),
        #[cfg(feature = "sound")]
        Command::Level(args) => sound::commands::level(&args),
        #[cfg(not(feature = "sound"))]
        Command::Devices(_) | Command::Level(_) => anyhow::bail!("this agent was built without sound"),
        Command::Workflow(args) => runtime.block_on(brain::command::run(args)),
        Command::Tools(args) => runtime.block_on(tools::command::run(args)),
        Command::MeasureCalls(args) => print(&runtime.block_on(tools::measure::run(args))?),
        Command::MeasureRecall(args) => print(&runtime.block_on(memory::recall::run(args))?),
        Command::MeasureRouting(args) => print(&runtime.block_on(brain::measure::run(args))?),
        #[cfg(feature = "hear")]
        Command::Transcribe(args) => print(&hear::transcribe::run(&args)?),
        #[cfg(feature = "hear")]
        Command::MeasureHearing(args) => print(&hear::measure::run(&args)?),
        Command::Say(args) => print(&speech::say::run(&args)?),
        #[cfg(all(feature = "hear", feature = "speak"))]
        Command::Turn(args) => print(turn::run(&runtime, &args)?.as_bytes()),
        #[cfg(not(all(feature = "hear", feature = "speak")))]
        Command::Turn(_) => anyhow::bail!("this agent was built without hearing or without speech"),
        #[cfg(not(feature = "hear"))]
        Command::Transcribe(_) | Command::MeasureHearing(_) => {
            anyhow::bail!("this agent was built without hearing")
        }
    }
}

async fn status(args: StatusArgs) -> anyhow::Result<()> {
    let is_usual = args.root == args::usual_root() && args.worker == args::usual_worker();
    let node = Node::new(args.root, &args.worker.to_string());
    let text = match args.json {
        true => {
            serde_json::to_string(&node.status().await).context("cannot write the status as JSON")? + "\n"
        }
        false if is_usual => status_text(&node).await,
        false => text::render(&node.status().await, args::PORT),
    };
    print(&text)
}

/// No address is an exception from a key, this PC's own neither: every proxy and tunnel would be one.
const CLOSED: &str = "closed     the owner has closed the page of this PC; the rest is told to him:\n           duet nodes run-diag\n";

/// As the agent that serves tells it, who knows the cluster and the last turns; without one, what else can be seen.
pub(crate) async fn status_text(node: &Node) -> String {
    let own = format!("http://127.0.0.1:{}", args::PORT);
    match service::fetch::get(&own, serve::TEXT_PATH).await {
        Ok(reply) if reply.status == 200 => String::from_utf8_lossy(&reply.body).into_owned(),
        Ok(reply) if reply.status == 401 => text::render(&node.status().await, args::PORT) + CLOSED,
        _ => text::render(&node.status().await, args::PORT),
    }
}

/// A reader that closes early, such as `head`, is no error.
fn print(text: &(impl AsRef<[u8]> + ?Sized)) -> anyhow::Result<()> {
    use std::io::{ErrorKind, Write};
    match std::io::stdout().write_all(text.as_ref()) {
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write to standard output"),
    }
}
