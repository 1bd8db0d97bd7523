//! SSE4.1: Penryn and its sisters, the 45 nm Core 2.
//!
//! No word of ours is shorter with it, but the compiler knows more instructions when it makes the kernels.

#![allow(clippy::undocumented_unsafe_blocks)] // Each word is one instruction or two; `simd` says what all of them owe.

use crate::pair::pair;
use crate::table::kernel_set;
use core::arch::x86_64::*;

#[derive(Clone, Copy)]
pub(crate) struct Sse41;

pair!(Sse41, multiply_bytes: _mm_maddubs_epi16, abs8: _mm_abs_epi8, sign8: _mm_sign_epi8, look_up: _mm_shuffle_epi8, pairs32: _mm_hadd_epi32);

kernel_set!(Sse41, Level::Sse41, "sse4.1", columns: 2);
