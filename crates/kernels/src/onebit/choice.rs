//! Which of two ways a column of Q1_0 is multiplied: `tables` or `direct`.
//!
//! `pshufb` is one instruction of many on a Core 2 of 45 nm and four on one of 65 nm, so the faster way is found by
//! trying both. Each gives the same bits for any number of threads. They differ by how they round activations:
//! `tables` as finely as 10 bits for the sum of four, `direct` to 8 bits each, as ggml does.

use crate::format::Weights;
use crate::kind::Kind;
use crate::table::{Level, kernels};
use core::arch::x86_64::_rdtsc;
use core::sync::atomic::{AtomicU8, Ordering};

/// How a column of Q1_0 is multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Way {
    /// Sums are looked up. What is done unless [`calibrate`] or [`prefer`] says otherwise.
    Tables = 0,
    /// Weights are multiplied. The only way without SSSE3.
    Direct = 1,
}

impl Way {
    pub const fn name(self) -> &'static str {
        match self {
            Way::Tables => "tables",
            Way::Direct => "direct",
        }
    }

    pub fn named(name: &str) -> Option<Way> {
        [Way::Tables, Way::Direct].into_iter().find(|way| way.name() == name)
    }
}

static WAY: AtomicU8 = AtomicU8::new(Way::Tables as u8);

/// The way in use.
#[inline]
pub fn way() -> Way {
    if kernels().level == Level::Sse2 { Way::Direct } else { preferred() }
}

/// The way that sets with both of them take.
#[inline]
pub(super) fn preferred() -> Way {
    if WAY.load(Ordering::Relaxed) == Way::Tables as u8 { Way::Tables } else { Way::Direct }
}

/// Takes this way from now on, where the kernels in use have it.
pub fn prefer(way: Way) {
    WAY.store(way as u8, Ordering::Relaxed);
}

const ROWS: usize = 64;
const WEIGHTS: usize = 2048;
const STRIDE: usize = WEIGHTS / 128 * 18;
/// Each way is tried this often, and its best time counts.
const TRIES: usize = 8;

static ROOM: ([u8; ROWS * STRIDE], [f32; WEIGHTS]) = ([0; ROWS * STRIDE], [1.0; WEIGHTS]);

/// Tries both ways for less than a millisecond and keeps the faster one. To be called once, before any product.
pub fn calibrate() -> Way {
    if kernels().level == Level::Sse2 {
        return Way::Direct;
    }
    let Some(entry) = kernels().entry(Kind::Q1_0) else { return way() };
    let weights = Weights { data: ROOM.0.as_ptr(), stride: STRIDE, k: WEIGHTS };
    let mut best = [u64::MAX; 2];
    let mut out = [0.0; ROWS];
    for _ in 0..TRIES {
        for (way, best) in [Way::Tables, Way::Direct].into_iter().zip(&mut best) {
            prefer(way);
            // SAFETY: the weights and activations are in `ROOM`, and `out` has a place for each row; a processor that
            // runs 64-bit code has a time stamp counter.
            let ticks = unsafe {
                let start = _rdtsc();
                (entry.one)(&weights, 0..ROWS, ROOM.1.as_ptr().cast(), out.as_mut_ptr());
                _rdtsc().wrapping_sub(start)
            };
            core::hint::black_box(&out);
            *best = ticks.min(*best);
        }
    }
    prefer(if best[1] < best[0] { Way::Direct } else { Way::Tables });
    way()
}
