//! What a kernel has to know of a weight format.
//!
//! All formats but the floats are the same to a product: 32 weights are 32 small whole numbers `q`,
//! and a weight is `d * q + m`. A format says how to get at them; `rows` and `panels` do the rest.

use crate::pair::base::shifted4;
use crate::simd::Simd;
use core::arch::x86_64::*;

/// A format whose weights are whole numbers with scales.
pub(crate) trait Format {
    /// Bytes of one block of the file.
    const BYTES: usize;
    /// Weights of one block; a multiple of 32.
    const WEIGHTS: usize;
    /// Weights that share a scale within 32: 32 or 16.
    const STEP: usize = 32;
    /// The largest `q`. Unsigned formats only: it tells how many products 16 bits can add up.
    const LARGEST: i32;
    /// `q` is signed, and there is no `m`.
    const SIGNED: bool = false;
    /// With two scales a part: the `q` that stands for zero, instead of an `m`.
    const CENTRE: i32 = 0;

    /// The 32 `q` of part `part` of the block at `block`, in order.
    ///
    /// # Safety
    /// `block` must be readable for a whole block.
    unsafe fn quants<S: Simd>(block: *const u8, part: usize) -> S::I;

    /// `d` and `m` of both halves of part `part`; formats with one scale give it twice.
    ///
    /// # Safety
    /// `block` must be readable for a whole block.
    unsafe fn scales(block: *const u8, part: usize) -> [(f32, f32); 2];

    /// The scales of four parts, `part` and its followers, in the file's order: `d` and `m`;
    /// where a part has two scales, `d` of its first halves and of its second ones.
    ///
    /// # Safety
    /// `block` must be readable for all blocks that the four parts lie in.
    #[inline(always)]
    unsafe fn four_scales(block: *const u8, part: usize) -> [__m128; 2] {
        let per_block = Self::WEIGHTS / 32;
        let (mut first, mut second) = ([0.0; 4], [0.0; 4]);
        for i in 0..4 {
            let at = part + i;
            // SAFETY: the caller's promise.
            let [low, high] =
                unsafe { Self::scales(block.add(at / per_block * Self::BYTES), at % per_block) };
            first[i] = low.0;
            second[i] = if Self::STEP == 16 { high.0 } else { low.1 };
        }
        // SAFETY: both hold four floats.
        unsafe { [_mm_loadu_ps(first.as_ptr()), _mm_loadu_ps(second.as_ptr())] }
    }
}

/// The halves at the beginning of four neighbouring blocks.
///
/// # Safety
/// Four blocks of `bytes` must be readable at `block`, and begin with a half.
#[inline(always)]
pub(crate) unsafe fn four_halves(block: *const u8, bytes: usize) -> __m128 {
    // SAFETY: the caller's promise.
    unsafe { halves_at([block, block.add(bytes), block.add(2 * bytes), block.add(3 * bytes)]) }
}

/// The halves at four places.
///
/// # Safety
/// A half must be readable at each of them.
#[inline(always)]
pub(crate) unsafe fn halves_at(p: [*const u8; 4]) -> __m128 {
    // SAFETY: the caller's promise.
    unsafe {
        let at = |i: usize| i32::from(p[i].cast::<u16>().read_unaligned());
        let v = _mm_setzero_si128();
        let v = _mm_insert_epi16::<1>(v, at(0));
        let v = _mm_insert_epi16::<3>(v, at(1));
        let v = _mm_insert_epi16::<5>(v, at(2));
        // 2^112 corrects the bias of the exponent.
        _mm_mul_ps(shifted4(_mm_insert_epi16::<7>(v, at(3))), _mm_set1_ps(f32::from_bits(0x7780_0000)))
    }
}

/// A matrix of weights as it lies in the file.
#[derive(Clone, Copy)]
pub struct Weights {
    pub data: *const u8,
    /// From one row to the next, in bytes.
    pub stride: usize,
    /// Weights of one row.
    pub k: usize,
}

impl Weights {
    /// # Safety
    /// Row `row` must exist.
    #[inline(always)]
    pub(crate) unsafe fn row(&self, row: usize) -> *const u8 {
        // SAFETY: the caller's promise.
        unsafe { self.data.add(row * self.stride) }
    }
}
