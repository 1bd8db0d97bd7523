//! A hash behind the last byte of a file, so that damage is seen before a model computes nonsense with it.
//!
//! Readers of GGUF go by offsets and do not mind what follows the weights. The hash is made while the file is written,
//! so nothing is read twice. It guards against damage, not against people.

use crate::Error;
use std::io::{self, Read, Write};

const MARK: [u8; 8] = *b"duetseal";
/// Bytes of a seal.
pub const SEAL_BYTES: u64 = 40;
/// Bytes that are read at a time.
const PIECE: usize = 1 << 18;

/// Writes through, and remembers the hash.
pub struct Sealer<W: Write> {
    out: W,
    hasher: blake3::Hasher,
}

impl<W: Write> Sealer<W> {
    pub fn new(out: W) -> Sealer<W> {
        Sealer { out, hasher: blake3::Hasher::new() }
    }

    /// Writes the seal.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&MARK)?;
        self.out.write_all(self.hasher.finalize().as_bytes())?;
        self.out.flush()?;
        Ok(self.out)
    }
}

impl<W: Write> Write for Sealer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Reads a file of `file_bytes` to its end and holds it to its seal.
pub fn check_seal(input: &mut dyn Read, file_bytes: u64) -> Result<(), Error> {
    let wrong = |why| Err(Error::Seal { why });
    let Some(mut left) = file_bytes.checked_sub(SEAL_BYTES) else { return wrong("is missing") };
    let mut hasher = blake3::Hasher::new();
    let mut room = vec![0; PIECE];
    let failed = |at| move |e: io::Error| Error::Read { at, why: e.to_string() };
    while left > 0 {
        let piece = &mut room[..left.min(PIECE as u64) as usize];
        input.read_exact(piece).map_err(failed(file_bytes - SEAL_BYTES - left))?;
        hasher.update(piece);
        left -= piece.len() as u64;
    }
    let mut seal = [0; SEAL_BYTES as usize];
    input.read_exact(&mut seal).map_err(failed(file_bytes - SEAL_BYTES))?;
    if seal[..MARK.len()] != MARK {
        return wrong("is missing");
    }
    if seal[MARK.len()..] == *hasher.finalize().as_bytes() {
        Ok(())
    } else {
        wrong("is of other bytes: the file was damaged")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(bytes: &[u8]) -> Vec<u8> {
        let mut sealer = Sealer::new(Vec::new());
        sealer.write_all(bytes).unwrap();
        sealer.finish().unwrap()
    }

    fn check(bytes: &[u8]) -> Result<(), Error> {
        check_seal(&mut &bytes[..], bytes.len() as u64)
    }

    #[test]
    fn a_sealed_file_is_taken_and_any_other_bit_refused() {
        let good = sealed(b"weights and weights");
        assert_eq!(check(&good), Ok(()));
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(check(&bad), Err(Error::Seal { .. })), "bit {bit}");
        }
        for end in 0..good.len() {
            assert!(check(&good[..end]).is_err(), "{end} bytes");
        }
    }
}
