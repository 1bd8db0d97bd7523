//! Lends this node's memory and cores to the language model. As a service it answers for the experts that the node was
//! given and says how it is; as a command it generates, measures, probes and quantises.
//!
//! It is a program of its own, because the model's library may abort: the agent must outlive that.
//! It deliberately knows nothing of the agent, and listens on loopback, and on the overlay
//! once the node has an address there; never on the network card.

pub mod args;
mod backoff;
mod choice;
pub mod expert;
mod generate;
mod health;
mod measure;
mod probe;
mod quantise;
pub mod ring;
mod stock;
mod trials;

use anyhow::Context;
use args::{Args, Command};
use choice::InForce;
use expert::hall::{Hall, Manner};
use expert::{metrics, routes, wishes};
use ring::keeper::Keeper;
use service::door::{self, Allowance, Answer, Ask, Head, Reply};
use service::{log, notify};
use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Instant;
use stock::Stock;
use tokio::net::TcpListener;

/// Does what it was told; without a command it serves until it is asked to stop.
pub fn run(args: Args) -> anyhow::Result<()> {
    match &args.command {
        Some(Command::Generate(command)) => return generate::run(command, args.way),
        Some(Command::Kernels(command)) => return trials::run(command, args.way),
        Some(Command::Measure(command)) => return measure::run(command, args.way),
        Some(Command::Probe(args)) => return probe::run(&args.model),
        Some(Command::Quantise(args)) => return quantise::run(args),
        Some(Command::Stage(command)) => return ring::say::stage(command, args.way),
        Some(Command::StockChild(command)) => return stock::child::run(command, args.way),
        None => {}
    }
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().max_blocking_threads(READERS_MAX).build();
    runtime.context("cannot start the runtime")?.block_on(serve(args))
}

/// Threads that make tokens of long requests, beside the one that holds the doors.
const READERS_MAX: usize = 2;

/// What every answer needs.
#[derive(Clone)]
struct Node {
    start: Instant,
    in_force: InForce,
    hall: Hall,
    models: PathBuf,
    stock: Stock,
}

async fn serve(args: Args) -> anyhow::Result<()> {
    let start = Instant::now();
    let listener =
        TcpListener::bind(args.listen).await.with_context(|| format!("cannot listen on {}", args.listen))?;
    let address = listener.local_addr().context("cannot tell the own address")?;
    let choice = choice::choose(None, args.way)?;
    let in_force = choice::in_force(choice);
    log::say(log::Level::Info, &format!("rpc-worker: {}", choice::told(choice)));
    log::say(log::Level::Info, &format!("rpc-worker: listening on {address}"));
    let n_threads = args.threads.unwrap_or_else(|| available_parallelism().map_or(1, |n| n.get() as u32));
    let keeper = Keeper::new(args.stages, args.overlay.clone(), n_threads);
    let hall =
        Hall::open(Manner { n_threads, warm: args.warm.clone() }, keeper).context("no thread for models")?;
    let sources = args.sources();
    notify::ready();
    let stock = Stock::new(args.stock.clone(), n_threads, args.way);
    let node = Node { start, in_force, hall: hall.clone(), models: args.models.clone(), stock };
    let answer = move |ask| answer(ask, node.clone());
    let inside = answer.clone();
    let overlaid = move |listener| door::serve_gated(routes::LIMITS, listener, overlay_gate, inside.clone());
    tokio::select! {
        _ = door::serve_gated(routes::LIMITS, listener, gate, answer) => {}
        _ = service::overlay::serve("rpc-worker", &args.overlay, address.port(), overlaid) => {}
        _ = watchdog() => {}
        done = wishes::follow(&sources, &hall) => done?,
        stop = service::asked_to_stop() => stop.context("cannot hear signals")?,
    }
    notify::stopping();
    Ok(())
}

/// How much a request may bring, and how long it may take.
fn gate(head: &Head<'_>) -> Result<Allowance, Reply> {
    if head.path == stock::PATH { Ok(stock::ALLOWANCE) } else { routes::gate(head) }
}

/// On the overlay nobody gets memory: only this node's own agent knows whose key allows it.
fn overlay_gate(head: &Head<'_>) -> Result<Allowance, Reply> {
    if head.path == stock::PATH {
        return Err(Answer::text(404, "memory is lent by the agent of this node\n").into());
    }
    routes::gate(head)
}

async fn answer(ask: Ask, node: Node) -> Reply {
    match ask.path.as_str() {
        stock::PATH => node.stock.answer(&ask).await,
        "/health" => match serde_json::to_vec(&health::now(
            node.start.elapsed(),
            node.in_force,
            &node.hall,
            &node.models,
        )) {
            Ok(body) => Answer::json(200, body),
            Err(e) => Answer::text(500, &format!("the health cannot be written: {e}\n")),
        }
        .into(),
        "/metrics" => {
            Answer { content_type: METRICS_TYPE, ..Answer::text(200, &metrics::text(&node.hall)) }.into()
        }
        _ => match routes::answer(&node.hall, ask).await {
            Some(reply) => reply,
            None => Answer::text(404, "there are /health, /metrics and /v1/models\n").into(),
        },
    }
}

/// Which version of its text form Prometheus is given.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Runs on the same thread as everything else, so a hang of that thread is seen by systemd.
async fn watchdog() {
    let Some(period) = notify::watchdog_period() else { return std::future::pending().await };
    loop {
        notify::alive();
        tokio::time::sleep(period).await;
    }
}
