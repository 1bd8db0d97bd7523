//! Activations as ggml lays them out itself, and products of one row with them.
//!
//! ggml takes these roads where nobody takes a whole product from it: experts chosen by token, activations that do
//! not lie in one piece, attention over a quantised cache, and writing to that cache.
//! Q4_0 is absent: ggml's own SSSE3 code for it needs 60 ps per weight, ours took 80.
//! The quantisers give the same bits as ggml's, so that it does not matter who wrote a cache.
//!
//! | layout | block | bytes |
//! |---|---|---|
//! | Q8_0 | `d` (half), 32 signed bytes | 34 |
//! | Q8_1 | `d` and the scaled sum (halves), 32 signed bytes | 36 |
//! | Q8_K | `d` (float), 256 signed bytes, sums of 16 in 16 bits | 292 |

mod k;
mod legacy;
mod quantise;

pub(crate) use crate::onebit::dots::{dot_q1_0, dot_q2_0, dot_tq1_0, dot_tq2_0};
pub(crate) use k::{dot_q4_k, dot_q5_k, dot_q6_k};
pub(crate) use legacy::{dot_iq4_nl, dot_q4_1, dot_q5_0, dot_q5_1, dot_q8_0};
pub(crate) use quantise::{quantise_q8_0, quantise_q8_1, quantise_q8_k};

/// The product of `n` weights with as many activations, which lie in ggml's layout for that kind of weight.
pub type Dot = unsafe fn(n: usize, weights: *const u8, acts: *const u8) -> f32;
/// Quantises `k` floats, a multiple of the layout's block.
pub type Quantise = unsafe fn(x: *const f32, k: usize, out: *mut u8);

/// The kernels of one instruction set for ggml's layouts.
pub struct Blocks {
    pub quantise_q8_0: Quantise,
    pub quantise_q8_1: Quantise,
    pub quantise_q8_k: Quantise,
    /// With Q8_1.
    pub dot_q4_1: Dot,
    /// With Q8_0.
    pub dot_q5_0: Dot,
    /// With Q8_1.
    pub dot_q5_1: Dot,
    /// With Q8_0.
    pub dot_q8_0: Dot,
    /// With Q8_0.
    pub dot_iq4_nl: Dot,
    /// With Q8_K.
    pub dot_q4_k: Dot,
    /// With Q8_K.
    pub dot_q5_k: Dot,
    /// With Q8_K.
    pub dot_q6_k: Dot,
    /// With Q8_0.
    pub dot_q1_0: Dot,
    /// With Q8_0.
    pub dot_q2_0: Dot,
    /// With Q8_K.
    pub dot_tq1_0: Dot,
    /// With Q8_K.
    pub dot_tq2_0: Dot,
}

/// Makes the kernels of one instruction set: `const BLOCKS`.
macro_rules! block_set {
    ($set:ty, $features:literal) => {
        $crate::blocks::block_set! {
            $set, $features:
            quantise_q8_0(x: *const f32, k: usize, out: *mut u8) -> ();
            quantise_q8_1(x: *const f32, k: usize, out: *mut u8) -> ();
            quantise_q8_k(x: *const f32, k: usize, out: *mut u8) -> ();
            dot_q4_1(n: usize, weights: *const u8, acts: *const u8) -> f32;
            dot_q5_0(n: usize, weights: *const u8, acts: *const u8) -> f32;
            dot_q5_1(n: usize, weights: *const u8, acts: *const u8) -> f32;
            dot_q8_0(n: usize, weights: *const u8, acts: *const u8) -> f32;
            dot_iq4_nl(n: usize, weights: *const u8, acts: *const u8) -> f32;
            dot_q4_k(n: usize, weights: *const u8, acts: *const u8) -> f32;
            dot_q5_k(n: usize, weights: *const u8, acts: *const u8) -> f32;
            dot_q6_k(n: usize, weights: *const u8, acts: *const u8) -> f32;
            dot_q1_0(n: usize, weights: *const u8, acts: *const u8) -> f32;
            dot_q2_0(n: usize, weights: *const u8, acts: *const u8) -> f32;
            dot_tq1_0(n: usize, weights: *const u8, acts: *const u8) -> f32;
            dot_tq2_0(n: usize, weights: *const u8, acts: *const u8) -> f32;
        }
    };
    ($set:ty, $features:literal: $($name:ident($($arg:ident: $of:ty),+) -> $result:ty;)+) => {
        const BLOCKS: $crate::blocks::Blocks = {
            $(
                #[target_feature(enable = $features)]
                unsafe fn $name($($arg: $of),+) -> $result {
                    // SAFETY: the promise of the field of `Blocks`.
                    unsafe { $crate::blocks::$name::<$set>($($arg),+) }
                }
            )+
            $crate::blocks::Blocks { $($name),+ }
        };
    };
}
pub(crate) use block_set;
