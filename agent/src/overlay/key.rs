//! Keys of the overlay: public ones as 64 hex digits, and the node's own pair for as long as this process holds it.

use rustix::rand::{GetRandomFlags, getrandom};
use std::fmt;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

pub const KEY_BYTES: usize = 32;

/// The public key of a peer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(pub [u8; KEY_BYTES]);

impl Key {
    /// Exactly 64 small hex digits, and not the key of zeros, which is nobody's.
    pub fn parse(text: &str) -> Option<Key> {
        let digit = |c: u8| match c {
            b'0'..=b'9' => Some(c - b'0'),
            b'a'..=b'f' => Some(c - b'a' + 10),
            _ => None,
        };
        if text.len() != 2 * KEY_BYTES {
            return None;
        }
        let mut key = [0; KEY_BYTES];
        for (byte, pair) in key.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        (key != [0; KEY_BYTES]).then_some(Key(key))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The node's own pair; wiped from memory when dropped, and never printed.
pub struct Pair(StaticSecret);

impl Pair {
    /// A new pair from the kernel's randomness, which waits at boot until there is some.
    pub fn new() -> std::io::Result<Pair> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        let mut filled = 0;
        while filled < KEY_BYTES {
            filled += getrandom(&mut bytes[filled..], GetRandomFlags::empty())?;
        }
        Ok(Pair(StaticSecret::from(*bytes)))
    }

    pub fn public(&self) -> Key {
        Key(PublicKey::from(&self.0).to_bytes())
    }

    pub fn secret(&self) -> Zeroizing<[u8; KEY_BYTES]> {
        Zeroizing::new(self.0.to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, good: bool) {
        assert_eq!(Key::parse(text).map(|key| key.to_string()).as_deref(), good.then_some(text));
    }

    #[test]
    fn a_key_is_64_small_hex_digits() {
        check(&"0123456789abcdef".repeat(4), true);
        check(&"0123456789ABCDEF".repeat(4), false);
        check(&"0".repeat(63), false);
        check(&"a".repeat(66), false);
        check(&"é".repeat(32), false);
    }

    #[test]
    fn the_key_of_zeros_is_nobodys() {
        check(&"0".repeat(64), false);
    }

    #[test]
    fn the_public_half_is_the_one_of_rfc_7748() {
        // Section 6.1, Bob.
        let secret = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb";
        let public = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";
        let pair = Pair(StaticSecret::from(Key::parse(secret).unwrap().0));
        assert_eq!(pair.public().to_string(), public);
    }

    #[test]
    fn two_pairs_are_never_the_same() {
        assert_ne!(Pair::new().unwrap().public(), Pair::new().unwrap().public());
    }
}
