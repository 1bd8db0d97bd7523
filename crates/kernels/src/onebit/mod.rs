//! Weights of one and two bits, and of three values: Q1_0, Q2_0, TQ1_0, TQ2_0.
//!
//! | file | what it says |
//! |---|---|
//! | `cells` | what their bytes mean |
//! | `many` | many columns: sums looked up by address |
//! | `tables` | one column of Q1_0: sums looked up by `pshufb` |
//! | `lanes` | the words for that |
//! | `by_hand` | its innermost loop for SSSE3 |
//! | `direct` | one column, multiplied |
//! | `digits` | how that is done for TQ1_0 |
//! | `dots` | one row with ggml's own activations |
//! | `choice` | which of the two ways for one column of Q1_0 |
//!
//! Instructions per weight and column, SSSE3, 1024 x 2048 (callgrind):
//!
//! | | Q1_0 | Q2_0 | TQ2_0 | TQ1_0 |
//! |---|---|---|---|---|
//! | one column | 0.25 | 0.50 | 0.39 | 0.64 |
//! | 16 columns | 0.09 | 0.18 | 0.16 | 0.28 |
//!
//! Measured and dropped: 16 columns of Q1_0 by `pshufb`, 0.17; the digits of TQ1_0 as high halves of products, 1.55,
//! because the compiler makes 32-bit arithmetic of that; low halves of products with 9 and 3, 1.15, because it makes
//! shifts and additions of those.
//! Weighed and not built: tables of 8 bits for one column (fewer look-ups, but each must be widened, and the sums get
//! coarse); groups of two weights of two bits instead of two planes of four (as many look-ups, twice the tables).
//!
//! TQ1_0 with one column is the one that stays far from memory: its digits cost more than their products (`digits`).

mod by_hand;
pub(crate) mod cells;
pub mod choice;
mod digits;
pub(crate) mod direct;
pub(crate) mod dots;
mod lanes;
pub(crate) mod many;
pub(crate) mod tables;

use crate::format::Weights;
use crate::simd::Simd;
use crate::sse2::Sse2;
use core::ops::Range;

/// What instruction sets differ in, beyond their words.
pub(crate) trait Column: Simd {
    /// Q1_0 with one column of floats.
    ///
    /// # Safety
    /// Rows `rows` of `w` must be readable, `x` for `w.k` floats, `out` writable for those rows.
    unsafe fn q1_0(w: &Weights, rows: Range<usize>, x: *const f32, out: *mut f32);

    /// Bytes `3a + b`, both of them 0 to 2, become `a` and `b`.
    ///
    /// # Safety
    /// As for the words of [`Simd`].
    unsafe fn split_digits(v: Self::I) -> [Self::I; 2];

    /// The low bytes of words, unsigned, times `N`.
    ///
    /// # Safety
    /// As for the words of [`Simd`].
    unsafe fn low_bytes_times<const N: i16>(v: Self::I) -> Self::I;

    /// The high bytes of words, unsigned, times `N`.
    ///
    /// # Safety
    /// As for the words of [`Simd`].
    unsafe fn high_bytes_times<const N: i16>(v: Self::I) -> Self::I;
}

impl Column for Sse2 {
    #[inline(always)]
    unsafe fn q1_0(w: &Weights, rows: Range<usize>, x: *const f32, out: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { direct::product::<Sse2, cells::Q1_0>(w, rows, x, out) }
    }

    #[inline(always)]
    unsafe fn split_digits(v: Self::I) -> [Self::I; 2] {
        // SAFETY: SSE2 only. Zeros or ones less one, and again: the first digit.
        unsafe {
            let least = |least: i8| {
                let least = Self::splat8(least);
                Self::equal8(Self::min_u8(v, least), least)
            };
            let a = Self::sub8(Self::splat8(0), Self::add8(least(3), least(6)));
            [a, Self::sub8(v, Self::add8(a, Self::add8(a, a)))]
        }
    }

    #[inline(always)]
    unsafe fn low_bytes_times<const N: i16>(v: Self::I) -> Self::I {
        // SAFETY: SSE2 only.
        unsafe { Self::mul16(Self::and(v, Self::splat16(255)), Self::splat16(N)) }
    }

    #[inline(always)]
    unsafe fn high_bytes_times<const N: i16>(v: Self::I) -> Self::I {
        // SAFETY: SSE2 only.
        unsafe { Self::mul16(Self::right16::<8>(v), Self::splat16(N)) }
    }
}

impl<S: lanes::Lanes> Column for S {
    #[inline(always)]
    unsafe fn q1_0(w: &Weights, rows: Range<usize>, x: *const f32, out: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe {
            match choice::preferred() {
                choice::Way::Tables => tables::product::<S>(w, rows, x, out),
                choice::Way::Direct => direct::product::<S, cells::Q1_0>(w, rows, x, out),
            }
        }
    }

    #[inline(always)]
    unsafe fn split_digits(v: Self::I) -> [Self::I; 2] {
        const FIRST: [u8; 16] = [0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 0, 0, 0, 0, 0, 0];
        const SECOND: [u8; 16] = [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0];
        // SAFETY: the instruction set is there.
        unsafe { [S::look_up(S::twice(FIRST.as_ptr()), v), S::look_up(S::twice(SECOND.as_ptr()), v)] }
    }

    // `pmaddubsw`, because the compiler makes shifts and additions of a product with a constant.
    #[inline(always)]
    unsafe fn low_bytes_times<const N: i16>(v: Self::I) -> Self::I {
        // SAFETY: the instruction set is there.
        unsafe { S::multiply_bytes(v, S::splat16(N)) }
    }

    #[inline(always)]
    unsafe fn high_bytes_times<const N: i16>(v: Self::I) -> Self::I {
        // SAFETY: the instruction set is there.
        unsafe { S::multiply_bytes(v, S::splat16(N << 8)) }
    }
}

/// The entries of one instruction set, in a module `onebit_entries`.
macro_rules! onebit_set {
    ($set:ty, $features:literal) => {
        #[allow(non_upper_case_globals)] // The names are ggml's.
        mod onebit_entries {
            use super::*;
            use $crate::onebit::{self, cells, direct, many};

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
            entry!(Q2_0, direct::product::<$set, cells::Q2_0>);
            entry!(TQ1_0, direct::product::<$set, cells::TQ1_0>);
            entry!(TQ2_0, direct::product::<$set, cells::TQ2_0>);
        }
    };
}
pub(crate) use onebit_set;
