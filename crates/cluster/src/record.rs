//! What a node says of itself, signed: one record for each node, of which the newest counts.
//!
//! A record carries its node's certificate, so whoever holds it can show it to others, and nobody needs to be asked.
//! The body is a list of facts (`facts`); one of a newer schema is kept and handed on unread.

use std::net::SocketAddrV4;

use admission::{CERTIFICATE_BYTES, Certificate, NodeId, NodeSecret, Signature, Statement};

use crate::bytes::{Malformed, Put, Reader};
use crate::identity::Identity;

/// Longest record, whole.
pub const RECORD_BYTES_MAX: usize = 1200;
/// Longest body of a record.
pub const BODY_BYTES_MAX: usize = RECORD_BYTES_MAX - HEAD_BYTES - CERTIFICATE_BYTES - Signature::BYTES;

const FORMAT: u8 = 1;
/// Format, node, epoch, address, version, ring, whether it leaves, length of the body.
const HEAD_BYTES: usize = 1 + 8 + 4 + 6 + 4 + 4 + 1 + 2;

/// Which of two records of a node is newer: the boot it was signed in, then the number within it.
pub type Version = (u32, u32);

/// One node's word, read but not yet believed: see [`crate::Witness`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub who: Identity,
    pub version: u32,
    /// The number of the newest ring key that the node holds.
    pub ring: u32,
    /// The node's last word: it goes on purpose.
    pub is_leaving: bool,
    pub certificate: Certificate,
    bytes: Vec<u8>,
}

impl Record {
    /// Signs a body.
    pub(crate) fn sign(
        who: Identity,
        version: u32,
        ring: u32,
        is_leaving: bool,
        body: &[u8],
        signer: (&Certificate, &NodeSecret),
    ) -> Record {
        let (certificate, key) = signer;
        assert!(body.len() <= BODY_BYTES_MAX, "facts are encoded within their limit");
        let mut bytes = Vec::with_capacity(HEAD_BYTES + body.len() + CERTIFICATE_BYTES + Signature::BYTES);
        bytes.put_u8(FORMAT);
        who.write(&mut bytes);
        bytes.put_u32(version);
        bytes.put_u32(ring);
        bytes.put_u8(u8::from(is_leaving));
        bytes.put_u16(body.len() as u16);
        bytes.put(body);
        bytes.put(&certificate.encode());
        let signature = key.sign(Statement::Facts, &bytes);
        bytes.put(&signature.0);
        Record { who, version, ring, is_leaving, certificate: *certificate, bytes }
    }

    /// Reads the exact form.
    pub fn decode(bytes: &[u8]) -> Result<Record, Malformed> {
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(Malformed::Long);
        }
        let mut reader = Reader(bytes);
        if reader.u8()? != FORMAT {
            return Err(Malformed::Value);
        }
        let who = Identity::read(&mut reader)?;
        let (version, ring) = (reader.u32()?, reader.u32()?);
        let is_leaving = match reader.u8()? {
            0 => false,
            1 => true,
            _ => return Err(Malformed::Value),
        };
        let body_bytes = usize::from(reader.u16()?);
        reader.take(body_bytes)?;
        let certificate =
            Certificate::decode(reader.take(CERTIFICATE_BYTES)?).map_err(|_| Malformed::Value)?;
        reader.take(Signature::BYTES)?;
        reader.end()?;
        if certificate.node() != who.node {
            return Err(Malformed::Value);
        }
        Ok(Record { who, version, ring, is_leaving, certificate, bytes: bytes.to_vec() })
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn body(&self) -> &[u8] {
        &self.bytes[HEAD_BYTES..self.bytes.len() - CERTIFICATE_BYTES - Signature::BYTES]
    }

    pub fn node(&self) -> NodeId {
        self.who.node
    }

    pub fn addr(&self) -> SocketAddrV4 {
        self.who.addr
    }

    /// The newest wins.
    pub fn newness(&self) -> Version {
        (self.who.epoch, self.version)
    }

    /// What the signature covers, and the signature.
    pub fn signed(&self) -> (&[u8], Signature) {
        let (signed, signature) = self.bytes.split_last_chunk().expect("a record has a signature");
        (signed, Signature(*signature))
    }
}
