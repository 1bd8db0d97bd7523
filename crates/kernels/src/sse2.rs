//! SSE2: every x86-64 processor.

#![allow(clippy::undocumented_unsafe_blocks)] // Each word is one instruction or two; `simd` says what all of them owe.

use crate::pair::{base, pair};
use crate::table::kernel_set;
use core::arch::x86_64::*;

#[derive(Clone, Copy)]
pub(crate) struct Sse2;

pair!(Sse2, multiply_bytes: base::multiply_bytes, abs8: base::abs8, sign8: base::sign8, look_up: base::look_up, pairs32: base::pairs32, shuffles: false);

kernel_set!(Sse2, Level::Sse2, "sse2", columns: 2);
