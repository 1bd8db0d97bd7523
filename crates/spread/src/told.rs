//! What a node tells another that asks: which catalogue it knows, and which chunks of which files it has and wants.
//!
//! It comes over the overlay from a member, and is believed as far as whom to ask: every chunk is checked by itself.

use crate::bits::Bits;
use crate::tree::{CHUNKS_MAX, Root};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Files that one node tells of.
pub const TOLD_FILES_MAX: usize = 64;
/// Longest list of them as text; the largest file takes 8 KiB of it.
pub const TOLD_BYTES_MAX: usize = 256 << 10;
const DIGITS_MAX: usize = CHUNKS_MAX as usize / 4;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// The version of its catalogue; 0 for none.
    pub catalogue: u64,
    pub files: Vec<ToldFile>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToldFile {
    pub root: Root,
    /// What it has, as [`Bits::to_hex`] writes it.
    pub has: String,
    /// What it is fetching; empty for a node that fetches nothing of it.
    #[serde(default)]
    pub wants: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToldError {
    Long,
    Form,
}

impl fmt::Display for ToldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ToldError::Long => write!(
                f,
                "a node tells of at most {TOLD_FILES_MAX} files in {TOLD_BYTES_MAX} bytes; it may be of another release"
            ),
            ToldError::Form => write!(f, "this is no list of chunks; the node may be of another release"),
        }
    }
}

impl std::error::Error for ToldError {}

impl Told {
    pub fn parse(bytes: &[u8]) -> Result<Told, ToldError> {
        if bytes.len() > TOLD_BYTES_MAX {
            return Err(ToldError::Long);
        }
        let told: Told = serde_json::from_slice(bytes).map_err(|_| ToldError::Form)?;
        let is_long = |file: &ToldFile| file.has.len() > DIGITS_MAX || file.wants.len() > DIGITS_MAX;
        if told.files.len() > TOLD_FILES_MAX || told.files.iter().any(is_long) {
            return Err(ToldError::Long);
        }
        Ok(told)
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a list has only plain values")
    }

    /// What it has and wants of a file with `n` chunks: none of them where it tells nothing, or tells it wrongly.
    pub fn of(&self, root: Root, n: u32) -> (Bits, Bits) {
        let Some(file) = self.files.iter().find(|file| file.root == root) else {
            return (Bits::none(n), Bits::none(n));
        };
        let read = |text: &str| Bits::parse(n, text).unwrap_or_else(|_| Bits::none(n));
        (read(&file.has), read(&file.wants))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_says_what_there_is_of_a_file() {
        let root = Root([7; 32]);
        let (mut has, mut wants) = (Bits::none(9), Bits::none(9));
        has.set(2);
        wants.set(3);
        let file = ToldFile { root, has: has.to_hex(), wants: wants.to_hex() };
        let told = Told { catalogue: 5, files: vec![file] };
        let came = Told::parse(told.to_json().as_bytes()).unwrap();
        assert_eq!(came, told);
        assert_eq!(came.of(root, 9), (has, wants));
        let none = |n| (Bits::none(n), Bits::none(n));
        assert_eq!(came.of(root, 17), none(17), "it is a list for another length");
        assert_eq!(came.of(Root([8; 32]), 9), none(9));
    }

    #[test]
    fn what_is_too_long_or_no_list_is_refused() {
        assert_eq!(Told::parse(&[b' '; TOLD_BYTES_MAX + 1]), Err(ToldError::Long));
        assert_eq!(Told::parse(b"{}"), Err(ToldError::Form));
        let file = ToldFile { root: Root([7; 32]), has: "0".repeat(DIGITS_MAX + 2), wants: String::new() };
        let told = Told { catalogue: 0, files: vec![file.clone()] };
        assert_eq!(Told::parse(told.to_json().as_bytes()), Err(ToldError::Long));
        let file = ToldFile { has: String::new(), ..file };
        let told = Told { catalogue: 0, files: vec![file; TOLD_FILES_MAX + 1] };
        assert_eq!(Told::parse(told.to_json().as_bytes()), Err(ToldError::Long));
    }
}
