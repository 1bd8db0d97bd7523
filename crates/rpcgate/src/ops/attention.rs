//! Attention, and the turning of positions.

use super::{Judged, KIND, Node, ORDER, PARAM, SHAPE, all, are};
use crate::kind::{BF16, F16, F32, I32};
use crate::tensor::Tensor;

/// Rows, with a mask for each plane and perhaps a number for each head.
pub(super) fn soft_max(node: &Node<'_>) -> Judged {
    let (out, a) = (node.out, node.src[0]);
    let mask = node.src.get(1);
    let mask_kind = mask.is_none_or(|mask| are(F16, &[mask]) || are(F32, &[mask]));
    let mask_shape = mask.is_none_or(|mask| {
        mask.ne[0] == a.ne[0]
            && mask.ne[1] >= a.ne[1]
            && a.ne[2].is_multiple_of(mask.ne[2])
            && a.ne[3].is_multiple_of(mask.ne[3])
    });
    let order = a.is_packed() && out.is_packed() && mask.is_none_or(|mask| mask.is_packed());
    // A slope needs a mask that it bends.
    let bends = node.float(1) > 0.0;
    all(&[
        (!bends || mask.is_some(), PARAM),
        (are(F32, &[a, out]) && mask_kind, KIND),
        (a.ne == out.ne && mask_shape, SHAPE),
        (order, ORDER),
        (has_one_for_each_head(node.src.get(2), a.ne[2]), SHAPE),
    ])
}

/// Sinks: one number for each head.
fn has_one_for_each_head(sinks: Option<&&Tensor>, n_heads: u64) -> bool {
    sinks.is_none_or(|sinks| are(F32, &[sinks]) && sinks.ne == [n_heads, 1, 1, 1] && sinks.is_packed())
}

pub(super) fn rope(node: &Node<'_>) -> Judged {
    const NORMAL: i64 = 0;
    const NEOX: i64 = 2;
    const MANY: i64 = 8;
    const MANY_IN_TURN: i64 = 40;
    let (out, a, positions) = (node.out, node.src[0], node.src[1]);
    let (n_dims, mode, first) = (node.int(1), node.int(2), node.int(15));
    let row = a.ne[0] as i64;
    // Fewer than two dimensions would turn for ever.
    let dims = n_dims >= 2 && n_dims % 2 == 0 && first >= 0 && first % 2 == 0 && first + n_dims <= row;
    let sections: [i64; 4] = std::array::from_fn(|idx| node.int(11 + idx));
    let n_sections: i64 = sections.iter().sum();
    let parts = sections.iter().all(|n| (0..=row).contains(n)) && (1..=row).contains(&n_sections);
    let times = match mode {
        NORMAL | NEOX => 1,
        MANY | MANY_IN_TURN if parts && sections[..3].iter().any(|n| *n > 0) => 4,
        _ => return PARAM,
    };
    let kinds = (are(F32, &[a, out]) || are(F16, &[a, out])) && are(I32, &[positions]);
    let shapes = a.ne == out.ne && row % 2 == 0 && positions.ne == [a.ne[2] * times, 1, 1, 1];
    all(&[
        (dims, PARAM),
        (kinds, KIND),
        (shapes, SHAPE),
        (a.has_dense_rows() && out.has_dense_rows() && positions.is_packed(), ORDER),
        (factors_reach(node, n_dims as u64), SHAPE),
    ])
}

/// ggml asks for a factor for each pair that is turned, and reads one for each pair of the row.
fn factors_reach(node: &Node<'_>, n_dims: u64) -> bool {
    let Some(factors) = node.src.get(2) else { return true };
    let read = node.out.ne[0] / 2 * factors.kind.bytes;
    let behind = node.buffers.behind(factors).unwrap_or(0);
    are(F32, &[factors]) && factors.is_packed() && factors.ne[0] >= n_dims / 2 && read <= behind
}

/// All of attention in one: queries, keys, values, perhaps a mask, perhaps sinks.
pub(super) fn flash(node: &Node<'_>) -> Judged {
    let (out, q, k, v) = (node.out, node.src[0], node.src[1], node.src[2]);
    let mask = node.src.get(3);
    let cached = |tensor: &Tensor| [F32, F16, BF16].contains(&tensor.kind.number) || tensor.kind.is_cache();
    let kinds = are(F32, &[q, out]) && cached(k) && cached(v) && mask.is_none_or(|mask| are(F16, &[mask]));
    let shapes = q.ne[0] == k.ne[0]
        && k.ne[1] == v.ne[1]
        && k.ne[2] == v.ne[2]
        && q.ne[2].is_multiple_of(k.ne[2])
        && q.ne[3] == k.ne[3]
        && q.ne[3] == v.ne[3]
        && out.ne == [v.ne[0], q.ne[2], q.ne[1], q.ne[3]];
    let mask_shape = mask.is_none_or(|mask| {
        mask.ne[0] >= k.ne[1]
            && mask.ne[1] >= q.ne[1]
            && q.ne[2].is_multiple_of(mask.ne[2])
            && q.ne[3].is_multiple_of(mask.ne[3])
    });
    let order = [q, k, v].iter().all(|tensor| tensor.has_dense_rows()) && out.is_packed();
    let bends = node.float(1) > 0.0;
    all(&[
        (!bends || mask.is_some(), PARAM),
        (kinds, KIND),
        (shapes && mask_shape, SHAPE),
        (order && mask.is_none_or(|mask| mask.is_packed()), ORDER),
        (has_one_for_each_head(node.src.get(4), q.ne[2]), SHAPE),
    ])
}
