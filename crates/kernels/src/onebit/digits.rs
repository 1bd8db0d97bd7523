//! One column times TQ1_0, whose bytes hold five digits to base 3.
//!
//! Digits must be taken one from the other, two at a time: a byte times 9 has two digits above and the rest below, in
//! words of 16 bits, and a look-up makes a digit of two. For 16 bytes, which are 80 weights, that are 29 instructions,
//! and 10 more multiply and add: 0.49 for a weight at best. With scales, copies and spills it takes 0.64 (callgrind,
//! 1024 x 2048), where ggml's plain C takes 5.16 although the compiler makes vectors of it. An eighth, and no twelfth:
//! that would be 0.43. TQ2_0 has the same weights with the same scales, and takes 0.39.
//!
//! Weighed and not built, in instructions for 80 weights: digits by comparison (a digit is how many of 86 and 171 a
//! byte reaches, and three more go to the next), 52; by means, as `cells` does for the prompt, 51; by differences of
//! products, which need words of 16 bits, 43; sums looked up for 16 rows, as `tables` does, 33 and 7 for the turning
//! of bytes.

use super::Column;
use super::direct::{Direct, ROWS, columns};
use crate::simd::Simd;
use core::arch::x86_64::*;

// A block has three parts: 32 bytes of five digits, 16 of five, 4 of four. The activations of the second part are there
// twice, for two rows side by side, those of the third eight times, for the four rows.

impl Direct for super::cells::TQ1_0 {
    const BYTES: usize = 54;
    const WEIGHTS: usize = 256;
    const SCALE: usize = 52;
    const BLOCKS: usize = 1;
    const ACTS: usize = 448;
    const TIMES: f32 = 1.0;

    const PLACES: &'static [u16] = &{
        let mut places = [0; 448];
        let mut i = 0;
        while i < places.len() {
            let (digit, byte) = (i % 160 / 32, i % 32);
            places[i] = match i / 160 {
                0 => 32 * digit + byte,
                1 => 160 + 16 * digit + byte % 16,
                _ => 240 + 4 * digit + byte % 4,
            } as u16;
            i += 1;
        }
        places
    };

    /// With activations in another order: those of a load of 32 bytes, then those of one that ends with the block.
    #[inline(always)]
    unsafe fn sums<S: Column>(first: *const u8, _second: *const u8, acts: *const u8) -> S::I {
        // SAFETY: the caller's promise. At most 20 * 127 * 2 in each 16 bits.
        unsafe {
            let sums = five_digits::<S>(S::load(first), acts);
            S::add16(sums, five_digits::<S>(S::load(first.add(LAST)), acts.add(160)))
        }
    }

    #[inline(always)]
    unsafe fn four_sums<S: Column>(rows: [*const u8; ROWS], _second: usize, acts: *const u8) -> [__m128i; 2] {
        let [a, b, c, d] = rows;
        // SAFETY: the caller's promise. At most 20 * 127 * 2 in each 16 bits.
        unsafe {
            let sums = [first::<S>(a, acts), first::<S>(b, acts), first::<S>(c, acts), first::<S>(d, acts)];
            let [ab, cd] = [second::<S>(a, b, acts), second::<S>(c, d, acts)];
            let sums = columns([
                _mm_add_epi16(sums[0], ab[0]),
                _mm_add_epi16(sums[1], ab[1]),
                _mm_add_epi16(sums[2], cd[0]),
                _mm_add_epi16(sums[3], cd[1]),
            ]);
            let bytes = |row: *const u8| row.add(48).cast::<i32>().read_unaligned();
            let last = S::doubled(_mm_setr_epi32(bytes(a), bytes(b), bytes(c), bytes(d)));
            let [last, _] = S::both(four_digits::<S>(last, acts.add(320)).0);
            [_mm_add_epi32(sums, _mm_madd_epi16(last, _mm_set1_epi16(1))); 2]
        }
    }
}

/// The products of the first part of a row.
#[inline(always)]
unsafe fn first<S: Column>(row: *const u8, acts: *const u8) -> __m128i {
    // SAFETY: the caller's promise.
    unsafe { S::fold16(five_digits::<S>(S::load(row), acts)) }
}

/// The products of the second parts of two rows.
#[inline(always)]
unsafe fn second<S: Column>(a: *const u8, b: *const u8, acts: *const u8) -> [__m128i; 2] {
    // SAFETY: the caller's promise.
    unsafe {
        let bytes = S::load_two(a.add(32), b.add(32));
        S::both(five_digits::<S>(bytes, acts.add(160)))
    }
}

/// Where the second load of a single row begins: it ends with the block.
const LAST: usize = 22;

/// The products of five digits to base 3 with five values of activations.
#[inline(always)]
unsafe fn five_digits<S: Column>(v: S::I, acts: *const u8) -> S::I {
    // SAFETY: the caller's promise of 160 aligned bytes.
    unsafe {
        let (sum, [even, odd]) = four_digits::<S>(v, acts);
        let last = upper_bytes::<S>(S::low_bytes_times::<3>(even), S::low_bytes_times::<3>(odd));
        S::add16(sum, product_of::<S>(last, acts.add(128)))
    }
}

/// The products of the first four of them, and the rests in the low bytes of words: of even and of odd bytes.
#[inline(always)]
unsafe fn four_digits<S: Column>(v: S::I, acts: *const u8) -> (S::I, [S::I; 2]) {
    // SAFETY: the caller's promise of 128 aligned bytes.
    unsafe {
        let (even, odd) = (S::low_bytes_times::<9>(v), S::high_bytes_times::<9>(v));
        let [a, b] = S::split_digits(upper_bytes::<S>(even, odd));
        let sum = S::add16(product_of::<S>(a, acts), product_of::<S>(b, acts.add(32)));
        let (even, odd) = (S::low_bytes_times::<9>(even), S::low_bytes_times::<9>(odd));
        let [a, b] = S::split_digits(upper_bytes::<S>(even, odd));
        let more = S::add16(product_of::<S>(a, acts.add(64)), product_of::<S>(b, acts.add(96)));
        (S::add16(sum, more), [even, odd])
    }
}

/// The upper bytes of two values of words, in turns.
#[inline(always)]
unsafe fn upper_bytes<S: Simd>(even: S::I, odd: S::I) -> S::I {
    // SAFETY: no memory is touched.
    unsafe { S::or(S::right16::<8>(even), S::and(odd, S::splat16(0xff00u16 as i16))) }
}

#[inline(always)]
unsafe fn product_of<S: Simd>(q: S::I, acts: *const u8) -> S::I {
    // SAFETY: the caller promises 32 aligned bytes.
    unsafe { S::multiply_bytes(q, S::load_aligned(acts)) }
}
