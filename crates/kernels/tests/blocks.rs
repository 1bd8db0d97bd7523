//! ggml's layouts of activations: products with them held to plain code in 64 bits, quantisers to plain code bit by bit.

#![allow(unsafe_code)] // The kernels take raw memory, as ggml hands it in.

use kernels::{Blocks, Dot, Kind, Level, Quantise, kernels_of, scalar};

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

/// Runs `test` for every level that this processor has.
fn at_every_level(test: impl Fn(Level, &Blocks)) {
    for level in Level::ALL {
        match kernels_of(level) {
            Some(kernels) => test(level, &kernels.blocks),
            None => println!("skipped: this processor has no {}", level.name()),
        }
    }
}

fn half(x: f32) -> u16 {
    let mut half = 0;
    let sse2 = kernels_of(Level::Sse2).expect("every x86-64 processor has SSE2");
    // SAFETY: one number in, one out.
    unsafe { (sse2.vectors.narrow)(&x, 1, &mut half) };
    half
}

/// ggml's layouts.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Layout {
    Q8_0,
    Q8_1,
    Q8K,
}

impl Layout {
    fn n(self) -> usize {
        if self == Layout::Q8K { 256 } else { 32 }
    }
}

/// Blocks as they lie in memory, for whole numbers `q` and one power of two for each block.
fn blocks(layout: Layout, q: &[i8], d: &[f32]) -> Vec<u8> {
    let mut out = Vec::new();
    for (q, d) in q.chunks(layout.n()).zip(d) {
        let sum = |q: &[i8]| q.iter().map(|&q| i16::from(q)).sum::<i16>();
        let bytes = q.iter().map(|&q| q as u8);
        match layout {
            Layout::Q8_0 => out.extend(half(*d).to_le_bytes()),
            Layout::Q8_1 => {
                out.extend(half(*d).to_le_bytes());
                out.extend(half(d * f32::from(sum(q))).to_le_bytes());
            }
            Layout::Q8K => out.extend(d.to_le_bytes()),
        }
        out.extend(bytes);
        if layout == Layout::Q8K {
            q.chunks(16).for_each(|q| out.extend(sum(q).to_le_bytes()));
        }
    }
    out
}

type Of = fn(&Blocks) -> Dot;

const DOTS: [(Kind, Layout, Of); 12] = [
    (Kind::Q4_1, Layout::Q8_1, |blocks| blocks.dot_q4_1),
    (Kind::Q5_0, Layout::Q8_0, |blocks| blocks.dot_q5_0),
    (Kind::Q5_1, Layout::Q8_1, |blocks| blocks.dot_q5_1),
    (Kind::Q8_0, Layout::Q8_0, |blocks| blocks.dot_q8_0),
    (Kind::IQ4_NL, Layout::Q8_0, |blocks| blocks.dot_iq4_nl),
    (Kind::Q4_K, Layout::Q8K, |blocks| blocks.dot_q4_k),
    (Kind::Q5_K, Layout::Q8K, |blocks| blocks.dot_q5_k),
    (Kind::Q6_K, Layout::Q8K, |blocks| blocks.dot_q6_k),
    (Kind::Q1_0, Layout::Q8_0, |blocks| blocks.dot_q1_0),
    (Kind::Q2_0, Layout::Q8_0, |blocks| blocks.dot_q2_0),
    (Kind::TQ1_0, Layout::Q8K, |blocks| blocks.dot_tq1_0),
    (Kind::TQ2_0, Layout::Q8K, |blocks| blocks.dot_tq2_0),
];

#[derive(Debug, Clone, Copy)]
enum Matter {
    Random,
    /// Every bit of the weights set, every activation 127.
    Largest,
    /// The same with activations of -127.
    Opposed,
    /// Scales of the weights without a leading bit.
    TinyScales,
}

fn row(kind: Kind, n: usize, matter: Matter, dice: &mut Dice) -> Vec<u8> {
    let (bytes, weights) = kind.block();
    let scales: &[usize] = match kind {
        Kind::Q4_1 | Kind::Q5_1 | Kind::Q4_K | Kind::Q5_K => &[0, 2],
        Kind::Q6_K => &[208],
        Kind::TQ1_0 => &[52],
        Kind::TQ2_0 => &[64],
        _ => &[0],
    };
    let mut row = vec![0u8; n / weights * bytes];
    for block in row.chunks_exact_mut(bytes) {
        match matter {
            Matter::Largest | Matter::Opposed => block.fill(0xff),
            _ => block.iter_mut().for_each(|byte| *byte = dice.next() as u8),
        }
        for &at in scales {
            let exponent = if matches!(matter, Matter::TinyScales) { 0 } else { 5 + dice.below(8) };
            let half = dice.below(2) << 15 | exponent << 10 | dice.below(1024);
            block[at..at + 2].copy_from_slice(&(half as u16).to_le_bytes());
        }
    }
    row
}

fn activations(n: usize, matter: Matter, dice: &mut Dice) -> Vec<i8> {
    let mut q = vec![0i8; n];
    for q in q.chunks_mut(32) {
        // The sum of a block of Q8_1 is kept in 11 bits: only what they hold is held to the truth.
        while {
            for q in q.iter_mut() {
                *q = match matter {
                    Matter::Largest => 127,
                    Matter::Opposed => -127,
                    _ => (dice.below(255) as i32 - 127) as i8,
                };
            }
            let sum = q.iter().map(|&q| i32::from(q)).sum::<i32>().abs();
            sum > 2048 && sum != 32 * 127
        } {}
    }
    q
}

fn check_dot(level: Level, dot: Dot, (kind, layout): (Kind, Layout), n: usize, matter: Matter, seed: u64) {
    let mut dice = Dice(seed);
    let row = row(kind, n, matter, &mut dice);
    let q = activations(n, matter, &mut dice);
    let d: Vec<f32> = (0..n / layout.n()).map(|_| 2f32.powi(dice.below(12) as i32 - 11)).collect();
    let acts = blocks(layout, &q, &d);
    let x = |i: usize| f64::from(q[i]) * f64::from(d[i / layout.n()]);
    let products = || (0..n).map(|i| scalar::weight(kind, &row, i) * x(i));
    let (want, size): (f64, f64) = (products().sum(), products().map(f64::abs).sum());
    // SAFETY: `row` and `acts` hold `n`.
    let got = f64::from(unsafe { dot(n, row.as_ptr(), acts.as_ptr()) });
    assert!(
        (got - want).abs() <= TOLERANCE * size + 1e-30,
        "{} {kind:?} {n} {matter:?} seed {seed}: {got}, not {want}",
        level.name()
    );
}

#[test]
fn products_of_a_row_say_what_the_plain_code_says() {
    at_every_level(|level, blocks| {
        for (kind, layout, dot) in DOTS {
            let unit = kind.block().1;
            for (turn, n) in [0, 1, 2, 3, 4, 5, 8, 11, 64].into_iter().enumerate() {
                for matter in [Matter::Random, Matter::Largest, Matter::Opposed, Matter::TinyScales] {
                    let seed = 0x5eed + turn as u64;
                    check_dot(level, dot(blocks), (kind, layout), n * unit, matter, seed);
                }
            }
        }
    });
}

/// ggml's quantisers, read from its C.
fn by_the_book(layout: Layout, x: &[f32]) -> Vec<u8> {
    let mut out = Vec::new();
    for x in x.chunks(layout.n()) {
        let largest = x.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
        if layout == Layout::Q8K {
            let Some(&first) = x.iter().find(|x| x.abs() == largest && largest > 0.0) else {
                out.extend([0; 292]);
                continue;
            };
            let scale = -127.0 / first;
            let nearest = |v: f32| {
                let bits = (v + 12_582_912.0).to_bits();
                (bits & 0x007f_ffff) as i32 - 0x0040_0000
            };
            let q: Vec<i8> = x.iter().map(|x| nearest(scale * x).min(127) as i8).collect();
            out.extend(self::blocks(layout, &q, &[1.0 / scale]));
            continue;
        }
        let d = largest / 127.0;
        let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
        let q: Vec<i8> = x.iter().map(|x| (x * inverse).round() as i8).collect();
        out.extend(self::blocks(layout, &q, &[d]));
    }
    out
}

fn check_quantiser(level: Level, quantise: Quantise, layout: Layout, x: &[f32], what: &str) {
    let want = by_the_book(layout, x);
    let mut got = vec![0xaa; want.len() + 8];
    // SAFETY: there is room for the blocks of `x`.
    unsafe { quantise(x.as_ptr(), x.len(), got.as_mut_ptr()) };
    let (got, behind) = got.split_at(want.len());
    assert!(behind.iter().all(|&byte| byte == 0xaa), "{} {layout:?}: wrote too far", level.name());
    if let Some(at) = (0..want.len()).find(|&i| got[i] != want[i]) {
        panic!("{} {layout:?} {what}: byte {at} is {}, not {}", level.name(), got[at], want[at]);
    }
}

#[test]
fn quantisers_write_the_bytes_that_ggml_writes() {
    at_every_level(|level, blocks| {
        for (layout, quantise) in [
            (Layout::Q8_0, blocks.quantise_q8_0),
            (Layout::Q8_1, blocks.quantise_q8_1),
            (Layout::Q8K, blocks.quantise_q8_k),
        ] {
            let check = |x: &[f32], what: &str| check_quantiser(level, quantise, layout, x, what);
            for n in [0, 1, 2, 3, 4, 5, 7, 12] {
                let mut dice = Dice(0x5eed + n as u64);
                let mut floats = |unit: f32| -> Vec<f32> {
                    (0..n * layout.n()).map(|_| unit * (dice.below(20001) as f32 - 10000.0)).collect()
                };
                check(&floats(0.001), "random");
                check(&floats(1e-30 / 1e4), "smaller than a half holds");
                check(&floats(1e-6 / 1e4), "as small as halves get");
                check(&floats(6e4 / 1e4), "large");
                // 127 in every block, so that all products with the inverse are the numbers themselves.
                let ties = |i: usize| if i % 32 == 9 { 127.0 } else { (i * 37 % 253) as f32 - 126.5 };
                check(&(0..n * layout.n()).map(ties).collect::<Vec<_>>(), "ties");
                let below = |i: usize| f32::from_bits(ties(i).to_bits() - u32::from(i % 32 != 9));
                check(&(0..n * layout.n()).map(below).collect::<Vec<_>>(), "just below ties");
                let signs = |i: usize| if i % 2 == i / 256 % 2 { 5.0 } else { -5.0 };
                check(&(0..n * layout.n()).map(signs).collect::<Vec<_>>(), "largest with both signs");
                check(&vec![0.0; n * layout.n()], "zero");
                check(&vec![-0.0; n * layout.n()], "negative zero");
            }
        }
    });
}
