//! Blocks of 32 weights: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, IQ4_NL.

use crate::format::{Format, four_halves};
use crate::half::half_at;
use crate::simd::Simd;
use core::arch::x86_64::*;

/// `d` (half), 16 bytes: weight `i` in the low nibble of byte `i`, weight `16 + i` in its high one; `d * (q - 8)`.
pub(crate) struct Q4_0;

impl Format for Q4_0 {
    const BYTES: usize = 18;
    const WEIGHTS: usize = 32;
    const LARGEST: i32 = 15;

    #[inline(always)]
    unsafe fn quants<S: Simd>(block: *const u8, _part: usize) -> S::I {
        // SAFETY: a block has 2 + 16 bytes.
        unsafe { S::nibbles(block.add(2)) }
    }

    #[inline(always)]
    unsafe fn scales(block: *const u8, _part: usize) -> [(f32, f32); 2] {
        // SAFETY: a block begins with its scale.
        let d = unsafe { half_at(block) };
        [(d, -8.0 * d); 2]
    }

    #[inline(always)]
    unsafe fn four_scales(block: *const u8, _part: usize) -> [__m128; 2] {
        // SAFETY: every block begins with its scale.
        unsafe {
            let d = four_halves(block, Self::BYTES);
            [d, _mm_mul_ps(d, _mm_set1_ps(-8.0))]
        }
    }
}

/// `d` (half), 32 signed bytes; `d * q`.
pub(crate) struct Q8_0;

impl Format for Q8_0 {
    const BYTES: usize = 34;
    const WEIGHTS: usize = 32;
    const LARGEST: i32 = 127;
    const SIGNED: bool = true;

    #[inline(always)]
    unsafe fn quants<S: Simd>(block: *const u8, _part: usize) -> S::I {
        // SAFETY: a block has 2 + 32 bytes.
        unsafe { S::load(block.add(2)) }
    }

    #[inline(always)]
    unsafe fn scales(block: *const u8, _part: usize) -> [(f32, f32); 2] {
        // SAFETY: a block begins with its scale.
        [(unsafe { half_at(block) }, 0.0); 2]
    }

    #[inline(always)]
    unsafe fn four_scales(block: *const u8, _part: usize) -> [__m128; 2] {
        // SAFETY: every block begins with its scale.
        unsafe { [four_halves(block, Self::BYTES), _mm_setzero_ps()] }
    }
}

/// `d`, `m` (halves), 16 bytes of nibbles as in Q4_0; `d * q + m`.
pub(crate) struct Q4_1;

impl Format for Q4_1 {
    const BYTES: usize = 20;
    const WEIGHTS: usize = 32;
    const LARGEST: i32 = 15;

    #[inline(always)]
    unsafe fn quants<S: Simd>(block: *const u8, _part: usize) -> S::I {
        // SAFETY: a block has 4 + 16 bytes.
        unsafe { S::nibbles(block.add(4)) }
    }

    #[inline(always)]
    unsafe fn scales(block: *const u8, _part: usize) -> [(f32, f32); 2] {
        // SAFETY: a block begins with its scale and its minimum.
        [unsafe { (half_at(block), half_at(block.add(2))) }; 2]
    }

    #[inline(always)]
    unsafe fn four_scales(block: *const u8, _part: usize) -> [__m128; 2] {
        // SAFETY: every block begins with its scale and its minimum.
        unsafe { [four_halves(block, Self::BYTES), four_halves(block.add(2), Self::BYTES)] }
    }
}

/// `d` (half), 4 bytes with the fifth bits, 16 bytes of nibbles as in Q4_0; `d * (q - 16)`.
pub(crate) struct Q5_0;

impl Format for Q5_0 {
    const BYTES: usize = 22;
    const WEIGHTS: usize = 32;
    const LARGEST: i32 = 31;

    #[inline(always)]
    unsafe fn quants<S: Simd>(block: *const u8, _part: usize) -> S::I {
        // SAFETY: a block has 2 + 4 + 16 bytes.
        unsafe { with_fifth_bits::<S>(block.add(6), block.add(2)) }
    }

    #[inline(always)]
    unsafe fn scales(block: *const u8, _part: usize) -> [(f32, f32); 2] {
        // SAFETY: a block begins with its scale.
        let d = unsafe { half_at(block) };
        [(d, -16.0 * d); 2]
    }

    #[inline(always)]
    unsafe fn four_scales(block: *const u8, _part: usize) -> [__m128; 2] {
        // SAFETY: every block begins with its scale.
        unsafe {
            let d = four_halves(block, Self::BYTES);
            [d, _mm_mul_ps(d, _mm_set1_ps(-16.0))]
        }
    }
}

/// `d`, `m` (halves), then as Q5_0; `d * q + m`.
pub(crate) struct Q5_1;

impl Format for Q5_1 {
    const BYTES: usize = 24;
    const WEIGHTS: usize = 32;
    const LARGEST: i32 = 31;

    #[inline(always)]
    unsafe fn quants<S: Simd>(block: *const u8, _part: usize) -> S::I {
        // SAFETY: a block has 4 + 4 + 16 bytes.
        unsafe { with_fifth_bits::<S>(block.add(8), block.add(4)) }
    }

    #[inline(always)]
    unsafe fn scales(block: *const u8, _part: usize) -> [(f32, f32); 2] {
        // SAFETY: a block begins with its scale and its minimum.
        [unsafe { (half_at(block), half_at(block.add(2))) }; 2]
    }

    #[inline(always)]
    unsafe fn four_scales(block: *const u8, _part: usize) -> [__m128; 2] {
        // SAFETY: every block begins with its scale and its minimum.
        unsafe { [four_halves(block, Self::BYTES), four_halves(block.add(2), Self::BYTES)] }
    }
}

/// # Safety
/// 16 bytes at `nibbles` and 4 at `bits` must be readable.
#[inline(always)]
unsafe fn with_fifth_bits<S: Simd>(nibbles: *const u8, bits: *const u8) -> S::I {
    // SAFETY: the caller's promise.
    unsafe {
        let fifth = S::mask_of(bits.cast::<u32>().read_unaligned());
        S::or(S::nibbles(nibbles), S::and(fifth, S::splat8(16)))
    }
}

/// `d` (half), 16 bytes of nibbles as in Q4_0, which choose one of 16 steps; `d * step`.
pub(crate) struct IQ4_NL;

/// The steps of IQ4_NL: closer together round zero. They are part of the format.
pub(crate) const STEPS: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// The steps without a shuffle: half of them are left for each bit. Sixteen loads took twice the time of the product.
#[inline(always)]
unsafe fn chosen<S: Simd>(nibbles: S::I) -> S::I {
    // SAFETY: no memory is touched.
    unsafe {
        let mut left = [S::splat8(0); 8];
        let set = bit_of::<S>(nibbles, 1);
        for (i, left) in left.iter_mut().enumerate() {
            let (clear, other) = (STEPS[2 * i], STEPS[2 * i + 1]);
            *left = S::xor(S::splat8(clear), S::and(set, S::splat8(clear ^ other)));
        }
        for (n, bit) in [(4, 2), (2, 4), (1, 8)] {
            let set = bit_of::<S>(nibbles, bit);
            for i in 0..n {
                let (clear, other) = (left[2 * i], left[2 * i + 1]);
                left[i] = S::xor(clear, S::and(set, S::xor(clear, other)));
            }
        }
        left[0]
    }
}

/// Ones where the bit is set.
#[inline(always)]
unsafe fn bit_of<S: Simd>(v: S::I, bit: i8) -> S::I {
    // SAFETY: no memory is touched.
    unsafe { S::equal8(S::and(v, S::splat8(bit)), S::splat8(bit)) }
}

impl Format for IQ4_NL {
    const BYTES: usize = 18;
    const WEIGHTS: usize = 32;
    const LARGEST: i32 = 127;
    const SIGNED: bool = true;

    #[inline(always)]
    unsafe fn quants<S: Simd>(block: *const u8, _part: usize) -> S::I {
        // SAFETY: a block has 2 + 16 bytes, and there are 16 steps.
        unsafe {
            let nibbles = S::nibbles(block.add(2));
            match S::SHUFFLES {
                true => S::look_up(S::twice(STEPS.as_ptr().cast()), nibbles),
                false => chosen::<S>(nibbles),
            }
        }
    }

    #[inline(always)]
    unsafe fn scales(block: *const u8, _part: usize) -> [(f32, f32); 2] {
        // SAFETY: a block begins with its scale.
        [(unsafe { half_at(block) }, 0.0); 2]
    }

    #[inline(always)]
    unsafe fn four_scales(block: *const u8, _part: usize) -> [__m128; 2] {
        // SAFETY: every block begins with its scale.
        unsafe { [four_halves(block, Self::BYTES), _mm_setzero_ps()] }
    }
}
