//! Blocks of 256 weights with scales of scales: Q4_K, Q5_K, Q6_K.

use crate::format::Format;
use crate::half::half_at;
use crate::simd::Simd;
use core::arch::x86_64::*;

/// The 6-bit scales and minima of 8 parts, packed into 12 bytes.
///
/// Parts 0..4 lie in the low 6 bits of bytes 0..4 (scales) and 4..8 (minima); parts 4..8 have their low 4 bits in
/// bytes 8..12 and their high 2 on top of the others.
#[inline(always)]
pub(crate) fn scale_and_minimum(packed: &[u8; 12], part: usize) -> (u8, u8) {
    match part {
        0..4 => (packed[part] & 63, packed[part + 4] & 63),
        _ => {
            let low = packed[part + 4];
            (low & 15 | packed[part - 4] >> 6 << 4, low >> 4 | packed[part] >> 6 << 4)
        }
    }
}

/// `d` and `m` of a part, of a block that begins with two halves and the packed scales.
///
/// # Safety
/// `block` must be readable for 16 bytes.
#[inline(always)]
unsafe fn scales(block: *const u8, part: usize) -> [(f32, f32); 2] {
    // SAFETY: the caller's promise.
    unsafe {
        let (scale, minimum) = scale_and_minimum(&*block.add(4).cast(), part);
        [(half_at(block) * f32::from(scale), -half_at(block.add(2)) * f32::from(minimum)); 2]
    }
}

/// `d` and `m` of parts 0..4 or 4..8.
///
/// # Safety
/// `block` must be readable for 16 bytes.
#[inline(always)]
unsafe fn four_scales(block: *const u8, part: usize) -> [__m128; 2] {
    // SAFETY: the caller's promise.
    unsafe {
        let word = |i: usize| block.add(4 + 4 * i).cast::<u32>().read_unaligned();
        let (scales, minima) = match part {
            0 => (word(0) & 0x3f3f_3f3f, word(1) & 0x3f3f_3f3f),
            _ => (
                word(2) & 0x0f0f_0f0f | (word(0) & 0xc0c0_c0c0) >> 2,
                (word(2) & 0xf0f0_f0f0) >> 4 | (word(1) & 0xc0c0_c0c0) >> 2,
            ),
        };
        let zero = _mm_setzero_si128();
        let floats = |four: u32| {
            let words = _mm_unpacklo_epi8(_mm_cvtsi32_si128(four as i32), zero);
            _mm_cvtepi32_ps(_mm_unpacklo_epi16(words, zero))
        };
        let (d, m) = (_mm_set1_ps(half_at(block)), _mm_set1_ps(half_at(block.add(2))));
        [_mm_mul_ps(d, floats(scales)), _mm_sub_ps(_mm_setzero_ps(), _mm_mul_ps(m, floats(minima)))]
    }
}

/// Nibbles: parts `2j` and `2j + 1` are the low and the high ones of 32 bytes.
///
/// # Safety
/// 128 bytes at `p` must be readable.
#[inline(always)]
unsafe fn nibbles<S: Simd>(p: *const u8, part: usize) -> S::I {
    // SAFETY: the caller's promise.
    unsafe {
        let v = S::load(p.add(part / 2 * 32));
        S::and(if part.is_multiple_of(2) { v } else { S::right16::<4>(v) }, S::splat8(15))
    }
}

/// Two halves, 12 bytes of scales, 128 of nibbles.
pub(crate) struct Q4_K;

impl Format for Q4_K {
    const BYTES: usize = 144;
    const WEIGHTS: usize = 256;
    const LARGEST: i32 = 15;

    #[inline(always)]
    unsafe fn quants<S: Simd>(block: *const u8, part: usize) -> S::I {
        // SAFETY: a block has 16 + 128 bytes.
        unsafe { nibbles::<S>(block.add(16), part) }
    }

    #[inline(always)]
    unsafe fn scales(block: *const u8, part: usize) -> [(f32, f32); 2] {
        // SAFETY: a block is longer than its scales.
        unsafe { scales(block, part) }
    }

    #[inline(always)]
    unsafe fn four_scales(block: *const u8, part: usize) -> [__m128; 2] {
        // SAFETY: a block is longer than its scales.
        unsafe { four_scales(block, part) }
    }
}

/// Two halves, 12 bytes of scales, 32 with the fifth bits (bit `part` of byte `i`), 128 of nibbles.
pub(crate) struct Q5_K;

impl Format for Q5_K {
    const BYTES: usize = 176;
    const WEIGHTS: usize = 256;
    const LARGEST: i32 = 31;

    #[inline(always)]
    unsafe fn quants<S: Simd>(block: *const u8, part: usize) -> S::I {
        // SAFETY: a block has 16 + 32 + 128 bytes.
        unsafe {
            let bit = S::splat8((1u8 << part) as i8);
            let fifth = S::equal8(S::and(S::load(block.add(16)), bit), bit);
            S::or(nibbles::<S>(block.add(48), part), S::and(fifth, S::splat8(16)))
        }
    }

    #[inline(always)]
    unsafe fn scales(block: *const u8, part: usize) -> [(f32, f32); 2] {
        // SAFETY: a block is longer than its scales.
        unsafe { scales(block, part) }
    }

    #[inline(always)]
    unsafe fn four_scales(block: *const u8, part: usize) -> [__m128; 2] {
        // SAFETY: a block is longer than its scales.
        unsafe { four_scales(block, part) }
    }
}

/// 128 bytes of nibbles, 64 of pairs of bits above them, 16 signed scales, a half; `d * scale * (q - 32)`.
///
/// Each half of the block has 4 parts: nibbles of 2 x 32 bytes, low ones first; bits of 32 bytes, low ones first.
pub(crate) struct Q6_K;

impl Format for Q6_K {
    const BYTES: usize = 210;
    const WEIGHTS: usize = 256;
    const STEP: usize = 16;
    const CENTRE: i32 = 32;
    const LARGEST: i32 = 63;

    #[inline(always)]
    unsafe fn quants<S: Simd>(block: *const u8, part: usize) -> S::I {
        let (half, quarter) = (part / 4, part % 4);
        // SAFETY: a block has 128 + 64 + 16 + 2 bytes.
        unsafe {
            let low = S::load(block.add(64 * half + 32 * (quarter % 2)));
            let low = S::and(if quarter < 2 { low } else { S::right16::<4>(low) }, S::splat8(15));
            let high = S::load(block.add(128 + 32 * half));
            let high = match quarter {
                0 => S::left16::<4>(high),
                1 => S::left16::<2>(high),
                2 => high,
                _ => S::right16::<2>(high),
            };
            S::or(low, S::and(high, S::splat8(0x30)))
        }
    }

    #[inline(always)]
    unsafe fn scales(block: *const u8, part: usize) -> [(f32, f32); 2] {
        // SAFETY: a block has 16 scales, two for a part, and then its half.
        unsafe {
            let d = half_at(block.add(208));
            [0, 1].map(|half| {
                let d = d * f32::from(*block.add(192 + 2 * part + half).cast::<i8>());
                (d, -32.0 * d)
            })
        }
    }

    #[inline(always)]
    unsafe fn four_scales(block: *const u8, part: usize) -> [__m128; 2] {
        // SAFETY: a block has 16 scales, two for a part, and then its half.
        unsafe {
            let d = _mm_set1_ps(half_at(block.add(208)));
            // Eight signed bytes in the upper halves of 16-bit lanes; pairs of those are the two scales of a part.
            let zero = _mm_setzero_si128();
            let pairs = _mm_unpacklo_epi8(zero, _mm_loadl_epi64(block.add(192 + 2 * part).cast()));
            let low = _mm_srai_epi32(_mm_slli_epi32(pairs, 16), 24);
            let high = _mm_srai_epi32(pairs, 24);
            [_mm_mul_ps(d, _mm_cvtepi32_ps(low)), _mm_mul_ps(d, _mm_cvtepi32_ps(high))]
        }
    }
}
