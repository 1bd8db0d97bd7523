//! One row with activations as ggml lays them out: in their own order, and without alignment.

use super::Column;
use super::cells::{Q1_0, Q2_0, TQ1_0, TQ2_0};
use super::direct::Direct;
use crate::format::four_halves;
use crate::half::half_at;
use crate::pair::base;
use crate::simd::Simd;
use core::arch::x86_64::*;

/// Q8_0: `d` (half), 32 bytes.
const Q8_0: usize = 34;
/// Q8_K: `d` (float), 256 bytes, sums of 16 in 16 bits.
const Q8_K: usize = 292;

/// For the bytes of part `i` of 16 bytes: each of 4 bytes eight times, or each of 8 bytes four times.
const fn each<const TIMES: usize>() -> [[u8; 32]; 4] {
    let mut out = [[0; 32]; 4];
    let mut i = 0;
    while i < 128 {
        out[i / 32][i % 32] = (i / TIMES % 16) as u8;
        i += 1;
    }
    out
}
static EIGHT_TIMES: [[u8; 32]; 4] = each::<8>();
static FOUR_TIMES: [[u8; 32]; 4] = each::<4>();

/// # Safety
/// The promise of [`crate::blocks::Dot`].
#[inline(always)]
pub(crate) unsafe fn dot_q1_0<S: Column>(n: usize, weights: *const u8, acts: *const u8) -> f32 {
    // SAFETY: block `i` has four parts, and there are as many blocks of activations.
    unsafe {
        let mut sum = _mm_setzero_ps();
        for i in 0..n / 128 {
            let (x, y) = (weights.add(18 * i), acts.add(4 * Q8_0 * i));
            let bits = S::twice(x.add(2));
            let sums = [
                bits_times::<S>(bits, 0, y.add(2)),
                bits_times::<S>(bits, 1, y.add(Q8_0 + 2)),
                bits_times::<S>(bits, 2, y.add(2 * Q8_0 + 2)),
                bits_times::<S>(bits, 3, y.add(3 * Q8_0 + 2)),
            ];
            let d = four_halves(y, Q8_0);
            let whole = _mm_mul_ps(_mm_cvtepi32_ps(base::columns_added(sums)), d);
            sum = _mm_add_ps(sum, _mm_mul_ps(whole, _mm_set1_ps(half_at(x))));
        }
        base::sum(sum)
    }
}

/// 32 activations with their signs, added to four lanes.
#[inline(always)]
unsafe fn bits_times<S: Simd>(bits: S::I, part: usize, y: *const u8) -> __m128i {
    // SAFETY: 32 activations are at `y`.
    unsafe {
        let mask = S::twice(0x8040_2010_0804_0201_8040_2010_0804_0201u128.to_le_bytes().as_ptr());
        let bytes = S::look_up(bits, S::load(EIGHT_TIMES[part].as_ptr()));
        let clear = S::equal8(S::and(bytes, mask), S::splat8(0));
        let signed = S::sign8(S::load(y), S::or(clear, S::splat8(1)));
        let sums = S::multiply_bytes(S::splat8(1), signed);
        _mm_madd_epi16(S::fold16(sums), _mm_set1_epi16(1))
    }
}

/// # Safety
/// The promise of [`crate::blocks::Dot`].
#[inline(always)]
pub(crate) unsafe fn dot_q2_0<S: Column>(n: usize, weights: *const u8, acts: *const u8) -> f32 {
    // SAFETY: block `i` has two parts, and there are as many blocks of activations.
    unsafe {
        let mut sum = _mm_setzero_ps();
        for i in 0..n / 64 {
            let (x, y) = (weights.add(18 * i), acts.add(2 * Q8_0 * i));
            let (bytes, d) = (S::twice(x.add(2)), half_at(x));
            for part in 0..2 {
                let y = y.add(part * Q8_0);
                let whole = _mm_cvtepi32_ps(pairs_times::<S>(bytes, part, y.add(2)));
                sum = _mm_add_ps(sum, _mm_mul_ps(whole, _mm_set1_ps(d * half_at(y))));
            }
        }
        base::sum(sum)
    }
}

/// 32 activations times weights of two bits less one, added to four lanes.
#[inline(always)]
unsafe fn pairs_times<S: Simd>(bytes: S::I, part: usize, y: *const u8) -> __m128i {
    // SAFETY: 32 activations are at `y`.
    unsafe {
        let y = S::load(y);
        let bytes = S::look_up(bytes, S::load(FOUR_TIMES[part].as_ptr()));
        // Each byte is there four times: its lower half twice, then its upper half twice.
        let low = S::and(bytes, S::splat32(0x0000_0c03));
        let v = S::or(low, S::and(S::right16::<4>(bytes), S::splat32(0x0c03_0000)));
        let even = S::multiply_bytes(S::and(v, S::splat16(3)), y);
        let odd = S::right_signed16::<2>(S::multiply_bytes(S::and(v, S::splat16(0x0c00)), y));
        let less = S::multiply_bytes(S::splat8(1), y);
        _mm_madd_epi16(S::fold16(S::sub16(S::add16(even, odd), less)), _mm_set1_epi16(1))
    }
}

/// Activations in the order of a step of `direct`.
#[repr(C, align(64))]
struct Acts([u8; 320]);

/// # Safety
/// The promise of [`crate::blocks::Dot`].
#[inline(always)]
pub(crate) unsafe fn dot_tq2_0<S: Column>(n: usize, weights: *const u8, acts: *const u8) -> f32 {
    let mut order = Acts([0; 320]);
    // SAFETY: block `i` is there in both.
    unsafe {
        let mut sum = _mm_setzero_ps();
        for i in 0..n / 256 {
            let (x, y) = (weights.add(66 * i), acts.add(Q8_K * i));
            for part in 0..8 {
                S::store(order.0.as_mut_ptr().add(32 * part), S::load(y.add(4 + 32 * part)));
            }
            let sums = <TQ2_0 as Direct>::sums::<S>(x, x, order.0.as_ptr());
            sum = _mm_add_ps(sum, with_q8_k(S::fold16(sums), half_at(x.add(64)), y));
        }
        base::sum(sum)
    }
}

/// # Safety
/// The promise of [`crate::blocks::Dot`].
#[inline(always)]
pub(crate) unsafe fn dot_tq1_0<S: Column>(n: usize, weights: *const u8, acts: *const u8) -> f32 {
    let mut order = Acts([0; 320]);
    // SAFETY: block `i` is there in both; what `order` has no activation for stays zero.
    unsafe {
        let mut sum = _mm_setzero_ps();
        for i in 0..n / 256 {
            let (x, y) = (weights.add(54 * i), acts.add(Q8_K * i));
            for digit in 0..5 {
                let to = order.0.as_mut_ptr().add(32 * digit);
                S::store(to, S::load(y.add(4 + 32 * digit)));
                y.add(4 + 160 + 16 * digit).copy_to_nonoverlapping(to.add(170), 16);
            }
            for digit in 0..4 {
                let to = order.0.as_mut_ptr().add(160 + 32 * digit + 26);
                y.add(4 + 240 + 4 * digit).copy_to_nonoverlapping(to, 4);
            }
            let sums = <TQ1_0 as Direct>::sums::<S>(x, x, order.0.as_ptr());
            sum = _mm_add_ps(sum, with_q8_k(S::fold16(sums), half_at(x.add(52)), y));
        }
        base::sum(sum)
    }
}

/// Sums of `q` times activations less the sums of activations, with both scales.
#[inline(always)]
unsafe fn with_q8_k(sums: __m128i, d: f32, y: *const u8) -> __m128 {
    // SAFETY: a block of activations is at `y`.
    unsafe {
        let of = |i: usize| _mm_loadu_si128(y.add(4 + 256 + 16 * i).cast());
        let whole = _mm_sub_epi16(sums, _mm_add_epi16(of(0), of(1)));
        let whole = _mm_cvtepi32_ps(_mm_madd_epi16(whole, _mm_set1_epi16(1)));
        _mm_mul_ps(whole, _mm_set1_ps(d * y.cast::<f32>().read_unaligned()))
    }
}

// The sizes that are written out above.
const _: () = assert!(<Q1_0 as Direct>::BYTES == 18 && <Q2_0 as Direct>::BYTES == 18);
const _: () = assert!(<TQ1_0 as Direct>::BYTES == 54 && <TQ2_0 as Direct>::BYTES == 66);
