//! ggml's quantisers of activations, and its products of a row of weights with what they wrote.

use super::{Hook, is_stock};
use crate::table::kernels;
use core::ffi::c_void;

/// Quantisers: `k` floats at `x`, room for their blocks at `y`.
macro_rules! quantisers {
    ($($name:literal $field:ident: $wrap:ident $real:ident;)+) => {$(
        unsafe extern "C" {
            fn $real(x: *const f32, y: *mut c_void, k: i64);
        }

        /// # Safety
        /// ggml's promise: `k` floats at `x`, a multiple of the block, and room for their blocks at `y`.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $wrap(x: *const f32, y: *mut c_void, k: i64) {
            const HOOK: Hook = Hook::of($name);
            // SAFETY: the caller's promise.
            unsafe {
                if is_stock() {
                    return $real(x, y, k);
                }
                HOOK.mark();
                (kernels().blocks.$field)(x, k.max(0) as usize, y.cast());
            }
        }
    )+};
}

quantisers! {
    "quantize_row_q8_0" quantise_q8_0: __wrap_quantize_row_q8_0 __real_quantize_row_q8_0;
    "quantize_row_q8_1" quantise_q8_1: __wrap_quantize_row_q8_1 __real_quantize_row_q8_1;
    "quantize_row_q8_K" quantise_q8_k: __wrap_quantize_row_q8_K __real_quantize_row_q8_K;
}

/// Products: `n` weights at `x`, as many activations at `y`, one float at `s`.
macro_rules! dots {
    ($($name:literal $field:ident: $wrap:ident $real:ident;)+) => {$(
        unsafe extern "C" {
            fn $real(
                n: i32, s: *mut f32, bs: usize, x: *const c_void, bx: usize, y: *const c_void, by: usize, nrc: i32,
            );
        }

        /// # Safety
        /// ggml's promise: `n` weights at `x`, as many activations at `y`, one float at `s`.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $wrap(
            n: i32,
            s: *mut f32,
            bs: usize,
            x: *const c_void,
            bx: usize,
            y: *const c_void,
            by: usize,
            nrc: i32,
        ) {
            const HOOK: Hook = Hook::of($name);
            // SAFETY: the caller's promise.
            unsafe {
                if is_stock() || nrc != 1 {
                    return $real(n, s, bs, x, bx, y, by, nrc);
                }
                HOOK.mark();
                *s = (kernels().blocks.$field)(n.max(0) as usize, x.cast(), y.cast());
            }
        }
    )+};
}

dots! {
    "ggml_vec_dot_q4_1_q8_1" dot_q4_1: __wrap_ggml_vec_dot_q4_1_q8_1 __real_ggml_vec_dot_q4_1_q8_1;
    "ggml_vec_dot_q5_0_q8_0" dot_q5_0: __wrap_ggml_vec_dot_q5_0_q8_0 __real_ggml_vec_dot_q5_0_q8_0;
    "ggml_vec_dot_q5_1_q8_1" dot_q5_1: __wrap_ggml_vec_dot_q5_1_q8_1 __real_ggml_vec_dot_q5_1_q8_1;
    "ggml_vec_dot_q8_0_q8_0" dot_q8_0: __wrap_ggml_vec_dot_q8_0_q8_0 __real_ggml_vec_dot_q8_0_q8_0;
    "ggml_vec_dot_iq4_nl_q8_0" dot_iq4_nl: __wrap_ggml_vec_dot_iq4_nl_q8_0 __real_ggml_vec_dot_iq4_nl_q8_0;
    "ggml_vec_dot_q4_K_q8_K" dot_q4_k: __wrap_ggml_vec_dot_q4_K_q8_K __real_ggml_vec_dot_q4_K_q8_K;
    "ggml_vec_dot_q5_K_q8_K" dot_q5_k: __wrap_ggml_vec_dot_q5_K_q8_K __real_ggml_vec_dot_q5_K_q8_K;
    "ggml_vec_dot_q6_K_q8_K" dot_q6_k: __wrap_ggml_vec_dot_q6_K_q8_K __real_ggml_vec_dot_q6_K_q8_K;
}
