//! Whole matrix products.
//!
//! ggml calls `llamafile_sgemm` twice for a product: first with the activations as floats, then as it has quantised
//! them. Taking the first call spares ggml's quantiser, and a barrier with it.
//! Products of attention have activations that do not lie in one piece: they come in the second call only, as halves.

use super::{Hook, is_stock};
use crate::format::Weights;
use crate::kind::Kind;
use crate::product::{Column, Job, can, can_halves, product, share};
use core::ffi::c_void;

pub(super) const SGEMM: Hook = Hook::of("llamafile_sgemm");

/// The leading fields of `ggml_compute_params`, the same since ggml 0.9.
#[repr(C)]
pub struct Params {
    pub(super) ith: i32,
    pub(super) nth: i32,
}

unsafe extern "C" {
    fn __real_llamafile_sgemm(
        params: *const Params,
        m: i64,
        n: i64,
        k: i64,
        a: *const c_void,
        lda: i64,
        b: *const c_void,
        ldb: i64,
        c: *mut c_void,
        ldc: i64,
        a_type: i32,
        b_type: i32,
        c_type: i32,
    ) -> bool;
}

/// `k` and `lda` count blocks of the weights, `ldb` and `ldc` floats.
///
/// # Safety
/// ggml's promise: the matrices are there, and each thread calls with its own `ith`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __wrap_llamafile_sgemm(
    params: *const Params,
    m: i64,
    n: i64,
    k: i64,
    a: *const c_void,
    lda: i64,
    b: *const c_void,
    ldb: i64,
    c: *mut c_void,
    ldc: i64,
    a_type: i32,
    b_type: i32,
    c_type: i32,
) -> bool {
    const F32: i32 = Kind::F32 as i32;
    const F16: i32 = Kind::F16 as i32;
    let real = || {
        // SAFETY: ggml's own arguments, handed on.
        unsafe { __real_llamafile_sgemm(params, m, n, k, a, lda, b, ldb, c, ldc, a_type, b_type, c_type) }
    };
    let Some(kind) = Kind::of(a_type) else { return real() };
    let (bytes, weights) = kind.block();
    let k = k as usize * weights;
    if is_stock() || c_type != F32 || n < 1 {
        return real();
    }
    let weights = Weights { data: a.cast(), stride: lda as usize * bytes, k };
    let shape = Shape { m: m as usize, b_stride: ldb as usize, n: n as usize, out_stride: ldc as usize };
    // SAFETY: ggml gives the matrices, and every thread its own share of the rows.
    unsafe {
        match b_type {
            F32 if can(kind, k) => take::<f32>(params, kind, weights, b.cast(), c.cast(), shape),
            F16 if can_halves(kind, k) => take::<u16>(params, kind, weights, b.cast(), c.cast(), shape),
            _ => return real(),
        }
    }
    true
}

struct Shape {
    m: usize,
    b_stride: usize,
    n: usize,
    out_stride: usize,
}

/// # Safety
/// As for the hook.
unsafe fn take<C: Column>(
    params: *const Params,
    kind: Kind,
    weights: Weights,
    b: *const C,
    out: *mut f32,
    Shape { m, b_stride, n, out_stride }: Shape,
) {
    SGEMM.count();
    let job = Job { weights, m, b, b_stride, n, out, out_stride };
    // SAFETY: the caller's promise.
    unsafe {
        let (ith, nth) = ((*params).ith as usize, (*params).nth as usize);
        product(kind, &job, share(m, ith, nth));
    }
}
