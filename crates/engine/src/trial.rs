//! One matrix product of ggml's, alone: what the kernels are measured with.
//!
//! It goes through a real graph, as every product of a model does, so the hooks see what they see there.

use crate::memory::Memory;
use crate::{Error, init, sys};
use kernels::Kind;
use std::ptr::NonNull;

/// Rows and columns of a matrix, and columns of activations.
const DIM_MAX: usize = 1 << 20;
/// All weights of a trial.
const BYTES_MAX: usize = 1 << 31;
const THREADS_MAX: usize = 64;
/// Different rows; the matrix repeats them, which no kernel notices.
const ROWS_MADE: usize = 32;
/// More than a graph of one product and its three tensors needs.
const GRAPH_BYTES: usize = 1 << 20;

/// What is multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Product {
    pub kind: Kind,
    pub rows: usize,
    /// Weights in a row.
    pub k: usize,
    /// Columns of activations.
    pub columns: usize,
    pub threads: usize,
    /// The same matrix this many times, taken in turn, so that it is not found in a cache.
    pub copies: usize,
}

impl Product {
    /// Bytes of one matrix.
    pub fn bytes(&self) -> usize {
        let (bytes, weights) = self.kind.block();
        self.rows * (self.k / weights) * bytes
    }

    /// Multiply-adds of one run.
    pub fn macs(&self) -> usize {
        self.rows * self.k * self.columns
    }

    fn check(&self) -> Result<(), Error> {
        let wrong =
            |name, value: usize, want: String| Err(Error::Setting { name, value: value.to_string(), want });
        for (name, value) in
            [("rows", self.rows), ("k", self.k), ("columns", self.columns), ("copies", self.copies)]
        {
            if !(1..=DIM_MAX).contains(&value) {
                return wrong(name, value, format!("1 to {DIM_MAX}"));
            }
        }
        let block = self.kind.block().1;
        if !self.k.is_multiple_of(block) {
            return wrong("k", self.k, format!("a multiple of {block}"));
        }
        if !(1..=THREADS_MAX).contains(&self.threads) {
            return wrong("threads", self.threads, format!("1 to {THREADS_MAX}"));
        }
        match self.bytes().checked_mul(self.copies) {
            Some(1..=BYTES_MAX) => Ok(()),
            _ => wrong(
                "copies",
                self.copies,
                format!("so many that the weights take at most {BYTES_MAX} bytes"),
            ),
        }
    }
}

/// A product that can be run again and again.
pub struct Trial {
    product: Product,
    context: NonNull<sys::ggml_context>,
    graph: *mut sys::ggml_cgraph,
    plan: sys::ggml_cplan,
    weights: *mut sys::ggml_tensor,
    matrices: Memory,
    out: Memory,
    /// What the plan and the graph point to.
    _kept: [Memory; 2],
    turn: usize,
}

impl Trial {
    pub fn new(product: Product) -> Result<Trial, Error> {
        product.check()?;
        init();
        let Product { kind, rows, k, columns, threads, .. } = product;
        let matrices = matrices(&product);
        let activations = Memory::of_floats(&numbers(k * columns, 2));
        let mut out = Memory::new(rows * columns * 4);
        let settings =
            sys::ggml_init_params { mem_size: GRAPH_BYTES, mem_buffer: std::ptr::null_mut(), no_alloc: true };
        // SAFETY: the library makes memory of its own, and null says that it could not.
        let context = NonNull::new(unsafe { sys::ggml_init(settings) });
        let Some(context) = context else {
            return Err(Error::Library { what: "make a graph", said: String::new() });
        };
        // SAFETY: the context is fresh and has room for three tensors and a graph. Their data is memory of ours, of the
        // sizes that `check` and the lines above gave it, and lives as long as the trial.
        unsafe {
            let at = context.as_ptr();
            let weights = sys::ggml_new_tensor_2d(at, kind as u32, k as i64, rows as i64);
            (*weights).data = matrices.start().cast();
            let b = sys::ggml_new_tensor_2d(at, sys::GGML_TYPE_F32, k as i64, columns as i64);
            (*b).data = activations.start().cast();
            let c = sys::ggml_mul_mat(at, weights, b);
            (*c).data = out.bytes_mut().as_mut_ptr().cast();
            let graph = sys::ggml_new_graph(at);
            sys::ggml_build_forward_expand(graph, c);
            let mut plan = sys::ggml_graph_plan(graph, threads as i32, std::ptr::null_mut());
            let mut work = Memory::new(plan.work_size.max(1));
            plan.work_data = work.bytes_mut().as_mut_ptr();
            Ok(Trial {
                product,
                context,
                graph,
                plan,
                weights,
                matrices,
                out,
                _kept: [activations, work],
                turn: 0,
            })
        }
    }

    pub fn product(&self) -> &Product {
        &self.product
    }

    /// All copies of the matrix, as bytes.
    pub fn matrices(&self) -> &[u8] {
        self.matrices.bytes()
    }

    /// Multiplies once, with the next copy of the matrix.
    pub fn run(&mut self) -> Result<(), Error> {
        self.turn = (self.turn + 1) % self.product.copies;
        // SAFETY: the turn is less than the number of copies, and the plan belongs to this graph.
        let status = unsafe {
            (*self.weights).data = self.matrices.start().add(self.turn * self.product.bytes()).cast();
            sys::ggml_graph_compute(self.graph, &raw mut self.plan)
        };
        if status == sys::GGML_STATUS_SUCCESS {
            return Ok(());
        }
        Err(Error::Library { what: "multiply", said: format!("status {status}") })
    }

    /// What the last run gave: one column after the other.
    pub fn products(&self) -> Vec<f32> {
        let word = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        self.out.bytes()[..self.product.rows * self.product.columns * 4].chunks_exact(4).map(word).collect()
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // SAFETY: made by `new` and freed only here.
        unsafe { sys::ggml_free(self.context.as_ptr()) };
    }
}

/// Random weights as ggml itself would store them.
fn matrices(product: &Product) -> Memory {
    let Product { kind, rows, k, copies, .. } = *product;
    let n_made = rows.min(ROWS_MADE);
    let floats = numbers(n_made * k, 1);
    let row = product.bytes() / rows;
    let mut made = vec![0u8; n_made * row];
    // SAFETY: `made` has room for `n_made` rows of this type, and rows are whole blocks.
    unsafe {
        let (from, to) = (floats.as_ptr(), made.as_mut_ptr().cast());
        sys::ggml_quantize_chunk(kind as u32, from, to, 0, n_made as i64, k as i64, std::ptr::null());
    }
    let mut memory = Memory::new(product.bytes() * copies);
    for matrix in memory.bytes_mut()[..product.bytes() * copies].chunks_mut(product.bytes()) {
        for (to, from) in matrix.chunks_mut(row).zip(made.chunks(row).cycle()) {
            to.copy_from_slice(from);
        }
    }
    memory
}

/// Numbers between -1 and 1, always the same ones.
fn numbers(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        // The multiplier and addend of Knuth's MMIX.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::hook::{Mode, set_mode};

    const SMALL: Product = Product { kind: Kind::Q8_0, rows: 48, k: 256, columns: 3, threads: 1, copies: 2 };

    #[track_caller]
    fn check_refused(product: Product, want: &str) {
        let error = Trial::new(product).err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some(want));
    }

    #[test]
    fn a_product_that_is_none_is_refused() {
        check_refused(Product { rows: 0, ..SMALL }, "rows is 0, but must be 1 to 1048576");
        check_refused(Product { k: 250, ..SMALL }, "k is 250, but must be a multiple of 32");
        check_refused(Product { threads: 65, ..SMALL }, "threads is 65, but must be 1 to 64");
        let want = "copies is 1000000, but must be so many that the weights take at most 2147483648 bytes";
        check_refused(Product { copies: 1_000_000, ..SMALL }, want);
    }

    #[test]
    fn ours_and_stock_agree_on_every_kind() {
        for kind in Kind::ALL {
            for columns in [1, 3] {
                let mut trial = Trial::new(Product { kind, columns, ..SMALL }).unwrap();
                let mut run = |mode| {
                    set_mode(mode);
                    trial.run().unwrap();
                    trial.products()
                };
                let (stock, ours) = (run(Mode::Stock), run(Mode::Ours));
                let square =
                    |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>().sqrt();
                let size = square(&mut stock.iter().copied());
                let apart = square(&mut stock.iter().zip(&ours).map(|(a, b)| a - b));
                // Both round activations to 8 bits, each in its own way: one part in 127 of the largest.
                assert!(size > 1.0 && apart < 0.02 * size, "{kind:?} x {columns}: {apart} apart of {size}");
            }
        }
    }
}
