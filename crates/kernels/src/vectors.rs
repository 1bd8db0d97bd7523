//! ggml's loops over vectors of floats.

pub(crate) use crate::attention::{Attention, attend, exponentials};
use crate::half::{float_to_half, half_to_float};
pub(crate) use crate::rotation::rotate;
use crate::simd::Simd;

/// The loops of one instruction set.
pub struct Vectors {
    /// `k` halves to floats, exactly.
    pub widen: unsafe fn(halves: *const u16, k: usize, out: *mut f32),
    /// `k` floats to halves, with ggml's rounding.
    pub narrow: unsafe fn(x: *const f32, k: usize, out: *mut u16),
    pub dot_halves: unsafe fn(x: *const u16, y: *const u16, k: usize) -> f32,
    pub dot_floats: unsafe fn(x: *const f32, y: *const f32, k: usize) -> f32,
    /// `out[i]` becomes the exponential of `x[i] - most`, where `most` is the largest `x`; gives their sum.
    pub exponentials: unsafe fn(x: *const f32, n: usize, most: f32, out: *mut f32) -> f64,
    /// What a share of flash attention says.
    pub attend: unsafe fn(attention: &Attention),
    /// A Walsh-Hadamard transform of `n` floats, a power of two from 8 on.
    pub rotate: unsafe fn(x: *const f32, n: usize, out: *mut f32),
}

/// # Safety
/// `k` halves must be readable, and as many floats writable.
#[inline(always)]
pub(crate) unsafe fn widen<S: Simd>(halves: *const u16, k: usize, out: *mut f32) {
    let whole = k & !31;
    // SAFETY: the caller's promise; all indices are less than `k`.
    unsafe {
        let scale = S::all(if S::SHIFTED { f32::from_bits(0x7780_0000) } else { 1.0 });
        for at in (0..whole).step_by(32) {
            let (halves, out) = (halves.add(at), out.add(at));
            if S::has_odd_halves(halves.cast()) {
                widen_slowly::<S>(halves, 32, out);
                continue;
            }
            for i in (0..32).step_by(8) {
                S::put(out.add(i), S::times(S::shifted_halves(halves.add(i).cast()), scale));
            }
        }
        widen_slowly::<S>(halves.add(whole), k - whole, out.add(whole));
    }
}

/// Every half: tiny ones, infinite ones, and what is no number.
///
/// # Safety
/// As for `widen`.
#[inline(always)]
unsafe fn widen_slowly<S: Simd>(halves: *const u16, k: usize, out: *mut f32) {
    // SAFETY: the caller's promise; all indices are less than `k`.
    unsafe {
        let mut at = 0;
        while at < k {
            // What is no number is rare, and only the plain code keeps its bits.
            if at + 8 <= k && !S::has_none_halves(halves.add(at).cast()) {
                S::put(out.add(at), S::halves(halves.add(at).cast()));
                at += 8;
            } else {
                *out.add(at) = half_to_float(*halves.add(at));
                at += 1;
            }
        }
    }
}

/// # Safety
/// `k` floats must be readable, and as many halves writable.
#[inline(always)]
pub(crate) unsafe fn narrow<S: Simd>(x: *const f32, k: usize, out: *mut u16) {
    let whole = k & !7;
    // SAFETY: the caller's promise; all indices are less than `k`.
    unsafe {
        for at in (0..whole).step_by(8) {
            S::put_halves(out.add(at).cast(), S::floats(x.add(at)));
        }
        for at in whole..k {
            *out.add(at) = float_to_half(*x.add(at));
        }
    }
}

/// # Safety
/// `k` halves must be readable in both.
#[inline(always)]
pub(crate) unsafe fn dot_halves<S: Simd>(x: *const u16, y: *const u16, k: usize) -> f32 {
    let whole = k & !31;
    // SAFETY: the caller's promise; what is left over is copied to where 32 can be read.
    unsafe {
        let mut sums = [S::zero(); 2];
        for at in (0..whole).step_by(32) {
            add_32::<S>(x.add(at).cast(), y.add(at).cast(), &mut sums);
        }
        if whole < k {
            let (mut a, mut b) = ([0u16; 32], [0u16; 32]);
            x.add(whole).copy_to_nonoverlapping(a.as_mut_ptr(), k - whole);
            y.add(whole).copy_to_nonoverlapping(b.as_mut_ptr(), k - whole);
            add_32::<S>(a.as_ptr().cast(), b.as_ptr().cast(), &mut sums);
        }
        S::sum(S::plus(sums[0], sums[1])) * if S::SHIFTED { AFTER } else { 1.0 }
    }
}

/// Halves shifted to floats are 2^-112 too small. One factor is multiplied by 2^127, and 2^97 are left to the sum:
/// so the smallest product of two halves, 2^-28, becomes 2^-125 on its way, which is no denormal.
const BEFORE: f32 = f32::from_bits(0x7f00_0000);
const AFTER: f32 = f32::from_bits(0x7000_0000);

/// # Safety
/// 32 halves must be readable at both.
#[inline(always)]
unsafe fn add_32<S: Simd>(x: *const u8, y: *const u8, sums: &mut [S::F; 2]) {
    // SAFETY: the caller's promise.
    unsafe {
        if S::SHIFTED && S::has_tiny_halves(x) | S::has_tiny_halves(y) {
            let mut products = [0.0; 8];
            tiny_products::<S>(x, y, &mut products);
            sums[0] = S::plus(sums[0], S::floats(products.as_ptr()));
            return;
        }
        let before = S::all(if S::SHIFTED { BEFORE } else { 1.0 });
        for i in 0..4 {
            let x = S::shifted_halves(x.add(16 * i));
            let y = S::times(S::shifted_halves(y.add(16 * i)), before);
            sums[i % 2] = S::times_plus(x, y, sums[i % 2]);
        }
    }
}

/// The products of 32 halves of which some are tiny: kept apart, so that the usual ones keep their registers.
///
/// # Safety
/// As for `add_32`.
#[cold]
#[inline(never)]
unsafe fn tiny_products<S: Simd>(x: *const u8, y: *const u8, products: &mut [f32; 8]) {
    // SAFETY: handed on from the caller.
    unsafe {
        let mut sum = S::zero();
        for i in 0..4 {
            let y = S::times(S::halves(y.add(16 * i)), S::all(1.0 / AFTER));
            sum = S::times_plus(S::halves(x.add(16 * i)), y, sum);
        }
        S::put(products.as_mut_ptr(), sum);
    }
}

/// # Safety
/// `k` floats must be readable in both.
#[inline(always)]
pub(crate) unsafe fn dot_floats<S: Simd>(x: *const f32, y: *const f32, k: usize) -> f32 {
    // SAFETY: the caller's promise.
    unsafe {
        match S::are_aligned(x, y) {
            true => dot_of::<S, true>(x, y, k),
            false => dot_of::<S, false>(x, y, k),
        }
    }
}

/// # Safety
/// As for `dot_floats`; both are aligned where `ALIGNED` says so.
#[inline(always)]
unsafe fn dot_of<S: Simd, const ALIGNED: bool>(x: *const f32, y: *const f32, k: usize) -> f32 {
    let whole = k & !31;
    // SAFETY: the caller's promise; all indices are less than `k`.
    unsafe {
        let mut sums = [S::zero(); 2];
        for at in (0..whole).step_by(32) {
            for i in 0..4 {
                let (x, y) = (x.add(at + 8 * i), y.add(at + 8 * i));
                let (x, y) = match ALIGNED {
                    true => (S::floats_aligned(x), S::floats_aligned(y)),
                    false => (S::floats(x), S::floats(y)),
                };
                sums[i % 2] = S::times_plus(x, y, sums[i % 2]);
            }
        }
        let mut rest = 0.0;
        for at in whole..k {
            rest += *x.add(at) * *y.add(at);
        }
        S::sum(S::plus(sums[0], sums[1])) + rest
    }
}

/// Makes the loops of one instruction set: `const VECTORS`.
macro_rules! vector_set {
    ($set:ty, $features:literal) => {
        $crate::vectors::vector_set! {
            $set, $features:
            widen(halves: *const u16, k: usize, out: *mut f32) -> ();
            narrow(x: *const f32, k: usize, out: *mut u16) -> ();
            dot_halves(x: *const u16, y: *const u16, k: usize) -> f32;
            dot_floats(x: *const f32, y: *const f32, k: usize) -> f32;
            exponentials(x: *const f32, n: usize, most: f32, out: *mut f32) -> f64;
            attend(attention: &$crate::attention::Attention) -> ();
            rotate(x: *const f32, n: usize, out: *mut f32) -> ();
        }
    };
    ($set:ty, $features:literal: $($name:ident($($arg:ident: $of:ty),+) -> $result:ty;)+) => {
        const VECTORS: $crate::vectors::Vectors = {
            $(
                #[target_feature(enable = $features)]
                unsafe fn $name($($arg: $of),+) -> $result {
                    // SAFETY: the promise of the field of `Vectors`.
                    unsafe { $crate::vectors::$name::<$set>($($arg),+) }
                }
            )+
            $crate::vectors::Vectors { $($name),+ }
        };
    };
}
pub(crate) use vector_set;
