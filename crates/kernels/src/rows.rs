//! One column of activations: decode, where every weight is read and used once.
//!
//! Four parts of 32 weights go together: their sums are turned into one register, so that scales are unpacked,
//! multiplied and applied four at a time.

use crate::acts::{ACT, Act};
use crate::format::{Format, Weights};
use crate::pair::base::columns_added;
use crate::simd::Simd;
use core::arch::x86_64::*;
use core::ops::Range;

/// How far ahead of their use weights are asked for, in bytes.
///
/// Activations of long rows and the weights that flow past them do not fit a first-level cache together, and without
/// this the processor fetches neither in time.
const AHEAD: usize = 4096;
/// Bytes of a line of the caches.
const LINE: usize = 64;

/// `out[row]` becomes the product of that row with the activations.
///
/// # Safety
/// Rows `rows` of `w` must be readable, `acts` for `w.k` activations, `out` writable for those rows.
#[inline(always)]
pub(crate) unsafe fn product<S: Simd, F: Format>(
    w: &Weights,
    rows: Range<usize>,
    acts: *const Act,
    out: *mut f32,
) {
    for row in rows {
        // SAFETY: the caller's promise for `row`.
        unsafe { *out.add(row) = dot::<S, F>(w.row(row), w.k, acts) };
    }
}

/// # Safety
/// `row` must hold `k` weights, `acts` as many activations.
#[inline(always)]
unsafe fn dot<S: Simd, F: Format>(row: *const u8, k: usize, acts: *const Act) -> f32 {
    // SAFETY: all parts are less than `k / 32`, which the caller promises to be there in both.
    unsafe {
        let mut sum = _mm_setzero_ps();
        for idx in 0..k / ACT {
            let (act, block) = (&*acts.add(idx), row.add(ACT * idx / F::WEIGHTS * F::BYTES));
            let part = 4 * idx % (F::WEIGHTS / 32).max(4);
            let step = F::BYTES * ACT / F::WEIGHTS;
            for line in 0..step.div_ceil(LINE) {
                _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add(step * idx + AHEAD + LINE * line).cast());
            }
            let y = act.q.as_ptr();
            let products = [
                part_of::<S, F>(block, part, y),
                part_of::<S, F>(block, part + 1, y.add(32)),
                part_of::<S, F>(block, part + 2, y.add(64)),
                part_of::<S, F>(block, part + 3, y.add(96)),
            ];
            let [d, m] = F::four_scales(block, part);
            let scale = _mm_load_ps(act.d.as_ptr());
            if F::STEP == 16 {
                let sums = _mm_load_si128(act.sums.as_ptr().cast());
                let of_low = _mm_srai_epi32(_mm_slli_epi32(sums, 16), 16);
                let a = S::both(in_32_bits::<S, F>(products[0]));
                let b = S::both(in_32_bits::<S, F>(products[1]));
                let c = S::both(in_32_bits::<S, F>(products[2]));
                let e = S::both(in_32_bits::<S, F>(products[3]));
                let low = centred::<F>([a[0], b[0], c[0], e[0]], of_low);
                let high = centred::<F>([a[1], b[1], c[1], e[1]], _mm_srai_epi32(sums, 16));
                let both = _mm_add_ps(_mm_mul_ps(low, d), _mm_mul_ps(high, m));
                sum = _mm_add_ps(sum, _mm_mul_ps(both, scale));
                continue;
            }
            let whole = _mm_cvtepi32_ps(columns_added([
                fold::<S, F>(products[0]),
                fold::<S, F>(products[1]),
                fold::<S, F>(products[2]),
                fold::<S, F>(products[3]),
            ]));
            sum = _mm_add_ps(sum, _mm_mul_ps(whole, _mm_mul_ps(d, scale)));
            if !F::SIGNED {
                sum = _mm_add_ps(sum, _mm_mul_ps(m, _mm_load_ps(act.s.as_ptr())));
            }
        }
        let mut sum = crate::pair::base::sum(sum);
        for part in k / ACT * 4..k / 32 {
            sum += one_part::<S, F>(row, part, &*acts.add(part / 4));
        }
        sum
    }
}

/// What is left when a row is no multiple of 128.
#[inline(always)]
unsafe fn one_part<S: Simd, F: Format>(row: *const u8, part: usize, act: &Act) -> f32 {
    // SAFETY: the part is there.
    unsafe {
        let per_block = F::WEIGHTS / 32;
        let block = row.add(part / per_block * F::BYTES);
        let products = multiply::<S, F>(block, part % per_block, act.q.as_ptr().add(part % 4 * 32));
        let [(d, m), _] = F::scales(block, part % per_block);
        let mut lanes = [0i32; 4];
        _mm_storeu_si128(lanes.as_mut_ptr().cast(), fold::<S, F>(products));
        let whole: i32 = lanes.iter().sum();
        d * act.d[part % 4] * whole as f32 + m * act.s[part % 4]
    }
}

/// The products of part `part`, counted from `block` on, with the activations at `y`.
#[inline(always)]
unsafe fn part_of<S: Simd, F: Format>(block: *const u8, part: usize, y: *const i8) -> S::I {
    let per_block = F::WEIGHTS / 32;
    // SAFETY: the part is there, and 32 aligned activations.
    unsafe { multiply::<S, F>(block.add(part / per_block * F::BYTES), part % per_block, y) }
}

/// Four sums of products, less what the centre of the format adds to each.
#[inline(always)]
unsafe fn centred<F: Format>(products: [__m128i; 4], sums: __m128i) -> __m128 {
    // SAFETY: SSE2 only.
    unsafe { _mm_cvtepi32_ps(_mm_sub_epi32(columns_added(products), times_centre::<F>(sums))) }
}

/// The products of 32 weights: in 32 bits of a signed format, else in 16 bits.
#[inline(always)]
unsafe fn multiply<S: Simd, F: Format>(block: *const u8, part: usize, y: *const i8) -> S::I {
    // SAFETY: the block is there, and 32 aligned activations at `y`.
    unsafe {
        let (q, y) = (F::quants::<S>(block, part), S::load_aligned(y.cast()));
        if F::SIGNED { S::multiply_signed(q, y) } else { S::multiply_bytes(q, y) }
    }
}

#[inline(always)]
unsafe fn in_32_bits<S: Simd, F: Format>(products: S::I) -> S::I {
    // SAFETY: the instruction set is there, as the caller promises.
    unsafe { if F::SIGNED { products } else { S::multiply_words(products, S::splat16(1)) } }
}

/// The products of 32 weights added to four lanes of 32 bits.
#[inline(always)]
unsafe fn fold<S: Simd, F: Format>(products: S::I) -> __m128i {
    // SAFETY: the instruction set is there, as the caller promises.
    unsafe {
        // Four products fit 16 bits when no weight is larger than 64.
        match !F::SIGNED && 4 * 127 * F::LARGEST < 1 << 15 {
            true => _mm_madd_epi16(S::fold16(products), _mm_set1_epi16(1)),
            false => S::fold32(in_32_bits::<S, F>(products)),
        }
    }
}

/// Centres are powers of two.
#[inline(always)]
unsafe fn times_centre<F: Format>(v: __m128i) -> __m128i {
    debug_assert!(F::CENTRE == 32, "the only centre of a format with two scales a part");
    // SAFETY: SSE2 only.
    unsafe { _mm_slli_epi32::<5>(v) }
}
