//! Floats: rows of odd lengths, columns of halves, and ggml's loops, held to plain code in 64 bits.

#![allow(unsafe_code)] // The kernels take raw memory, as ggml hands it in.

use kernels::{
    Column, Job, Kernels, Kind, Level, Weights, can, can_halves, force, kernels_of, product, scalar, share,
};
use std::sync::Mutex;

/// One level at a time is in force in a process.
static FORCED: Mutex<()> = Mutex::new(());

/// Rounding of sums in 32 bits, relative to the sum of the magnitudes.
const TOLERANCE: f64 = 3e-6;

struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u32 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }

    fn below(&mut self, n: u32) -> u32 {
        self.next() % n
    }

    /// Finite, now and then without a leading bit, now and then zero.
    fn half(&mut self) -> u16 {
        let sign = (self.below(2) << 15) as u16;
        sign | match self.below(20) {
            0 => self.below(1024) as u16,
            1 => 0,
            2 => 0x7bff,
            _ => (8 + self.below(10) as u16) << 10 | self.below(1024) as u16,
        }
    }

    fn float(&mut self) -> f32 {
        (self.below(20001) as f32 - 10000.0) / 512.0
    }
}

/// Runs `test` for every level that this processor has.
fn at_every_level(test: impl Fn(Level, &Kernels)) {
    let _one = FORCED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    for level in Level::ALL {
        match kernels_of(level) {
            Some(kernels) if force(level) => test(level, kernels),
            _ => println!("skipped: this processor has no {}", level.name()),
        }
    }
}

fn bytes(halves: &[u16]) -> Vec<u8> {
    halves.iter().flat_map(|half| half.to_le_bytes()).collect()
}

fn value(half: u16) -> f64 {
    scalar::weight(Kind::F16, &half.to_le_bytes(), 0)
}

const SHAPES: [(usize, usize, usize); 12] = [
    (1, 1, 1),
    (1, 3, 1),
    (7, 1, 31),
    (16, 2, 33),
    (17, 3, 7),
    (15, 4, 9),
    (33, 5, 63),
    (64, 1, 97),
    (9, 7, 385),
    (20, 3, 769),
    (3, 1, 2049),
    (2, 3, 4100),
];

/// `x` gives the value of an activation.
fn check_product<C: Column>(
    level: Level,
    kind: Kind,
    (m, n, k): (usize, usize, usize),
    columns: &[C],
    x: impl Fn(C) -> f64,
) {
    let mut dice = Dice(0xf10a7 + (m * n * k) as u64);
    let data: Vec<u8> = match kind {
        Kind::F16 => bytes(&(0..m * k).map(|_| dice.half()).collect::<Vec<_>>()),
        _ => (0..m * k).flat_map(|_| dice.float().to_le_bytes()).collect(),
    };
    let size = data.len() / m;
    let weights = Weights { data: data.as_ptr(), stride: size, k };
    let mut outs = Vec::new();
    for nth in [1, 3] {
        let mut out = vec![f32::NAN; m * n];
        let job =
            Job { weights, m, b: columns.as_ptr(), b_stride: k, n, out: out.as_mut_ptr(), out_stride: m };
        for ith in 0..nth {
            // SAFETY: all vectors hold what the job says, and shares do not meet.
            unsafe { product(kind, &job, share(m, ith, nth)) };
        }
        outs.push(out);
    }
    for (i, got) in outs[0].iter().enumerate() {
        let row = &data[i % m * size..][..size];
        let terms = || {
            let column = &columns[i / m * k..][..k];
            column.iter().enumerate().map(|(j, c)| scalar::weight(kind, row, j) * x(*c))
        };
        let (want, size): (f64, f64) = (terms().sum(), terms().map(f64::abs).sum());
        assert!(
            (f64::from(*got) - want).abs() <= TOLERANCE * size + 1e-30,
            "{} {kind:?} {m}x{n}x{k}: product {i} is {got}, not {want}",
            level.name()
        );
    }
    let same = outs[0].iter().zip(&outs[1]).all(|(a, b)| a.to_bits() == b.to_bits());
    assert!(same, "{} {kind:?} {m}x{n}x{k}: the number of threads changes bits", level.name());
}

#[test]
fn rows_of_any_length_are_multiplied() {
    at_every_level(|level, _| {
        for (m, n, k) in SHAPES {
            for kind in [Kind::F32, Kind::F16] {
                assert!(can(kind, k));
                let mut dice = Dice(n as u64 + 1);
                let columns: Vec<f32> = (0..n * k).map(|_| dice.float()).collect();
                check_product(level, kind, (m, n, k), &columns, f64::from);
            }
        }
    });
}

#[test]
fn columns_of_halves_are_multiplied() {
    at_every_level(|level, _| {
        for (m, n, k) in SHAPES {
            assert!(can_halves(Kind::F16, k));
            let mut dice = Dice(n as u64 + 1);
            let columns: Vec<u16> = (0..n * k).map(|_| dice.half()).collect();
            check_product(level, Kind::F16, (m, n, k), &columns, value);
        }
        assert!(!can_halves(Kind::Q8_0, 64), "only floats take halves");
        assert!(!can_halves(Kind::F16, 1 << 20), "a column must fit");
    });
}

#[test]
fn every_half_becomes_its_float() {
    let halves: Vec<u16> = (0..=u16::MAX).collect();
    at_every_level(|level, kernels| {
        let mut floats = vec![0f32; halves.len()];
        // SAFETY: both hold as many.
        unsafe { (kernels.vectors.widen)(halves.as_ptr(), halves.len(), floats.as_mut_ptr()) };
        for (half, float) in halves.iter().zip(&floats) {
            let want = match half & 0x7fff {
                // What is no number keeps its bits and becomes quiet, as in ggml.
                0x7c01.. => u32::from(half >> 15) << 31 | 0x7fc0_0000 | u32::from(half & 0x03ff) << 13,
                0x7c00 => u32::from(half >> 15) << 31 | 0x7f80_0000,
                _ => (value(*half) as f32).to_bits(),
            };
            assert_eq!(float.to_bits(), want, "{} {half:#06x}", level.name());
        }
    });
}

/// By the definition: the nearer one of the two halves around it, of two that are as near the even one.
fn nearest_half(x: f32) -> u16 {
    let sign = (x.to_bits() >> 16) as u16 & 0x8000;
    if x.is_nan() {
        return sign | 0x7e00;
    }
    let (mut low, mut high) = (0u16, 0x7c00);
    // What would come after the largest half counts as infinite.
    let of = |half: u16| if half == 0x7c00 { 65536.0 } else { value(half) };
    let size = f64::from(x).abs();
    if size >= 65536.0 {
        return sign | 0x7c00;
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if of(middle) <= size { low = middle } else { high = middle }
    }
    let (below, above) = (size - of(low), of(high) - size);
    sign | if below < above || below == above && low & 1 == 0 { low } else { high }
}

#[test]
fn floats_become_the_nearest_halves() {
    let mut dice = Dice(0x5eed);
    let special = [
        0.0,
        -0.0,
        1.0,
        65504.0,
        65519.996,
        65520.0,
        1e30,
        5.96e-8,
        2.98e-8,
        2.9802322e-8,
        6.1e-5,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        -f32::NAN,
        f32::MIN_POSITIVE,
        f32::MAX,
        1e-45,
    ];
    let ties = (0..2000).map(|i| f32::from_bits(0x3800_0000 + (i << 12)));
    let random = (0..20_000).map(|_| f32::from_bits(dice.next()));
    let floats: Vec<f32> = special.into_iter().chain(ties).chain(random).collect();
    at_every_level(|level, kernels| {
        let mut halves = vec![0u16; floats.len()];
        // SAFETY: both hold as many.
        unsafe { (kernels.vectors.narrow)(floats.as_ptr(), floats.len(), halves.as_mut_ptr()) };
        for (float, half) in floats.iter().zip(&halves) {
            assert_eq!(*half, nearest_half(*float), "{} {float:e}", level.name());
        }
    });
}

#[test]
fn rows_of_floats_and_of_halves_are_multiplied() {
    at_every_level(|level, kernels| {
        let mut dice = Dice(0xd07);
        for k in [0, 1, 7, 8, 31, 32, 33, 64, 95, 128, 1000] {
            let halves: [Vec<u16>; 2] = std::array::from_fn(|_| (0..k).map(|_| dice.half()).collect());
            let floats: [Vec<f32>; 2] = std::array::from_fn(|_| (0..k).map(|_| dice.float()).collect());
            // SAFETY: all hold `k`.
            let (of_halves, of_floats) = unsafe {
                let vectors = &kernels.vectors;
                (
                    (vectors.dot_halves)(halves[0].as_ptr(), halves[1].as_ptr(), k),
                    (vectors.dot_floats)(floats[0].as_ptr(), floats[1].as_ptr(), k),
                )
            };
            let check = |got: f32, terms: Vec<f64>| {
                let (want, size): (f64, f64) = (terms.iter().sum(), terms.iter().map(|x| x.abs()).sum());
                let close = (f64::from(got) - want).abs() <= TOLERANCE * size;
                assert!(close, "{} {k}: {got}, not {want}", level.name());
            };
            check(of_halves, halves[0].iter().zip(&halves[1]).map(|(a, b)| value(*a) * value(*b)).collect());
            check(
                of_floats,
                floats[0].iter().zip(&floats[1]).map(|(a, b)| f64::from(*a) * f64::from(*b)).collect(),
            );
        }
    });
}
