//! Which chunks of a file there are: one bit for each.

use crate::tree::{CHUNK_BYTES, CHUNKS_MAX};
use std::fmt;
use std::ops::Range;

/// A set of chunks of one file.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Bits {
    n: u32,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitsError {
    /// Chunks of the file.
    pub n: u32,
}

impl fmt::Display for BitsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this is no set of {} chunks as hex digits", self.n)
    }
}

impl std::error::Error for BitsError {}

impl Bits {
    /// None of `n` chunks. More than a file can have are none at all.
    pub fn none(n: u32) -> Bits {
        let n = if n > CHUNKS_MAX { 0 } else { n };
        Bits { n, bytes: vec![0; n.div_ceil(8) as usize] }
    }

    pub fn all(n: u32) -> Bits {
        let mut bits = Bits::none(n);
        (0..bits.n).for_each(|chunk| bits.set(chunk));
        bits
    }

    /// The chunks that hold these bytes of a file.
    pub fn of_ranges(n: u32, ranges: &[Range<u64>]) -> Bits {
        let mut bits = Bits::none(n);
        for range in ranges.iter().filter(|range| range.start < range.end) {
            let (first, last) = (range.start / CHUNK_BYTES, (range.end - 1) / CHUNK_BYTES);
            (first..=last.min(n.into())).for_each(|chunk| bits.set(u32::try_from(chunk).unwrap_or(n)));
        }
        bits
    }

    /// Two hex digits for each eight chunks.
    pub fn parse(n: u32, text: &str) -> Result<Bits, BitsError> {
        let mut bits = Bits::none(n);
        if text.len() != 2 * bits.bytes.len() || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(BitsError { n });
        }
        for (idx, byte) in bits.bytes.iter_mut().enumerate() {
            let digits = text.get(2 * idx..2 * idx + 2).ok_or(BitsError { n })?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| BitsError { n })?;
        }
        let beyond = bits.n % 8;
        let has_more = beyond > 0 && bits.bytes.last().is_some_and(|last| last >> beyond != 0);
        if has_more { Err(BitsError { n }) } else { Ok(bits) }
    }

    pub fn to_hex(&self) -> String {
        self.bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Chunks of the file.
    pub fn n(&self) -> u32 {
        self.n
    }

    pub fn has(&self, chunk: u32) -> bool {
        chunk < self.n && self.bytes[chunk as usize / 8] >> (chunk % 8) & 1 == 1
    }

    /// One that the file does not have changes nothing.
    pub fn set(&mut self, chunk: u32) {
        if chunk < self.n {
            self.bytes[chunk as usize / 8] |= 1 << (chunk % 8);
        }
    }

    pub fn clear(&mut self, chunk: u32) {
        if chunk < self.n {
            self.bytes[chunk as usize / 8] &= !(1 << (chunk % 8));
        }
    }

    pub fn count(&self) -> u32 {
        self.bytes.iter().map(|byte| byte.count_ones()).sum()
    }

    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.n).filter(|chunk| self.has(*chunk))
    }

    /// Those of these that are not among others.
    pub fn without(&self, other: &Bits) -> Bits {
        let mut left = self.clone();
        for (byte, gone) in left.bytes.iter_mut().zip(&other.bytes) {
            *byte &= !gone;
        }
        left
    }

    /// Whether all of these are among others.
    pub fn is_within(&self, other: &Bits) -> bool {
        self.without(other).count() == 0
    }
}

impl fmt::Debug for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} chunks", self.count(), self.n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_written_as_it_is_read() {
        let mut bits = Bits::none(13);
        [0, 7, 8, 12, 13, 99].into_iter().for_each(|chunk| bits.set(chunk));
        assert_eq!((bits.count(), bits.to_hex().as_str()), (4, "8111"));
        assert_eq!(Bits::parse(13, "8111"), Ok(bits.clone()));
        assert_eq!(bits.iter().collect::<Vec<_>>(), [0, 7, 8, 12]);
        bits.clear(7);
        assert!(!bits.has(7) && bits.is_within(&Bits::all(13)) && !Bits::all(13).is_within(&bits));
    }

    #[test]
    fn a_set_of_another_length_is_refused() {
        for text in ["", "81", "811100", "8131", "81é", "+1+1"] {
            assert_eq!(Bits::parse(13, text), Err(BitsError { n: 13 }), "{text}");
        }
        assert_eq!(Bits::none(u32::MAX).n(), 0);
    }

    #[test]
    fn the_chunks_of_some_bytes_are_those_that_hold_them() {
        let c = CHUNK_BYTES;
        let bits = Bits::of_ranges(6, &[0..1, c - 1..c + 1, 4 * c..4 * c, 5 * c..u64::MAX]);
        assert_eq!(bits.iter().collect::<Vec<_>>(), [0, 1, 5]);
    }
}
