//! Many columns of activations: the prompt, and the encoder of whisper.
//!
//! Weights are unpacked once for all columns: 8 rows side by side, so that a register of products holds 8 rows,
//! nothing is ever added across a register, and 8 scales are applied by one multiplication.
//! A panel of 32 rows x 512 weights and the activations of a few columns stay in the first-level cache.

use crate::acts::{ACT, Act};
use crate::format::{Format, Weights};
use crate::simd::Simd;
use core::mem::MaybeUninit;
use core::ops::Range;

/// Rows in a group: as many as a value of floats holds.
const GROUP: usize = 8;
/// Groups in a panel.
const GROUPS: usize = 4;
/// Blocks of 32 weights in a panel.
const DEPTH: usize = 16;

/// 8 rows x 32 weights, unpacked.
#[repr(C, align(32))]
struct Cell {
    /// `q[j]`: weights `4j..4j + 4` of row 0, of row 1, and so on.
    q: [[u8; 32]; 8],
    /// Their magnitudes; only of signed formats.
    size: [[u8; 32]; 8],
    /// Scales of the 8 rows, for both halves of the 32 weights.
    d: [[f32; 8]; 2],
    m: [[f32; 8]; 2],
}

type Panel = [[MaybeUninit<Cell>; DEPTH]; GROUPS];

/// Activations of several columns, and where their products go.
#[derive(Clone, Copy)]
pub struct Columns {
    pub acts: *const u8,
    /// From one column to the next, in bytes.
    pub stride: usize,
    pub n: usize,
    pub out: *mut f32,
    /// From one column of products to the next, in floats.
    pub out_stride: usize,
}

impl Columns {
    /// # Safety
    /// Column `column` must exist and hold blocks of type `T`.
    #[inline(always)]
    pub(crate) unsafe fn acts<T>(&self, column: usize) -> *const T {
        // SAFETY: the caller's promise.
        unsafe { self.acts.add(column * self.stride).cast() }
    }
}

/// Products of rows `rows` of `w` with all columns.
///
/// # Safety
/// Rows and columns must be there, and the products writable.
#[inline(always)]
pub(crate) unsafe fn product<S: Simd, F: Format, const COLUMNS: usize>(
    w: &Weights,
    rows: Range<usize>,
    columns: &Columns,
) {
    let mut panel: MaybeUninit<Panel> = MaybeUninit::uninit();
    let panel = panel.as_mut_ptr().cast::<Cell>();
    let parts = w.k / 32;
    for first in rows.clone().step_by(GROUP * GROUPS) {
        let last = (first + GROUP * GROUPS).min(rows.end);
        for from in (0..parts).step_by(DEPTH) {
            let depth = DEPTH.min(parts - from);
            for (group, row) in (first..last).step_by(GROUP).enumerate() {
                for part in 0..depth {
                    // SAFETY: `row` is less than `last`; the cell lies in the panel.
                    unsafe {
                        unpack::<S, F>(
                            w,
                            row..last.min(row + GROUP),
                            from + part,
                            panel.add(group * DEPTH + part),
                        )
                    };
                }
            }
            let mut column = 0;
            while column < columns.n {
                let n = (columns.n - column).min(COLUMNS);
                for (group, row) in (first..last).step_by(GROUP).enumerate() {
                    let tile = Tile { row, rows: (last - row).min(GROUP), column, from, depth };
                    // SAFETY: the cells of this group were filled above; the tile lies within the products.
                    unsafe {
                        let cells = panel.add(group * DEPTH);
                        match n == COLUMNS {
                            true => multiply::<S, F, COLUMNS>(cells, &tile, columns),
                            false => {
                                for column in column..column + n {
                                    multiply::<S, F, 1>(cells, &Tile { column, ..tile }, columns);
                                }
                            }
                        }
                    }
                }
                column += n;
            }
        }
    }
}

/// # Safety
/// The rows must be there, and `cell` writable.
#[inline(always)]
unsafe fn unpack<S: Simd, F: Format>(w: &Weights, rows: Range<usize>, part: usize, cell: *mut Cell) {
    // SAFETY: rows beyond the end repeat the last one, so that all eight can be read.
    unsafe {
        let (block, part) = (32 * part / F::WEIGHTS, 32 * part % F::WEIGHTS / 32);
        let mut q = [S::splat8(0); GROUP];
        for (i, q) in q.iter_mut().enumerate() {
            let p = w.row((rows.start + i).min(rows.end - 1)).add(block * F::BYTES);
            *q = F::quants::<S>(p, part);
            for (half, (d, m)) in F::scales(p, part).into_iter().enumerate() {
                (*cell).d[half][i] = d;
                (*cell).m[half][i] = m;
            }
        }
        for (i, q) in S::turn(q).into_iter().enumerate() {
            S::store((*cell).q[i].as_mut_ptr(), q);
            if F::SIGNED {
                S::store((*cell).size[i].as_mut_ptr(), S::abs8(q));
            }
        }
    }
}

/// Where a group of rows meets a few columns.
struct Tile {
    row: usize,
    rows: usize,
    column: usize,
    /// The first block of 32 weights, and how many.
    from: usize,
    depth: usize,
}

/// # Safety
/// `cells` must hold `tile.depth` filled cells, the columns must be there, and the products writable.
#[inline(always)]
unsafe fn multiply<S: Simd, F: Format, const N: usize>(cells: *const Cell, tile: &Tile, columns: &Columns) {
    // SAFETY: the caller's promise; `tile.from + part` is within every column.
    unsafe {
        let mut sum = [S::zero(); N];
        for part in 0..tile.depth {
            let at = tile.from + part;
            for (j, sum) in sum.iter_mut().enumerate() {
                let cell = &*again::<S, _>(cells.add(part));
                let act = &*columns.acts::<Act>(tile.column + j).add(at * 32 / ACT);
                let y = act.q.as_ptr().add(at % 4 * 32).cast::<u8>();
                let d = S::all(act.d[at % 4]);
                if F::STEP == 32 {
                    let whole = whole::<S, F>(cell, y);
                    *sum =
                        S::times_plus(S::to_floats(whole), S::times(S::floats(cell.d[0].as_ptr()), d), *sum);
                    if !F::SIGNED {
                        *sum = S::times_plus(S::floats(cell.m[0].as_ptr()), S::all(act.s[at % 4]), *sum);
                    }
                } else {
                    for h in 0..2 {
                        let whole = half::<S, F>(cell, h, y.add(16 * h));
                        *sum = S::times_plus(
                            S::to_floats(whole),
                            S::times(S::floats(cell.d[h].as_ptr()), d),
                            *sum,
                        );
                        let s = S::all(act.d[at % 4] * f32::from(act.sums[at % 4 * 2 + h]));
                        *sum = S::times_plus(S::floats(cell.m[h].as_ptr()), s, *sum);
                    }
                }
            }
        }
        for (j, sum) in sum.into_iter().enumerate() {
            keep::<S>(columns.out.add((tile.column + j) * columns.out_stride + tile.row), sum, tile);
        }
    }
}

/// Products of half a cell, 16 weights of 8 rows, in 32 bits.
#[inline(always)]
unsafe fn half<S: Simd, F: Format>(cell: &Cell, half: usize, y: *const u8) -> S::I {
    // SAFETY: `y` is readable for 16 bytes; all indices are within the cell.
    unsafe {
        let y = spread::<S>(y);
        let ones = S::splat16(1);
        if F::SIGNED {
            let low = S::add32(signed::<S>(cell, 4 * half, y[0]), signed::<S>(cell, 4 * half + 1, y[1]));
            let high = S::add32(signed::<S>(cell, 4 * half + 2, y[2]), signed::<S>(cell, 4 * half + 3, y[3]));
            return S::add32(low, high);
        }
        let [low, high] = pairs::<S, F>(cell, half, y);
        match fit::<F>(4) {
            true => S::multiply_words(S::add16(low, high), ones),
            false => S::add32(S::multiply_words(low, ones), S::multiply_words(high, ones)),
        }
    }
}

/// Products of four signed weights of 8 rows, in 32 bits.
#[inline(always)]
unsafe fn signed<S: Simd>(cell: &Cell, i: usize, y: S::I) -> S::I {
    // SAFETY: the caller's processor has the set; `i` is within the cell.
    unsafe {
        let (q, size) = (S::load_aligned(cell.q[i].as_ptr()), S::load_aligned(cell.size[i].as_ptr()));
        S::multiply_words(S::multiply_bytes(size, S::sign8(y, q)), S::splat16(1))
    }
}

/// Products of four unsigned weights of 8 rows, in 16 bits.
#[inline(always)]
unsafe fn unsigned<S: Simd>(cell: &Cell, i: usize, y: S::I) -> S::I {
    // SAFETY: as above.
    unsafe { S::multiply_bytes(S::load_aligned(cell.q[i].as_ptr()), y) }
}

/// Products of a cell, 32 weights of 8 rows, in 32 bits.
#[inline(always)]
unsafe fn whole<S: Simd, F: Format>(cell: &Cell, y: *const u8) -> S::I {
    // SAFETY: `y` is readable for 32 bytes.
    unsafe {
        if F::SIGNED || !fit::<F>(8) {
            return S::add32(half::<S, F>(cell, 0, y), half::<S, F>(cell, 1, y.add(16)));
        }
        let [a, b] = pairs::<S, F>(cell, 0, spread::<S>(y));
        let [c, d] = pairs::<S, F>(cell, 1, spread::<S>(y.add(16)));
        S::multiply_words(S::add16(S::add16(a, b), S::add16(c, d)), S::splat16(1))
    }
}

/// Products of half a cell of an unsigned format in 16 bits: two pairs of them, added.
#[inline(always)]
unsafe fn pairs<S: Simd, F: Format>(cell: &Cell, half: usize, y: [S::I; 4]) -> [S::I; 2] {
    // SAFETY: all indices are within the cell.
    unsafe {
        let first = 4 * half;
        [
            S::add16(unsigned::<S>(cell, first, y[0]), unsigned::<S>(cell, first + 1, y[1])),
            S::add16(unsigned::<S>(cell, first + 2, y[2]), unsigned::<S>(cell, first + 3, y[3])),
        ]
    }
}

/// Whether 16 bits hold the sum of so many registers of products: each has two, of at most `LARGEST * 127`.
const fn fit<F: Format>(n: i32) -> bool {
    n * 254 * F::LARGEST < 1 << 15
}

/// Four activations at a time, in all lanes.
#[inline(always)]
unsafe fn spread<S: Simd>(y: *const u8) -> [S::I; 4] {
    // SAFETY: `y` is readable for 16 bytes.
    unsafe {
        let y = S::quad(y);
        [S::spread::<0>(y), S::spread::<1>(y), S::spread::<2>(y), S::spread::<3>(y)]
    }
}

/// The same address, but the compiler cannot know that.
///
/// Before AVX an instruction destroys one of its operands, so a weight is copied for every column. A load is a copy
/// for nothing; left alone, the compiler loads once, keeps 16 registers of weights for the next column, and spills.
#[inline(always)]
#[allow(clippy::pointers_in_nomem_asm_block)] // The address goes through; nothing is read or written there.
fn again<S: Simd, T>(p: *const T) -> *const T {
    if !S::DESTROYS {
        return p;
    }
    let mut q = p;
    // SAFETY: no instruction at all.
    unsafe { core::arch::asm!("/* {0} */", inout(reg) q, options(nomem, nostack, preserves_flags)) };
    q
}

/// Writes the first part of a row, adds the others to it.
#[inline(always)]
unsafe fn keep<S: Simd>(out: *mut f32, sum: S::F, tile: &Tile) {
    // SAFETY: `tile.rows` products at `out` are writable.
    unsafe {
        if tile.rows == GROUP {
            let sum = if tile.from == 0 { sum } else { S::plus(S::floats(out), sum) };
            return S::put(out, sum);
        }
        let mut values = [0.0; GROUP];
        S::put(values.as_mut_ptr(), sum);
        for (i, value) in values.into_iter().take(tile.rows).enumerate() {
            let out = out.add(i);
            *out = if tile.from == 0 { value } else { *out + value };
        }
    }
}
