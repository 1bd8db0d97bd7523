//! The same weights in another form: TQ1_0, five digits of three values in a byte, as TQ2_0, four fields of two bits.
//!
//! Both have one scale for 256 weights, so nothing is rounded. A file becomes a fifth larger, and a processor without
//! AVX reads it with 0.6 of the instructions. All else in the file stays as it is.

use crate::{Error, Gguf, Kind, NewTensor, Value, Writer};
use std::io::{Read, Seek, SeekFrom, Write};

/// Bytes of 256 weights.
const TQ1_0: usize = 54;
const TQ2_0: usize = 66;
/// Blocks that are turned at a time, and bytes that are copied.
const BLOCKS: usize = 1 << 12;
const PIECE: usize = BLOCKS * TQ1_0;
/// What `general.file_type` says of the two.
const FILE_TYPES: [u32; 2] = [36, 37];

impl Gguf {
    /// Whether a tensor is of type TQ1_0.
    pub fn has_tq1_0(&self) -> bool {
        self.tensors.iter().any(|tensor| tensor.kind == Kind::TQ1_0)
    }

    /// Writes this file with every tensor of type TQ1_0 as TQ2_0. `input` is what the head was read from.
    pub fn write_as_tq2_0<W: Write>(&self, input: &mut (impl Read + Seek), out: W) -> Result<W, Error> {
        let mut meta: Vec<(&str, Value)> =
            self.meta.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        for (key, value) in &mut meta {
            if *key == "general.file_type" && *value == Value::U32(FILE_TYPES[0]) {
                *value = Value::U32(FILE_TYPES[1]);
            }
        }
        let kind = |kind| if kind == Kind::TQ1_0 { Kind::TQ2_0 } else { kind };
        let tensors: Vec<NewTensor> = self
            .tensors
            .iter()
            .map(|tensor| NewTensor {
                name: tensor.name.clone(),
                kind: kind(tensor.kind),
                dims: tensor.dims.clone(),
            })
            .collect();
        let mut writer = Writer::new(out, &meta, &tensors)?;
        let mut room = vec![0; PIECE];
        for tensor in &self.tensors {
            let at = self.data_at + tensor.offset;
            let failed = |e: std::io::Error| Error::Read { at, why: e.to_string() };
            input.seek(SeekFrom::Start(at)).map_err(failed)?;
            let mut left = tensor.bytes;
            while left > 0 {
                let piece = &mut room[..left.min(PIECE as u64) as usize];
                input.read_exact(piece).map_err(failed)?;
                match tensor.kind {
                    Kind::TQ1_0 => writer.write(&blocks(piece))?,
                    _ => writer.write(piece)?,
                }
                left -= piece.len() as u64;
            }
        }
        writer.finish()
    }
}

fn blocks(bytes: &[u8]) -> Vec<u8> {
    bytes.as_chunks().0.iter().flat_map(block).collect()
}

/// One block: the fields first, then the scale.
fn block(from: &[u8; TQ1_0]) -> [u8; TQ2_0] {
    let mut to = [0; TQ2_0];
    let mut put = |weight: usize, digit: u8| {
        to[weight / 128 * 32 + weight % 32] |= digit << (2 * (weight % 128 / 32));
    };
    // Bytes from where, how many, how many digits each, and the first of their weights.
    for (at, n, digits, weight) in [(0, 32, 5, 0), (32, 16, 5, 160), (48, 4, 4, 240)] {
        for (i, byte) in from[at..at + n].iter().enumerate() {
            let mut rest = *byte;
            for digit in 0..digits {
                put(weight + digit * n + i, ((u16::from(rest) * 3) >> 8) as u8);
                rest = rest.wrapping_mul(3);
            }
        }
    }
    to[64..].copy_from_slice(&from[52..]);
    to
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    /// ggml's reading of TQ1_0: loops and formula as in `dequantize_row_tq1_0`.
    fn weights_of_tq1_0(block: &[u8]) -> Vec<i16> {
        let mut weights = Vec::new();
        let mut read = |bytes: &[u8], digits: usize| {
            for power in [1u8, 3, 9, 27, 81].into_iter().take(digits) {
                for byte in bytes {
                    let q = byte.wrapping_mul(power);
                    weights.push(((u16::from(q) * 3) >> 8) as i16 - 1);
                }
            }
        };
        read(&block[..32], 5);
        read(&block[32..48], 5);
        read(&block[48..52], 4);
        weights
    }

    /// The same for `dequantize_row_tq2_0`.
    fn weights_of_tq2_0(block: &[u8]) -> Vec<i16> {
        let mut weights = Vec::new();
        for half in block[..64].chunks(32) {
            for field in 0..4 {
                weights.extend(half.iter().map(|byte| i16::from(byte >> (2 * field) & 3) - 1));
            }
        }
        weights
    }

    #[test]
    fn every_weight_and_every_scale_stays_as_it_is() {
        let mut seen = [false; 256];
        for turn in 0..256usize {
            let from: [u8; TQ1_0] = std::array::from_fn(|i| (turn + i * 37) as u8);
            from[..52].iter().for_each(|byte| seen[usize::from(*byte)] = true);
            let to = block(&from);
            assert_eq!(weights_of_tq1_0(&from), weights_of_tq2_0(&to), "turn {turn}");
            assert_eq!(from[52..], to[64..]);
        }
        assert!(seen.iter().all(|seen| *seen));
    }

    #[test]
    fn only_what_is_tq1_0_changes_in_a_file() {
        let new = |name: &str, kind, dims: &[u64]| NewTensor { name: name.into(), kind, dims: dims.to_vec() };
        let tensors = [
            new("a", Kind::F32, &[3]),
            new("b", Kind::TQ1_0, &[512, 3]),
            new("c", Kind::Q4_K, &[256]),
            new("d", Kind::TQ2_0, &[256]),
        ];
        let meta = [("general.file_type", Value::U32(36)), ("x", Value::Text("y".into()))];
        let bytes = |n: usize| (0..n).map(|i| (i * 7919 % 251) as u8).collect::<Vec<u8>>();
        let mut writer = Writer::new(Vec::new(), &meta, &tensors).unwrap();
        for n in [12, 6 * TQ1_0, 144, TQ2_0] {
            writer.write(&bytes(n)).unwrap();
        }
        let file = writer.finish().unwrap();
        let head = Gguf::read(&mut &file[..], file.len() as u64).unwrap();
        assert!(head.has_tq1_0());
        let made = head.write_as_tq2_0(&mut Cursor::new(&file), Vec::new()).unwrap();
        let found = Gguf::read(&mut &made[..], made.len() as u64).unwrap();
        assert!(!found.has_tq1_0());
        assert_eq!((found.uint("general.file_type"), found.text("x")), (Some(37), Some("y")));
        let of = |head: &Gguf, file: &[u8], idx: usize| {
            let tensor = &head.tensors[idx];
            file[(head.data_at + tensor.offset) as usize..][..tensor.bytes as usize].to_vec()
        };
        for idx in [0, 2, 3] {
            assert_eq!(of(&head, &file, idx), of(&found, &made, idx), "tensor {idx}");
        }
        let (before, after) = (of(&head, &file, 1), of(&found, &made, 1));
        assert_eq!(before.len() / TQ1_0, after.len() / TQ2_0);
        for (before, after) in before.chunks(TQ1_0).zip(after.chunks(TQ2_0)) {
            assert_eq!(weights_of_tq1_0(before), weights_of_tq2_0(after));
        }
        let short = &file[..file.len() - 200];
        assert!(head.write_as_tq2_0(&mut Cursor::new(short), Vec::new()).is_err(), "a file that was cut");
    }
}
