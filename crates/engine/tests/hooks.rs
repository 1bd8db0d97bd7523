//! Every wrapped symbol, through real graphs of ggml: a release that renames one must not silently go back to its
//! own code.

#![allow(unsafe_code)] // ggml's graphs are built through its C interface.

use engine::kernels::hook::{self, Mode};
use engine::kernels::{Kind, WRAPPED};
use llama_cpp_sys_2 as sys;
use std::ptr::null_mut;
use std::sync::Mutex;

/// Counters and mode belong to the process: one test at a time.
static ONE: Mutex<()> = Mutex::new(());

type Node = *mut sys::ggml_tensor;

/// Runs the graph that `build` makes, on one thread.
fn run(build: impl FnOnce(*mut sys::ggml_context) -> Node) {
    engine::init();
    let params = sys::ggml_init_params { mem_size: 32 << 20, mem_buffer: null_mut(), no_alloc: false };
    // SAFETY: the context owns all tensors, and is freed last.
    unsafe {
        let context = sys::ggml_init(params);
        assert!(!context.is_null());
        let node = build(context);
        let graph = sys::ggml_new_graph(context);
        sys::ggml_build_forward_expand(graph, node);
        assert_eq!(sys::ggml_graph_compute_with_ctx(context, graph, 1), 0);
        sys::ggml_free(context);
    }
}

fn zeros(context: *mut sys::ggml_context, kind: Kind, ne: [i64; 3]) -> Node {
    // SAFETY: the context is alive and large enough.
    unsafe {
        sys::ggml_set_zero(sys::ggml_new_tensor_3d(context, kind as sys::ggml_type, ne[0], ne[1], ne[2]))
    }
}

/// A product whose activations lie in one piece, or do not.
fn product(kind: Kind, in_one_piece: bool) {
    run(|context| {
        let weights = zeros(context, kind, [256, 48, 3]);
        // SAFETY: the tensors are the context's; permuted, 3 x 5 columns become 5 x 3.
        unsafe {
            let columns = match in_one_piece {
                true => zeros(context, Kind::F32, [256, 5, 3]),
                false => sys::ggml_permute(context, zeros(context, Kind::F32, [256, 3, 5]), 0, 2, 1, 3),
            };
            sys::ggml_mul_mat(context, weights, columns)
        }
    });
}

/// Attention over a cache of this kind; `cap` is what our hook leaves to ggml.
fn attention(kind: Kind, cap: f32) {
    run(|context| {
        let query = zeros(context, Kind::F32, [64, 2, 4]);
        let (keys, values) = (zeros(context, kind, [64, 32, 2]), zeros(context, kind, [64, 32, 2]));
        // SAFETY: the tensors are the context's.
        unsafe { sys::ggml_flash_attn_ext(context, query, keys, values, null_mut(), 0.125, 0.0, cap) }
    });
}

/// The operation in which ggml calls this symbol.
fn operate(symbol: &str) {
    match symbol {
        "llamafile_sgemm" => product(Kind::F32, true),
        "ggml_compute_forward_flash_attn_ext" => attention(Kind::Q8_0, 0.0),
        "ggml_compute_forward_fwht" => run(|context| {
            let (turn, x) = (zeros(context, Kind::F32, [64, 64, 1]), zeros(context, Kind::F32, [64, 6, 1]));
            // SAFETY: the tensors are the context's.
            unsafe {
                let node = sys::ggml_mul_mat(context, turn, x);
                sys::ggml_mul_mat_set_hint(node, sys::GGML_HINT_SRC0_IS_HADAMARD);
                node
            }
        }),
        "ggml_vec_dot_f16" => attention(Kind::F16, 30.0),
        "ggml_cpu_fp32_to_fp16" => product(Kind::F16, false),
        "quantize_row_q8_0" => product(Kind::Q8_0, false),
        "quantize_row_q8_1" => product(Kind::Q4_1, false),
        "quantize_row_q8_K" => product(Kind::Q4_K, false),
        "ggml_vec_soft_max_f32" => run(|context| {
            // SAFETY: the tensor is the context's.
            unsafe { sys::ggml_soft_max(context, zeros(context, Kind::F32, [64, 2, 1])) }
        }),
        "ggml_cpu_fp16_to_fp32" => run(|context| {
            let table = zeros(context, Kind::F16, [64, 8, 1]);
            // SAFETY: the tensors are the context's; all indices are 0.
            unsafe {
                let rows = sys::ggml_new_tensor_1d(context, sys::GGML_TYPE_I32, 3);
                sys::ggml_get_rows(context, table, sys::ggml_set_zero(rows))
            }
        }),
        _ => {
            let dot =
                symbol.strip_prefix("ggml_vec_dot_").unwrap_or_else(|| panic!("no operation for {symbol}"));
            let named = |kind: &Kind| dot.to_lowercase().starts_with(&format!("{kind:?}").to_lowercase());
            product(*Kind::ALL.iter().find(|kind| named(kind)).expect("a dot of a kind"), false);
        }
    }
}

fn count(symbol: &str) -> u64 {
    hook::report().find(|(name, _)| *name == symbol).expect("a wrapped symbol").1
}

#[test]
fn every_wrapped_symbol_is_called_by_ggml() {
    let _one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    for symbol in WRAPPED {
        hook::set_mode(Mode::Ours);
        hook::forget();
        operate(symbol);
        assert!(count(symbol) > 0, "ggml no longer calls {symbol}: our code is not used");
    }
}

#[test]
fn with_stock_kernels_no_hook_works() {
    let _one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    hook::set_mode(Mode::Stock);
    hook::forget();
    WRAPPED.iter().for_each(|symbol| operate(symbol));
    hook::set_mode(Mode::Ours);
    let worked: Vec<_> = hook::report().filter(|(_, calls)| *calls > 0).collect();
    assert!(worked.is_empty(), "these worked all the same: {worked:?}");
}
