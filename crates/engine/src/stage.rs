//! One stage of a model that was cut by layers: hidden states in, hidden states out.
//!
//! A slice of a model is an ordinary model file with some of the layers. The library takes hidden states in place of
//! tokens, and calls back with every tensor that it computes, so no patch is needed.
//! A stage before the last ends the graph at its last layer: norm and head are never computed.

use crate::{Context, Error, Model, Seq, sys};
use std::ffi::{CStr, c_void};

/// Takes the output of the last layer.
pub(crate) struct Capture {
    /// The tensor that is waited for; `None` for a stage that ends in logits.
    want: Option<String>,
    n_embd: usize,
    floats: Vec<f32>,
}

impl Capture {
    pub fn new(model: &Model, hands_on: bool) -> Capture {
        let last = model.n_layers().saturating_sub(1);
        Capture {
            want: hands_on.then(|| format!("l_out-{last}")),
            n_embd: model.n_embd(),
            floats: Vec::new(),
        }
    }

    pub fn start(&mut self) {
        self.floats.clear();
    }

    pub fn check(&self, n_rows: usize) -> Result<(), Error> {
        match &self.want {
            Some(want) if self.floats.len() != n_rows * self.n_embd => Err(Error::Library {
                what: "give the hidden state",
                said: format!("{want} has {} floats for {n_rows} rows", self.floats.len()),
            }),
            _ => Ok(()),
        }
    }
}

/// Called twice for every tensor: first whether its matter is wanted, then with the matter; `false` ends the graph.
pub(crate) unsafe extern "C" fn on_eval(tensor: *mut sys::ggml_tensor, ask: bool, user: *mut c_void) -> bool {
    // SAFETY: the context owns the capture, and nobody else uses it while the library evaluates.
    let capture = unsafe { &mut *user.cast::<Capture>() };
    // SAFETY: the library hands over a live tensor, whose name is a C string.
    let name = unsafe { CStr::from_ptr(sys::ggml_get_name(tensor)) };
    let is_wanted = capture.want.as_ref().is_some_and(|want| want.as_bytes() == name.to_bytes());
    if ask || !is_wanted {
        return if ask { is_wanted } else { true };
    }
    // SAFETY: a live tensor; both only read it.
    let (bytes, is_floats) = unsafe { (sys::ggml_nbytes(tensor), (*tensor).type_ == sys::GGML_TYPE_F32) };
    // SAFETY: a live tensor.
    let is_whole = unsafe { sys::ggml_is_contiguous(tensor) };
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

    /// The hidden state after the last batch, `n_embd` floats for each row, if this stage hands on.
    pub fn hidden(&self) -> Option<&[f32]> {
        self.settings.hands_on.then_some(&self.capture.floats[..])
    }
}
