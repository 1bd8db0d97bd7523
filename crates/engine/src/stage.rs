//! One stage of a model that was cut by layers: hidden states in, hidden states out.
//!
//! A slice of a model is an ordinary model file with some of the layers. The library takes hidden states in place of
//! tokens, and calls back with every tensor that it computes, so no patch is needed.
//! A stage before the last ends the graph at its last layer: norm and head are never computed.
//!
//! Some models multiply whatever comes in, as if it were the embedding of tokens (gemma, gemma2). To divide first would
//! round, so there the hidden states are put in place of the product.

use crate::{Context, Error, Model, Seq, sys};
use std::ffi::{CStr, c_void};

/// The place of one row of hidden states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HiddenRow {
    pub at: u32,
    pub seq: Seq,
    /// Whether the logits after it are wanted, in the last stage.
    pub output: bool,
}

/// Takes the output of the last layer.
pub(crate) struct Capture {
    /// The tensor that is waited for; `None` for a stage that ends in logits.
    want: Option<String>,
    n_embd: usize,
    floats: Vec<f32>,
    /// The tensor that is overwritten with hidden states, and these, for one evaluation.
    place: Option<&'static CStr>,
    given: Vec<f32>,
    /// Whether they fitted.
    was_given: bool,
}

impl Capture {
    pub fn new(model: &Model, hands_on: bool) -> Capture {
        let last = model.n_layers().saturating_sub(1);
        Capture {
            want: hands_on.then(|| format!("l_out-{last}")),
            n_embd: model.n_embd(),
            floats: Vec::new(),
            place: scaled(model),
            given: Vec::new(),
            was_given: false,
        }
    }

    /// Whether the library must call back at all.
    pub fn is_needed(&self) -> bool {
        self.want.is_some() || self.place.is_some()
    }

    /// Makes ready for one evaluation, of tokens if no hidden states are given.
    pub fn start(&mut self, hidden: &[f32]) {
        self.floats.clear();
        self.given.clear();
        self.was_given = false;
        if self.place.is_some() {
            self.given.extend(hidden);
        }
    }

    pub fn check(&self, n_rows: usize) -> Result<(), Error> {
        if !self.given.is_empty() && !self.was_given {
            let said = "its graph has no place for them".to_owned();
            return Err(Error::Library { what: "take the hidden states", said });
        }
        match &self.want {
            Some(want) if self.floats.len() != n_rows * self.n_embd => Err(Error::Library {
                what: "give the hidden state",
                said: format!("{want} has {} floats for {n_rows} rows", self.floats.len()),
            }),
            _ => Ok(()),
        }
    }
}

/// Where a model's graph has hidden states after it multiplied them, if it does that to whatever comes in.
fn scaled(model: &Model) -> Option<&'static CStr> {
    ["gemma", "gemma2"].contains(&model.facts().architecture.as_str()).then_some(c"inp_scaled")
}

/// Called twice for every tensor: first whether its matter is wanted, then with the matter; `false` ends the graph.
pub(crate) unsafe extern "C" fn on_eval(tensor: *mut sys::ggml_tensor, ask: bool, user: *mut c_void) -> bool {
    // SAFETY: the context owns the capture, and nobody else uses it while the library evaluates.
    let capture = unsafe { &mut *user.cast::<Capture>() };
    // SAFETY: the library hands over a live tensor, whose name is a C string.
    let name = unsafe { CStr::from_ptr(sys::ggml_get_name(tensor)) };
    let is_wanted = capture.want.as_ref().is_some_and(|want| want.as_bytes() == name.to_bytes());
    let takes = !capture.given.is_empty() && capture.place == Some(name);
    if ask || !(is_wanted || takes) {
        return if ask { is_wanted || takes } else { true };
    }
    // SAFETY: a live tensor; both only read it.
    let (bytes, is_floats) = unsafe { (sys::ggml_nbytes(tensor), (*tensor).type_ == sys::GGML_TYPE_F32) };
    // SAFETY: a live tensor.
    let is_whole = unsafe { sys::ggml_is_contiguous(tensor) };
    if takes {
        if is_floats && is_whole && bytes == size_of_val(&capture.given[..]) {
            // SAFETY: the tensor was just computed, is of that many bytes, and its readers come after this call.
            unsafe { sys::ggml_backend_tensor_set(tensor, capture.given.as_ptr().cast(), 0, bytes) };
            capture.was_given = true;
        }
        return capture.was_given;
    }
    if is_floats && is_whole {
        let start = capture.floats.len();
        capture.floats.resize(start + bytes / size_of::<f32>(), 0.0);
        let room = &mut capture.floats[start..];
        // SAFETY: `bytes` is the size of the tensor and of the room.
        unsafe { sys::ggml_backend_tensor_get(tensor, room.as_mut_ptr().cast(), 0, size_of_val(room)) };
    }
    false
}

impl Context {
    /// Evaluates hidden states of the stage before, one row of `n_embd` floats for each position from `at` on.
    pub fn evaluate_hidden(&mut self, hidden: &[f32], seq: Seq, at: u32) -> Result<(), Error> {
        if let Some(why) = self.model().takes_no_hidden() {
            return Err(Error::Stage { why });
        }
        let n_embd = self.model().n_embd();
        let n = hidden.len() / n_embd;
        if hidden.len() != n * n_embd || n == 0 {
            let want = format!("whole rows of {n_embd} floats");
            return Err(Error::Setting { name: "the hidden state", value: hidden.len().to_string(), want });
        }
        let hands_on = self.settings.hands_on;
        let places = (0..n).map(|idx| (at.saturating_add(idx as u32), seq, hands_on || idx + 1 == n));
        self.decode(places, &mut [], &mut hidden.to_vec())
    }

    /// Evaluates rows of hidden states at places of their own, so that sequences can be mixed in one batch.
    pub fn evaluate_hidden_rows(&mut self, hidden: &[f32], rows: &[HiddenRow]) -> Result<(), Error> {
        if let Some(why) = self.model().takes_no_hidden() {
            return Err(Error::Stage { why });
        }
        let n_embd = self.model().n_embd();
        if rows.is_empty() || hidden.len() != rows.len() * n_embd {
            let want = format!("{} rows of {n_embd} floats", rows.len());
            return Err(Error::Setting { name: "the hidden state", value: hidden.len().to_string(), want });
        }
        let hands_on = self.settings.hands_on;
        let places = rows.iter().map(|row| (row.at, row.seq, hands_on || row.output));
        self.decode(places, &mut [], &mut hidden.to_vec())
    }

    /// The hidden state after the last batch, `n_embd` floats for each row, if this stage hands on.
    pub fn hidden(&self) -> Option<&[f32]> {
        self.settings.hands_on.then_some(&self.capture.floats[..])
    }
}
