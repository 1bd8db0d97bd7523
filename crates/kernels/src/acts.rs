//! Activations as the whole-number kernels want them: 8 bits, aligned, with their scales and sums beside them.
//!
//! ggml's own formats put a 2-byte scale before every 32 bytes, so almost no load is aligned, and an unaligned load
//! costs a Core 2 double. Here 128 activations and all that belongs to them fill three cache lines.
//!
//! Every thread of a product quantises all columns for itself. With two threads, sharing that out would save 1.2 % of
//! the instructions of a product with 384 rows, and 0.3 % with 2048 (callgrind); so there is no barrier for it.

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

/// The largest magnitude of each of four times 32 activations.
///
/// # Safety
/// 32 floats must be readable at each of `x`.
#[inline(always)]
pub(crate) unsafe fn largest4<S: Simd>(x: [*const f32; 4]) -> __m128 {
    // SAFETY: the caller's promise; the rest is SSE2, which every x86-64 processor has.
    unsafe {
        let (a, b, c, d) = (largest::<S>(x[0]), largest::<S>(x[1]), largest::<S>(x[2]), largest::<S>(x[3]));
        let ab = _mm_max_ps(_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b));
        let cd = _mm_max_ps(_mm_unpacklo_ps(c, d), _mm_unpackhi_ps(c, d));
        _mm_max_ps(_mm_movelh_ps(ab, cd), _mm_movehl_ps(cd, ab))
    }
}

/// The largest magnitude of 32 activations, still in four lanes.
///
/// # Safety
/// 32 floats must be readable.
#[inline(always)]
unsafe fn largest<S: Simd>(x: *const f32) -> __m128 {
    // SAFETY: the caller's promise; the rest is SSE2.
    unsafe {
        let mut most = S::magnitude(S::floats(x));
        for i in 1..4 {
            most = S::larger(S::magnitude(S::floats(x.add(8 * i))), most);
        }
        let [low, high] = S::split_floats(most);
        _mm_max_ps(low, high)
    }
}

/// 32 floats times `scale`, rounded to bytes.
///
/// # Safety
/// 32 floats must be readable.
#[inline(always)]
pub(crate) unsafe fn rounded<S: Simd>(x: *const f32, scale: S::F) -> S::I {
    // SAFETY: the caller's promise.
    unsafe {
        S::narrow([
            S::round(S::times(S::floats(x), scale)),
            S::round(S::times(S::floats(x.add(8)), scale)),
            S::round(S::times(S::floats(x.add(16)), scale)),
            S::round(S::times(S::floats(x.add(24)), scale)),
        ])
    }
}

/// Quantises `k` activations to `k.div_ceil(128)` blocks; what is missing of the last block is zero.
///
/// # Safety
/// `x` must be readable for `k` floats, `out` writable for the blocks. `k` is a multiple of 32.
#[inline(always)]
pub(crate) unsafe fn quantise<S: Simd>(x: *const f32, k: usize, out: *mut Act) {
    let parts = k / 32;
    // SAFETY: the caller's promise; parts beyond the last one stand for the last one.
    unsafe {
        let part = |i: usize| x.add(32 * i.min(parts - 1));
        let four = |first: usize| [0, 1, 2, 3].map(|i| part(first + i));
        for first in (0..parts).step_by(4) {
            let largest = largest4::<S>(four(first));
            block::<S>(
                four(first),
                _mm_and_ps(largest, first_lanes(parts - first)),
                &mut *out.add(first / 4),
            );
        }
    }
}

/// # Safety
/// 32 floats must be readable at each of `x`.
#[inline(always)]
unsafe fn block<S: Simd>(x: [*const f32; 4], largest: __m128, act: &mut Act) {
    // SAFETY: the caller's promise for `x`, and `act` is ours; the rest is SSE2.
    unsafe {
        let most = _mm_set1_ps(127.0);
        let d = _mm_div_ps(largest, most);
        // A scale whose inverse would overflow stands for zero activations, as it does in ggml.
        let inverse = _mm_div_ps(most, largest);
        let inverse = _mm_and_ps(inverse, _mm_cmple_ps(inverse, _mm_set1_ps(f32::MAX)));
        let q = [
            rounded::<S>(x[0], S::lane::<0>(inverse)),
            rounded::<S>(x[1], S::lane::<1>(inverse)),
            rounded::<S>(x[2], S::lane::<2>(inverse)),
            rounded::<S>(x[3], S::lane::<3>(inverse)),
        ];
        for (i, q) in q.into_iter().enumerate() {
            S::store(act.q.as_mut_ptr().add(32 * i).cast(), q);
        }
        let low = S::or(no_numbers::<S>(q[0]), no_numbers::<S>(q[1]));
        let strange = S::or(low, S::or(no_numbers::<S>(q[2]), no_numbers::<S>(q[3])));
        let d = if has_any::<S>(strange) { _mm_set1_ps(f32::NAN) } else { d };
        let sums = S::sums_of_16(q);
        let of_32 = _mm_cvtepi32_ps(_mm_madd_epi16(sums, _mm_set1_epi16(1)));
        _mm_store_ps(act.d.as_mut_ptr(), d);
        _mm_store_ps(act.s.as_mut_ptr(), _mm_mul_ps(d, of_32));
        _mm_store_si128(act.sums.as_mut_ptr().cast(), sums);
    }
}

/// Ones where a rounded activation was no number, or infinite: rounding makes -128 of both, and of nothing else when
/// the largest one becomes 127. For an infinite one is multiplied by the inverse of infinity, which is zero.
///
/// The largest magnitude does not tell: `maxps` forgets what is no number.
///
/// # Safety
/// As for the words of [`Simd`].
#[inline(always)]
pub(crate) unsafe fn no_numbers<S: Simd>(q: S::I) -> S::I {
    // SAFETY: the caller's promise.
    unsafe { S::equal8(q, S::splat8(-128)) }
}

/// Whether a bit is set.
///
/// # Safety
/// As for the words of [`Simd`].
#[inline(always)]
pub(crate) unsafe fn has_any<S: Simd>(mask: S::I) -> bool {
    // SAFETY: the caller's promise; SSE2.
    unsafe {
        let [low, high] = S::both(mask);
        _mm_movemask_epi8(_mm_or_si128(low, high)) != 0
    }
}

/// Ones in the first `n` lanes.
#[inline(always)]
fn first_lanes(n: usize) -> __m128 {
    // SAFETY: SSE2, which every x86-64 processor has.
    unsafe {
        let n = _mm_set1_epi32(n.min(4) as i32);
        _mm_castsi128_ps(_mm_cmpgt_epi32(n, _mm_setr_epi32(0, 1, 2, 3)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;
    use crate::table::{Level, kernels_of};
    use std::vec;
    use std::vec::Vec;

    const EMPTY: Act = Act { q: [99; ACT], d: [9.0; 4], s: [9.0; 4], sums: [9; 8], _room: [0; 16] };

    /// Every block of 32 has another magnitude; one of them is all zeros.
    fn floats(k: usize) -> Vec<f32> {
        let value = |i: usize| (i * 7919 % 2003) as f32 / 7.0 - 143.0;
        (0..k)
            .map(|i| if i / 32 == 5 { 0.0 } else { value(i) * 2f32.powi((i / 32 * 5 % 11) as i32 - 6) })
            .collect()
    }

    /// Holds what was quantised to one number after the other.
    fn check(acts: &[Act], x: &[f32]) {
        for i in 0..acts.len() * ACT {
            let (act, part) = (&acts[i / ACT], i % ACT / 32);
            let Some(&x_i) = x.get(i) else {
                assert_eq!((act.q[i % ACT], act.d[part], act.s[part]), (0, 0.0, 0.0), "behind the end, {i}");
                continue;
            };
            let first = i / 32 * 32;
            let largest = x[first..x.len().min(first + 32)].iter().fold(0.0f32, |a, x| a.max(x.abs()));
            let want = if largest == 0.0 { 0.0 } else { (x_i * (127.0 / largest)).round_ties_even() };
            assert_eq!(f32::from(act.q[i % ACT]), want, "number {i} of {}", x.len());
            assert_eq!(act.d[part], largest / 127.0, "scale of number {i} of {}", x.len());
        }
        for act in acts {
            let sums: Vec<i16> = act.q.chunks(16).map(|q| q.iter().map(|&q| i16::from(q)).sum()).collect();
            assert_eq!(act.sums[..], sums);
            for part in 0..4 {
                assert_eq!(act.s[part], act.d[part] * f32::from(sums[2 * part] + sums[2 * part + 1]));
            }
        }
    }

    #[test]
    fn activations_become_the_nearest_whole_numbers() {
        for k in [32, 64, 96, 128, 160, 256, 352, 512, 1024] {
            let x = floats(k);
            for level in Level::ALL {
                let Some(kernels) = kernels_of(level) else { continue };
                let mut acts = vec![EMPTY; k.div_ceil(ACT)];
                let entry = kernels.entry(Kind::Q8_0).expect("every level has Q8_0");
                // SAFETY: `x` holds `k` floats, and `acts` their blocks.
                unsafe { (entry.prepare)(x.as_ptr(), k, acts.as_mut_ptr().cast()) };
                check(&acts, &x);
            }
        }
    }
}
