//! One column of activations: decode, where every weight is read and used once.

use super::Float;
use crate::format::Weights;
use crate::simd::Simd;
use core::mem::MaybeUninit;
use core::ops::Range;

/// The longest row whose activations are prepared: 16 KiB of them, half of the first-level cache.
const REACH: usize = 4096;
/// Longer rows go together by so many: their activations come from the second-level cache, once for all of them, and
/// each row is read from its beginning to its end. Both what is read in pieces and what is read for one row only had
/// to wait for memory: 500 ps for a weight of F32 in rows of 12288, against 220.
const TOGETHER: usize = 4;

#[repr(C, align(64))]
struct Reach(MaybeUninit<[f32; REACH]>);

/// One column: `out[row]` becomes the product of that row with the activations.
///
/// # Safety
/// Rows `rows` of `w` must be readable, `x` for `w.k` activations, `out` writable for those rows.
#[inline(always)]
pub(crate) unsafe fn one<S: Simd, T: Float>(w: &Weights, rows: Range<usize>, x: *const f32, out: *mut f32) {
    let mut row = rows.start;
    // SAFETY: the caller's promise for every row; `reach` holds `w.k` activations and zeros up to the next 32.
    unsafe {
        if w.k <= REACH {
            let mut reach = Reach(MaybeUninit::uninit());
            let acts = reach.0.as_mut_ptr().cast::<f32>();
            prepare::<S, T>(x, w.k, acts);
            for row in rows {
                [*out.add(row)] = dots::<S, T, 1, true>(w, row, acts);
            }
            return;
        }
        while row + TOGETHER <= rows.end {
            out.add(row).cast::<[f32; TOGETHER]>().write(dots::<S, T, TOGETHER, false>(w, row, x));
            row += TOGETHER;
        }
        for row in row..rows.end {
            [*out.add(row)] = dots::<S, T, 1, false>(w, row, x);
        }
    }
}

/// # Safety
/// `k` activations must be readable, `out` writable for as many, rounded up to 32.
#[inline(always)]
unsafe fn prepare<S: Simd, T: Float>(x: *const f32, k: usize, out: *mut f32) {
    let whole = k & !7;
    // SAFETY: the caller's promise.
    unsafe {
        for at in (0..whole).step_by(8) {
            S::put_aligned(out.add(at), S::times(S::floats(x.add(at)), S::all(T::scale::<S>().0)));
        }
        for at in whole..k.next_multiple_of(32) {
            *out.add(at) = if at < k { *x.add(at) * T::scale::<S>().0 } else { 0.0 };
        }
    }
}

/// The products of `N` rows, from row `first` on. A row's product is the same whatever rows are beside it.
///
/// # Safety
/// The rows and `w.k` activations must be readable; prepared ones up to the next 32.
#[inline(always)]
unsafe fn dots<S: Simd, T: Float, const N: usize, const PREPARED: bool>(
    w: &Weights,
    first: usize,
    x: *const f32,
) -> [f32; N] {
    let whole = w.k & !31;
    // SAFETY: `at` is less than `whole`, and the rest is copied to where 32 can be read.
    unsafe {
        let mut row = [w.row(first); N];
        for (i, row) in row.iter_mut().enumerate() {
            *row = w.row(first + i);
        }
        let mut sums = [[S::zero(); 2]; N];
        for at in (0..whole).step_by(32) {
            T::add_products::<S, N, PREPARED>(&row, at * T::BYTES, x.add(at), &mut sums);
        }
        if whole < w.k {
            let (mut last, mut last_x) = ([[0u8; 128]; N], [0f32; 32]);
            let mut x = x.add(whole);
            if !PREPARED {
                x.copy_to_nonoverlapping(last_x.as_mut_ptr(), w.k - whole);
                x = last_x.as_ptr();
            }
            for (last, row) in last.iter_mut().zip(&mut row) {
                let from = row.add(whole * T::BYTES);
                from.copy_to_nonoverlapping(last.as_mut_ptr(), (w.k - whole) * T::BYTES);
                *row = last.as_ptr();
            }
            T::add_products::<S, N, PREPARED>(&row, 0, x, &mut sums);
        }
        let mut products = [0.0; N];
        for (product, sums) in products.iter_mut().zip(sums) {
            *product = S::sum(S::plus(sums[0], sums[1])) * T::scale::<S>().1;
        }
        products
    }
}
