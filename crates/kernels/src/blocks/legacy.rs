//! Rows of blocks of 32 weights with Q8_0 and Q8_1.
//!
//! Four blocks at a time: their sums are added across together, and their scales become floats together.

use crate::format::Format;
use crate::formats::{IQ4_NL, Q4_1, Q5_0, Q5_1, Q8_0};
use crate::half::half_at;
use crate::pair::base::half8;
use crate::simd::Simd;
use core::arch::x86_64::*;

/// What this file has to know of a format beyond [`Format`]. Its blocks begin with the scale.
trait Legacy: Format {
    /// A weight is `d * (q - OFFSET)`, where there is no minimum.
    const OFFSET: i8 = 0;
    /// A weight is `d * q + m`, and the activations are Q8_1.
    const MINIMUM: bool = false;
    /// Four products of a weight and an activation fit 16 bits.
    const SMALL: bool = true;
}

impl Legacy for Q4_1 {
    const MINIMUM: bool = true;
}
impl Legacy for Q5_0 {
    const OFFSET: i8 = 16;
}
impl Legacy for Q5_1 {
    const MINIMUM: bool = true;
}
impl Legacy for Q8_0 {
    const SMALL: bool = false;
}
impl Legacy for IQ4_NL {
    const SMALL: bool = false;
}

macro_rules! dots {
    ($($name:ident $format:ty),+ $(,)?) => {$(
        /// # Safety
        /// The promise of [`super::Dot`].
        #[inline(always)]
        pub(crate) unsafe fn $name<S: Simd>(n: usize, weights: *const u8, acts: *const u8) -> f32 {
            // SAFETY: the caller's promise.
            unsafe { dot::<S, $format>(n / 32, weights, acts) }
        }
    )+};
}
dots! { dot_q4_1 Q4_1, dot_q5_0 Q5_0, dot_q5_1 Q5_1, dot_q8_0 Q8_0, dot_iq4_nl IQ4_NL }

/// # Safety
/// `n` blocks must be readable in both.
#[inline(always)]
unsafe fn dot<S: Simd, F: Legacy>(n: usize, weights: *const u8, acts: *const u8) -> f32 {
    let bytes = if F::MINIMUM { 36 } else { 34 };
    // SAFETY: all indices are less than `n`; the rest is SSE2.
    unsafe {
        let (mut x, mut y) = (weights, acts);
        let mut sum = _mm_setzero_ps();
        for _ in 0..n / 4 {
            let x4 = [x, x.add(F::BYTES), x.add(2 * F::BYTES), x.add(3 * F::BYTES)];
            let y4 = [y, y.add(bytes), y.add(2 * bytes), y.add(3 * bytes)];
            let ab = S::pairs32(one::<S, F>(x4[0], y4[0]), one::<S, F>(x4[1], y4[1]));
            let cd = S::pairs32(one::<S, F>(x4[2], y4[2]), one::<S, F>(x4[3], y4[3]));
            let products = _mm_cvtepi32_ps(S::pairs32(ab, cd));
            if F::MINIMUM {
                let (x, y) = (half8(heads(x4)), half8(heads(y4)));
                let (low, high) = (_mm_mul_ps(x[0], y[0]), _mm_mul_ps(x[1], y[1]));
                sum = _mm_add_ps(sum, _mm_shuffle_ps::<0xdd>(low, high));
                sum = _mm_add_ps(sum, _mm_mul_ps(products, _mm_shuffle_ps::<0x88>(low, high)));
            } else {
                let [x, y] = half8(scales(x4, y4));
                sum = _mm_add_ps(sum, _mm_mul_ps(products, _mm_mul_ps(x, y)));
            }
            (x, y) = (x.add(4 * F::BYTES), y.add(4 * bytes));
        }
        let mut rest = 0.0;
        for _ in 0..n % 4 {
            let pairs = S::pairs32(one::<S, F>(x, y), _mm_setzero_si128());
            let product = _mm_cvtsi128_si32(S::pairs32(pairs, pairs));
            rest += product as f32 * (half_at(x) * half_at(y));
            if F::MINIMUM {
                rest += half_at(x.add(2)) * half_at(y.add(2));
            }
            (x, y) = (x.add(F::BYTES), y.add(bytes));
        }
        crate::pair::base::sum(sum) + rest
    }
}

/// The product of a block without its scales, as four numbers still to be added up.
///
/// # Safety
/// A block must be readable at both.
#[inline(always)]
unsafe fn one<S: Simd, F: Legacy>(x: *const u8, y: *const u8) -> __m128i {
    // SAFETY: the caller's promise; the bytes of a block of activations are its last 32.
    unsafe {
        let q = F::quants::<S>(x, 0);
        let y = S::load(y.add(if F::MINIMUM { 4 } else { 2 }));
        let words = if F::MINIMUM {
            S::multiply_bytes(q, y)
        } else {
            let q = if F::OFFSET == 0 { q } else { S::sub8(q, S::splat8(F::OFFSET)) };
            S::multiply_bytes(S::abs8(q), S::sign8(y, q))
        };
        let ones = _mm_set1_epi16(1);
        if F::SMALL {
            _mm_madd_epi16(S::fold16(words), ones)
        } else {
            S::fold32(S::multiply_words(words, S::splat16(1)))
        }
    }
}

/// The first halves of four blocks, and of four others.
///
/// # Safety
/// Two bytes must be readable at each.
#[inline(always)]
unsafe fn scales(x: [*const u8; 4], y: [*const u8; 4]) -> __m128i {
    // SAFETY: the caller's promise.
    unsafe {
        let [a, b, c, d] = x.map(|p| p.cast::<i16>().read_unaligned());
        let [e, f, g, h] = y.map(|p| p.cast::<i16>().read_unaligned());
        _mm_setr_epi16(a, b, c, d, e, f, g, h)
    }
}

/// The first two halves of four blocks.
///
/// # Safety
/// Four bytes must be readable at each.
#[inline(always)]
unsafe fn heads(p: [*const u8; 4]) -> __m128i {
    // SAFETY: the caller's promise.
    unsafe {
        let [a, b, c, d] = p.map(|p| p.cast::<i32>().read_unaligned());
        _mm_setr_epi32(a, b, c, d)
    }
}
