//! Who made a release: an ed25519 signature over the exact bytes of its manifest.
//!
//! Keys and signatures travel as small hex digits and a line feed, so that a person can compare them.
//! Verification is the strict kind: it also refuses weak keys and malleable signatures.

use std::fmt;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use crate::{Error, MANIFEST_BYTES_MAX, Manifest};

/// Bytes of a key's text: 64 hex digits and a line feed.
pub const KEY_TEXT_BYTES: usize = 65;

/// Bytes of a signature's text: 128 hex digits and a line feed.
pub const SIGNATURE_TEXT_BYTES: usize = 129;

/// The private half; only the builder has it. It never prints itself.
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// Makes a key from 32 random bytes.
    pub fn from_seed(seed: &[u8; 32]) -> SecretKey {
        SecretKey(SigningKey::from_bytes(seed))
    }

    pub fn from_text(text: &[u8]) -> Result<SecretKey, Error> {
        let wrong = Error::Value { what: "the signing key", want: "64 hex digits and a line feed" };
        unhex(text).as_ref().map(SecretKey::from_seed).ok_or(wrong)
    }

    pub fn to_text(&self) -> String {
        hex_line(self.0.as_bytes())
    }

    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey of {}", hex_line(self.0.verifying_key().as_bytes()).trim_end())
    }
}

/// The public half, which lies in the initrd as `/duet.pub`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    pub fn from_text(text: &[u8]) -> Result<PublicKey, Error> {
        let wrong = || Error::Value { what: "the public key", want: "64 hex digits and a line feed" };
        let bytes = unhex(text).ok_or_else(wrong)?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| wrong())?;
        if key.is_weak() { Err(wrong()) } else { Ok(PublicKey(key)) }
    }

    pub fn to_text(&self) -> String {
        hex_line(self.0.as_bytes())
    }
}

/// Signs a manifest's bytes; the result is the content of `manifest.sig`.
pub fn sign(key: &SecretKey, manifest: &[u8]) -> String {
    hex_line(&key.0.sign(manifest).to_bytes())
}

/// The only way to a manifest one may boot from: the signature is checked before a single line is read.
pub fn verify(key: &PublicKey, manifest: &[u8], signature: &[u8]) -> Result<Manifest, Error> {
    if manifest.len() > MANIFEST_BYTES_MAX {
        return Err(Error::TooLong { what: "the manifest", bytes_max: MANIFEST_BYTES_MAX });
    }
    let wrong = Error::Value { what: "manifest.sig", want: "128 hex digits and a line feed" };
    let signature = Signature::from_bytes(&unhex(signature).ok_or(wrong)?);
    key.0.verify_strict(manifest, &signature).map_err(|_| Error::Signature)?;
    Manifest::parse(manifest)
}

/// What the release key says of a cluster's authority: 64 bytes, apart from every manifest by their head.
pub fn vouch(key: &SecretKey, authority: &[u8; 32]) -> [u8; 64] {
    key.0.sign(&authority_statement(authority)).to_bytes()
}

/// Whether the release key vouches for this authority.
pub fn is_vouched(key: &PublicKey, authority: &[u8; 32], signature: &[u8; 64]) -> bool {
    key.0.verify_strict(&authority_statement(authority), &Signature::from_bytes(signature)).is_ok()
}

/// No manifest begins like this.
fn authority_statement(authority: &[u8; 32]) -> Vec<u8> {
    [&b"duet authority 1\n"[..], authority].concat()
}

fn hex_line(bytes: &[u8]) -> String {
    let digit = |n: u8| char::from_digit(u32::from(n), 16).expect("a nibble is one hex digit");
    let digits = bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    digits.chain(['\n']).collect()
}

/// Reads exactly N bytes of small hex digits and one line feed.
fn unhex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digits = text.strip_suffix(b"\n")?;
    if digits.len() != 2 * N {
        return None;
    }
    let value = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0u8; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FileFact, FileName, Hash, ReleaseId, Word};

    fn manifest() -> String {
        let fact = FileFact { bytes: 1, blake3: Hash::from_bytes([7; 32]) };
        let files = FileName::BOOT.into_iter().map(|name| (name, fact)).collect();
        let word = |text| Word::parse(text).unwrap();
        let id = ReleaseId::parse("trixie-1").unwrap();
        Manifest { id, suite: word("trixie"), kernel: word("6.12"), files }.to_text()
    }

    fn key(n: u8) -> SecretKey {
        SecretKey::from_seed(&[n; 32])
    }

    fn check(key: &PublicKey, bytes: &[u8], signature: &str, want: &str) {
        let got = verify(key, bytes, signature.as_bytes());
        assert_eq!(got.map_or_else(|e| e.to_string(), |m| m.id.to_string()), want);
    }

    #[test]
    fn what_was_signed_is_verified() {
        let text = manifest();
        check(&key(1).public(), text.as_bytes(), &sign(&key(1), text.as_bytes()), "trixie-1");
    }

    #[test]
    fn another_key_is_refused() {
        let text = manifest();
        let want = "the signature of the manifest does not match the key";
        check(&key(2).public(), text.as_bytes(), &sign(&key(1), text.as_bytes()), want);
    }

    #[test]
    fn a_changed_bit_of_the_manifest_is_refused() {
        let text = manifest();
        let signature = sign(&key(1), text.as_bytes());
        for at in (0..text.len()).step_by(29) {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            assert_eq!(verify(&key(1).public(), &bytes, signature.as_bytes()), Err(Error::Signature));
        }
    }

    #[test]
    fn a_signature_has_exactly_one_form() {
        let text = manifest();
        let signature = sign(&key(1), text.as_bytes());
        assert_eq!(signature.len(), SIGNATURE_TEXT_BYTES);
        let want = "manifest.sig is wrong: 128 hex digits and a line feed";
        for bad in ["", "\n", signature.trim_end(), &format!("{signature}\n"), &signature.to_uppercase()] {
            check(&key(1).public(), text.as_bytes(), bad, want);
        }
    }

    #[test]
    fn keys_survive_their_text() {
        let secret = key(3);
        assert_eq!(secret.to_text().len(), KEY_TEXT_BYTES);
        assert_eq!(SecretKey::from_text(secret.to_text().as_bytes()).unwrap().public(), secret.public());
        assert_eq!(PublicKey::from_text(secret.public().to_text().as_bytes()), Ok(secret.public()));
    }

    #[test]
    fn an_authority_is_vouched_for_by_one_release_key() {
        let proof = vouch(&key(1), &[5; 32]);
        assert!(is_vouched(&key(1).public(), &[5; 32], &proof));
        assert!(!is_vouched(&key(2).public(), &[5; 32], &proof));
        assert!(!is_vouched(&key(1).public(), &[6; 32], &proof));
    }

    #[test]
    fn a_weak_public_key_is_refused() {
        let identity = format!("01{}\n", "00".repeat(31));
        assert!(PublicKey::from_text(identity.as_bytes()).is_err());
    }

    #[test]
    fn a_secret_key_does_not_print_itself() {
        let secret = key(3);
        assert!(!format!("{secret:?}").contains(secret.to_text().trim_end()));
    }

    #[test]
    fn the_signature_is_rfc_8032_test_3() {
        let seed = "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7\n";
        let want = "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
                    18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a\n";
        let key = SecretKey::from_text(seed.as_bytes()).unwrap();
        assert_eq!(sign(&key, &[0xaf, 0x82]), want);
    }
}
