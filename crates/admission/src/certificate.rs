//! A node's certificate: the authority's word that this node, with these keys, belongs to this cluster.
//!
//! 169 bytes, always: it travels inside every record of facts. The node id must follow from the MAC, so that no
//! authority, however confused, certifies one card under another's name.

use release::Mac;

use crate::bytes::Reader;
use crate::keys::{AuthorityPublic, AuthoritySecret, NodePublic, OverlayPublic, Signature, Statement};
use crate::{ClusterId, Error, NodeId};

/// Bytes of every certificate.
pub const CERTIFICATE_BYTES: usize = BODY_BYTES + Signature::BYTES;

const BODY_BYTES: usize = 105;
const FORMAT: u8 = 1;
const WHAT: &str = "the certificate";

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// A PC: on the overlay, offers services.
    Node,
    /// The boot server: watches the gossip, has no overlay.
    Server,
}

/// What the authority says of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    pub role: Role,
    /// The card a node boots from; zeros for a server.
    pub mac: Mac,
    /// Numbers all certificates of an authority: a removal names the last one it voids.
    pub serial: u32,
    /// Seconds since 1970.
    pub issued_s: u64,
    pub expires_s: u64,
    pub node_key: NodePublic,
    /// Zeros for a server.
    pub overlay_key: OverlayPublic,
}

/// A certificate that has the right form; only [`Certificate::verify`] says that it is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Certificate {
    cluster: ClusterId,
    node: NodeId,
    claim: Claim,
    signature: Signature,
}

impl Certificate {
    /// Signs a claim; the node id follows from it.
    pub fn issue(authority: &AuthoritySecret, claim: Claim) -> Certificate {
        let node = match claim.role {
            Role::Node => NodeId::of_mac(claim.mac),
            Role::Server => NodeId::of_server(&authority.public()),
        };
        let signature = Signature([0; Signature::BYTES]);
        let mut certificate = Certificate { cluster: authority.cluster(), node, claim, signature };
        certificate.signature = authority.sign(Statement::Certificate, &certificate.body());
        certificate
    }

    /// Reads the exact form.
    pub fn decode(bytes: &[u8]) -> Result<Certificate, Error> {
        let mut reader = Reader::new(WHAT, bytes);
        reader.format(FORMAT)?;
        let cluster = ClusterId(reader.array()?);
        let role = match reader.u8()? {
            0 => Role::Node,
            1 => Role::Server,
            _ => return Err(Error::Form { what: WHAT }),
        };
        let node = NodeId(reader.u64()?);
        let claim = Claim {
            role,
            mac: Mac(reader.array()?),
            serial: reader.u32()?,
            issued_s: reader.u64()?,
            expires_s: reader.u64()?,
            node_key: NodePublic::from_bytes(reader.array()?),
            overlay_key: OverlayPublic(reader.array()?),
        };
        let signature = Signature(reader.array()?);
        reader.end()?;
        let is_card = claim.mac.is_card() && NodeId::of_mac(claim.mac) == node;
        let is_server = claim.mac == Mac([0; 6]) && claim.overlay_key == OverlayPublic([0; 32]);
        let fits = if role == Role::Node { is_card } else { is_server };
        if !fits || claim.expires_s <= claim.issued_s {
            return Err(Error::Form { what: WHAT });
        }
        Ok(Certificate { cluster, node, claim, signature })
    }

    pub fn encode(&self) -> [u8; CERTIFICATE_BYTES] {
        let mut bytes = [0; CERTIFICATE_BYTES];
        bytes[..BODY_BYTES].copy_from_slice(&self.body());
        bytes[BODY_BYTES..].copy_from_slice(&self.signature.0);
        bytes
    }

    fn body(&self) -> [u8; BODY_BYTES] {
        let Claim { role, mac, serial, issued_s, expires_s, node_key, overlay_key } = &self.claim;
        let parts: [&[u8]; 10] = [
            &[FORMAT],
            &self.cluster.0,
            &[u8::from(*role == Role::Server)],
            &self.node.0.to_be_bytes(),
            &mac.0,
            &serial.to_be_bytes(),
            &issued_s.to_be_bytes(),
            &expires_s.to_be_bytes(),
            node_key.as_bytes(),
            &overlay_key.0,
        ];
        parts.concat().try_into().expect("the parts have 105 bytes")
    }

    /// Whether this authority signed it. Time and roster are asked apart: [`Certificate::is_valid_at`],
    /// [`crate::Roster::voids`]. The result never changes, so a caller may remember it.
    pub fn verify(&self, authority: &AuthorityPublic) -> Result<(), Error> {
        if self.cluster != ClusterId::of(authority) {
            return Err(Error::Cluster);
        }
        if self.claim.role == Role::Server && self.node != NodeId::of_server(authority) {
            return Err(Error::Mismatch { what: "a server's node id does not follow from its authority" });
        }
        authority.verify(Statement::Certificate, &self.body(), &self.signature)
    }

    /// Whether `unix_s` lies within its life. A node with a dead clock takes its time from the call home.
    pub fn is_valid_at(&self, unix_s: u64) -> bool {
        (self.claim.issued_s..self.claim.expires_s).contains(&unix_s)
    }

    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    pub fn node(&self) -> NodeId {
        self.node
    }

    pub fn claim(&self) -> &Claim {
        &self.claim
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn authority(n: u8) -> AuthoritySecret {
        AuthoritySecret::from_seed(&[n; 32])
    }

    pub(crate) fn claim(n: u8) -> Claim {
        Claim {
            role: Role::Node,
            mac: Mac([0x52, 0x54, 0, 0x77, 0, n]),
            serial: u32::from(n),
            issued_s: 1000,
            expires_s: 2000,
            node_key: crate::NodeSecret::from_seed(&[n; 32]).public(),
            overlay_key: OverlayPublic([n; 32]),
        }
    }

    fn server() -> Claim {
        Claim { role: Role::Server, mac: Mac([0; 6]), overlay_key: OverlayPublic([0; 32]), ..claim(9) }
    }

    #[test]
    fn a_certificate_survives_its_bytes_and_verifies() {
        for claim in [claim(1), server()] {
            let certificate = Certificate::issue(&authority(1), claim);
            assert_eq!(Certificate::decode(&certificate.encode()), Ok(certificate));
            assert_eq!(certificate.verify(&authority(1).public()), Ok(()));
            assert_eq!(certificate.verify(&authority(2).public()), Err(Error::Cluster));
        }
    }

    #[test]
    fn a_changed_bit_anywhere_is_refused() {
        let good = Certificate::issue(&authority(1), claim(1)).encode();
        for bit in 0..CERTIFICATE_BYTES * 8 {
            let mut bytes = good;
            bytes[bit / 8] ^= 1 << (bit % 8);
            let verdict = Certificate::decode(&bytes).and_then(|c| c.verify(&authority(1).public()));
            assert!(verdict.is_err(), "bit {bit}");
        }
    }

    #[test]
    fn only_the_exact_length_is_read() {
        let bytes = Certificate::issue(&authority(1), claim(1)).encode();
        for length in 0..CERTIFICATE_BYTES {
            assert!(Certificate::decode(&bytes[..length]).is_err());
        }
        assert!(Certificate::decode(&[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn a_certificate_lives_from_its_issue_to_its_expiry() {
        let certificate = Certificate::issue(&authority(1), claim(1));
        let ages = [999, 1000, 1999, 2000].map(|now| certificate.is_valid_at(now));
        assert_eq!(ages, [false, true, true, false]);
    }
}
