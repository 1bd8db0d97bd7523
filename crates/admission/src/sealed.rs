//! A sealed box: what only the holder of one X25519 key can read.
//!
//! `[a public key made for this box, 32][XChaCha20-Poly1305 text and tag]`. The cipher's key is the BLAKE3 hash of the
//! shared secret, both public keys and the box's purpose, and is used once, so its nonce is zero.
//! A box says nothing of who sealed it: what is inside carries a signature where that matters.

use std::fmt;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::Error;
use crate::bytes::{hex, unhex_exact};
use crate::keys::KEY_BYTES;

/// How much longer a box is than its content.
pub const BOX_OVERHEAD_BYTES: usize = KEY_BYTES + 16;

/// What a box is for: one made for one purpose opens for no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The answer to a call home.
    Answer,
    /// A new key of the ring.
    RingKey,
    /// The answer to an order.
    Report,
}

impl Purpose {
    const fn context(self) -> &'static str {
        match self {
            Purpose::Answer => "duet 1 sealed answer",
            Purpose::RingKey => "duet 1 sealed ring key",
            Purpose::Report => "duet 1 sealed report",
        }
    }
}

/// The half that opens.
#[derive(Clone)]
pub struct BoxSecret(StaticSecret);

/// The half that seals.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BoxPublic([u8; KEY_BYTES]);

impl BoxSecret {
    /// Makes a key from 32 random bytes.
    pub fn from_seed(seed: &[u8; 32]) -> BoxSecret {
        BoxSecret(StaticSecret::from(*seed))
    }

    pub fn public(&self) -> BoxPublic {
        BoxPublic(PublicKey::from(&self.0).to_bytes())
    }

    /// Opens a box; `context` must be what it was sealed with.
    pub fn open(&self, purpose: Purpose, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let (once, text) = sealed.split_first_chunk().ok_or(Error::Sealed)?;
        let shared = self.0.diffie_hellman(&PublicKey::from(*once));
        if !shared.was_contributory() {
            return Err(Error::Sealed);
        }
        let cipher = cipher(purpose, shared.as_bytes(), once, &self.public().0);
        let opened = cipher.decrypt(&XNonce::default(), Payload { msg: text, aad: context });
        opened.map(Zeroizing::new).map_err(|_| Error::Sealed)
    }
}

impl fmt::Debug for BoxSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BoxSecret of {:?}", self.public())
    }
}

impl BoxPublic {
    pub const fn from_bytes(bytes: [u8; KEY_BYTES]) -> BoxPublic {
        BoxPublic(bytes)
    }

    pub fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    pub fn to_hex(self) -> String {
        hex(&self.0)
    }

    pub fn parse(text: &str) -> Option<BoxPublic> {
        unhex_exact(text).map(BoxPublic)
    }

    /// Seals `content` with 32 random bytes that are used for nothing else.
    pub fn seal(
        &self,
        purpose: Purpose,
        context: &[u8],
        content: &[u8],
        random: &[u8; 32],
    ) -> Result<Vec<u8>, Error> {
        let once = StaticSecret::from(*random);
        let public = PublicKey::from(&once).to_bytes();
        let shared = once.diffie_hellman(&PublicKey::from(self.0));
        if !shared.was_contributory() {
            return Err(Error::Sealed);
        }
        let cipher = cipher(purpose, shared.as_bytes(), &public, &self.0);
        let text = cipher.encrypt(&XNonce::default(), Payload { msg: content, aad: context });
        Ok([&public, text.map_err(|_| Error::Sealed)?.as_slice()].concat())
    }
}

impl fmt::Debug for BoxPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

fn cipher(
    purpose: Purpose,
    shared: &[u8; 32],
    once: &[u8; KEY_BYTES],
    holder: &[u8; KEY_BYTES],
) -> XChaCha20Poly1305 {
    let mut hasher = blake3::Hasher::new_derive_key(purpose.context());
    hasher.update(shared).update(once).update(holder);
    let mut key = Key::from(*hasher.finalize().as_bytes());
    let cipher = XChaCha20Poly1305::new(&key);
    zeroize::Zeroize::zeroize(key.as_mut_slice());
    cipher
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(n: u8) -> BoxSecret {
        BoxSecret::from_seed(&[n; 32])
    }

    fn sealed() -> Vec<u8> {
        secret(1).public().seal(Purpose::Answer, b"call", b"content", &[9; 32]).unwrap()
    }

    fn check(secret: &BoxSecret, purpose: Purpose, context: &[u8], sealed: &[u8], opens: bool) {
        let got = secret.open(purpose, context, sealed);
        assert_eq!(
            got.map(|text| text.to_vec()),
            if opens { Ok(b"content".to_vec()) } else { Err(Error::Sealed) }
        );
    }

    #[test]
    fn a_box_opens_for_its_holder_purpose_and_context_alone() {
        assert_eq!(sealed().len(), 7 + BOX_OVERHEAD_BYTES);
        check(&secret(1), Purpose::Answer, b"call", &sealed(), true);
        check(&secret(2), Purpose::Answer, b"call", &sealed(), false);
        check(&secret(1), Purpose::Report, b"call", &sealed(), false);
        check(&secret(1), Purpose::Answer, b"cal", &sealed(), false);
    }

    #[test]
    fn a_changed_bit_anywhere_closes_the_box() {
        for at in 0..sealed().len() {
            let mut bytes = sealed();
            bytes[at] ^= 1;
            check(&secret(1), Purpose::Answer, b"call", &bytes, false);
        }
        for length in 0..sealed().len() {
            check(&secret(1), Purpose::Answer, b"call", &sealed()[..length], false);
        }
    }

    #[test]
    fn nothing_is_sealed_to_a_key_that_agrees_with_everyone() {
        let zero = BoxPublic::from_bytes([0; 32]);
        assert_eq!(zero.seal(Purpose::Answer, b"", b"content", &[9; 32]), Err(Error::Sealed));
    }
}
