//! One column of activations, multiplied: decode of weights of two bits and three values, and a second way for Q1_0.
//!
//! A byte holds several weights. Instead of moving them to where their activations are, the activations are put into
//! the order of the weights once; then a mask makes bytes that `pmaddubsw` takes. What the mask leaves is the weight
//! times a power of two, and the products of each power are added up apart. Four rows go together, so that scales are
//! unpacked and applied four at a time.

use super::Column;
use crate::acts::{has_any, no_numbers};
use crate::format::{Weights, halves_at};
use crate::pair::base;
use crate::simd::Simd;
use core::arch::x86_64::*;
use core::mem::MaybeUninit;
use core::ops::Range;

/// Activations that are prepared at a time.
/// A row is read from end to end then. Cut into shorter pieces, long rows took twice the time for a weight.
const SLAB: usize = 16384;
/// The most weights that one step takes.
const SPAN: usize = 256;
/// Bytes of all prepared activations: at most 15 for 8, with their scales.
const ROOM: usize = SLAB / 8 * 15;
/// Rows that go together.
pub(super) const ROWS: usize = 4;
/// How far ahead of its use a row is asked for, in bytes: where it ends, the row that follows it in the next four.
const AHEAD: usize = 512;

/// A format whose weights are multiplied where they lie.
pub(crate) trait Direct {
    /// Bytes and weights of a block of the file, and where its scale lies.
    const BYTES: usize;
    const WEIGHTS: usize;
    const SCALE: usize;
    /// Blocks that one step takes: of two, each fills a half of every value.
    const BLOCKS: usize;
    /// Bytes that the activations of a step fill, a multiple of 32.
    const ACTS: usize;
    /// A weight is `q * TIMES - 1` times the scale.
    const TIMES: f32;

    /// For each byte of the activations of a step, which one of them it holds.
    const PLACES: &'static [u16];

    /// The sums of `q` times the activations of a step, in 16 bits; two of them may be added.
    ///
    /// # Safety
    /// `first` and `second` must be readable for a block each, `acts` for `ACTS` aligned bytes.
    unsafe fn sums<S: Column>(first: *const u8, second: *const u8, acts: *const u8) -> S::I;

    /// The same of four rows, in 32 bits, for the first block and for the second if there are two.
    ///
    /// # Safety
    /// As for `sums`, `second` bytes behind the first blocks.
    #[inline(always)]
    unsafe fn four_sums<S: Column>(rows: [*const u8; ROWS], second: usize, acts: *const u8) -> [__m128i; 2] {
        // SAFETY: the caller's promise.
        unsafe {
            let mut sums = [S::splat8(0); ROWS];
            for (sums, row) in sums.iter_mut().zip(rows) {
                *sums = Self::sums::<S>(row, row.add(second), acts);
            }
            if Self::BLOCKS == 1 {
                let [a, b, c, d] = sums;
                return [columns([S::fold16(a), S::fold16(b), S::fold16(c), S::fold16(d)]); 2];
            }
            let both = [S::both(sums[0]), S::both(sums[1]), S::both(sums[2]), S::both(sums[3])];
            [
                columns([both[0][0], both[1][0], both[2][0], both[3][0]]),
                columns([both[0][1], both[1][1], both[2][1], both[3][1]]),
            ]
        }
    }
}

/// Lane `i` becomes the sum of the words of value `i`.
#[inline(always)]
pub(super) unsafe fn columns(v: [__m128i; ROWS]) -> __m128i {
    // SAFETY: SSE2 only.
    unsafe {
        let one = _mm_set1_epi16(1);
        let [a, b, c, d] = v;
        base::columns_added([
            _mm_madd_epi16(a, one),
            _mm_madd_epi16(b, one),
            _mm_madd_epi16(c, one),
            _mm_madd_epi16(d, one),
        ])
    }
}

/// Bytes of the activations of a step, with the scales of both blocks, and scale times sum of both, behind them.
const fn step_bytes<D: Direct>() -> usize {
    const { assert!(D::PLACES.len() == D::ACTS && (D::ACTS + 32) * 8 <= D::BLOCKS * D::WEIGHTS * 15) };
    D::ACTS + 32
}

#[repr(C, align(64))]
struct Room(MaybeUninit<[u8; ROOM]>);

/// `out[row]` becomes the product of that row with the activations.
///
/// # Safety
/// Rows `rows` of `w` must be readable, `x` for `w.k` floats, `out` writable for those rows.
#[inline(always)]
pub(crate) unsafe fn product<S: Column, D: Direct>(
    w: &Weights,
    rows: Range<usize>,
    x: *const f32,
    out: *mut f32,
) {
    let mut slab = Room(MaybeUninit::uninit());
    let slab = slab.0.as_mut_ptr().cast::<u8>();
    let span = D::BLOCKS * D::WEIGHTS;
    for from in (0..w.k).step_by(SLAB) {
        let k = SLAB.min(w.k - from);
        // SAFETY: the activations and blocks `from..from + k` are there, and the slab has room for them.
        unsafe {
            for at in (0..k).step_by(span) {
                prepare::<S, D>(x.add(from + at), span.min(k - at), slab.add(at / span * step_bytes::<D>()));
            }
            for first in rows.clone().step_by(ROWS) {
                // Rows beyond the end repeat the last one.
                let row = |i: usize| w.row((first + i).min(rows.end - 1)).add(from / D::WEIGHTS * D::BYTES);
                let mut sums = [0.0; ROWS];
                _mm_storeu_ps(
                    sums.as_mut_ptr(),
                    four::<S, D>([row(0), row(1), row(2), row(3)], w.stride, k, slab),
                );
                for (i, sum) in sums.into_iter().enumerate().take(rows.end - first) {
                    let out = out.add(first + i);
                    *out = if from == 0 { sum } else { *out + sum };
                }
            }
        }
    }
}

/// Rounds the activations of a step to 8 bits, one scale for a block, and puts them into the order of the weights.
#[inline(always)]
unsafe fn prepare<S: Simd, D: Direct>(x: *const f32, k: usize, acts: *mut u8) {
    let mut q = [0i8; SPAN];
    let (mut d, mut s) = ([0.0; 2], [0.0; 2]);
    for block in 0..k / D::WEIGHTS {
        // SAFETY: `k` floats are there, and `q` has room for a step.
        unsafe {
            let x = x.add(block * D::WEIGHTS);
            let q = &mut q[block * D::WEIGHTS..][..D::WEIGHTS];
            d[block] = round::<S>(x, q);
            s[block] = d[block] * q.iter().map(|&q| i32::from(q)).sum::<i32>() as f32;
        }
    }
    for (i, place) in D::PLACES.iter().enumerate() {
        // SAFETY: the caller's promise of room for a step.
        unsafe { *acts.add(i) = q[usize::from(*place) % SPAN] as u8 };
    }
    // SAFETY: the same; the scales are aligned.
    unsafe { *acts.add(D::ACTS).cast() = [d[0], d[1], s[0], s[1]] };
}

/// Rounds floats to bytes with one scale, which it returns.
#[inline(always)]
unsafe fn round<S: Simd>(x: *const f32, q: &mut [i8]) -> f32 {
    // SAFETY: the caller hands in as many floats as bytes, a multiple of 32.
    unsafe {
        let mut most = S::zero();
        for i in (0..q.len()).step_by(8) {
            most = S::larger(S::magnitude(S::floats(x.add(i))), most);
        }
        let largest = S::largest(most);
        let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        // A scale that would overflow stands for zero activations, as it does in ggml.
        let inverse = S::all(if inverse.is_finite() { inverse } else { 0.0 });
        let mut strange = S::splat8(0);
        for (part, q) in q.chunks_exact_mut(32).enumerate() {
            let one = |i: usize| S::round(S::times(S::floats(x.add(32 * part + 8 * i)), inverse));
            let rounded = S::narrow([one(0), one(1), one(2), one(3)]);
            S::store(q.as_mut_ptr().cast(), rounded);
            strange = S::or(strange, no_numbers::<S>(rounded));
        }
        if has_any::<S>(strange) { f32::NAN } else { largest / 127.0 }
    }
}

/// The products of four rows.
#[inline(always)]
unsafe fn four<S: Column, D: Direct>(
    rows: [*const u8; ROWS],
    stride: usize,
    k: usize,
    slab: *const u8,
) -> __m128 {
    // SAFETY: all rows have `k` weights, the slab as many activations. A last block without a partner is taken twice,
    // and the activations of the second are zero.
    unsafe {
        let blocks = k / D::WEIGHTS;
        let mut total = _mm_setzero_ps();
        for block in (0..blocks).step_by(D::BLOCKS) {
            let acts = slab.add(block / D::BLOCKS * step_bytes::<D>());
            let at = block * D::BYTES;
            let next = (block + D::BLOCKS - 1).min(blocks - 1) * D::BYTES;
            let mut ahead = at + AHEAD;
            if ahead >= blocks * D::BYTES {
                ahead = ahead + ROWS * stride - blocks * D::BYTES;
            }
            for row in rows {
                for line in 0..(D::BLOCKS * D::BYTES).div_ceil(64) {
                    _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add(ahead + 64 * line).cast());
                }
            }
            let [a, b, c, d] = rows;
            let here = [a.add(at), b.add(at), c.add(at), d.add(at)];
            let sums = D::four_sums::<S>(here, next - at, acts);
            let scales = acts.add(D::ACTS).cast::<f32>();
            total = add::<D>(total, sums[0], rows, at, *scales, *scales.add(2));
            if D::BLOCKS == 2 {
                total = add::<D>(total, sums[1], rows, next, *scales.add(1), *scales.add(3));
            }
        }
        total
    }
}

/// Adds the sums of a block of four rows, with their scales.
#[inline(always)]
unsafe fn add<D: Direct>(
    total: __m128,
    sums: __m128i,
    rows: [*const u8; ROWS],
    at: usize,
    d: f32,
    s: f32,
) -> __m128 {
    // SAFETY: the block at `at` is there in every row.
    unsafe {
        let sums = _mm_cvtepi32_ps(sums);
        let scale = |i: usize| rows[i].add(at + D::SCALE);
        let halves = halves_at([scale(0), scale(1), scale(2), scale(3)]);
        let sums = _mm_sub_ps(_mm_mul_ps(sums, _mm_set1_ps(d * D::TIMES)), _mm_set1_ps(s));
        _mm_add_ps(total, _mm_mul_ps(sums, halves))
    }
}

// No closures around words of an instruction set from here on: they would be functions without that set.

/// The products with value `i` of the activations.
#[inline(always)]
unsafe fn product_of<S: Simd>(q: S::I, acts: *const u8, i: usize) -> S::I {
    // SAFETY: the caller promises that value.
    unsafe { S::multiply_bytes(q, S::load_aligned(acts.add(32 * i))) }
}

/// The products of bits `i` and `i + 4`, times `2^i`; `w` holds the upper four bits below.
#[inline(always)]
unsafe fn bit<S: Simd>(v: S::I, w: S::I, acts: *const u8, i: usize) -> S::I {
    // SAFETY: the caller's promise of 256 aligned bytes.
    unsafe {
        let mask = S::splat8(1 << i);
        S::add16(product_of::<S>(S::and(v, mask), acts, i), product_of::<S>(S::and(w, mask), acts, i + 4))
    }
}

/// The products of weights of two bits with four values of activations: those times 1, and those times 4.
#[inline(always)]
unsafe fn two_bits<S: Simd>(v: S::I, acts: *const u8) -> [S::I; 2] {
    // SAFETY: the caller's promise of 128 aligned bytes.
    unsafe {
        let (low, high) = (S::splat8(3), S::splat8(12));
        let w = S::right16::<4>(v);
        [
            S::add16(product_of::<S>(S::and(v, low), acts, 0), product_of::<S>(S::and(w, low), acts, 2)),
            S::add16(product_of::<S>(S::and(v, high), acts, 1), product_of::<S>(S::and(w, high), acts, 3)),
        ]
    }
}

impl Direct for super::cells::TQ2_0 {
    const BYTES: usize = 66;
    const WEIGHTS: usize = 256;
    const SCALE: usize = 64;
    const BLOCKS: usize = 1;
    const ACTS: usize = 256;
    const TIMES: f32 = 1.0;

    const PLACES: &'static [u16] = &{
        let mut places = [0; 256];
        let mut i = 0;
        while i < places.len() {
            places[i] = (i) as u16;
            i += 1;
        }
        places
    };

    #[inline(always)]
    unsafe fn sums<S: Column>(first: *const u8, _second: *const u8, acts: *const u8) -> S::I {
        // SAFETY: the caller's promise. At most 12 * 127 * 2 * 4 in each 16 bits.
        unsafe {
            let a = two_bits::<S>(S::load(first), acts);
            let b = two_bits::<S>(S::load(first.add(32)), acts.add(128));
            S::add16(S::add16(a[0], b[0]), S::right_signed16::<2>(S::add16(a[1], b[1])))
        }
    }
}

impl Direct for super::cells::Q2_0 {
    const BYTES: usize = 18;
    const WEIGHTS: usize = 64;
    const SCALE: usize = 0;
    const BLOCKS: usize = 2;
    const ACTS: usize = 128;
    const TIMES: f32 = 1.0;

    const PLACES: &'static [u16] = &{
        let mut places = [0; 128];
        let mut i = 0;
        while i < places.len() {
            places[i] = (i % 32 / 16 * 64 + i % 16 * 4 + i / 32) as u16;
            i += 1;
        }
        places
    };

    #[inline(always)]
    unsafe fn sums<S: Column>(first: *const u8, second: *const u8, acts: *const u8) -> S::I {
        // SAFETY: the caller's promise.
        unsafe {
            let [one, four] = two_bits::<S>(S::load_two(first.add(2), second.add(2)), acts);
            S::add16(one, S::right_signed16::<2>(four))
        }
    }
}

impl Direct for super::cells::Q1_0 {
    const BYTES: usize = 18;
    const WEIGHTS: usize = 128;
    const SCALE: usize = 0;
    const BLOCKS: usize = 2;
    const ACTS: usize = 256;
    const TIMES: f32 = 2.0;

    const PLACES: &'static [u16] = &{
        let mut places = [0; 256];
        let mut i = 0;
        while i < places.len() {
            places[i] = (i % 32 / 16 * 128 + i % 16 * 8 + i / 32) as u16;
            i += 1;
        }
        places
    };

    #[inline(always)]
    unsafe fn sums<S: Column>(first: *const u8, second: *const u8, acts: *const u8) -> S::I {
        // SAFETY: the caller's promise. At most 8 * 127 * 2 * 2 in each 16 bits.
        unsafe {
            let v = S::load_two(first.add(2), second.add(2));
            let w = S::right16::<4>(v);
            // Halvings are exact: each sum is a multiple of its power of two.
            let sum = S::add16(S::right_signed16::<1>(bit::<S>(v, w, acts, 3)), bit::<S>(v, w, acts, 2));
            let sum = S::add16(S::right_signed16::<1>(sum), bit::<S>(v, w, acts, 1));
            S::add16(S::right_signed16::<1>(sum), bit::<S>(v, w, acts, 0))
        }
    }
}
