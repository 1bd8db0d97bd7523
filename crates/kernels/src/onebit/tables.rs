//! Q1_0 with one column of activations: decode, where each weight is read once.
//!
//! For every four weights there are 16 sums of their activations, and `pshufb` looks one up for each of 16 rows.
//! A sum has ten bits: five go to a table of low parts, five to one of high parts, so that eight of each add up in
//! a byte. The bits of 16 rows are turned in registers, straight from the layout of the file.
//!
//! It is the sums that are rounded, not the activations, with a power of two as the scale of 128 weights: a third of
//! the error that ggml's 8 bits for each activation make.

use super::lanes::Lanes;
use super::many::step;
use crate::format::Weights;
use crate::simd::Simd;
use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
use core::mem::MaybeUninit;
use core::ops::Range;

/// Bytes and weights of a block.
const BYTES: usize = 18;
const WEIGHTS: usize = 128;
/// Blocks whose tables are made at a time: 16 KiB of them, half of the first-level cache.
const SLAB: usize = 16;
/// The largest sum of four magnitudes: ten bits with the sign.
const LARGEST: f32 = 511.0;
/// What makes a high part unsigned.
pub(super) const BIAS: i32 = 16;

/// The sums of 128 activations.
#[repr(C, align(64))]
pub(crate) struct Block {
    /// Low and high parts of the 16 sums of each group, in the order of the bits.
    sums: [[[u8; 16]; 2]; 32],
    /// Their scale, four times.
    pub(super) d: [f32; 4],
}

/// The most rows side by side.
const SIDE: usize = 32;

/// `out[row]` becomes the product of that row with the activations.
///
/// # Safety
/// Rows `rows` of `w` must be readable, `x` for `w.k` floats, `out` writable for those rows.
#[inline(always)]
pub(crate) unsafe fn product<S: Lanes>(w: &Weights, rows: Range<usize>, x: *const f32, out: *mut f32) {
    let mut slab = MaybeUninit::<[Block; SLAB]>::uninit();
    let slab = slab.as_mut_ptr().cast::<Block>();
    let side = 16 * S::HALVES;
    for from in (0..w.k / WEIGHTS).step_by(SLAB) {
        let n = SLAB.min(w.k / WEIGHTS - from);
        // SAFETY: blocks `from..from + n` are there in every row and in the activations; `slab` has room for them.
        unsafe {
            for i in 0..n {
                make::<S>(x.add((from + i) * WEIGHTS), slab.add(i));
            }
            for first in rows.clone().step_by(side) {
                let (mut p, mut stride) = (w.row(first).add(from * BYTES), w.stride);
                let mut copy = MaybeUninit::<[u8; SIDE * SLAB * BYTES]>::uninit();
                if first + side > rows.end {
                    p = last_rows(p, stride, rows.end - first, n, &mut copy);
                    stride = n * BYTES;
                }
                let mut sums = [S::all_floats(0.0); 4];
                S::add(p, stride, n, slab, &mut sums);
                keep::<S>(out.add(first), side.min(rows.end - first), sums, from == 0);
            }
        }
    }
}

/// Fewer rows than fit side by side, `n` blocks of each, copied to where the last one is repeated.
///
/// No word of an instruction set is in here: this is a function of its own.
///
/// # Safety
/// `rows` rows must be readable for `n` blocks, at most `SLAB`.
#[cold]
#[inline(never)]
unsafe fn last_rows(
    p: *const u8,
    stride: usize,
    rows: usize,
    n: usize,
    copy: &mut MaybeUninit<[u8; SIDE * SLAB * BYTES]>,
) -> *const u8 {
    let to = copy.as_mut_ptr().cast::<u8>();
    for row in 0..SIDE {
        // SAFETY: the caller's promise; the copy has room for `SIDE` rows of `SLAB` blocks.
        unsafe {
            let from = p.add(row.min(rows - 1) * stride);
            from.copy_to_nonoverlapping(to.add(row * n * BYTES), n * BYTES);
        }
    }
    to
}

/// Adds `n` blocks of the rows side by side to their sums: first those of rows 0, 2, 4 and 6, then of 8 to 14, then
/// the odd ones.
///
/// # Safety
/// `n` blocks of every row must be readable, and as many at `slab`.
#[inline(always)]
pub(super) unsafe fn add<S: Lanes>(
    p: *const u8,
    stride: usize,
    n: usize,
    slab: *const Block,
    sums: &mut [S::Floats; 4],
) {
    // SAFETY: the caller's promise of rows and blocks; a prefetch may miss.
    unsafe {
        let far = 16 * stride;
        for i in 0..n {
            let block = p.add(i * BYTES);
            let next = p.wrapping_add((16 * S::HALVES + i) * stride);
            for line in 0..5 {
                _mm_prefetch::<_MM_HINT_T0>(next.wrapping_add(64 * line).cast());
            }
            let first = turn::<S>(block.add(2), stride, far);
            let second = turn::<S>(block.add(2 + 8 * stride), stride, far);
            let [even_low, odd_low, even_high, odd_high] =
                look_up::<S>(first, second, (&raw const (*slab.add(i)).sums).cast());
            let d = S::all_floats((*slab.add(i)).d[0]);
            let even = S::eight_halves(block, 2 * stride, far);
            let odd = S::eight_halves(block.add(stride), 2 * stride, far);
            let scaled = |sum, half| S::product(sum, S::product(half, d));
            sums[0] = S::total(sums[0], scaled(S::low_sums(even_low, even_high), S::low_halves(even)));
            sums[1] = S::total(sums[1], scaled(S::high_sums(even_low, even_high), S::high_halves(even)));
            sums[2] = S::total(sums[2], scaled(S::low_sums(odd_low, odd_high), S::low_halves(odd)));
            sums[3] = S::total(sums[3], scaled(S::high_sums(odd_low, odd_high), S::high_halves(odd)));
        }
    }
}

/// 16 bytes of 8 rows: value `i` holds byte `2i` of all rows, then byte `2i + 1`.
#[inline(always)]
unsafe fn turn<S: Lanes>(p: *const u8, stride: usize, far: usize) -> [S::V; 8] {
    // SAFETY: the caller's promise of eight rows.
    unsafe {
        let row = |i: usize| S::apart(p.add(i * stride), far);
        let mut v = [row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7)];
        for _ in 0..3 {
            let low = |i: usize| S::low8(v[i], v[i + 4]);
            let high = |i: usize| S::high8(v[i], v[i + 4]);
            v = [low(0), high(0), low(1), high(1), low(2), high(2), low(3), high(3)];
        }
        v
    }
}

/// Low and high parts of the sums of even and odd rows, from the turned bits of the first 8 and the other rows.
#[inline(always)]
unsafe fn look_up<S: Lanes>(first: [S::V; 8], second: [S::V; 8], tables: *const u8) -> [S::V; 4] {
    // SAFETY: 32 groups of two tables lie at `tables`.
    unsafe {
        let nibble = S::bytes(15);
        // Sums of bytes in words: even bytes plus 256 times the odd ones, and the odd ones alone.
        let (mut low, mut low_odd) = (S::nothing(), S::nothing());
        // 32 groups add the bias; that of the odd ones vanishes 256-fold.
        let bias = S::words((-32 * BIAS) as i16);
        let (mut high, mut high_odd) = (bias, bias);
        for quarter in 0..4 {
            let (mut one, mut other) = (S::nothing(), S::nothing());
            for i in 2 * quarter..2 * quarter + 2 {
                for byte in 2 * i..2 * i + 2 {
                    let bits = match byte % 2 {
                        0 => S::low64(first[i], second[i]),
                        _ => S::high64(first[i], second[i]),
                    };
                    let indexes = [S::masked(bits, nibble), S::masked(S::down::<4>(bits), nibble)];
                    for (half, index) in indexes.into_iter().enumerate() {
                        let table = tables.add(32 * (2 * byte + half));
                        one = S::sum8(one, S::look(S::same(table), index));
                        other = S::sum8(other, S::look(S::same(table.add(16)), index));
                    }
                }
            }
            low = S::sum16(low, one);
            low_odd = S::sum16(low_odd, S::down::<8>(one));
            high = S::sum16(high, other);
            high_odd = S::sum16(high_odd, S::down::<8>(other));
        }
        let low_even = S::minus16(low, S::up::<8>(low_odd));
        let high_even = S::minus16(high, S::up::<8>(high_odd));
        [low_even, low_odd, high_even, high_odd]
    }
}

/// Writes the sums of the first slab, adds those of the others.
#[inline(always)]
unsafe fn keep<S: Lanes>(out: *mut f32, rows: usize, sums: [S::Floats; 4], first: bool) {
    let mut values = [0.0; SIDE];
    // SAFETY: `values` has room for all rows side by side, and `out` for `rows`.
    unsafe {
        for half in 0..S::HALVES {
            let p = values.as_mut_ptr().add(16 * half);
            S::put_in_turns(p, half, sums[0], sums[2]);
            S::put_in_turns(p.add(8), half, sums[1], sums[3]);
        }
        for (i, value) in values.iter().take(rows).enumerate() {
            let out = out.add(i);
            *out = if first { *value } else { *out + value };
        }
    }
}

/// The sums of all groups of 128 activations.
#[inline(always)]
unsafe fn make<S: Lanes>(x: *const f32, block: *mut Block) {
    // SAFETY: 128 floats are there, and 32 groups.
    unsafe {
        let (mut most, mut total) = (S::zero(), S::zero());
        for part in 0..2 {
            let acts = activations::<S>(x.add(64 * part));
            for half in 0..2 {
                let size = |i: usize| S::magnitude(acts[4 * half + i]);
                let group = S::plus(S::plus(size(0), size(1)), S::plus(size(2), size(3)));
                most = S::larger(most, group);
                total = S::plus(total, group);
            }
        }
        // `larger` may lose what is no number, a sum does not.
        let least = if S::sum(total).is_finite() { S::largest(most) / LARGEST } else { f32::NAN };
        let (d, inverse) = step(least);
        (*block).d = [d; 4];
        for part in 0..2 {
            let acts = activations::<S>(x.add(64 * part));
            for half in 0..2 {
                let scaled = |i: usize| S::times(acts[4 * half + i], S::all(inverse));
                let tables = (&raw mut (*block).sums[16 * part + half]).cast::<u8>();
                make_groups::<S>([scaled(0), scaled(1), scaled(2), scaled(3)], tables);
            }
        }
    }
}

/// 64 floats as 8 columns: groups 0, 2, 4 and so on are columns 0 to 3, the others columns 4 to 7.
#[inline(always)]
unsafe fn activations<S: Simd>(x: *const f32) -> [S::F; 8] {
    // SAFETY: the caller's promise.
    unsafe {
        let row = |i: usize| S::load(x.add(8 * i).cast());
        let v = S::turn([row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7)]);
        let column = |i: usize| S::from_bits(v[i]);
        // No `map`: what it calls would not be inlined into this function's instruction set.
        [column(0), column(1), column(2), column(3), column(4), column(5), column(6), column(7)]
    }
}

/// The tables of eight groups, every second one from `tables` on.
#[inline(always)]
unsafe fn make_groups<S: Lanes>([a, b, c, d]: [S::F; 4], tables: *mut u8) {
    // SAFETY: the caller's promise of eight groups; tables are aligned.
    unsafe {
        // With the fourth bit set. The others are the same with the opposite sign, in the opposite order.
        let (plus, minus) = (S::plus(d, c), S::minus(d, c));
        let (same, different) = (S::plus(a, b), S::minus(a, b));
        let sums = [
            S::round(S::minus(minus, same)),
            S::round(S::plus(minus, different)),
            S::round(S::minus(minus, different)),
            S::round(S::plus(minus, same)),
            S::round(S::minus(plus, same)),
            S::round(S::plus(plus, different)),
            S::round(S::minus(plus, different)),
            S::round(S::plus(plus, same)),
        ];
        let nothing = S::splat8(0);
        let less = |i: usize| S::sub32(nothing, sums[7 - i]);
        let below = S::turn([less(0), less(1), less(2), less(3), less(4), less(5), less(6), less(7)]);
        let above = S::turn(sums);
        for group in 0..8 {
            let all = S::narrow16(below[group], above[group]);
            let table = tables.add(64 * group);
            S::put_bytes(table, S::and(all, S::splat16(31)));
            let high = S::add16(S::right_signed16::<5>(all), S::splat16(BIAS as i16));
            S::put_bytes(table.add(16), high);
        }
    }
}
