//! Products of a row of weights of few bits with what ggml's quantisers wrote.
//!
//! Whisper's ggml is older and knows neither Q1_0 nor Q2_0; see [`super::weak`].

use super::{Hook, is_stock, weak};
use crate::table::kernels;
use core::ffi::c_void;

type Dot = unsafe extern "C" fn(i32, *mut f32, usize, *const c_void, usize, *const c_void, usize, i32);

macro_rules! dots {
    ($($name:literal $field:ident: $wrap:ident $real:ident;)+) => {$(
        weak!($name $real: Dot);

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
            // SAFETY: the caller's promise; the linker wrote the static, and nobody writes it again.
            unsafe {
                if let (true, Some(real)) = (is_stock() || nrc != 1, $real) {
                    return real(n, s, bs, x, bx, y, by, nrc);
                }
                HOOK.mark();
                *s = (kernels().blocks.$field)(n.max(0) as usize, x.cast(), y.cast());
            }
        }
    )+};
}

dots! {
    "ggml_vec_dot_q1_0_q8_0" dot_q1_0: __wrap_ggml_vec_dot_q1_0_q8_0 REAL_Q1_0;
    "ggml_vec_dot_q2_0_q8_0" dot_q2_0: __wrap_ggml_vec_dot_q2_0_q8_0 REAL_Q2_0;
    "ggml_vec_dot_tq1_0_q8_K" dot_tq1_0: __wrap_ggml_vec_dot_tq1_0_q8_K REAL_TQ1_0;
    "ggml_vec_dot_tq2_0_q8_K" dot_tq2_0: __wrap_ggml_vec_dot_tq2_0_q8_K REAL_TQ2_0;
}
