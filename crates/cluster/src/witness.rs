//! Who may be believed: the one place where certificates and signatures of records are checked.
//!
//! A trait, because the answer never changes for the same bytes: a simulation of a thousand nodes remembers it for
//! all of them.

use std::collections::BTreeMap;

use admission::{AuthorityPublic, CERTIFICATE_BYTES, Error, NodeId, Statement};

use crate::record::Record;

/// Most certificates that are remembered as checked.
const REMEMBERED_MAX: usize = 2048;

/// Checks signatures. Time and roster are no matter of his: the node asks them itself.
pub trait Witness: Send {
    /// Whether the authority certified the record's node, and that node signed the record.
    fn vouch(&mut self, record: &Record) -> Result<(), Error>;
}

/// The real one: asks the keys, and a certificate only once.
pub struct Keys {
    authority: AuthorityPublic,
    checked: BTreeMap<NodeId, [u8; CERTIFICATE_BYTES]>,
}

impl Keys {
    pub fn new(authority: AuthorityPublic) -> Keys {
        Keys { authority, checked: BTreeMap::new() }
    }
}

impl Witness for Keys {
    fn vouch(&mut self, record: &Record) -> Result<(), Error> {
        let bytes = record.certificate.encode();
        if self.checked.get(&record.node()) != Some(&bytes) {
            record.certificate.verify(&self.authority)?;
            if self.checked.len() >= REMEMBERED_MAX {
                self.checked.pop_first();
            }
            self.checked.insert(record.node(), bytes);
        }
        let (signed, signature) = record.signed();
        record.certificate.claim().node_key.verify(Statement::Facts, signed, &signature)
    }
}
