//! One tensor as it is on the wire, held to what a tensor can be.

use crate::kind::Kind;
use crate::message::{Reader, SOURCES_MAX, TENSOR_BYTES};
use crate::refusal::Refusal;

/// Numbers of an operation's own, such as an epsilon.
pub(crate) const PARAMS: usize = 16;
/// Numbers in a tensor, and bytes from its first to behind its last: far below where a product would overflow.
const SIZE_MAX: u128 = 1 << 40;

/// A tensor that could be one: its type is known, its sizes are no nonsense. Whether its memory is its own is another
/// question, for `Buffers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    pub id: u64,
    pub kind: Kind,
    pub buffer: u64,
    /// Numbers in each direction, the row first.
    pub ne: [u64; 4],
    /// Bytes from one to the next in each direction.
    pub nb: [u64; 4],
    pub op: u32,
    pub params: [u32; PARAMS],
    pub src: [u64; SOURCES_MAX],
    pub view_src: u64,
    pub data: u64,
    /// Bytes from its first to behind its last.
    pub bytes: u64,
    name: [u8; 64],
}

impl Tensor {
    /// Reads a tensor; the bytes are as many as one has.
    pub fn read(bytes: &[u8]) -> Result<Tensor, Refusal> {
        let short = Refusal::Tensor { name: String::new(), why: "is cut off" };
        let mut reader = Reader(bytes);
        let (mut ne, mut nb, mut params, mut src) = ([0; 4], [0; 4], [0; PARAMS], [0; SOURCES_MAX]);
        let mut read = || {
            let (id, number, buffer) = (reader.u64()?, reader.u32()?, reader.u64()?);
            for n in ne.iter_mut().chain(&mut nb) {
                *n = u64::from(reader.u32()?);
            }
            let op = reader.u32()?;
            for n in &mut params {
                *n = reader.u32()?;
            }
            let _flags = reader.u32()?;
            for n in &mut src {
                *n = reader.u64()?;
            }
            let (view_src, _offset, data) = (reader.u64()?, reader.u64()?, reader.u64()?);
            let name: [u8; 64] = reader.slice(64)?.try_into().ok()?;
            Some((id, number, buffer, op, view_src, data, name))
        };
        let (id, number, buffer, op, view_src, data, name) = read().ok_or(short)?;
        let wrong = |why| Refusal::Tensor { name: shown(&name), why };
        let kind = Kind::of(number).ok_or_else(|| wrong("has a type that does not exist"))?;
        if ne[0] % kind.block != 0 {
            return Err(wrong("has rows that are no whole blocks"));
        }
        let n_blocks = ne.iter().fold(1, |product: u128, n| product.saturating_mul(u128::from(*n)));
        if n_blocks > SIZE_MAX {
            return Err(wrong("is larger than any memory"));
        }
        let bytes = span(kind, &ne, &nb);
        let bytes = u64::try_from(bytes).ok().filter(|n| u128::from(*n) <= SIZE_MAX);
        let bytes = bytes.ok_or_else(|| wrong("is larger than any memory"))?;
        Ok(Tensor { id, kind, buffer, ne, nb, op, params, src, view_src, data, bytes, name })
    }

    pub(crate) fn wrong(&self, why: &'static str) -> Refusal {
        Refusal::Tensor { name: self.name(), why }
    }

    /// What the client calls it, as far as it is plain.
    pub fn name(&self) -> String {
        shown(&self.name)
    }

    pub fn n_elements(&self) -> u64 {
        self.ne.iter().product()
    }

    pub fn is_empty(&self) -> bool {
        self.ne.contains(&0)
    }

    /// The bytes of its numbers alone, packed.
    pub(crate) fn packed_bytes(&self) -> u64 {
        self.n_elements() / self.kind.block * self.kind.bytes
    }

    /// The numbers of a row lie side by side.
    pub(crate) fn has_dense_rows(&self) -> bool {
        self.nb[0] == self.kind.bytes
    }

    /// All numbers lie side by side, in order. A direction with one entry has no stride that matters.
    pub(crate) fn is_packed(&self) -> bool {
        let mut next = self.kind.bytes;
        for (idx, (n, stride)) in self.ne.iter().zip(self.nb).enumerate() {
            if *n > 1 && (idx > 0 || *n > self.kind.block) && stride != next {
                return false;
            }
            next = if idx == 0 { n / self.kind.block * self.kind.bytes } else { next * n };
        }
        true
    }

    /// A tensor of a buffer has steps no shorter than its numbers, and none lies over another: whoever walks it by its
    /// steps and whoever takes it as packed both stay within.
    pub(crate) fn check_steps(&self) -> Result<(), Refusal> {
        if self.is_empty() {
            return Ok(());
        }
        let steps = self.ne.iter().zip(self.nb);
        if steps.clone().any(|(n, step)| *n > 1 && step < self.kind.bytes) || self.nb[0] < self.kind.bytes {
            return Err(self.wrong("has steps that are shorter than its numbers"));
        }
        if self.packed_bytes() > self.bytes {
            return Err(self.wrong("lies over itself"));
        }
        Ok(())
    }
}

/// Bytes from the first to behind the last, as ggml counts them.
fn span(kind: Kind, ne: &[u64; 4], nb: &[u64; 4]) -> u128 {
    if ne.contains(&0) {
        return 0;
    }
    let steps =
        |from: usize| -> u128 { (from..4).map(|idx| u128::from(ne[idx] - 1) * u128::from(nb[idx])).sum() };
    if kind.is_quantised() {
        u128::from(ne[0]) * u128::from(nb[0]) / u128::from(kind.block) + steps(1)
    } else {
        u128::from(kind.bytes) + steps(0)
    }
}

fn shown(name: &[u8]) -> String {
    let plain = name.iter().take_while(|byte| byte.is_ascii_graphic() || **byte == b' ');
    plain.map(|byte| char::from(*byte)).collect()
}

/// A tensor with its memory forgotten: for a question about sizes that needs none.
pub(crate) fn without_memory(bytes: &[u8]) -> [u8; TENSOR_BYTES] {
    let mut tensor = [0; TENSOR_BYTES];
    tensor.copy_from_slice(bytes);
    tensor[12..20].fill(0);
    tensor[220..228].fill(0);
    tensor
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A packed tensor as a client would send it.
    #[derive(Clone, Debug)]
    pub(crate) struct Sent {
        pub id: u64,
        pub kind: u32,
        pub buffer: u64,
        pub ne: [u32; 4],
        pub nb: [u32; 4],
        pub op: u32,
        pub params: [u32; PARAMS],
        pub src: [u64; SOURCES_MAX],
        pub view_src: u64,
        pub data: u64,
    }

    impl Sent {
        pub(crate) fn new(id: u64, kind: u32, ne: [u32; 4]) -> Sent {
            let known = Kind::of(kind).unwrap_or(Kind::of(0).unwrap());
            let row = ne[0] / known.block as u32 * known.bytes as u32;
            let nb = [known.bytes as u32, row, row.wrapping_mul(ne[1]), row.wrapping_mul(ne[1] * ne[2])];
            let (params, src) = ([0; PARAMS], [0; SOURCES_MAX]);
            Sent { id, kind, buffer: 0, ne, nb, op: 0, params, src, view_src: 0, data: 0 }
        }

        pub(crate) fn of(mut self, op: u32, src: &[u64]) -> Sent {
            self.op = op;
            self.src[..src.len()].copy_from_slice(src);
            self
        }

        pub(crate) fn at(mut self, buffer: u64, data: u64) -> Sent {
            (self.buffer, self.data) = (buffer, data);
            self
        }

        pub(crate) fn bytes(&self) -> Vec<u8> {
            let mut out = Vec::new();
            out.extend(self.id.to_le_bytes());
            out.extend(self.kind.to_le_bytes());
            out.extend(self.buffer.to_le_bytes());
            for n in self.ne.iter().chain(&self.nb).chain([&self.op]).chain(&self.params).chain([&16]) {
                out.extend(n.to_le_bytes());
            }
            self.src.iter().for_each(|n| out.extend(n.to_le_bytes()));
            for n in [self.view_src, 0, self.data] {
                out.extend(n.to_le_bytes());
            }
            out.extend([b'x'; 1]);
            out.resize(TENSOR_BYTES, 0);
            out
        }

        pub(crate) fn read(&self) -> Result<Tensor, Refusal> {
            Tensor::read(&self.bytes())
        }
    }

    #[track_caller]
    fn check(sent: Sent, want: &str) {
        let got = sent.read().and_then(|tensor| tensor.check_steps().map(|()| tensor.bytes));
        let got = got.map_or_else(|refusal| refusal.to_string(), |bytes| bytes.to_string());
        assert_eq!(got, want);
    }

    #[test]
    fn bytes_are_counted_as_ggml_counts_them() {
        check(Sent::new(1, 0, [4, 3, 1, 1]), "48");
        check(Sent::new(1, 8, [64, 2, 1, 1]), "136");
        check(Sent::new(1, 0, [4, 0, 1, 1]), "0");
        // A transposed view: each step is another's.
        check(Sent { nb: [16, 4, 48, 48], ..Sent::new(1, 0, [3, 4, 1, 1]) }, "48");
    }

    #[test]
    fn what_cannot_be_a_tensor_is_refused() {
        check(Sent::new(1, 4, [32, 1, 1, 1]), "tensor 'x' has a type that does not exist");
        check(Sent::new(1, 43, [32, 1, 1, 1]), "tensor 'x' has a type that does not exist");
        check(Sent::new(1, 8, [33, 1, 1, 1]), "tensor 'x' has rows that are no whole blocks");
        let huge = Sent { nb: [4; 4], ..Sent::new(1, 0, [1; 4]) };
        check(Sent { ne: [u32::MAX; 4], ..huge }, "tensor 'x' is larger than any memory");
        let short = "tensor 'x' has steps that are shorter than its numbers";
        check(Sent { nb: [0, 16, 16, 16], ..Sent::new(1, 0, [4, 1, 1, 1]) }, short);
        check(Sent { nb: [4, 0, 0, 0], ..Sent::new(1, 0, [4, 9, 1, 1]) }, short);
        check(Sent { nb: [4, 4, 4, 4], ..Sent::new(1, 0, [4, 9, 1, 1]) }, "tensor 'x' lies over itself");
    }

    #[test]
    fn packed_is_told_from_strided() {
        let packed = |sent: Sent| sent.read().unwrap().is_packed();
        assert!(packed(Sent::new(1, 0, [4, 3, 2, 1])) && packed(Sent::new(1, 8, [64, 3, 1, 1])));
        assert!(!packed(Sent { nb: [16, 4, 48, 48], ..Sent::new(1, 0, [3, 4, 1, 1]) }));
        assert!(packed(Sent { nb: [4, 99, 16, 48], ..Sent::new(1, 0, [4, 1, 3, 1]) }));
    }
}
