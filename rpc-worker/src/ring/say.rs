//! The commands `stage` and `generate --ring`: a ring by hand, without an agent that assigns it.

use super::door::{self, Registry};
use super::head::Split;
use super::{Ring, stage};
use crate::args::{Generate, StageArgs};
use crate::expert::backend::{Backend, BackendError, Event, Manner, Work};
use crate::generate::{Events, Fallback, read_grammar};
use crate::{choice, probe};
use anyhow::{Context, bail};
use engine::{Sampling, Token};
use prompt::StopMachine;
use std::io::Write;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;

/// Positions beyond the prompt and the answer.
const SPARE: u32 = 16;

/// `rpc-worker stage`: until it is killed.
pub fn stage(args: &StageArgs, way: Option<engine::kernels::Way>) -> anyhow::Result<()> {
    eprintln!("{}", choice::told(choice::choose(None, way)?));
    let ring = Ring {
        key: args.key.clone(),
        stage_idx: args.stage,
        n_stages: args.stages,
        next: args.next,
        n_ctx: args.context,
        n_slots: args.slots,
    };
    let runtime = Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    runtime.block_on(async {
        let registry = Registry::default();
        let listener = TcpListener::bind(args.listen).await;
        let listener = listener.with_context(|| format!("cannot listen on {}", args.listen))?;
        tokio::select! {
            done = run(args, ring, registry.clone()) => done,
            () = door::serve(listener, registry) => Ok(()),
            stop = service::asked_to_stop() => stop.context("cannot hear signals"),
        }
    })
}

async fn run(args: &StageArgs, ring: Ring, registry: Registry) -> anyhow::Result<()> {
    let loaded = stage::load(&args.slice, &ring, args.threads, args.logits).await?;
    // Nobody wishes it elsewhere.
    let (_wish, ring) = watch::channel(ring);
    stage::serve(loaded, ring, registry, None).await
}

/// A thread for the connections of all rings.
pub fn connections(listen: std::net::SocketAddr) -> anyhow::Result<(Handle, Registry)> {
    let runtime = Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    let (handle, registry) = (runtime.handle().clone(), Registry::default());
    let listener = runtime.block_on(TcpListener::bind(listen));
    let listener = listener.with_context(|| format!("cannot listen on {listen}"))?;
    let guests = registry.clone();
    let serve = move || runtime.block_on(door::serve(listener, guests));
    std::thread::Builder::new().name("rings".to_owned()).spawn(serve).context("no thread for rings")?;
    Ok((handle, registry))
}

/// `rpc-worker generate --ring`: the model is the first slice.
pub fn generate(args: &Generate) -> anyhow::Result<()> {
    let (Some(next), Some(listen)) = (args.ring, args.ring_listen) else {
        bail!("--ring and --ring-listen come together");
    };
    let (rings, registry) = connections(listen)?;
    let ring = Ring {
        key: args.ring_key.clone(),
        stage_idx: 0,
        n_stages: args.ring_stages,
        next,
        n_ctx: args.ring_context,
        n_slots: args.ring_slots,
    };
    let mut split = Split::new(&args.model, &ring, args.threads, &rings, &registry, None)?;
    let prompt = split.model().tokenise(&args.prompt, true, false)?;
    if prompt.is_empty() || prompt.len() as u32 + args.tokens + SPARE > ring.n_ctx {
        bail!("the prompt has {} tokens, and the context takes {}", prompt.len(), ring.n_ctx);
    }
    let mut fallback = args.ring_fallback.as_deref().map(probe::load).transpose()?;
    let grammar = args.grammar.as_deref().map(read_grammar).transpose()?;
    let sampling =
        Sampling { temperature: args.temperature, seed: args.seed, grammar, ..Sampling::default() };
    let mut said = Vec::new();
    let lost = say(&mut split, &prompt, sampling, args, &mut said)?;
    let Some(why) = lost else { return Ok(()) };
    let Some(model) = fallback.take() else { bail!("the ring is lost: {why}") };
    // The mark: whoever reads must know that another speaks from here on.
    eprintln!("handed over to {}: {why}", args.ring_fallback.as_deref().unwrap_or(&args.model).display());
    let text = args.prompt.clone() + &split.model().detokenise(&said, false)?;
    Fallback { model, text, n_tokens: args.tokens - said.len() as u32, n_threads: args.threads }.say()
}

/// Writes tokens as they come; why the ring was lost, if it was.
fn say(
    split: &mut Split,
    prompt: &[Token],
    sampling: Sampling,
    args: &Generate,
    said: &mut Vec<Token>,
) -> anyhow::Result<Option<String>> {
    let events = Events::new(args.events);
    split.open(0, 0, Manner { sampling, ..Manner::default() })?;
    let mut out = std::io::stdout().lock();
    let mut stop = StopMachine::new(&args.stop).context("--stop")?;
    // All at once: as many pieces as fit are on their way at a time.
    let n_rows = split.shape().n_rows;
    let n_pieces = prompt.len().div_ceil(n_rows);
    for (n, piece) in prompt.chunks(n_rows).enumerate() {
        let (at, choose) = ((n * n_rows) as u32, n + 1 == n_pieces);
        split.begin(vec![Work { slot: 0, at, tokens: piece.to_vec(), choose }]);
    }
    loop {
        for event in split.wait() {
            match event {
                Event::Done { chosen: None, .. } => {}
                Event::Done { end, chosen: Some(chosen), .. } => {
                    if split.model().ends(chosen.token) {
                        writeln!(out, "{}", stop.finish().text).context("cannot write the text")?;
                        return Ok(None);
                    }
                    events.tell("token");
                    said.push(chosen.token);
                    let shown = stop.push(&split.model().piece(chosen.token, false)?);
                    let written = out.write_all(shown.text.as_bytes()).and_then(|()| out.flush());
                    written.context("cannot write the text")?;
                    if shown.stopped.is_some() || said.len() == args.tokens as usize {
                        split.close(0);
                        writeln!(out, "{}", stop.finish().text).context("cannot write the text")?;
                        return Ok(None);
                    }
                    split.begin(vec![Work { slot: 0, at: end, tokens: vec![chosen.token], choose: true }]);
                }
                Event::Failed { error: BackendError::Lost(why), .. } => {
                    events.tell("lost");
                    return Ok(Some(why));
                }
                Event::Failed { error, .. } => bail!("{error}"),
            }
        }
    }
}
