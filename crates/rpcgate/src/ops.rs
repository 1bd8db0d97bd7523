//! Which operations are let through, each with the number of its sources and the shapes that its code relies on.
//!
//! The rules are those of ggml's own functions that build such nodes, and of what its code for the processor believes
//! without a look. The list is what graphs of dense llama models hold.
//! Left out on purpose: whatever takes an index from numbers that were only just computed and does not check it
//! (`mul_mat_id`, `add_id`), sorts them (`argsort`, `top_k`: not-a-number breaks the order), or calls a pointer
//! (`map_custom`).

mod attention;
mod rows;

use crate::buffers::Buffers;
use crate::kind::{BF16, F16, F32};
use crate::refusal::Refusal;
use crate::tensor::Tensor;

/// Numbers in one tensor of a computation: ggml counts rows with 32 bits.
const ELEMENTS_MAX: u64 = i32::MAX as u64;

/// What is wrong with a node.
type Judged = Result<(), &'static str>;

/// A node with its sources, all of them there.
struct Node<'a> {
    out: &'a Tensor,
    src: Vec<&'a Tensor>,
    buffers: &'a Buffers,
}

/// One operation of the list.
pub struct Op {
    /// ggml's number and name of it.
    pub number: u32,
    pub name: &'static str,
    /// How few and how many sources.
    sources: (usize, usize),
    /// `None` where nothing is computed.
    rule: Option<fn(&Node<'_>) -> Judged>,
}

const fn op(number: u32, name: &'static str, sources: (usize, usize), rule: fn(&Node<'_>) -> Judged) -> Op {
    Op { number, name, sources, rule: Some(rule) }
}

/// Only another look at memory.
const fn look(number: u32, name: &'static str) -> Op {
    Op { number, name, sources: (0, crate::message::SOURCES_MAX), rule: None }
}

/// A copy, whose node may be its own source: that is how a cast looks.
pub(crate) const CPY: u32 = 34;

/// All that are let through.
pub const OPS: [Op; 30] = [
    look(0, "NONE"),
    op(1, "DUP", (1, 1), rows::copy),
    op(2, "ADD", (2, 2), each_with_another),
    op(6, "SUB", (2, 2), each_with_another),
    op(7, "MUL", (2, 2), each_with_another),
    op(8, "DIV", (2, 2), each_with_another),
    op(9, "SQR", (1, 1), each_alone),
    op(10, "SQRT", (1, 1), each_alone),
    op(20, "REPEAT", (1, 1), repeat),
    op(22, "CONCAT", (2, 2), concat),
    op(24, "NORM", (1, 1), norm),
    op(25, "RMS_NORM", (1, 1), norm),
    op(28, "L2_NORM", (1, 1), norm),
    op(29, "MUL_MAT", (2, 2), rows::mul_mat),
    op(32, "SCALE", (1, 1), scale),
    op(CPY, "CPY", (2, 2), rows::copy),
    op(35, "CONT", (1, 1), rows::copy),
    look(36, "RESHAPE"),
    look(37, "VIEW"),
    look(38, "PERMUTE"),
    look(39, "TRANSPOSE"),
    op(40, "GET_ROWS", (2, 2), rows::get_rows),
    op(42, "SET_ROWS", (3, 3), rows::set_rows),
    op(46, "SOFT_MAX", (1, 3), attention::soft_max),
    op(48, "ROPE", (2, 3), attention::rope),
    op(50, "CLAMP", (1, 1), scale),
    op(73, "FILL", (1, 1), scale),
    op(74, "FLASH_ATTN_EXT", (3, 5), attention::flash),
    op(91, "UNARY", (1, 1), unary),
    op(100, "GLU", (1, 2), glu),
];

/// The operation of this number, if it is let through.
pub fn allowed(number: u32) -> Option<&'static Op> {
    OPS.iter().find(|op| op.number == number)
}

/// Holds a node to its operation's rule.
pub(crate) fn check(out: &Tensor, src: &[Option<&Tensor>], buffers: &Buffers) -> Result<(), Refusal> {
    let wrong = |why| Refusal::Op { name: out.name(), op: out.op, why };
    let op = allowed(out.op).ok_or_else(|| wrong("is not let through"))?;
    let Some(rule) = op.rule else { return Ok(()) };
    let n = src.iter().take_while(|src| src.is_some()).count();
    if !(op.sources.0..=op.sources.1).contains(&n) || src[n..].iter().any(Option::is_some) {
        return Err(wrong("has too few or too many sources"));
    }
    let src: Vec<&Tensor> = src.iter().flatten().copied().collect();
    if out.buffer == 0 || src.iter().any(|src| src.buffer == 0) {
        return Err(wrong("computes with memory that is not here"));
    }
    if src.iter().chain([&out]).any(|tensor| tensor.n_elements() > ELEMENTS_MAX) {
        return Err(wrong("has more numbers than can be counted"));
    }
    if out.is_empty() {
        // The server passes it over.
        return Ok(());
    }
    if src.iter().any(|src| src.is_empty()) {
        return Err(wrong("makes something of nothing"));
    }
    rule(&Node { out, src, buffers }).map_err(wrong)
}

const SHAPE: Judged = Err("has shapes that do not fit");
const KIND: Judged = Err("has types that do not fit");
const ORDER: Judged = Err("has numbers that do not lie side by side");
const PARAM: Judged = Err("has a setting that does not fit");

/// The first thing that is wrong.
fn all(conditions: &[(bool, Judged)]) -> Judged {
    conditions.iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, wrong)| *wrong)
}

impl Node<'_> {
    fn float(&self, idx: usize) -> f32 {
        f32::from_bits(self.out.params[idx])
    }

    fn int(&self, idx: usize) -> i64 {
        i64::from(self.out.params[idx] as i32)
    }
}

fn are(kind: u32, tensors: &[&Tensor]) -> bool {
    tensors.iter().all(|tensor| tensor.kind.number == kind)
}

/// Whether `small`, repeated, fills `large`.
fn can_repeat(small: &Tensor, large: &Tensor) -> bool {
    small.ne.iter().zip(large.ne).all(|(small, large)| large.is_multiple_of(*small))
}

/// The numbers of each row lie side by side.
fn dense(tensors: &[&Tensor]) -> bool {
    tensors.iter().all(|tensor| tensor.has_dense_rows())
}

fn packed(tensors: &[&Tensor]) -> bool {
    tensors.iter().all(|tensor| tensor.is_packed())
}

fn each_with_another(node: &Node<'_>) -> Judged {
    let (out, a, b) = (node.out, node.src[0], node.src[1]);
    let kinds = [a, b, out].map(|tensor| tensor.kind.number);
    let fits = match kinds {
        [F32, F32, F32] | [F16, F16, F16] | [BF16, BF16, BF16] => true,
        [F16, F32, out] => out == F16 || out == F32,
        [BF16, F32, out] => out == BF16 || out == F32,
        _ => false,
    };
    let shapes = a.ne == out.ne && can_repeat(b, a);
    all(&[(fits, KIND), (shapes, SHAPE), (dense(&[a, out]), ORDER)])
}

fn each_alone(node: &Node<'_>) -> Judged {
    let (out, a) = (node.out, node.src[0]);
    let fits = are(F32, &[a, out]) || are(F16, &[a, out]);
    all(&[(fits, KIND), (a.ne == out.ne, SHAPE), (dense(&[a, out]), ORDER)])
}

/// ggml's many small functions; each has a number of its own.
fn unary(node: &Node<'_>) -> Judged {
    const FUNCTIONS: i64 = 22;
    all(&[((0..FUNCTIONS).contains(&node.int(0)), PARAM)])?;
    each_alone(node)
}

fn scale(node: &Node<'_>) -> Judged {
    let (out, a) = (node.out, node.src[0]);
    all(&[(are(F32, &[a, out]), KIND), (a.ne == out.ne, SHAPE), (packed(&[a, out]), ORDER)])
}

fn norm(node: &Node<'_>) -> Judged {
    let (out, a, eps) = (node.out, node.src[0], node.float(0));
    let fits = eps.is_finite() && eps >= 0.0;
    let rest = [(are(F32, &[a, out]), KIND), (a.ne == out.ne, SHAPE), (dense(&[a, out]), ORDER)];
    all(&[(fits, PARAM)]).and(all(&rest))
}

fn repeat(node: &Node<'_>) -> Judged {
    let (out, a) = (node.out, node.src[0]);
    let fits = are(F32, &[a, out]) || are(F16, &[a, out]);
    all(&[(fits, KIND), (can_repeat(a, out), SHAPE), (dense(&[a, out]), ORDER)])
}

fn concat(node: &Node<'_>) -> Judged {
    let (out, a, b) = (node.out, node.src[0], node.src[1]);
    let along = usize::try_from(node.int(0)).ok().filter(|along| *along < 4);
    let Some(along) = along else { return PARAM };
    let shapes = (0..4).all(|idx| match idx == along {
        true => a.ne[idx] + b.ne[idx] == out.ne[idx],
        false => a.ne[idx] == out.ne[idx] && b.ne[idx] == out.ne[idx],
    });
    let fits = are(F32, &[a, b, out]) || are(F16, &[a, b, out]);
    all(&[(fits, KIND), (shapes, SHAPE), (dense(&[a, b, out]), ORDER)])
}

/// Two halves of each row, or of two tensors, become one.
fn glu(node: &Node<'_>) -> Judged {
    const FUNCTIONS: i64 = 7;
    let (out, a) = (node.out, node.src[0]);
    let row = if node.src.len() == 2 { a.ne[0] } else { a.ne[0] / 2 };
    let shapes = out.ne[0] == row && out.ne[1..] == a.ne[1..] && node.src.iter().all(|src| src.ne == a.ne);
    let every: Vec<&Tensor> = node.src.iter().copied().chain([out]).collect();
    let fits = are(F32, &every) || are(F16, &every);
    let whole = every.iter().all(|tensor| tensor.has_dense_rows() && steps_by_rows(tensor));
    let is_one = (0..FUNCTIONS).contains(&node.int(0));
    all(&[(is_one, PARAM), (fits, KIND), (shapes, SHAPE), (whole, ORDER)])
}

/// Rows follow each other in even steps, as those do that are counted through without a look at their plane.
fn steps_by_rows(tensor: &Tensor) -> bool {
    let next = |idx: usize| tensor.ne[idx] == 1 || tensor.nb[idx] == tensor.nb[idx - 1] * tensor.ne[idx - 1];
    next(2) && next(3)
}

#[cfg(test)]
mod tests;
