//! The truth: plain code that every kernel is held to.
//!
//! It says what a weight of each format is, and adds up in 64 bits. Nothing here is fast.

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
        Kind::Q8_0 => half(0) * f64::from(block[2 + i] as i8),
        _ => 0.0,
    }
}

/// The product of a row with activations.
pub fn dot(kind: Kind, row: &[u8], x: &[f32]) -> f64 {
    x.iter().enumerate().map(|(i, &x)| weight(kind, row, i) * f64::from(x)).sum()
}
