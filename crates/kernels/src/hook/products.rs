//! Whole matrix products.
//!
//! ggml calls `llamafile_sgemm` twice for a product: first with the activations as floats, then as it has quantised
//! them. Taking the first call spares ggml's quantiser, and a barrier with it.

use super::{Hook, is_stock};
use crate::format::Weights;
use crate::kind::Kind;
use crate::product::{Job, can, product, share};
use core::ffi::c_void;

pub(super) const SGEMM: Hook = Hook::of("llamafile_sgemm");

/// The leading fields of `ggml_compute_params`, the same since ggml 0.9.
#[repr(C)]
pub struct Params {
    ith: i32,
    nth: i32,
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
    let real = || {
        // SAFETY: ggml's own arguments, handed on.
        unsafe { __real_llamafile_sgemm(params, m, n, k, a, lda, b, ldb, c, ldc, a_type, b_type, c_type) }
    };
    let Some(kind) = Kind::of(a_type) else { return real() };
    let (bytes, weights) = kind.block();
    let k = k as usize * weights;
    if is_stock() || b_type != F32 || c_type != F32 || n < 1 || !can(kind, k) {
        return real();
    }
    SGEMM.count();
    let job = Job {
        weights: Weights { data: a.cast(), stride: lda as usize * bytes, k },
        m: m as usize,
        b: b.cast(),
        b_stride: ldb as usize,
        n: n as usize,
        out: c.cast(),
        out_stride: ldc as usize,
    };
    // SAFETY: ggml gives the matrices, and every thread its own share of the rows.
    unsafe {
        let (ith, nth) = ((*params).ith as usize, (*params).nth as usize);
        product(kind, &job, share(job.m, ith, nth));
    }
    true
}
