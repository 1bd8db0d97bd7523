//! What the processor could do at best: multiply-adds in registers, and bytes read from memory.
//!
//! These are the bounds that kernels are compared with.

use crate::memory::Memory;
use kernels::Level;
use std::arch::x86_64::{
    __m128, __m128i, __m256, __m256i, _mm_add_ps, _mm_loadu_si128, _mm_maddubs_epi16, _mm_mul_ps,
    _mm_or_si128, _mm_set1_ps, _mm_setzero_si128, _mm256_add_ps, _mm256_loadu_si256, _mm256_maddubs_epi16,
    _mm256_mul_ps, _mm256_or_si256, _mm256_set1_ps, _mm256_setzero_si256,
};
use std::hint::black_box;

/// Chains side by side, so that no instruction waits for the one before it.
const CHAINS: usize = 10;

/// Multiplies bytes in registers, `rounds` times, and says how many multiply-adds that were.
///
/// Only the multiplication counts: a processor that does one a cycle does no product of bytes faster.
/// `None` where the level has no such instruction, or the processor not the level.
pub fn multiply_bytes(level: Level, rounds: usize) -> Option<usize> {
    if !level.is_here() {
        return None;
    }
    // SAFETY: the processor has the level, as was just asked.
    unsafe {
        match level {
            Level::Sse2 => None,
            Level::Ssse3 | Level::Sse41 => Some(bytes_128(rounds)),
            Level::Avx2 => Some(bytes_256(rounds)),
        }
    }
}

/// Multiplies and adds floats in registers, and says how many multiply-adds that were.
pub fn multiply_floats(level: Level, rounds: usize) -> Option<usize> {
    if !level.is_here() {
        return None;
    }
    // SAFETY: the processor has the level, as was just asked; all have SSE2.
    Some(unsafe {
        match level {
            Level::Avx2 => floats_256(rounds),
            _ => floats_128(rounds),
        }
    })
}

#[target_feature(enable = "ssse3")]
unsafe fn bytes_128(rounds: usize) -> usize {
    let mut chains: [__m128i; CHAINS] = black_box([_mm_setzero_si128(); CHAINS]);
    let by = black_box(_mm_setzero_si128());
    for _ in 0..rounds {
        for chain in &mut chains {
            *chain = _mm_maddubs_epi16(*chain, by);
        }
    }
    black_box(chains);
    rounds * CHAINS * 16
}

#[target_feature(enable = "avx2")]
unsafe fn bytes_256(rounds: usize) -> usize {
    let mut chains: [__m256i; CHAINS] = black_box([_mm256_setzero_si256(); CHAINS]);
    let by = black_box(_mm256_setzero_si256());
    for _ in 0..rounds {
        for chain in &mut chains {
            *chain = _mm256_maddubs_epi16(*chain, by);
        }
    }
    black_box(chains);
    rounds * CHAINS * 32
}

#[target_feature(enable = "sse2")]
unsafe fn floats_128(rounds: usize) -> usize {
    let mut chains: [__m128; CHAINS] = black_box([_mm_set1_ps(1.0); CHAINS]);
    let by = black_box(_mm_set1_ps(0.5));
    for _ in 0..rounds {
        for chain in &mut chains {
            *chain = _mm_add_ps(_mm_mul_ps(*chain, by), by);
        }
    }
    black_box(chains);
    rounds * CHAINS * 4
}

#[target_feature(enable = "avx2")]
unsafe fn floats_256(rounds: usize) -> usize {
    let mut chains: [__m256; CHAINS] = black_box([_mm256_set1_ps(1.0); CHAINS]);
    let by = black_box(_mm256_set1_ps(0.5));
    for _ in 0..rounds {
        for chain in &mut chains {
            *chain = _mm256_add_ps(_mm256_mul_ps(*chain, by), by);
        }
    }
    black_box(chains);
    rounds * CHAINS * 8
}

/// Bytes to read, more than the caches hold.
pub struct Stream(Memory);

impl Stream {
    pub fn new(n_bytes: usize) -> Stream {
        let mut memory = Memory::new(n_bytes);
        // Pages are only there once they were written to; read before, they would all be one page of zeros.
        memory.bytes_mut().iter_mut().step_by(64).for_each(|byte| *byte = 1);
        Stream(memory)
    }

    pub fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// Reads all bytes once, as wide as the level can.
pub fn read(level: Level, bytes: &[u8]) {
    // SAFETY: SSE2 is everywhere, and AVX2 was asked for.
    unsafe {
        match level {
            Level::Avx2 if level.is_here() => read_256(bytes),
            _ => read_128(bytes),
        }
    }
}

#[target_feature(enable = "sse2")]
unsafe fn read_128(bytes: &[u8]) {
    let mut all = [_mm_setzero_si128(); 4];
    for line in bytes.chunks_exact(64) {
        for (i, seen) in all.iter_mut().enumerate() {
            // SAFETY: a line has four times 16 bytes.
            *seen = _mm_or_si128(*seen, unsafe { _mm_loadu_si128(line.as_ptr().add(16 * i).cast()) });
        }
    }
    black_box(all);
}

#[target_feature(enable = "avx2")]
unsafe fn read_256(bytes: &[u8]) {
    let mut all = [_mm256_setzero_si256(); 4];
    for lines in bytes.chunks_exact(128) {
        for (i, seen) in all.iter_mut().enumerate() {
            // SAFETY: two lines have four times 32 bytes.
            *seen = _mm256_or_si256(*seen, unsafe { _mm256_loadu_si256(lines.as_ptr().add(32 * i).cast()) });
        }
    }
    black_box(all);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_counts_its_own_multiplications() {
        assert_eq!(multiply_bytes(Level::Sse2, 3), None);
        if Level::Ssse3.is_here() {
            assert_eq!(multiply_bytes(Level::Ssse3, 3), Some(3 * 160));
        }
        assert_eq!(multiply_floats(Level::Sse2, 3), Some(3 * 40));
    }
}
