//! SSSE3: every Core 2, from Merom on.

#![allow(clippy::undocumented_unsafe_blocks)] // Each word is one instruction or two; `simd` says what all of them owe.

use crate::pair::pair;
use crate::table::kernel_set;
use core::arch::x86_64::*;

#[derive(Clone, Copy)]
pub(crate) struct Ssse3;

pair!(Ssse3, multiply_bytes: _mm_maddubs_epi16, abs8: _mm_abs_epi8, sign8: _mm_sign_epi8, look_up: _mm_shuffle_epi8, pairs32: _mm_hadd_epi32, shuffles: true);

kernel_set!(Ssse3, Level::Ssse3, "ssse3", columns: 2);
