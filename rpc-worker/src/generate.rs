//! `rpc-worker generate`: text that follows a prompt, shown as it comes.

use crate::args::Generate;
use crate::{choice, probe, ring};
use anyhow::{Context as _, bail};
use engine::kernels::Way;
use engine::{Context, GRAMMAR_BYTES_MAX, Model, Sampler, Sampling, Settings};
use prompt::StopMachine;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Tokens of an answer.
const TOKENS_MAX: u32 = 1 << 16;
/// Positions beyond the prompt and the answer, so that a context is never of a strange size.
const SPARE: u32 = 16;

pub fn run(args: &Generate, way: Option<Way>) -> anyhow::Result<()> {
    if args.tokens > TOKENS_MAX {
        bail!("at most {TOKENS_MAX} tokens are written");
    }
    eprintln!("{}", choice::told(choice::choose(args.kernels, way)?));
    if args.ring.is_some() {
        return ring::say::generate(args);
    }
    if !args.then.is_empty() {
        return ring::inside::generate(args);
    }
    let model = probe::load(&args.model)?;
    let prompt = model.tokenise(&args.prompt, true, false)?;
    if prompt.is_empty() {
        bail!("the prompt has no tokens");
    }
    let n_ctx = prompt.len() as u32 + args.tokens + SPARE;
    let settings = Settings { n_ctx, n_batch: args.batch, n_threads: args.threads, ..Settings::default() };
    let mut context = Context::new(Arc::clone(&model), settings)?;
    let grammar = args.grammar.as_deref().map(read_grammar).transpose()?;
    let sampling =
        Sampling { temperature: args.temperature, seed: args.seed, grammar, ..Sampling::default() };
    let mut sampler = Sampler::new(Arc::clone(&model), &sampling)?;
    let mut stop = StopMachine::new(&args.stop).context("--stop")?;
    let mut out = std::io::stdout().lock();
    let events = Events::new(args.events);
    context.evaluate(&prompt, 0, 0)?;
    for at in (prompt.len() as u32..).take(args.tokens as usize) {
        if args.logits {
            tell_logits(at, &context);
        }
        let token = sampler.sample(&context)?;
        if model.ends(token) {
            break;
        }
        events.tell("token");
        let shown = stop.push(&model.piece(token, false)?);
        out.write_all(shown.text.as_bytes()).and_then(|()| out.flush()).context("cannot write the text")?;
        if shown.stopped.is_some() {
            break;
        }
        context.evaluate(&[token], 0, at)?;
    }
    writeln!(out, "{}", stop.finish().text).context("cannot write the text")
}

/// When what happened, for whoever measures.
pub(crate) struct Events {
    began: Instant,
    are_told: bool,
}

impl Events {
    pub fn new(are_told: bool) -> Events {
        Events { began: Instant::now(), are_told }
    }

    pub fn tell(&self, what: &str) {
        if self.are_told {
            eprintln!("{what} at {} ms", self.began.elapsed().as_millis());
        }
    }
}

/// A hash of every bit of the logits after so many positions: two models that say the same agree in all of them.
pub(crate) fn tell_logits(n_positions: u32, context: &Context) {
    let mut hasher = blake3::Hasher::new();
    for logit in context.logits().unwrap_or_default() {
        hasher.update(&logit.to_le_bytes());
    }
    eprintln!("logits after {n_positions} positions: {}", &hasher.finalize().to_hex()[..16]);
}

/// Another model that goes on with a text.
pub struct Fallback {
    pub model: Arc<Model>,
    pub text: String,
    pub n_tokens: u32,
    pub n_threads: u32,
}

impl Fallback {
    pub fn say(self) -> anyhow::Result<()> {
        let Fallback { model, text, n_tokens, n_threads } = self;
        let tokens = model.tokenise(&text, true, false)?;
        let n_ctx = tokens.len() as u32 + n_tokens + SPARE;
        let settings = Settings { n_ctx, n_threads, ..Settings::default() };
        let mut context = Context::new(Arc::clone(&model), settings)?;
        let mut sampler = Sampler::new(Arc::clone(&model), &Sampling::default())?;
        let mut out = std::io::stdout().lock();
        context.evaluate(&tokens, 0, 0)?;
        for at in (tokens.len() as u32..).take(n_tokens as usize) {
            let token = sampler.sample(&context)?;
            if model.ends(token) {
                break;
            }
            let piece = model.piece(token, false)?;
            out.write_all(&piece).and_then(|()| out.flush()).context("cannot write the text")?;
            context.evaluate(&[token], 0, at)?;
        }
        writeln!(out).context("cannot write the text")
    }
}

pub(crate) fn read_grammar(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    file.take(GRAMMAR_BYTES_MAX as u64 + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text)
}
