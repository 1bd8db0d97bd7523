//! A small safe face of llama.cpp: load a model, tokenise, evaluate, sample, save and restore.
//!
//! It is the only crate that names llama.cpp.
//! The library aborts the process on matter that it did not expect, so a model file is checked with `gguf` first, and
//! every number is held to its limits before it is handed over; a program that loads a stranger's file lets a child of
//! itself try it before.
//! No panic of ours unwinds into the library: what it calls back is a flag, a copy of floats, or is caught.
//! This crate deliberately knows no network, no chat protocol and no clock.
//!
//! A program that links it puts our kernels under ggml by `-Wl,--wrap` lines of its own build script, one for each of
//! [`kernels::WRAPPED`].

#![allow(unsafe_code)] // This crate is the face of a C library.

mod context;
mod embed;
mod error;
mod fingerprint;
mod log;
pub mod machine;
mod memory;
mod model;
mod part;
mod priority;
mod quantise;
mod sampler;
mod stage;
mod state;
pub mod stock;
pub mod trial;

pub use context::{Context, N_BATCH_MAX, N_CTX_MAX, N_SEQS_MAX, N_THREADS_MAX, Row, Seq, Settings, Stopper};
pub use error::Error;
pub use gguf::Cache;
/// The kernels, so that a program can choose whose run and see that they do.
pub use kernels;
pub use model::{Load, Model, Token, check_file};
pub use priority::let_others_first;
pub use quantise::{FileType, Quantise, quantise};
pub use sampler::{GRAMMAR_BYTES_MAX, Sampler, Sampling};
pub use stage::HiddenRow;
pub use state::STATE_BYTES_MAX;

use llama_cpp_sys_2 as sys;
use std::ffi::CStr;
use std::sync::Once;

/// The hook of attention reads ggml's tensors: another layout must not compile.
const _: () = {
    use std::mem::offset_of;
    let [ne, nb, op_params, src, data] = kernels::hook::attention::Tensor::OFFSETS;
    assert!(ne == offset_of!(sys::ggml_tensor, ne) && nb == offset_of!(sys::ggml_tensor, nb));
    assert!(op_params == offset_of!(sys::ggml_tensor, op_params));
    assert!(src == offset_of!(sys::ggml_tensor, src) && data == offset_of!(sys::ggml_tensor, data));
};

/// Makes the library ready and takes over its log. Every way into this crate calls it; once more does nothing.
///
/// How idle threads wait is decided before this: `OMP_WAIT_POLICY=passive` must be in the environment when the
/// program starts, or two threads that share their cores with others spin against each other.
pub fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::take_over();
        // SAFETY: takes nothing; `Once` keeps it to a single call.
        unsafe { sys::llama_backend_init() };
    });
}

/// The library's own words on what it was built for.
pub fn system_info() -> String {
    init();
    // SAFETY: takes nothing and returns a C string of the library's own, which it writes anew only in this function.
    let text = unsafe { CStr::from_ptr(sys::llama_print_system_info()) };
    text.to_string_lossy().trim().to_owned()
}
