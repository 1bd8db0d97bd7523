//! Many columns of activations: the prompt.
//!
//! For every four weights there are 16 sums of their activations. They are made once, for 16 columns side by side,
//! and then four weights of a row cost one look-up by address and one addition for all 16 columns.
//! Nothing is multiplied until a cell is summed up, and no instruction is newer than SSE2.
//!
//! Activations are rounded to 16 bits, with a power of two as the scale of a cell, chosen so that no sum of a cell can
//! overflow: finer than the 8 bits of ggml, and then exact up to the scales.

use super::cells::Cells;
use crate::format::Weights;
use crate::panels::Columns;
use crate::simd::Simd;
use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
use core::mem::MaybeUninit;
use core::ops::Range;

/// Columns side by side: as many 16-bit sums as a value holds.
const SIDE: usize = 16;
/// So few columns are multiplied one by one.
const FEW: usize = 4;
/// Rows whose sums are kept at a time: 64 KiB of them.
const ROWS: usize = 1024;
/// Rows that are spread at a time.
const STRIP: usize = 8;
/// Groups of four weights that the compiler unrolls.
const AT_ONCE: usize = 16;
/// Groups of four weights in the largest cell.
const GROUPS: usize = 32;
/// The largest sum of magnitudes in a cell: 16 bits, less what rounding may add, which is a half for each activation
/// times its weight; and one for the rounding of the sum itself.
const fn largest<C: Cells>() -> f32 {
    (32766 - C::CELL / 2 * C::PLANES) as f32
}

type Sums = [i16; SIDE];
type Sum = [f32; SIDE];

/// All that a thread needs beside the weights.
#[repr(C, align(64))]
struct Room {
    /// For every group the 16 sums of its four activations; 16 KiB, half of the first-level cache.
    tables: [[Sums; 16]; GROUPS],
    acts: [Sums; 4 * GROUPS],
    /// What a row without any bit comes to.
    start: Sums,
    /// Scales of the columns.
    d: [f32; SIDE],
    index: [[u8; 2 * GROUPS]; STRIP],
    scales: [f32; STRIP],
    out: [Sum; ROWS],
}

/// Products of rows `rows` with all columns, which are floats; `one` multiplies a single column.
///
/// # Safety
/// Rows and columns must be there, and the products writable.
#[inline(always)]
pub(crate) unsafe fn product<S: Simd, C: Cells>(
    w: &Weights,
    rows: Range<usize>,
    columns: &Columns,
    one: unsafe fn(&Weights, Range<usize>, *const u8, *mut f32),
) {
    let mut room = MaybeUninit::<Room>::uninit();
    let room = room.as_mut_ptr();
    for column in (0..columns.n).step_by(SIDE) {
        let n = SIDE.min(columns.n - column);
        // SAFETY: the caller's promise; `column` and `n` stay within the columns, rows within `rows`.
        unsafe {
            if n <= FEW {
                for column in column..column + n {
                    let out = columns.out.add(column * columns.out_stride);
                    one(w, rows.clone(), columns.acts::<u8>(column), out);
                }
                continue;
            }
            for first in rows.clone().step_by(ROWS) {
                let rows = first..rows.end.min(first + ROWS);
                for cell in 0..w.k / C::CELL {
                    quantise::<S, C>(columns, column..column + n, cell, room);
                    make_tables::<S, C>(cell, room);
                    sweep::<S, C>(w, rows.clone(), cell, room);
                }
                write::<S>(rows, columns, column..column + n, room);
            }
        }
    }
}

/// Rounds one cell of the activations of 16 columns; those beyond the end repeat the last one.
#[inline(always)]
unsafe fn quantise<S: Simd, C: Cells>(columns: &Columns, range: Range<usize>, cell: usize, room: *mut Room) {
    // SAFETY: columns and cell are there by the caller's promise.
    unsafe {
        let x: [*const f32; SIDE] = core::array::from_fn(|i| {
            columns.acts::<f32>((range.start + i).min(range.end - 1)).add(cell * C::CELL)
        });
        let mut inverse = [0.0; SIDE];
        for (i, x) in x.iter().enumerate() {
            let mut sum = S::zero();
            for at in (0..C::CELL).step_by(8) {
                sum = S::plus(sum, S::magnitude(S::floats(x.add(at))));
            }
            // Weights of two bits are 2 at most.
            let (d, inverted) = step(S::sum(sum) * C::PLANES as f32 / const { largest::<C>() });
            (*room).d[i] = d;
            inverse[i] = inverted;
        }
        for at in (0..C::CELL).step_by(8) {
            let mut turned = [[S::splat8(0); 8]; 2];
            for (half, turned) in turned.iter_mut().enumerate() {
                let one = |i: usize| {
                    let i = 8 * half + i;
                    S::round(S::times(S::floats(x[i].add(at)), S::all(inverse[i])))
                };
                *turned = S::turn([one(0), one(1), one(2), one(3), one(4), one(5), one(6), one(7)]);
            }
            let [first, second] = turned;
            for (i, (first, second)) in first.into_iter().zip(second).enumerate() {
                S::store((&raw mut (*room).acts[at + i]).cast(), S::narrow16(first, second));
            }
        }
    }
}

/// The power of two that is `least`, a magnitude, or the next above it, and its inverse.
#[inline(always)]
pub(super) fn step(least: f32) -> (f32, f32) {
    // What is no number counts as infinite: adding to its bits would carry into the sign.
    let bits = ((least.to_bits() & 0x7fff_ffff).min(0x7f80_0000) + 0x007f_ffff) & 0x7f80_0000;
    match bits >> 23 {
        // Activations below 2^-100 are zero; one that is infinite or no number makes products that are no numbers.
        0..27 => (0.0, 0.0),
        254.. => (f32::NAN, 0.0),
        exponent => (f32::from_bits(bits), f32::from_bits((254 - exponent) << 23)),
    }
}

/// The sums of every group, for bits 0000 to 1111.
#[inline(always)]
unsafe fn make_tables<S: Simd, C: Cells>(cell: usize, room: *mut Room) {
    // SAFETY: groups and places are within the room.
    unsafe {
        let cell = cell % (C::WEIGHTS / C::CELL);
        let mut all = S::splat8(0);
        for group in 0..C::CELL / 4 {
            let table = (&raw mut (*room).tables[group]).cast::<u8>();
            let act =
                |slot: usize| S::load_aligned((&raw const (*room).acts[C::place(cell, group, slot)]).cast());
            let [a, b, c, d] = [act(0), act(1), act(2), act(3)];
            all = S::add16(all, S::add16(S::add16(a, b), S::add16(c, d)));
            let twice = |v| if C::PLANES == 1 { S::add16(v, v) } else { v };
            let [a, b, c, d] = [twice(a), twice(b), twice(c), twice(d)];
            let mut low = S::splat8(0);
            for i in 0..4 {
                let more = S::add16(low, d);
                S::store(table.add(32 * i), low);
                S::store(table.add(32 * (i + 4)), S::add16(low, c));
                S::store(table.add(32 * (i + 8)), more);
                S::store(table.add(32 * (i + 12)), S::add16(more, c));
                low = match i {
                    0 => a,
                    1 => b,
                    _ => S::add16(a, b),
                };
            }
        }
        S::store((&raw mut (*room).start).cast(), S::sub16(S::splat8(0), all));
    }
}

/// Adds one cell of all rows to their sums.
#[inline(always)]
unsafe fn sweep<S: Simd, C: Cells>(w: &Weights, rows: Range<usize>, cell: usize, room: *mut Room) {
    let (block, part) = (cell * C::CELL / C::WEIGHTS, cell % (C::WEIGHTS / C::CELL));
    for first in rows.clone().step_by(STRIP) {
        // SAFETY: rows beyond the end repeat the last one; indexes and sums are within the room.
        unsafe {
            let mut halves = [0u16; STRIP];
            for (i, half) in halves.iter_mut().enumerate() {
                let p = w.row((first + i).min(rows.end - 1)).add(block * C::BYTES);
                // Of the next strip; an address beyond the end does no harm.
                _mm_prefetch::<_MM_HINT_T0>(p.wrapping_add(STRIP * w.stride).cast());
                C::spread::<S>(p, part, (&raw mut (*room).index[i]).cast());
                *half = p.add(C::SCALE).cast::<u16>().read_unaligned();
            }
            S::put((&raw mut (*room).scales).cast(), S::halves(halves.as_ptr().cast()));
            for i in 0..STRIP.min(rows.end - first) {
                let out = (&raw mut (*room).out).cast::<Sum>().add(first + i - rows.start);
                add_cell::<S, C>(room, i, out.cast(), cell == 0);
            }
        }
    }
}

/// Adds one cell of one row to its 16 sums.
#[inline(always)]
unsafe fn add_cell<S: Simd, C: Cells>(room: *const Room, row: usize, out: *mut f32, first: bool) {
    // SAFETY: an index is a multiple of 4 up to 60, so eight times it is within its table.
    unsafe {
        // Two chains of additions are enough to keep a processor busy: either the planes, or even and odd groups.
        let start = S::load_aligned((&raw const (*room).start).cast());
        let (mut a, mut b) = (start, S::splat8(0));
        for first in (0..C::CELL / 4).step_by(AT_ONCE) {
            // So that the compiler knows nothing of it but its register, and one instruction makes an address.
            let tables = core::hint::black_box((&raw const (*room).tables[first]).cast::<u8>());
            let index = (&raw const (*room).index[row]).cast::<u8>().add(C::PLANES * first);
            let of = |group: usize, plane: usize| {
                let at = usize::from(*index.add(C::PLANES * group + plane));
                S::load_aligned(tables.add(512 * group + 8 * at))
            };
            for group in (0..AT_ONCE).step_by(2) {
                if C::PLANES == 1 {
                    a = S::add16(a, of(group, 0));
                    b = S::add16(b, of(group + 1, 0));
                } else {
                    a = S::add16(S::add16(a, of(group, 0)), of(group + 1, 0));
                    b = S::add16(S::add16(b, of(group, 1)), of(group + 1, 1));
                }
            }
        }
        let sum = S::add16(a, if C::PLANES == 1 { b } else { S::add16(b, b) });
        let scale = S::all((*room).scales[row]);
        for (i, whole) in S::widen16(sum).into_iter().enumerate() {
            let d = S::times(S::floats_aligned((&raw const (*room).d).cast::<f32>().add(8 * i)), scale);
            let out = out.add(8 * i);
            let sum = match first {
                true => S::times(S::to_floats(whole), d),
                false => S::times_plus(S::to_floats(whole), d, S::floats_aligned(out)),
            };
            S::put_aligned(out, sum);
        }
    }
}

/// Puts the sums where they belong: column by column.
#[inline(always)]
unsafe fn write<S: Simd>(rows: Range<usize>, columns: &Columns, range: Range<usize>, room: *const Room) {
    for first in rows.clone().step_by(8) {
        let n = 8.min(rows.end - first);
        for half in 0..2 {
            // SAFETY: rows beyond the end are within the room, whatever they hold, and are not written.
            unsafe {
                let mut sums = [S::splat8(0); 8];
                for (i, sums) in sums.iter_mut().take(n).enumerate() {
                    *sums = S::load((&raw const (*room).out[first + i - rows.start][8 * half]).cast());
                }
                let turned = S::turn(sums);
                for (i, column) in (range.start + 8 * half..range.end).take(8).enumerate() {
                    let out = columns.out.add(column * columns.out_stride + first);
                    if n == 8 {
                        S::store(out.cast(), turned[i]);
                        continue;
                    }
                    let mut values = [0.0; 8];
                    S::store(values.as_mut_ptr().cast(), turned[i]);
                    out.copy_from_nonoverlapping(values.as_ptr(), n);
                }
            }
        }
    }
}
