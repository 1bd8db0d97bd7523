//! What a record holds: a fact that a person told, or that one is forgotten.
//!
//! A byte of kind, then fixed fields, then the text. A fact carries random bytes, so that the hash which is left of an
//! erased one tells nobody what it was.

use std::fmt;

/// Some hundred spoken words.
pub const TEXT_BYTES_MAX: usize = 2000;
const FACT_HEAD_BYTES: usize = 49;
pub const ENTRY_BYTES_MAX: usize = FACT_HEAD_BYTES + TEXT_BYTES_MAX;
const FORGET_BYTES: usize = 17;
/// The year 9999.
const TOLD_S_MAX: u64 = 253_402_300_799;

/// Random, so that no two nodes make the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FactId(pub [u8; 16]);

impl FactId {
    pub fn parse(text: &str) -> Option<FactId> {
        let bytes = text.as_bytes();
        let is_hex = bytes.len() == 32 && bytes.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let number = is_hex.then(|| u128::from_str_radix(text, 16).ok())??;
        Some(FactId(number.to_be_bytes()))
    }
}

impl fmt::Display for FactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    pub id: FactId,
    pub salt: [u8; 16],
    /// Seconds since 1970; 0 where the clock was not set.
    pub told_s: u64,
    /// The node that it was told.
    pub node: u64,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    Fact(Fact),
    Forget(FactId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryError {
    Garbled,
    /// Empty, longer than [`TEXT_BYTES_MAX`], with control characters, or not UTF-8.
    Text,
    Time,
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EntryError::Garbled => f.write_str("neither a fact nor that one is forgotten"),
            EntryError::Text => {
                write!(f, "a fact is 1 to {TEXT_BYTES_MAX} bytes of text on one line")
            }
            EntryError::Time => f.write_str("no such time"),
        }
    }
}

impl std::error::Error for EntryError {}

impl Fact {
    pub fn check(&self) -> Result<(), EntryError> {
        let is_text = (1..=TEXT_BYTES_MAX).contains(&self.text.len())
            && !self.text.chars().any(char::is_control)
            && self.text.trim() == self.text;
        match is_text {
            false => Err(EntryError::Text),
            true if self.told_s > TOLD_S_MAX => Err(EntryError::Time),
            true => Ok(()),
        }
    }
}

impl Entry {
    pub fn id(&self) -> FactId {
        match self {
            Entry::Fact(fact) => fact.id,
            Entry::Forget(id) => *id,
        }
    }

    pub fn read(bytes: &[u8]) -> Result<Entry, EntryError> {
        match bytes.split_first() {
            Some((1, rest)) => fact(rest),
            Some((2, rest)) => {
                let id = rest.try_into().map_err(|_| EntryError::Garbled)?;
                Ok(Entry::Forget(FactId(id)))
            }
            _ => Err(EntryError::Garbled),
        }
    }

    pub fn write(&self) -> Vec<u8> {
        match self {
            Entry::Fact(fact) => [
                &[1][..],
                &fact.id.0,
                &fact.salt,
                &fact.told_s.to_le_bytes(),
                &fact.node.to_le_bytes(),
                fact.text.as_bytes(),
            ]
            .concat(),
            Entry::Forget(id) => [&[2][..], &id.0].concat(),
        }
    }

    /// Of [`Entry::write`].
    pub fn n_bytes(&self) -> usize {
        match self {
            Entry::Fact(fact) => FACT_HEAD_BYTES + fact.text.len(),
            Entry::Forget(_) => FORGET_BYTES,
        }
    }
}

fn fact(bytes: &[u8]) -> Result<Entry, EntryError> {
    let (id, rest) = bytes.split_first_chunk::<16>().ok_or(EntryError::Garbled)?;
    let (salt, rest) = rest.split_first_chunk::<16>().ok_or(EntryError::Garbled)?;
    let (told_s, rest) = rest.split_first_chunk::<8>().ok_or(EntryError::Garbled)?;
    let (node, text) = rest.split_first_chunk::<8>().ok_or(EntryError::Garbled)?;
    let text = text.get(..text.len().min(TEXT_BYTES_MAX + 1)).unwrap_or_default();
    let text = str::from_utf8(text).map_err(|_| EntryError::Text)?.to_owned();
    let (told_s, node) = (u64::from_le_bytes(*told_s), u64::from_le_bytes(*node));
    let fact = Fact { id: FactId(*id), salt: *salt, told_s, node, text };
    fact.check()?;
    Ok(Entry::Fact(fact))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Entry {
        Entry::Fact(Fact { id: FactId([7; 16]), salt: [9; 16], told_s: 1, node: 2, text: text.into() })
    }

    fn check(text: &str, want: Result<(), EntryError>) {
        let bytes = entry(text).write();
        assert_eq!(Entry::read(&bytes), want.map(|()| entry(text)));
        assert_eq!(bytes.len(), entry(text).n_bytes());
    }

    #[test]
    fn an_entry_comes_back_and_keeps_its_limits() {
        check("die Mülltonne kommt dienstags", Ok(()));
        check(&"x".repeat(TEXT_BYTES_MAX), Ok(()));
        check(&"x".repeat(TEXT_BYTES_MAX + 1), Err(EntryError::Text));
        check("", Err(EntryError::Text));
        check(" a", Err(EntryError::Text));
        check("a\nb", Err(EntryError::Text));
        let forget = Entry::Forget(FactId([3; 16]));
        assert_eq!(Entry::read(&forget.write()), Ok(forget));
        assert_eq!(Entry::read(&[2; 16]), Err(EntryError::Garbled));
        assert_eq!(Entry::read(&[]), Err(EntryError::Garbled));
    }

    #[test]
    fn an_id_is_32_small_hex_digits() {
        let id = FactId([0x0a; 16]);
        assert_eq!(FactId::parse(&id.to_string()), Some(id));
        assert_eq!(FactId::parse(&id.to_string().to_uppercase()), None);
        assert_eq!(FactId::parse("+a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"), None);
    }
}
