//! What tells two models of one shape apart, such as two that were trained on from the same one.

use crate::Error;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Places in the weights that are looked at: two for each layer of a model of 8B.
const PLACES: u64 = 64;
/// Bytes that are read at one of them, and of the head at once.
const PIECE_BYTES: u64 = 1 << 12;

/// The sum of nothing.
pub(crate) const EMPTY: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a: it guards against damage and mistakes, not against people.
pub(crate) fn fnv(sum: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(sum, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The sum of all that the file says of itself and of a sample of its weights: the whole file would take a minute.
pub(crate) fn of_file(path: &Path, head: &gguf::Gguf) -> Result<u64, Error> {
    let n_bytes = head.file_bytes - head.data_at;
    let heads = (0..head.data_at).step_by(PIECE_BYTES as usize).map(|at| (at, head.data_at));
    let places = (0..PLACES).map(|idx| (head.data_at + n_bytes * idx / PLACES, head.file_bytes));
    sum(path, heads.chain(places))
        .map_err(|e| Error::File { path: path.display().to_string(), why: e.to_string() })
}

/// The sum of pieces; each has its place and an end that it does not reach beyond.
fn sum(path: &Path, pieces: impl Iterator<Item = (u64, u64)>) -> io::Result<u64> {
    let file = File::open(path)?;
    let mut room = [0; PIECE_BYTES as usize];
    let mut sum = EMPTY;
    for (at, end) in pieces {
        let bytes = &mut room[..PIECE_BYTES.min(end - at) as usize];
        file.read_exact_at(bytes, at)?;
        sum = fnv(sum, bytes);
    }
    Ok(sum)
}
