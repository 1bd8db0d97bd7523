//! What `-Wl,--wrap=SYMBOL` puts in place of ggml's own functions.
//!
//! ggml calls `llamafile_sgemm` twice for a product: first with the activations as floats, then as it has quantised
//! them. Taking the first call spares ggml's quantiser, and a barrier with it.

use crate::format::Weights;
use crate::kind::Kind;
use crate::product::{Job, can, product, share};
use core::ffi::c_void;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Whose code runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    Ours = 0,
    /// ggml's own, so that one program can measure both.
    Stock = 1,
}

static MODE: AtomicU8 = AtomicU8::new(Mode::Ours as u8);
static PRODUCTS: AtomicU64 = AtomicU64::new(0);

pub fn set_mode(mode: Mode) {
    MODE.store(mode as u8, Ordering::Relaxed);
}

fn is_stock() -> bool {
    MODE.load(Ordering::Relaxed) == Mode::Stock as u8
}

/// Matrix products taken over so far, once for each thread: a test that this moves shows that the hook is in place.
pub fn n_products() -> u64 {
    PRODUCTS.load(Ordering::Relaxed)
}

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
    PRODUCTS.fetch_add(1, Ordering::Relaxed);
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
