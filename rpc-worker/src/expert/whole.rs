//! The backend that holds a whole model: every step is one batch of all that was begun.

use super::backend::{Backend, BackendError, Chosen, Event, Manner, Shape, Slot, Work};
use super::chances;
use engine::{Context, Error, Model, Row, Sampler, Seq, Settings, Token};
use split::expert::CONTEXT_MAX;
use split::place::{BEGINNING_MAX, beginning_max};
use std::path::PathBuf;
use std::sync::Arc;

/// What a whole model is held for.
#[derive(Debug, Clone)]
pub struct Plan {
    pub n_slots: u32,
    /// Positions of one slot.
    pub n_ctx: u32,
    pub n_rows: u32,
    pub n_threads: u32,
    /// Where the kept beginning survives this process.
    pub warm: Option<PathBuf>,
}

pub struct Whole {
    context: Context,
    plan: Plan,
    /// Who chooses in each slot.
    choosers: Vec<Option<(Sampler, Option<u32>)>>,
    begun: Vec<Work>,
    /// Positions of the kept beginning; it lies in a sequence of its own, behind the slots'.
    n_prefix: u32,
}

impl Whole {
    pub fn new(model: Arc<Model>, plan: Plan) -> Result<Whole, Error> {
        let settings = Settings {
            n_ctx: plan.n_ctx * plan.n_slots + beginning_max(plan.n_ctx),
            n_batch: plan.n_rows,
            n_threads: plan.n_threads,
            n_seqs: plan.n_slots + 1,
            ..Settings::default()
        };
        let context = Context::new(model, settings)?;
        let choosers = (0..plan.n_slots).map(|_| None).collect();
        Ok(Whole { context, plan, choosers, begun: Vec::new(), n_prefix: 0 })
    }

    fn prefix_seq(&self) -> Seq {
        self.plan.n_slots
    }

    /// One batch, and a token for each sequence that wants one.
    fn step(&mut self, works: &[Work]) -> Vec<Event> {
        // Where only prompts are read one row of each is looked at, so that a model whose file was damaged meanwhile is
        // found out before its prompt's end. Beside answers, whose rows are looked at anyway, it would cost more.
        let looks = works.iter().all(|work| !work.choose);
        let rows: Vec<Row> = works.iter().flat_map(|work| rows(work, looks)).collect();
        if let Err(error) = self.context.evaluate_rows(&rows) {
            for work in works {
                self.context.forget(work.slot, work.at);
            }
            let fail = |work: &Work| Event::Failed { slot: work.slot, error: broken(&error) };
            return works.iter().map(fail).collect();
        }
        let mut n_before = 0;
        let mut events = Vec::new();
        for work in works {
            n_before += work.tokens.len();
            let slot = work.slot;
            let end = work.at + work.tokens.len() as u32;
            let chosen = match work.choose {
                true => self.choose(slot, n_before - 1).map(Some),
                false => self.context.check_row(n_before - 1).map(|()| None).map_err(|e| broken(&e)),
            };
            events.push(match chosen {
                Ok(chosen) => Event::Done { slot, end, chosen },
                Err(error) => Event::Failed { slot, error },
            });
        }
        events
    }

    fn choose(&mut self, slot: Slot, row_idx: usize) -> Result<Chosen, BackendError> {
        let none = || BackendError::Broken("the slot has no manner".to_owned());
        let (sampler, top) =
            self.choosers.get_mut(slot as usize).and_then(Option::as_mut).ok_or_else(none)?;
        let token = sampler.sample_at(&self.context, row_idx).map_err(|e| broken(&e))?;
        let Some(n_rivals) = *top else { return Ok(Chosen { token, logprob: None, rivals: Vec::new() }) };
        let logits = self.context.logits_of(row_idx).unwrap_or_default();
        let (logprob, rivals) = chances::of(logits, token, n_rivals as usize);
        Ok(Chosen { token, logprob: Some(logprob), rivals })
    }

    /// Evaluates the beginning, unless an earlier process left it.
    fn warm_up(&mut self, tokens: &[Token]) -> Result<(), Error> {
        let seq = self.prefix_seq();
        if let Some(path) = &self.plan.warm {
            // A file of another model, cache or beginning is refused or of another length, and made anew.
            if self.context.restore_file(seq, path).is_ok()
                && self.context.n_past(seq) as usize == tokens.len()
            {
                return Ok(());
            }
        }
        self.context.forget(seq, 0);
        self.context.evaluate(tokens, seq, 0)?;
        if let Some(path) = &self.plan.warm {
            // Without it the next start is slower, that is all.
            let _ = self.context.save_file(seq, path);
        }
        Ok(())
    }
}

impl Backend for Whole {
    fn model(&self) -> &Arc<Model> {
        self.context.model()
    }

    fn shape(&self) -> Shape {
        let n_rows = self.context.n_batch() as usize;
        Shape { n_slots: self.plan.n_slots, n_ctx: self.plan.n_ctx, n_rows, n_ahead: 1 }
    }

    fn open(&mut self, slot: Slot, keep: u32, manner: Manner) -> Result<u32, BackendError> {
        let refused = |e: Error| BackendError::Refused(e.to_string());
        let mut sampler =
            Sampler::new(Arc::clone(self.context.model()), &manner.sampling).map_err(refused)?;
        for token in &manner.begun {
            sampler.replay(*token).map_err(refused)?;
        }
        let Some(chooser) = self.choosers.get_mut(slot as usize) else {
            return Err(BackendError::Broken(format!("there is no slot {slot}")));
        };
        *chooser = Some((sampler, manner.top_logprobs));
        let keep = keep.min(self.context.n_past(slot));
        if self.context.forget(slot, keep) {
            return Ok(keep);
        }
        self.context.forget(slot, 0);
        Ok(0)
    }

    fn close(&mut self, slot: Slot) {
        self.begun.retain(|work| work.slot != slot);
        if let Some(chooser) = self.choosers.get_mut(slot as usize) {
            *chooser = None;
        }
    }

    fn begin(&mut self, works: Vec<Work>) {
        self.begun.extend(works);
    }

    fn wait(&mut self) -> Vec<Event> {
        let works = std::mem::take(&mut self.begun);
        if works.is_empty() { Vec::new() } else { self.step(&works) }
    }

    fn keep_prefix(&mut self, tokens: &[Token]) -> Result<bool, BackendError> {
        if tokens.len() > beginning_max(self.plan.n_ctx) as usize {
            return Ok(false);
        }
        self.warm_up(tokens).map_err(|e| broken(&e))?;
        self.n_prefix = tokens.len() as u32;
        Ok(true)
    }

    fn take_prefix(&mut self, slot: Slot) -> Result<(), BackendError> {
        let (from, n) = (self.prefix_seq(), self.n_prefix);
        self.context.share(from, slot, n).map_err(|e| broken(&e))
    }
}

/// All conversations that an expert may have, and the beginning that they share.
const _: () = assert!(CONTEXT_MAX + BEGINNING_MAX <= engine::N_CTX_MAX);

fn rows(work: &Work, looks: bool) -> impl Iterator<Item = Row> {
    let last = work.tokens.len() - 1;
    (0..).zip(&work.tokens).map(move |(idx, token)| Row {
        token: *token,
        at: work.at + idx as u32,
        seq: work.slot,
        output: (work.choose || looks) && idx == last,
    })
}

fn broken(error: &Error) -> BackendError {
    match error {
        Error::Grammar { .. } | Error::Setting { .. } => BackendError::Refused(error.to_string()),
        _ => BackendError::Broken(error.to_string()),
    }
}
