//! Lends this node's memory and cores to the language model. As a service it says how it is, for now; as a command it
//! generates, measures, probes and quantises.
//!
//! It is a program of its own, because the model's library may abort: the agent must outlive that.
//! It deliberately knows nothing of the agent, and listens on loopback, and on the overlay
//! once the node has an address there; never on the network card.

pub mod args;
mod choice;
pub mod expert;
mod generate;
mod health;
mod measure;
mod overlay;
mod probe;
mod quantise;
mod trials;

use anyhow::Context;
use args::{Args, Command};
use choice::InForce;
use service::door::{self, Answer, Ask};
use service::{log, notify};
use std::time::Instant;
use tokio::net::TcpListener;

/// Does what it was told; without a command it serves until it is asked to stop.
pub fn run(args: Args) -> anyhow::Result<()> {
    match &args.command {
        Some(Command::Generate(command)) => return generate::run(command, args.way),
        Some(Command::Kernels(command)) => return trials::run(command, args.way),
        Some(Command::Measure(command)) => return measure::run(command, args.way),
        Some(Command::Probe(args)) => return probe::run(&args.model),
        Some(Command::Quantise(args)) => return quantise::run(args),
        None => {}
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start the runtime")?.block_on(serve(args))
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
    notify::ready();
    let answer = move |ask| answer(ask, start, in_force);
    tokio::select! {
        _ = door::serve(listener, answer) => {}
        _ = overlay::serve(&args.overlay, address.port(), answer) => {}
        _ = watchdog() => {}
        stop = service::asked_to_stop() => stop.context("cannot hear signals")?,
    }
    notify::stopping();
    Ok(())
}

async fn answer(ask: Ask, start: Instant, in_force: InForce) -> Answer {
    if ask.path != "/health" {
        return Answer::text(404, "there is /health\n");
    }
    match serde_json::to_vec(&health::now(start.elapsed(), in_force)) {
        Ok(body) => Answer::json(200, body),
        Err(e) => Answer::text(500, &format!("the health cannot be written: {e}\n")),
    }
}

/// Runs on the same thread as everything else, so a hang of that thread is seen by systemd.
async fn watchdog() {
    let Some(period) = notify::watchdog_period() else { return std::future::pending().await };
    loop {
        notify::alive();
        tokio::time::sleep(period).await;
    }
}
