//! A whole matrix product, cut into panels of columns that fit a small memory of its own.

use crate::format::Weights;
use crate::kind::Kind;
use crate::panels::Columns;
use crate::table::{Entry, kernels};
use core::mem::MaybeUninit;
use core::ops::Range;

/// Prepared activations on the stack of one thread: as much of a second-level cache as leaves room for the weights.
const ROOM: usize = 256 << 10;
/// Enough for one column, and for a head of attention: the system would have to touch every page of more.
const SMALL_ROOM: usize = 16 << 10;

#[repr(C, align(64))]
struct Room<const BYTES: usize>(MaybeUninit<[u8; BYTES]>);

/// Rows are shared out in units of this many, so that each row meets the same kernel whatever the number of threads.
pub const UNIT: usize = 16;

/// What columns are made of: floats, or halves as `u16`.
pub trait Column: Copy {
    const HALVES: bool;
}

impl Column for f32 {
    const HALVES: bool = false;
}

impl Column for u16 {
    const HALVES: bool = true;
}

/// Columns of floats or halves, and where their products go.
#[derive(Clone, Copy)]
pub struct Job<C: Column = f32> {
    pub weights: Weights,
    /// Rows of the weights.
    pub m: usize,
    pub b: *const C,
    /// From one column to the next, in floats or halves.
    pub b_stride: usize,
    pub n: usize,
    pub out: *mut f32,
    /// From one column of products to the next, in floats.
    pub out_stride: usize,
}

/// The rows that thread `ith` of `nth` takes.
pub fn share(m: usize, ith: usize, nth: usize) -> Range<usize> {
    let units = m.div_ceil(UNIT);
    let edge = |i: usize| (units * i / nth * UNIT).min(m);
    edge(ith)..edge(ith + 1)
}

/// Whether [`product`] can do this kind with rows of this length.
pub fn can(kind: Kind, k: usize) -> bool {
    let Some(entry) = kernels().entry(kind) else { return false };
    let blocks = k.is_multiple_of(kind.block().1) && (entry.act_bytes == 0 || k.is_multiple_of(32));
    k > 0 && blocks && k.div_ceil(128) * entry.act_bytes <= ROOM
}

/// Whether [`product`] can do this kind with columns of halves.
pub fn can_halves(kind: Kind, k: usize) -> bool {
    can(kind, k) && kernels().entry(kind).is_some_and(|entry| entry.act_bytes == 0) && k <= ROOM / 4 - 16
}

/// Multiplies `rows` of the weights with all columns.
///
/// # Safety
/// All of the job's memory must be there, and no other thread may write to these rows of the products.
/// [`can`] must have said yes, and [`can_halves`] for columns of halves.
pub unsafe fn product<C: Column>(kind: Kind, job: &Job<C>, rows: Range<usize>) {
    let Some(entry) = kernels().entry(kind) else { return };
    if rows.is_empty() {
        return;
    }
    let stride = match (entry.act_bytes, C::HALVES) {
        (0, false) => {
            let columns = Columns {
                acts: job.b.cast(),
                stride: job.b_stride * 4,
                n: job.n,
                out: job.out,
                out_stride: job.out_stride,
            };
            // SAFETY: the caller's promise.
            return unsafe { multiply(entry, &job.weights, rows, &columns) };
        }
        (0, true) => (job.weights.k * 4).next_multiple_of(64),
        (bytes, _) => job.weights.k.div_ceil(128) * bytes,
    };
    // SAFETY: the caller's promise; `can` and `can_halves` see to it that one column fits.
    unsafe {
        match job.n * stride <= SMALL_ROOM {
            true => in_room::<C, SMALL_ROOM>(entry, job, rows, stride),
            false => in_room::<C, ROOM>(entry, job, rows, stride),
        }
    }
}

/// Prepares as many columns as the room holds, and multiplies them, until all are done.
#[inline(never)] // The large room is no business of the small one's stack.
unsafe fn in_room<C: Column, const BYTES: usize>(
    entry: &Entry,
    job: &Job<C>,
    rows: Range<usize>,
    stride: usize,
) {
    let mut room = Room(MaybeUninit::<[u8; BYTES]>::uninit());
    let room = room.0.as_mut_ptr().cast::<u8>();
    let panel = BYTES / stride;
    for first in (0..job.n).step_by(panel) {
        let n = panel.min(job.n - first);
        // SAFETY: handed on from `product`, and prepared columns fit the room by the choice of `panel`.
        unsafe {
            for column in 0..n {
                let x = job.b.add((first + column) * job.b_stride);
                let out = room.add(column * stride);
                match C::HALVES {
                    true => (kernels().vectors.widen)(x.cast(), job.weights.k, out.cast()),
                    false => (entry.prepare)(x.cast(), job.weights.k, out),
                }
            }
            let out = job.out.add(first * job.out_stride);
            let columns = Columns { acts: room, stride, n, out, out_stride: job.out_stride };
            multiply(entry, &job.weights, rows.clone(), &columns);
        }
    }
}

#[inline(always)]
unsafe fn multiply(entry: &Entry, w: &Weights, rows: Range<usize>, columns: &Columns) {
    // SAFETY: handed on from `product`.
    unsafe {
        match columns.n {
            1 => (entry.one)(w, rows, columns.acts, columns.out),
            _ => (entry.many)(w, rows, columns),
        }
    }
}
