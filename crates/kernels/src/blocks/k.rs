//! Rows of blocks of 256 weights with Q8_K.
//!
//! Their scales are whole numbers: a block is added up in 32 bits, and meets floats only at its end.
//! At most 256 * 63 * 128 * 127, which is an eighth of what 32 bits hold.

use crate::format::Format;
use crate::formats::{Q4_K, Q5_K, Q6_K};
use crate::pair::base::{half8, lane};
use crate::simd::Simd;
use core::arch::x86_64::*;

/// A block of activations: where its numbers and their sums lie.
const ACT_BYTES: usize = 292;
const ACT_QUANTS: usize = 4;
const ACT_SUMS: usize = 260;

/// # Safety
/// The promise of [`super::Dot`].
#[inline(always)]
pub(crate) unsafe fn dot_q4_k<S: Simd>(n: usize, weights: *const u8, acts: *const u8) -> f32 {
    // SAFETY: the caller's promise.
    unsafe { with_minima::<S, Q4_K>(n / 256, weights, acts) }
}

/// # Safety
/// The promise of [`super::Dot`].
#[inline(always)]
pub(crate) unsafe fn dot_q5_k<S: Simd>(n: usize, weights: *const u8, acts: *const u8) -> f32 {
    // SAFETY: the caller's promise.
    unsafe { with_minima::<S, Q5_K>(n / 256, weights, acts) }
}

/// # Safety
/// `n` blocks must be readable in both.
#[inline(always)]
unsafe fn with_minima<S: Simd, F: Format>(n: usize, weights: *const u8, acts: *const u8) -> f32 {
    // SAFETY: SSE2.
    let mut sum = [unsafe { _mm_setzero_ps() }; 2];
    for i in 0..n {
        // SAFETY: the caller's promise for block `i`; the rest is SSE2.
        unsafe {
            let (x, y) = (weights.add(F::BYTES * i), acts.add(ACT_BYTES * i));
            let [low, high] = scales_and_minima(x.add(4));
            let minima = [_mm_unpackhi_epi16(low, low), _mm_unpackhi_epi16(high, high)];
            let minimum = with_sums(minima, y);

            let scales = S::quad_of(_mm_unpacklo_epi16(low, low));
            let mut whole = part::<S, F>(x, y, 0, S::spread::<0>(scales));
            whole = S::add32(whole, part::<S, F>(x, y, 1, S::spread::<1>(scales)));
            whole = S::add32(whole, part::<S, F>(x, y, 2, S::spread::<2>(scales)));
            whole = S::add32(whole, part::<S, F>(x, y, 3, S::spread::<3>(scales)));
            let scales = S::quad_of(_mm_unpacklo_epi16(high, high));
            whole = S::add32(whole, part::<S, F>(x, y, 4, S::spread::<0>(scales)));
            whole = S::add32(whole, part::<S, F>(x, y, 5, S::spread::<1>(scales)));
            whole = S::add32(whole, part::<S, F>(x, y, 6, S::spread::<2>(scales)));
            whole = S::add32(whole, part::<S, F>(x, y, 7, S::spread::<3>(scales)));

            let d = half8(_mm_cvtsi32_si128(x.cast::<i32>().read_unaligned()))[0];
            let d = _mm_mul_ps(d, _mm_set1_ps(y.cast::<f32>().read_unaligned()));
            let whole = _mm_cvtepi32_ps(S::fold32(whole));
            sum[0] = _mm_add_ps(sum[0], _mm_mul_ps(whole, lane::<0>(d)));
            sum[1] = _mm_add_ps(sum[1], _mm_mul_ps(_mm_cvtepi32_ps(minimum), lane::<1>(d)));
        }
    }
    // SAFETY: SSE2.
    unsafe { crate::pair::base::sum(_mm_sub_ps(sum[0], sum[1])) }
}

/// The products of a part, times its scales, in 32 bits.
///
/// # Safety
/// A block must be readable at both.
#[inline(always)]
unsafe fn part<S: Simd, F: Format>(x: *const u8, y: *const u8, part: usize, scales: S::I) -> S::I {
    // SAFETY: the caller's promise.
    unsafe {
        let y = S::load(y.add(ACT_QUANTS + 32 * part));
        S::multiply_words(S::multiply_bytes(F::quants::<S>(x, part), y), scales)
    }
}

/// The products of two parts of Q6_K with four scales, each of them twice in `scales`.
///
/// # Safety
/// A block must be readable at both.
#[inline(always)]
unsafe fn quarter<S: Simd>(x: *const u8, y: *const u8, first: usize, scales: __m128i) -> S::I {
    // SAFETY: the caller's promise.
    unsafe {
        let scales = S::quad_of(scales);
        let low = S::beside(S::spread::<0>(scales), S::spread::<1>(scales));
        let high = S::beside(S::spread::<2>(scales), S::spread::<3>(scales));
        S::add32(part::<S, Q6_K>(x, y, first, low), part::<S, Q6_K>(x, y, first + 1, high))
    }
}

/// Sixteen words times the sums of a block of activations.
///
/// # Safety
/// A block of activations must be readable.
#[inline(always)]
unsafe fn with_sums(words: [__m128i; 2], y: *const u8) -> __m128i {
    // SAFETY: the caller's promise; SSE2.
    unsafe {
        let low = _mm_madd_epi16(words[0], _mm_loadu_si128(y.add(ACT_SUMS).cast()));
        _mm_add_epi32(low, _mm_madd_epi16(words[1], _mm_loadu_si128(y.add(ACT_SUMS + 16).cast())))
    }
}

/// The 6-bit scales and minima of 8 parts in words: scales of 0..4 and their minima, then those of 4..8.
/// [`scale_and_minimum`](crate::formats::scale_and_minimum) says how they are packed.
///
/// # Safety
/// 12 bytes must be readable.
#[inline(always)]
unsafe fn scales_and_minima(packed: *const u8) -> [__m128i; 2] {
    // SAFETY: the caller's promise; the rest is SSE2.
    unsafe {
        let first = packed.cast::<u64>().read_unaligned();
        let last = u64::from(packed.add(8).cast::<u32>().read_unaligned());
        let low = first & 0x3f3f_3f3f_3f3f_3f3f;
        let high = (last | last << 28) & 0x0f0f_0f0f_0f0f_0f0f | first >> 2 & 0x3030_3030_3030_3030;
        let zero = _mm_setzero_si128();
        [low, high].map(|v| _mm_unpacklo_epi8(_mm_cvtsi64_si128(v as i64), zero))
    }
}

/// # Safety
/// The promise of [`super::Dot`].
#[inline(always)]
pub(crate) unsafe fn dot_q6_k<S: Simd>(n: usize, weights: *const u8, acts: *const u8) -> f32 {
    // SAFETY: SSE2.
    let mut sum = unsafe { _mm_setzero_ps() };
    for i in 0..n / 256 {
        // SAFETY: the caller's promise for block `i`; the rest is SSE2.
        unsafe {
            let (x, y) = (weights.add(Q6_K::BYTES * i), acts.add(ACT_BYTES * i));
            let bytes = _mm_loadu_si128(x.add(192).cast());
            let words = [
                _mm_srai_epi16::<8>(_mm_unpacklo_epi8(bytes, bytes)),
                _mm_srai_epi16::<8>(_mm_unpackhi_epi8(bytes, bytes)),
            ];
            // `q` is 32 too large.
            let offset = with_sums(words, y);

            let mut whole = quarter::<S>(x, y, 0, _mm_unpacklo_epi16(words[0], words[0]));
            whole = S::add32(whole, quarter::<S>(x, y, 2, _mm_unpackhi_epi16(words[0], words[0])));
            whole = S::add32(whole, quarter::<S>(x, y, 4, _mm_unpacklo_epi16(words[1], words[1])));
            whole = S::add32(whole, quarter::<S>(x, y, 6, _mm_unpackhi_epi16(words[1], words[1])));

            let d = half8(_mm_cvtsi32_si128(i32::from(x.add(208).cast::<u16>().read_unaligned())))[0];
            let d = _mm_mul_ss(d, _mm_set_ss(y.cast::<f32>().read_unaligned()));
            let whole = _mm_sub_epi32(S::fold32(whole), _mm_slli_epi32::<5>(offset));
            sum = _mm_add_ps(sum, _mm_mul_ps(_mm_cvtepi32_ps(whole), lane::<0>(d)));
        }
    }
    // SAFETY: SSE2.
    unsafe { crate::pair::base::sum(sum) }
}
