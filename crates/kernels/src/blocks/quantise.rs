//! ggml's quantisers of activations, bit for bit.
//!
//! ggml rounds to Q8_0 and Q8_1 by `roundf`, ties away from zero, and to Q8_K to even.
//! The scale of Q8_K has the sign that makes the activation of largest magnitude -127, the first one of them.
//! Where ggml's C leaves the result open (no numbers, infinities, scales without an inverse), ours is some other one.

use crate::acts::{largest4, rounded};
use crate::pair::base::narrow8;
use crate::simd::Simd;
use core::arch::x86_64::*;

/// Activations that share a scale in Q8_0 and Q8_1.
const BLOCK: usize = 32;
const Q8_0_BYTES: usize = 34;
const Q8_1_BYTES: usize = 36;

/// Activations that share a scale in Q8_K, and where their sums lie.
const BLOCK_K: usize = 256;
const Q8_K_BYTES: usize = 292;
const Q8_K_SUMS: usize = 260;

/// # Safety
/// `k` floats, a multiple of 32, must be readable, and their blocks writable.
#[inline(always)]
pub(crate) unsafe fn quantise_q8_0<S: Simd>(x: *const f32, k: usize, out: *mut u8) {
    let last = (k / BLOCK).saturating_sub(1);
    for first in (0..k / BLOCK).step_by(4) {
        // SAFETY: no block lies behind the last one; where it comes again, the same bytes are written again.
        unsafe {
            let blocks = [0, 1, 2, 3].map(|i| (first + i).min(last));
            let (q, d) = four::<S>(blocks.map(|i| x.add(BLOCK * i)));
            let halves = narrow8([d, d]);
            let d = [
                _mm_extract_epi16::<0>(halves),
                _mm_extract_epi16::<1>(halves),
                _mm_extract_epi16::<2>(halves),
                _mm_extract_epi16::<3>(halves),
            ];
            for (i, block) in blocks.into_iter().enumerate() {
                let out = out.add(Q8_0_BYTES * block);
                out.cast::<u16>().write_unaligned(d[i] as u16);
                S::store(out.add(2), q[i]);
            }
        }
    }
}

/// # Safety
/// `k` floats, a multiple of 32, must be readable, and their blocks writable.
#[inline(always)]
pub(crate) unsafe fn quantise_q8_1<S: Simd>(x: *const f32, k: usize, out: *mut u8) {
    let last = (k / BLOCK).saturating_sub(1);
    for first in (0..k / BLOCK).step_by(4) {
        // SAFETY: as above.
        unsafe {
            let blocks = [0, 1, 2, 3].map(|i| (first + i).min(last));
            let (q, d) = four::<S>(blocks.map(|i| x.add(BLOCK * i)));
            let sums = _mm_madd_epi16(S::sums_of_16(q), _mm_set1_epi16(1));
            let halves = narrow8([d, _mm_mul_ps(_mm_cvtepi32_ps(sums), d)]);
            let heads = _mm_unpacklo_epi16(halves, _mm_srli_si128::<8>(halves));
            let heads = [
                _mm_cvtsi128_si32(heads),
                _mm_cvtsi128_si32(_mm_shuffle_epi32::<1>(heads)),
                _mm_cvtsi128_si32(_mm_shuffle_epi32::<2>(heads)),
                _mm_cvtsi128_si32(_mm_shuffle_epi32::<3>(heads)),
            ];
            for (i, block) in blocks.into_iter().enumerate() {
                let out = out.add(Q8_1_BYTES * block);
                out.cast::<i32>().write_unaligned(heads[i]);
                S::store(out.add(4), q[i]);
            }
        }
    }
}

/// Four times 32 activations in 8 bits, and their scales.
///
/// # Safety
/// 32 floats must be readable at each of `x`.
#[inline(always)]
unsafe fn four<S: Simd>(x: [*const f32; 4]) -> ([S::I; 4], __m128) {
    // SAFETY: the caller's promise; the rest is SSE2.
    unsafe {
        let d = _mm_div_ps(largest4::<S>(x), _mm_set1_ps(127.0));
        let inverse = _mm_div_ps(_mm_set1_ps(1.0), d);
        let inverse = _mm_and_ps(inverse, _mm_cmpneq_ps(d, _mm_setzero_ps()));
        let q = [
            rounded_away::<S>(x[0], S::lane::<0>(inverse)),
            rounded_away::<S>(x[1], S::lane::<1>(inverse)),
            rounded_away::<S>(x[2], S::lane::<2>(inverse)),
            rounded_away::<S>(x[3], S::lane::<3>(inverse)),
        ];
        (q, d)
    }
}

/// 32 floats times `scale`, rounded to bytes.
///
/// # Safety
/// 32 floats must be readable.
#[inline(always)]
unsafe fn rounded_away<S: Simd>(x: *const f32, scale: S::F) -> S::I {
    // SAFETY: the caller's promise.
    unsafe {
        S::narrow([
            away_from_zero::<S>(S::times(S::floats(x), scale)),
            away_from_zero::<S>(S::times(S::floats(x.add(8)), scale)),
            away_from_zero::<S>(S::times(S::floats(x.add(16)), scale)),
            away_from_zero::<S>(S::times(S::floats(x.add(24)), scale)),
        ])
    }
}

/// Rounds as `roundf` does: adding the largest float below a half can only round up to the next whole number
/// what is at least half way to it.
#[inline(always)]
unsafe fn away_from_zero<S: Simd>(v: S::F) -> S::I {
    // SAFETY: the caller's processor has the set.
    unsafe {
        let sign = S::and(S::bits(v), S::splat32(i32::MIN));
        let nearly_half = S::or(sign, S::splat32(0x3eff_ffff));
        S::cut(S::plus(v, S::from_bits(nearly_half)))
    }
}

/// # Safety
/// `k` floats, a multiple of 256, must be readable, and their blocks writable.
#[inline(always)]
pub(crate) unsafe fn quantise_q8_k<S: Simd>(x: *const f32, k: usize, out: *mut u8) {
    for block in 0..k / BLOCK_K {
        // SAFETY: the caller's promise for this block.
        unsafe {
            let (x, out) = (x.add(BLOCK_K * block), out.add(Q8_K_BYTES * block));
            let most = most::<S>(x);
            let scale = if most == 0.0 { 0.0 } else { -127.0 / most };
            let d = if most == 0.0 { 0.0 } else { 1.0 / scale };
            out.cast::<f32>().write_unaligned(d);
            let scale = S::all(scale);
            for half in 0..2 {
                let (x, q) = (x.add(128 * half), out.add(4 + 128 * half));
                let parts = [
                    rounded::<S>(x, scale),
                    rounded::<S>(x.add(32), scale),
                    rounded::<S>(x.add(64), scale),
                    rounded::<S>(x.add(96), scale),
                ];
                for (i, part) in parts.into_iter().enumerate() {
                    S::store(q.add(32 * i), part);
                }
                let sums = S::sums_of_16(parts);
                _mm_storeu_si128(out.add(Q8_K_SUMS + 16 * half).cast(), sums);
            }
        }
    }
}

/// The first of 256 floats that has the largest magnitude; zero where there is none.
///
/// # Safety
/// 256 floats must be readable.
#[inline(always)]
unsafe fn most<S: Simd>(x: *const f32) -> f32 {
    // SAFETY: all indices are less than 256.
    unsafe {
        let (mut high, mut low) = ([S::zero(); 2], [S::zero(); 2]);
        for i in (0..BLOCK_K).step_by(16) {
            for (j, (high, low)) in high.iter_mut().zip(&mut low).enumerate() {
                let x = S::floats(x.add(i + 8 * j));
                *high = S::larger(x, *high);
                *low = S::smaller(x, *low);
            }
        }
        let high = S::largest(S::larger(high[0], high[1]));
        let low = S::largest(S::minus(S::zero(), S::smaller(low[0], low[1])));
        match high == low {
            false if high > low => high,
            false => -low,
            true => (0..BLOCK_K).map(|i| *x.add(i)).find(|x| x.abs() == high).unwrap_or(0.0),
        }
    }
}
