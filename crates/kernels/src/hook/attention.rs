//! Flash attention, as a whole operation.
//!
//! This hook and `rotation` read ggml's tensors. Their layout is the same since ggml 0.9; a program that wraps this
//! symbol checks it at compile time with [`Tensor::OFFSETS`] and the bindings of its own ggml.

use super::products::Params;
use super::{Hook, is_stock};
use crate::attention::{Attention, ROWS, Rows, WIDTH, has_values};
use crate::kind::Kind;
use crate::product::can;
use crate::table::kernels;
use core::mem::offset_of;
use core::ptr::null;

const ATTENTION: Hook = Hook::of("ggml_compute_forward_flash_attn_ext");

/// The leading fields of `ggml_tensor`.
#[repr(C)]
pub struct Tensor {
    pub(super) kind: i32,
    buffer: *const u8,
    pub(super) ne: [i64; 4],
    pub(super) nb: [usize; 4],
    op: i32,
    op_params: [i32; 16],
    flags: i32,
    pub(super) src: [*const Tensor; 10],
    view_src: *const Tensor,
    view_offs: usize,
    data: *mut u8,
}

impl Tensor {
    /// Where `ne`, `nb`, `op_params`, `src` and `data` lie.
    pub const OFFSETS: [usize; 5] = [
        offset_of!(Tensor, ne),
        offset_of!(Tensor, nb),
        offset_of!(Tensor, op_params),
        offset_of!(Tensor, src),
        offset_of!(Tensor, data),
    ];

    pub(super) fn n(&self, dimension: usize) -> usize {
        self.ne[dimension].max(0) as usize
    }

    /// The row at these indices of dimensions 1, 2 and 3.
    pub(super) fn row(&self, at: [usize; 3]) -> *mut u8 {
        self.data.wrapping_add(at[0] * self.nb[1] + at[1] * self.nb[2] + at[2] * self.nb[3])
    }
}

unsafe extern "C" {
    fn __real_ggml_compute_forward_flash_attn_ext(params: *const Params, dst: *mut Tensor);
}

/// # Safety
/// ggml's promise: the tensors are there, and each thread calls with its own `ith`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __wrap_ggml_compute_forward_flash_attn_ext(params: *const Params, dst: *mut Tensor) {
    // SAFETY: ggml's own arguments, handed on, or read as it would read them.
    unsafe {
        if is_stock() || !take(&*params, &*dst) {
            __real_ggml_compute_forward_flash_attn_ext(params, dst);
        }
    }
}

/// Does this thread's share; false for what ggml has to do itself.
///
/// # Safety
/// As for the hook.
unsafe fn take(params: &Params, dst: &Tensor) -> bool {
    // SAFETY: sources of a node are tensors or null.
    let (Some(q), Some(k), Some(v)) =
        (unsafe { (dst.src[0].as_ref(), dst.src[1].as_ref(), dst.src[2].as_ref()) })
    else {
        return false;
    };
    // SAFETY: the same.
    let mask = unsafe { dst.src[3].as_ref() };
    let (Some(key), Some(value)) = (Kind::of(k.kind), Kind::of(v.kind)) else { return false };
    let [scale, bias, cap] = [0, 1, 2].map(|i| f32::from_bits(dst.op_params[i] as u32));
    let widths = [k.n(0), v.n(0)];
    let plain = bias == 0.0 && cap == 0.0 && dst.src[4].is_null();
    let known = q.kind == Kind::F32 as i32
        && has_values(value)
        && can(key, widths[0])
        && widths.iter().all(|&width| width.is_multiple_of(32) && width <= WIDTH && width > 0)
        && mask.is_none_or(|mask| mask.kind == Kind::F16 as i32 && mask.n(0) >= k.n(1));
    let heads = k.n(2);
    let fits = q.n(0) == widths[0]
        && k.n(1) == v.n(1)
        && [2, 3].iter().all(|&d| k.n(d) == v.n(d) && k.n(d) > 0 && q.n(d).is_multiple_of(k.n(d)))
        && q.n(2) / heads.max(1) <= ROWS;
    let rows = [(q.nb[0], 4), (k.nb[0], key.block().0), (v.nb[0], value.block().0)];
    if !plain || !known || !fits || rows.iter().any(|(nb, bytes)| nb != bytes) {
        return false;
    }
    ATTENTION.count();
    let shared = q.n(2) / heads;
    let (batches, per_batch) = (q.n(3), q.n(3) / k.n(3));
    let step = (ROWS / shared).max(1);
    let blocks = q.n(1).div_ceil(step);
    let units = blocks * heads * batches;
    let (ith, nth) = (params.ith as usize, params.nth as usize);
    // Units do not depend on the number of threads, so the results do not either.
    for unit in units * ith / nth..units * (ith + 1) / nth {
        let (block, head, batch) = (unit % blocks, unit / blocks % heads, unit / blocks / heads);
        let cache = |tensor: &Tensor, kind| Rows {
            kind,
            data: tensor.row([0, head, batch / per_batch]),
            stride: tensor.nb[1],
        };
        let mut attention = Attention {
            keys: cache(k, key),
            values: cache(v, value),
            key_width: widths[0],
            value_width: widths[1],
            positions: 0..0,
            scale,
            n: 0,
            queries: [null(); ROWS],
            masks: [null(); ROWS],
            out: [core::ptr::null_mut(); ROWS],
        };
        let (mut first, mut end) = (k.n(1), 0);
        for at in block * step..q.n(1).min((block + 1) * step) {
            for head in head * shared..(head + 1) * shared {
                let row = attention.n;
                attention.queries[row] = q.row([at, head, batch]).cast();
                // The result has its heads before its positions.
                attention.out[row] = dst.row([head, at, batch]).cast();
                if let Some(mask) = mask {
                    let mask =
                        mask.row([at, head % mask.n(2).max(1), batch % mask.n(3).max(1)]).cast::<u16>();
                    attention.masks[row] = mask;
                    // SAFETY: a mask row is as long as the cache.
                    let seen = unsafe { seen(mask, k.n(1)) };
                    (first, end) = (first.min(seen.start), end.max(seen.end));
                } else {
                    (first, end) = (0, k.n(1));
                }
                attention.n += 1;
            }
        }
        attention.positions = first.min(end)..end;
        // SAFETY: everything was checked above; rows of a unit are no other thread's.
        unsafe { (kernels().vectors.attend)(&attention) };
    }
    true
}

/// From the first position that is not hidden to the last.
///
/// # Safety
/// `n` halves must be readable.
unsafe fn seen(mask: *const u16, n: usize) -> core::ops::Range<usize> {
    const HIDDEN: u16 = 0xfc00;
    // SAFETY: indices are less than `n`.
    let hidden = |at: &usize| unsafe { *mask.add(*at) == HIDDEN };
    let first = (0..n).take_while(hidden).count();
    let end = n - (first..n).rev().take_while(hidden).count();
    first..end
}
