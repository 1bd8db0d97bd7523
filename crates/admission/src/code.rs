//! Six digits that two screens show, so that a person can see that nobody stands between them.
//!
//! The PC commits to a nonce before it sees the server's, and opens it after: whoever stands between must choose his
//! own nonces blindly, and gets the same digits on both screens once in a million calls.

use std::fmt;

use crate::{AuthorityPublic, CallId};

/// What both sides show while the owner is to approve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(u32);

/// A nonce of one side, used for one call.
pub type Nonce = [u8; 32];

/// The commitment that travels in the first message.
pub fn commitment(nonce: &Nonce) -> [u8; 32] {
    *blake3::Hasher::new_derive_key("duet 1 commitment of a call").update(nonce).finalize().as_bytes()
}

impl Code {
    /// The call names all keys of the PC and its commitment.
    pub fn of(call: &CallId, authority: &AuthorityPublic, servers: &Nonce, pcs: &Nonce) -> Code {
        let mut hasher = blake3::Hasher::new_derive_key("duet 1 code of a call");
        hasher.update(&call.0).update(authority.as_bytes()).update(servers).update(pcs);
        let hash = hasher.finalize();
        let (head, _) = hash.as_bytes().split_first_chunk().expect("a hash has 32 bytes");
        Code((u64::from_be_bytes(*head) % 1_000_000) as u32)
    }

    /// Reads six digits, with blanks between them or without.
    pub fn parse(text: &str) -> Option<Code> {
        let digits: String = text.chars().filter(|letter| *letter != ' ').collect();
        let good = digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse().ok().filter(|_| good).map(Code)
    }
}

/// As people read it: `123 456`.
impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03} {:03}", self.0 / 1000, self.0 % 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AuthoritySecret;

    fn code(call: u8, authority: u8, servers: u8, pcs: u8) -> Code {
        let authority = AuthoritySecret::from_seed(&[authority; 32]).public();
        Code::of(&CallId([call; 32]), &authority, &[servers; 32], &[pcs; 32])
    }

    #[test]
    fn the_code_follows_from_all_four() {
        assert_eq!(code(1, 2, 3, 4), code(1, 2, 3, 4));
        for other in [code(9, 2, 3, 4), code(1, 9, 3, 4), code(1, 2, 9, 4), code(1, 2, 3, 9)] {
            assert_ne!(other, code(1, 2, 3, 4));
        }
    }

    #[test]
    fn a_code_is_six_digits() {
        assert_eq!(Code(42).to_string(), "000 042");
        assert_eq!(Code::parse("000 042"), Some(Code(42)));
        assert_eq!(Code::parse("000042"), Some(Code(42)));
        for bad in ["", "42", "+00042", "1234567", "00a042"] {
            assert_eq!(Code::parse(bad), None, "{bad:?}");
        }
    }
}
