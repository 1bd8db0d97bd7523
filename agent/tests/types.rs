//! ggml's table of types, as whisper has it: what stands there for rows is ours.
#![cfg(feature = "hear")]
#![allow(unsafe_code)] // The table is C's.
#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use agent as _; // It brings whisper.cpp, and the hooks under it.
use kernels::hook::{self, Mode};
use kernels::{Kind, WRAPPED};
use whisper_rs_sys::{ggml_get_type_traits_cpu, ggml_type_GGML_TYPE_COUNT};

/// Calls what whisper's ggml has in its table for a type, with a block of zeros.
fn call_table(kind: Kind) {
    let zeros = [0u8; 4096];
    let (mut product, mut out) = (1f32, [0u8; 4096]);
    // SAFETY: the caller's type is in the table, which is there for good. 256 weights are whole blocks of every type, and
    // as many zeros of any type, floats at most, are in 4096 bytes.
    unsafe {
        let traits = &*ggml_get_type_traits_cpu(kind as u32);
        let (x, s) = (zeros.as_ptr().cast(), &raw mut product);
        traits.vec_dot.expect("a type with a product")(256, s, 0, x, 0, x, 0, 1);
        let acts = &*ggml_get_type_traits_cpu(traits.vec_dot_type);
        if let Some(from_float) = acts.from_float {
            from_float(zeros.as_ptr().cast(), out.as_mut_ptr().cast(), 256);
        }
    }
    assert_eq!((product, out), (0.0, [0; 4096]), "{kind:?}");
}

/// Wrapped symbols that stand in ggml's table of types, and that whisper's ggml knows.
fn in_the_table(symbol: &str) -> bool {
    let newer = ["ggml_vec_dot_q1_0_q8_0", "ggml_vec_dot_q2_0_q8_0"];
    (symbol.starts_with("ggml_vec_dot_") || symbol.starts_with("quantize_row_")) && !newer.contains(&symbol)
}

#[test]
fn every_product_of_rows_in_whispers_table_of_types_is_ours() {
    let kinds = || Kind::ALL.into_iter().filter(|kind| (*kind as u32) < ggml_type_GGML_TYPE_COUNT);
    let called = |mode| {
        hook::set_mode(mode);
        hook::forget();
        kinds().for_each(call_table);
        let called = hook::report().filter(|(symbol, calls)| in_the_table(symbol) && *calls > 0);
        called.map(|(symbol, _)| symbol).collect::<Vec<_>>()
    };
    let want: Vec<_> = WRAPPED.iter().copied().filter(|symbol| in_the_table(symbol)).collect();
    assert_eq!(called(Mode::Ours), want);
    assert_eq!(called(Mode::Stock), Vec::<&str>::new());
    hook::set_mode(Mode::Ours);
}
