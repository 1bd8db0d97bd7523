//! What a member of a cluster holds: the checked matter of an admission, ready for gossip and overlay.

use std::net::SocketAddrV4;

use release::HostName;

use crate::answer::{Admission, Proof};
use crate::keys::{AuthorityPublic, NodeSecret};
use crate::{Certificate, Error, KeyRing, Page, Roster};

/// Everything that gossip needs to begin.
#[derive(Clone, Debug)]
pub struct Membership {
    pub certificate: Certificate,
    pub node_key: NodeSecret,
    pub ring: KeyRing,
    pub roster: Roster,
    /// Where other members are heard, the server's first.
    pub seeds: Vec<SocketAddrV4>,
    pub authority: AuthorityPublic,
    /// The release key's word for the authority, kept so that a restarted agent can check again.
    pub proof: Proof,
    pub epoch: u32,
    /// The server's clock when it answered.
    pub unix_s: u64,
    pub name: HostName,
}

impl Membership {
    /// Checks that all parts of an admission are the authority's and belong to this node.
    pub fn new(
        admission: Admission,
        authority: AuthorityPublic,
        proof: Proof,
        node_key: NodeSecret,
    ) -> Result<Membership, Error> {
        let Admission { certificate, ring, roster: pages, seeds, unix_s, epoch, name } = admission;
        certificate.verify(&authority)?;
        if certificate.claim().node_key != node_key.public() {
            return Err(Error::Mismatch { what: "the certificate names another node's key" });
        }
        if !certificate.is_valid_at(unix_s) {
            return Err(Error::Time { what: "the certificate" });
        }
        let mut roster = Roster::default();
        for page in pages {
            roster.merge(page, &authority)?;
        }
        if roster.voids(&certificate) {
            return Err(Error::Mismatch { what: "the roster says that this node was removed" });
        }
        if roster.marks().map(|(current, _)| current) != Some(ring.current().mark()) {
            return Err(Error::Mismatch { what: "the ring key is not the one that the roster names" });
        }
        Ok(Membership { certificate, node_key, ring, roster, seeds, authority, proof, epoch, unix_s, name })
    }

    /// The same matter as the server sent it, with what gossip has added since.
    pub fn admission(&self) -> Admission {
        Admission {
            certificate: self.certificate,
            ring: self.ring.clone(),
            roster: self.roster.pages().cloned().collect::<Vec<Page>>(),
            seeds: self.seeds.clone(),
            unix_s: self.unix_s,
            epoch: self.epoch,
            name: self.name.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::tests::admission;
    use crate::certificate::tests::authority;

    fn check(change: impl Fn(&mut Admission), key: u8, authority_n: u8, want: Result<(), Error>) {
        let mut admission = admission();
        change(&mut admission);
        let key = NodeSecret::from_seed(&[key; 32]);
        let got = Membership::new(admission, authority(authority_n).public(), Proof([0; 64]), key);
        assert_eq!(got.map(drop), want);
    }

    #[test]
    fn an_admission_is_believed_only_as_a_whole() {
        let mismatch = |what| Err(Error::Mismatch { what });
        check(|_| {}, 1, 1, Ok(()));
        check(|_| {}, 1, 2, Err(Error::Cluster));
        check(|_| {}, 2, 1, mismatch("the certificate names another node's key"));
        check(|a| a.unix_s = 5000, 1, 1, Err(Error::Time { what: "the certificate" }));
        let ring = "the ring key is not the one that the roster names";
        check(|a| a.roster.clear(), 1, 1, mismatch(ring));
        check(|a| a.ring = KeyRing::new(crate::RingKey::new(2, [9; 32])), 1, 1, mismatch(ring));
    }

    #[test]
    fn a_membership_gives_back_the_admission_it_was_made_of() {
        let key = NodeSecret::from_seed(&[1; 32]);
        let made = Membership::new(admission(), authority(1).public(), Proof([0; 64]), key).unwrap();
        assert_eq!(made.admission(), admission());
        assert_eq!(Admission::decode(&made.admission().encode()), Ok(admission()));
    }
}
