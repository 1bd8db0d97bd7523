//! What the bytes of the four formats mean: cells of 64 or 128 weights that share a scale.
//!
//! The tables take four weights at a time. Which four is for the format to choose, so each takes those whose bits are
//! together with the least work. A weight of two bits has two planes, and the same table serves both.

use crate::simd::Simd;

/// A format as cells.
pub(crate) trait Cells {
    /// Bytes of one block of the file.
    const BYTES: usize;
    /// Weights of one block.
    const WEIGHTS: usize;
    /// Where in a block its scale lies.
    const SCALE: usize;
    /// Weights of a cell.
    const CELL: usize;
    /// Bits of a weight. With one plane a weight is `2q - 1` times the scale, with two it is `q - 1`.
    const PLANES: usize;

    /// The weight, within cell `cell` of its block, that is in place `slot` of group `group`.
    fn place(cell: usize, group: usize, slot: usize) -> usize;

    /// Writes, for each group, the four bits of each plane, times 4: first group 0 in all its planes.
    ///
    /// # Safety
    /// `block` must be readable for a whole block, `out` writable for `CELL / 4 * PLANES` bytes, 32 of them at least.
    unsafe fn spread<S: Simd>(block: *const u8, cell: usize, out: *mut u8);
}

/// `d` (half), 16 bytes: weight `8i + b` is bit `b` of byte `i`.
pub(crate) struct Q1_0;

impl Cells for Q1_0 {
    const BYTES: usize = 18;
    const WEIGHTS: usize = 128;
    const SCALE: usize = 0;
    const CELL: usize = 128;
    const PLANES: usize = 1;

    fn place(_cell: usize, group: usize, slot: usize) -> usize {
        group % 16 * 8 + group / 16 * 4 + slot
    }

    #[inline(always)]
    unsafe fn spread<S: Simd>(block: *const u8, _cell: usize, out: *mut u8) {
        // SAFETY: a block has 2 + 16 bytes; `out` has room for 32.
        unsafe { S::store(out, S::left16::<2>(S::nibbles(block.add(2)))) }
    }
}

/// `d` (half), 16 bytes: weight `4i + f` is bits `2f` and `2f + 1` of byte `i`.
pub(crate) struct Q2_0;

impl Cells for Q2_0 {
    const BYTES: usize = 18;
    const WEIGHTS: usize = 64;
    const SCALE: usize = 0;
    const CELL: usize = 64;
    const PLANES: usize = 2;

    fn place(_cell: usize, group: usize, slot: usize) -> usize {
        let (byte, field) = byte_and_field(group % 8, group / 8, slot);
        4 * byte + field
    }

    #[inline(always)]
    unsafe fn spread<S: Simd>(block: *const u8, _cell: usize, out: *mut u8) {
        // SAFETY: a block has 2 + 16 bytes; `out` has room for 32.
        unsafe {
            let planes = planes::<S>(S::twice(block.add(2)));
            let low = S::and(S::left16::<2>(planes), S::splat8(0x3c));
            let high = S::and(S::right16::<2>(planes), S::splat8(0x3c));
            let first = S::load(FIRST_HALF.as_ptr());
            let second = S::xor(first, S::splat8(-1));
            S::store(out, S::or(S::and(low, first), S::and(high, second)));
        }
    }
}

static FIRST_HALF: [u8; 32] = {
    let mut mask = [0; 32];
    let mut i = 0;
    while i < 16 {
        mask[i] = 0xff;
        i += 1;
    }
    mask
};

/// 64 bytes, `d` (half): weight `128j + 32f + i` is bits `2f` and `2f + 1` of byte `32j + i`.
pub(crate) struct TQ2_0;

impl Cells for TQ2_0 {
    const BYTES: usize = 66;
    const WEIGHTS: usize = 256;
    const SCALE: usize = 64;
    const CELL: usize = 128;
    const PLANES: usize = 2;

    fn place(_cell: usize, group: usize, slot: usize) -> usize {
        let (byte, field) = byte_and_field(group % 16, group / 16, slot);
        32 * field + byte
    }

    #[inline(always)]
    unsafe fn spread<S: Simd>(block: *const u8, cell: usize, out: *mut u8) {
        // SAFETY: a block has 64 + 2 bytes; `out` has room for 64.
        unsafe { spread_fields::<S>(S::load(block.add(32 * cell)), out) }
    }
}

/// 32 bytes of five digits, 16 of five, 4 of four, `d` (half); digits to base 3, the first one on top, as a fraction of
/// 256. Digit `l` of the 32 bytes: weights `32l..`; of the 16: `160 + 16l..`; of the 4: `240 + 4l..`.
///
/// A cell is turned into what a cell of TQ2_0 is: 32 bytes of four fields.
pub(crate) struct TQ1_0;

impl Cells for TQ1_0 {
    const BYTES: usize = 54;
    const WEIGHTS: usize = 256;
    const SCALE: usize = 52;
    const CELL: usize = 128;
    const PLANES: usize = 2;

    fn place(cell: usize, group: usize, slot: usize) -> usize {
        let (byte, field) = byte_and_field(group % 16, group / 16, slot);
        match (cell, byte) {
            (0, _) => 32 * field + byte,
            (_, 0..16) => 32 + 16 * field + byte,
            (_, 16..20) => 112 + 4 * field + byte - 16,
            (_, 20..28) => 8 * field + byte - 20,
            _ => 96 + 4 * field + byte - 28,
        }
    }

    #[inline(always)]
    unsafe fn spread<S: Simd>(block: *const u8, cell: usize, out: *mut u8) {
        // SAFETY: a block has 48 + 4 + 2 bytes; `out` has room for 64.
        unsafe {
            let (first, last) = fields::<S>(S::load(block));
            if cell == 0 {
                return spread_fields::<S>(first, out);
            }
            let mut digits = [0u8; 32];
            S::store(digits.as_mut_ptr(), last);
            // Bytes 22..54: 10 that are not wanted, 16 of five digits, 4 of four, the scale.
            let (first, last) = fields::<S>(S::load(block.add(22)));
            let (mut fields, mut fifth) = ([0u8; 32], [0u8; 32]);
            S::store(fields.as_mut_ptr(), first);
            S::store(fifth.as_mut_ptr(), last);
            let mut bytes = [0u8; 32];
            bytes[..20].copy_from_slice(&fields[10..30]);
            let long = |i: usize| digits.as_ptr().add(8 * i).cast::<u64>().read_unaligned();
            let eight = long(0) | long(1) << 2 | long(2) << 4 | long(3) << 6;
            bytes[20..28].copy_from_slice(&eight.to_le_bytes());
            let short = |i: usize| fifth.as_ptr().add(10 + 4 * i).cast::<u32>().read_unaligned();
            let four = short(0) | short(1) << 2 | short(2) << 4 | short(3) << 6;
            bytes[28..].copy_from_slice(&four.to_le_bytes());
            spread_fields::<S>(S::load(bytes.as_ptr()), out);
        }
    }
}

/// Four digits to base 3 of each byte as fields of two bits, and the fifth digit.
#[inline(always)]
unsafe fn fields<S: Simd>(bytes: S::I) -> (S::I, S::I) {
    // SAFETY: no memory is touched.
    unsafe {
        let (mut rest, mut fields) = (bytes, S::splat8(0));
        for _ in 0..4 {
            // Moved down by two for each digit, the first one ends at the bottom.
            fields = S::or(S::and(S::right16::<2>(fields), S::splat8(0x3f)), top_digit::<S>(rest));
            rest = S::add8(rest, S::add8(rest, rest));
        }
        (fields, S::and(S::right16::<6>(top_digit::<S>(rest)), S::splat8(3)))
    }
}

/// The first digit, in the two bits on top: `byte * 3 / 256`. Exact for every byte.
#[inline(always)]
unsafe fn top_digit<S: Simd>(rest: S::I) -> S::I {
    // SAFETY: no memory is touched. Means round up, so they are taken of one less.
    unsafe {
        let less = S::less_u8(rest, S::splat8(1));
        S::and(S::mean_u8(less, S::mean_u8(less, S::splat8(0))), S::splat8(0xc0u8 as i8))
    }
}

/// Where [`planes`] finds the weight of `slot` in the low or high half of byte pair `pair`.
fn byte_and_field(pair: usize, half: usize, slot: usize) -> (usize, usize) {
    (2 * pair + slot % 2, 2 * half + slot / 2)
}

/// Of each pair of bytes, the even bits of both in the first byte and the odd bits of both in the second.
#[inline(always)]
unsafe fn planes<S: Simd>(v: S::I) -> S::I {
    // SAFETY: no memory is touched. In words of 16 bits: bits 2f of the first byte stay, those of the second go
    // from 8 + 2f to 1 + 2f; bits 1 + 2f of the first byte go to 8 + 2f, those of the second stay.
    unsafe {
        let stay = S::and(v, S::splat16(0xaa55u16 as i16));
        let down = S::and(S::right16::<7>(v), S::splat16(0x00aa));
        let up = S::and(S::left16::<7>(v), S::splat16(0x5500));
        S::or(stay, S::or(down, up))
    }
}

/// The groups of 32 bytes of four fields each.
#[inline(always)]
unsafe fn spread_fields<S: Simd>(v: S::I, out: *mut u8) {
    // SAFETY: the caller's promise of 64 bytes.
    unsafe {
        let planes = planes::<S>(v);
        S::store(out, S::and(S::left16::<2>(planes), S::splat8(0x3c)));
        S::store(out.add(32), S::and(S::right16::<2>(planes), S::splat8(0x3c)));
    }
}
