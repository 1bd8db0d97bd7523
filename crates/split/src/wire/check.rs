//! The check of a frame: eight bytes at a time, because a Core 2 sends floats by the megabyte.
//!
//! Each step is a bijection of the sum for given bytes and of the bytes for a given sum, so a change within one word
//! always shows. It guards against damage; people are kept out by the overlay.

/// Odd, so multiplying by it loses nothing; the digits of the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

pub(super) fn of(head: &[u8], body: &[u8]) -> u64 {
    let sum = words(words(FACTOR, head), body);
    sum ^ sum >> 29
}

fn words(sum: u64, bytes: &[u8]) -> u64 {
    let (whole, rest) = bytes.as_chunks::<8>();
    let sum = whole.iter().fold(sum, |sum, word| step(sum, u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    step(step(sum, u64::from_le_bytes(last)), bytes.len() as u64)
}

fn step(sum: u64, word: u64) -> u64 {
    (sum ^ word).wrapping_mul(FACTOR).rotate_left(23)
}
