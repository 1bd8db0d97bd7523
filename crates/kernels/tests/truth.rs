//! Every kernel of every instruction set that this processor has, held to the plain code in 64 bits.
//!
//! Activations are whole numbers times a power of two, and the largest possible one is among every 32: so the
//! kernels' own quantisation loses nothing, and what is left is the rounding of sums.

#![allow(unsafe_code)] // The kernels take raw memory, as ggml hands it in.

use kernels::{Job, Kind, Level, UNIT, Weights, can, force, product, scalar, share};
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
}

/// What the bytes of a row, and the activations, are like.
#[derive(Debug, Clone, Copy)]
enum Matter {
    Random,
    /// Every bit of the weights set, every activation at its largest, all with one sign.
    Largest,
    /// Every bit clear, activations at their largest negative.
    Smallest,
    ZeroScales,
    /// Scales that are denormal halves.
    TinyScales,
}

const MATTERS: [Matter; 5] =
    [Matter::Random, Matter::Largest, Matter::Smallest, Matter::ZeroScales, Matter::TinyScales];

/// Where the halves of a block lie: scales, which must stay finite.
fn halves(kind: Kind) -> &'static [usize] {
    match kind {
        Kind::F32 => &[],
        Kind::Q4_1 | Kind::Q5_1 | Kind::Q4_K | Kind::Q5_K => &[0, 2],
        Kind::Q6_K => &[208],
        Kind::TQ1_0 => &[52],
        Kind::TQ2_0 => &[64],
        _ => &[0],
    }
}

fn half(matter: Matter, dice: &mut Dice) -> u16 {
    let sign = (dice.below(2) << 15) as u16;
    match matter {
        Matter::ZeroScales => sign,
        Matter::TinyScales => sign | dice.below(1024) as u16,
        // 2^-10 to 2^-3
        _ => sign | (5 + dice.below(8) as u16) << 10 | dice.below(1024) as u16,
    }
}

fn row(kind: Kind, k: usize, matter: Matter, dice: &mut Dice) -> Vec<u8> {
    let (bytes, weights) = kind.block();
    let mut row = vec![0u8; k / weights * bytes];
    for block in row.chunks_exact_mut(bytes) {
        if kind == Kind::F32 {
            let value = (dice.below(2001) as f32 - 1000.0) / 512.0;
            block.copy_from_slice(&value.to_le_bytes());
            continue;
        }
        match matter {
            Matter::Largest => block.fill(largest_byte(kind)),
            Matter::Smallest => block.fill(0),
            _ => block.iter_mut().for_each(|byte| *byte = random_byte(kind, dice)),
        }
        for &at in halves(kind) {
            block[at..at + 2].copy_from_slice(&half(matter, dice).to_le_bytes());
        }
    }
    row
}

/// Q8_0 never holds -128: ggml's quantiser divides by 127. Q2_0 and TQ2_0 may hold a 3, though no quantiser writes it.
fn random_byte(kind: Kind, dice: &mut Dice) -> u8 {
    match dice.next() as u8 {
        0x80 if kind == Kind::Q8_0 => 0x81,
        byte => byte,
    }
}

fn largest_byte(kind: Kind) -> u8 {
    if kind == Kind::Q8_0 { 0x81 } else { 0xff }
}

/// Activations that 8 bits hold exactly.
fn activations(k: usize, matter: Matter, dice: &mut Dice) -> Vec<f32> {
    let mut x = vec![0.0; k];
    for part in x.chunks_mut(256) {
        let unit = 2f32.powi(dice.below(9) as i32 - 8);
        for (i, x) in part.iter_mut().enumerate() {
            *x = unit
                * match matter {
                    Matter::Largest => 127.0,
                    Matter::Smallest => -127.0,
                    _ if i % 32 == 7 => 127.0,
                    _ => dice.below(255) as f32 - 127.0,
                };
        }
    }
    x
}

fn check_shape(level: Level, kind: Kind, (m, n, k): (usize, usize, usize), matter: Matter, seed: u64) {
    let mut dice = Dice(seed);
    let rows: Vec<Vec<u8>> = (0..m).map(|_| row(kind, k, matter, &mut dice)).collect();
    let columns: Vec<Vec<f32>> = (0..n).map(|_| activations(k, matter, &mut dice)).collect();
    let (data, b) = (rows.concat(), columns.concat());
    let weights = Weights { data: data.as_ptr(), stride: rows[0].len(), k };
    let mut by_threads = Vec::new();
    for nth in [1, 2, 3] {
        let mut out = vec![f32::NAN; m * n];
        let job = Job { weights, m, b: b.as_ptr(), b_stride: k, n, out: out.as_mut_ptr(), out_stride: m };
        for ith in 0..nth {
            // SAFETY: `data`, `b` and `out` hold what the job says, and shares do not meet.
            unsafe { product(kind, &job, share(m, ith, nth)) };
        }
        by_threads.push(out);
    }
    for (i, got) in by_threads[0].iter().enumerate() {
        let (row, x) = (&rows[i % m], &columns[i / m]);
        let want = scalar::dot(kind, row, x);
        let size: f64 =
            x.iter().enumerate().map(|(i, &x)| (scalar::weight(kind, row, i) * f64::from(x)).abs()).sum();
        assert!(
            (f64::from(*got) - want).abs() <= TOLERANCE * size + 1e-30,
            "{} {kind:?} {m}x{n}x{k} {matter:?} seed {seed}: product {i} is {got}, not {want}",
            level.name()
        );
    }
    for out in &by_threads[1..] {
        let same = out.iter().zip(&by_threads[0]).all(|(a, b)| a.to_bits() == b.to_bits());
        assert!(same, "{} {kind:?} {m}x{n}x{k}: the number of threads changes bits", level.name());
    }
}

fn check(level: Level) {
    let _one = FORCED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if !force(level) {
        println!("skipped: this processor has no {}", level.name());
        return;
    }
    let mut n_kinds = 0;
    for kind in Kind::ALL {
        let weights = kind.block().1.max(32);
        for (turn, (m, n, blocks)) in [
            (1, 1, 1),
            (16, 1, 2),
            (17, 2, 3),
            (5, 3, 1),
            (40, 9, 5),
            (33, 4, 9),
            (UNIT * 3 + 7, 1, 17),
            (19, 21, 2),
            (1033, 6, 1),
        ]
        .into_iter()
        .enumerate()
        {
            if !can(kind, weights * blocks) {
                continue;
            }
            n_kinds += usize::from(turn == 0);
            // Tall ones are there for the edges of what a kernel keeps at a time.
            for matter in MATTERS.into_iter().take(if m > 1000 { 1 } else { MATTERS.len() }) {
                check_shape(level, kind, (m, n, weights * blocks), matter, 0x5eed + turn as u64);
            }
        }
    }
    assert_eq!(n_kinds, EXPECTED_KINDS, "{}: kinds with kernels", level.name());
}

/// Rises as kernels are written; every level has the same.
const EXPECTED_KINDS: usize = 15;

#[test]
fn sse2_kernels_say_what_the_plain_code_says() {
    check(Level::Sse2);
}

#[test]
fn ssse3_kernels_say_what_the_plain_code_says() {
    check(Level::Ssse3);
}

#[test]
fn sse41_kernels_say_what_the_plain_code_says() {
    check(Level::Sse41);
}

#[test]
fn avx2_kernels_say_what_the_plain_code_says() {
    check(Level::Avx2);
}

/// Longer than the activations that any kernel keeps at a time.
#[test]
fn long_rows_say_what_the_plain_code_says() {
    let _one = FORCED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    for level in Level::ALL.into_iter().filter(|level| force(*level)) {
        for kind in Kind::ALL {
            let odd = if kind.block().1 == 1 { 7 } else { 0 };
            for (seed, shape) in [(1, (22, 1, 4352 + odd)), (2, (7, 2, 16_640 + odd))] {
                assert!(can(kind, shape.2), "{kind:?} {shape:?}");
                for matter in [Matter::Random, Matter::TinyScales] {
                    check_shape(level, kind, shape, matter, seed);
                }
            }
        }
    }
}

#[test]
fn both_ways_of_q1_0_say_what_the_plain_code_says() {
    let _one = FORCED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    for level in Level::ALL.into_iter().filter(|level| force(*level)) {
        for way in [kernels::Way::Tables, kernels::Way::Direct] {
            kernels::prefer(way);
            for (seed, shape) in [(1, (17, 1, 128)), (2, (35, 1, 640)), (3, (16, 1, 4352))] {
                for matter in MATTERS {
                    check_shape(level, Kind::Q1_0, shape, matter, seed);
                }
            }
        }
    }
    kernels::prefer(kernels::Way::Tables);
}

#[test]
fn calibration_names_the_way_that_runs() {
    let _one = FORCED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let mut dice = Dice(0xca11);
    let row = row(Kind::Q1_0, 512, Matter::Random, &mut dice);
    // Neither way holds these exactly, and each rounds them in its own manner.
    let x: Vec<f32> = (0..512).map(|_| dice.below(100_003) as f32 / 997.0 - 50.0).collect();
    let bits = || products(Kind::Q1_0, &row, &x, 1).into_iter().map(f32::to_bits).collect::<Vec<_>>();
    for level in Level::ALL.into_iter().filter(|level| force(*level)) {
        let [tables, direct] = [kernels::Way::Tables, kernels::Way::Direct].map(|way| {
            kernels::prefer(way);
            (kernels::way(), bits())
        });
        assert_eq!(tables == direct, level == Level::Sse2, "{}: the ways differ", level.name());
        for before in [kernels::Way::Tables, kernels::Way::Direct] {
            kernels::prefer(before);
            let way = kernels::calibrate();
            assert_eq!(kernels::way(), way, "{}", level.name());
            let want = [&tables, &direct].into_iter().find(|(named, _)| *named == way).map(|(_, bits)| bits);
            assert_eq!(Some(&bits()), want, "{}: {} was named", level.name(), way.name());
        }
    }
    kernels::prefer(kernels::Way::Tables);
}

/// The products of five rows like `row` with `n` columns like `x`.
fn products(kind: Kind, row: &[u8], x: &[f32], n: usize) -> Vec<f32> {
    let (data, b, k) = (row.repeat(5), x.repeat(n), x.len());
    let weights = Weights { data: data.as_ptr(), stride: row.len(), k };
    let mut out = vec![0.0; 5 * n];
    let job = Job { weights, m: 5, b: b.as_ptr(), b_stride: k, n, out: out.as_mut_ptr(), out_stride: 5 };
    // SAFETY: `data`, `b` and `out` hold what the job says.
    unsafe { product(kind, &job, 0..5) };
    out
}

#[test]
fn the_largest_weights_and_activations_that_are_no_whole_numbers_do_not_overflow() {
    let _one = FORCED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    for level in Level::ALL.into_iter().filter(|level| force(*level)) {
        for kind in Kind::ALL.into_iter().filter(|kind| can(*kind, 512)) {
            let row = row(kind, 512, Matter::Largest, &mut Dice(0x127));
            for (x, n) in [127.7, 127.5, 63.8].into_iter().flat_map(|x| [(x, 1), (x, 9), (-x, 1), (-x, 9)]) {
                let want = scalar::dot(kind, &row, &[x; 512]);
                for got in products(kind, &row, &[x; 512], n) {
                    let near = (f64::from(got) - want).abs() <= 0.01 * want.abs();
                    assert!(near, "{} {kind:?} {n} columns of {x}: {got}, not {want}", level.name());
                }
            }
        }
    }
}

#[test]
fn an_activation_that_is_no_number_or_infinite_makes_products_that_are_no_numbers() {
    let _one = FORCED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    for level in Level::ALL.into_iter().filter(|level| force(*level)) {
        for kind in Kind::ALL.into_iter().filter(|kind| can(*kind, 512)) {
            let row = row(kind, 512, Matter::Random, &mut Dice(0xbad));
            for strange in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                for (at, n) in [0, 5, 100, 255, 300, 511].into_iter().flat_map(|at| [(at, 1), (at, 9)]) {
                    let mut x: Vec<f32> = (0..512).map(|i| (i % 31) as f32 - 15.5).collect();
                    x[at] = strange;
                    for got in products(kind, &row, &x, n) {
                        // Floats are multiplied as they are.
                        let is_float = matches!(kind, Kind::F32 | Kind::F16);
                        let seen = got.is_nan() || is_float && strange.is_infinite() && !got.is_finite();
                        assert!(seen, "{} {kind:?} {n} columns, {strange} at {at}: {got}", level.name());
                    }
                }
            }
        }
    }
}
