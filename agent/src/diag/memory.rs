//! Tests memory from within a running system: writes patterns, reads them back.
//!
//! It sees what is free at the moment and no more; a PC that fails here needs another memory stick, one that passes may
//! still need a test before its system starts, such as memtest86+.

use std::hint::black_box;

/// What is taken at once. A block is read long after it was written, so that no cache holds it any more.
pub const BLOCK_BYTES: usize = 8 << 20;
const WORDS: usize = BLOCK_BYTES / 8;

/// Each is written, and its inverse; the last is a number that differs from word to word.
const PATTERNS: [Pattern; 4] = [
    Pattern::Same(0),
    Pattern::Same(0x5555_5555_5555_5555),
    Pattern::Same(0x00ff_00ff_00ff_00ff),
    Pattern::Place,
];
/// Passes over all blocks, for the progress.
pub const N_PASSES: usize = 2 * PATTERNS.len();

#[derive(Debug, Clone, Copy)]
enum Pattern {
    Same(u64),
    Place,
}

impl Pattern {
    fn word(self, idx: usize, is_inverse: bool) -> u64 {
        let word = match self {
            Pattern::Same(word) => word,
            // An odd factor gives every place its own number, with bits all over the word.
            Pattern::Place => (idx as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        };
        if is_inverse { !word } else { word }
    }
}

/// Memory that forgot.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// Of the memory that was taken.
    pub byte: usize,
    pub wrote: u64,
    pub read: u64,
}

/// Blocks that are taken, as many as there are up to the wish.
pub fn take(n_bytes: usize) -> Vec<Vec<u64>> {
    let mut blocks = Vec::new();
    for _ in 0..n_bytes / BLOCK_BYTES {
        let mut block: Vec<u64> = Vec::new();
        if block.try_reserve_exact(WORDS).is_err() {
            break;
        }
        block.resize(WORDS, 0);
        blocks.push(block);
    }
    blocks
}

/// Writes and reads all blocks; `step` is called after each pass and says whether to go on.
pub fn test(blocks: &mut [Vec<u64>], mut step: impl FnMut(usize) -> bool) -> Result<(), Fault> {
    for pass in 0..N_PASSES {
        let (pattern, is_inverse) = (PATTERNS[pass / 2], pass % 2 == 1);
        let word = |idx| pattern.word(idx, is_inverse);
        write(blocks, word);
        // Whatever the compiler knows of these words, it forgets here.
        read(black_box(&*blocks), word)?;
        if !step(pass) {
            break;
        }
    }
    Ok(())
}

fn write(blocks: &mut [Vec<u64>], word: impl Fn(usize) -> u64) {
    blocks.iter_mut().flatten().enumerate().for_each(|(idx, place)| *place = word(idx));
}

fn read(blocks: &[Vec<u64>], word: impl Fn(usize) -> u64) -> Result<(), Fault> {
    let wrong = blocks.iter().flatten().enumerate().find(|(idx, place)| **place != word(*idx));
    wrong.map_or(Ok(()), |(idx, read)| Err(Fault { byte: idx * 8, wrote: word(idx), read: *read }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_memory_passes_all_patterns() {
        let mut blocks = take(2 * BLOCK_BYTES);
        let mut n_passes = 0;
        let result = test(&mut blocks, |_| {
            n_passes += 1;
            true
        });
        assert_eq!((blocks.len(), n_passes, result), (2, N_PASSES, Ok(())));
    }

    #[test]
    fn a_bit_that_flips_is_found() {
        let mut blocks = take(2 * BLOCK_BYTES);
        let word = |idx| Pattern::Place.word(idx, true);
        write(&mut blocks, word);
        blocks[1][7] ^= 1 << 40;
        let (byte, wrote) = (BLOCK_BYTES + 56, word(WORDS + 7));
        assert_eq!(read(&blocks, word), Err(Fault { byte, wrote, read: wrote ^ 1 << 40 }));
    }

    #[test]
    fn who_no_longer_waits_ends_it() {
        let mut n_passes = 0;
        let stop = |_| {
            n_passes += 1;
            false
        };
        assert_eq!(test(&mut take(BLOCK_BYTES), stop), Ok(()));
        assert_eq!(n_passes, 1);
    }

    #[test]
    fn every_bit_is_once_one_and_once_zero() {
        let (mut ones, mut zeros) = (0, 0);
        for pass in 0..N_PASSES {
            let word = PATTERNS[pass / 2].word(12_345, pass % 2 == 1);
            (ones, zeros) = (ones | word, zeros | !word);
        }
        assert_eq!((ones, zeros), (u64::MAX, u64::MAX));
    }
}
