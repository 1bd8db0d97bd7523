//! Weights of one and two bits, and of three values: Q1_0, Q2_0, TQ1_0, TQ2_0.
//!
//! | file | what it says |
//! |---|---|
//! | `cells` | what their bytes mean |
//! | `many` | many columns: sums looked up by address |

pub(crate) mod cells;
mod formats;
mod lanes;
pub(crate) mod many;
pub(crate) mod tables;

use crate::acts::{ACT, Act, Scale, quantise};
use crate::format::{Format, Weights};
use crate::rows;
use crate::simd::Simd;
use crate::sse2::Sse2;
use core::mem::MaybeUninit;
use core::ops::Range;

pub(crate) use formats::{Q1_0, Q2_0, TQ1_0, TQ2_0};

/// Activations that are prepared at a time.
const SLAB: usize = 4096;

/// One column of floats, by the general kernel.
///
/// # Safety
/// Rows `rows` of `w` must be readable, `x` for `w.k` floats, `out` writable for those rows.
#[inline(always)]
pub(crate) unsafe fn one<S: Simd, F: Format>(w: &Weights, rows: Range<usize>, x: *const f32, out: *mut f32) {
    let mut acts = MaybeUninit::<[Act; SLAB / ACT]>::uninit();
    let acts = acts.as_mut_ptr().cast::<Act>();
    let mut sums = [0.0; 64];
    for from in (0..w.k).step_by(SLAB) {
        let k = SLAB.min(w.k - from);
        // SAFETY: slabs are whole blocks, all of them within the rows and the activations.
        unsafe {
            quantise::<S>(x.add(from), k, acts, Scale::Of32);
            let part = Weights { data: w.data.add(from / F::WEIGHTS * F::BYTES), k, ..*w };
            for first in rows.clone().step_by(sums.len()) {
                let n = sums.len().min(rows.end - first);
                let part = Weights { data: part.row(first), ..part };
                rows::product::<S, F>(&part, 0..n, acts, sums.as_mut_ptr());
                for (i, sum) in sums.iter().take(n).enumerate() {
                    let out = out.add(first + i);
                    *out = if from == 0 { *sum } else { *out + sum };
                }
            }
        }
    }
}

/// What one column is multiplied with, where instruction sets differ in more than their words.
pub(crate) trait Column: Simd {
    /// # Safety
    /// As for [`one`].
    unsafe fn q1_0(w: &Weights, rows: Range<usize>, x: *const f32, out: *mut f32);
}

impl Column for Sse2 {
    #[inline(always)]
    unsafe fn q1_0(w: &Weights, rows: Range<usize>, x: *const f32, out: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { one::<Sse2, Q1_0>(w, rows, x, out) }
    }
}

impl<S: lanes::Lanes> Column for S {
    #[inline(always)]
    unsafe fn q1_0(w: &Weights, rows: Range<usize>, x: *const f32, out: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { tables::product::<S>(w, rows, x, out) }
    }
}

/// The entries of one instruction set, in a module `onebit_entries`.
macro_rules! onebit_set {
    ($set:ty, $features:literal) => {
        #[allow(non_upper_case_globals)] // The names are ggml's.
        mod onebit_entries {
            use super::*;
            use $crate::onebit::{self, cells, many};

            unsafe fn prepare(_: *const f32, _: usize, _: *mut u8) {}

            macro_rules! entry {
                ($format:ident, $one:expr) => {
                    pub(super) const $format: Option<Entry> = {
                        #[target_feature(enable = $features)]
                        unsafe fn one(w: &Weights, rows: Range<usize>, x: *const u8, out: *mut f32) {
                            // SAFETY: the promise of `Entry::one`.
                            unsafe { $one(w, rows, x.cast(), out) }
                        }
                        #[target_feature(enable = $features)]
                        unsafe fn many(w: &Weights, rows: Range<usize>, columns: &Columns) {
                            // SAFETY: the promise of `Entry::many`.
                            unsafe { many::product::<$set, cells::$format>(w, rows, columns, one) }
                        }
                        Some(Entry { act_bytes: 0, prepare, one, many })
                    };
                };
            }

            entry!(Q1_0, <$set as onebit::Column>::q1_0);
            entry!(Q2_0, onebit::one::<$set, onebit::Q2_0>);
            entry!(TQ1_0, onebit::one::<$set, onebit::TQ1_0>);
            entry!(TQ2_0, onebit::one::<$set, onebit::TQ2_0>);
        }
    };
}
pub(crate) use onebit_set;
