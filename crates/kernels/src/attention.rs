//! Attention of some query rows over one head of the cache, in one piece.
//!
//! ggml takes one query and one position at a time: it widens a row of values once for every query, and calls a
//! product for every pair. Here queries that share a head meet the cache in blocks: keys as the weights of a whole
//! product, values widened once for all of them.

use crate::floats::{lanes, quads, splats, step};
use crate::format::Weights;
use crate::half::half_to_float;
use crate::kind::Kind;
use crate::product::{Job, product};
use crate::simd::Simd;
use core::mem::MaybeUninit;
use core::ops::Range;

/// Most query rows at a time.
pub const ROWS: usize = 16;
/// Most floats of a head.
pub const WIDTH: usize = 256;
/// Positions whose scores are kept at a time.
const BLOCK: usize = 512;
/// Positions whose values are widened at a time.
const VALUES: usize = 32;

/// Rows of the cache: those of one head.
#[derive(Clone, Copy)]
pub struct Rows {
    pub kind: Kind,
    pub data: *const u8,
    /// From one position to the next, in bytes.
    pub stride: usize,
}

/// Query rows that share a head of keys and values.
pub struct Attention {
    pub keys: Rows,
    pub values: Rows,
    /// Floats of a key and of a query; of a value and of a result.
    pub key_width: usize,
    pub value_width: usize,
    /// Positions that any of the rows may see.
    pub positions: Range<usize>,
    pub scale: f32,
    pub n: usize,
    pub queries: [*const f32; ROWS],
    /// Halves that are added to the scores, from position 0 on; null for none.
    pub masks: [*const u16; ROWS],
    pub out: [*mut f32; ROWS],
}

/// Whether values of this kind can be widened here.
pub fn has_values(kind: Kind) -> bool {
    matches!(kind, Kind::F32 | Kind::F16 | Kind::Q8_0)
}

#[repr(C, align(64))]
struct Room {
    queries: [f32; ROWS * WIDTH],
    scores: [f32; ROWS * BLOCK],
    values: [f32; VALUES * WIDTH],
    sums: [f32; ROWS * WIDTH],
}

/// # Safety
/// All memory that `a` names must be there. Widths are multiples of 32 and at most `WIDTH`, `a.n` is at most `ROWS`;
/// `can` said yes to the keys, [`has_values`] to the values.
#[inline(always)]
pub(crate) unsafe fn attend<S: Simd>(a: &Attention) {
    let mut room: MaybeUninit<Room> = MaybeUninit::uninit();
    let room = room.as_mut_ptr();
    for careful in [false, true] {
        // SAFETY: the caller's promise.
        if unsafe { attend_in::<S>(a, room, careful) } {
            break;
        }
    }
}

/// Whether all results are finite. Zero times what is not finite is no number, so then, once more and `careful`ly:
/// what a row does not see is skipped instead of multiplied by zero.
///
/// # Safety
/// As for [`attend`].
#[inline(always)]
unsafe fn attend_in<S: Simd>(a: &Attention, room: *mut Room, careful: bool) -> bool {
    let (mut most, mut total) = ([f32::NEG_INFINITY; ROWS], [0f32; ROWS]);
    // SAFETY: the caller's promise; rows are less than `n`, and the room holds the largest widths.
    unsafe {
        let (queries, scores) =
            ((&raw mut (*room).queries).cast::<f32>(), (&raw mut (*room).scores).cast::<f32>());
        let (values, sums) = ((&raw mut (*room).values).cast::<f32>(), (&raw mut (*room).sums).cast::<f32>());
        for row in 0..a.n {
            for at in (0..a.key_width).step_by(8) {
                let scaled = S::times(S::floats(a.queries[row].add(at)), S::all(a.scale));
                S::put(queries.add(row * a.key_width + at), scaled);
            }
            sums.add(row * a.value_width).write_bytes(0, a.value_width);
        }
        for first in a.positions.clone().step_by(BLOCK) {
            let n = BLOCK.min(a.positions.end - first);
            let job = Job {
                weights: Weights {
                    data: a.keys.data.add(first * a.keys.stride),
                    stride: a.keys.stride,
                    k: a.key_width,
                },
                m: n,
                b: queries.cast_const(),
                b_stride: a.key_width,
                n: a.n,
                out: scores,
                out_stride: BLOCK,
            };
            product(a.keys.kind, &job, 0..n);
            for row in 0..a.n {
                let scores = scores.add(row * BLOCK);
                let mask = a.masks[row];
                let mask = if mask.is_null() { mask } else { mask.add(first) };
                let largest = mask_and_find_largest::<S>(scores, mask, n).max(most[row]);
                if largest == f32::NEG_INFINITY {
                    scores.write_bytes(0, n);
                    continue;
                }
                if largest > most[row] {
                    // What was summed up so far shrinks to the new measure.
                    let shrink = exp_of_one::<S>(most[row] - largest);
                    most[row] = largest;
                    total[row] *= shrink;
                    for at in (0..a.value_width).step_by(8) {
                        let sum = sums.add(row * a.value_width + at);
                        S::put(sum, S::times(S::floats(sum), S::all(shrink)));
                    }
                }
                total[row] += exponentials::<S>(scores, n, largest, scores) as f32;
            }
            for from in (0..n).step_by(VALUES) {
                let n = VALUES.min(n - from);
                for i in 0..n {
                    let p = a.values.data.add((first + from + i) * a.values.stride);
                    widen_row::<S>(a.values.kind, p, a.value_width, values.add(i * a.value_width));
                }
                if careful {
                    mix_seen::<S>(values, a.value_width, scores.add(from), n, a.n, sums);
                } else {
                    mix::<S>(values, a.value_width, scores.add(from), n, a.n, sums);
                }
            }
        }
        let mut all = S::zero();
        for (row, (out, total)) in a.out.iter().zip(total).take(a.n).enumerate() {
            let inverse = S::all(if total == 0.0 { 0.0 } else { 1.0 / total });
            for at in (0..a.value_width).step_by(8) {
                let mean = S::times(S::floats(sums.add(row * a.value_width + at)), inverse);
                S::put(out.add(at), mean);
                all = S::plus(all, S::magnitude(mean));
            }
        }
        S::sum(all).is_finite()
    }
}

/// Adds the mask, if there is one, to `n` scores.
#[inline(always)]
unsafe fn mask_and_find_largest<S: Simd>(scores: *mut f32, mask: *const u16, n: usize) -> f32 {
    let whole = n & !7;
    // SAFETY: the caller promises `n` of both; indices are less.
    unsafe {
        let mut most = S::all(f32::NEG_INFINITY);
        for at in (0..whole).step_by(8) {
            let score = scores.add(at);
            if !mask.is_null() {
                S::put(score, S::plus(S::floats(score), S::halves(mask.add(at).cast())));
            }
            most = S::larger(S::floats(score), most);
        }
        let mut most = S::largest(most);
        for at in whole..n {
            let score = scores.add(at);
            if !mask.is_null() {
                *score += half_to_float(*mask.add(at));
            }
            most = most.max(*score);
        }
        most
    }
}

/// `out[i]` becomes the exponential of `x[i] - most`, which is at most 0; gives their sum. `out` may be `x`.
///
/// # Safety
/// `n` floats must be there in both.
#[inline(always)]
pub(crate) unsafe fn exponentials<S: Simd>(x: *const f32, n: usize, most: f32, out: *mut f32) -> f64 {
    let whole = n & !7;
    // SAFETY: the caller's promise.
    unsafe {
        // Sums of at most 512 floats each, so that nothing is lost in long rows.
        let mut total = 0.0;
        for from in (0..whole).step_by(512) {
            let mut sum = S::zero();
            for at in (from..whole.min(from + 512)).step_by(8) {
                let e = exp::<S>(S::minus(S::floats(x.add(at)), S::all(most)));
                S::put(out.add(at), e);
                sum = S::plus(sum, e);
            }
            total += f64::from(S::sum(sum));
        }
        for at in whole..n {
            let e = exp_of_one::<S>(*x.add(at) - most);
            *out.add(at) = e;
            total += f64::from(e);
        }
        total
    }
}

#[inline(always)]
unsafe fn exp_of_one<S: Simd>(x: f32) -> f32 {
    // SAFETY: as for every word; all eight sums are the same, and an eighth of eight times is exact.
    unsafe { S::largest(exp::<S>(S::all(x))) }
}

/// The exponential of numbers of at most 0, within 2 units of the last place; 0 below -87.7.
///
/// `x = n ln 2 + r`, a polynomial for `r` between -0.35 and 0.35, and 2^n put together from its bits.
#[inline(always)]
pub(crate) unsafe fn exp<S: Simd>(x: S::F) -> S::F {
    // SAFETY: as for every word.
    unsafe {
        let x = S::larger(x, S::all(-88.0));
        let whole = S::round(S::times(x, S::all(core::f32::consts::LOG2_E)));
        let n = S::to_floats(whole);
        // ln 2 in two parts: the first, 355 / 512, has so few bits that its product with n is exact.
        let r = S::minus(x, S::times(n, S::all(0.693_359_4)));
        let r = S::minus(r, S::times(n, S::all(-2.121_944_4e-4)));
        // The Taylor series to the sixth power: the next term is at most 1.3e-7 of the whole at the edges.
        let mut p = S::all(1.0 / 720.0);
        for c in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
            p = S::times_plus(p, r, S::all(c));
        }
        let power = S::left32::<23>(S::add32(whole, S::splat32(127)));
        S::times(p, S::from_bits(power))
    }
}

/// # Safety
/// `width` values of the kind must be readable, and as many floats writable.
#[inline(always)]
unsafe fn widen_row<S: Simd>(kind: Kind, p: *const u8, width: usize, out: *mut f32) {
    // SAFETY: the caller's promise; `width` is a multiple of 32.
    unsafe {
        match kind {
            Kind::F32 => p.copy_to_nonoverlapping(out.cast(), width * 4),
            Kind::F16 => crate::vectors::widen::<S>(p.cast(), width, out),
            _ => {
                for at in (0..width).step_by(32) {
                    let block = p.add(at / 32 * 34);
                    let d = S::all(crate::half::half_at(block));
                    for i in (0..32).step_by(8) {
                        S::put(out.add(at + i), S::times(S::bytes_to_floats(block.add(2 + i)), d));
                    }
                }
            }
        }
    }
}

/// Adds `n` values, each times its weight, to the sums of every row.
///
/// # Safety
/// `values` must hold `n` rows of `width`, `sums` one for each of `rows`, `weights` blocks of `BLOCK`.
#[inline(always)]
unsafe fn mix<S: Simd>(
    values: *const f32,
    width: usize,
    weights: *const f32,
    n: usize,
    rows: usize,
    sums: *mut f32,
) {
    for slice in (0..width).step_by(16) {
        // SAFETY: the caller's promise; a slice ends within the width, a row is less than `rows`.
        unsafe {
            let (values, sums) = (values.add(slice), sums.add(slice));
            for row in (0..rows & !1).step_by(2) {
                let weights = [weights.add(row * BLOCK), weights.add((row + 1) * BLOCK)];
                mix_rows::<S, 2>(
                    values,
                    width,
                    weights,
                    n,
                    [sums.add(row * width), sums.add((row + 1) * width)],
                );
            }
            if rows % 2 == 1 {
                let row = rows - 1;
                mix_rows::<S, 1>(values, width, [weights.add(row * BLOCK)], n, [sums.add(row * width)]);
            }
        }
    }
}

/// The same, without the values whose weight is zero.
///
/// # Safety
/// As for `mix`.
#[inline(always)]
unsafe fn mix_seen<S: Simd>(
    values: *const f32,
    width: usize,
    weights: *const f32,
    n: usize,
    rows: usize,
    sums: *mut f32,
) {
    for row in 0..rows {
        // SAFETY: the caller's promise; `width` is a multiple of 8.
        unsafe {
            for at in (0..n).filter(|at| *weights.add(row * BLOCK + at) != 0.0) {
                let weight = S::all(*weights.add(row * BLOCK + at));
                for i in (0..width).step_by(8) {
                    let sum = sums.add(row * width + i);
                    S::put(sum, S::times_plus(S::floats(values.add(at * width + i)), weight, S::floats(sum)));
                }
            }
        }
    }
}

/// # Safety
/// As for `mix`, for 16 floats of every value.
#[inline(always)]
unsafe fn mix_rows<S: Simd, const N: usize>(
    values: *const f32,
    width: usize,
    weights: [*const f32; N],
    n: usize,
    sums: [*mut f32; N],
) {
    // SAFETY: the caller's promise. Rows of values begin at multiples of 16 floats in aligned memory.
    unsafe {
        let mut held = [[S::zero(); 2]; N];
        for (held, sum) in held.iter_mut().zip(sums) {
            *held = [S::floats(sum), S::floats(sum.add(8))];
        }
        let whole = n & !3;
        for at in (0..whole).step_by(4) {
            let x = quads::<S, N>(&weights, at);
            let p = values.add(at * width);
            step::<S, N>(p, lanes::<S, 0, N>(&x), &mut held);
            step::<S, N>(p.add(width), lanes::<S, 1, N>(&x), &mut held);
            step::<S, N>(p.add(2 * width), lanes::<S, 2, N>(&x), &mut held);
            step::<S, N>(p.add(3 * width), lanes::<S, 3, N>(&x), &mut held);
        }
        for at in whole..n {
            step::<S, N>(values.add(at * width), splats::<S, N>(&weights, at), &mut held);
        }
        for (sum, held) in sums.into_iter().zip(held) {
            S::put(sum, held[0]);
            S::put(sum.add(8), held[1]);
        }
    }
}
