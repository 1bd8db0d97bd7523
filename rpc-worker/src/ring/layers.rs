//! A slice at work: what a stage or a head asks of its model.

use crate::expert::chances;
use crate::generate::tell_logits;
use engine::{Context, Error, Model, Sampler, Sampling, Settings};
use split::pipe::{Job, Worked};
use split::wire::{Blame, Chosen, Manner};
use std::sync::Arc;

pub struct Layers {
    context: Context,
    /// Of the last stage: who chooses in each slot, and how many rivals are told.
    choosers: Vec<Option<(Sampler, Option<u8>)>>,
    is_last: bool,
    /// For trials.
    pub tells_logits: bool,
}

impl Layers {
    pub fn new(
        model: Arc<Model>,
        n_ctx: u32,
        n_slots: u16,
        n_rows: u32,
        n_threads: u32,
    ) -> Result<Layers, Error> {
        let is_last = model.slice().is_none_or(gguf::Slice::is_last);
        let n_seqs = u32::from(n_slots);
        let settings = Settings {
            n_ctx: n_ctx.saturating_mul(n_seqs),
            n_batch: n_rows,
            n_threads,
            n_seqs,
            hands_on: !is_last,
            ..Settings::default()
        };
        let choosers = (0..n_slots).map(|_| None).collect();
        Ok(Layers { context: Context::new(model, settings)?, choosers, is_last, tells_logits: false })
    }

    pub fn model(&self) -> &Arc<Model> {
        self.context.model()
    }

    /// The first slice: tokens in, hidden states out.
    pub fn begin(&mut self, slot: u16, at: u32, tokens: &[i32]) -> Result<Vec<f32>, Error> {
        let seq = u32::from(slot);
        self.context.forget(seq, at);
        let n_rows = self.context.n_batch() as usize;
        let mut hidden = Vec::new();
        for (n, piece) in tokens.chunks(n_rows).enumerate() {
            self.context.evaluate(piece, seq, at + (n * n_rows) as u32)?;
            hidden.extend(self.context.hidden().unwrap_or_default());
        }
        Ok(hidden)
    }

    /// A later slice does its job.
    pub fn work(&mut self, job: Job) -> Result<Worked, (Blame, String)> {
        match job {
            Job::Open { slot, keep, manner, chosen, rolls } => {
                self.context.forget(u32::from(slot), keep);
                let asked = |e: Error| (Blame::Asked, e.to_string());
                if self.is_last {
                    let place = &mut self.choosers[usize::from(slot)];
                    *place = None;
                    let sampler = chooser(self.context.model(), &manner, &chosen, rolls).map_err(asked)?;
                    *place = Some((sampler, manner.top_logprobs));
                }
                Ok(Worked::Opened)
            }
            Job::Forget { slot } => {
                self.context.forget(u32::from(slot), 0);
                Ok(Worked::Opened)
            }
            Job::Rows { slot, at, choose, tokens, hidden } => self.rows(slot, at, choose, &tokens, &hidden),
        }
    }

    fn rows(
        &mut self,
        slot: u16,
        at: u32,
        choose: bool,
        tokens: &[i32],
        hidden: &[f32],
    ) -> Result<Worked, (Blame, String)> {
        let broken = |e: Error| (Blame::Broken, e.to_string());
        let n_embd = self.context.model().n_embd();
        let n_rows = self.context.n_batch() as usize;
        let mut out = Vec::new();
        for (n, piece) in hidden.chunks(n_rows * n_embd).enumerate() {
            let at = at + (n * n_rows) as u32;
            self.context.evaluate_hidden(piece, u32::from(slot), at).map_err(broken)?;
            out.extend(self.context.hidden().unwrap_or_default());
        }
        if !self.is_last {
            return Ok(Worked::Hidden(out));
        }
        debug_assert_eq!(tokens.len() * n_embd, hidden.len(), "the stage was held to it");
        if !choose {
            return Ok(Worked::Chosen(None));
        }
        if self.tells_logits {
            tell_logits(at + tokens.len() as u32, &self.context);
        }
        let none = || (Blame::Asked, "the sequence has no manner".to_owned());
        let (sampler, top) = self.choosers[usize::from(slot)].as_mut().ok_or_else(none)?;
        let asked = |e: Error| match e {
            Error::Grammar { .. } => (Blame::Asked, e.to_string()),
            _ => (Blame::Broken, e.to_string()),
        };
        let rolls = sampler.rolls();
        let token = sampler.sample(&self.context).map_err(asked)?;
        let rolls = (sampler.rolls() - rolls) as u8;
        let Some(n_rivals) = *top else {
            return Ok(Worked::Chosen(Some(Chosen { token, logprob: None, rivals: Vec::new(), rolls })));
        };
        let logits = self.context.logits().unwrap_or_default();
        let (logprob, rivals) = chances::of(logits, token, usize::from(n_rivals));
        Ok(Worked::Chosen(Some(Chosen { token, logprob: Some(logprob), rivals, rolls })))
    }
}

/// A sampler that stands where it stood after what was chosen before.
fn chooser(model: &Arc<Model>, manner: &Manner, chosen: &[i32], rolls: u32) -> Result<Sampler, Error> {
    let sampling = Sampling {
        temperature: manner.temperature,
        top_k: manner.top_k,
        top_p: manner.top_p,
        min_p: manner.min_p,
        repeat_penalty: manner.repeat_penalty,
        presence_penalty: manner.presence_penalty,
        frequency_penalty: manner.frequency_penalty,
        repeat_last: manner.repeat_last,
        seed: manner.seed,
        grammar: manner.grammar.clone(),
    };
    let mut sampler = Sampler::new(Arc::clone(model), &sampling)?;
    chosen.iter().try_for_each(|token| sampler.replay(*token))?;
    sampler.roll(rolls);
    Ok(sampler)
}
