//! What moves rows and multiplies by them.

use super::{Judged, KIND, Node, ORDER, SHAPE, all, are};
use crate::kind::{BF16, F16, F32, I32, I64};
use crate::tensor::Tensor;

/// Weights times activations. Weights may have fewer planes, which are then used again.
pub(super) fn mul_mat(node: &Node<'_>) -> Judged {
    let (out, a, b) = (node.out, node.src[0], node.src[1]);
    let shapes = a.ne[0] == b.ne[0]
        && b.ne[2].is_multiple_of(a.ne[2])
        && b.ne[3].is_multiple_of(a.ne[3])
        && out.ne == [a.ne[1], b.ne[1], b.ne[2], b.ne[3]];
    let order = a.has_dense_rows() && b.has_dense_rows() && out.is_packed();
    // A packed result is what ggml makes; weights may be a view with other steps, but rows come one after the other.
    let rows = a.ne[1] == 1 || a.nb[1] >= a.ne[0] / a.kind.block * a.kind.bytes;
    all(&[(a.kind.is_weight() && are(F32, &[b, out]), KIND), (shapes, SHAPE), (order && rows, ORDER)])
}

/// Rows by their numbers, which are read from memory; ggml looks at each before it follows it.
pub(super) fn get_rows(node: &Node<'_>) -> Judged {
    let (out, a, ids) = (node.out, node.src[0], node.src[1]);
    let shapes = a.ne[2] == ids.ne[1]
        && a.ne[3] == ids.ne[2]
        && ids.ne[3] == 1
        && out.ne == [a.ne[0], ids.ne[0], ids.ne[1], ids.ne[2]];
    let kinds = (a.kind.is_weight() && are(F32, &[out])) || are(I32, &[a, out]);
    all(&[
        (kinds && are(I32, &[ids]), KIND),
        (shapes, SHAPE),
        (a.has_dense_rows() && out.has_dense_rows(), ORDER),
    ])
}

/// Rows into a cache, at places that are read from memory; ggml looks at each before it follows it.
pub(super) fn set_rows(node: &Node<'_>) -> Judged {
    let (out, rows, ids, cache) = (node.out, node.src[0], node.src[1], node.src[2]);
    let shapes = out.ne == cache.ne
        && out.nb == cache.nb
        && [0, 2, 3].iter().all(|idx| rows.ne[*idx] == out.ne[*idx])
        && rows.ne[1] == ids.ne[0]
        && rows.ne[2].is_multiple_of(ids.ne[1])
        && rows.ne[3].is_multiple_of(ids.ne[2])
        && ids.ne[3] == 1;
    let to = out.kind.number;
    let kinds = (are(F32, &[rows]) && out.kind.is_cache()) || (are(F16, &[rows]) && to == F16);
    all(&[
        (kinds && cache.kind == out.kind && (are(I32, &[ids]) || are(I64, &[ids])), KIND),
        (shapes, SHAPE),
        (rows.has_dense_rows() && out.has_dense_rows(), ORDER),
    ])
}

/// The same numbers elsewhere, perhaps in another type or in other steps.
pub(super) fn copy(node: &Node<'_>) -> Judged {
    let (out, a) = (node.out, node.src[0]);
    let as_it_is = node.src.get(1).is_none_or(|place| is_same_place(place, out));
    let plain = |tensor: &Tensor| [F32, F16, BF16].contains(&tensor.kind.number);
    let order = if a.kind == out.kind {
        // ggml counts the bytes of a row wrongly where blocks change their shape.
        let blocks =
            a.is_packed() && out.is_packed() || a.ne == out.ne && a.has_dense_rows() && out.has_dense_rows();
        (!a.kind.is_quantised() || blocks, ORDER)
    } else if out.kind.is_quantised() {
        let whole = a.ne[0].is_multiple_of(out.kind.block) && a.has_dense_rows() && out.is_packed();
        (are(F32, &[a]) && out.kind.is_cache() && whole, ORDER)
    } else {
        (plain(a) && plain(out), KIND)
    };
    all(&[(a.n_elements() == out.n_elements() && as_it_is, SHAPE), order])
}

/// The result of a copy is a look at the place where it goes.
fn is_same_place(place: &Tensor, out: &Tensor) -> bool {
    (place.ne, place.nb, place.kind, place.data) == (out.ne, out.nb, out.kind, out.data)
}
