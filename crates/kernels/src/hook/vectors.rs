//! ggml's loops over vectors of floats.

use super::{Hook, is_stock};
use crate::table::kernels;

const DOT_F16: Hook = Hook::of("ggml_vec_dot_f16");
const DOT_F32: Hook = Hook::of("ggml_vec_dot_f32");
const WIDEN: Hook = Hook::of("ggml_cpu_fp16_to_fp32");
const NARROW: Hook = Hook::of("ggml_cpu_fp32_to_fp16");
const SOFT_MAX: Hook = Hook::of("ggml_vec_soft_max_f32");

unsafe extern "C" {
    fn __real_ggml_vec_dot_f16(
        n: i32,
        s: *mut f32,
        bs: usize,
        x: *const u16,
        bx: usize,
        y: *const u16,
        by: usize,
        nrc: i32,
    );
    fn __real_ggml_vec_dot_f32(
        n: i32,
        s: *mut f32,
        bs: usize,
        x: *const f32,
        bx: usize,
        y: *const f32,
        by: usize,
        nrc: i32,
    );
    fn __real_ggml_vec_soft_max_f32(n: i32, y: *mut f32, x: *const f32, max: f32) -> f64;
    fn __real_ggml_cpu_fp16_to_fp32(x: *const u16, y: *mut f32, n: i64);
    fn __real_ggml_cpu_fp32_to_fp16(x: *const f32, y: *mut u16, n: i64);
}

/// # Safety
/// ggml's promise: `n` halves at `x` and `y`, one float at `s`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __wrap_ggml_vec_dot_f16(
    n: i32,
    s: *mut f32,
    bs: usize,
    x: *const u16,
    bx: usize,
    y: *const u16,
    by: usize,
    nrc: i32,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if is_stock() || nrc != 1 {
            return __real_ggml_vec_dot_f16(n, s, bs, x, bx, y, by, nrc);
        }
        DOT_F16.mark();
        *s = (kernels().vectors.dot_halves)(x, y, n.max(0) as usize);
    }
}

/// # Safety
/// ggml's promise: `n` floats at `x` and `y`, one at `s`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __wrap_ggml_vec_dot_f32(
    n: i32,
    s: *mut f32,
    bs: usize,
    x: *const f32,
    bx: usize,
    y: *const f32,
    by: usize,
    nrc: i32,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if is_stock() || nrc != 1 {
            return __real_ggml_vec_dot_f32(n, s, bs, x, bx, y, by, nrc);
        }
        DOT_F32.mark();
        *s = (kernels().vectors.dot_floats)(x, y, n.max(0) as usize);
    }
}

/// # Safety
/// ggml's promise: `n` halves at `x`, room for as many floats at `y`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __wrap_ggml_cpu_fp16_to_fp32(x: *const u16, y: *mut f32, n: i64) {
    // SAFETY: the caller's promise.
    unsafe {
        if is_stock() {
            return __real_ggml_cpu_fp16_to_fp32(x, y, n);
        }
        WIDEN.mark();
        (kernels().vectors.widen)(x, n.max(0) as usize, y);
    }
}

/// # Safety
/// ggml's promise: `n` floats at `x`, room for as many halves at `y`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __wrap_ggml_cpu_fp32_to_fp16(x: *const f32, y: *mut u16, n: i64) {
    // SAFETY: the caller's promise.
    unsafe {
        if is_stock() {
            return __real_ggml_cpu_fp32_to_fp16(x, y, n);
        }
        NARROW.mark();
        (kernels().vectors.narrow)(x, n.max(0) as usize, y);
    }
}

/// # Safety
/// ggml's promise: `n` floats at `x`, none above `max`, and room for as many at `y`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __wrap_ggml_vec_soft_max_f32(n: i32, y: *mut f32, x: *const f32, max: f32) -> f64 {
    // SAFETY: the caller's promise.
    unsafe {
        if is_stock() {
            return __real_ggml_vec_soft_max_f32(n, y, x, max);
        }
        SOFT_MAX.mark();
        (kernels().vectors.exponentials)(x, n.max(0) as usize, max, y)
    }
}
