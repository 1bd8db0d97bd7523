//! Activations as the whole-number kernels want them: 8 bits, aligned, with their scales and sums beside them.
//!
//! ggml's own formats put a 2-byte scale before every 32 bytes, so almost no load is aligned, and an unaligned load
//! costs a Core 2 double. Here 128 activations and all that belongs to them fill three cache lines.

use crate::simd::Simd;
use core::arch::x86_64::*;

/// Activations in one [`Act`].
pub const ACT: usize = 128;

/// 128 activations; `x[i]` is about `d[i / 32] * q[i]`.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
pub struct Act {
    pub q: [i8; ACT],
    /// One scale for 32.
    pub d: [f32; 4],
    /// The scale times the sum of the 32.
    pub s: [f32; 4],
    /// Sums of 16, without scale.
    pub sums: [i16; 8],
    _room: [u8; 16],
}

/// How many activations share a scale.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    Of32,
    Of256,
}

/// Quantises `k` activations to `k.div_ceil(128)` blocks; what is missing of the last block is zero.
///
/// # Safety
/// `x` must be readable for `k` floats, `out` writable for the blocks. `k` is a multiple of 32.
#[inline(always)]
pub(crate) unsafe fn quantise<S: Simd>(x: *const f32, k: usize, out: *mut Act, scale: Scale) {
    // SAFETY: the caller's promise; all indices below are less than `k`, or within one block.
    unsafe {
        let mut shared = 0.0;
        for block in 0..k.div_ceil(ACT) {
            let act = &mut *out.add(block);
            if scale == Scale::Of256 && block % 2 == 0 {
                shared = largest::<S>(x.add(ACT * block), (k - ACT * block).min(256));
            }
            for part in 0..4 {
                let at = ACT * block + 32 * part;
                if at >= k {
                    zero_part(act, part);
                    continue;
                }
                let p = x.add(at);
                let largest = if scale == Scale::Of256 { shared } else { largest::<S>(p, 32) };
                let d = largest / 127.0;
                // A scale that would overflow stands for zero activations, as it does in ggml.
                let inverse = if d > 0.0 { 127.0 / largest } else { 0.0 };
                let inverse = S::all(if inverse.is_finite() { inverse } else { 0.0 });
                let one = |i: usize| S::round(S::times(S::floats(p.add(8 * i)), inverse));
                let q = S::narrow([one(0), one(1), one(2), one(3)]);
                S::store(act.q.as_mut_ptr().add(32 * part).cast(), q);
                // Sums of 16: at most 16 * 127 each.
                let pairs = S::multiply_words(S::multiply_bytes(S::splat8(1), q), S::splat16(1));
                let [low, high] = S::both(pairs).map(|v| sum_of_four(v));
                act.sums[2 * part] = low as i16;
                act.sums[2 * part + 1] = high as i16;
                act.d[part] = d;
                act.s[part] = d * (low + high) as f32;
            }
        }
    }
}

fn zero_part(act: &mut Act, part: usize) {
    act.q[32 * part..32 * part + 32].fill(0);
    act.sums[2 * part..2 * part + 2].fill(0);
    act.d[part] = 0.0;
    act.s[part] = 0.0;
}

#[inline(always)]
unsafe fn sum_of_four(v: __m128i) -> i32 {
    // SAFETY: SSE2 only.
    unsafe {
        let v = _mm_add_epi32(v, _mm_shuffle_epi32::<0xee>(v));
        _mm_cvtsi128_si32(_mm_add_epi32(v, _mm_shuffle_epi32::<0x55>(v)))
    }
}

#[inline(always)]
unsafe fn largest<S: Simd>(x: *const f32, n: usize) -> f32 {
    // SAFETY: the caller hands in `n` readable floats, and `n` is a multiple of 8.
    unsafe {
        let mut most = S::zero();
        for i in (0..n).step_by(8) {
            most = S::larger(most, S::magnitude(S::floats(x.add(i))));
        }
        S::largest(most)
    }
}
