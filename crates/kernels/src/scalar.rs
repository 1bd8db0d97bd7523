//! The truth: plain code that every kernel is held to.
//!
//! It says what a weight of each format is, and adds up in 64 bits. Nothing here is fast.

use crate::formats::{STEPS, scale_and_minimum};
use crate::half::half_to_float;
use crate::kind::Kind;

/// Weight `i` of a row.
///
/// # Panics
/// When the row is shorter than that.
pub fn weight(kind: Kind, row: &[u8], i: usize) -> f64 {
    let (bytes, weights) = kind.block();
    let block = &row[i / weights * bytes..][..bytes];
    let half = |at: usize| f64::from(half_to_float(u16::from_le_bytes([block[at], block[at + 1]])));
    let i = i % weights;
    match kind {
        Kind::F32 => f64::from(f32::from_le_bytes([block[0], block[1], block[2], block[3]])),
        Kind::F16 => half(0),
        Kind::Q4_0 => half(0) * (f64::from(block[2 + i % 16] >> (i / 16 * 4) & 15) - 8.0),
        Kind::Q4_1 => half(0) * nibble(block, 4, i) + half(2),
        Kind::Q5_0 => half(0) * (nibble(block, 6, i) + 16.0 * bit(block, 2, i) - 16.0),
        Kind::Q5_1 => half(0) * (nibble(block, 8, i) + 16.0 * bit(block, 4, i)) + half(2),
        Kind::IQ4_NL => half(0) * f64::from(STEPS[usize::from(block[2 + i % 16] >> (i / 16 * 4) & 15)]),
        Kind::Q4_K | Kind::Q5_K => {
            let (part, i) = (i / 32, i % 32);
            let mut packed = [0; 12];
            packed.copy_from_slice(&block[4..16]);
            let (scale, minimum) = scale_and_minimum(&packed, part);
            let nibbles = if kind == Kind::Q4_K { 16 } else { 48 };
            let low = f64::from(block[nibbles + part / 2 * 32 + i] >> (part % 2 * 4) & 15);
            let fifth = if kind == Kind::Q4_K { 0.0 } else { f64::from(block[16 + i] >> part & 1) };
            half(0) * f64::from(scale) * (low + 16.0 * fifth) - half(2) * f64::from(minimum)
        }
        Kind::Q6_K => {
            let (part, i) = (i / 32, i % 32);
            let (side, quarter) = (part / 4, part % 4);
            let low = block[64 * side + quarter % 2 * 32 + i] >> (quarter / 2 * 4) & 15;
            let high = block[128 + 32 * side + i] >> (2 * quarter) & 3;
            let scale = block[192 + 2 * part + i / 16] as i8;
            half(208) * f64::from(scale) * (f64::from(low | high << 4) - 32.0)
        }
        Kind::Q8_0 => half(0) * f64::from(block[2 + i] as i8),
        Kind::Q1_0 => half(0) * (f64::from(block[2 + i / 8] >> (i % 8) & 1) * 2.0 - 1.0),
        Kind::Q2_0 => half(0) * (f64::from(block[2 + i / 4] >> (i % 4 * 2) & 3) - 1.0),
        Kind::TQ2_0 => half(64) * (f64::from(block[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3) - 1.0),
        Kind::TQ1_0 => {
            let (byte, place) = place_of_digit(i);
            half(52) * (f64::from(digit(block[byte], place)) - 1.0)
        }
    }
}

/// Weight `i` of 32, of 16 bytes of nibbles at `at`.
fn nibble(block: &[u8], at: usize, i: usize) -> f64 {
    f64::from(block[at + i % 16] >> (i / 16 * 4) & 15)
}

/// Bit `i` of the bytes at `at`.
fn bit(block: &[u8], at: usize, i: usize) -> f64 {
    f64::from(block[at + i / 8] >> (i % 8) & 1)
}

/// The byte of a TQ1_0 block that holds weight `i`, and which of its digits.
pub(crate) fn place_of_digit(i: usize) -> (usize, usize) {
    match i {
        0..160 => (i % 32, i / 32),
        160..240 => (32 + i % 16, (i - 160) / 16),
        _ => (48 + i % 4, (i - 240) / 4),
    }
}

/// A digit to base 3 of a byte, which holds them as a fraction of 256, the first one on top.
pub(crate) fn digit(byte: u8, place: usize) -> u8 {
    let rest = byte.wrapping_mul([1, 3, 9, 27, 81][place]);
    ((u16::from(rest) * 3) >> 8) as u8
}

/// The product of a row with activations.
pub fn dot(kind: Kind, row: &[u8], x: &[f32]) -> f64 {
    x.iter().enumerate().map(|(i, &x)| weight(kind, row, i) * f64::from(x)).sum()
}
