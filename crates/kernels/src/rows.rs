//! One column of activations: decode, where every weight is read once and memory is the limit.

use crate::acts::{ACT, Act};
use crate::format::{Format, Weights};
use crate::simd::Simd;
use core::ops::Range;

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
    // SAFETY: `at` is less than `k`, which the caller promises to be there in both.
    unsafe {
        let (mut sum, mut rest) = (S::zero(), 0.0);
        for at in (0..k).step_by(32) {
            let block = row.add(at / F::WEIGHTS * F::BYTES);
            let (act, part) = (&*acts.add(at / ACT), at / 32 % 4);
            let q = F::quants::<S>(block, at % F::WEIGHTS / 32);
            let [(d, m), (d_high, m_high)] = F::scales(block, at % F::WEIGHTS / 32);
            let y = S::load(act.q.as_ptr().add(32 * part).cast());
            let product = match F::SIGNED {
                true => S::multiply_signed(q, y),
                false => S::multiply_words(S::multiply_bytes(q, y), S::splat16(1)),
            };
            if F::STEP == 16 {
                let scale = act.d[part];
                sum = S::times_plus(S::to_floats(product), S::two(d * scale, d_high * scale), sum);
                let sums = [act.sums[2 * part], act.sums[2 * part + 1]].map(f32::from);
                rest += scale * (m * sums[0] + m_high * sums[1]);
                continue;
            }
            sum = S::times_plus(S::to_floats(product), S::all(d * act.d[part]), sum);
            if !F::SIGNED {
                rest += m * act.s[part];
            }
        }
        S::sum(sum) + rest
    }
}
