//! The ring of cluster keys: what gossip is sealed with, and how one key follows another.
//!
//! The authority numbers them. A new key reaches a node sealed, from anyone; that it is the authority's shows by its
//! mark, which the signed roster carries.

use std::fmt;

use zeroize::Zeroizing;

use crate::Error;
use crate::bytes::{Reader, hex};

/// Bytes of a ring key with its number, as they lie inside a sealed box.
pub const RING_KEY_BYTES: usize = 37;

const FORMAT: u8 = 1;
const WHAT: &str = "the ring key";

/// One key of the ring. It never prints itself and leaves memory when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct RingKey {
    number: u32,
    key: Zeroizing<[u8; 32]>,
}

impl RingKey {
    /// From 32 random bytes; numbers begin at 1.
    pub fn new(number: u32, key: [u8; 32]) -> RingKey {
        RingKey { number, key: Zeroizing::new(key) }
    }

    pub fn number(&self) -> u32 {
        self.number
    }

    /// How a datagram names its key: two of a ring are never 256 apart.
    pub fn wire_id(&self) -> u8 {
        self.number.to_be_bytes()[3]
    }

    /// The key itself, for the cipher only.
    pub fn expose(&self) -> &[u8; 32] {
        &self.key
    }

    /// What the roster says of this key: it shows which one is meant, and tells nothing of it.
    pub fn mark(&self) -> RingMark {
        let mut hasher = blake3::Hasher::new_derive_key("duet 1 mark of a ring key");
        hasher.update(&self.number.to_be_bytes()).update(&*self.key);
        let hash = hasher.finalize();
        let (check, _) = hash.as_bytes().split_first_chunk().expect("a hash has 32 bytes");
        RingMark { number: self.number, check: *check }
    }

    /// For the inside of a sealed box.
    pub fn encode(&self) -> Zeroizing<[u8; RING_KEY_BYTES]> {
        let mut bytes = Zeroizing::new([FORMAT; RING_KEY_BYTES]);
        bytes[1..5].copy_from_slice(&self.number.to_be_bytes());
        bytes[5..].copy_from_slice(&*self.key);
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Result<RingKey, Error> {
        let mut reader = Reader::new(WHAT, bytes);
        reader.format(FORMAT)?;
        let key = RingKey { number: reader.u32()?, key: Zeroizing::new(reader.array()?) };
        reader.end()?;
        if key.number == 0 { Err(Error::Form { what: WHAT }) } else { Ok(key) }
    }
}

impl fmt::Debug for RingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RingKey {}", self.number)
    }
}

/// Number and fingerprint of a ring key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RingMark {
    pub number: u32,
    pub check: [u8; 16],
}

impl fmt::Debug for RingMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RingMark {} {}", self.number, hex(&self.check))
    }
}

/// Three keys at most: one to seal with, its forerunner and its follower, which are only opened with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRing {
    previous: Option<RingKey>,
    current: RingKey,
    next: Option<RingKey>,
}

impl KeyRing {
    pub fn new(current: RingKey) -> KeyRing {
        KeyRing { previous: None, current, next: None }
    }

    /// The ring of one, two or three keys; their numbers follow one another in the order given.
    pub fn of(previous: Option<RingKey>, current: RingKey, next: Option<RingKey>) -> Result<KeyRing, Error> {
        let rises = |a: &RingKey, b: &RingKey| a.number < b.number && b.number - a.number < 128;
        let before = previous.as_ref().is_none_or(|p| rises(p, &current));
        let after = next.as_ref().is_none_or(|n| rises(&current, n));
        if before && after {
            Ok(KeyRing { previous, current, next })
        } else {
            Err(Error::Mismatch { what: "the numbers of the ring keys do not rise" })
        }
    }

    pub fn previous(&self) -> Option<&RingKey> {
        self.previous.as_ref()
    }

    pub fn current(&self) -> &RingKey {
        &self.current
    }

    pub fn next(&self) -> Option<&RingKey> {
        self.next.as_ref()
    }

    pub fn keys(&self) -> impl Iterator<Item = &RingKey> {
        [self.previous.as_ref(), Some(&self.current), self.next.as_ref()].into_iter().flatten()
    }

    /// The key that a datagram names.
    pub fn by_wire_id(&self, wire_id: u8) -> Option<&RingKey> {
        self.keys().find(|key| key.wire_id() == wire_id)
    }

    /// Takes the follower of the current key; says whether the ring changed.
    pub fn add_next(&mut self, key: RingKey) -> bool {
        let follows = key.number > self.current.number && key.number - self.current.number < 128;
        let newer = self.next.as_ref().is_none_or(|next| next.number < key.number);
        if follows && newer {
            self.next = Some(key);
        }
        follows && newer
    }

    /// Makes the next key the current one, if its number is this; says whether the ring changed.
    pub fn switch_to(&mut self, number: u32) -> bool {
        match self.next.take_if(|next| next.number == number) {
            Some(next) => {
                self.previous = Some(std::mem::replace(&mut self.current, next));
                true
            }
            None => false,
        }
    }

    /// Forgets the previous key; says whether there was one.
    pub fn drop_previous(&mut self) -> bool {
        self.previous.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> RingKey {
        RingKey::new(number, [0xab; 32])
    }

    fn numbers(ring: &KeyRing) -> Vec<u32> {
        ring.keys().map(RingKey::number).collect()
    }

    #[test]
    fn a_key_follows_another_and_the_first_is_dropped() {
        let mut ring = KeyRing::new(key(1));
        assert!(!ring.add_next(key(1)) && !ring.switch_to(2));
        assert!(ring.add_next(key(2)) && !ring.add_next(key(2)));
        assert_eq!((numbers(&ring), ring.current().number()), (vec![1, 2], 1));
        assert!(ring.switch_to(2));
        assert_eq!((numbers(&ring), ring.current().number()), (vec![1, 2], 2));
        assert!(ring.drop_previous() && !ring.drop_previous());
        assert_eq!(numbers(&ring), [2]);
    }

    #[test]
    fn a_datagram_finds_its_key_also_where_the_number_wraps() {
        let ring = KeyRing::of(Some(key(255)), key(256), Some(key(257))).unwrap();
        assert_eq!(
            [255, 0, 1, 2].map(|id| ring.by_wire_id(id).map(RingKey::number)),
            [Some(255), Some(256), Some(257), None]
        );
        assert!(KeyRing::of(Some(key(2)), key(1), None).is_err());
        assert!(KeyRing::of(None, key(1), Some(key(257))).is_err());
    }

    #[test]
    fn a_key_survives_its_bytes_and_keeps_its_mark() {
        let decoded = RingKey::decode(&*key(7).encode()).unwrap();
        assert_eq!((decoded.mark(), decoded), (key(7).mark(), key(7)));
        assert_ne!(key(7).mark().check, key(8).mark().check);
        assert!(RingKey::decode(&key(7).encode()[..36]).is_err());
        assert!(RingKey::decode(&*key(0).encode()).is_err());
    }

    #[test]
    fn a_key_does_not_print_itself() {
        assert_eq!(format!("{:?}", key(7)), "RingKey 7");
    }
}
