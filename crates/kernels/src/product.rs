//! A whole matrix product, cut into panels of columns that fit a small memory of its own.

use crate::format::Weights;
use crate::kind::Kind;
use crate::panels::Columns;
use crate::table::kernels;
use core::mem::MaybeUninit;
use core::ops::Range;

/// Prepared activations on the stack of one thread: as much of a second-level cache as leaves room for the weights.
const ROOM: usize = 256 << 10;

#[repr(C, align(64))]
struct Room(MaybeUninit<[u8; ROOM]>);

/// Rows are shared out in units of this many, so that each row meets the same kernel whatever the number of threads.
pub const UNIT: usize = 16;

/// Columns of floats, and where their products go.
#[derive(Clone, Copy)]
pub struct Job {
    pub weights: Weights,
    /// Rows of the weights.
    pub m: usize,
    pub b: *const f32,
    /// From one column to the next, in floats.
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

/// Multiplies `rows` of the weights with all columns.
///
/// # Safety
/// All of the job's memory must be there, and no other thread may write to these rows of the products.
/// [`can`] must have said yes.
pub unsafe fn product(kind: Kind, job: &Job, rows: Range<usize>) {
    let Some(entry) = kernels().entry(kind) else { return };
    if rows.is_empty() {
        return;
    }
    let whole = Columns {
        acts: job.b.cast(),
        stride: job.b_stride * 4,
        n: job.n,
        out: job.out,
        out_stride: job.out_stride,
    };
    // SAFETY: the caller's promise, and prepared columns fit the room by the choice of `panel`.
    unsafe {
        if entry.act_bytes == 0 {
            return multiply(entry, &job.weights, rows, &whole);
        }
        let mut room = Room(MaybeUninit::uninit());
        let room = room.0.as_mut_ptr().cast::<u8>();
        let stride = job.weights.k.div_ceil(128) * entry.act_bytes;
        let panel = ROOM / stride;
        for first in (0..job.n).step_by(panel) {
            let n = panel.min(job.n - first);
            for column in 0..n {
                let x = job.b.add((first + column) * job.b_stride);
                (entry.prepare)(x, job.weights.k, room.add(column * stride));
            }
            let out = job.out.add(first * job.out_stride);
            multiply(entry, &job.weights, rows.clone(), &Columns { acts: room, stride, n, out, ..whole });
        }
    }
}

#[inline(always)]
unsafe fn multiply(entry: &crate::table::Entry, w: &Weights, rows: Range<usize>, columns: &Columns) {
    // SAFETY: handed on from `product`.
    unsafe {
        match columns.n {
            1 => (entry.one)(w, rows, columns.acts, columns.out),
            _ => (entry.many)(w, rows, columns),
        }
    }
}
