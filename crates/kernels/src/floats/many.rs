//! Many columns of activations: panels of 16 rows, side by side.

use super::{Float, one};
use crate::format::Weights;
use crate::panels::Columns;
use crate::simd::Simd;
use core::mem::MaybeUninit;
use core::ops::Range;

/// Rows in a panel: two values of floats.
const ROWS: usize = 16;
/// Weights of a row in a panel: 24 KiB of a first-level cache of 32.
const DEPTH: usize = 384;
/// From this many columns on, panels pay.
const COLUMNS_MIN: usize = 3;
/// `panel[k][row]`, with room for the last eight of an odd depth.
#[repr(C, align(64))]
struct Panel(MaybeUninit<[[f32; ROWS]; DEPTH]>);

/// Products of rows `rows` of `w` with all columns.
///
/// # Safety
/// Rows and columns must be there, and the products writable.
#[inline(always)]
pub(crate) unsafe fn many<S: Simd, T: Float, const COLUMNS: usize>(
    w: &Weights,
    rows: Range<usize>,
    columns: &Columns,
) {
    if columns.n < COLUMNS_MIN {
        for column in 0..columns.n {
            // SAFETY: the column exists, and so do its products.
            unsafe {
                let out = columns.out.add(column * columns.out_stride);
                one::<S, T>(w, rows.clone(), columns.acts(column), out);
            }
        }
        return;
    }
    let mut panel = Panel(MaybeUninit::uninit());
    let panel = panel.0.as_mut_ptr().cast::<f32>();
    // Pieces of equal depth: 768 weights are two of 384, 400 two of 200.
    let depth = w.k.div_ceil(w.k.div_ceil(DEPTH)).next_multiple_of(8);
    for first in rows.clone().step_by(ROWS) {
        let n_rows = ROWS.min(rows.end - first);
        for from in (0..w.k).step_by(depth) {
            let tile = Tile { row: first, rows: n_rows, from, depth: depth.min(w.k - from) };
            // SAFETY: the rows, columns and products of the tile are the caller's; the panel holds `DEPTH`.
            unsafe {
                pack::<S, T>(w, &tile, 0, panel);
                pack::<S, T>(w, &tile, 8, panel);
                let mut column = 0;
                while column + COLUMNS <= columns.n {
                    multiply::<S, COLUMNS>(panel, &tile, columns, column);
                    column += COLUMNS;
                }
                for column in column..columns.n {
                    multiply::<S, 1>(panel, &tile, columns, column);
                }
            }
        }
    }
}

/// Where a panel lies in the weights.
struct Tile {
    row: usize,
    rows: usize,
    from: usize,
    depth: usize,
}

/// Widens 8 rows, from row `side` of the tile on, and lays them side by side.
///
/// # Safety
/// The rows of the tile must be readable, `panel` writable.
#[inline(always)]
unsafe fn pack<S: Simd, T: Float>(w: &Weights, tile: &Tile, side: usize, panel: *mut f32) {
    // SAFETY: rows beyond the end repeat the last one; of the last few weights only those that are there are read.
    unsafe {
        for at in (0..tile.depth).step_by(8) {
            let mut eight = [S::zero(); 8];
            for (i, eight) in eight.iter_mut().enumerate() {
                let row = tile.row + (side + i).min(tile.rows - 1);
                let p = w.row(row).add((tile.from + at) * T::BYTES);
                *eight = match tile.depth - at {
                    8.. => T::eight::<S>(p),
                    rest => {
                        let mut last = [0u8; 32];
                        p.copy_to_nonoverlapping(last.as_mut_ptr(), rest * T::BYTES);
                        T::eight::<S>(last.as_ptr())
                    }
                };
            }
            let mut bits = [S::splat8(0); 8];
            for (bits, eight) in bits.iter_mut().zip(eight) {
                *bits = S::bits(eight);
            }
            for (i, eight) in S::turn(bits).into_iter().enumerate() {
                S::put_aligned(panel.add((at + i) * ROWS + side), S::from_bits(eight));
            }
        }
    }
}

/// # Safety
/// The panel must be packed, `N` columns from `column` on be there, and their products be writable.
#[inline(always)]
unsafe fn multiply<S: Simd, const N: usize>(
    panel: *const f32,
    tile: &Tile,
    columns: &Columns,
    column: usize,
) {
    // SAFETY: `at + 3` is less than the depth in the first loop, `at` in the second.
    unsafe {
        let x: [*const f32; N] = core::array::from_fn(|j| columns.acts::<f32>(column + j).add(tile.from));
        let mut sums = [[S::zero(); 2]; N];
        let whole = tile.depth & !3;
        for at in (0..whole).step_by(4) {
            let x = quads::<S, N>(&x, at);
            let p = panel.add(at * ROWS);
            step::<S, N>(p, lanes::<S, 0, N>(&x), &mut sums);
            step::<S, N>(p.add(ROWS), lanes::<S, 1, N>(&x), &mut sums);
            step::<S, N>(p.add(2 * ROWS), lanes::<S, 2, N>(&x), &mut sums);
            step::<S, N>(p.add(3 * ROWS), lanes::<S, 3, N>(&x), &mut sums);
        }
        for at in whole..tile.depth {
            step::<S, N>(panel.add(at * ROWS), splats::<S, N>(&x, at), &mut sums);
        }
        for (j, sums) in sums.into_iter().enumerate() {
            keep::<S>(columns.out.add((column + j) * columns.out_stride + tile.row), sums, tile);
        }
    }
}

/// Four floats from `at` on, of each.
///
/// # Safety
/// Four floats must be readable there.
#[inline(always)]
pub(crate) unsafe fn quads<S: Simd, const N: usize>(x: &[*const f32; N], at: usize) -> [S::Q; N] {
    // SAFETY: the caller's promise; there is a first one.
    unsafe {
        let mut quads = [S::quad(x[0].add(at).cast()); N];
        for (quad, x) in quads.iter_mut().zip(x).skip(1) {
            *quad = S::quad(x.add(at).cast());
        }
        quads
    }
}

/// Float `J` of four, in all lanes, of each.
///
/// # Safety
/// As for the words of [`Simd`].
#[inline(always)]
pub(crate) unsafe fn lanes<S: Simd, const J: i32, const N: usize>(x: &[S::Q; N]) -> [S::F; N] {
    // SAFETY: no memory is touched.
    unsafe {
        let mut lanes = [S::zero(); N];
        for (lane, x) in lanes.iter_mut().zip(x) {
            *lane = S::from_bits(S::spread::<J>(*x));
        }
        lanes
    }
}

/// Float `at` in all lanes, of each.
///
/// # Safety
/// That float must be readable.
#[inline(always)]
pub(crate) unsafe fn splats<S: Simd, const N: usize>(x: &[*const f32; N], at: usize) -> [S::F; N] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut splats = [S::zero(); N];
        for (splat, x) in splats.iter_mut().zip(x) {
            *splat = S::all(*x.add(at));
        }
        splats
    }
}

/// One weight of each of 16 rows.
#[inline(always)]
pub(crate) unsafe fn step<S: Simd, const N: usize>(p: *const f32, x: [S::F; N], sums: &mut [[S::F; 2]; N]) {
    // SAFETY: the caller's promise of 16 floats at `p`.
    unsafe {
        for (x, sums) in x.into_iter().zip(sums) {
            sums[0] = S::times_plus(x, S::floats_aligned(p), sums[0]);
            sums[1] = S::times_plus(x, S::floats_aligned(p.add(8)), sums[1]);
        }
    }
}

/// Writes the first part of the products, adds the others to it.
#[inline(always)]
unsafe fn keep<S: Simd>(out: *mut f32, sums: [S::F; 2], tile: &Tile) {
    // SAFETY: `tile.rows` products at `out` are writable.
    unsafe {
        if tile.rows == ROWS {
            for (i, sum) in sums.into_iter().enumerate() {
                let out = out.add(8 * i);
                S::put(out, if tile.from == 0 { sum } else { S::plus(S::floats(out), sum) });
            }
            return;
        }
        let mut values = [0.0; ROWS];
        S::put(values.as_mut_ptr(), sums[0]);
        S::put(values.as_mut_ptr().add(8), sums[1]);
        for (i, value) in values.into_iter().take(tile.rows).enumerate() {
            let out = out.add(i);
            *out = if tile.from == 0 { value } else { *out + value };
        }
    }
}
