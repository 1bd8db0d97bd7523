//! By what dynamic ggml picks a library with these kernels: the score of `libggml-cpu-core2.so`.
//!
//! ggml's own score counts instruction sets and knows no SSSE3.

use crate::Level;
use core::ffi::c_int;

/// Above ggml's variants for x86-64 (1) and SSE4.2 (5): Q4_K costs 186 ps a multiplication there and 48 here.
/// Below the first with AVX (21), whose other loops are wider than ours.
const SCORE: c_int = 6;

/// 0 says that this processor cannot run the library.
#[unsafe(no_mangle)]
pub extern "C" fn ggml_backend_score() -> c_int {
    if Level::of_this_processor() >= Level::Ssse3 { SCORE } else { 0 }
}
