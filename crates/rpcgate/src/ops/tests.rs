//! One good node for each rule, and what is wrong with its neighbours.

#![allow(clippy::cloned_ref_to_slice_refs)] // All cases are written alike.

use super::*;
use crate::tensor::tests::Sent;

const BASE: u64 = 4096;
const BYTES: u64 = 1 << 20;

fn buffers() -> Buffers {
    let mut buffers = Buffers::new(BYTES);
    buffers.add(7, BYTES);
    buffers.set_base(7, BASE);
    buffers
}

fn of(kind: u32, ne: [u32; 4]) -> Sent {
    Sent::new(1, kind, ne).at(7, BASE)
}

fn f32(ne: [u32; 4]) -> Sent {
    of(F32, ne)
}

fn i32(ne: [u32; 4]) -> Sent {
    of(crate::kind::I32, ne)
}

fn with(mut sent: Sent, params: &[(usize, u32)]) -> Sent {
    params.iter().for_each(|(idx, value)| sent.params[*idx] = *value);
    sent
}

#[track_caller]
fn check(op: u32, out: Sent, src: &[Sent], want: &str) {
    let out = Sent { op, ..out }.read().unwrap();
    let src: Vec<Tensor> = src.iter().map(|src| src.read().unwrap()).collect();
    let mut all: Vec<Option<&Tensor>> = src.iter().map(Some).collect();
    all.resize(10, None);
    let got = super::check(&out, &all, &buffers());
    let prefix = format!("operation {op} of tensor 'x' ");
    let got = got.map_or_else(|refusal| refusal.to_string().replace(&prefix, ""), |()| "good".to_owned());
    assert_eq!(got, want);
}

const SHAPES: &str = "has shapes that do not fit";
const KINDS: &str = "has types that do not fit";
const LIES: &str = "has numbers that do not lie side by side";
const PARAMS: &str = "has a setting that does not fit";

#[test]
fn what_is_not_on_the_list_is_not_let_through() {
    let row = f32([4, 1, 1, 1]);
    for op in [3, 30, 69, 70, 92, 95, 101, 9999, u32::MAX] {
        check(op, row.clone(), &[row.clone(), row.clone()], "is not let through");
    }
    check(37, row.clone(), &[], "good");
}

#[test]
fn sources_are_as_many_as_the_operation_has_and_lie_here() {
    let row = f32([4, 1, 1, 1]);
    check(2, row.clone(), &[], "has too few or too many sources");
    check(2, row.clone(), &[row.clone(), row.clone(), row.clone()], "has too few or too many sources");
    let away = "computes with memory that is not here";
    check(2, row.clone(), &[row.clone(), row.clone().at(0, 0)], away);
    check(2, row.clone().at(0, 0), &[row.clone(), row.clone()], away);
    check(2, row.clone(), &[row.clone(), f32([0, 1, 1, 1])], "makes something of nothing");
    check(2, f32([0, 1, 1, 1]), &[f32([0, 1, 1, 1]), row], "good");
}

#[test]
fn sums_and_products_repeat_their_second_source() {
    let (a, b) = (f32([4, 3, 2, 1]), f32([4, 1, 1, 1]));
    check(7, a.clone(), &[a.clone(), b.clone()], "good");
    check(7, a.clone(), &[a.clone(), f32([3, 1, 1, 1])], SHAPES);
    check(7, b.clone(), &[a.clone(), b.clone()], SHAPES);
    check(7, a.clone(), &[a.clone(), i32([4, 1, 1, 1])], KINDS);
    let turned = Sent { nb: [12, 4, 48, 96], ..f32([4, 3, 2, 1]) };
    check(7, a.clone(), &[turned, b], LIES);
}

#[test]
fn norms_scales_and_functions_keep_the_shape() {
    let (a, other) = (f32([4, 3, 1, 1]), f32([4, 2, 1, 1]));
    for op in [9, 25, 32, 91] {
        check(op, a.clone(), &[a.clone()], "good");
        check(op, a.clone(), &[other.clone()], SHAPES);
        check(op, i32([4, 3, 1, 1]), &[a.clone()], KINDS);
    }
    check(25, with(a.clone(), &[(0, f32::to_bits(-1.0))]), &[a.clone()], PARAMS);
    check(25, with(a.clone(), &[(0, f32::to_bits(f32::NAN))]), &[a.clone()], PARAMS);
    check(91, with(a.clone(), &[(0, 22)]), &[a], PARAMS);
}

#[test]
fn a_matrix_meets_columns_of_its_own_length() {
    let (weights, columns, out) = (of(8, [64, 5, 1, 1]), f32([64, 3, 2, 1]), f32([5, 3, 2, 1]));
    check(29, out.clone(), &[weights.clone(), columns.clone()], "good");
    check(29, out.clone(), &[of(8, [32, 5, 1, 1]), columns.clone()], SHAPES);
    check(29, f32([5, 3, 1, 1]), &[weights.clone(), columns.clone()], SHAPES);
    check(29, out.clone(), &[of(8, [64, 5, 3, 1]), columns.clone()], SHAPES);
    check(29, out.clone(), &[i32([64, 5, 1, 1]), columns], KINDS);
    check(29, out, &[weights, of(F16, [64, 3, 2, 1])], KINDS);
}

#[test]
fn rows_are_taken_and_set_by_numbers() {
    let (table, ids, out) = (of(8, [32, 9, 1, 1]), i32([3, 1, 1, 1]), f32([32, 3, 1, 1]));
    check(40, out.clone(), &[table.clone(), ids.clone()], "good");
    check(40, out.clone(), &[table.clone(), f32([3, 1, 1, 1])], KINDS);
    check(40, f32([32, 4, 1, 1]), &[table, ids], SHAPES);
    let (cache, rows, ids) = (of(F16, [8, 9, 1, 1]), f32([8, 2, 1, 1]), of(crate::kind::I64, [2, 1, 1, 1]));
    check(42, cache.clone(), &[rows.clone(), ids.clone(), cache.clone()], "good");
    check(42, cache.clone(), &[f32([8, 3, 1, 1]), ids.clone(), cache.clone()], SHAPES);
    check(42, cache.clone(), &[rows.clone(), ids.clone(), of(F16, [8, 8, 1, 1])], SHAPES);
    check(42, of(10, [256, 1, 1, 1]), &[f32([256, 2, 1, 1]), ids, of(10, [256, 1, 1, 1])], KINDS);
}

#[test]
fn a_copy_has_as_many_numbers_and_blocks_stay_whole() {
    let (a, out) = (f32([64, 2, 1, 1]), of(F16, [128, 1, 1, 1]));
    check(34, out.clone(), &[a.clone(), out.clone()], "good");
    check(34, out.clone(), &[a.clone(), out.clone().at(7, BASE + 2)], SHAPES);
    check(34, of(F16, [64, 1, 1, 1]), &[a.clone(), of(F16, [64, 1, 1, 1])], SHAPES);
    check(35, of(8, [64, 2, 1, 1]), &[a.clone()], "good");
    check(35, of(8, [32, 1, 1, 1]), &[Sent { nb: [4, 16, 16, 16], ..f32([16, 2, 1, 1]) }], LIES);
    // ggml would copy 32 times as many bytes as there are.
    let spread = Sent { nb: [34, 136, 272, 272], ..of(8, [64, 2, 1, 1]) };
    check(35, of(8, [128, 1, 1, 1]), &[spread], LIES);
    check(35, f32([64, 2, 1, 1]), &[of(8, [64, 2, 1, 1])], KINDS);
}

#[test]
fn a_mask_covers_what_it_masks() {
    let (a, mask) = (f32([8, 3, 4, 1]), of(F16, [8, 64, 1, 1]));
    check(46, a.clone(), &[a.clone(), mask.clone()], "good");
    check(46, a.clone(), &[a.clone(), of(F16, [8, 2, 1, 1])], SHAPES);
    check(46, a.clone(), &[a.clone(), of(F16, [7, 64, 1, 1])], SHAPES);
    check(46, a.clone(), &[a.clone(), mask.clone(), f32([3, 1, 1, 1])], SHAPES);
    check(46, a.clone(), &[a.clone(), mask, f32([4, 1, 1, 1])], "good");
    check(46, with(a.clone(), &[(1, f32::to_bits(1.0))]), &[a], PARAMS);
}

#[test]
fn positions_are_as_many_as_tokens_and_pairs_are_pairs() {
    let (a, positions) = (f32([8, 2, 5, 1]), i32([5, 1, 1, 1]));
    let turned = |n_dims: u32| with(f32([8, 2, 5, 1]), &[(1, n_dims)]);
    check(48, turned(8), &[a.clone(), positions.clone()], "good");
    for n_dims in [0, 3, 10, u32::MAX] {
        check(48, turned(n_dims), &[a.clone(), positions.clone()], PARAMS);
    }
    check(48, turned(8), &[a.clone(), i32([4, 1, 1, 1])], SHAPES);
    check(48, with(turned(8), &[(2, 8)]), &[a.clone(), i32([20, 1, 1, 1])], PARAMS);
    check(48, with(turned(8), &[(2, 8), (11, 2)]), &[a.clone(), i32([20, 1, 1, 1])], "good");
    check(48, with(turned(8), &[(2, 24)]), &[a.clone(), i32([20, 1, 1, 1])], PARAMS);
    check(48, turned(8), &[a.clone(), positions.clone(), f32([4, 1, 1, 1])], "good");
    // Two factors are enough for what is turned, but four are read.
    let at_the_end = f32([2, 1, 1, 1]).at(7, BASE + BYTES - 8);
    check(48, turned(4), &[a, positions, at_the_end], SHAPES);
}

#[test]
fn attention_has_keys_for_its_queries_and_values_for_its_keys() {
    let (q, k, v, out) =
        (f32([8, 3, 4, 1]), of(F16, [8, 64, 2, 1]), of(F16, [6, 64, 2, 1]), f32([6, 4, 3, 1]));
    let mask = of(F16, [64, 3, 1, 1]);
    check(74, out.clone(), &[q.clone(), k.clone(), v.clone(), mask.clone()], "good");
    check(74, out.clone(), &[q.clone(), k.clone(), of(F16, [6, 63, 2, 1]), mask.clone()], SHAPES);
    check(74, out.clone(), &[q.clone(), of(F16, [8, 64, 3, 1]), of(F16, [6, 64, 3, 1]), mask], SHAPES);
    check(74, out.clone(), &[q.clone(), k.clone(), v.clone(), of(F16, [63, 3, 1, 1])], SHAPES);
    check(74, out.clone(), &[q.clone(), k.clone(), v.clone(), f32([64, 3, 1, 1])], KINDS);
    check(74, f32([6, 3, 4, 1]), &[q, k, v], SHAPES);
}

#[test]
fn halves_and_joins_fit_their_rows() {
    let (a, half) = (f32([8, 3, 1, 1]), f32([4, 3, 1, 1]));
    check(100, half.clone(), &[a.clone()], "good");
    check(100, a.clone(), &[a.clone(), a.clone()], "good");
    check(100, a.clone(), &[a.clone()], SHAPES);
    check(100, with(half.clone(), &[(0, 7)]), &[a.clone()], PARAMS);
    check(22, f32([12, 3, 1, 1]), &[a.clone(), half.clone()], "good");
    check(22, f32([12, 3, 1, 1]), &[a.clone(), a.clone()], SHAPES);
    check(22, with(f32([12, 3, 1, 1]), &[(0, 4)]), &[a.clone(), half.clone()], PARAMS);
    check(20, a.clone(), &[half.clone()], "good");
    check(20, half, &[a], SHAPES);
}
