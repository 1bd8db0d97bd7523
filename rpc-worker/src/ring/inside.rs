//! `rpc-worker generate FIRST --then SLICE ...`: all slices of a model in one process, one after the other.
//!
//! What cutting alone costs can be counted so: under a counter of instructions one thread runs at a time, and slow, and a
//! ring of processes would take itself for dead.

use super::head::manner_of;
use super::layers::Layers;
use crate::args::Generate;
use crate::expert::backend::Manner;
use crate::probe;
use anyhow::{Context as _, bail, ensure};
use engine::Sampling;
use split::pipe::{Job, Worked};
use split::wire::Chosen;
use std::io::Write;
use std::path::Path;

/// The one sequence.
const SLOT: u16 = 0;

pub fn generate(args: &Generate) -> anyhow::Result<()> {
    ensure!(args.ring.is_none(), "--then and --ring are two ways to go on");
    let first = probe::load(&args.model)?;
    let prompt = first.tokenise(&args.prompt, true, false)?;
    ensure!(!prompt.is_empty(), "the prompt has no tokens");
    let n_ctx = u32::try_from(prompt.len())?.saturating_add(args.tokens);
    let layers = |model| Layers::new(model, n_ctx, 1, args.batch, args.threads);
    let mut first = layers(first)?;
    let mut others = Vec::new();
    for slice in &args.then {
        others.push(layers(probe::load(slice)?)?);
    }
    check(args, &first, &others)?;
    if let Some(last) = others.last_mut() {
        last.tells_logits = args.logits;
    }
    let sampling = Sampling { temperature: args.temperature, seed: args.seed, ..Sampling::default() };
    let manner = manner_of(&Manner { sampling, ..Manner::default() });
    for other in &mut others {
        work(other, Job::Open { slot: SLOT, keep: 0, manner: manner.clone(), chosen: vec![], rolls: 0 })?;
    }
    let mut out = std::io::stdout().lock();
    let (mut at, mut tokens) = (0, prompt);
    for _ in 0..args.tokens {
        let chosen = step(&mut first, &mut others, at, &tokens)?;
        if first.model().ends(chosen.token) {
            break;
        }
        let piece = first.model().piece(chosen.token, false)?;
        out.write_all(&piece).and_then(|()| out.flush()).context("cannot write the text")?;
        at += u32::try_from(tokens.len())?;
        tokens = vec![chosen.token];
    }
    writeln!(out).context("cannot write the text")
}

/// Slices of one model, without a gap, up to its end.
fn check(args: &Generate, first: &Layers, others: &[Layers]) -> anyhow::Result<()> {
    let files = std::iter::once(&args.model).chain(&args.then).map(|path| Path::display(path));
    let mut next = 0;
    let mut of = None;
    for (layers, file) in std::iter::once(first).chain(others).zip(files) {
        let Some(slice) = layers.model().slice() else { bail!("{file} is a whole model, not a slice") };
        ensure!(of.get_or_insert(&slice.model) == &&slice.model, "{file} is of another model");
        ensure!(slice.layers.start == next, "{file} begins with layer {}, not {next}", slice.layers.start);
        next = slice.layers.end;
        ensure!(next <= slice.of, "{file} ends behind its model");
    }
    let is_whole = others.last().is_some_and(|last| last.model().slice().is_some_and(gguf::Slice::is_last));
    ensure!(is_whole, "the slices end with layer {next}, before their model does");
    Ok(())
}

/// Tokens through all slices.
fn step(first: &mut Layers, others: &mut [Layers], at: u32, tokens: &[i32]) -> anyhow::Result<Chosen> {
    let mut hidden = first.begin(SLOT, at, tokens)?;
    for other in others {
        let tokens = tokens.to_vec();
        match work(other, Job::Rows { slot: SLOT, at, choose: true, tokens, hidden })? {
            Worked::Hidden(next) => hidden = next,
            Worked::Chosen(Some(chosen)) => return Ok(chosen),
            Worked::Chosen(None) | Worked::Opened => break,
        }
    }
    bail!("the last slice chose nothing")
}

fn work(layers: &mut Layers, job: Job) -> anyhow::Result<Worked> {
    layers.work(job).map_err(|(_, why)| anyhow::anyhow!(why))
}
