//! The roster: which certificates are void, and which ring key is current; the authority's word, spread like a fact.
//!
//! It is kept in pages of at most 80 removals, each versioned and signed for itself, so that every page fits one
//! datagram and no part waits for another. Page 0 also names the ring keys. A removal names the last serial it voids:
//! an owner who takes a PC back in gives it a certificate with a newer one.
//! Removals whose certificates have all expired are left out of the next version, so the roster stays short.

use std::collections::BTreeMap;

use crate::bytes::Reader;
use crate::keys::{AuthorityPublic, AuthoritySecret, Signature, Statement};
use crate::{Certificate, ClusterId, Error, NodeId, RingMark};

/// Most removals on one page.
pub const PAGE_REMOVED_MAX: usize = 80;
/// Most pages of a roster.
pub const PAGES_MAX: usize = 13;
/// Most removals in all.
pub const REMOVED_MAX: usize = PAGE_REMOVED_MAX * PAGES_MAX;
/// Longest page.
pub const PAGE_BYTES_MAX: usize = HEAD_BYTES + 2 * MARK_BYTES + 2 + 12 * PAGE_REMOVED_MAX + Signature::BYTES;

const HEAD_BYTES: usize = 16;
const MARK_BYTES: usize = 20;
const FORMAT: u8 = 1;
const WHAT: &str = "the roster";

/// All certificates of a node up to this serial are void.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Removal {
    pub node: NodeId,
    pub serial: u32,
}

/// One page that has the right form; only [`Page::verify`] says that it is true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    cluster: ClusterId,
    number: u8,
    version: u64,
    /// Current and next key; on page 0 only.
    marks: Option<(RingMark, Option<RingMark>)>,
    /// Rising by node.
    removed: Vec<Removal>,
    signature: Signature,
}

impl Page {
    /// Signs page 0, which names the ring keys too.
    pub fn first(
        authority: &AuthoritySecret,
        version: u64,
        current: RingMark,
        next: Option<RingMark>,
        removed: &[Removal],
    ) -> Result<Page, Error> {
        Page::issue(authority, 0, version, Some((current, next)), removed)
    }

    /// Signs a further page.
    pub fn further(
        authority: &AuthoritySecret,
        number: u8,
        version: u64,
        removed: &[Removal],
    ) -> Result<Page, Error> {
        Page::issue(authority, number, version, None, removed)
    }

    fn issue(
        authority: &AuthoritySecret,
        number: u8,
        version: u64,
        marks: Option<(RingMark, Option<RingMark>)>,
        removed: &[Removal],
    ) -> Result<Page, Error> {
        let mut removed = removed.to_vec();
        removed.sort_unstable();
        let signature = Signature([0; Signature::BYTES]);
        let mut page = Page { cluster: authority.cluster(), number, version, marks, removed, signature };
        page.check()?;
        page.signature = authority.sign(Statement::Roster, &page.body());
        Ok(page)
    }

    /// Reads the exact form.
    pub fn decode(bytes: &[u8]) -> Result<Page, Error> {
        if bytes.len() > PAGE_BYTES_MAX {
            return Err(Error::TooLong { what: WHAT, bytes_max: PAGE_BYTES_MAX });
        }
        let mut reader = Reader::new(WHAT, bytes);
        reader.format(FORMAT)?;
        let (cluster, number, version) = (ClusterId(reader.array()?), reader.u8()?, reader.u64()?);
        let n_marks = reader.u8()?;
        let mut mark = || Ok(RingMark { number: reader.u32()?, check: reader.array()? });
        let marks = match n_marks {
            0 => None,
            1 => Some((mark()?, None)),
            2 => Some((mark()?, Some(mark()?))),
            _ => return Err(Error::Form { what: WHAT }),
        };
        let n_removed = usize::from(reader.u16()?);
        if n_removed > PAGE_REMOVED_MAX {
            return Err(Error::Limit { what: WHAT });
        }
        let mut removed = Vec::with_capacity(n_removed);
        for _ in 0..n_removed {
            removed.push(Removal { node: NodeId(reader.u64()?), serial: reader.u32()? });
        }
        let signature = Signature(reader.array()?);
        reader.end()?;
        let page = Page { cluster, number, version, marks, removed, signature };
        page.check()?;
        Ok(page)
    }

    /// What holds for every page, received or made here.
    fn check(&self) -> Result<(), Error> {
        if self.removed.len() > PAGE_REMOVED_MAX || usize::from(self.number) >= PAGES_MAX {
            return Err(Error::Limit { what: WHAT });
        }
        let rises = self.removed.windows(2).all(|pair| pair[0].node < pair[1].node);
        let numbered = match self.marks {
            None => true,
            Some((current, next)) => current.number > 0 && next.is_none_or(|n| n.number > current.number),
        };
        if !rises || !numbered || self.marks.is_some() != (self.number == 0) {
            return Err(Error::Form { what: WHAT });
        }
        Ok(())
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.body();
        bytes.extend(self.signature.0);
        bytes
    }

    fn body(&self) -> Vec<u8> {
        let marks = self.marks.map(|(current, next)| [Some(current), next]).unwrap_or_default();
        let marks: Vec<RingMark> = marks.into_iter().flatten().collect();
        let mut bytes = vec![FORMAT];
        bytes.extend(self.cluster.0);
        bytes.push(self.number);
        bytes.extend(self.version.to_be_bytes());
        bytes.push(marks.len() as u8);
        for mark in &marks {
            bytes.extend(mark.number.to_be_bytes());
            bytes.extend(mark.check);
        }
        bytes.extend((self.removed.len() as u16).to_be_bytes());
        for Removal { node, serial } in &self.removed {
            bytes.extend(node.0.to_be_bytes());
            bytes.extend(serial.to_be_bytes());
        }
        bytes
    }

    pub fn verify(&self, authority: &AuthorityPublic) -> Result<(), Error> {
        if self.cluster != ClusterId::of(authority) {
            return Err(Error::Cluster);
        }
        authority.verify(Statement::Roster, &self.body(), &self.signature)
    }

    pub fn number(&self) -> u8 {
        self.number
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn removed(&self) -> &[Removal] {
        &self.removed
    }
}

/// What became of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merged {
    /// It is newer than ours and was taken.
    Newer,
    /// We have this one.
    Same,
    /// Ours is newer; whoever sent it wants ours.
    Older,
}

/// The newest verified page of each number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    pages: BTreeMap<u8, Page>,
}

impl Roster {
    /// Takes a page if the authority signed it and it is newer than ours.
    /// The version is compared first: a page we have costs no look at its signature.
    pub fn merge(&mut self, page: Page, authority: &AuthorityPublic) -> Result<Merged, Error> {
        match self.pages.get(&page.number).map(|ours| page.version.cmp(&ours.version)) {
            Some(std::cmp::Ordering::Equal) => return Ok(Merged::Same),
            Some(std::cmp::Ordering::Less) => return Ok(Merged::Older),
            _ => page.verify(authority)?,
        }
        self.pages.insert(page.number, page);
        Ok(Merged::Newer)
    }

    pub fn pages(&self) -> impl Iterator<Item = &Page> {
        self.pages.values()
    }

    pub fn page(&self, number: u8) -> Option<&Page> {
        self.pages.get(&number)
    }

    /// Number and version of each page, for a digest.
    pub fn versions(&self) -> impl Iterator<Item = (u8, u64)> {
        self.pages.values().map(|page| (page.number, page.version))
    }

    /// Current and next ring key, once page 0 is here.
    pub fn marks(&self) -> Option<(RingMark, Option<RingMark>)> {
        self.pages.get(&0)?.marks
    }

    /// The last serial of this node that is void.
    pub fn removal(&self, node: NodeId) -> Option<u32> {
        let on = |page: &Page| {
            let at = page.removed.binary_search_by_key(&node, |removal| removal.node).ok()?;
            Some(page.removed[at].serial)
        };
        self.pages.values().filter_map(on).max()
    }

    /// Whether this certificate was taken back.
    pub fn voids(&self, certificate: &Certificate) -> bool {
        self.removal(certificate.node()).is_some_and(|serial| certificate.claim().serial <= serial)
    }

    pub fn removals(&self) -> impl Iterator<Item = Removal> {
        self.pages.values().flat_map(|page| page.removed.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RingKey;
    use crate::certificate::tests::{authority, claim};

    fn mark(number: u32) -> RingMark {
        RingKey::new(number, [3; 32]).mark()
    }

    fn removal(node: u64) -> Removal {
        Removal { node: NodeId(node), serial: 7 }
    }

    fn page(version: u64, n_removed: u64) -> Page {
        let removed: Vec<Removal> = (0..n_removed).rev().map(removal).collect();
        Page::first(&authority(1), version, mark(1), Some(mark(2)), &removed).unwrap()
    }

    #[test]
    fn a_page_survives_its_bytes_and_verifies() {
        let further = Page::further(&authority(1), 12, 3, &[removal(9)]).unwrap();
        for page in [page(1, 0), page(2, 80), further] {
            let bytes = page.encode();
            assert!(bytes.len() <= PAGE_BYTES_MAX);
            assert_eq!(Page::decode(&bytes).as_ref(), Ok(&page));
            assert_eq!(page.verify(&authority(1).public()), Ok(()));
            assert_eq!(page.verify(&authority(2).public()), Err(Error::Cluster));
        }
        assert_eq!(page(1, 80).encode().len(), PAGE_BYTES_MAX);
    }

    #[test]
    fn a_changed_bit_anywhere_is_refused() {
        let good = page(1, 3).encode();
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let verdict = Page::decode(&bytes).and_then(|page| page.verify(&authority(1).public()));
            assert!(verdict.is_err(), "bit {bit}");
        }
        for length in 0..good.len() {
            assert!(Page::decode(&good[..length]).is_err());
        }
    }

    #[test]
    fn a_page_has_limits() {
        let many: Vec<Removal> = (0..81).map(removal).collect();
        let limit = Err(Error::Limit { what: WHAT });
        assert_eq!(Page::first(&authority(1), 1, mark(1), None, &many), limit);
        assert_eq!(Page::further(&authority(1), 13, 1, &[]), limit);
        let form = Err(Error::Form { what: WHAT });
        assert_eq!(Page::further(&authority(1), 0, 1, &[]), form);
        assert_eq!(Page::first(&authority(1), 1, mark(2), Some(mark(2)), &[]), form);
        assert_eq!(Page::first(&authority(1), 1, mark(1), None, &[removal(1), removal(1)]), form);
    }

    #[test]
    fn the_newest_page_of_each_number_is_kept() {
        let (mut roster, key) = (Roster::default(), authority(1).public());
        let mut merge = |page: Page| roster.merge(page, &key);
        assert_eq!(merge(page(2, 1)), Ok(Merged::Newer));
        assert_eq!(merge(page(2, 1)), Ok(Merged::Same));
        assert_eq!(merge(page(1, 0)), Ok(Merged::Older));
        assert_eq!(merge(Page::further(&authority(1), 1, 1, &[removal(5)]).unwrap()), Ok(Merged::Newer));
        let forged = Page::decode(&{
            let mut bytes = page(3, 1).encode();
            *bytes.last_mut().unwrap() ^= 1;
            bytes
        });
        assert_eq!(merge(forged.unwrap()), Err(Error::Signature { what: WHAT }));
        assert_eq!(roster.versions().collect::<Vec<_>>(), [(0, 2), (1, 1)]);
        assert_eq!(roster.marks(), Some((mark(1), Some(mark(2)))));
        assert_eq!([0, 5, 6].map(|node| roster.removal(NodeId(node))), [Some(7), Some(7), None]);
    }

    #[test]
    fn a_removal_voids_certificates_up_to_its_serial() {
        let certificate = |serial| Certificate::issue(&authority(1), crate::Claim { serial, ..claim(1) });
        let removed = Removal { node: certificate(1).node(), serial: 7 };
        let mut roster = Roster::default();
        let page = Page::first(&authority(1), 1, mark(1), None, &[removed]).unwrap();
        roster.merge(page, &authority(1).public()).unwrap();
        assert!(roster.voids(&certificate(7)) && !roster.voids(&certificate(8)));
    }
}
