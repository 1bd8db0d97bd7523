//! Blocks of 32 weights: Q4_0, Q8_0.

use crate::format::Format;
use crate::half::half_at;
use crate::simd::Simd;

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
}
