//! Kernels for ggml on processors without AVX, and above all on a Core 2.
//!
//! ggml's own code knows SSSE3 for two weight formats; the others run as plain C there. This crate multiplies
//! them with what a Core 2 has, and is put under an unmodified ggml by the linker (`hook`).
//!
//! | file | what it says |
//! |---|---|
//! | `kind` | which weight formats there are |
//! | `format`, `formats/` | what their bytes mean |
//! | `onebit/` | weights of one and two bits, which have kernels of their own |
//! | `acts` | activations in 8 bits |
//! | `simd` | the words that kernels are written in |
//! | `sse2`, `ssse3`, `sse41`, `avx2` | the words in each instruction set, and the kernels made of them |
//! | `rows`, `panels` | products with one column (decode) and with many (prompt) |
//! | `floats` | the same for weights that are floats |
//! | `attention` | queries over a cache of keys and values |
//! | `rotation` | the turn before a quantised cache |
//! | `vectors` | ggml's loops over vectors of floats |
//! | `blocks` | activations in ggml's own layouts |
//! | `table` | which kernels this processor gets |
//! | `product` | a whole product, shared out to threads |
//! | `scalar` | the truth that every kernel is held to |
//! | `hook` | what the linker puts in ggml's place |
//! | `variant` | by what dynamic ggml picks a library with these kernels |
#![no_std]
#![allow(unsafe_code)] // Kernels read memory that ggml owns, with instructions that not every processor has.

#[cfg(any(test, feature = "variant"))]
extern crate std;

mod acts;
pub mod attention;
mod avx2;
mod blocks;
mod floats;
mod format;
mod formats;
mod half;
#[cfg(feature = "hook")]
pub mod hook;
mod kind;
mod onebit;
mod pair;
mod panels;
mod product;
mod rotation;
mod rows;
pub mod scalar;
mod simd;
mod sse2;
mod sse41;
mod ssse3;
mod table;
#[cfg(feature = "variant")]
mod variant;
mod vectors;

pub use blocks::{Blocks, Dot, Quantise};
pub use format::Weights;
pub use kind::Kind;
pub use onebit::choice::{Way, calibrate, prefer, way};
pub use panels::Columns;
pub use product::{Column, Job, UNIT, can, can_halves, product, share};
pub use table::{Kernels, Level, force, kernels, kernels_of};
pub use vectors::Vectors;

/// ggml's functions that `hook` takes the place of: one `-Wl,--wrap=` each when the program is linked.
pub const WRAPPED: &[&str] = &[
    "llamafile_sgemm",
    "ggml_compute_forward_flash_attn_ext",
    "ggml_compute_forward_fwht",
    "ggml_vec_soft_max_f32",
    "ggml_vec_dot_f16",
    "ggml_vec_dot_f32",
    "ggml_cpu_fp16_to_fp32",
    "ggml_cpu_fp32_to_fp16",
    "quantize_row_q8_0",
    "quantize_row_q8_1",
    "quantize_row_q8_K",
    "ggml_vec_dot_q4_1_q8_1",
    "ggml_vec_dot_q5_0_q8_0",
    "ggml_vec_dot_q5_1_q8_1",
    "ggml_vec_dot_q8_0_q8_0",
    "ggml_vec_dot_q4_K_q8_K",
    "ggml_vec_dot_q5_K_q8_K",
    "ggml_vec_dot_q6_K_q8_K",
    "ggml_vec_dot_iq4_nl_q8_0",
    "ggml_vec_dot_q1_0_q8_0",
    "ggml_vec_dot_q2_0_q8_0",
    "ggml_vec_dot_tq1_0_q8_K",
    "ggml_vec_dot_tq2_0_q8_K",
];
