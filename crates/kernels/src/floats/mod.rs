//! Products with weights that are floats, of 32 or 16 bits.
//!
//! The activations stay the floats they are. For one column the rows are read as they lie.
//! For many, 16 rows are widened once and laid side by side, so that a register holds one weight of several rows,
//! nothing is ever added across a register, and half-precision numbers cost nothing more than floats.
//! SSE has no multiplication that adds: a copy, a product and a sum for 4 weights are the least there is, 0.75
//! instructions for each.
//!
//! A half that is infinite or no number becomes some number: ggml's own tables would keep it.
//!
//! | file | what it says |
//! |---|---|
//! | `rows` | one column |
//! | `many` | many columns |

mod many;
mod rows;

use crate::simd::Simd;
pub(crate) use many::{lanes, many, quads, splats, step};
pub(crate) use rows::one;

/// A float as it lies in the file.
pub(crate) trait Float {
    const BYTES: usize;

    /// Eight of them, without stumbling over the smallest.
    ///
    /// # Safety
    /// Eight must be readable at `p`.
    unsafe fn eight<S: Simd>(p: *const u8) -> S::F;

    /// What activations are multiplied by for [`Float::add_products`], and its inverse.
    fn scale<S: Simd>() -> (f32, f32);

    /// Adds the products of 32 of them in each row to its sums.
    ///
    /// # Safety
    /// 32 must be readable `from` bytes behind each of `rows`, as many activations at `x`; prepared ones are aligned to
    /// 32 bytes and times the scale.
    unsafe fn add_products<S: Simd, const N: usize, const PREPARED: bool>(
        rows: &[*const u8; N],
        from: usize,
        x: *const f32,
        sums: &mut [[S::F; 2]; N],
    );
}

pub(crate) struct F32;
pub(crate) struct F16;

impl Float for F32 {
    const BYTES: usize = 4;

    #[inline(always)]
    unsafe fn eight<S: Simd>(p: *const u8) -> S::F {
        // SAFETY: the caller's promise.
        unsafe { S::floats(p.cast()) }
    }

    fn scale<S: Simd>() -> (f32, f32) {
        (1.0, 1.0)
    }

    #[inline(always)]
    unsafe fn add_products<S: Simd, const N: usize, const PREPARED: bool>(
        rows: &[*const u8; N],
        from: usize,
        x: *const f32,
        sums: &mut [[S::F; 2]; N],
    ) {
        for i in 0..4 {
            // SAFETY: `i` is less than 4, and the caller promises 32.
            unsafe {
                let x = if PREPARED { S::floats_aligned(x.add(8 * i)) } else { S::floats(x.add(8 * i)) };
                for (row, sums) in rows.iter().zip(&mut *sums) {
                    let weights = S::floats(row.add(from + 32 * i).cast());
                    let sum = &mut sums[chain::<S, PREPARED>(i)];
                    *sum = S::times_plus(weights, x, *sum);
                }
            }
        }
    }
}

impl Float for F16 {
    const BYTES: usize = 2;

    #[inline(always)]
    unsafe fn eight<S: Simd>(p: *const u8) -> S::F {
        // SAFETY: the caller's promise.
        unsafe { S::halves(p) }
    }

    /// Where halves are taken 2^112 too small, 2^96 makes up for it in the activations, and 2^16 in the sum: so large
    /// activations do not become infinite.
    #[inline(always)]
    fn scale<S: Simd>() -> (f32, f32) {
        if S::SHIFTED { (f32::from_bits(0x6f80_0000), f32::from_bits(0x4780_0000)) } else { (1.0, 1.0) }
    }

    #[inline(always)]
    unsafe fn add_products<S: Simd, const N: usize, const PREPARED: bool>(
        rows: &[*const u8; N],
        from: usize,
        x: *const f32,
        sums: &mut [[S::F; 2]; N],
    ) {
        // SAFETY: `i` is less than 4, and the caller promises 32.
        unsafe {
            if S::SHIFTED {
                let mut tiny = false;
                for row in rows {
                    tiny |= S::has_tiny_halves(row.add(from));
                }
                if tiny {
                    for (row, sums) in rows.iter().zip(sums) {
                        let mut products = [0.0; 8];
                        // 2^-16, and for prepared activations 2^-112.
                        let scale = f32::from_bits(if PREPARED { 0x0780_0000 } else { 0x3780_0000 });
                        tiny_products::<S>(row.add(from), x, scale, &mut products);
                        sums[0] = S::plus(sums[0], S::floats(products.as_ptr()));
                    }
                    return;
                }
            }
            let scale = S::all(Self::scale::<S>().0);
            for i in 0..4 {
                let x = match PREPARED {
                    true => S::floats_aligned(x.add(8 * i)),
                    false if S::SHIFTED => S::times(S::floats(x.add(8 * i)), scale),
                    false => S::floats(x.add(8 * i)),
                };
                for (row, sums) in rows.iter().zip(&mut *sums) {
                    let weights = S::shifted_halves(row.add(from + 16 * i));
                    let sum = &mut sums[chain::<S, PREPARED>(i)];
                    *sum = S::times_plus(weights, x, *sum);
                }
            }
        }
    }
}

/// Which of the two sums of a row the eight products `i` go to. Before AVX2 a sum is two registers, and one of four
/// rows each, which meet activations that are not prepared, is all there is room for.
const fn chain<S: Simd, const PREPARED: bool>(i: usize) -> usize {
    if S::DESTROYS && !PREPARED { 0 } else { i % 2 }
}

/// The products of 32 halves of which some are tiny: kept apart, so that the usual ones keep their registers.
///
/// # Safety
/// 32 halves must be readable at `p`, as many activations at `x`.
#[cold]
#[inline(never)]
unsafe fn tiny_products<S: Simd>(p: *const u8, x: *const f32, scale: f32, products: &mut [f32; 8]) {
    // SAFETY: handed on from the caller.
    unsafe {
        let mut sum = S::zero();
        for i in 0..4 {
            let x = S::times(S::floats(x.add(8 * i)), S::all(scale));
            sum = S::times_plus(S::halves(p.add(16 * i)), x, sum);
        }
        S::put(products.as_mut_ptr(), sum);
    }
}
