//! Attention and its exponentials, held to plain code in 64 bits.

#![allow(unsafe_code)] // The kernels take raw memory, as ggml hands it in.

use kernels::attention::{Attention, ROWS, Rows};
use kernels::{Kind, Level, force, kernels_of, scalar};
use std::ops::Range;
use std::ptr::{null, null_mut};
use std::sync::Mutex;

/// One level at a time is in force in a process.
static FORCED: Mutex<()> = Mutex::new(());

struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u32) -> u32 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32 % n
    }

    /// `n` numbers of a kind, between -2 and 2.
    fn row(&mut self, kind: Kind, n: usize) -> Vec<u8> {
        let mut row = Vec::new();
        for at in 0..n {
            if kind == Kind::Q8_0 && at % 32 == 0 {
                row.extend((0x2000 + self.below(1024) as u16).to_le_bytes()); // 2^-7 to 2^-6
            }
            match kind {
                Kind::F32 => row.extend((self.below(4001) as f32 / 1000.0 - 2.0).to_le_bytes()),
                Kind::F16 => {
                    row.extend((((self.below(2) << 15) | (0x3000 + self.below(4096))) as u16).to_le_bytes())
                }
                _ => row.push((self.below(255) as i32 - 127) as u8),
            }
        }
        row
    }
}

const HIDDEN: u16 = 0xfc00;

type Positions = fn(position: usize) -> bool;

struct Case {
    keys: Kind,
    values: Kind,
    width: usize,
    positions: usize,
    rows: usize,
    /// Which rows see which positions; all of them without a mask.
    mask: Option<fn(row: usize, position: usize) -> bool>,
    seen: Range<usize>,
    /// Positions that no row sees, with this half in keys and values.
    strange: Option<(Positions, u16)>,
}

/// Puts a half, or the float that it stands for, into some numbers of a row; the scale where there is one.
fn spoil(kind: Kind, row: &mut [u8], half: u16) {
    match kind {
        Kind::F32 => {
            let float = if half & 0x3ff == 0 { f32::INFINITY } else { f32::NAN };
            row.chunks_exact_mut(4).step_by(3).for_each(|x| x.copy_from_slice(&float.to_le_bytes()));
        }
        Kind::F16 => row.chunks_exact_mut(2).step_by(3).for_each(|x| x.copy_from_slice(&half.to_le_bytes())),
        _ => row.chunks_exact_mut(34).for_each(|x| x[..2].copy_from_slice(&half.to_le_bytes())),
    }
}

fn value(kind: Kind, row: &[u8], at: usize) -> f64 {
    scalar::weight(kind, row, at)
}

fn check(case: &Case) {
    let _one = FORCED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let mut dice = Dice(0xa77e + case.positions as u64);
    let rows =
        |kind, dice: &mut Dice| (0..case.positions).map(|_| dice.row(kind, case.width)).collect::<Vec<_>>();
    let (mut keys, mut values) = (rows(case.keys, &mut dice), rows(case.values, &mut dice));
    if let Some((is_strange, half)) = case.strange {
        for at in (0..case.positions).filter(|at| is_strange(*at)) {
            spoil(case.keys, &mut keys[at], half);
            spoil(case.values, &mut values[at], half);
        }
    }
    // What 8 bits hold exactly: the kernels' own quantisation loses nothing.
    let query = |dice: &mut Dice| {
        let one = |at| if at % 32 == 3 { 127.0 } else { dice.below(255) as f32 - 127.0 };
        (0..case.width).map(one).map(|q| q / 64.0).collect::<Vec<f32>>()
    };
    let queries: Vec<_> = (0..case.rows).map(|_| query(&mut dice)).collect();
    let hides = |row, position| case.mask.is_some_and(|sees| !sees(row, position));
    let masks: Vec<Vec<u16>> = (0..case.rows)
        .map(|row| (0..case.positions).map(|at| if hides(row, at) { HIDDEN } else { 0 }).collect())
        .collect();
    let scale = 0.125;
    let want: Vec<Vec<f64>> = (0..case.rows)
        .map(|row| {
            let score = |at: usize| -> f64 {
                let terms = queries[row].iter().enumerate();
                scale * terms.map(|(i, &q)| f64::from(q) * value(case.keys, &keys[at], i)).sum::<f64>()
            };
            let seen: Vec<(usize, f64)> =
                case.seen.clone().filter(|&at| !hides(row, at)).map(|at| (at, score(at).exp())).collect();
            let total: f64 = seen.iter().map(|(_, e)| e).sum();
            let mixed = |i| seen.iter().map(|(at, e)| e * value(case.values, &values[*at], i)).sum::<f64>();
            (0..case.width).map(|i| if seen.is_empty() { 0.0 } else { mixed(i) / total }).collect()
        })
        .collect();
    let (flat_keys, flat_values) = (keys.concat(), values.concat());
    for level in Level::ALL {
        let Some(kernels) = kernels_of(level).filter(|_| force(level)) else {
            println!("skipped: this processor has no {}", level.name());
            continue;
        };
        let mut out = vec![vec![f32::NAN; case.width]; case.rows];
        let mut attention = Attention {
            keys: Rows { kind: case.keys, data: flat_keys.as_ptr(), stride: keys[0].len() },
            values: Rows { kind: case.values, data: flat_values.as_ptr(), stride: values[0].len() },
            key_width: case.width,
            value_width: case.width,
            positions: case.seen.clone(),
            scale: scale as f32,
            n: case.rows,
            queries: [null(); ROWS],
            masks: [null(); ROWS],
            out: [null_mut(); ROWS],
        };
        for row in 0..case.rows {
            attention.queries[row] = queries[row].as_ptr();
            attention.out[row] = out[row].as_mut_ptr();
            if case.mask.is_some() {
                attention.masks[row] = masks[row].as_ptr();
            }
        }
        // SAFETY: everything named lies in the vectors above.
        unsafe { (kernels.vectors.attend)(&attention) };
        for (row, (got, want)) in out.iter().zip(&want).enumerate() {
            for (i, (got, want)) in got.iter().zip(want).enumerate() {
                assert!(
                    (f64::from(*got) - want).abs() < 5e-5,
                    "{} {:?} {:?} row {row} float {i}: {got}, not {want}",
                    level.name(),
                    case.keys,
                    case.values
                );
            }
        }
    }
}

const KINDS: [(Kind, Kind); 4] =
    [(Kind::Q8_0, Kind::Q8_0), (Kind::F16, Kind::F16), (Kind::F32, Kind::F32), (Kind::Q8_0, Kind::F16)];

#[test]
fn queries_meet_a_cache_of_any_length() {
    for (keys, values) in KINDS {
        for (width, positions, rows) in
            [(64, 1, 1), (128, 33, 2), (64, 256, 16), (32, 511, 3), (96, 1100, 5), (256, 70, 1)]
        {
            check(&Case {
                keys,
                values,
                width,
                positions,
                rows,
                mask: None,
                seen: 0..positions,
                strange: None,
            });
        }
    }
}

#[test]
fn a_row_sees_only_what_its_mask_shows() {
    for (keys, values) in KINDS {
        let mask = Some((|row, at| at <= 590 + row && at % 7 != 0) as fn(usize, usize) -> bool);
        check(&Case { keys, values, width: 64, positions: 640, rows: 9, mask, seen: 1..600, strange: None });
    }
}

#[test]
fn a_row_that_sees_nothing_becomes_zeros() {
    let mask = Some((|row, at| row != 1 && at > 520) as fn(usize, usize) -> bool);
    let (keys, values) = KINDS[0];
    check(&Case { keys, values, width: 64, positions: 600, rows: 3, mask, seen: 0..600, strange: None });
}

#[test]
fn what_no_row_sees_may_be_infinite_or_no_number() {
    for half in [0x7c00, 0xfc00, 0x7e00] {
        for (keys, values) in KINDS {
            let sees =
                |row: usize, at: usize| !at.is_multiple_of(7) && at % 50 > 3 && !(at + row).is_multiple_of(5);
            let mask = Some(sees as fn(usize, usize) -> bool);
            let strange = Some(((|at: usize| at.is_multiple_of(7) || at % 50 <= 3) as Positions, half));
            check(&Case { keys, values, width: 64, positions: 600, rows: 5, mask, seen: 0..590, strange });
        }
    }
}

#[test]
fn exponentials_are_right_to_a_part_in_three_million() {
    let x: Vec<f32> = (0..=90_000).map(|i| -(i as f32) / 1000.0).chain([f32::NEG_INFINITY, -1e30]).collect();
    for level in Level::ALL {
        let Some(kernels) = kernels_of(level) else {
            println!("skipped: this processor has no {}", level.name());
            continue;
        };
        let mut out = vec![f32::NAN; x.len()];
        // SAFETY: both hold as many.
        let sum = unsafe { (kernels.vectors.exponentials)(x.as_ptr(), x.len(), 0.0, out.as_mut_ptr()) };
        for (x, got) in x.iter().zip(&out) {
            let want = f64::from(*x).exp();
            let near = (f64::from(*got) - want).abs() <= want / 3e6;
            assert!(near || *x < -87.0 && *got <= 2e-38, "{} exp({x}) is {got}, not {want}", level.name());
        }
        let want: f64 = out.iter().map(|&e| f64::from(e)).sum();
        assert!((sum - want).abs() < want * 1e-6, "{}: the sum is {sum}, not {want}", level.name());
    }
}
