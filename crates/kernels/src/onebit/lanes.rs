//! Words for 16 rows side by side, one byte of each: a register, or two such halves in one with AVX2.
//!
//! Beside `simd`, whose words would put 32 rows into a pair of registers: more than a Core 2 has for this.
//! Like there, every function is `unsafe` because the processor must have the instruction set.

#![allow(clippy::undocumented_unsafe_blocks)] // Each word is one instruction or two.

use super::tables::Block;
use super::{by_hand, tables};
use crate::avx2::Avx2;
use crate::simd::Simd;
use crate::ssse3::Ssse3;
use core::arch::x86_64::*;

#[allow(clippy::missing_safety_doc)] // The head of this file says what all of them owe.
pub(crate) unsafe trait Lanes: Simd {
    /// Groups of 16 bytes.
    const HALVES: usize;
    /// A byte for each of `16 * HALVES` rows.
    type V: Copy;
    /// A float for each of `4 * HALVES` rows.
    type Floats: Copy;

    /// As `tables::add`, of which each set may have its own.
    unsafe fn add(p: *const u8, stride: usize, n: usize, slab: *const Block, sums: &mut [Self::Floats; 4]);
    /// 16 bytes from `p`, and 16 from `far` bytes behind it where there is a second half.
    unsafe fn apart(p: *const u8, far: usize) -> Self::V;
    /// 16 aligned bytes, in every half.
    unsafe fn same(p: *const u8) -> Self::V;
    /// Eight half-precision numbers from every second row, `step` bytes apart, in each half.
    unsafe fn eight_halves(p: *const u8, step: usize, far: usize) -> Self::V;
    /// 16 words, whose upper bytes are zero, as bytes.
    unsafe fn put_bytes(p: *mut u8, v: Self::I);
    unsafe fn nothing() -> Self::V;
    unsafe fn bytes(v: i8) -> Self::V;
    unsafe fn words(v: i16) -> Self::V;
    unsafe fn masked(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn look(table: Self::V, index: Self::V) -> Self::V;
    unsafe fn sum8(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sum16(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn minus16(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn down<const N: i32>(a: Self::V) -> Self::V;
    unsafe fn up<const N: i32>(a: Self::V) -> Self::V;
    unsafe fn low8(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn high8(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn low64(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn high64(a: Self::V, b: Self::V) -> Self::V;
    /// `one + 32 * other` of the low or high four words of each half.
    unsafe fn low_sums(one: Self::V, other: Self::V) -> Self::Floats;
    unsafe fn high_sums(one: Self::V, other: Self::V) -> Self::Floats;
    unsafe fn low_halves(a: Self::V) -> Self::Floats;
    unsafe fn high_halves(a: Self::V) -> Self::Floats;
    unsafe fn all_floats(v: f32) -> Self::Floats;
    unsafe fn product(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    unsafe fn total(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// The floats of half `half`, those of `even` and `odd` in turns.
    unsafe fn put_in_turns(p: *mut f32, half: usize, even: Self::Floats, odd: Self::Floats);
}

macro_rules! lanes {
    ($name:ident, $v:ty, $f:ty, and: $and:ident, shuffle: $shuffle:ident, add8: $add8:ident, add16: $add16:ident,
     sub16: $sub16:ident, right: $right:ident, left: $left:ident, low8: $low8:ident, high8: $high8:ident,
     low16: $low16:ident, high16: $high16:ident, low64: $low64:ident, high64: $high64:ident, madd: $madd:ident,
     right32: $right32:ident, cvt: $cvt:ident, bits: $bits:ident, mul: $mul:ident, add: $add:ident, zero: $zero:ident,
     set8: $set8:ident, set16: $set16:ident, set32: $set32:ident, sets: $sets:ident, rest: {$($rest:tt)*}) => {
        // SAFETY: the words use the instructions that the type's name stands for, and no newer ones.
        unsafe impl Lanes for $name {
            type V = $v;
            type Floats = $f;
            $($rest)*

            #[inline(always)]
            unsafe fn nothing() -> Self::V {
                unsafe { $zero() }
            }
            #[inline(always)]
            unsafe fn bytes(v: i8) -> Self::V {
                unsafe { $set8(v) }
            }
            #[inline(always)]
            unsafe fn words(v: i16) -> Self::V {
                unsafe { $set16(v) }
            }
            lanes!(@two masked $and, look $shuffle, sum8 $add8, sum16 $add16, minus16 $sub16);
            lanes!(@two low8 $low8, high8 $high8, low64 $low64, high64 $high64);
            #[inline(always)]
            unsafe fn down<const N: i32>(a: Self::V) -> Self::V {
                unsafe { $right::<N>(a) }
            }
            #[inline(always)]
            unsafe fn up<const N: i32>(a: Self::V) -> Self::V {
                unsafe { $left::<N>(a) }
            }
            #[inline(always)]
            unsafe fn low_sums(one: Self::V, other: Self::V) -> Self::Floats {
                unsafe { $cvt($madd($low16(one, other), $set32(32 << 16 | 1))) }
            }
            #[inline(always)]
            unsafe fn high_sums(one: Self::V, other: Self::V) -> Self::Floats {
                unsafe { $cvt($madd($high16(one, other), $set32(32 << 16 | 1))) }
            }
            // As `halves` of `simd`: the shift keeps the sign, 2^112 corrects the exponent's bias.
            #[inline(always)]
            unsafe fn low_halves(a: Self::V) -> Self::Floats {
                unsafe {
                    let bits = $and($right32::<3>($low16($zero(), a)), $set32(0x8fff_e000u32 as i32));
                    $mul($bits(bits), $sets(f32::from_bits(0x7780_0000)))
                }
            }
            #[inline(always)]
            unsafe fn high_halves(a: Self::V) -> Self::Floats {
                unsafe {
                    let bits = $and($right32::<3>($high16($zero(), a)), $set32(0x8fff_e000u32 as i32));
                    $mul($bits(bits), $sets(f32::from_bits(0x7780_0000)))
                }
            }
            #[inline(always)]
            unsafe fn all_floats(v: f32) -> Self::Floats {
                unsafe { $sets(v) }
            }
            #[inline(always)]
            unsafe fn product(a: Self::Floats, b: Self::Floats) -> Self::Floats {
                unsafe { $mul(a, b) }
            }
            #[inline(always)]
            unsafe fn total(a: Self::Floats, b: Self::Floats) -> Self::Floats {
                unsafe { $add(a, b) }
            }
        }
    };
    (@two $($word:ident $of:path),+) => {$(
        #[inline(always)]
        unsafe fn $word(a: Self::V, b: Self::V) -> Self::V {
            unsafe { $of(a, b) }
        }
    )+};
}

/// Eight half-precision numbers, `step` bytes apart.
#[inline(always)]
unsafe fn eight_halves(p: *const u8, step: usize) -> __m128i {
    unsafe {
        let at = |i: usize| i32::from(p.add(i * step).cast::<u16>().read_unaligned());
        let v = _mm_insert_epi16::<1>(_mm_cvtsi32_si128(at(0)), at(1));
        let v = _mm_insert_epi16::<3>(_mm_insert_epi16::<2>(v, at(2)), at(3));
        let v = _mm_insert_epi16::<5>(_mm_insert_epi16::<4>(v, at(4)), at(5));
        _mm_insert_epi16::<7>(_mm_insert_epi16::<6>(v, at(6)), at(7))
    }
}

#[inline(always)]
unsafe fn in_turns(p: *mut f32, even: __m128, odd: __m128) {
    unsafe {
        _mm_storeu_ps(p, _mm_unpacklo_ps(even, odd));
        _mm_storeu_ps(p.add(4), _mm_unpackhi_ps(even, odd));
    }
}

macro_rules! narrow {
    ($name:ident) => {
        lanes!($name, __m128i, __m128, and: _mm_and_si128, shuffle: _mm_shuffle_epi8, add8: _mm_add_epi8,
            add16: _mm_add_epi16, sub16: _mm_sub_epi16, right: _mm_srli_epi16, left: _mm_slli_epi16,
            low8: _mm_unpacklo_epi8, high8: _mm_unpackhi_epi8, low16: _mm_unpacklo_epi16,
            high16: _mm_unpackhi_epi16, low64: _mm_unpacklo_epi64, high64: _mm_unpackhi_epi64,
            madd: _mm_madd_epi16, right32: _mm_srai_epi32, cvt: _mm_cvtepi32_ps, bits: _mm_castsi128_ps,
            mul: _mm_mul_ps, add: _mm_add_ps, zero: _mm_setzero_si128, set8: _mm_set1_epi8,
            set16: _mm_set1_epi16, set32: _mm_set1_epi32, sets: _mm_set1_ps, rest: {
            const HALVES: usize = 1;
            #[inline(always)]
            unsafe fn add(p: *const u8, stride: usize, n: usize, slab: *const Block, sums: &mut [__m128; 4]) {
                unsafe { by_hand::add(p, stride, n, slab, sums) }
            }
            #[inline(always)]
            unsafe fn apart(p: *const u8, _far: usize) -> Self::V {
                unsafe { _mm_loadu_si128(p.cast()) }
            }
            #[inline(always)]
            unsafe fn same(p: *const u8) -> Self::V {
                unsafe { _mm_load_si128(p.cast()) }
            }
            #[inline(always)]
            unsafe fn eight_halves(p: *const u8, step: usize, _far: usize) -> Self::V {
                unsafe { eight_halves(p, step) }
            }
            #[inline(always)]
            unsafe fn put_bytes(p: *mut u8, v: Self::I) {
                unsafe { _mm_store_si128(p.cast(), _mm_packus_epi16(v[0], v[1])) }
            }
            #[inline(always)]
            unsafe fn put_in_turns(p: *mut f32, _half: usize, even: Self::Floats, odd: Self::Floats) {
                unsafe { in_turns(p, even, odd) }
            }
        });
    };
}

narrow!(Ssse3);

lanes!(Avx2, __m256i, __m256, and: _mm256_and_si256, shuffle: _mm256_shuffle_epi8, add8: _mm256_add_epi8,
    add16: _mm256_add_epi16, sub16: _mm256_sub_epi16, right: _mm256_srli_epi16, left: _mm256_slli_epi16,
    low8: _mm256_unpacklo_epi8, high8: _mm256_unpackhi_epi8, low16: _mm256_unpacklo_epi16,
    high16: _mm256_unpackhi_epi16, low64: _mm256_unpacklo_epi64, high64: _mm256_unpackhi_epi64,
    madd: _mm256_madd_epi16, right32: _mm256_srai_epi32, cvt: _mm256_cvtepi32_ps,
    bits: _mm256_castsi256_ps, mul: _mm256_mul_ps, add: _mm256_add_ps, zero: _mm256_setzero_si256,
    set8: _mm256_set1_epi8, set16: _mm256_set1_epi16, set32: _mm256_set1_epi32, sets: _mm256_set1_ps, rest: {
    const HALVES: usize = 2;
    #[inline(always)]
    unsafe fn add(p: *const u8, stride: usize, n: usize, slab: *const Block, sums: &mut [__m256; 4]) {
        unsafe { tables::add::<Self>(p, stride, n, slab, sums) }
    }
    #[inline(always)]
    unsafe fn apart(p: *const u8, far: usize) -> Self::V {
        unsafe { _mm256_loadu2_m128i(p.add(far).cast(), p.cast()) }
    }
    #[inline(always)]
    unsafe fn same(p: *const u8) -> Self::V {
        unsafe { _mm256_broadcastsi128_si256(_mm_load_si128(p.cast())) }
    }
    #[inline(always)]
    unsafe fn eight_halves(p: *const u8, step: usize, far: usize) -> Self::V {
        unsafe { _mm256_set_m128i(eight_halves(p.add(far), step), eight_halves(p, step)) }
    }
    #[inline(always)]
    unsafe fn put_bytes(p: *mut u8, v: Self::I) {
        unsafe {
            let bytes = _mm_packus_epi16(_mm256_castsi256_si128(v), _mm256_extracti128_si256::<1>(v));
            _mm_store_si128(p.cast(), bytes);
        }
    }
    #[inline(always)]
    unsafe fn put_in_turns(p: *mut f32, half: usize, even: Self::Floats, odd: Self::Floats) {
        unsafe {
            match half {
                0 => in_turns(p, _mm256_castps256_ps128(even), _mm256_castps256_ps128(odd)),
                _ => in_turns(p, _mm256_extractf128_ps::<1>(even), _mm256_extractf128_ps::<1>(odd)),
            }
        }
    }
});
