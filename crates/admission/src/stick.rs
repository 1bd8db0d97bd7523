//! A stick that carries the owner's word: a key pair in one block, whose public half the authority certifies.
//!
//! A bearer token: whoever holds the stick can take PCs into the cluster until it expires or is made void. It never
//! crosses the wire. A PC proves that the stick is in it by a signature over this one call and both nonces
//! ([`StickProof`]), so what is recorded is worth nothing, and nobody can use it for keys of his own.
//! The block lies bare at the beginning of the stick, without a file system: 512 bytes are read by a few lines of ours
//! instead of by a file system of the kernel's, which was not made for hostile sticks.

use std::fmt;

use zeroize::Zeroizing;

use crate::bytes::{Reader, hex, unhex_exact};
use crate::keys::{AuthorityPublic, AuthoritySecret, Signature, Statement, StickPublic, StickSecret};
use crate::{CallId, ClusterId, Error, Nonce};

/// What of a stick is read.
pub const STICK_BYTES: usize = 512;
/// A pass as bytes.
pub const PASS_BYTES: usize = 1 + 5 + 8 + 8 + 32 + Signature::BYTES;
/// A proof as bytes.
pub const PROOF_BYTES: usize = PASS_BYTES + Signature::BYTES;
/// What a stick is asked to sign, as bytes: authority, call, both nonces.
pub const STICK_ASK_BYTES: usize = 4 * 32;
/// Longest life of a pass.
pub const STICK_DAYS_MAX: u16 = 366;

const MAGIC: &[u8; 16] = b"duet stick 1\n\0\0\0";
const FORMAT: u8 = 1;
const WHAT: &str = "the stick";
const DAY_S: u64 = 24 * 3600;

/// The authority's word for the key of a stick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    pub cluster: ClusterId,
    pub issued_s: u64,
    pub expires_s: u64,
    pub key: StickPublic,
    signature: Signature,
}

impl Pass {
    pub fn issue(
        authority: &AuthoritySecret,
        now_s: u64,
        days: u16,
        key: StickPublic,
    ) -> Result<Pass, Error> {
        if days == 0 || days > STICK_DAYS_MAX {
            return Err(Error::Limit { what: WHAT });
        }
        let expires_s = now_s.saturating_add(u64::from(days) * DAY_S);
        let signature = Signature([0; Signature::BYTES]);
        let mut pass = Pass { cluster: authority.cluster(), issued_s: now_s, expires_s, key, signature };
        pass.signature = authority.sign(Statement::StickPass, &pass.body());
        Ok(pass)
    }

    /// Reads the exact form; [`Pass::verify`] says whether it is true.
    pub fn decode(bytes: &[u8]) -> Result<Pass, Error> {
        let mut reader = Reader::new(WHAT, bytes);
        reader.format(FORMAT)?;
        let pass = Pass {
            cluster: ClusterId(reader.array()?),
            issued_s: reader.u64()?,
            expires_s: reader.u64()?,
            key: StickPublic::from_bytes(reader.array()?),
            signature: Signature(reader.array()?),
        };
        reader.end()?;
        Ok(pass)
    }

    pub fn encode(&self) -> Vec<u8> {
        [&self.body()[..], &self.signature.0].concat()
    }

    pub fn to_hex(&self) -> String {
        hex(&self.encode())
    }

    pub fn parse(text: &str) -> Result<Pass, Error> {
        Pass::decode(&unhex_exact::<PASS_BYTES>(text).ok_or(Error::Form { what: WHAT })?)
    }

    fn body(&self) -> Vec<u8> {
        let (issued, expires) = (self.issued_s.to_be_bytes(), self.expires_s.to_be_bytes());
        [&[FORMAT][..], &self.cluster.0, &issued, &expires, self.key.as_bytes()].concat()
    }

    /// Whether this authority made it, whatever the time.
    pub fn verify(&self, authority: &AuthorityPublic) -> Result<(), Error> {
        if self.cluster != ClusterId::of(authority) {
            return Err(Error::Cluster);
        }
        authority.verify(Statement::StickPass, &self.body(), &self.signature)
    }

    pub fn is_valid_at(&self, now_s: u64) -> bool {
        (self.issued_s..self.expires_s).contains(&now_s)
    }
}

/// A pass and its private key: what lies on the stick.
pub struct Stick {
    pub pass: Pass,
    secret: StickSecret,
}

impl Stick {
    /// `None` if the pass is for another key.
    pub fn new(pass: Pass, secret: StickSecret) -> Option<Stick> {
        (pass.key == secret.public()).then_some(Stick { pass, secret })
    }

    /// The block for the beginning of the stick: magic, pass, secret, a hash of all that, then zeros.
    pub fn encode(&self) -> Zeroizing<[u8; STICK_BYTES]> {
        let mut block = Zeroizing::new([0; STICK_BYTES]);
        let parts: [&[u8]; 3] = [MAGIC, &self.pass.encode(), self.secret.seed()];
        let mut at = 0;
        for part in parts {
            block[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        let check = *blake3::hash(&block[..at]).as_bytes();
        block[at..at + check.len()].copy_from_slice(&check);
        block
    }

    /// Whether somebody wrote a stick of ours here, whole or not.
    pub fn is_marked(block: &[u8]) -> bool {
        block.starts_with(MAGIC)
    }

    /// Reads the first block of a device.
    pub fn decode(block: &[u8]) -> Result<Stick, Error> {
        let form = Error::Form { what: WHAT };
        let block = block.get(..STICK_BYTES).ok_or(form)?;
        let mut reader = Reader::new(WHAT, block);
        if reader.array::<16>()? != *MAGIC {
            return Err(form);
        }
        let (pass, seed) = (Pass::decode(reader.slice(PASS_BYTES)?)?, Zeroizing::new(reader.array::<32>()?));
        let check = reader.array::<32>()?;
        // A stick that was pulled while it was written, or wears out.
        if *blake3::hash(&block[..MAGIC.len() + PASS_BYTES + 32]).as_bytes() != check {
            return Err(Error::Mismatch { what: "the stick is damaged; write it anew" });
        }
        if reader.rest().iter().any(|byte| *byte != 0) {
            return Err(form);
        }
        Stick::new(pass, StickSecret::from_seed(&seed))
            .ok_or(Error::Mismatch { what: "the stick's pass is for another key" })
    }

    /// Signs one call.
    pub fn prove(&self, call: &CallId, nonce: &Nonce, servers: &Nonce) -> StickProof {
        let signature = self.secret.sign(Statement::Stick, &[call.0, *nonce, *servers].concat());
        StickProof { pass: self.pass, signature }
    }
}

impl fmt::Debug for Stick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stick of {:?}", self.pass.key)
    }
}

/// That a stick was in the PC when it made this call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StickProof {
    pub pass: Pass,
    signature: Signature,
}

impl StickProof {
    pub fn decode(bytes: &[u8]) -> Result<StickProof, Error> {
        let (pass, signature) =
            bytes.split_last_chunk::<{ Signature::BYTES }>().ok_or(Error::Form { what: WHAT })?;
        Ok(StickProof { pass: Pass::decode(pass)?, signature: Signature(*signature) })
    }

    pub fn to_hex(&self) -> String {
        hex(&[&self.pass.encode()[..], &self.signature.0].concat())
    }

    pub fn parse(text: &str) -> Result<StickProof, Error> {
        let bytes = unhex_exact::<PROOF_BYTES>(text).ok_or(Error::Form { what: WHAT })?;
        StickProof::decode(&bytes)
    }

    /// Whether a stick of this authority, valid now, is behind this very call.
    pub fn verify(
        &self,
        authority: &AuthorityPublic,
        now_s: u64,
        call: &CallId,
        nonce: &Nonce,
        servers: &Nonce,
    ) -> Result<(), Error> {
        self.pass.verify(authority)?;
        if !self.pass.is_valid_at(now_s) {
            return Err(Error::Time { what: WHAT });
        }
        self.pass.key.verify(Statement::Stick, &[call.0, *nonce, *servers].concat(), &self.signature)
    }
}

/// What the PC's caller asks the one program that may read sticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StickAsk {
    pub authority: AuthorityPublic,
    pub call: CallId,
    pub nonce: Nonce,
    pub servers: Nonce,
}

impl StickAsk {
    pub fn to_hex(&self) -> String {
        hex(&[*self.authority.as_bytes(), self.call.0, self.nonce, self.servers].concat())
    }

    pub fn parse(text: &str) -> Option<StickAsk> {
        let bytes = unhex_exact::<STICK_ASK_BYTES>(text)?;
        let mut reader = Reader::new(WHAT, &bytes);
        let authority = AuthorityPublic::from_bytes(reader.array().ok()?);
        let (call, nonce, servers) =
            (CallId(reader.array().ok()?), reader.array().ok()?, reader.array().ok()?);
        Some(StickAsk { authority, call, nonce, servers })
    }

    /// The proof of a stick of this authority; its age is the boot server's matter, because the PC's clock may be dead.
    pub fn answer(&self, stick: &Stick) -> Option<StickProof> {
        let is_ours = stick.pass.verify(&self.authority).is_ok();
        is_ours.then(|| stick.prove(&self.call, &self.nonce, &self.servers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::tests::authority;

    const NOW: u64 = 1_800_000_000;
    const CALL: CallId = CallId([1; 32]);

    fn stick() -> Stick {
        let secret = StickSecret::from_seed(&[9; 32]);
        Stick::new(Pass::issue(&authority(1), NOW, 30, secret.public()).unwrap(), secret).unwrap()
    }

    #[test]
    fn a_stick_survives_its_block_and_a_damaged_one_is_none() {
        let block = stick().encode();
        let back = Stick::decode(&*block).unwrap();
        assert_eq!((back.pass, back.encode()), (stick().pass, stick().encode()));
        for at in 0..STICK_BYTES {
            let mut bent = *block;
            bent[at] ^= 0x10;
            assert!(Stick::decode(&bent).is_err(), "byte {at}");
            assert!(Stick::decode(&block[..at]).is_err(), "{at} bytes");
        }
        assert!(Stick::decode(&[0; STICK_BYTES]).is_err());
        assert!(Stick::is_marked(&*block) && !Stick::is_marked(&[0; STICK_BYTES]));
        assert!(!format!("{:?}", stick()).contains(&hex(&[9; 32])), "a secret does not print itself");
    }

    #[test]
    fn a_proof_holds_for_one_call_one_authority_and_its_time() {
        let proof = StickProof::parse(&stick().prove(&CALL, &[2; 32], &[3; 32]).to_hex()).unwrap();
        let key = authority(1).public();
        let check = |authority: &AuthorityPublic, now_s, call: u8, nonce: u8, servers: u8| {
            proof.verify(authority, now_s, &CallId([call; 32]), &[nonce; 32], &[servers; 32])
        };
        assert_eq!(check(&key, NOW, 1, 2, 3), Ok(()));
        assert_eq!(check(&key, NOW + 30 * DAY_S, 1, 2, 3), Err(Error::Time { what: WHAT }));
        assert_eq!(check(&key, NOW - 1, 1, 2, 3), Err(Error::Time { what: WHAT }));
        assert_eq!(check(&authority(2).public(), NOW, 1, 2, 3), Err(Error::Cluster));
        let wrong = Err(Error::Signature { what: "the stick" });
        assert_eq!(check(&key, NOW, 9, 2, 3), wrong);
        assert_eq!(check(&key, NOW, 1, 9, 3), wrong);
        assert_eq!(check(&key, NOW, 1, 2, 9), wrong);
    }

    #[test]
    fn a_pass_for_the_keys_of_others_or_of_another_authority_proves_nothing() {
        let other = StickSecret::from_seed(&[8; 32]);
        assert!(Stick::new(stick().pass, other.clone()).is_none());
        let mut proof = stick().prove(&CALL, &[2; 32], &[3; 32]);
        proof.pass.key = other.public();
        let wrong = proof.verify(&authority(1).public(), NOW, &CALL, &[2; 32], &[3; 32]);
        assert_eq!(wrong, Err(Error::Signature { what: "the stick's pass" }));
        let ask = StickAsk { authority: authority(1).public(), call: CALL, nonce: [2; 32], servers: [3; 32] };
        assert_eq!(StickAsk::parse(&ask.to_hex()), Some(ask));
        assert!(ask.answer(&stick()).is_some());
        assert!(StickAsk { authority: authority(2).public(), ..ask }.answer(&stick()).is_none());
    }

    #[test]
    fn a_life_has_its_limits() {
        let issue = |days| Pass::issue(&authority(1), NOW, days, stick().pass.key);
        assert!(issue(0).is_err() && issue(STICK_DAYS_MAX + 1).is_err());
        assert_eq!(issue(STICK_DAYS_MAX).unwrap().expires_s, NOW + 366 * DAY_S);
    }
}
