//! The tree of a file: what each chunk is held to, and how all of it follows from the file's plain BLAKE3 hash.
//!
//! A chunk is 4096 of BLAKE3's own, which is a whole branch of its tree. So the values of the branches merge to the hash
//! that `b3sum` prints, and a list of them needs no signature of its own: it is held to that hash.

use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use serde::{Deserialize, Serialize};
use std::fmt;

pub const CHUNK_BYTES: u64 = 4 << 20;
/// No model that twenty such PCs can hold is larger.
pub const FILE_BYTES_MAX: u64 = 64 << 30;
pub const CHUNKS_MAX: u32 = (FILE_BYTES_MAX / CHUNK_BYTES) as u32;
const VALUE_BYTES: usize = 32;

/// The BLAKE3 hash of a file, which is its name among nodes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Root(pub [u8; 32]);

/// What one chunk is held to.
pub type Value = [u8; VALUE_BYTES];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    root: Root,
    bytes: u64,
    values: Vec<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeError {
    /// Empty, or longer than [`FILE_BYTES_MAX`].
    Size { bytes: u64 },
    /// The list has not one value for each chunk.
    Length { want: u64, got: u64 },
    /// The values do not merge to the hash of the file.
    Root,
}

impl fmt::Display for TreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TreeError::Size { bytes } => {
                write!(f, "a file of {bytes} bytes cannot be spread; 1 byte to {FILE_BYTES_MAX} can")
            }
            TreeError::Length { want, got } => {
                write!(f, "the list of chunks has {got} bytes and not {want}; ask somebody else for it")
            }
            TreeError::Root => write!(f, "the list of chunks is of another file; ask somebody else for it"),
        }
    }
}

impl std::error::Error for TreeError {}

impl Root {
    pub fn parse(text: &str) -> Option<Root> {
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 2 * VALUE_BYTES || !text.bytes().all(is_hex) {
            return None;
        }
        let mut root = [0; VALUE_BYTES];
        for (idx, byte) in root.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * idx..2 * idx + 2)?, 16).ok()?;
        }
        Some(Root(root))
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Root {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Root {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Root, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Root::parse(&text).ok_or_else(|| serde::de::Error::custom("a file's hash is 64 small hex digits"))
    }
}

/// Chunks of a file of this length, the last of which may be short; nothing for a length that cannot be spread.
pub fn n_chunks(bytes: u64) -> Result<u32, TreeError> {
    if bytes == 0 || bytes > FILE_BYTES_MAX {
        return Err(TreeError::Size { bytes });
    }
    Ok(u32::try_from(bytes.div_ceil(CHUNK_BYTES)).unwrap_or(CHUNKS_MAX))
}

/// What a chunk of a file with `n` chunks is held to.
pub fn value_of(chunk: u32, n: u32, bytes: &[u8]) -> Value {
    if n <= 1 {
        // The only chunk is the whole tree, whose top BLAKE3 marks as such.
        return *blake3::hash(bytes).as_bytes();
    }
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(u64::from(chunk) * CHUNK_BYTES).update(bytes);
    hasher.finalize_non_root()
}

impl Tree {
    /// The tree of a file that was read here.
    pub fn new(bytes: u64, values: Vec<Value>) -> Result<Tree, TreeError> {
        let want = n_chunks(bytes)? as usize;
        if values.len() != want {
            let length = |n: usize| (n * VALUE_BYTES) as u64;
            return Err(TreeError::Length { want: length(want), got: length(values.len()) });
        }
        Ok(Tree { root: merged(&values), bytes, values })
    }

    /// The tree of a file that lies here, chunk by chunk: `fill` reads into its room from that place on.
    pub fn read<E: From<TreeError>>(
        bytes: u64,
        mut fill: impl FnMut(&mut [u8], u64) -> Result<(), E>,
    ) -> Result<Tree, E> {
        let n = n_chunks(bytes)?;
        let mut room = vec![0; CHUNK_BYTES.min(bytes) as usize];
        let mut values = Vec::with_capacity(n as usize);
        for chunk in 0..n {
            let at = u64::from(chunk) * CHUNK_BYTES;
            let part = &mut room[..CHUNK_BYTES.min(bytes - at) as usize];
            fill(part, at)?;
            values.push(value_of(chunk, n, part));
        }
        Ok(Tree::new(bytes, values)?)
    }

    /// A list that came from somebody, held to the file's hash.
    pub fn parse(root: Root, bytes: u64, list: &[u8]) -> Result<Tree, TreeError> {
        let want = u64::from(n_chunks(bytes)?) * VALUE_BYTES as u64;
        if list.len() as u64 != want {
            return Err(TreeError::Length { want, got: list.len() as u64 });
        }
        let (values, _) = list.as_chunks::<VALUE_BYTES>();
        let tree = Tree::new(bytes, values.to_vec())?;
        if tree.root == root { Ok(tree) } else { Err(TreeError::Root) }
    }

    /// As [`Tree::parse`] reads it.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.values.concat()
    }

    pub fn root(&self) -> Root {
        self.root
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn n_chunks(&self) -> u32 {
        self.values.len() as u32
    }

    /// Where a chunk lies in the file.
    pub fn place(&self, chunk: u32) -> std::ops::Range<u64> {
        let at = u64::from(chunk) * CHUNK_BYTES;
        at.min(self.bytes)..(at + CHUNK_BYTES).min(self.bytes)
    }

    /// Whether these are the bytes of that chunk.
    pub fn is_good(&self, chunk: u32, bytes: &[u8]) -> bool {
        let place = self.place(chunk);
        let Some(value) = self.values.get(chunk as usize) else { return false };
        bytes.len() as u64 == place.end - place.start && value_of(chunk, self.n_chunks(), bytes) == *value
    }
}

/// There is at least one value. The left branch of BLAKE3's tree is the largest power of two that leaves something.
fn merged(values: &[Value]) -> Root {
    match values {
        [only] => Root(*only),
        values => {
            let (left, right) = values.split_at(left_of(values.len()));
            Root(*merge_subtrees_root(&branch(left), &branch(right), Mode::Hash).as_bytes())
        }
    }
}

fn branch(values: &[Value]) -> Value {
    match values {
        [only] => *only,
        values => {
            let (left, right) = values.split_at(left_of(values.len()));
            merge_subtrees_non_root(&branch(left), &branch(right), Mode::Hash)
        }
    }
}

fn left_of(n: usize) -> usize {
    n.next_power_of_two() / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(n: u64) -> Vec<u8> {
        // A prime, so that no chunk is like another.
        let some: Vec<u8> = (0..=250).collect();
        let mut bytes = some.repeat(n as usize / some.len() + 1);
        bytes.truncate(n as usize);
        bytes
    }

    fn tree(bytes: &[u8]) -> Tree {
        let n = n_chunks(bytes.len() as u64).unwrap();
        let chunks = bytes.chunks(CHUNK_BYTES as usize).enumerate();
        let values = chunks.map(|(idx, chunk)| value_of(idx as u32, n, chunk)).collect();
        Tree::new(bytes.len() as u64, values).unwrap()
    }

    /// The name of a file is what `b3sum` prints, and its list is believed for it alone.
    fn check(n: u64) {
        let bytes = bytes(n);
        let tree = tree(&bytes);
        assert_eq!(tree.root(), Root(*blake3::hash(&bytes).as_bytes()), "{n} bytes");
        assert_eq!(Tree::parse(tree.root(), n, &tree.to_bytes()), Ok(tree.clone()));
        let mut list = tree.to_bytes();
        list[0] ^= 1;
        assert_eq!(Tree::parse(tree.root(), n, &list), Err(TreeError::Root));
        list.pop();
        assert!(matches!(Tree::parse(tree.root(), n, &list), Err(TreeError::Length { .. })));
        for chunk in 0..tree.n_chunks() {
            let place = tree.place(chunk);
            let mut part = bytes[place.start as usize..place.end as usize].to_vec();
            assert!(tree.is_good(chunk, &part), "chunk {chunk} of {n} bytes");
            assert!(!tree.is_good(chunk + 1, &part));
            part[0] ^= 1;
            assert!(!tree.is_good(chunk, &part));
            assert!(!tree.is_good(chunk, &part[1..]));
        }
    }

    #[test]
    fn a_file_of_one_chunk_is_its_own_list() {
        check(1);
        check(CHUNK_BYTES);
    }

    #[test]
    fn a_file_of_some_chunks_is_known_by_its_plain_hash() {
        check(CHUNK_BYTES + 1);
        check(2 * CHUNK_BYTES);
        check(3 * CHUNK_BYTES);
        check(5 * CHUNK_BYTES + 1023);
        check(7 * CHUNK_BYTES - 1);
    }

    #[test]
    fn what_is_no_length_of_a_model_is_refused_before_anything_is_made_for_it() {
        for bytes in [0, FILE_BYTES_MAX + 1, u64::MAX] {
            assert_eq!(Tree::parse(Root([0; 32]), bytes, &[]), Err(TreeError::Size { bytes }));
        }
        assert_eq!(n_chunks(FILE_BYTES_MAX), Ok(CHUNKS_MAX));
    }

    #[test]
    fn a_hash_is_written_as_it_is_read() {
        let root = Root(*blake3::hash(b"a").as_bytes());
        assert_eq!(Root::parse(&root.to_string()), Some(root));
        for odd in ["", "ab", &"A".repeat(64), &"+0".repeat(32), &"é".repeat(32)] {
            assert_eq!(Root::parse(odd), None, "{odd}");
        }
    }
}
