//! A context: the attention cache of one or more sequences, and the evaluation of tokens in it.

use crate::stage::Capture;
use crate::{Error, Model, Token, log, sys};
use gguf::Cache;
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Positions of a context: those of its conversations, and of a beginning that they share.
pub const N_CTX_MAX: u32 = (1 << 17) + (1 << 10);
/// Rows of one batch.
pub const N_BATCH_MAX: u32 = 1 << 12;
/// Sequences of a context, as the library has it.
pub const N_SEQS_MAX: u32 = 64;
pub const N_THREADS_MAX: u32 = 64;

/// A conversation within a context.
pub type Seq = u32;

/// What a context is made for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Positions, shared by all sequences.
    pub n_ctx: u32,
    /// Rows evaluated at once.
    pub n_batch: u32,
    pub n_threads: u32,
    pub n_seqs: u32,
    /// Where the size of the heads is no multiple of 32, Q8_0 cannot be and F16 is taken.
    pub cache: Cache,
    /// For [`Context::embed`] instead of text.
    pub embeddings: bool,
    /// Not the last of several stages: evaluation ends with the hidden state, see [`Context::hidden`].
    pub hands_on: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            n_ctx: 2048,
            n_batch: 512,
            n_threads: 1,
            n_seqs: 1,
            cache: Cache::Q8_0,
            embeddings: false,
            hands_on: false,
        }
    }
}

/// One token at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub token: Token,
    /// Position within the sequence, from 0.
    pub at: u32,
    pub seq: Seq,
    /// Whether the logits after it are wanted.
    pub output: bool,
}

/// Stops an evaluation from another thread, and all later ones until it is taken back.
#[derive(Clone, Debug, Default)]
pub struct Stopper(Arc<AtomicBool>);

impl Stopper {
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Lets evaluations run again.
    pub fn take_back(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The cache and the machinery of evaluation.
pub struct Context {
    raw: NonNull<sys::llama_context>,
    pub(crate) model: Arc<Model>,
    pub(crate) settings: Settings,
    cache: Cache,
    stopper: Stopper,
    /// Where the hidden state lands. Boxed, because the library keeps its address.
    pub(crate) capture: Box<Capture>,
    /// Rows of the last batch, and which of them have logits.
    outputs: Vec<bool>,
}

// SAFETY: the library binds a context to no thread; it must only not be used by two at once, and `&mut` sees to that.
unsafe impl Send for Context {}

impl Context {
    pub fn new(model: Arc<Model>, settings: Settings) -> Result<Context, Error> {
        check("n_ctx", settings.n_ctx, 8, N_CTX_MAX)?;
        check("n_batch", settings.n_batch, 1, N_BATCH_MAX)?;
        check("n_threads", settings.n_threads, 1, N_THREADS_MAX)?;
        check("n_seqs", settings.n_seqs, 1, N_SEQS_MAX)?;
        if model.slice().is_some_and(|slice| slice.is_last() == settings.hands_on) {
            return Err(Error::Slice { why: "all but the last hand on their hidden states" });
        }
        let stopper = Stopper::default();
        let capture = Box::new(Capture::new(&model, settings.hands_on));
        let cache = possible_cache(&model, settings.cache);
        let mut params = params(&model, &settings, cache);
        params.abort_callback = Some(is_stopped);
        params.abort_callback_data = Arc::as_ptr(&stopper.0).cast_mut().cast();
        if capture.is_needed() {
            params.cb_eval = Some(crate::stage::on_eval);
            params.cb_eval_user_data = (&raw const *capture).cast_mut().cast();
        }
        log::clear();
        // SAFETY: the model is alive and kept alive by the context's `Arc`; the flag and the capture that the
        // callbacks reach lie on the heap, are owned by the context, and are freed after it.
        let raw = unsafe { sys::llama_init_from_model(model.raw(), params) };
        let raw = NonNull::new(raw).ok_or_else(|| log::refused("make a context"))?;
        Ok(Context { raw, model, settings, cache, stopper, capture, outputs: Vec::new() })
    }

    pub(crate) fn raw(&self) -> *mut sys::llama_context {
        self.raw.as_ptr()
    }

    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// How the cache keeps its numbers in truth.
    pub fn cache(&self) -> Cache {
        self.cache
    }

    /// Positions that one sequence can have.
    pub fn n_ctx(&self) -> u32 {
        // SAFETY: reads a number of a live context.
        unsafe { sys::llama_n_ctx_seq(self.raw()) }
    }

    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    pub fn set_threads(&mut self, n_threads: u32) -> Result<(), Error> {
        check("n_threads", n_threads, 1, N_THREADS_MAX)?;
        self.settings.n_threads = n_threads;
        // SAFETY: sets two numbers of a live context that nobody else uses.
        unsafe { sys::llama_set_n_threads(self.raw(), n_threads as i32, n_threads as i32) };
        Ok(())
    }

    /// Rows that one batch can have: the library takes fewer than were asked for where the context is smaller.
    pub fn n_batch(&self) -> u32 {
        // SAFETY: reads a number of a live context.
        unsafe { sys::llama_n_batch(self.raw()) }.min(self.settings.n_batch)
    }

    /// Evaluates a text from position `at` on, where the sequence ends, in batches, and keeps the logits after its
    /// last token. What was not finished when it failed is taken out of the cache again, and nothing else is.
    pub fn evaluate(&mut self, tokens: &[Token], seq: Seq, at: u32) -> Result<(), Error> {
        self.check_text(tokens, seq, at)?;
        let last = tokens.len().saturating_sub(1);
        let n_batch = self.n_batch() as usize;
        for (n, chunk) in tokens.chunks(n_batch).enumerate() {
            let rows: Vec<Row> = (n * n_batch..)
                .zip(chunk)
                .map(|(idx, token)| Row {
                    token: *token,
                    at: at.saturating_add(idx as u32),
                    seq,
                    output: idx == last || self.settings.hands_on,
                })
                .collect();
            if let Err(e) = self.evaluate_rows(&rows) {
                self.forget(seq, at);
                return Err(e);
            }
        }
        Ok(())
    }

    /// Whether a text can come at a place, so that a long one does not fail after half of its batches.
    fn check_text(&self, tokens: &[Token], seq: Seq, at: u32) -> Result<(), Error> {
        self.check_seq(seq)?;
        for token in tokens {
            self.model.known(*token)?;
        }
        let n_ctx = self.n_ctx();
        if u64::from(at) + tokens.len() as u64 > u64::from(n_ctx) {
            return Err(Error::Full { n_ctx });
        }
        let n_past = self.n_past(seq);
        if at == n_past {
            return Ok(());
        }
        let want = format!("{n_past}, where the sequence ends");
        Err(Error::Setting { name: "the position", value: at.to_string(), want })
    }

    /// Evaluates one batch; sequences may be mixed.
    pub fn evaluate_rows(&mut self, rows: &[Row]) -> Result<(), Error> {
        if self.model.slice().is_some_and(|slice| !slice.is_first()) {
            return Err(Error::Slice { why: "only the first takes tokens" });
        }
        for row in rows {
            self.model.known(row.token)?;
        }
        let mut tokens: Vec<Token> = rows.iter().map(|row| row.token).collect();
        self.decode(rows.iter().map(|row| (row.at, row.seq, row.output)), &mut tokens, &mut [])
    }

    /// One batch of tokens, or of hidden states.
    pub(crate) fn decode(
        &mut self,
        places: impl ExactSizeIterator<Item = (u32, Seq, bool)>,
        tokens: &mut [Token],
        hidden: &mut [f32],
    ) -> Result<(), Error> {
        let n = places.len();
        check("the number of rows", u32::try_from(n).unwrap_or(u32::MAX), 1, self.n_batch())?;
        let (mut at, mut seqs, mut logits) = (Vec::new(), Vec::new(), Vec::new());
        for (position, seq, output) in places {
            if position >= self.n_ctx() {
                return Err(Error::Full { n_ctx: self.n_ctx() });
            }
            self.check_seq(seq)?;
            at.push(position as i32);
            seqs.push(seq as i32);
            logits.push(i8::from(output));
        }
        let mut n_seqs = vec![1i32; n];
        let mut seq_lists: Vec<*mut i32> = seqs.iter_mut().map(std::ptr::from_mut).collect();
        let batch = sys::llama_batch {
            n_tokens: n as i32,
            token: if tokens.is_empty() { std::ptr::null_mut() } else { tokens.as_mut_ptr() },
            embd: if hidden.is_empty() { std::ptr::null_mut() } else { hidden.as_mut_ptr() },
            pos: at.as_mut_ptr(),
            n_seq_id: n_seqs.as_mut_ptr(),
            seq_id: seq_lists.as_mut_ptr(),
            logits: logits.as_mut_ptr(),
        };
        assert!(tokens.len() == n || hidden.len() == n * self.model.n_embd(), "a batch is of one length");
        self.outputs.clear();
        self.capture.start(hidden);
        log::clear();
        // SAFETY: every pointer of the batch is null or has `n` items (`n * n_embd` floats), was asserted above, and
        // outlives the call; tokens, positions and sequences are within their limits.
        let done = unsafe {
            let done = sys::llama_decode(self.raw(), batch);
            sys::llama_synchronize(self.raw());
            done
        };
        match done {
            0 => {
                self.outputs.extend(logits.iter().map(|wanted| *wanted != 0));
                self.capture.check(n)
            }
            1 => Err(Error::Full { n_ctx: self.n_ctx() }),
            2 => Err(Error::Stopped),
            _ => Err(log::refused("evaluate the batch")),
        }
    }

    /// The logits after the last row of the last batch.
    pub fn logits(&self) -> Option<&[f32]> {
        self.logits_of(self.outputs.len().checked_sub(1)?)
    }

    /// The logits after one row of the last batch, if they were asked for.
    pub fn logits_of(&self, row_idx: usize) -> Option<&[f32]> {
        if self.settings.hands_on || !*self.outputs.get(row_idx)? {
            return None;
        }
        // SAFETY: the row exists and its output was asked for.
        let logits = unsafe { sys::llama_get_logits_ith(self.raw(), row_idx as i32) };
        if logits.is_null() {
            return None;
        }
        // SAFETY: the library keeps `n_vocab` floats there until the next evaluation, which needs `&mut self`.
        Some(unsafe { std::slice::from_raw_parts(logits, self.model.n_vocab()) })
    }

    /// Whether the model computed numbers after a row, if its logits were asked for: a file that was damaged after it was
    /// checked makes others.
    pub fn check_row(&self, row_idx: usize) -> Result<(), Error> {
        self.logits_of(row_idx).map_or(Ok(()), |logits| numbers(logits).map(drop))
    }

    /// Takes a sequence out of the cache from a position on. `false`: this model keeps a state that cannot be cut.
    pub fn forget(&mut self, seq: Seq, from: u32) -> bool {
        // Beyond the library's positions there is nothing, and a number below zero would mean all of them.
        let Ok(from) = i32::try_from(from) else { return true };
        if self.check_seq(seq).is_err() {
            return true;
        }
        self.outputs.clear();
        // SAFETY: the context is live and the sequence within its limits; -1 means up to the end.
        unsafe {
            let memory = sys::llama_get_memory(self.raw());
            memory.is_null() || sys::llama_memory_seq_rm(memory, seq as i32, from, -1)
        }
    }

    /// Lets `to` begin with the first `n` positions of `from`, without a copy where the model allows it.
    pub fn share(&mut self, from: Seq, to: Seq, n: u32) -> Result<(), Error> {
        self.check_seq(from)?;
        self.check_seq(to)?;
        self.forget(to, 0);
        // SAFETY: the context is live and both sequences are within its limits.
        unsafe {
            let memory = sys::llama_get_memory(self.raw());
            if !memory.is_null() {
                sys::llama_memory_seq_cp(memory, from as i32, to as i32, 0, n.min(N_CTX_MAX) as i32);
            }
        }
        Ok(())
    }

    /// Positions that a sequence has in the cache.
    pub fn n_past(&self, seq: Seq) -> u32 {
        if self.check_seq(seq).is_err() {
            return 0;
        }
        // SAFETY: the context is live and the sequence within its limits.
        let last = unsafe {
            let memory = sys::llama_get_memory(self.raw());
            if memory.is_null() { -1 } else { sys::llama_memory_seq_pos_max(memory, seq as i32) }
        };
        u32::try_from(last + 1).unwrap_or(0)
    }

    pub(crate) fn check_seq(&self, seq: Seq) -> Result<(), Error> {
        check("the sequence", seq, 0, self.settings.n_seqs - 1)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the pointer came from the library, is owned here and is used no more.
        unsafe { sys::llama_free(self.raw()) };
    }
}

unsafe extern "C" fn is_stopped(flag: *mut c_void) -> bool {
    // SAFETY: the context owns the flag as long as the library may ask.
    unsafe { &*flag.cast::<AtomicBool>() }.load(Ordering::Relaxed)
}

/// Q8_0 cannot be for every model.
fn possible_cache(model: &Model, wish: Cache) -> Cache {
    if model.facts().cache() == Cache::F16 { Cache::F16 } else { wish }
}

fn params(model: &Model, settings: &Settings, cache: Cache) -> sys::llama_context_params {
    // SAFETY: takes nothing, returns a plain struct.
    let mut params = unsafe { sys::llama_context_default_params() };
    params.n_ctx = settings.n_ctx;
    params.n_batch = settings.n_batch;
    params.n_ubatch = settings.n_batch;
    params.n_seq_max = settings.n_seqs;
    params.kv_unified = true;
    params.n_threads = settings.n_threads as i32;
    params.n_threads_batch = settings.n_threads as i32;
    params.no_perf = true;
    params.offload_kqv = false;
    params.op_offload = false;
    params.flash_attn_type = sys::LLAMA_FLASH_ATTN_TYPE_ENABLED;
    let kind = match cache {
        Cache::Q8_0 => sys::GGML_TYPE_Q8_0,
        Cache::F16 => sys::GGML_TYPE_F16,
    };
    (params.type_k, params.type_v) = (kind, kind);
    if settings.embeddings {
        params.embeddings = true;
        params.pooling_type = crate::embed::pooling(model);
    }
    params
}

pub(crate) fn numbers(logits: &[f32]) -> Result<&[f32], Error> {
    if logits.iter().any(|logit| logit.is_nan()) { Err(Error::NoNumber) } else { Ok(logits) }
}

pub(crate) fn check(name: &'static str, value: u32, least: u32, most: u32) -> Result<(), Error> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Error::Setting { name, value: value.to_string(), want: format!("from {least} to {most}") })
}
