//! The turn that llama.cpp gives to what goes into a quantised cache: a Walsh-Hadamard transform, bit for bit ggml's.
//!
//! ggml does without vectors here before AVX, with 30 instructions for a float of a head of 128; here it is 7.

use crate::simd::Simd;
use core::arch::x86_64::*;

/// Turns `n` floats, a power of two from 8 on. `out` may be `x`.
///
/// # Safety
/// `n` floats must be readable at `x`, and as many writable at `out`.
#[inline(always)]
pub(crate) unsafe fn rotate<S: Simd>(x: *const f32, n: usize, out: *mut f32) {
    // SAFETY: the caller's promise; `n` is a multiple of 8, and of 4 or 2 steps wherever such are taken.
    unsafe {
        let scale = _mm_set1_ps(1.0 / _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(n as f32))));
        for at in (0..n).step_by(8) {
            let low = four(_mm_mul_ps(_mm_loadu_ps(x.add(at)), scale));
            let high = four(_mm_mul_ps(_mm_loadu_ps(x.add(at + 4)), scale));
            _mm_storeu_ps(out.add(at), _mm_add_ps(low, high));
            _mm_storeu_ps(out.add(at + 4), _mm_sub_ps(low, high));
        }
        let mut step = 8;
        while 4 * step <= n {
            for at in (0..n).step_by(4 * step) {
                for i in (at..at + step).step_by(8) {
                    two_steps::<S>(out.add(i), step);
                }
            }
            step *= 4;
        }
        if 2 * step <= n {
            for at in (0..step).step_by(8) {
                let (a, b) = (S::floats(out.add(at)), S::floats(out.add(at + step)));
                S::put(out.add(at), S::plus(a, b));
                S::put(out.add(at + step), S::minus(a, b));
            }
        }
    }
}

/// Sums and differences of neighbours, and then of pairs.
#[inline(always)]
unsafe fn four(v: __m128) -> __m128 {
    // SAFETY: SSE2 only. A difference is a sum with the opposite sign.
    unsafe {
        let minus = f32::from_bits(1 << 31);
        let (even, odd) = (_mm_shuffle_ps::<0xa0>(v, v), _mm_shuffle_ps::<0xf5>(v, v));
        let v = _mm_add_ps(even, _mm_xor_ps(odd, _mm_setr_ps(0.0, minus, 0.0, minus)));
        let (low, high) = (_mm_movelh_ps(v, v), _mm_movehl_ps(v, v));
        _mm_add_ps(low, _mm_xor_ps(high, _mm_setr_ps(0.0, 0.0, minus, minus)))
    }
}

/// Sums and differences of what is `step` apart, and then of what is twice as far.
///
/// # Safety
/// 8 floats must be there at each of four places.
#[inline(always)]
unsafe fn two_steps<S: Simd>(p: *mut f32, step: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        let (a, b) = (S::floats(p), S::floats(p.add(step)));
        let (c, d) = (S::floats(p.add(2 * step)), S::floats(p.add(3 * step)));
        let (ab, ba) = (S::plus(a, b), S::minus(a, b));
        let (cd, dc) = (S::plus(c, d), S::minus(c, d));
        S::put(p, S::plus(ab, cd));
        S::put(p.add(step), S::plus(ba, dc));
        S::put(p.add(2 * step), S::minus(ab, cd));
        S::put(p.add(3 * step), S::minus(ba, dc));
    }
}

#[cfg(test)]
mod tests {
    use crate::table::{Level, kernels_of};
    use std::vec::Vec;

    /// ggml's loops.
    fn plain(x: &[f32]) -> Vec<f32> {
        let scale = 1.0 / (x.len() as f32).sqrt();
        let mut out: Vec<f32> = x.iter().map(|x| x * scale).collect();
        let mut step = 1;
        while step < out.len() {
            for pair in out.chunks_mut(2 * step) {
                let (low, high) = pair.split_at_mut(step);
                for (a, b) in low.iter_mut().zip(high) {
                    (*a, *b) = (*a + *b, *a - *b);
                }
            }
            step *= 2;
        }
        out
    }

    #[test]
    fn a_turn_is_that_of_ggml_bit_for_bit() {
        for n in [8, 16, 32, 64, 128, 256, 512, 1024] {
            let x: Vec<f32> = (0..n).map(|i| (i * 7919 % 2003) as f32 / 7.0 - 143.0).collect();
            for kernels in Level::ALL.into_iter().filter_map(kernels_of) {
                let mut out = x.clone();
                // SAFETY: both hold `n` floats.
                unsafe { (kernels.vectors.rotate)(out.as_ptr(), n, out.as_mut_ptr()) };
                let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&out), bits(&plain(&x)), "{n} floats, {}", kernels.level.name());
            }
        }
    }
}
