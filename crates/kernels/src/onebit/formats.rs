//! What the bytes mean, for the general kernels.

use crate::format::Format;
use crate::half::half_at;
use crate::simd::Simd;

/// `d` (half), 16 bytes: weight `8i + b` is bit `b` of byte `i`; `d * (2q - 1)`.
pub(crate) struct Q1_0;

impl Format for Q1_0 {
    const BYTES: usize = 18;
    const WEIGHTS: usize = 128;
    const LARGEST: i32 = 1;

    #[inline(always)]
    unsafe fn quants<S: Simd>(block: *const u8, part: usize) -> S::I {
        // SAFETY: a block has 2 + 16 bytes, and a part is 4 of them.
        unsafe { spread::<S>(|i| *block.add(2 + 4 * part + i / 8) >> (i % 8) & 1) }
    }

    #[inline(always)]
    unsafe fn scales(block: *const u8, _part: usize) -> [(f32, f32); 2] {
        // SAFETY: a block begins with its scale.
        let d = unsafe { half_at(block) };
        [(2.0 * d, -d); 2]
    }
}

/// `d` (half), 16 bytes: weight `4i + s` is bits `2s` and `2s + 1` of byte `i`; `d * (q - 1)`.
pub(crate) struct Q2_0;

impl Format for Q2_0 {
    const BYTES: usize = 18;
    const WEIGHTS: usize = 64;
    const LARGEST: i32 = 3;

    #[inline(always)]
    unsafe fn quants<S: Simd>(block: *const u8, part: usize) -> S::I {
        // SAFETY: a block has 2 + 16 bytes, and a part is 8 of them.
        unsafe { spread::<S>(|i| *block.add(2 + 8 * part + i / 4) >> (i % 4 * 2) & 3) }
    }

    #[inline(always)]
    unsafe fn scales(block: *const u8, _part: usize) -> [(f32, f32); 2] {
        // SAFETY: a block begins with its scale.
        let d = unsafe { half_at(block) };
        [(d, -d); 2]
    }
}

/// 64 bytes, `d` (half): weight `128j + 32s + i` is bits `2s` and `2s + 1` of byte `32j + i`; `d * (q - 1)`.
pub(crate) struct TQ2_0;

impl Format for TQ2_0 {
    const BYTES: usize = 66;
    const WEIGHTS: usize = 256;
    const LARGEST: i32 = 3;

    #[inline(always)]
    unsafe fn quants<S: Simd>(block: *const u8, part: usize) -> S::I {
        // SAFETY: a block has 64 + 2 bytes, and four parts share 32 of them.
        unsafe { spread::<S>(|i| *block.add(part / 4 * 32 + i) >> (part % 4 * 2) & 3) }
    }

    #[inline(always)]
    unsafe fn scales(block: *const u8, _part: usize) -> [(f32, f32); 2] {
        // SAFETY: a block ends with its scale.
        let d = unsafe { half_at(block.add(64)) };
        [(d, -d); 2]
    }
}

/// 32 bytes of five digits each, 16 of five, 4 of four, `d` (half); digits to base 3, the first one on top, as a
/// fraction of 256. Digit `l` of the 32 bytes: weights `32l..`; of the 16: `160 + 16l..`; of the 4: `240 + 4l..`.
/// `d * (q - 1)`.
pub(crate) struct TQ1_0;

impl Format for TQ1_0 {
    const BYTES: usize = 54;
    const WEIGHTS: usize = 256;
    const LARGEST: i32 = 2;

    #[inline(always)]
    unsafe fn quants<S: Simd>(block: *const u8, part: usize) -> S::I {
        // SAFETY: a block has 32 + 16 + 4 + 2 bytes.
        unsafe {
            spread::<S>(|i| {
                let (byte, digit) = crate::scalar::place_of_digit(32 * part + i);
                crate::scalar::digit(*block.add(byte), digit)
            })
        }
    }

    #[inline(always)]
    unsafe fn scales(block: *const u8, _part: usize) -> [(f32, f32); 2] {
        // SAFETY: a block ends with its scale.
        let d = unsafe { half_at(block.add(52)) };
        [(d, -d); 2]
    }
}

/// 32 values, one by one.
#[inline(always)]
unsafe fn spread<S: Simd>(value: impl Fn(usize) -> u8) -> S::I {
    let values: [u8; 32] = core::array::from_fn(value);
    // SAFETY: 32 bytes are there.
    unsafe { S::load(values.as_ptr()) }
}
