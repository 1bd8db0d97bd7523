//! The boot server's answers to a call home: [`Challenge`] to the first message, [`Answer`] to the second.
//!
//! A challenge is open and signed. An answer is sealed to the caller's key, and what is inside is signed for this one
//! call, so that neither a wrong server nor a recorded answer is believed. The release key, which a node has from its
//! initrd, vouches for the authority.

use std::net::{Ipv4Addr, SocketAddrV4};

use release::HostName;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::bytes::{Reader, hex, unhex, unhex_exact};
use crate::code::Nonce;
use crate::keys::{AuthorityPublic, AuthoritySecret, Signature, Statement};
use crate::ring::RING_KEY_BYTES;
use crate::roster::PAGES_MAX;
use crate::{
    BoxPublic, BoxSecret, CERTIFICATE_BYTES, CallId, Certificate, Error, KeyRing, Page, Purpose, RingKey,
};

/// Longest answer of either kind: a full roster, in hex digits.
pub const ANSWER_BYTES_MAX: usize = 48 * 1024;
/// Most addresses of members that an answer names.
pub const SEEDS_MAX: usize = 16;
/// Longest reason of a refusal.
pub const REASON_BYTES_MAX: usize = 256;

const FORMAT: u8 = 1;
const WHAT: &str = "the answer";

/// The release key's word that this is the authority of its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof(pub [u8; 64]);

impl Proof {
    pub fn new(release: &release::SecretKey, authority: &AuthorityPublic) -> Proof {
        Proof(release::vouch(release, authority.as_bytes()))
    }

    pub fn verify(&self, release: &release::PublicKey, authority: &AuthorityPublic) -> Result<(), Error> {
        let vouched = release::is_vouched(release, authority.as_bytes(), &self.0);
        if vouched { Ok(()) } else { Err(Error::Signature { what: "the cluster's authority" }) }
    }
}

/// The first answer: who the authority is, and the server's nonce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    pub authority: AuthorityPublic,
    pub proof: Proof,
    pub call: CallId,
    pub nonce: Nonce,
    signature: Signature,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChallengeDocument {
    format: u8,
    authority: String,
    proof: String,
    call: String,
    nonce: String,
    signature: String,
}

impl Challenge {
    pub fn new(authority: &AuthoritySecret, proof: Proof, call: CallId, nonce: Nonce) -> Challenge {
        let signature = authority.sign(Statement::Challenge, &[call.0, nonce].concat());
        Challenge { authority: authority.public(), proof, call, nonce, signature }
    }

    pub fn to_json(&self) -> String {
        let document = ChallengeDocument {
            format: FORMAT,
            authority: self.authority.to_hex(),
            proof: hex(&self.proof.0),
            call: self.call.to_string(),
            nonce: hex(&self.nonce),
            signature: self.signature.to_hex(),
        };
        serde_json::to_string(&document).expect("a challenge has only plain values")
    }

    /// Reads a challenge and believes it only if the release key stands behind it, for this call.
    pub fn parse(bytes: &[u8], call: &CallId, release: &release::PublicKey) -> Result<Challenge, Error> {
        let document: ChallengeDocument = read(bytes)?;
        let form = Error::Form { what: WHAT };
        if document.format != FORMAT {
            return Err(Error::Format { what: WHAT, found: document.format });
        }
        let challenge = Challenge {
            authority: AuthorityPublic::parse(&document.authority).ok_or(form)?,
            proof: Proof(unhex_exact(&document.proof).ok_or(form)?),
            call: CallId(unhex_exact(&document.call).ok_or(form)?),
            nonce: unhex_exact(&document.nonce).ok_or(form)?,
            signature: Signature::parse(&document.signature).ok_or(form)?,
        };
        if challenge.call != *call {
            return Err(Error::Mismatch { what: "the answer belongs to another call" });
        }
        challenge.proof.verify(release, &challenge.authority)?;
        let body = [challenge.call.0, challenge.nonce].concat();
        challenge.authority.verify(Statement::Challenge, &body, &challenge.signature)?;
        Ok(challenge)
    }
}

/// The second answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The owner is to approve; ask again after so long.
    Waiting {
        again_s: u16,
    },
    /// Not now, and why.
    Refused {
        reason: String,
        again_s: u16,
    },
    Admitted(Box<Admission>),
}

/// What a member gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    pub certificate: Certificate,
    pub ring: KeyRing,
    pub roster: Vec<Page>,
    /// Where gossip of other members is heard, the server's first.
    pub seeds: Vec<SocketAddrV4>,
    /// The server's clock: a node's own may be dead.
    pub unix_s: u64,
    /// Higher than any this node had, whatever its clock says.
    pub epoch: u32,
    pub name: HostName,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealedDocument {
    format: u8,
    sealed: String,
}

impl Answer {
    /// Signs and seals an answer, with 32 random bytes that are used for nothing else.
    pub fn seal(
        &self,
        authority: &AuthoritySecret,
        call: &CallId,
        to: &BoxPublic,
        random: &[u8; 32],
    ) -> Result<String, Error> {
        let body = self.body();
        let signature = authority.sign(Statement::Answer, &[&call.0[..], &body].concat());
        let content = Zeroizing::new([&signature.0[..], &body].concat());
        let sealed = to.seal(Purpose::Answer, &call.0, &content, random)?;
        let document = SealedDocument { format: FORMAT, sealed: hex(&sealed) };
        Ok(serde_json::to_string(&document).expect("an answer has only plain values"))
    }

    /// Opens an answer to this call, and believes it only if this authority signed it.
    pub fn open(
        bytes: &[u8],
        call: &CallId,
        key: &BoxSecret,
        authority: &AuthorityPublic,
    ) -> Result<Answer, Error> {
        let document: SealedDocument = read(bytes)?;
        if document.format != FORMAT {
            return Err(Error::Format { what: WHAT, found: document.format });
        }
        let sealed = unhex(&document.sealed, ANSWER_BYTES_MAX / 2).ok_or(Error::Form { what: WHAT })?;
        let content = key.open(Purpose::Answer, &call.0, &sealed)?;
        let (signature, body) = content.split_first_chunk().ok_or(Error::Form { what: WHAT })?;
        let signed = [&call.0[..], body].concat();
        authority.verify(Statement::Answer, &signed, &Signature(*signature))?;
        Answer::decode(body)
    }

    fn body(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(vec![FORMAT]);
        match self {
            Answer::Waiting { again_s } => {
                bytes.push(0);
                bytes.extend(again_s.to_be_bytes());
            }
            Answer::Refused { reason, again_s } => {
                let ends = 0..=reason.len().min(REASON_BYTES_MAX);
                let end = ends.rev().find(|at| reason.is_char_boundary(*at)).unwrap_or(0);
                bytes.push(1);
                bytes.extend(again_s.to_be_bytes());
                bytes.extend(&reason.as_bytes()[..end]);
            }
            Answer::Admitted(admission) => {
                bytes.push(2);
                bytes.extend(&*admission.encode());
            }
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Answer, Error> {
        let form = Error::Form { what: WHAT };
        let mut reader = Reader::new(WHAT, bytes);
        reader.format(FORMAT)?;
        match reader.u8()? {
            0 => {
                let again_s = reader.u16()?;
                reader.end()?;
                Ok(Answer::Waiting { again_s })
            }
            1 => {
                let again_s = reader.u16()?;
                let reason = reader.rest();
                if reason.len() > REASON_BYTES_MAX {
                    return Err(Error::Limit { what: WHAT });
                }
                let reason = std::str::from_utf8(reason).map_err(|_| form)?.to_owned();
                Ok(Answer::Refused { reason, again_s })
            }
            2 => Ok(Answer::Admitted(Box::new(Admission::decode(reader.rest())?))),
            _ => Err(form),
        }
    }
}

impl Admission {
    /// As it lies inside a sealed answer, and in a node's RAM over a restart of the agent.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(1024));
        bytes.extend(self.certificate.encode());
        bytes.extend(self.unix_s.to_be_bytes());
        bytes.extend(self.epoch.to_be_bytes());
        bytes.push(self.name.as_str().len() as u8);
        bytes.extend(self.name.as_str().as_bytes());
        let which = u8::from(self.ring.previous().is_some()) | u8::from(self.ring.next().is_some()) << 1;
        bytes.push(which);
        for key in self.ring.keys() {
            bytes.extend(&*key.encode());
        }
        bytes.push(self.roster.len().min(PAGES_MAX) as u8);
        for page in self.roster.iter().take(PAGES_MAX).map(Page::encode) {
            bytes.extend((page.len() as u16).to_be_bytes());
            bytes.extend(page);
        }
        bytes.push(self.seeds.len().min(SEEDS_MAX) as u8);
        for seed in self.seeds.iter().take(SEEDS_MAX) {
            bytes.extend(seed.ip().octets());
            bytes.extend(seed.port().to_be_bytes());
        }
        bytes
    }

    /// Reads the exact form; the caller verifies certificate and pages ([`crate::Membership::new`]).
    pub fn decode(bytes: &[u8]) -> Result<Admission, Error> {
        let mut reader = Reader::new(WHAT, bytes);
        let certificate = Certificate::decode(&reader.array::<CERTIFICATE_BYTES>()?)?;
        let (unix_s, epoch) = (reader.u64()?, reader.u32()?);
        let n_name = usize::from(reader.u8()?);
        let name = std::str::from_utf8(reader.slice(n_name)?).map_err(|_| Error::Form { what: WHAT })?;
        let name = HostName::parse(name).map_err(|_| Error::Form { what: WHAT })?;
        let ring = ring(&mut reader)?;
        let n_pages = usize::from(reader.u8()?);
        if n_pages > PAGES_MAX {
            return Err(Error::Limit { what: WHAT });
        }
        let mut roster = Vec::with_capacity(n_pages);
        for _ in 0..n_pages {
            let n = usize::from(reader.u16()?);
            roster.push(Page::decode(reader.slice(n)?)?);
        }
        let n_seeds = usize::from(reader.u8()?);
        if n_seeds > SEEDS_MAX {
            return Err(Error::Limit { what: WHAT });
        }
        let mut seeds = Vec::with_capacity(n_seeds);
        for _ in 0..n_seeds {
            seeds.push(SocketAddrV4::new(Ipv4Addr::from(reader.array::<4>()?), reader.u16()?));
        }
        reader.end()?;
        Ok(Admission { certificate, ring, roster, seeds, unix_s, epoch, name })
    }
}

fn ring(reader: &mut Reader<'_>) -> Result<KeyRing, Error> {
    let which = reader.u8()?;
    if which > 3 {
        return Err(Error::Form { what: WHAT });
    }
    let mut key = || {
        let bytes = Zeroizing::new(reader.array::<RING_KEY_BYTES>()?);
        RingKey::decode(&*bytes)
    };
    let previous = (which & 1 != 0).then(&mut key).transpose()?;
    let current = key()?;
    let next = (which & 2 != 0).then(&mut key).transpose()?;
    KeyRing::of(previous, current, next)
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Error> {
    if bytes.len() > ANSWER_BYTES_MAX {
        return Err(Error::TooLong { what: WHAT, bytes_max: ANSWER_BYTES_MAX });
    }
    serde_json::from_slice(bytes).map_err(|_| Error::Form { what: WHAT })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::certificate::tests::{authority, claim};
    use crate::{NodeId, Removal};

    const CALL: CallId = CallId([6; 32]);

    fn release_key(n: u8) -> release::SecretKey {
        release::SecretKey::from_seed(&[n; 32])
    }

    fn box_key() -> BoxSecret {
        BoxSecret::from_seed(&[2; 32])
    }

    pub(crate) fn admission() -> Admission {
        let key = |number| RingKey::new(number, [number as u8; 32]);
        let removed: Vec<Removal> = (0..80).map(|n| Removal { node: NodeId(n), serial: 1 }).collect();
        let first = Page::first(&authority(1), 4, key(2).mark(), Some(key(3).mark()), &removed).unwrap();
        let further = (1..13).map(|n| Page::further(&authority(1), n, 1, &removed).unwrap());
        Admission {
            certificate: Certificate::issue(&authority(1), claim(1)),
            ring: KeyRing::of(Some(key(1)), key(2), Some(key(3))).unwrap(),
            roster: [first].into_iter().chain(further).collect(),
            seeds: (0..16).map(|n| SocketAddrV4::new([10, 0, 0, n].into(), 7947)).collect(),
            unix_s: 1500,
            epoch: 7,
            name: HostName::parse("kitchen").unwrap(),
        }
    }

    fn answers() -> [Answer; 3] {
        [
            Answer::Waiting { again_s: 5 },
            Answer::Refused { reason: "not now".into(), again_s: 60 },
            Answer::Admitted(Box::new(admission())),
        ]
    }

    fn seal(answer: &Answer) -> String {
        answer.seal(&authority(1), &CALL, &box_key().public(), &[9; 32]).unwrap()
    }

    #[test]
    fn every_answer_survives_and_the_longest_fits() {
        for answer in answers() {
            let text = seal(&answer);
            assert!(text.len() <= ANSWER_BYTES_MAX, "{}", text.len());
            assert_eq!(Answer::open(text.as_bytes(), &CALL, &box_key(), &authority(1).public()), Ok(answer));
        }
    }

    #[test]
    fn an_answer_is_believed_for_one_call_one_key_and_one_authority() {
        let text = seal(&answers()[0]);
        let open =
            |call, key: &BoxSecret, n| Answer::open(text.as_bytes(), call, key, &authority(n).public());
        assert_eq!(open(&CallId([7; 32]), &box_key(), 1), Err(Error::Sealed));
        assert_eq!(open(&CALL, &BoxSecret::from_seed(&[3; 32]), 1), Err(Error::Sealed));
        assert_eq!(open(&CALL, &box_key(), 2), Err(Error::Signature { what: "the answer" }));
    }

    #[test]
    fn a_changed_digit_anywhere_is_refused() {
        let good = seal(&answers()[1]);
        for at in 0..good.len() {
            let mut bytes = good.clone().into_bytes();
            bytes[at] = if bytes[at] == b'7' { b'3' } else { b'7' };
            assert!(Answer::open(&bytes, &CALL, &box_key(), &authority(1).public()).is_err(), "{at}");
        }
    }

    #[test]
    fn a_challenge_needs_the_release_key_behind_it() {
        let proof = Proof::new(&release_key(1), &authority(1).public());
        let text = Challenge::new(&authority(1), proof, CALL, [4; 32]).to_json();
        let parse = |call, n| Challenge::parse(text.as_bytes(), call, &release_key(n).public());
        assert_eq!(parse(&CALL, 1).map(|c| c.nonce), Ok([4; 32]));
        assert_eq!(parse(&CALL, 2), Err(Error::Signature { what: "the cluster's authority" }));
        let other = Err(Error::Mismatch { what: "the answer belongs to another call" });
        assert_eq!(parse(&CallId([7; 32]), 1), other);
        // Another authority with the proof of the true one.
        let forged = Challenge::new(&authority(2), proof, CALL, [4; 32]).to_json();
        assert!(Challenge::parse(forged.as_bytes(), &CALL, &release_key(1).public()).is_err());
    }

    #[test]
    fn a_long_reason_is_cut_between_letters() {
        let answer = Answer::Refused { reason: "é".repeat(300), again_s: 1 };
        let opened = Answer::open(seal(&answer).as_bytes(), &CALL, &box_key(), &authority(1).public());
        assert_eq!(opened, Ok(Answer::Refused { reason: "é".repeat(128), again_s: 1 }));
    }
}
