//! The turn of what goes into a quantised cache, and of queries that meet it, as a whole operation.
//!
//! Whisper's ggml is older and knows no such turn; see [`super::weak`].

use super::attention::Tensor;
use super::products::Params;
use super::{Hook, is_stock, weak};
use crate::kind::Kind;
use crate::table::kernels;

const ROTATION: Hook = Hook::of("ggml_compute_forward_fwht");

type Forward = unsafe extern "C" fn(*const Params, *mut Tensor);

weak!("ggml_compute_forward_fwht" REAL: Forward);

/// # Safety
/// ggml's promise: the tensors are there, and each thread calls with its own `ith`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __wrap_ggml_compute_forward_fwht(params: *const Params, dst: *mut Tensor) {
    // SAFETY: ggml's own arguments, handed on, or read as it would read them; the linker wrote the static, and nobody
    // writes it again. Without ggml's function nobody calls this one.
    unsafe {
        if (is_stock() || !take(&*params, &*dst))
            && let Some(real) = REAL
        {
            real(params, dst);
        }
    }
}

/// Does this thread's share; false for what ggml has to do itself.
///
/// # Safety
/// As for the hook.
unsafe fn take(params: &Params, dst: &Tensor) -> bool {
    // SAFETY: sources of a node are tensors or null.
    let Some(x) = (unsafe { dst.src[1].as_ref() }) else { return false };
    let floats = |tensor: &Tensor| tensor.kind == Kind::F32 as i32 && tensor.nb[0] == 4;
    if !floats(x) || !floats(dst) || x.ne != dst.ne || !x.n(0).is_power_of_two() || x.n(0) < 8 {
        return false;
    }
    ROTATION.count();
    let rows = x.n(1) * x.n(2) * x.n(3);
    let (ith, nth) = (params.ith as usize, params.nth as usize);
    for row in rows * ith / nth..rows * (ith + 1) / nth {
        let at = [row % x.n(1), row / x.n(1) % x.n(2), row / x.n(1) / x.n(2)];
        // SAFETY: both tensors have this row, and no other thread writes it.
        unsafe { (kernels().vectors.rotate)(x.row(at).cast(), x.n(0), dst.row(at).cast()) };
    }
    true
}
